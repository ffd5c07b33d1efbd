#include "fs/takedown.h"

#include "backend/base/clock.h"
#include "backend/base/log.h"
#include "backend/base/scope.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

static pthread_t watch;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // what follows is under it
static pthread_cond_t changed;
static bool began, done;
static struct timespec until;
static void (*at_last)(void *ctx);
static void *last_ctx;

static void *run_watch(void *arg)
{
    (void)arg;
    auto_unlock pthread_mutex_t *held = scope_lock(&lock);
    while (!done && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        continue;
    if (done)
        return NULL;
    log_error("ending: the store does not answer: what was unfinished is not stored; "
              "the next mount cleans up");
    if (at_last)
        at_last(last_ctx);
    _exit(EXIT_FAILURE);
}

void takedown_begin(uint64_t within_ms, void (*last)(void *ctx), void *ctx)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&lock);
    if (began)
        return;
    clock_cond_init(&changed);
    until = clock_at(clock_ms() + within_ms);
    at_last = last;
    last_ctx = ctx;
    int rc = pthread_create(&watch, NULL, run_watch, NULL);
    if (rc) // it is to end, and does so, if later
        log_warn("ending: start a thread: %s", strerror(rc));
    else
        began = true;
}

void takedown_forget(void)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&lock);
    at_last = NULL;
}

void takedown_done(void)
{
    pthread_mutex_lock(&lock);
    bool join = began;
    done = true;
    if (join)
        pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    if (join)
        pthread_join(watch, NULL);
}
