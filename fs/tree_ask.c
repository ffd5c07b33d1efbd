#include "fs/listing.h"
#include "fs/path.h"
#include "fs/tree_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// --- Questions, shared ---

static bool good_header(const struct tree *t, const struct entry *e)
{
    assert(e); // names of a listing are entries of its directory
    return e->header && (e->header->len > 0 || tree_now_ms(t) < e->header_ms + UNREADABLE_MS);
}

bool tree_has_header(struct tree *t, struct dir *d, const char *path, struct entry *e)
{
    char key[STORE_KEY_BYTES + 1];
    struct store_stat stat;
    struct seal_header header;
    if (good_header(t, e))
        return true;
    entry_stat(e, &stat);
    return object_store_key(path, key, NULL) == 0 && headers_get(t->headers, key, &stat, &header) &&
           dirs_set_header(&t->dirs, d, e, &header, tree_now_ms(t));
}

struct op *op_begin(struct tree *t, enum op_kind kind, const char *path)
{
    size_t len = strlen(path);
    struct op *op = calloc(1, sizeof(*op) + len + 1);
    if (!op)
        return NULL;
    memcpy(op->path, path, len);
    op->tree = t;
    op->kind = kind;
    op->users = 1;
    op->seq = t->seq;
    op->next = t->ops;
    t->ops = op;
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    const struct dir *d = dirs_find(&t->dirs, parent);
    const struct entry *e = d ? dirs_entry(d, name) : NULL;
    if (e) {
        op->was_dir = e->kind == TREE_DIR;
        op->was_file = e->kind == TREE_FILE;
        op->was_fresh = tree_now_ms(t) < e->fresh_until_ms;
    }
    if (op->was_file) {
        entry_stat(e, &op->known.stat);
        op->has_header = good_header(t, e);
        if (op->has_header)
            op->known.header = *e->header;
    }
    return op;
}

struct op *op_find(struct tree *t, enum op_kind kind, const char *path)
{
    for (struct op *op = t->ops; op; op = op->next)
        if (op->kind == kind && !op->stale && strcmp(op->path, path) == 0)
            return op;
    return NULL;
}

void op_release(struct op *op)
{
    if (--op->users == 0)
        free(op);
}

void op_wait(struct tree *t, struct op *op)
{
    op->users++;
    while (!op->done)
        pthread_cond_wait(&t->answered, &t->lock);
}

static void op_finish(struct tree *t, struct op *op)
{
    if (op->rc && op->err.code != -op->rc)
        err_set(&op->err, -op->rc, "'%s' cannot be asked for", op->path);
    struct op **link = &t->ops;
    while (*link != op)
        link = &(*link)->next;
    *link = op->next;
    op->done = true;
    pthread_cond_broadcast(&t->answered);
}

// --- One path; without the lock ---

// What is left when an object may not be read: what a listing says of it.
static int ask_listing(struct tree *t, const char *key, struct object_info *out, struct err *err)
{
    struct object_info info = {.header = {.state = SEAL_FOREIGN}};
    struct err list_err = {0};
    int rc = listing_stat(t->conf.store, key, &info.stat, &list_err);
    if (rc == -ENOENT)
        return err_copy(err, &list_err);
    if (rc)
        return -EACCES; // the first refusal says more
    headers_get(t->headers, key, &info.stat, &info.header);
    *out = info;
    return 0;
}

static int ask_header(struct tree *t, const char *key, const struct store_stat *stat,
                      struct object_info *out, struct err *err)
{
    struct object_info info = {.header = {.state = SEAL_FOREIGN}};
    if (stat)
        info.stat = *stat;
    if (stat && headers_get(t->headers, key, stat, &info.header)) {
        *out = info;
        return 0;
    }
    int rc = object_probe(t->conf.store, key, stat ? stat->etag : NULL, &info, err);
    if (rc == -ESTALE)
        rc = object_probe(t->conf.store, key, NULL, &info, err);
    if (rc == -EACCES && !stat)
        return ask_listing(t, key, out, err);
    if (rc && rc != -EACCES)
        return rc;
    headers_put(t->headers, key, &info);
    *out = info;
    return 0;
}

static int ask_file(struct tree *t, const struct op *op, struct object_info *out, struct err *err)
{
    char key[STORE_KEY_BYTES + 1];
    int rc = object_store_key(op->path, key, err);
    if (rc)
        return rc;
    if (!op->was_file || (!op->was_fresh && !op->has_header))
        return ask_header(t, key, NULL, out, err);
    if (op->was_fresh && !op->has_header)
        return ask_header(t, key, &op->known.stat, out, err);
    struct object_info info = op->known;
    rc = t->conf.store->ops->head(t->conf.store, key, &info.stat, err);
    if (rc == -EACCES)
        return ask_listing(t, key, out, err);
    if (rc)
        return rc;
    if (strcmp(info.stat.etag, op->known.stat.etag) != 0 || info.stat.size != op->known.stat.size)
        return ask_header(t, key, &info.stat, out, err);
    *out = info;
    return 0;
}

static int ask_dir(struct tree *t, const char *path, struct tree_stat *out, struct err *err)
{
    bool any = false;
    int rc = path_is_dir(path) ? listing_any(t->conf.store, path, &any, err) : 0;
    if (rc)
        return rc;
    if (!any)
        return tree_no_entry(path, err);
    *out = (struct tree_stat){.kind = TREE_DIR};
    return 0;
}

static int ask(struct tree *t, const struct op *op, struct tree_stat *out, struct err *err)
{
    int rc = -ENOENT;
    if (op->was_dir)
        rc = ask_dir(t, op->path, out, err);
    if (rc == -ENOENT && path_is_file(op->path)) {
        struct tree_stat stat = {.kind = TREE_FILE};
        rc = ask_file(t, op, &stat.info, err);
        if (!rc)
            *out = stat;
    }
    if (rc == -ENOENT && !op->was_dir)
        rc = ask_dir(t, op->path, out, err);
    return rc == -ENOENT ? tree_no_entry(op->path, err) : rc;
}

// --- What the answer changes; under lock ---

static void put_file(struct tree *t, const char *path, const struct object_info *info)
{
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    struct dir *d = dirs_make(&t->dirs, parent);
    struct entry *e = d ? entry_new_file(name, &info->stat) : NULL;
    if (!e)
        return; // it is asked again
    uint64_t now = tree_now_ms(t);
    e->fresh_until_ms = now + t->conf.refresh_ms;
    const struct entry *old = dirs_entry(d, name);
    if (old && entry_same_object(old, e) && old->fresh_until_ms > e->fresh_until_ms)
        e->fresh_until_ms = old->fresh_until_ms;
    entry_set_header(e, &info->header, now);
    dirs_put(&t->dirs, d, e);
    dirs_trim(&t->dirs, d);
}

static void put_answer(struct tree *t, const struct op *op)
{
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(op->path, parent);
    if (op->rc == 0 && op->stat.kind == TREE_FILE) {
        put_file(t, op->path, &op->stat.info);
    } else if (op->rc == 0) {
        note_dirs(t, op->path, (struct timespec){0});
    } else if (op->rc == -ENOENT) {
        struct dir *d = dirs_find(&t->dirs, parent);
        if (d)
            dirs_remove(&t->dirs, d, name);
        d = dirs_find(&t->dirs, op->path);
        if (d)
            dirs_drop(&t->dirs, d);
    }
}

void op_run_path(struct tree *t, struct op *op)
{
    struct tree_stat stat = {0};
    struct err err = {0};
    pthread_mutex_unlock(&t->lock);
    int rc = ask(t, op, &stat, &err);
    pthread_mutex_lock(&t->lock);
    op->rc = rc;
    op->err = err;
    op->stat = stat;
    if (!op->stale)
        put_answer(t, op);
    op_finish(t, op);
}

static void run_ahead(void *ctx)
{
    struct op *op = ctx;
    struct tree *t = op->tree;
    pthread_mutex_lock(&t->lock);
    if (t->stopping) {
        op->rc = err_set(&op->err, EIO, "the mount is being taken down");
        op_finish(t, op);
    } else {
        op_run_path(t, op);
    }
    op_release(op);
    pthread_mutex_unlock(&t->lock);
}

void tree_fetch_ahead(struct tree *t, const char *path)
{
    if (op_find(t, OP_PATH, path))
        return;
    struct op *op = op_begin(t, OP_PATH, path);
    if (op && !workers_try(t->fetchers, run_ahead, op)) {
        op_finish(t, op);
        op_release(op);
    }
}

// --- One directory ---

// A walk: the directory before this one was read lately, so the next ones will be wanted.
static bool is_walk(struct tree *t, const char *path)
{
    char parent[STORE_KEY_BYTES + 1], before[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    if (!*path)
        return false;
    const struct dir *d = dirs_find(&t->dirs, parent);
    size_t at;
    if (!d || !dirs_index(d, name, &at))
        return false;
    while (at > 0 && d->entries.list[at - 1]->kind != TREE_DIR)
        at--;
    if (at == 0)
        return false;
    const char *sibling = d->entries.list[at - 1]->name;
    size_t used = *parent ? (size_t)(stpcpy(stpcpy(before, parent), "/") - before) : 0;
    if (used + strlen(sibling) > STORE_KEY_BYTES)
        return false;
    strcpy(before + used, sibling);
    const struct dir *last = dirs_find(&t->dirs, before);
    return last && last->walked_ms && tree_now_ms(t) < last->walked_ms + WALK_MS;
}

static void put_listing(struct tree *t, const char *path, struct listing *listing, uint64_t window)
{
    uint64_t until = tree_now_ms(t) + window;
    for (size_t i = 0; i < listing->count; i++) {
        struct listed *l = &listing->dirs[i];
        struct dir *d = dirs_make(&t->dirs, l->path);
        if (!d)
            continue; // it is listed again when it is wanted
        for (size_t j = 0; j < l->entries.count; j++)
            l->entries.list[j]->fresh_until_ms = until;
        dirs_replace(&t->dirs, d, &l->entries);
        d->complete = true;
        d->fresh_until_ms = until;
        d->newest = l->newest;
        if (*path && strcmp(l->path, path) == 0)
            note_dirs(t, path, l->newest);
    }
    struct dir *asked = dirs_make(&t->dirs, path);
    if (asked && !listing->exists) { // if it is there at all, this mount made it
        struct entries none = {0};
        dirs_replace(&t->dirs, asked, &none);
        asked->complete = true;
        asked->fresh_until_ms = until;
    }
    dirs_trim(&t->dirs, asked);
}

// The directory is not in the store (any more).
static void forget_dir(struct tree *t, const char *path)
{
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    struct dir *d = dirs_find(&t->dirs, path);
    if (d)
        dirs_drop(&t->dirs, d);
    d = dirs_find(&t->dirs, parent);
    if (d)
        dirs_remove(&t->dirs, d, name);
}

static void run_list(struct tree *t, struct op *op)
{
    bool ahead = is_walk(t, op->path);
    struct listing listing = {0};
    struct err err = {0};
    uint64_t began = tree_now_ms(t);
    pthread_mutex_unlock(&t->lock);
    int rc = listing_run(t->conf.store, op->path, ahead, &listing, &err);
    pthread_mutex_lock(&t->lock);
    if (!rc && op->stale)
        rc = err_set(&err, ENOMEM, "no memory for what changed while '%s' was listed", op->path);
    if (!rc) {
        uint64_t window = (tree_now_ms(t) - began) * 10;
        if (window < t->conf.refresh_ms)
            window = t->conf.refresh_ms;
        put_listing(t, op->path, &listing, window);
        note_again(t, op->seq);
        const struct dir *d = dirs_find(&t->dirs, op->path);
        bool filled = listing.exists || (d && d->entries.count > 0);
        if (!filled && *op->path && !made_at(&t->made, op->path)) {
            forget_dir(t, op->path);
            rc = tree_no_entry(op->path, &err);
        }
    }
    listing_done(&listing);
    op->rc = rc;
    op->err = err;
    op_finish(t, op);
    note_prune(t);
}

int tree_list_dir(struct tree *t, const char *path, struct err *err)
{
    struct op *op = op_find(t, OP_LIST, path);
    if (op) {
        op_wait(t, op);
    } else {
        op = op_begin(t, OP_LIST, path);
        if (!op)
            return err_set(err, ENOMEM, "no memory to list '%s'", path);
        run_list(t, op);
    }
    int rc = op->rc ? err_copy(err, &op->err) : 0;
    op_release(op);
    return rc;
}
