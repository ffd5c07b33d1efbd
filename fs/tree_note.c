#include "fs/tree_impl.h"

#include "backend/base/clock.h"

#include <stdlib.h>
#include <string.h>

static bool is_at_or_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

// Answers on their way about the path, or a directory above it, may be older than the change.
static void mark_stale(struct tree *t, const char *path)
{
    t->seq++;
    for (struct op *op = t->ops; op; op = op->next)
        if (op->kind == OP_PATH && is_at_or_below(path, op->path))
            op->stale = true;
}

// For the listings on their way. Without memory for it they are stale: they would bring back what was before.
static void remember(struct tree *t, enum change_kind kind, const char *path,
                     const struct object_info *info)
{
    bool listing = false;
    for (const struct op *op = t->ops; op; op = op->next)
        listing = listing || op->kind == OP_LIST;
    if (!listing)
        return;
    size_t len = strlen(path);
    struct change *c = calloc(1, sizeof(*c) + len + 1);
    if (!c) {
        for (struct op *op = t->ops; op; op = op->next)
            op->stale = op->stale || op->kind == OP_LIST;
        return;
    }
    c->kind = kind;
    c->seq = t->seq;
    if (info)
        c->info = *info;
    memcpy(c->path, path, len);
    *t->changes_end = c;
    t->changes_end = &c->next;
}

static void note_dir(struct tree *t, const char *path, struct timespec newest)
{
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    struct dir *d = dirs_make(&t->dirs, parent);
    if (!d)
        return;
    struct entry *e = dirs_entry(d, name);
    if (!e || e->kind != TREE_DIR) {
        if (!dirs_put(&t->dirs, d, entry_new_dir(name, newest)))
            return;
        e = dirs_entry(d, name);
    }
    uint64_t until = tree_now_ms(t) + t->conf.refresh_ms;
    if (until > e->fresh_until_ms)
        e->fresh_until_ms = until;
    if (clock_is_newer(newest, e->time))
        e->time = newest;
    if (clock_is_newer(newest, d->newest))
        d->newest = newest;
}

void note_dirs(struct tree *t, const char *path, struct timespec newest)
{
    char at[STORE_KEY_BYTES + 1], parent[STORE_KEY_BYTES + 1];
    strcpy(at, path);
    while (*at) {
        note_dir(t, at, newest);
        path_split(at, parent);
        strcpy(at, parent);
    }
}

static void put_committed(struct tree *t, const char *path, const struct object_info *info)
{
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    struct timespec when = object_commit_time(info);
    struct dir *d = dirs_make(&t->dirs, parent);
    struct entry *e = d ? entry_new_file(name, &info->stat) : NULL;
    if (e) {
        uint64_t now = tree_now_ms(t);
        e->fresh_until_ms = now + t->conf.refresh_ms;
        entry_set_header(e, &info->header, now);
        dirs_put(&t->dirs, d, e);
        if (clock_is_newer(when, d->newest))
            d->newest = when;
    } else if (d) { // no memory: at least nothing old is told
        dirs_remove(&t->dirs, d, name);
        d->fresh_until_ms = 0;
    }
    note_dirs(t, parent, when);
}

// The store holds them now. Not when the change is put once more: they may have been emptied or made since.
static void end_made_above(struct tree *t, const char *path)
{
    char above[STORE_KEY_BYTES + 1], parent[STORE_KEY_BYTES + 1];
    path_split(path, parent);
    for (strcpy(above, parent); *above; strcpy(above, parent)) {
        made_remove(&t->made, above);
        path_split(above, parent);
    }
}

static void put_removed(struct tree *t, const char *path)
{
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    struct dir *d = dirs_find(&t->dirs, parent);
    if (d)
        dirs_remove(&t->dirs, d, name);
}

static void put_dir_removed(struct tree *t, const char *path)
{
    struct dir *d = dirs_find(&t->dirs, path);
    if (d)
        dirs_drop(&t->dirs, d);
    made_remove(&t->made, path);
    put_removed(t, path);
}

// What was emptied by this mount stays until its rmdir, as anywhere (rm -r counts on it); the store holds nothing of it.
static void keep_emptied(struct tree *t, const char *path)
{
    char parent[STORE_KEY_BYTES + 1];
    path_split(path, parent);
    struct dir *d = dirs_find(&t->dirs, parent);
    bool others = d && d->complete && d->entries.count > 0;
    if (*parent && !others && t->made.count < MADE_MAX)
        made_add(&t->made, parent, t->conf.store->ops->now(t->conf.store));
}

void note_committed(struct tree *t, const char *path, const struct object_info *info)
{
    mark_stale(t, path);
    put_committed(t, path, info);
    end_made_above(t, path);
    dirs_trim(&t->dirs, t->dirs.newest);
    remember(t, CHANGE_COMMITTED, path, info);
}

void note_removed(struct tree *t, const char *path)
{
    mark_stale(t, path);
    put_removed(t, path);
    keep_emptied(t, path);
    remember(t, CHANGE_REMOVED, path, NULL);
}

void note_dir_removed(struct tree *t, const char *path)
{
    mark_stale(t, path);
    put_dir_removed(t, path);
    keep_emptied(t, path);
    remember(t, CHANGE_DIR_REMOVED, path, NULL);
}

void note_again(struct tree *t, uint64_t seq)
{
    for (const struct change *c = t->changes; c; c = c->next) {
        if (c->seq <= seq)
            continue;
        switch (c->kind) {
        case CHANGE_COMMITTED:
            put_committed(t, c->path, &c->info);
            break;
        case CHANGE_REMOVED:
            put_removed(t, c->path);
            break;
        case CHANGE_DIR_REMOVED:
            if (!made_at(&t->made, c->path)) // made again since
                put_dir_removed(t, c->path);
            break;
        }
    }
}

void note_prune(struct tree *t)
{
    uint64_t oldest = UINT64_MAX;
    for (const struct op *op = t->ops; op; op = op->next)
        if (op->kind == OP_LIST && op->seq < oldest)
            oldest = op->seq;
    while (t->changes && t->changes->seq <= oldest) {
        struct change *c = t->changes;
        t->changes = c->next;
        free(c);
    }
    if (!t->changes)
        t->changes_end = &t->changes;
}

void note_done(struct tree *t)
{
    while (t->changes) {
        struct change *c = t->changes;
        t->changes = c->next;
        free(c);
    }
}
