#include "backend/base/scope.h"
#include "fs/handles.h"
#include "fs/holders.h"
#include "fs/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

// WAL as pg_basebackup and pg_receivewal write it: each segment is first filled with zeros, then they go back and write
// it, and in a tar once more to its header. In pg_wal.tar that is far behind any head from the second segment on, and with
// segments larger than the head (initdb --wal-segsize) in files too.
static bool is_wal(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    bool partial = strspn(name, "0123456789ABCDEF") == 24 && strcmp(name + 24, ".partial") == 0;
    size_t dir = (size_t)(name - path), len = strlen("/pg_wal/");
    return strncmp(name, "pg_wal.tar", strlen("pg_wal.tar")) == 0 ||
           (dir >= len && memcmp(path + dir - len, "/pg_wal/", len) == 0) || partial;
}

// Must the whole file lie in the spool?
static bool is_draft(const struct stack *stack, const char *path, int flags)
{
    return (flags & O_ACCMODE) != O_WRONLY || stack->conf->write.seek == CONF_SEEK_SPOOL ||
           is_wal(path);
}

static int begin_writer(struct stack *stack, struct handle *h, const struct node *node,
                        struct fuse_file_info *fi, pid_t tid, const struct tree_stat *old,
                        struct err *err)
{
    struct writer_begin begin = {
        .path = h->path,
        .ino = node->ino,
        .tid = tid,
        .cond = {.if_absent = !old, .if_match = old ? old->info.stat.etag : NULL},
        .as_draft = is_draft(stack, h->path, fi->flags),
    };
    int rc = old ? protect_check_file(stack, h->path, &old->info, err) : 0;
    if (!rc)
        rc = protect_flags(stack, h->path, &begin.flags, err);
    if (!rc)
        rc = writers_begin(stack->writers, &begin, &h->writer, err);
    fi->nonseekable = !begin.as_draft && stack->conf->write.seek == CONF_SEEK_NO;
    return rc;
}

// Is the handle's path still the node's, and in the directory it is made in? A rename may have come in between.
static bool leads_there(const struct handle *h, const struct node *node, const struct node *parent)
{
    const char *dir = parent ? parent->path : "";
    size_t len = strlen(dir);
    return strcmp(h->path, node->path) == 0 &&
           (len == 0 || (strncmp(h->path, dir, len) == 0 && h->path[len] == '/'));
}

// Starts or joins what is written under the handle's path: a new file, or an old one cut to nothing. `parent`: of a file
// that is made, else NULL.
static int open_writer(struct stack *stack, struct handle *h, const struct node *node,
                       const struct node *parent, struct fuse_file_info *fi, pid_t tid,
                       const struct tree_stat *old, struct err *err)
{
    h->writer = writers_join(stack->writers, h->path, node->ino, tid, 0);
    if (h->writer)
        return fi->flags & O_TRUNC ? writer_truncate(h->writer, 0, err) : 0;
    struct claim claim = {.path = h->path}; // not while it is renamed
    int rc = claims_take(stack->claims, &claim, err);
    if (rc)
        return rc;
    // renamed while it waited: the kernel looks again
    rc = leads_there(h, node, parent) ? begin_writer(stack, h, node, fi, tid, old, err)
                                      : err_set(err, ESTALE, "it was renamed just now");
    claims_drop(stack->claims, &claim);
    return rc;
}

static void reply_create(fuse_req_t req, struct node *node, struct handle *h,
                         struct fuse_file_info *fi)
{
    struct stack *stack = ops_stack(req);
    struct fuse_entry_param entry = {.ino = node->ino};
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    ops_look_writing(stack, node, &stat);
    ops_attr(stack, node, &stat, &entry.attr);
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->direct_io = 1; // no page cache for what goes through once
    if (fuse_reply_create(req, &entry, fi) != 0) {
        writer_drop(h->writer);
        handle_free(h);
        nodes_forget(stack->nodes, node->ino, 1);
    }
}

static int create_file(fuse_req_t req, const struct node *parent, const char *path,
                       struct fuse_file_info *fi, struct node **out_node, struct handle **out,
                       struct err *err)
{
    struct stack *stack = ops_stack(req);
    int rc = ops_check_writable(stack, err);
    if (!rc)
        rc = path_check_create(path, false, stack->prefix_len, ops_now(stack), err);
    if (rc)
        return rc;
    // another mount may have made it since the kernel looked
    struct tree_stat old;
    mtimes_settle(stack->mtimes, path);
    rc = tree_lookup_now(stack->tree, path, &old, err);
    if (rc && rc != -ENOENT)
        return rc;
    bool exists = !rc;
    if (exists && old.kind == TREE_DIR)
        return err_set(err, EISDIR, "it is a directory");
    if ((exists || writers_is_writing(stack->writers, path)) && fi->flags & O_EXCL)
        return err_set(err, EEXIST, "it is there already");
    // `>>` on what another mount stored a moment ago: the kernel looks again, and opens it
    if (exists && !(fi->flags & O_TRUNC))
        return err_set(err, ESTALE, "it is there now");
    struct tree_stat writing = {.kind = TREE_FILE};
    struct node *node = nodes_found(stack->nodes, path, NODE_FILE, &writing);
    struct handle *h = node ? handle_new(node, fi) : NULL;
    if (!h) {
        if (node)
            nodes_forget(stack->nodes, node->ino, 1);
        return err_errno(err, ENOMEM, "create '%s'", path);
    }
    nodes_open_writing(stack->nodes, node, true);
    rc = handle_enter(h) ? 0 : handle_other_inode(stack, node, err);
    if (!rc)
        rc = open_writer(stack, h, node, parent, fi, fuse_req_ctx(req)->pid, exists ? &old : NULL,
                         err);
    if (rc) {
        if (h->writer)
            writer_drop(h->writer);
        handle_free(h);
        if (!writers_is_writing(stack->writers, path))
            nodes_detach(stack->nodes, path, "");
        nodes_forget(stack->nodes, node->ino, 1);
        return rc;
    }
    *out_node = node;
    *out = h;
    return 0;
}

void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *fi)
{
    (void)mode;
    char path[OPS_PATH_BYTES];
    if (!ops_child(req, ops_node(req, parent), name, path))
        return;
    struct err err;
    struct node *node = NULL;
    struct handle *h = NULL;
    int rc = ops_node(req, parent)->kind == NODE_DIR
                 ? create_file(req, ops_node(req, parent), path, fi, &node, &h, &err)
                 : err_set(&err, EPERM, "what stands here is made by the daemon");
    if (rc)
        ops_refuse(req, "create", path, rc, rc == -EEXIST || rc == -ESTALE ? NULL : &err);
    else
        reply_create(req, node, h, fi);
}

// O_TRUNC on what is stored. Nothing else changes it while it is claimed: what it replaces is what it was opened as.
static int open_cutting(struct stack *stack, struct node *node, struct handle *h,
                        struct fuse_file_info *fi, pid_t tid, const struct tree_stat *old,
                        struct err *err)
{
    struct tree_stat writing = {.kind = TREE_FILE};
    struct claim claim = {.path = h->path};
    int rc = claims_take(stack->claims, &claim, err);
    if (rc)
        return rc;
    // renamed, given another time, or replaced through another inode meanwhile
    if (!leads_there(h, node, NULL) || !handle_is_there(stack, node, h->etag) ||
        !nodes_update(stack->nodes, node, h->etag, &writing)) {
        rc = handle_stale(stack, node, h->etag, err);
    } else {
        rc = begin_writer(stack, h, node, fi, tid, old, err);
        if (rc)
            nodes_given_up(stack->nodes, node->path, &node->ino, 1);
        else
            h->etag[0] = '\0';
        if (rc == -EBUSY) // somebody was faster, and can be joined
            rc = handle_stale(stack, node, h->etag, err);
    }
    claims_drop(stack->claims, &claim);
    return rc;
}

// Opening for writing succeeds, only changing is judged (pg_dump -f reopens its finished file to call fsync).
static int open_for_writing(fuse_req_t req, struct node *node, struct handle *h,
                            struct fuse_file_info *fi, struct err *err)
{
    struct stack *stack = ops_stack(req);
    pid_t tid = fuse_req_ctx(req)->pid;
    int rc = ops_check_writable(stack, err);
    if (rc)
        return rc;
    fi->direct_io = 1;
    h->opener = holders_group(tid);
    bool is_cut = fi->flags & O_TRUNC;
    if (!handle_enter(h) || !nodes_open_writing(stack->nodes, node, is_cut))
        return handle_other_inode(stack, node, err);
    struct tree_stat old;
    h->writer = handle_join_writing(stack, node, tid, 0, &old);
    memcpy(h->etag, old.info.stat.etag, sizeof(h->etag));
    if (h->writer) {
        h->etag[0] = '\0';
        return is_cut ? writer_truncate(h->writer, 0, err) : 0;
    }
    if (!*h->etag)
        return handle_stale(stack, node, "", err); // it was given up; the old one may stand there
    return is_cut ? open_cutting(stack, node, h, fi, tid, &old, err) : 0;
}

static int open_file(fuse_req_t req, struct node *node, struct handle *h, struct fuse_file_info *fi,
                     struct err *err)
{
    struct stack *stack = ops_stack(req);
    if ((fi->flags & O_ACCMODE) != O_RDONLY && fi->flags & O_TRUNC)
        mtimes_settle(stack->mtimes, node->path);
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    memcpy(h->etag, stat.info.stat.etag, sizeof(h->etag));
    if ((fi->flags & O_ACCMODE) != O_RDONLY)
        return open_for_writing(req, node, h, fi, err);
    fi->noflush = 1;
    if (!*h->etag && !writers_is_writing(stack->writers, node->path))
        return handle_stale(stack, node, "", err); // it was given up; the old one may stand there
    if (!*h->etag) {
        fi->direct_io = 1; // the kernel would end reads at a size that still changes
        return 0;          // reads say that it is being written
    }
    if (!handle_enter(h))
        return handle_other_inode(stack, node, err);
    int rc = handle_open_reader(stack, node, h, err);
    if (!rc)
        fi->keep_cache = nodes_open_reading(stack->nodes, node);
    return rc;
}

static int open_status(fuse_req_t req, struct handle *h, struct fuse_file_info *fi, struct err *err)
{
    if ((fi->flags & O_ACCMODE) != O_RDONLY)
        return err_set(err, EACCES, "the status is read only");
    h->text = status_json(ops_stack(req)->status);
    if (!h->text)
        return err_errno(err, ENOMEM, "make the status");
    h->text_len = strlen(h->text);
    fi->direct_io = 1; // its size is not known before
    return 0;
}

void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct node *node = ops_node(req, ino);
    struct handle *h = handle_new(node, fi);
    if (!h) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    struct err err;
    int rc = node->kind == NODE_STATUS_FILE ? open_status(req, h, fi, &err)
                                            : open_file(req, node, h, fi, &err);
    if (rc) {
        if (h->writer)
            writer_drop(h->writer);
        handle_free(h);
        ops_refuse(req, "open", node->path, rc, rc == -ESTALE ? NULL : &err);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)h;
    if (fuse_reply_open(req, fi) != 0) {
        if (h->writer)
            writer_drop(h->writer);
        handle_free(h);
    }
}
