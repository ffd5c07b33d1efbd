#include "fs/tree.h"

#include "backend/base/clock.h"
#include "backend/base/scope.h"
#include "fs/path.h"
#include "fs/tree_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// --- Taking it up and down ---

static uint64_t boottime_ms(void *ctx)
{
    (void)ctx;
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now); // a laptop's sleep is time, too
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t tree_now_ms(const struct tree *t)
{
    return t->conf.clock_ms(t->conf.clock_ctx);
}

static int start(struct tree *t, struct err *err)
{
    // half for directories, half for headers (a slot of the cache and its place take 200 bytes)
    uint64_t headers = t->conf.memory_bytes / 2 / 200;
    if (headers < 1024)
        headers = 1024;
    if (headers > HEADERS_ENTRIES_MAX)
        headers = HEADERS_ENTRIES_MAX;
    if (!dirs_init(&t->dirs, t->conf.memory_bytes / 2))
        return err_set(err, ENOMEM, "no memory for the tree");
    int rc = headers_new(t->conf.state_dir, t->conf.store->id, (unsigned)headers, &t->headers, err);
    if (rc)
        return rc;
    unsigned fetchers = t->conf.fetchers ? t->conf.fetchers : 1;
    return workers_new("headers", fetchers, fetchers * 2, &t->fetchers, err);
}

int tree_new(const struct tree_conf *conf, struct tree **out, struct err *err)
{
    struct tree *t = calloc(1, sizeof(*t));
    if (!t)
        return err_set(err, ENOMEM, "no memory for the tree");
    t->conf = *conf;
    if (!t->conf.clock_ms)
        t->conf.clock_ms = boottime_ms;
    t->changes_end = &t->changes;
    t->born = conf->store->ops->now(conf->store);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->answered, NULL);
    int rc = start(t, err);
    if (rc) {
        tree_free(t);
        return rc;
    }
    t->conf.state_dir = NULL; // borrowed for the call
    *out = t;
    return 0;
}

void tree_free(struct tree *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_mutex_unlock(&t->lock);
    if (t->fetchers)
        workers_free(t->fetchers);
    assert(!t->ops);
    headers_free(t->headers);
    note_done(t);
    made_done(&t->made);
    dirs_done(&t->dirs);
    pthread_cond_destroy(&t->answered);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

int tree_no_entry(const char *path, struct err *err)
{
    return err_set(err, ENOENT, "'%s' is not there", path);
}

// --- What is known; under lock ---

// Midnight of the DATE in the path: what a directory shows of which nothing newer is known.
static struct timespec path_time(const struct tree *t, const char *path)
{
    struct tm tm = {0};
    const char *date = strchr(path, '/');
    if (!date || !strptime(date + 1, "%Y-%m-%d", &tm))
        return t->born;
    return (struct timespec){.tv_sec = timegm(&tm)};
}

static void dir_stat(struct tree *t, const char *path, struct tree_stat *out)
{
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    const struct dir *d = dirs_find(&t->dirs, path);
    const struct dir *above = *path ? dirs_find(&t->dirs, parent) : NULL;
    const struct entry *e = above ? dirs_entry(above, name) : NULL;
    const struct made_dir *made = *path ? made_at(&t->made, path) : NULL;
    struct timespec times[] = {
        d ? d->newest : (struct timespec){0},
        e && e->kind == TREE_DIR ? e->time : (struct timespec){0},
        made ? made->when : (struct timespec){0},
    };
    *out = (struct tree_stat){.kind = TREE_DIR};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        if (clock_is_newer(times[i], out->mtime))
            out->mtime = times[i];
    if (out->mtime.tv_sec == 0)
        out->mtime = path_time(t, path);
}

static bool is_walked(const struct tree *t, const struct dir *d)
{
    return d->walked_ms && tree_now_ms(t) < d->walked_ms + WALK_MS;
}

// One step of a walk: the headers behind this name will be wanted.
static void step(struct tree *t, struct dir *d, size_t at)
{
    char path[STORE_KEY_BYTES + PATH_COMPONENT_BYTES + 2];
    if (at < d->walked_at)
        return;
    d->walked_at = at;
    d->walked_ms = tree_now_ms(t);
    size_t end = at + 1 + t->conf.fetchers;
    if (end > d->entries.count)
        end = d->entries.count;
    for (size_t i = d->fetched_to > at + 1 ? d->fetched_to : at + 1; i < end; i++) {
        struct entry *e = d->entries.list[i];
        char *name = *d->path ? stpcpy(stpcpy(path, d->path), "/") : path;
        strcpy(name, e->name);
        if (e->kind == TREE_FILE && !tree_has_header(t, d, path, e))
            tree_fetch_ahead(t, path);
    }
    if (end > d->fetched_to)
        d->fetched_to = end;
}

enum known { KNOWN, KNOWN_ABSENT, UNKNOWN, UNKNOWN_WALKED };

// UNKNOWN_WALKED: the listing it was in is old, and somebody goes through it name by name.
static enum known look(struct tree *t, const char *path, struct tree_stat *out)
{
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    if (made_at(&t->made, path)) {
        dir_stat(t, path, out);
        return KNOWN;
    }
    struct dir *d = dirs_find(&t->dirs, parent);
    if (!d)
        return UNKNOWN;
    uint64_t now = tree_now_ms(t);
    bool fresh = d->complete && now < d->fresh_until_ms;
    size_t at;
    if (!dirs_index(d, name, &at))
        return fresh ? KNOWN_ABSENT : UNKNOWN;
    if (fresh && is_walked(t, d))
        step(t, d, at);
    struct entry *e = d->entries.list[at];
    if (now >= e->fresh_until_ms)
        return d->complete && is_walked(t, d) ? UNKNOWN_WALKED : UNKNOWN;
    if (e->kind == TREE_DIR) {
        dir_stat(t, path, out);
        return KNOWN;
    }
    if (!tree_has_header(t, d, path, e))
        return UNKNOWN;
    *out = (struct tree_stat){.kind = TREE_FILE, .info.header = *e->header};
    entry_stat(e, &out->info.stat);
    return KNOWN;
}

// --- Lookups ---

static int ask_once(struct tree *t, const char *path, bool now, struct tree_stat *out,
                    bool *out_stale, struct err *err)
{
    struct op *op = now ? NULL : op_find(t, OP_PATH, path);
    if (op) {
        op_wait(t, op);
    } else {
        op = op_begin(t, OP_PATH, path);
        if (!op)
            return err_set(err, ENOMEM, "no memory to look up '%s'", path);
        op_run_path(t, op);
    }
    int rc = op->rc;
    *out_stale = op->stale;
    if (rc && !op->stale)
        err_copy(err, &op->err);
    else if (!rc && op->stat.kind == TREE_DIR)
        dir_stat(t, path, out);
    else if (!rc)
        *out = op->stat;
    op_release(op);
    return rc;
}

int tree_ask_path(struct tree *t, const char *path, bool now, struct tree_stat *out,
                  struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&t->lock);
    if (!*path) {
        dir_stat(t, path, out);
        return 0;
    }
    if (!path_is_dir(path) && !path_is_file(path))
        return tree_no_entry(path, err);
    for (bool listed = false;;) {
        enum known known = UNKNOWN;
        struct tree_stat stat;
        if (!now || made_at(&t->made, path))
            known = look(t, path, &stat);
        if (known == KNOWN) {
            *out = stat;
            return 0;
        }
        if (known == KNOWN_ABSENT)
            return tree_no_entry(path, err);
        if (known == UNKNOWN_WALKED && !listed) {
            char parent[STORE_KEY_BYTES + 1];
            path_split(path, parent);
            struct err why;
            int rc = tree_list_dir(t, parent, &why);
            if (rc && rc != -ENOENT)
                return err_copy(err, &why);
            listed = true;
            continue;
        }
        bool stale = false;
        int rc = ask_once(t, path, now, &stat, &stale, err);
        if (stale)
            continue; // this mount changed it meanwhile
        if (!rc)
            *out = stat;
        return rc;
    }
}

int tree_lookup(struct tree *t, const char *path, struct tree_stat *out, struct err *err)
{
    return tree_ask_path(t, path, false, out, err);
}

int tree_lookup_now(struct tree *t, const char *path, struct tree_stat *out, struct err *err)
{
    return tree_ask_path(t, path, true, out, err);
}

// --- Directories ---

void tree_list_free(struct tree_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i].name);
    free(list->names);
    free(list);
}
SCOPE_TYPE(tree_list)

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct tree_name *)a)->name, ((const struct tree_name *)b)->name);
}

// What this mount made in `path`: whatever name comes next below it.
static bool add_made(const struct tree *t, const char *path, struct tree_list *list, size_t room)
{
    size_t at = 0, own = list->count;
    const struct made_dir *made;
    while ((made = made_next(&t->made, path, &at))) {
        const char *name = made->path + strlen(path) + (*path != '\0');
        size_t len = (size_t)(strchrnul(name, '/') - name);
        const struct tree_name *last = list->count > own ? &list->names[list->count - 1] : NULL;
        if (last && strlen(last->name) == len && strncmp(last->name, name, len) == 0)
            continue; // made are sorted: one name's paths follow each other
        assert(list->count < room);
        list->names[list->count] = (struct tree_name){strndup(name, len), TREE_DIR};
        if (!list->names[list->count].name)
            return false;
        list->count++;
    }
    return true;
}

// A copy for the caller; a directory that was made and is in the store, too, stands in it once.
static int copy_names(const struct tree *t, const char *path, const struct dir *d,
                      struct tree_list **out, struct err *err)
{
    auto_type(tree_list) struct tree_list *list = calloc(1, sizeof(*list));
    size_t room = (d ? d->entries.count : 0) + t->made.count + 1;
    if (list)
        list->names = calloc(room, sizeof(*list->names));
    bool ok = list && list->names;
    for (size_t i = 0; ok && d && i < d->entries.count; i++) {
        const struct entry *e = d->entries.list[i];
        list->names[i] = (struct tree_name){strdup(e->name), e->kind};
        ok = list->names[i].name != NULL;
        list->count += ok;
    }
    if (!ok || !add_made(t, path, list, room))
        return err_set(err, ENOMEM, "no memory to read the directory '%s'", path);
    qsort(list->names, list->count, sizeof(*list->names), compare_names);
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (kept > 0 && strcmp(list->names[kept - 1].name, list->names[i].name) == 0)
            free(list->names[i].name);
        else
            list->names[kept++] = list->names[i];
    }
    list->count = kept;
    *out = take(list);
    return 0;
}

bool tree_known(struct tree *t, const char *path, struct object_info *out)
{
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    auto_unlock pthread_mutex_t *held = scope_lock(&t->lock);
    struct dir *d = dirs_find(&t->dirs, parent);
    struct entry *e = d ? dirs_entry(d, name) : NULL;
    if (!e || e->kind != TREE_FILE || tree_now_ms(t) >= e->fresh_until_ms ||
        !tree_has_header(t, d, path, e))
        return false;
    *out = (struct object_info){.header = *e->header};
    entry_stat(e, &out->stat);
    return true;
}

int tree_names(struct tree *t, const char *path, bool walk, struct tree_list **out, struct err *err)
{
    if (*path && !path_is_dir(path))
        return tree_no_entry(path, err);
    auto_unlock pthread_mutex_t *held = scope_lock(&t->lock);
    struct dir *d = dirs_find(&t->dirs, path);
    bool fresh = d && d->complete && tree_now_ms(t) < d->fresh_until_ms;
    // more than once only where another thread's directories pushed this one out again before we woke up
    for (int tries = 0; !fresh; tries++) {
        int rc = tree_list_dir(t, path, err);
        if (rc)
            return rc;
        d = dirs_find(&t->dirs, path);
        fresh = d && d->complete;
        if (!fresh && tries == 8)
            return err_set(err, ENOMEM, "no memory to read the directory '%s'", path);
    }
    if (walk) {
        d->walked_ms = tree_now_ms(t);
        d->walked_at = d->fetched_to = 0;
    }
    return copy_names(t, path, d, out, err);
}

int tree_read_dir(struct tree *t, const char *path, struct tree_list **out, struct err *err)
{
    return tree_names(t, path, true, out, err);
}

int tree_make_dir(struct tree *t, const char *path, struct err *err)
{
    char parent[STORE_KEY_BYTES + 1];
    struct tree_stat stat;
    if (!*path || !path_is_dir(path))
        return err_set(err, EINVAL, "'%s' cannot be a directory", path);
    path_split(path, parent);
    int rc = tree_lookup(t, parent, &stat, err);
    if (rc)
        return rc;
    if (stat.kind != TREE_DIR)
        return err_set(err, ENOTDIR, "'%s' is a file", parent);
    rc = tree_lookup(t, path, &stat, err);
    if (rc != -ENOENT)
        return rc ? rc : err_set(err, EEXIST, "'%s' is there already", path);
    struct timespec when = t->conf.store->ops->now(t->conf.store);
    auto_unlock pthread_mutex_t *held = scope_lock(&t->lock);
    if (made_at(&t->made, path))
        return err_set(err, EEXIST, "'%s' is there already", path);
    if (t->made.count >= MADE_MAX)
        return err_set(err, ENOSPC, "%d directories were made in which there is no file", MADE_MAX);
    if (!made_add(&t->made, path, when))
        return err_set(err, ENOMEM, "no memory to remember '%s'", path);
    struct dir *d = dirs_make(&t->dirs, path); // a moment ago nothing was there
    if (d && !d->complete && d->entries.count == 0) {
        d->complete = true;
        d->fresh_until_ms = tree_now_ms(t) + t->conf.refresh_ms;
    }
    return 0;
}

int tree_remove_dir(struct tree *t, const char *path, struct err *err)
{
    if (!*path || !path_is_dir(path))
        return tree_no_entry(path, err);
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    auto_unlock pthread_mutex_t *held = scope_lock(&t->lock);
    for (;;) {
        if (made_below(&t->made, path))
            return err_set(err, ENOTEMPTY, "'%s' is not empty", path);
        const struct dir *above = dirs_find(&t->dirs, parent);
        bool known = made_at(&t->made, path) || (above && dirs_entry(above, name));
        struct tree_stat stat;
        bool stale = false;
        int rc = ask_once(t, path, true, &stat, &stale, err);
        if (stale)
            continue;
        if (!rc && stat.kind == TREE_DIR)
            return err_set(err, ENOTEMPTY, "'%s' is not empty", path);
        if (!rc)
            return err_set(err, ENOTDIR, "'%s' is a file", path);
        if (rc != -ENOENT || !known)
            return rc;
        note_dir_removed(t, path);
        return 0;
    }
}

// --- Own changes ---

void tree_committed(struct tree *t, const char *path, const struct object_info *info)
{
    char key[STORE_KEY_BYTES + 1];
    if (object_store_key(path, key, NULL) == 0)
        headers_put(t->headers, key, info);
    auto_unlock pthread_mutex_t *held = scope_lock(&t->lock);
    note_committed(t, path, info);
}

void tree_removed(struct tree *t, const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&t->lock);
    note_removed(t, path);
}

void tree_forget(struct tree *t, const char *path)
{
    char parent[STORE_KEY_BYTES + 1];
    const char *name = path_split(path, parent);
    auto_unlock pthread_mutex_t *held = scope_lock(&t->lock);
    struct dir *d = dirs_find(&t->dirs, path);
    if (d)
        dirs_drop(&t->dirs, d);
    for (struct op *op = t->ops; op; op = op->next)
        op->stale = op->stale || (op->kind == OP_PATH && strcmp(op->path, path) == 0);
    d = dirs_find(&t->dirs, parent);
    if (!d)
        return;
    d->fresh_until_ms = 0; // neither is its absence believed
    struct entry *e = dirs_entry(d, name);
    if (e)
        e->fresh_until_ms = 0;
}
