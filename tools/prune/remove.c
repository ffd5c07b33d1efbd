#include "tools/prune/prune.h"

#include "backend/base/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define REMOVERS 8

// Rank by rank; of one key the oldest version first, so that what readers see changes last: an older version would come
// to light otherwise, and what hides behind a delete marker too.
static int compare(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->order < y->order) - (x->order > y->order);
}

struct removal {
    struct store *store;

    pthread_mutex_t lock; // members below are under it
    pthread_cond_t done;
    size_t under_way;
    struct err err; // the first
};

struct job { // the versions of one key
    struct removal *removal;
    const struct piece *pieces;
    size_t count;
};

static bool has_failed(struct removal *r)
{
    pthread_mutex_lock(&r->lock);
    bool failed = r->err.code != 0;
    pthread_mutex_unlock(&r->lock);
    return failed;
}

static void run(void *ctx)
{
    struct job *job = ctx;
    struct removal *r = job->removal;
    struct err err = {0};
    int rc = 0;
    for (size_t i = 0; i < job->count && rc == 0 && !has_failed(r); i++)
        rc = r->store->ops->remove_version(r->store, job->pieces[i].key, job->pieces[i].id, &err);
    free(job);
    pthread_mutex_lock(&r->lock);
    if (rc != 0 && r->err.code == 0)
        r->err = err;
    r->under_way--;
    pthread_cond_signal(&r->done);
    pthread_mutex_unlock(&r->lock);
}

static int start(struct workers *workers, struct removal *r, const struct piece *pieces,
                 size_t count)
{
    struct job *job = malloc(sizeof(*job));
    if (!job)
        return -ENOMEM;
    *job = (struct job){.removal = r, .pieces = pieces, .count = count};
    pthread_mutex_lock(&r->lock);
    r->under_way++;
    pthread_mutex_unlock(&r->lock);
    workers_submit(workers, run, job);
    return 0;
}

static void wait_all(struct removal *r)
{
    pthread_mutex_lock(&r->lock);
    while (r->under_way > 0)
        pthread_cond_wait(&r->done, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

static int remove_pieces(struct workers *workers, struct removal *r, const struct piece *pieces,
                         size_t count)
{
    int rc = 0;
    for (size_t i = 0, end; i < count && rc == 0 && !has_failed(r); i = end) {
        for (end = i + 1; end < count && strcmp(pieces[i].key, pieces[end].key) == 0;)
            end++;
        rc = start(workers, r, &pieces[i], end - i);
        // all of one rank is gone before the next one begins
        if (end < count && pieces[end].rank != pieces[i].rank)
            wait_all(r);
    }
    wait_all(r);
    return rc;
}

int prune_remove(struct store *store, struct prune_backup *b, struct err *err)
{
    struct removal r = {.store = store};
    struct workers *workers = NULL;
    qsort(b->pieces, b->count, sizeof(*b->pieces), compare);
    int rc = workers_new("prune", REMOVERS, REMOVERS, &workers, err);
    if (rc)
        return rc;
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.done, NULL);
    rc = remove_pieces(workers, &r, b->pieces, b->count);
    workers_free(workers);
    pthread_cond_destroy(&r.done);
    pthread_mutex_destroy(&r.lock);
    b->removed = rc == 0 && r.err.code == 0;
    b->failure = b->removed || rc ? NULL : strdup(r.err.text);
    if (rc || (!b->removed && !b->failure))
        return err_set(err, ENOMEM, "remove '%s': out of memory", b->path);
    return 0;
}
