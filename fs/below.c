#include "fs/below.h"

#include "backend/base/scope.h"
#include "fs/path.h"
#include "fs/stack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define THREADS 8
#define PAGE_FILES 1000

// --- Listing ---

static int see(void *ctx, const struct store_entry *entry)
{
    struct below *b = ctx;
    char path[STORE_KEY_BYTES + 1];
    snprintf(b->after, sizeof(b->after), "%s", entry->key);
    if (!path_from_key(entry->key, path))
        return 0;
    if (b->count == b->room) {
        size_t room = b->room ? b->room * 2 : 64;
        struct below_file *list = reallocarray(b->list, room, sizeof(*list));
        if (!list)
            return -ENOMEM;
        b->list = list;
        b->room = room;
    }
    struct below_file *file = &b->list[b->count];
    *file = (struct below_file){.path = strdup(path), .info = {.stat = entry->stat}};
    if (!file->path)
        return -ENOMEM;
    b->count++;
    return 0;
}

int below_page(struct store *store, const char *dir, struct below *b, struct err *err)
{
    char prefix[STORE_KEY_BYTES + 2];
    if (snprintf(prefix, sizeof(prefix), "%s/", dir) > STORE_KEY_BYTES)
        return err_set(err, ENAMETOOLONG, "the path '%.80s...' is too long for a key", dir);
    int rc = store->ops->list(store, prefix, b->after, false, PAGE_FILES, see, b, &b->more, err);
    return rc == -ENOMEM ? err_set(err, ENOMEM, "no memory to list '%s'", dir) : rc;
}

void below_clear(struct below *b)
{
    for (size_t i = 0; i < b->count; i++)
        free(b->list[i].path);
    b->count = 0;
}

void below_done(struct below *b)
{
    below_clear(b);
    free(b->list);
    b->list = NULL;
    b->room = 0;
}

// --- Headers ---

struct headers_run {
    struct stack *stack;
    struct below *below;
};

static int fetch_header(void *ctx, size_t i, struct err *err)
{
    const struct headers_run *run = ctx;
    struct below_file *file = &run->below->list[i];
    struct tree_stat stat;
    if (tree_lookup(run->stack->tree, file->path, &stat, NULL) == 0 && stat.kind == TREE_FILE &&
        strcmp(stat.info.stat.etag, file->info.stat.etag) == 0) {
        file->info = stat.info;
        return 0;
    }
    char key[STORE_KEY_BYTES + 1];
    int rc = object_store_key(file->path, key, err);
    if (!rc)
        rc = object_probe(run->stack->store, key, NULL, &file->info, err);
    if (rc == -ENOENT) {
        file->info = (struct object_info){0};
        return 0;
    }
    // who may not read it still sees that it is there, and since when
    return rc == -EACCES ? 0 : rc;
}

int below_headers(struct stack *stack, struct below *b, struct err *err)
{
    struct headers_run run = {.stack = stack, .below = b};
    return below_each(b->count, fetch_header, &run, err);
}

// --- Many at a time ---

struct run {
    int (*one)(void *ctx, size_t i, struct err *err);
    void *ctx;
    size_t count;
    pthread_mutex_t lock;
    // below: under lock
    size_t next;
    int rc;
    struct err err;
};

static void *work(void *arg)
{
    struct run *run = arg;
    for (;;) {
        size_t i;
        {
            auto_unlock pthread_mutex_t *held = scope_lock(&run->lock);
            if (run->rc || run->next == run->count)
                return NULL;
            i = run->next++;
        }
        struct err err = {0};
        int rc = run->one(run->ctx, i, &err);
        auto_unlock pthread_mutex_t *held = scope_lock(&run->lock);
        if (rc && !run->rc) {
            run->rc = rc;
            run->err = err;
        }
    }
}

int below_each(size_t count, int (*one)(void *ctx, size_t i, struct err *err), void *ctx,
               struct err *err)
{
    struct run run = {.one = one, .ctx = ctx, .count = count};
    pthread_mutex_init(&run.lock, NULL);
    pthread_t threads[THREADS - 1]; // and the caller's
    unsigned started = 0;
    while (started < THREADS - 1 && started + 1 < count &&
           pthread_create(&threads[started], NULL, work, &run) == 0)
        started++;
    work(&run);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&run.lock);
    return run.rc ? err_copy(err, &run.err) : 0;
}
