#include "fs/writer_impl.h"

#include "backend/base/clock.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// A release follows its flush at once, unless somebody else inherited the descriptor and holds it.
#define SETTLE_MS 2000

int writers_new(const struct writers_conf *conf, struct writers **out, struct err *err)
{
    struct writers *all = calloc(1, sizeof(*all));
    if (!all)
        return err_errno(err, ENOMEM, "make the table of writers");
    all->conf = *conf;
    pthread_mutex_init(&all->lock, NULL);
    clock_cond_init(&all->fewer);
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

static bool is_below(const struct writer *w, const char *dir, size_t len)
{
    return strncmp(w->path, dir, len) == 0 && w->path[len] == '/';
}

bool writers_is_writing_below(struct writers *all, const char *dir)
{
    size_t len = strlen(dir);
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    const struct writer *w = all->first;
    while (w && !is_below(w, dir, len))
        w = w->next;
    return w != NULL;
}

// With the table's lock.
static bool has_closed(const struct writers *all, const char *path, size_t len)
{
    const struct writer *w = all->first;
    while (w && !(w->closed_clean && (strcmp(w->path, path) == 0 || is_below(w, path, len))))
        w = w->next;
    return w != NULL;
}

void writers_settle(struct writers *all, const char *path)
{
    size_t len = strlen(path);
    struct timespec until = clock_at(clock_ms() + SETTLE_MS);
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    while (has_closed(all, path, len) &&
           pthread_cond_timedwait(&all->fewer, &all->lock, &until) == 0)
        continue;
}

static bool has_ino(const struct writer *w, uint64_t ino)
{
    for (size_t i = 0; i < w->ino_count; i++)
        if (w->inos[i] == ino)
            return true;
    return false;
}

void writers_doom(struct writers *all, uint64_t ino, pid_t group, int signal, bool writes)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    if (all->conf.publish_failed)
        return;
    for (struct writer *w = all->first; w; w = w->next) {
        if (!has_ino(w, ino) || !(writes || writer_is_member(w, group)))
            continue;
        w->doomed_signal = signal; // known to whoever finds that it was called off
        w->doomed_group = group;
        if (!cancel_ask(&w->cancel))
            w->doomed_group = 0;
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

bool writers_met_unseen(struct writers *all)
{
    return atomic_load(&all->met_unseen);
}

unsigned writers_count(struct writers *all)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    return all->count;
}

unsigned writers_drain(struct writers *all, uint64_t deadline_ms)
{
    struct timespec until = clock_at(clock_ms() + deadline_ms);
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    while (all->count > 0 && pthread_cond_timedwait(&all->fewer, &all->lock, &until) == 0)
        continue;
    return all->count;
}

// --- Coming and going ---

static int add_ino(struct writer *w, uint64_t ino, struct err *err)
{
    if (has_ino(w, ino))
        return 0;
    uint64_t *more = reallocarray(w->inos, w->ino_count + 1, sizeof(*more));
    if (!more)
        return err_errno(err, ENOMEM, "open '%s'", w->path);
    w->inos = more;
    w->inos[w->ino_count++] = ino;
    return 0;
}

static struct writer *make_writer(struct writers *all, const struct writer_begin *begin,
                                  struct err *err)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (!w || !(w->path = strdup(begin->path))) {
        free(w);
        err_errno(err, ENOMEM, "open '%s'", begin->path);
        return NULL;
    }
    pthread_mutex_init(&w->lock, NULL);
    w->all = all;
    w->handles = 1;
    w->flags = begin->flags;
    w->cond = begin->cond;
    if (begin->cond.if_match) {
        snprintf(w->if_match, sizeof(w->if_match), "%s", begin->cond.if_match);
        w->cond.if_match = w->if_match;
    }
    if (add_ino(w, begin->ino, err)) {
        writer_destroy(w);
        return NULL;
    }
    if (begin->base)
        w->size = object_reader_info(begin->base)->header.record.size;
    w->written = begin->changed;
    writer_set_mtime_now(w);
    writer_add_group(w, begin->opener);
    writer_add_member(w, begin->tid);
    return w;
}

int writers_begin(struct writers *all, const struct writer_begin *begin, struct writer **out,
                  struct err *err)
{
    struct writer *w = make_writer(all, begin, err);
    if (!w) {
        object_reader_free(begin->base);
        return -ENOMEM;
    }
    int rc = bytes_begin(w, begin, err);
    if (rc) {
        writer_destroy(w);
        return rc;
    }
    pthread_mutex_lock(&all->lock);
    if (find(all, begin->path)) {
        rc = err_set(err, EBUSY, "'%s' is being written already", begin->path);
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

// A handle of it, with the lock taken; false: what it could join has ended meanwhile.
static bool join(struct writer *w, uint64_t ino, pid_t tid, pid_t opener)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    if (w->state == COMMITTED)
        return false;
    w->joined |= ino != 0;
    if (ino) {
        auto_unlock pthread_mutex_t *table = scope_lock(&w->all->lock);
        if (add_ino(w, ino, NULL))
            return false;
    }
    writer_add_group(w, opener);
    writer_add_member(w, tid);
    w->closed_clean = false;
    return true;
}

bool writers_base(struct writers *all, const char *path, char out_etag[STORE_ETAG_BYTES])
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    const struct writer *w = find(all, path);
    if (w)
        memcpy(out_etag, w->if_match, sizeof(w->if_match));
    return w != NULL;
}

struct writer *writers_join(struct writers *all, const char *path, uint64_t ino, pid_t tid,
                            pid_t opener)
{
    return writers_join_over(all, path, NULL, ino, tid, opener);
}

struct writer *writers_join_over(struct writers *all, const char *path, const char *base,
                                 uint64_t ino, pid_t tid, pid_t opener)
{
    pthread_mutex_lock(&all->lock);
    struct writer *w = find(all, path);
    if (w && base && strcmp(w->if_match, base) != 0)
        w = NULL;
    if (w)
        w->handles++;
    pthread_mutex_unlock(&all->lock);
    if (!w || join(w, ino, tid, opener))
        return w;
    writer_release(w);
    return NULL;
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
