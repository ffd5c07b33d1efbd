#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "fs/handles.h"

#include <errno.h>
#include <string.h>

// Makes the reader of a handle that was opened before there was something to read.
static int ready_reader(struct stack *stack, const struct node *node, struct handle *h,
                        struct read_handle **out, struct err *err)
{
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
    int rc = 0;
    bool is_other = *h->etag && !nodes_is_payload(stack->nodes, node, h->etag);
    // the old object's bytes must not enter the page cache of an inode that goes on to another
    if (is_other && !h->may_write)
        return err_set(err, EIO, "it was overwritten through this mount");
    if (is_other) { // who writes has no pages, and sees what others wrote
        rc = handle_put_past(h, err);
        if (rc)
            return rc;
        h->etag[0] = '\0';
    }
    if (h->reader) {
        *out = h->reader;
        return 0;
    }
    if (!*stat.info.stat.etag && writers_is_writing(stack->writers, node->path))
        return err_set(err, EBUSY, "it is being written: it can be read once it is stored");
    memcpy(h->etag, stat.info.stat.etag, sizeof(h->etag));
    if (!*h->etag)
        return err_set(err, EIO, "it was never stored");
    rc = handle_open_reader(stack, node, h, err);
    *out = h->reader;
    return rc;
}

// What is being written and may be read by this handle: its own, or, for the processes that write it, any.
static struct writer *writer_to_read(struct stack *stack, const struct node *node, struct handle *h,
                                     bool *out_joined)
{
    struct writer *w = handle_writer(h);
    *out_joined = false;
    if (w && !writer_is_stored(w))
        return w;
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    if (*stat.info.stat.etag)
        return NULL;
    *out_joined = true;
    return writers_join(stack->writers, node->path, 0, 0, 0);
}

// -ESTALE: nothing is being written, or not any more.
static int read_writing(fuse_req_t req, const struct node *node, struct handle *h, size_t size,
                        uint64_t off, struct err *err)
{
    bool joined;
    pid_t tid = fuse_req_ctx(req)->pid;
    struct writer *w = writer_to_read(ops_stack(req), node, h, &joined);
    if (!w)
        return -ESTALE;
    size_t len = 0;
    auto_free uint8_t *bytes = malloc(size + 1);
    int rc = bytes ? writer_read(w, tid, joined && !h->may_write, off, bytes, size, &len, err)
                   : err_errno(err, ENOMEM, "read '%s'", node->path);
    if (joined)
        writer_release(w);
    if (!rc)
        fuse_reply_buf(req, (const char *)bytes, len);
    return rc;
}

static void read_text(fuse_req_t req, const struct handle *h, size_t size, uint64_t off)
{
    size_t at = min_u64(off, h->text_len), len = min_u64(size, h->text_len - at);
    // a copy: once the answer is read the file may be closed, before the reply returns
    auto_free char *copy = malloc(len + 1);
    if (copy)
        fuse_reply_buf(req, memcpy(copy, h->text + at, len), len);
    else
        fuse_reply_err(req, ENOMEM);
}

void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct stack *stack = ops_stack(req);
    struct handle *h = handle_of(fi);
    if (h->text) {
        read_text(req, h, size, (uint64_t)off);
        return;
    }
    const struct node *node = ops_node(req, ino);
    struct err err = {0};
    int rc = read_writing(req, node, h, size, (uint64_t)off, &err);
    if (!rc)
        return;
    struct read_handle *reader = NULL;
    if (rc == -ESTALE)
        rc = ready_reader(stack, node, h, &reader, &err);
    struct read_pieces pieces;
    if (!rc)
        rc = reader_get(reader, (uint64_t)off, size, h->direct, &pieces, &err);
    if (rc == -ESTALE || rc == -ENOENT)
        rc = -EIO; // in mid-read there is no way over to what stands there now
    if (rc) {
        ops_refuse(req, "read", node->path, rc, &err);
        return;
    }
    fuse_reply_iov(req, pieces.bytes, (int)pieces.count);
    reader_put(&pieces); // h may be gone: the answer lets its file be closed
}
