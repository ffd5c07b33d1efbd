#include "backend/base/log.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "fs/ops.h"
#include "fs/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

// An open file.
//     writer   what is written through it, while it was not stored before; NULL: opened on a stored file
//     reader   made at open for reading, or at the first read
//     text     of status.json
struct handle {
    struct handle *next, **link; // of all open handles
    char *path;
    uint64_t ino;
    bool direct; // O_DIRECT: nothing from the cache
    struct writer *writer;
    char *text;
    size_t text_len;

    pthread_mutex_t lock;        // reads come in parallel; under it:
    char etag[STORE_ETAG_BYTES]; // the object it was opened on; "" while that was being written
    struct read_handle *reader;
};

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct handle *open_handles; // so that a session that ends early frees them

static struct handle *from_fi(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)fi->fh;
}

static struct handle *handle_new(const struct node *node, const struct fuse_file_info *fi)
{
    struct handle *h = calloc(1, sizeof(*h));
    if (!h || !(h->path = strdup(node->path))) {
        free(h);
        return NULL;
    }
    h->ino = node->ino;
    h->direct = fi->flags & O_DIRECT;
    pthread_mutex_init(&h->lock, NULL);
    auto_unlock pthread_mutex_t *held = scope_lock(&open_lock);
    h->next = open_handles;
    h->link = &open_handles;
    if (h->next)
        h->next->link = &h->next;
    open_handles = h;
    return h;
}

static void handle_free(struct handle *h)
{
    pthread_mutex_lock(&open_lock);
    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
    pthread_mutex_unlock(&open_lock);
    reader_close(h->reader);
    pthread_mutex_destroy(&h->lock);
    free(h->text);
    free(h->path);
    free(h);
}

// Is any handle of the node open, or with `reading` one that has something to read?
static bool has_handle(const struct node *node, const struct handle *but, bool reading)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&open_lock);
    for (const struct handle *h = open_handles; h; h = h->next)
        if (h != but && h->ino == node->ino && (!reading || !h->writer))
            return true;
    return false;
}

bool ops_is_open(const struct node *node)
{
    return has_handle(node, NULL, false);
}

void ops_close_left(void)
{
    while (open_handles) {
        struct handle *h = open_handles;
        if (h->writer)
            writer_abandon(h->writer);
        handle_free(h);
    }
}

// --- Opening ---

// The kernel looks the name up anew and opens what stands there.
static int stale(struct stack *stack, const struct node *node, const char *etag, struct err *err)
{
    tree_forget(stack->tree, node->path);
    nodes_detach(stack->nodes, node->path, etag);
    return err_set(err, ESTALE, "another object stands there now");
}

static int open_reader(struct stack *stack, const struct node *node, struct handle *h,
                       struct err *err)
{
    int rc = reader_open(stack->readers, h->path, h->etag, &h->reader, err);
    if (rc == -ESTALE || rc == -ENOENT)
        return stale(stack, node, h->etag, err);
    if (rc)
        return rc;
    // The kernel cuts reads at the size it was told, and that one nobody had proved.
    const struct object_info *proven = object_reader_info(reader_object(h->reader));
    struct tree_stat told = nodes_stat(stack->nodes, node);
    if (told.info.header.state == SEAL_OURS &&
        told.info.header.record.size == proven->header.record.size)
        return 0;
    if (status_may_log(stack->status))
        log_warn("the size known of it was not the proven one: put right path=%s", h->path);
    reader_close(take(h->reader));
    tree_committed(stack->tree, h->path, proven);
    nodes_detach(stack->nodes, h->path, h->etag);
    return err_set(err, ESTALE, "its size was not known right");
}

// Starts or joins what is written under the handle's path.
static int open_writer(struct stack *stack, struct handle *h, const struct node *node, int flags,
                       pid_t tid, const struct tree_stat *old, struct err *err)
{
    h->writer = writers_join(stack->writers, h->path, tid);
    if (h->writer)
        return flags & O_TRUNC ? writer_truncate(h->writer, 0, err) : 0;
    int rc = old ? protect_check_file(stack, h->path, &old->info, err) : 0;
    if (rc)
        return rc;
    struct store_cond cond = {
        .if_absent = !old,
        .if_match = old ? old->info.stat.etag : NULL,
    };
    return writers_begin(stack->writers, h->path, node->ino, &cond, tid, &h->writer, err);
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

static int create_file(fuse_req_t req, const char *path, struct fuse_file_info *fi,
                       struct node **out_node, struct handle **out, struct err *err)
{
    struct stack *stack = ops_stack(req);
    int rc = ops_check_writable(stack, err);
    if (!rc)
        rc = path_check_create(path, false, stack->prefix_len, ops_now(stack), err);
    if (rc)
        return rc;
    // another mount may have made it since the kernel looked
    struct tree_stat old;
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
    rc = open_writer(stack, h, node, fi->flags, fuse_req_ctx(req)->pid, exists ? &old : NULL, err);
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
                 ? create_file(req, path, fi, &node, &h, &err)
                 : err_set(&err, EPERM, "what stands here is made by the daemon");
    if (rc)
        ops_refuse(req, "create", path, rc, rc == -EEXIST || rc == -ESTALE ? NULL : &err);
    else
        reply_create(req, node, h, fi);
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
    if (!*h->etag || !(fi->flags & O_TRUNC)) {
        h->writer = writers_join(stack->writers, node->path, tid);
        if (!h->writer && !*h->etag)
            return stale(stack, node, "", err); // it was given up; the old one may stand there
        return h->writer && fi->flags & O_TRUNC ? writer_truncate(h->writer, 0, err) : 0;
    }
    struct tree_stat old = nodes_stat(stack->nodes, node), writing = {.kind = TREE_FILE};
    // The kernel cuts this inode to nothing. Who reads the old object by it gets the whole of it by another one.
    if (has_handle(node, h, true) ||
        !nodes_update(stack->nodes, node, old.info.stat.etag, &writing))
        return stale(stack, node, h->etag, err);
    h->etag[0] = '\0';
    rc = open_writer(stack, h, node, fi->flags, tid, &old, err);
    if (rc)
        nodes_given_up(stack->nodes, node->path);
    return rc;
}

static int open_file(fuse_req_t req, struct node *node, struct handle *h, struct fuse_file_info *fi,
                     struct err *err)
{
    struct stack *stack = ops_stack(req);
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    memcpy(h->etag, stat.info.stat.etag, sizeof(h->etag));
    if ((fi->flags & O_ACCMODE) != O_RDONLY)
        return open_for_writing(req, node, h, fi, err);
    fi->noflush = 1;
    if (!*h->etag && !writers_is_writing(stack->writers, node->path))
        return stale(stack, node, "", err); // it was given up; the old one may stand there
    if (!*h->etag) {
        fi->direct_io = 1; // the kernel would end reads at a size that still changes
        return 0;          // reads say that it is being written
    }
    fi->keep_cache = 1; // an inode has one object's bytes for ever
    return open_reader(stack, node, h, err);
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

// --- Reading ---

// Makes the reader of a handle that was opened before there was something to read.
static int ready_reader(struct stack *stack, const struct node *node, struct handle *h,
                        struct err *err)
{
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
    // the old object's bytes must not enter the page cache of an inode that goes on to another
    if (*h->etag && strcmp(h->etag, stat.info.stat.etag) != 0)
        return err_set(err, EIO, "it was overwritten through this mount");
    if (h->reader)
        return 0;
    if (!*stat.info.stat.etag && writers_is_writing(stack->writers, h->path))
        return err_set(err, EBUSY, "it is being written: it can be read once it is stored");
    memcpy(h->etag, stat.info.stat.etag, sizeof(h->etag));
    if (!*h->etag)
        return err_set(err, EIO, "it was never stored");
    return open_reader(stack, node, h, err);
}

void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct stack *stack = ops_stack(req);
    struct handle *h = from_fi(fi);
    if (h->text) {
        size_t at = min_u64((uint64_t)off, h->text_len), len = min_u64(size, h->text_len - at);
        // a copy: once the answer is read the file may be closed, before the reply returns
        auto_free char *copy = malloc(len + 1);
        if (copy)
            fuse_reply_buf(req, memcpy(copy, h->text + at, len), len);
        else
            fuse_reply_err(req, ENOMEM);
        return;
    }
    const struct node *node = ops_node(req, ino);
    struct err err;
    int rc = ready_reader(stack, node, h, &err);
    struct read_pieces pieces;
    if (!rc)
        rc = reader_get(h->reader, (uint64_t)off, size, h->direct, &pieces, &err);
    if (rc == -ESTALE || rc == -ENOENT)
        rc = -EIO; // in mid-read there is no way over to what stands there now
    if (rc) {
        ops_refuse(req, "read", h->path, rc, &err);
        return;
    }
    fuse_reply_iov(req, pieces.bytes, (int)pieces.count);
    reader_put(&pieces); // h may be gone: the answer lets its file be closed
}

// --- Writing ---

static int refuse_change(struct stack *stack, const struct node *node, struct err *err)
{
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    int rc = protect_check_file(stack, node->path, &stat.info, err);
    return rc ? rc
              : err_set(err, EOPNOTSUPP,
                        "changing a stored file in place is not there yet: write it anew");
}

void on_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
              struct fuse_file_info *fi)
{
    const struct handle *h = from_fi(fi);
    struct err err;
    int rc = h->writer
                 ? writer_write(h->writer, fuse_req_ctx(req)->pid, (uint64_t)off, buf, size, &err)
                 : refuse_change(ops_stack(req), ops_node(req, ino), &err);
    if (rc)
        ops_refuse(req, "write", h->path, rc, &err);
    else
        fuse_reply_write(req, size);
}

int ops_truncate(struct stack *stack, const struct node *node, uint64_t handle, uint64_t size,
                 struct err *err)
{
    if (node->kind != NODE_FILE)
        return err_set(err, EINVAL, "it is no file");
    const struct handle *h = (const struct handle *)(uintptr_t)handle;
    if (h && h->writer)
        return writer_truncate(h->writer, size, err);
    struct writer *w = writers_join(stack->writers, node->path, 0);
    if (w) {
        int rc = writer_truncate(w, size, err);
        writer_release(w);
        return rc;
    }
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    if (stat.info.header.state == SEAL_OURS && stat.info.header.record.size == size)
        return 0;
    return refuse_change(stack, node, err);
}

void on_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    const struct handle *h = from_fi(fi);
    struct err err;
    int rc = h->writer ? writer_flush(h->writer, fuse_req_ctx(req)->pid, &err) : 0;
    if (rc)
        ops_refuse(req, "close", h->path, rc, &err);
    else
        fuse_reply_err(req, 0);
}

void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    (void)datasync;
    const struct handle *h = from_fi(fi);
    struct err err;
    int rc = h->writer ? writer_sync(h->writer, &err) : 0;
    if (rc)
        ops_refuse(req, "fsync", h->path, rc, &err);
    else
        fuse_reply_err(req, 0);
}

void on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    struct handle *h = from_fi(fi);
    if (h->writer)
        writer_release(h->writer);
    handle_free(h);
    fuse_reply_err(req, 0);
}
