#include "fs/writer_impl.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int writers_new(const struct writers_conf *conf, struct writers **out, struct err *err)
{
    struct writers *all = calloc(1, sizeof(*all));
    if (!all)
        return err_errno(err, ENOMEM, "make the table of writers");
    all->conf = *conf;
    pthread_mutex_init(&all->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&all->fewer, &attr);
    pthread_condattr_destroy(&attr);
    *out = all;
    return 0;
}

static struct writer *find(struct writers *all, const char *path)
{
    struct writer *w = all->first;
    while (w && strcmp(w->path, path) != 0)
        w = w->next;
    return w;
}

void writers_unlist(struct writer *w)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->all->lock);
    if (!w->listed)
        return;
    struct writer **link = &w->all->first;
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    w->listed = false;
    w->all->count--;
    pthread_cond_broadcast(&w->all->fewer);
}

bool writers_is_writing(struct writers *all, const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    return find(all, path) != NULL;
}

bool writers_is_writing_below(struct writers *all, const char *dir)
{
    size_t len = strlen(dir);
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    const struct writer *w = all->first;
    while (w && (strncmp(w->path, dir, len) != 0 || w->path[len] != '/'))
        w = w->next;
    return w != NULL;
}

void writers_doom(struct writers *all, uint64_t ino, pid_t group, int signal)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    if (all->conf.publish_failed)
        return;
    for (struct writer *w = all->first; w; w = w->next) {
        if (w->ino != ino || !cancel_ask(&w->cancel))
            continue;
        w->doomed_signal = signal;
        w->doomed_group = group;
    }
}

struct writer_look writer_look(const struct writer *w)
{
    int64_t ns = w->mtime_ns;
    int64_t sec = ns / 1000000000, rest = ns % 1000000000;
    if (rest < 0) {
        sec--;
        rest += 1000000000;
    }
    return (struct writer_look){
        .size = w->size,
        .acked_bytes = w->acked_bytes,
        .mtime = {.tv_sec = sec, .tv_nsec = rest},
    };
}

bool writers_look(struct writers *all, const char *path, struct writer_look *out)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    const struct writer *w = find(all, path);
    if (w)
        *out = writer_look(w);
    return w != NULL;
}

void writers_each(struct writers *all,
                  void (*each)(void *ctx, const char *path, const struct writer_look *), void *ctx)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    for (const struct writer *w = all->first; w; w = w->next) {
        struct writer_look look = writer_look(w);
        each(ctx, w->path, &look);
    }
}

unsigned writers_count(struct writers *all)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    return all->count;
}

unsigned writers_drain(struct writers *all, uint64_t deadline_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(deadline_ms / 1000);
    until.tv_nsec += (long)(deadline_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    while (all->count > 0 && pthread_cond_timedwait(&all->fewer, &all->lock, &until) == 0)
        continue;
    return all->count;
}

// --- Coming and going ---

int writers_begin(struct writers *all, const char *path, uint64_t ino,
                  const struct store_cond *cond, pid_t tid, struct writer **out, struct err *err)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (!w || !(w->path = strdup(path))) {
        free(w);
        return err_errno(err, ENOMEM, "open '%s'", path);
    }
    pthread_mutex_init(&w->lock, NULL);
    w->all = all;
    w->ino = ino;
    w->handles = 1;
    w->cond = *cond;
    if (cond->if_match) {
        snprintf(w->if_match, sizeof(w->if_match), "%s", cond->if_match);
        w->cond.if_match = w->if_match;
    }
    writer_set_mtime_now(w);
    writer_add_member(w, tid);
    int rc = writer_start_object(w, err);
    if (rc) {
        writer_destroy(w);
        return rc;
    }
    pthread_mutex_lock(&all->lock);
    if (find(all, path)) {
        rc = err_set(err, EBUSY, "'%s' is being written already", path);
    } else {
        w->next = all->first;
        all->first = w;
        w->listed = true;
        all->count++;
    }
    pthread_mutex_unlock(&all->lock);
    if (rc)
        writer_destroy(w);
    else
        *out = w;
    return rc;
}

struct writer *writers_join(struct writers *all, const char *path, pid_t tid)
{
    pthread_mutex_lock(&all->lock);
    struct writer *w = find(all, path);
    if (w)
        w->handles++;
    pthread_mutex_unlock(&all->lock);
    if (w) {
        auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
        writer_add_member(w, tid);
        w->closed_clean = false;
    }
    return w;
}

void writers_free(struct writers *all)
{
    if (!all)
        return;
    while (all->first) {
        struct writer *w = all->first;
        writer_end_unreleased(w); // takes it off the list
        writer_destroy(w);
    }
    pthread_cond_destroy(&all->fewer);
    pthread_mutex_destroy(&all->lock);
    free(all);
}
