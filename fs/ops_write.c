#include "backend/base/log.h"
#include "backend/base/scope.h"
#include "fs/handles.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

// What stands there, to be changed: by an identity, or by the key that this mount remembers.
static int open_base(struct stack *stack, const char *path, const char *etag,
                     struct writer_begin *begin, struct err *err)
{
    if (stack->identities.count > 0) {
        int rc = object_open(stack->store, path, etag, &stack->identities, NULL, &begin->base, err);
        begin->may_read_base = rc == 0;
        if (rc != -EACCES)
            return rc;
    }
    struct object_key key;
    if (!recents_get(stack->recents, path, etag, &key))
        return err_set(err, EACCES,
                       "to change it its old bytes are needed, and this host has no identity that "
                       "opens them: write it anew as a whole");
    int rc = object_open(stack->store, path, etag, NULL, &key, &begin->base, err);
    secret_wipe(&key, sizeof(key));
    return rc;
}

// A writer over what stands there; with `emptied` over nothing.
static int begin_over(struct stack *stack, struct node *node, const struct tree_stat *old,
                      struct writer_begin *begin, bool emptied, struct writer **out,
                      struct err *err)
{
    struct tree_stat now, writing = {.kind = TREE_FILE};
    int rc = protect_check_file(stack, node->path, &old->info, err);
    if (!rc)
        rc = tree_lookup_now(stack->tree, node->path, &now, err);
    if (rc)
        return rc;
    const char *etag = old->info.stat.etag;
    if (strcmp(now.info.stat.etag, etag) != 0)
        return err_set(err, EIO, "it was replaced since it was opened");
    char base[STORE_ETAG_BYTES];
    if (writers_base(stack->writers, node->path, base) &&
        !nodes_is_payload(stack->nodes, node, base))
        return err_set(err, EIO, "another file is being written in its place");
    rc = emptied ? 0 : open_base(stack, node->path, etag, begin, err);
    if (rc)
        return rc;
    if (!nodes_update(stack->nodes, node, etag, &writing)) {
        object_reader_free(begin->base);
        return -EBUSY;
    }
    rc = writers_begin(stack->writers, begin, out, err);
    if (rc)
        nodes_given_up(stack->nodes, node->path, &node->ino, 1);
    return rc;
}

// The first change of what is stored: begins or joins. `opener`: who opened the handle.
static int begin_change(struct stack *stack, struct node *node, pid_t tid, pid_t opener,
                        bool emptied, struct writer **out, bool *out_begun, struct err *err)
{
    *out_begun = false;
    for (;;) {
        mtimes_settle(stack->mtimes, node->path);
        struct tree_stat old;
        *out = handle_join_writing(stack, node, tid, opener, &old);
        if (*out)
            return 0;
        if (!*old.info.stat.etag)
            return err_set(err, EIO, "what was written was given up; see the log");
        struct writer_begin begin = {
            .path = node->path,
            .ino = node->ino,
            .tid = tid,
            .opener = opener,
            .changed = true,
            .cond = {.if_match = old.info.stat.etag},
            .flags = old.info.header.record.flags & (SEAL_FLAG_TOOL | SEAL_FLAG_LATE),
            .as_draft = true,
        };
        struct claim claim = {.path = node->path};
        int rc = ops_check_writable(stack, err);
        if (!rc)
            rc = claims_take(stack->claims, &claim, err);
        if (rc)
            return rc;
        // renamed, or given another time, while it waited: once more with what it is now
        struct tree_stat now = nodes_stat(stack->nodes, node);
        rc = strcmp(begin.path, node->path) != 0 ||
                     strcmp(now.info.stat.etag, old.info.stat.etag) != 0
                 ? -EBUSY
                 : begin_over(stack, node, &old, &begin, emptied, out, err);
        claims_drop(stack->claims, &claim);
        *out_begun = rc == 0;
        if (rc != -EBUSY)
            return rc == -ESTALE || rc == -ENOENT ? err_set(err, EIO, "it is not there any more")
                                                  : rc;
    }
}

// A change could not begin. What follows it through this handle is not to be stored without it, however well things go by
// then: a shell goes on after a failed `echo`. What is refused for good changes nothing and needs no memory.
static int begin_failed(struct stack *stack, const struct node *node, struct handle *h, int rc,
                        struct err *err)
{
    if (rc == -EPERM || rc == -EACCES || rc == -EROFS)
        return rc;
    err_copy(&h->failure, err);
    status_failed(stack->status, node->path, err->text);
    log_error("not changed: %s path=%s", err->text, node->path);
    stack_tell(stack, NOTICES_NOT_STORED, node->path, err->text);
    return rc;
}

// The handle's writer, made when there is none that takes more.
static int ready_writer(struct stack *stack, struct node *node, struct handle *h, pid_t tid,
                        bool emptied, struct writer **out, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
    int rc = 0;
    if (h->failure.code)
        return err_copy(err, &h->failure);
    if (!h->writer || writer_is_stored(h->writer)) {
        bool begun;
        rc = handle_put_past(h, err);
        if (!rc)
            rc = begin_change(stack, node, tid, h->opener, emptied, &h->writer, &begun, err);
        if (rc)
            rc = begin_failed(stack, node, h, rc, err);
        else
            h->etag[0] = '\0';
    }
    *out = h->writer;
    return rc;
}

void on_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
              struct fuse_file_info *fi)
{
    struct handle *h = handle_of(fi);
    struct node *node = ops_node(req, ino);
    pid_t tid = fuse_req_ctx(req)->pid;
    // not where the kernel thinks: other inodes of the same file may have grown it
    uint64_t at = fi->flags & O_APPEND ? WRITER_APPEND : (uint64_t)off;
    struct err err;
    int rc;
    struct writer *w;
    do { // again when it was stored in between
        rc = ready_writer(ops_stack(req), node, h, tid, false, &w, &err);
        if (!rc)
            rc = writer_write(w, tid, at, buf, size, &err);
    } while (rc == -ESTALE);
    if (rc)
        ops_refuse(req, "write", node->path, rc, &err);
    else
        fuse_reply_write(req, size);
}

static int truncate_handle(struct stack *stack, struct node *node, struct handle *h, pid_t tid,
                           uint64_t size, struct err *err)
{
    int rc;
    struct writer *w;
    do {
        rc = ready_writer(stack, node, h, tid, size == 0, &w, err);
        if (!rc)
            rc = writer_truncate(w, size, err);
    } while (rc == -ESTALE);
    return rc;
}

// By name: it is stored when this returns, unless somebody is writing it, who stores it.
static int truncate_name(struct stack *stack, struct node *node, pid_t tid, uint64_t size,
                         struct err *err)
{
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    bool is_stored = *stat.info.stat.etag;
    if (is_stored && handles_reading(node))
        return handle_other_inode(stack, node, err);
    if (is_stored && !nodes_open_writing(stack->nodes, node, false))
        return handle_other_inode(stack, node, err);
    struct writer *w;
    bool begun;
    int rc = begin_change(stack, node, tid, 0, size == 0, &w, &begun, err);
    if (rc)
        return rc;
    rc = writer_truncate(w, size, err);
    if (!rc && begun)
        rc = writer_commit(w, err);
    writer_release(w);
    return rc == -ESTALE ? err_set(err, EBUSY, "it was stored at this moment") : rc;
}

// By name, to the length it is known to have: if that is what stands there still. Another mount may have replaced it.
static int keep_length(struct stack *stack, const struct node *node, const char *etag,
                       struct err *err)
{
    struct tree_stat now;
    int rc = tree_lookup_now(stack->tree, node->path, &now, err);
    if (!rc && !nodes_is_payload(stack->nodes, node, now.info.stat.etag))
        rc = -ESTALE;
    return rc == -ESTALE || rc == -ENOENT ? handle_stale(stack, node, etag, err) : rc;
}

int ops_truncate(struct stack *stack, struct node *node, uint64_t handle, pid_t tid, uint64_t size,
                 struct err *err)
{
    if (node->kind != NODE_FILE)
        return err_set(err, EINVAL, "it is no file");
    struct handle *h = (struct handle *)(uintptr_t)handle;
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    if (*stat.info.stat.etag && stat.info.header.state == SEAL_OURS &&
        stat.info.header.record.size == size)
        return h ? handle_failed(h, err) : keep_length(stack, node, stat.info.stat.etag, err);
    return h ? truncate_handle(stack, node, h, tid, size, err)
             : truncate_name(stack, node, tid, size, err);
}

void on_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    struct handle *h = handle_of(fi);
    struct writer *w = handle_writer(h);
    struct err err;
    int rc = w ? writer_flush(w, fuse_req_ctx(req)->pid, &err) : handle_failed(h, &err);
    if (rc)
        ops_refuse(req, "close", h->node->path, rc, &err);
    else
        fuse_reply_err(req, 0);
}

void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    (void)datasync;
    struct handle *h = handle_of(fi);
    struct writer *w = handle_writer(h);
    struct err err;
    int rc = w ? writer_sync(w, &err) : handle_failed(h, &err);
    if (rc)
        ops_refuse(req, "fsync", h->node->path, rc, &err);
    else
        fuse_reply_err(req, 0);
}

void on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    struct handle *h = handle_of(fi);
    if (h->writer)
        writer_release(h->writer);
    handle_free(h);
    fuse_reply_err(req, 0);
}
