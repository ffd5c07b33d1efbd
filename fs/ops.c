#include "fs/ops.h"

#include "backend/base/log.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "fs/errmap.h"
#include "fs/handles.h"
#include "fs/path.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

// How long the kernel may answer from its own memory, in seconds. A file after grace changes by prune or rekey only.
#define TIMEOUT_SEALED 60.0
#define TIMEOUT_YOUNG 1.0
#define TIMEOUT_WRITING 0.0

void ops_refuse(fuse_req_t req, const char *operation, const char *path, int rc,
                const struct err *err)
{
    // bytes that do not hold are never passed over
    bool is_damage = rc == -EBADMSG || rc == -EUCLEAN;
    if (err && (is_damage || status_may_log(ops_stack(req)->status)))
        log_warn("%s: %s path=%s", operation, err->text, path);
    fuse_reply_err(req, errmap(rc));
}

struct node *ops_node(fuse_req_t req, fuse_ino_t ino)
{
    struct node *node = nodes_by_ino(ops_stack(req)->nodes, ino);
    assert(node);
    return node;
}

bool ops_child(fuse_req_t req, const struct node *parent, const char *name,
               char out[OPS_PATH_BYTES])
{
    int len = snprintf(out, OPS_PATH_BYTES, "%s%s%s", parent->path, *parent->path ? "/" : "", name);
    if (len < OPS_PATH_BYTES)
        return true;
    fuse_reply_err(req, ENAMETOOLONG);
    return false;
}

struct timespec ops_now(struct stack *stack)
{
    return stack->store->ops->now(stack->store);
}

int ops_check_writable(struct stack *stack, struct err *err)
{
    if (stack->conf->mount.read_only)
        return err_set(err, EROFS, "mounted read-only");
    if (stack->draining)
        return err_set(err, ESHUTDOWN, "the mount is going away: no new file is taken");
    return 0;
}

// --- Attributes ---

static void attr_file(struct stack *stack, const struct tree_stat *stat, struct stat *out)
{
    const struct object_info *info = &stat->info;
    bool is_ours = info->header.state == SEAL_OURS;
    uint64_t size = is_ours ? info->header.record.size : info->stat.size;
    out->st_mode = S_IFREG | (0666 & ~stack->conf->mount.umask);
    out->st_size = (off_t)size;
    out->st_mtim = is_ours ? info->header.record.mtime : info->stat.last_modified;
    out->st_ctim = is_ours ? info->header.record.committed : info->stat.last_modified;
    out->st_blocks = (blkcnt_t)div_up_u64(info->stat.size, 512);
}

void ops_attr(struct stack *stack, const struct node *node, const struct tree_stat *stat,
              struct stat *out)
{
    *out = (struct stat){
        .st_ino = node->ino,
        .st_nlink = 1,
        .st_uid = stack->conf->mount.uid,
        .st_gid = stack->conf->mount.gid,
        .st_blksize = 1 << 20,
    };
    switch (node->kind) {
    case NODE_FILE:
        attr_file(stack, stat, out);
        break;
    case NODE_LATEST_LINK:
        out->st_mode = S_IFLNK | 0777;
        out->st_mtim = out->st_ctim = ops_now(stack);
        break;
    case NODE_STATUS_FILE:
        out->st_mode = S_IFREG | (0444 & ~stack->conf->mount.umask);
        out->st_mtim = out->st_ctim = ops_now(stack);
        break;
    case NODE_DIR:
    case NODE_LATEST:
    case NODE_STATUS_DIR:
        out->st_mode = S_IFDIR | (0777 & ~stack->conf->mount.umask);
        out->st_mtim = out->st_ctim = stat->mtime;
        break;
    }
    if (node->kind == NODE_FILE && *stat->info.stat.etag)
        (void)mtimes_look(stack->mtimes, node->path, stat->info.stat.etag, &out->st_mtim);
    out->st_atim = out->st_mtim;
}

bool ops_look_writing(struct stack *stack, const struct node *node, struct tree_stat *out)
{
    struct writer_look look;
    if (node->kind != NODE_FILE || !writers_look(stack->writers, node->path, &look))
        return false;
    *out = (struct tree_stat){
        .kind = TREE_FILE,
        .info = {.stat = {.size = look.acked_bytes},
                 .header = {.state = SEAL_OURS,
                            .record = {.size = look.size,
                                       .mtime = look.mtime,
                                       .committed = look.mtime}}},
    };
    return true;
}

static double attr_timeout(struct stack *stack, const struct node *node,
                           const struct tree_stat *stat)
{
    if (node->kind != NODE_FILE)
        return TIMEOUT_YOUNG;
    // a change through another inode of the file must be seen at once
    if (!*stat->info.stat.etag || ops_is_changing(node->path))
        return TIMEOUT_WRITING;
    return protect_is_young(stack, &stat->info) ? TIMEOUT_YOUNG : TIMEOUT_SEALED;
}

void ops_reply_entry(fuse_req_t req, const char *path, enum node_kind kind,
                     const struct tree_stat *stat)
{
    struct stack *stack = ops_stack(req);
    const struct node *node = nodes_found(stack->nodes, path, kind, stat);
    if (!node) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    struct fuse_entry_param entry = {.ino = node->ino};
    entry.attr_timeout = entry.entry_timeout = attr_timeout(stack, node, stat);
    ops_attr(stack, node, stat, &entry.attr);
    if (fuse_reply_entry(req, &entry) != 0)
        nodes_forget(stack->nodes, node->ino, 1);
}

// --- Lookup ---

static void lookup_latest(fuse_req_t req, const char *path)
{
    char target[OPS_PATH_BYTES];
    struct err err;
    int rc = ops_latest_target(ops_stack(req), path, target, &err);
    struct tree_stat stat = {.kind = TREE_FILE};
    if (rc)
        ops_refuse(req, "lookup", path, rc, rc == -ENOENT ? NULL : &err);
    else
        ops_reply_entry(req, path, NODE_LATEST_LINK, &stat);
}

// The names that are not stored. True: answered.
static bool lookup_virtual(fuse_req_t req, const struct node *parent, const char *path,
                           const char *name)
{
    struct tree_stat dir = {.kind = TREE_DIR}, file = {.kind = TREE_FILE};
    if (parent->kind == NODE_LATEST)
        lookup_latest(req, path);
    else if (strcmp(path, PATH_STATUS_DIR) == 0)
        ops_reply_entry(req, path, NODE_STATUS_DIR, &dir);
    else if (strcmp(path, PATH_STATUS_FILE) == 0)
        ops_reply_entry(req, path, NODE_STATUS_FILE, &file);
    else if (path_depth(path) == 2 && strcmp(name, PATH_LATEST) == 0)
        ops_reply_entry(req, path, NODE_LATEST, &dir);
    else if (parent->kind != NODE_DIR)
        fuse_reply_err(req, ENOENT);
    else
        return false;
    return true;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent_ino, const char *name)
{
    struct stack *stack = ops_stack(req);
    const struct node *parent = ops_node(req, parent_ino);
    char path[OPS_PATH_BYTES];
    if (!ops_child(req, parent, name, path) || lookup_virtual(req, parent, path, name))
        return;
    struct node written = {.kind = NODE_FILE, .path = path};
    struct tree_stat stat;
    if (ops_look_writing(stack, &written, &stat)) {
        ops_reply_entry(req, path, NODE_FILE, &stat);
        return;
    }
    struct err err;
    int rc = tree_lookup(stack->tree, path, &stat, &err);
    if (rc)
        ops_refuse(req, "lookup", path, rc, rc == -ENOENT ? NULL : &err);
    else
        ops_reply_entry(req, path, stat.kind == TREE_DIR ? NODE_DIR : NODE_FILE, &stat);
}

static void on_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
    nodes_forget(ops_stack(req)->nodes, ino, lookups);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        nodes_forget(ops_stack(req)->nodes, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

// What the node shows now. An open file whose name leads elsewhere keeps the attributes it had.
static int stat_node(struct stack *stack, struct node *node, struct tree_stat *out, struct err *err)
{
    *out = nodes_stat(stack->nodes, node);
    const char *etag = out->info.stat.etag;
    // what is being written under the path is another file for who holds the old one open
    if (!*etag && ops_look_writing(stack, node, out))
        return 0;
    if (!*etag) // it was stored in between, or given up
        *out = nodes_stat(stack->nodes, node);
    bool is_virtual = node->kind != NODE_FILE && node->kind != NODE_DIR;
    if (is_virtual || node->ino == NODE_ROOT_INO)
        return 0;
    if (nodes_is_current(stack->nodes, node)) {
        struct tree_stat now;
        int rc = tree_lookup(stack->tree, node->path, &now, err);
        bool same = !rc && (now.kind == TREE_DIR) == (node->kind == NODE_DIR) &&
                    strcmp(now.info.stat.etag, etag) == 0;
        if (same && nodes_update(stack->nodes, node, etag, &now)) {
            *out = now;
            return 0;
        }
        if (rc && rc != -ENOENT)
            return rc;
        nodes_detach(stack->nodes, node->path, etag);
    }
    // fstat comes without a handle
    return ops_is_open(node) ? 0 : err_set(err, ESTALE, "another object stands there now");
}

static void reply_attr(fuse_req_t req, struct node *node)
{
    struct stack *stack = ops_stack(req);
    struct tree_stat stat;
    struct err err;
    int rc = stat_node(stack, node, &stat, &err);
    if (rc) {
        ops_refuse(req, "getattr", node->path, rc, rc == -ESTALE ? NULL : &err);
        return;
    }
    struct stat attr;
    ops_attr(stack, node, &stat, &attr);
    fuse_reply_attr(req, &attr, attr_timeout(stack, node, &stat));
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    reply_attr(req, ops_node(req, ino));
}

// Of a file that is written it goes into its record, of a stored one into a rewrite that follows; of one that was removed
// nowhere.
static void set_mtime(struct stack *stack, const struct node *node, struct timespec mtime)
{
    struct writer *w = handle_join_own(stack, node, 0, 0, 0);
    if (w) {
        writer_set_mtime(w, mtime);
        writer_release(w);
        return;
    }
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    if (*stat.info.stat.etag && handle_is_there(stack, node, stat.info.stat.etag))
        mtimes_set(stack->mtimes, node->path, &stat.info, mtime);
}

static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    struct stack *stack = ops_stack(req);
    struct node *node = ops_node(req, ino);
    struct err err;
    int rc = stack->conf->mount.read_only ? err_set(&err, EROFS, "mounted read-only") : 0;
    if (!rc && to_set & FUSE_SET_ATTR_SIZE)
        rc = ops_truncate(stack, node, fi ? fi->fh : 0, fuse_req_ctx(req)->pid,
                          (uint64_t)attr->st_size, &err);
    if (rc) {
        ops_refuse(req, "setattr", node->path, rc, &err);
        return;
    }
    if (to_set & FUSE_SET_ATTR_MTIME && node->kind == NODE_FILE) // mode and owner are not kept
        set_mtime(stack, node, to_set & FUSE_SET_ATTR_MTIME_NOW ? ops_now(stack) : attr->st_mtim);
    reply_attr(req, node);
}

static void on_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct stack *stack = ops_stack(req);
    const struct node *node = ops_node(req, ino);
    if (node->kind != NODE_LATEST_LINK) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    char target[OPS_PATH_BYTES];
    struct err err;
    int rc = ops_latest_target(stack, node->path, target, &err);
    if (rc)
        ops_refuse(req, "readlink", node->path, rc, rc == -ENOENT ? NULL : &err);
    else
        fuse_reply_readlink(req, target);
}

static void on_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    const struct stack *stack = ops_stack(req);
    struct statvfs out = {
        .f_bsize = MIB,
        .f_frsize = MIB,
        // a bucket has no end: 1 EiB
        .f_blocks = GIB * 1024,
        .f_bfree = GIB * 1024,
        .f_bavail = GIB * 1024,
    };
    if (stack->store_path && statvfs(stack->store_path, &out) != 0) {
        fuse_reply_err(req, EIO);
        return;
    }
    out.f_namemax = PATH_COMPONENT_BYTES;
    fuse_reply_statfs(req, &out);
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
    const struct stack *stack = session_stack(userdata);
    conn->max_write = (unsigned)stack->max_write_bytes;
    conn->max_read = MIB;
    conn->max_background = 64;
    conn->congestion_threshold = 48;
    conn->want |= conn->capable &
                  (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_READ);
    // the data is transformed, so it cannot be spliced; names alone must not cost headers
    conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                              FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                              FUSE_CAP_WRITEBACK_CACHE);
    session_served(userdata);
}

const struct fuse_lowlevel_ops mount_ops = {
    .init = on_init,
    .lookup = on_lookup,
    .forget = on_forget,
    .forget_multi = op_forget_multi,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .readlink = on_readlink,
    .mknod = on_mknod,
    .mkdir = on_mkdir,
    .unlink = on_unlink,
    .rmdir = on_rmdir,
    .symlink = on_symlink,
    .rename = on_rename,
    .link = on_link,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .flush = on_flush,
    .release = on_release,
    .fsync = on_fsync,
    .opendir = on_opendir,
    .readdir = on_readdir,
    .releasedir = on_releasedir,
    .statfs = on_statfs,
    .setxattr = on_setxattr,
    .getxattr = on_getxattr,
    .listxattr = on_listxattr,
    .removexattr = on_removexattr,
    .create = on_create,
};
