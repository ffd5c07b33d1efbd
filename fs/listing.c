#include "fs/listing.h"

#include "backend/base/clock.h"
#include "backend/base/scope.h"
#include "fs/path.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 1000
#define DEPTH_MAX (STORE_KEY_BYTES / 2 + 2)

struct open_dir { // keys of it are passing by
    struct listed listed;
    size_t in_parent; // its index among the parent's entries
};

struct scan {
    const char *dir;  // the asked one
    const char *base; // where the page is asked: dir, or its parent
    struct listing found;
    struct open_dir stack[DEPTH_MAX]; // [0] is base
    unsigned depth;
    bool any;                       // a key was seen on this page
    char last[STORE_KEY_BYTES + 2]; // the last key, or where to go on
};

// The part of `key` below directory `dir`, or NULL.
static const char *below(const char *key, const char *dir)
{
    size_t len = strlen(dir);
    if (len == 0)
        return key;
    return strncmp(key, dir, len) == 0 && key[len] == '/' ? key + len + 1 : NULL;
}

static void listed_done(struct listed *l)
{
    entries_done(&l->entries);
    free(l->path);
}

static int no_memory(struct err *err)
{
    return err_set(err, ENOMEM, "no memory for a listing");
}

static int keep(struct listing *out, struct listed *l)
{
    if (out->count == out->room) {
        size_t room = out->room ? out->room * 2 : 16;
        struct listed *dirs = reallocarray(out->dirs, room, sizeof(*dirs));
        if (!dirs)
            return -ENOMEM;
        out->dirs = dirs;
        out->room = room;
    }
    entries_settle(&l->entries);
    out->dirs[out->count++] = *l;
    *l = (struct listed){0};
    return 0;
}

static int push(struct scan *s, const char *path)
{
    assert(s->depth < DEPTH_MAX);
    struct open_dir *top = &s->stack[s->depth];
    *top = (struct open_dir){.listed.path = strdup(path)};
    if (!top->listed.path)
        return -ENOMEM;
    if (s->depth > 0) {
        struct entries *parent = &top[-1].listed.entries;
        const char *slash = strrchr(path, '/');
        struct entry *e = entry_new_dir(slash ? slash + 1 : path, (struct timespec){0});
        top->in_parent = parent->count;
        if (!entries_add(parent, e)) {
            free(take(top->listed.path));
            return -ENOMEM;
        }
    }
    s->depth++;
    return 0;
}

// The top directory's keys have passed. What is complete is kept.
static int pop(struct scan *s, bool complete)
{
    struct open_dir *top = &s->stack[--s->depth];
    int rc = 0;
    if (s->depth > 0) {
        struct listed *parent = &s->stack[s->depth - 1].listed;
        parent->entries.list[top->in_parent]->time = top->listed.newest;
        if (clock_is_newer(top->listed.newest, parent->newest))
            parent->newest = top->listed.newest;
    }
    if (complete)
        rc = keep(&s->found, &top->listed);
    listed_done(&top->listed);
    *top = (struct open_dir){0};
    return rc;
}

static int add_file(struct listed *dir, const char *key, const struct store_stat *stat)
{
    char path[STORE_KEY_BYTES + 1];
    if (!path_from_key(key, path))
        return 0; // hidden
    const char *name = below(path, dir->path);
    if (!name || strchr(name, '/'))
        return 0;
    if (clock_is_newer(stat->last_modified, dir->newest))
        dir->newest = stat->last_modified;
    return entries_add(&dir->entries, entry_new_file(name, stat)) ? 0 : -ENOMEM;
}

// Opens the directories between the top and the key, until a name on the way is hidden.
static int descend(struct scan *s, const char *key, bool *out_hidden)
{
    *out_hidden = false;
    for (;;) {
        const char *rest = below(key, s->stack[s->depth - 1].listed.path);
        const char *slash = strchr(rest, '/');
        if (!slash)
            return 0;
        char path[STORE_KEY_BYTES + 1];
        size_t len = (size_t)(slash - key);
        memcpy(path, key, len);
        path[len] = '\0';
        if (!path_is_dir(path)) {
            *out_hidden = true;
            return 0;
        }
        int rc = push(s, path);
        if (rc)
            return rc;
    }
}

static int each_key(void *ctx, const struct store_entry *e)
{
    struct scan *s = ctx;
    if (strlen(e->key) > STORE_KEY_BYTES || (s->any && strcmp(e->key, s->last) <= 0))
        return -EUCLEAN;
    s->any = true;
    strcpy(s->last, e->key);
    if (below(e->key, s->dir))
        s->found.exists = true;
    int rc = 0;
    while (!rc && s->depth > 1 && !below(e->key, s->stack[s->depth - 1].listed.path))
        rc = pop(s, true);
    if (!below(e->key, s->stack[s->depth - 1].listed.path))
        return rc ? rc : -EUCLEAN; // not below the prefix that was asked for
    bool hidden = false;
    if (!rc)
        rc = descend(s, e->key, &hidden);
    if (!rc && !hidden)
        rc = add_file(&s->stack[s->depth - 1].listed, e->key, &e->stat);
    return rc;
}

struct folded {
    struct listed *dir;
    bool any;
    char last[STORE_KEY_BYTES + 2];
};

static int each_folded(void *ctx, const struct store_entry *e)
{
    struct folded *f = ctx;
    size_t len = strlen(e->key);
    const char *name = below(e->key, f->dir->path);
    if (len > STORE_KEY_BYTES || !name)
        return -EUCLEAN;
    f->any = true;
    if (strcmp(e->key, f->last) > 0)
        strcpy(f->last, e->key);
    if (!e->is_prefix)
        return add_file(f->dir, e->key, &e->stat);
    char path[STORE_KEY_BYTES + 1];
    memcpy(path, e->key, len);
    path[len > 0 ? len - 1 : 0] = '\0';
    if (!path_is_dir(path))
        return 0;
    const char *in_dir = below(path, f->dir->path);
    return entries_add(&f->dir->entries, entry_new_dir(in_dir, (struct timespec){0})) ? 0 : -ENOMEM;
}

static void as_prefix(const char *dir, char out[STORE_KEY_BYTES + 2])
{
    size_t len = strlen(dir);
    assert(len <= STORE_KEY_BYTES);
    memcpy(out, dir, len);
    if (len > 0)
        out[len++] = '/';
    out[len] = '\0';
}

static int page_failed(int rc, struct err *err)
{
    if (rc == -ENOMEM)
        return no_memory(err);
    if (rc == -EUCLEAN && err->code != EUCLEAN)
        return err_set(err, EUCLEAN,
                       "the store's listing is not in the order of its keys, or not of the prefix "
                       "that was asked for");
    return rc;
}

// Goes on in the asked directory behind the child where the page ended, until it is complete.
static int list_folded(struct store *store, struct listed *dir, const char *last, struct err *err)
{
    struct folded f = {.dir = dir};
    const char *rest = below(last, dir->path);
    const char *slash = strchr(rest, '/');
    size_t len = slash ? (size_t)(slash + 1 - last) : strlen(last);
    memcpy(f.last, last, len);
    f.last[len] = '\0';
    char prefix[STORE_KEY_BYTES + 2], after[STORE_KEY_BYTES + 2];
    as_prefix(dir->path, prefix);
    for (bool more = true; more;) {
        strcpy(after, f.last);
        f.any = false;
        int rc = store->ops->list(store, prefix, after, true, PAGE, each_folded, &f, &more, err);
        if (!rc && more && (!f.any || strcmp(f.last, after) <= 0))
            rc = -EUCLEAN; // it would go on for ever
        if (rc)
            return page_failed(rc, err);
    }
    return 0;
}

// The page is over; what stands open reaches beyond it.
static int close_open(struct scan *s, struct store *store, bool more, bool from_start,
                      struct err *err)
{
    int rc = 0;
    while (!rc && s->depth > 0) {
        struct listed *top = &s->stack[s->depth - 1].listed;
        bool base = s->depth == 1;
        bool complete = !more && (!base || from_start);
        if (more && strcmp(top->path, s->dir) == 0) {
            rc = list_folded(store, top, s->last, err);
            if (rc)
                return rc;
            complete = true;
        }
        rc = pop(s, complete);
    }
    return rc ? no_memory(err) : 0;
}

static int run(struct store *store, const char *dir, bool ahead, struct listing *out,
               struct err *err)
{
    char base[STORE_KEY_BYTES + 1] = "";
    char prefix[STORE_KEY_BYTES + 2], after[STORE_KEY_BYTES + 2] = "";
    if (ahead) {
        assert(*dir);
        path_split(dir, base);
        as_prefix(dir, after);
    } else {
        strcpy(base, dir);
    }
    as_prefix(base, prefix);
    auto_free struct scan *s = calloc(1, sizeof(*s));
    if (!s)
        return no_memory(err);
    s->dir = dir;
    bool more = false;
    int rc = push(s, base);
    if (rc)
        return no_memory(err);
    rc = store->ops->list(store, prefix, after, false, PAGE, each_key, s, &more, err);
    if (!rc && more && !s->any)
        rc = -EUCLEAN;
    rc = rc ? page_failed(rc, err) : close_open(s, store, more, !ahead, err);
    while (s->depth > 0)
        pop(s, false);
    if (rc) {
        listing_done(&s->found);
        return rc;
    }
    *out = s->found;
    return 0;
}

int listing_run(struct store *store, const char *dir, bool ahead, struct listing *out,
                struct err *err)
{
    struct err why = {0};
    int rc = run(store, dir, ahead, out, &why);
    return rc ? err_set(err, -rc, "list '%s': %s", dir, why.text) : 0;
}

void listing_done(struct listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        listed_done(&l->dirs[i]);
    free(l->dirs);
    *l = (struct listing){0};
}

static int each_any(void *ctx, const struct store_entry *e)
{
    (void)e;
    *(bool *)ctx = true;
    return 0;
}

int listing_any(struct store *store, const char *dir, bool *out, struct err *err)
{
    char prefix[STORE_KEY_BYTES + 2];
    bool any = false, more = false;
    as_prefix(dir, prefix);
    int rc = store->ops->list(store, prefix, NULL, false, 1, each_any, &any, &more, err);
    if (!rc)
        *out = any || more;
    return rc;
}

struct wanted {
    const char *key;
    bool found;
    struct store_stat stat;
};

static int each_wanted(void *ctx, const struct store_entry *e)
{
    struct wanted *w = ctx;
    if (!e->is_prefix && strcmp(e->key, w->key) == 0) {
        w->stat = e->stat;
        w->found = true;
    }
    return 0;
}

int listing_stat(struct store *store, const char *key, struct store_stat *out, struct err *err)
{
    struct wanted w = {.key = key};
    bool more = false;
    int rc = store->ops->list(store, key, NULL, false, 1, each_wanted, &w, &more, err);
    if (rc)
        return rc;
    if (!w.found)
        return err_set(err, ENOENT, "no object '%s'", key);
    *out = w.stat;
    return 0;
}
