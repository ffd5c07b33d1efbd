#include "fs/recent.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct recent {
    struct recent *older, *newer;
    char *path;
    char etag[STORE_ETAG_BYTES];
    struct object_key key;
    struct timespec until;
};

struct recents {
    pthread_mutex_t lock; // members below are under it
    void *by_path;        // a tsearch tree
    struct recent *oldest, *newest;
    unsigned count;
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct recent *)a)->path, ((const struct recent *)b)->path);
}

int recents_new(struct recents **out, struct err *err)
{
    struct recents *all = calloc(1, sizeof(*all));
    if (!all)
        return err_errno(err, ENOMEM, "make the table of recent files");
    pthread_mutex_init(&all->lock, NULL);
    *out = all;
    return 0;
}

static void free_recent(struct recent *r)
{
    secret_wipe(&r->key, sizeof(r->key));
    free(r->path);
    free(r);
}

// With the lock.
static void drop(struct recents *all, struct recent *r)
{
    *(r->older ? &r->older->newer : &all->oldest) = r->newer;
    *(r->newer ? &r->newer->older : &all->newest) = r->older;
    all->count--;
    tdelete(r, &all->by_path, compare);
    free_recent(r);
}

static struct recent *find(struct recents *all, const char *path)
{
    struct recent key;
    memcpy(&key.path, &path, sizeof(path)); // only compared
    struct recent **found = tfind(&key, &all->by_path, compare);
    return found ? *found : NULL;
}

void recents_free(struct recents *all)
{
    if (!all)
        return;
    while (all->oldest)
        drop(all, all->oldest);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

static bool is_over(const struct recent *r, struct timespec now)
{
    return r->until.tv_sec && r->until.tv_sec < now.tv_sec;
}

void recents_put(struct recents *all, const char *path, const char *etag,
                 const struct object_key *key, struct timespec until, struct timespec now)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    struct recent *old = find(all, path);
    if (old)
        drop(all, old);
    while (all->oldest && (all->count >= RECENTS_MAX || is_over(all->oldest, now)))
        drop(all, all->oldest);
    struct recent *r = calloc(1, sizeof(*r));
    if (!r || !(r->path = strdup(path))) {
        free(r);
        return;
    }
    snprintf(r->etag, sizeof(r->etag), "%s", etag);
    r->key = *key;
    r->until = until;
    if (!tsearch(r, &all->by_path, compare)) {
        free_recent(r);
        return;
    }
    r->older = all->newest;
    *(r->older ? &r->older->newer : &all->oldest) = r;
    all->newest = r;
    all->count++;
}

bool recents_get(struct recents *all, const char *path, const char *etag, struct object_key *out)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    const struct recent *r = find(all, path);
    if (!r || strcmp(r->etag, etag) != 0)
        return false;
    *out = r->key;
    return true;
}

bool recents_has(struct recents *all, const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    return find(all, path) != NULL;
}

void recents_drop(struct recents *all, const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    struct recent *r = find(all, path);
    if (r)
        drop(all, r);
}
