#include "fs/handles.h"

#include "backend/base/log.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct handle *open_handles; // so that a session that ends early frees them

struct writer *handle_writer(struct handle *h)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
    return h->writer;
}

int handle_failed(struct handle *h, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
    return h->failure.code ? err_copy(err, &h->failure) : 0;
}

struct handle *handle_new(const struct node *node, const struct fuse_file_info *fi)
{
    struct handle *h = calloc(1, sizeof(*h));
    if (!h || !(h->path = strdup(node->path))) {
        free(h);
        return NULL;
    }
    h->node = node;
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

void handle_free(struct handle *h)
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

bool handle_enter(struct handle *me)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&open_lock);
    for (const struct handle *h = open_handles; h; h = h->next)
        if (h->ino == me->ino && h->entered && h->may_write != me->may_write)
            return false;
    me->entered = true;
    return true;
}

bool handles_reading(const struct node *node)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&open_lock);
    const struct handle *h = open_handles;
    while (h && (h->ino != node->ino || !h->entered || h->may_write))
        h = h->next;
    return h != NULL;
}

bool ops_is_open(const struct node *node)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&open_lock);
    const struct handle *h = open_handles;
    while (h && h->ino != node->ino)
        h = h->next;
    return h != NULL;
}

bool ops_is_changing(const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&open_lock);
    const struct handle *h = open_handles;
    while (h && (!h->may_write || strcmp(h->node->path, path) != 0))
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

bool handle_is_there(struct stack *stack, const struct node *node, const char *etag)
{
    struct tree_stat now;
    return nodes_is_current(stack->nodes, node) ||
           (tree_lookup(stack->tree, node->path, &now, NULL) == 0 &&
            strcmp(now.info.stat.etag, etag) == 0);
}

// The kernel looks the name up anew and opens what stands there.
int handle_stale(struct stack *stack, const struct node *node, const char *etag, struct err *err)
{
    tree_forget(stack->tree, node->path);
    nodes_detach(stack->nodes, node->path, etag);
    return err_set(err, ESTALE, "another object stands there now");
}

// The same object by another inode.
int handle_other_inode(struct stack *stack, const struct node *node, struct err *err)
{
    nodes_detach(stack->nodes, node->path, NULL);
    return err_set(err, ESTALE, "this inode has readers, or writers: another one is needed");
}

int handle_open_reader(struct stack *stack, const struct node *node, struct handle *h,
                       struct err *err)
{
    int rc = reader_open(stack->readers, node->path, h->etag, &h->reader, err);
    if (rc == -ESTALE || rc == -ENOENT)
        return handle_stale(stack, node, h->etag, err);
    if (rc)
        return rc;
    // The kernel cuts reads at the size it was told, and that one nobody had proved.
    const struct object_info *proven = object_reader_info(reader_object(h->reader));
    struct tree_stat told = nodes_stat(stack->nodes, node);
    if (strcmp(told.info.stat.etag, h->etag) != 0 &&
        !nodes_is_payload(stack->nodes, node, h->etag)) {
        // what was opened is past: nothing is to be learned from it about what stands there now
        reader_close(take(h->reader));
        return handle_stale(stack, node, h->etag, err);
    }
    if (told.info.header.state == SEAL_OURS &&
        told.info.header.record.size == proven->header.record.size)
        return 0;
    if (status_may_log(stack->status))
        log_warn(
            "it was shown with a size that is not its own: it is shown right from now on path=%s",
            node->path);
    reader_close(take(h->reader));
    tree_committed(stack->tree, node->path, proven);
    nodes_detach(stack->nodes, node->path, h->etag);
    return err_set(err, ESTALE, "its size was not known right");
}

struct writer *handle_join_own(struct stack *stack, const struct node *node, uint64_t ino,
                               pid_t tid, pid_t opener)
{
    char base[STORE_ETAG_BYTES];
    struct tree_stat stat = nodes_stat(stack->nodes, node);
    if (!*stat.info.stat.etag)
        return writers_join(stack->writers, node->path, ino, tid, opener);
    if (!writers_base(stack->writers, node->path, base) ||
        !nodes_is_payload(stack->nodes, node, base))
        return NULL;
    return writers_join_over(stack->writers, node->path, base, ino, tid, opener);
}

struct writer *handle_join_writing(struct stack *stack, struct node *node, pid_t tid, pid_t opener,
                                   struct tree_stat *old)
{
    for (;;) {
        struct writer *w = handle_join_own(stack, node, node->ino, tid, opener);
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

int handle_put_past(struct handle *h, struct err *err)
{
    if (!h->writer && !h->reader)
        return 0;
    struct past *past = calloc(1, sizeof(*past));
    if (!past)
        return err_errno(err, ENOMEM, "write '%s'", h->node->path);
    *past = (struct past){.older = h->past, .writer = take(h->writer), .reader = take(h->reader)};
    h->past = past;
    return 0;
}
