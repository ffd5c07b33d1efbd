#include "backend/base/log.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "fs/holders.h"
#include "fs/ops.h"
#include "fs/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

// What a handle is done with; calls that still use it may be under way.
struct past {
    struct past *older;
    struct writer *writer;
    struct read_handle *reader;
};

// An open file.
//     writer   what is written through it; NULL: opened on a stored file, and nothing was changed yet. Once that is stored
//              the next change begins another one, over what stands there then.
//     reader   made at open for reading, or at the first read
//     text     of status.json
struct handle {
    struct handle *next, **link; // of all open handles
    char *path;
    uint64_t ino;
    bool direct;    // O_DIRECT: nothing from the cache
    bool may_write; // opened for writing
    pid_t opener;   // the thread group, if it may write
    char *text;
    size_t text_len;

    pthread_mutex_t lock; // calls come in parallel; under it:
    struct writer *writer;
    char etag[STORE_ETAG_BYTES]; // the object it was opened on; "" while that was being written
    struct read_handle *reader;
    struct past *past;
};

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct handle *open_handles; // so that a session that ends early frees them

static struct handle *from_fi(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)fi->fh;
}

// Lives as long as the handle.
static struct writer *writer_of(struct handle *h)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
    return h->writer;
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
    h->may_write = (fi->flags & O_ACCMODE) != O_RDONLY;
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
    while (h->past) {
        struct past *past = h->past;
        h->past = past->older;
        reader_close(past->reader);
        if (past->writer)
            writer_release(past->writer); // stored: nothing is left to commit
        free(past);
    }
    pthread_mutex_destroy(&h->lock);
    free(h->text);
    free(h->path);
    free(h);
}

enum handle_kind { HANDLE_ANY, HANDLE_READING, HANDLE_WRITING };

// Is a handle of this kind open on the node?
static bool has_handle(const struct node *node, const struct handle *but, enum handle_kind kind)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&open_lock);
    for (const struct handle *h = open_handles; h; h = h->next)
        if (h != but && h->ino == node->ino &&
            (kind == HANDLE_ANY || h->may_write == (kind == HANDLE_WRITING)))
            return true;
    return false;
}

bool ops_is_open(const struct node *node)
{
    return has_handle(node, NULL, HANDLE_ANY);
}

bool ops_is_changing(const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&open_lock);
    const struct handle *h = open_handles;
    while (h && (!h->may_write || strcmp(h->path, path) != 0))
        h = h->next;
    return h != NULL;
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

// The same object by another inode.
static int other_inode(struct stack *stack, const struct node *node, struct err *err)
{
    nodes_detach(stack->nodes, node->path, NULL);
    return err_set(err, ESTALE, "this inode has readers, or writers: another one is needed");
}

static int open_reader(struct stack *stack, const struct node *node, struct handle *h,
                       struct err *err)
{
    int rc = reader_open(stack->readers, node->path, h->etag, &h->reader, err);
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
        log_warn("the size known of it was not the proven one: put right path=%s", node->path);
    reader_close(take(h->reader));
    tree_committed(stack->tree, node->path, proven);
    nodes_detach(stack->nodes, node->path, h->etag);
    return err_set(err, ESTALE, "its size was not known right");
}

// pg_basebackup -Ft fills each WAL segment of this file with zeros, goes back and writes it, and goes back once more to its
// header: far behind any head, as soon as there is more than one segment.
static bool is_wal_tar(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return strncmp(name, "pg_wal.tar", strlen("pg_wal.tar")) == 0;
}

// Must the whole file lie in the spool?
static bool is_draft(const struct stack *stack, const char *path, int flags)
{
    return (flags & O_ACCMODE) != O_WRONLY || stack->conf->write.seek == CONF_SEEK_SPOOL ||
           is_wal_tar(path);
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

// Starts or joins what is written under the handle's path: a new file, or an old one cut to nothing.
static int open_writer(struct stack *stack, struct handle *h, const struct node *node,
                       struct fuse_file_info *fi, pid_t tid, const struct tree_stat *old,
                       struct err *err)
{
    h->writer = writers_join(stack->writers, h->path, node->ino, tid, 0);
    if (h->writer)
        return fi->flags & O_TRUNC ? writer_truncate(h->writer, 0, err) : 0;
    struct claim claim = {.path = h->path}; // not while it is renamed
    int rc = claims_take(stack->claims, &claim, err);
    if (rc)
        return rc;
    rc = begin_writer(stack, h, node, fi, tid, old, err);
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
    rc = open_writer(stack, h, node, fi, fuse_req_ctx(req)->pid, exists ? &old : NULL, err);
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

// Joins what is being written under the node's path, or returns NULL: *old is what the node stands for then.
static struct writer *join_writing(struct stack *stack, struct node *node, pid_t tid, pid_t opener,
                                   struct tree_stat *old)
{
    for (;;) {
        struct writer *w = writers_join(stack->writers, node->path, node->ino, tid, opener);
        // after the join: what was stored meanwhile is known to the node
        struct tree_stat writing = {.kind = TREE_FILE};
        *old = nodes_stat(stack->nodes, node);
        if (!w)
            return NULL;
        if (*old->info.stat.etag)
            nodes_update(stack->nodes, node, old->info.stat.etag, &writing);
        if (!writer_is_stored(w))
            return w;
        nodes_given_up(stack->nodes, node->path, &node->ino, 1);
        writer_release(w);
    }
}

// O_TRUNC on what is stored.
static int open_cutting(struct stack *stack, struct node *node, struct handle *h,
                        struct fuse_file_info *fi, pid_t tid, const struct tree_stat *old,
                        struct err *err)
{
    struct tree_stat writing = {.kind = TREE_FILE};
    if (!nodes_update(stack->nodes, node, h->etag, &writing))
        return stale(stack, node, h->etag, err);
    h->etag[0] = '\0';
    int rc = open_writer(stack, h, node, fi, tid, old, err);
    if (rc)
        nodes_given_up(stack->nodes, node->path, &node->ino, 1);
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
    if (has_handle(node, h, HANDLE_READING) || !nodes_open_writing(stack->nodes, node, is_cut))
        return other_inode(stack, node, err);
    struct tree_stat old;
    h->writer = join_writing(stack, node, tid, 0, &old);
    memcpy(h->etag, old.info.stat.etag, sizeof(h->etag));
    if (h->writer) {
        h->etag[0] = '\0';
        return is_cut ? writer_truncate(h->writer, 0, err) : 0;
    }
    if (!*h->etag)
        return stale(stack, node, "", err); // it was given up; the old one may stand there
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
        return stale(stack, node, "", err); // it was given up; the old one may stand there
    if (!*h->etag) {
        fi->direct_io = 1; // the kernel would end reads at a size that still changes
        return 0;          // reads say that it is being written
    }
    if (has_handle(node, h, HANDLE_WRITING))
        return other_inode(stack, node, err);
    int rc = open_reader(stack, node, h, err);
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

// --- Reading ---

// Makes the reader of a handle that was opened before there was something to read.
static int ready_reader(struct stack *stack, const struct node *node, struct handle *h,
                        struct read_handle **out, struct err *err)
{
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
    // the old object's bytes must not enter the page cache of an inode that goes on to another
    if (*h->etag && !nodes_is_payload(stack->nodes, node, h->etag))
        return err_set(err, EIO, "it was overwritten through this mount");
    if (h->reader) {
        *out = h->reader;
        return 0;
    }
    if (!*stat.info.stat.etag && writers_is_writing(stack->writers, h->path))
        return err_set(err, EBUSY, "it is being written: it can be read once it is stored");
    memcpy(h->etag, stat.info.stat.etag, sizeof(h->etag));
    if (!*h->etag)
        return err_set(err, EIO, "it was never stored");
    int rc = open_reader(stack, node, h, err);
    *out = h->reader;
    return rc;
}

// What is being written and may be read by this handle: its own, or, for the processes that write it, any.
static struct writer *writer_to_read(struct stack *stack, const struct node *node, struct handle *h,
                                     bool *out_joined)
{
    struct writer *w = writer_of(h);
    *out_joined = false;
    if (w && !writer_is_stored(w))
        return w;
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    if (*stat.info.stat.etag)
        return NULL;
    *out_joined = true;
    return writers_join(stack->writers, h->path, 0, 0, 0);
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
                   : err_errno(err, ENOMEM, "read '%s'", h->path);
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
    struct handle *h = from_fi(fi);
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
        ops_refuse(req, "read", h->path, rc, &err);
        return;
    }
    fuse_reply_iov(req, pieces.bytes, (int)pieces.count);
    reader_put(&pieces); // h may be gone: the answer lets its file be closed
}

// --- Writing ---

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
                        bool emptied, struct writer **out, struct err *err)
{
    for (;;) {
        mtimes_settle(stack->mtimes, node->path);
        struct tree_stat old;
        *out = join_writing(stack, node, tid, opener, &old);
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
        rc = begin_over(stack, node, &old, &begin, emptied, out, err);
        claims_drop(stack->claims, &claim);
        if (rc != -EBUSY)
            return rc == -ESTALE || rc == -ENOENT ? err_set(err, EIO, "it is not there any more")
                                                  : rc;
    }
}

// What the handle was done with stays until it is closed.
static int put_past(struct handle *h, struct err *err)
{
    if (!h->writer && !h->reader)
        return 0;
    struct past *past = calloc(1, sizeof(*past));
    if (!past)
        return err_errno(err, ENOMEM, "write '%s'", h->path);
    *past = (struct past){.older = h->past, .writer = take(h->writer), .reader = take(h->reader)};
    h->past = past;
    return 0;
}

// The handle's writer, made when there is none that takes more.
static int ready_writer(struct stack *stack, struct node *node, struct handle *h, pid_t tid,
                        bool emptied, struct writer **out, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
    int rc = 0;
    if (!h->writer || writer_is_stored(h->writer)) {
        rc = put_past(h, err);
        if (!rc)
            rc = begin_change(stack, node, tid, h->opener, emptied, &h->writer, err);
        if (!rc)
            h->etag[0] = '\0';
    }
    *out = h->writer;
    return rc;
}

void on_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
              struct fuse_file_info *fi)
{
    struct handle *h = from_fi(fi);
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
        ops_refuse(req, "write", h->path, rc, &err);
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

// By name: it is stored when this returns, unless somebody is writing it.
static int truncate_name(struct stack *stack, struct node *node, pid_t tid, uint64_t size,
                         struct err *err)
{
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    bool is_stored = *stat.info.stat.etag;
    if (is_stored && has_handle(node, NULL, HANDLE_READING))
        return other_inode(stack, node, err);
    if (is_stored && !nodes_open_writing(stack->nodes, node, false))
        return other_inode(stack, node, err);
    bool was_writing = writers_is_writing(stack->writers, node->path);
    struct writer *w;
    int rc = begin_change(stack, node, tid, 0, size == 0, &w, err);
    if (rc)
        return rc;
    rc = writer_truncate(w, size, err);
    if (!rc && !was_writing)
        rc = writer_commit(w, err);
    writer_release(w);
    return rc == -ESTALE ? err_set(err, EBUSY, "it was stored at this moment") : rc;
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
        return 0;
    return h ? truncate_handle(stack, node, h, tid, size, err)
             : truncate_name(stack, node, tid, size, err);
}

void on_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    struct handle *h = from_fi(fi);
    struct writer *w = writer_of(h);
    struct err err;
    int rc = w ? writer_flush(w, fuse_req_ctx(req)->pid, &err) : 0;
    if (rc)
        ops_refuse(req, "close", h->path, rc, &err);
    else
        fuse_reply_err(req, 0);
}

void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino;
    (void)datasync;
    struct handle *h = from_fi(fi);
    struct writer *w = writer_of(h);
    struct err err;
    int rc = w ? writer_sync(w, &err) : 0;
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
