#include "backend/base/workers.h"

#include "backend/base/scope.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct job {
    void (*run)(void *ctx);
    void *ctx;
};

struct workers {
    char name[11];
    unsigned thread_count;
    pthread_t *threads;
    unsigned capacity;
    struct job *ring;

    pthread_mutex_t lock; // members below are under it
    pthread_cond_t filled, drained;
    unsigned first, count; // of the ring
    bool stopping;
};

static bool next_job(struct workers *w, struct job *out)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    while (w->count == 0 && !w->stopping)
        pthread_cond_wait(&w->filled, &w->lock);
    if (w->count == 0)
        return false;
    *out = w->ring[w->first];
    w->first = (w->first + 1) % w->capacity;
    w->count--;
    pthread_cond_signal(&w->drained);
    return true;
}

static void *thread_main(void *arg)
{
    struct workers *w = arg;
    struct job job;
    while (next_job(w, &job))
        job.run(job.ctx);
    return NULL;
}

static void put_job(struct workers *w, void (*run)(void *ctx), void *ctx)
{
    w->ring[(w->first + w->count) % w->capacity] = (struct job){run, ctx};
    w->count++;
    pthread_cond_signal(&w->filled);
}

void workers_submit(struct workers *w, void (*run)(void *ctx), void *ctx)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    assert(!w->stopping);
    while (w->count == w->capacity)
        pthread_cond_wait(&w->drained, &w->lock);
    put_job(w, run, ctx);
}

bool workers_try(struct workers *w, void (*run)(void *ctx), void *ctx)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    if (w->count == w->capacity)
        return false;
    put_job(w, run, ctx);
    return true;
}

void workers_free(struct workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->filled);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->thread_count; i++)
        pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->drained);
    pthread_cond_destroy(&w->filled);
    pthread_mutex_destroy(&w->lock);
    free(w->ring);
    free(w->threads);
    free(w);
}

static int start_threads(struct workers *w, unsigned threads, struct err *err)
{
    // Signals belong to the thread that runs the mount.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = 0;
    for (unsigned i = 0; i < threads && code == 0; i++) {
        code = pthread_create(&w->threads[i], NULL, thread_main, w);
        if (code == 0) {
            char name[16];
            snprintf(name, sizeof(name), "%s-%u", w->name, i % 1000);
            pthread_setname_np(w->threads[i], name);
            w->thread_count++;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code ? err_errno(err, code, "start thread %u of %u for '%s'", w->thread_count + 1,
                            threads, w->name)
                : 0;
}

int workers_new(const char *name, unsigned threads, unsigned queue, struct workers **out,
                struct err *err)
{
    assert(threads > 0 && queue > 0);
    struct workers *w = calloc(1, sizeof(*w));
    if (!w)
        return err_set(err, ENOMEM, "no memory for the threads of '%s'", name);
    snprintf(w->name, sizeof(w->name), "%s", name);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->filled, NULL);
    pthread_cond_init(&w->drained, NULL);
    w->capacity = queue;
    w->ring = calloc(queue, sizeof(*w->ring));
    w->threads = calloc(threads, sizeof(*w->threads));
    int rc = 0;
    if (!w->ring || !w->threads)
        rc = err_set(err, ENOMEM, "no memory for %u threads of '%s'", threads, name);
    else
        rc = start_threads(w, threads, err);
    if (rc < 0) {
        workers_free(w);
        return rc;
    }
    *out = w;
    return 0;
}
