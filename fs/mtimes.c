#include "fs/mtimes.h"

#include "backend/base/clock.h"
#include "backend/base/log.h"
#include "backend/base/scope.h"
#include "fs/rewrite.h"
#include "fs/stack.h"

#include <errno.h>
#include <search.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define MTIMES_THREADS 4
#define MTIMES_MAX 16384

//     state      means                          set again            stored
//     WAITING    due some time                  due later            becomes STORING
//     STORING    its rewrite is under way       WAITING afterwards   leaves the table
enum state { WAITING, STORING };

struct pending {
    char *path;
    struct object_info info; // what it is for
    struct timespec mtime;
    enum state state;
    bool again;   // set while it was being stored
    bool dropped; // while it was being stored
    uint64_t due_ms;
    struct pending *next, **link; // by due_ms
};

struct mtimes {
    struct stack *stack;
    unsigned delay_ms;
    // is it worth a rewrite: the bucket keeps no old versions; -1: not asked yet
    atomic_int offered;
    unsigned thread_count;
    pthread_t threads[MTIMES_THREADS];
    pthread_mutex_t lock;
    pthread_cond_t change;
    // below: under lock
    void *by_path;
    struct pending *first, **end;
    size_t count;
    bool stopping;
    uint64_t stop_ms; // no later than this
};

// --- The table; under lock ---

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct pending *)a)->path, ((const struct pending *)b)->path);
}

static struct pending *find(const struct mtimes *m, const char *path)
{
    struct pending key;
    memcpy(&key.path, &path, sizeof(path)); // only compared
    struct pending **found = tfind(&key, &m->by_path, compare);
    return found ? *found : NULL;
}

static void unlink_pending(struct mtimes *m, struct pending *p)
{
    *p->link = p->next;
    *(p->next ? &p->next->link : &m->end) = p->link;
}

static void link_last(struct mtimes *m, struct pending *p)
{
    p->due_ms = clock_ms() + m->delay_ms;
    p->next = NULL;
    p->link = m->end;
    *m->end = p;
    m->end = &p->next;
}

static void forget(struct mtimes *m, struct pending *p)
{
    tdelete(p, &m->by_path, compare);
    unlink_pending(m, p);
    m->count--;
    free(p->path);
    free(p);
}

static bool add(struct mtimes *m, const char *path, const struct object_info *info,
                struct timespec mtime)
{
    struct pending *p = m->count < MTIMES_MAX ? calloc(1, sizeof(*p)) : NULL;
    if (!p || !(p->path = strdup(path)) || !tsearch(p, &m->by_path, compare)) {
        if (p)
            free(p->path);
        free(p);
        return false;
    }
    p->info = *info;
    p->mtime = mtime;
    link_last(m, p);
    m->count++;
    return true;
}

// --- Storing ---

static int rewrite(struct stack *stack, const struct pending *p, const struct timespec *mtime,
                   struct object_info *out, struct err *err)
{
    const char *etag = p->info.stat.etag;
    if (writers_is_writing(stack->writers, p->path))
        return err_set(err, EBUSY, "it is being written anew");
    struct rewrite r = {
        .from = p->path,
        .to = p->path,
        .info = &p->info,
        .cond = {.if_match = etag},
        .mtime = mtime,
    };
    int rc = rewrite_object(stack, &r, out, NULL, err);
    if (rc) {
        tree_forget(stack->tree, p->path);
        return rc;
    }
    struct tree_stat stat = {.kind = TREE_FILE, .info = *out};
    nodes_rewritten(stack->nodes, p->path, etag, &stat);
    tree_committed(stack->tree, p->path, out);
    return 0;
}

// Under lock, which it gives up in between.
static void store_one(struct mtimes *m, struct pending *p)
{
    struct timespec mtime = p->mtime;
    struct object_info info;
    struct err err = {0};
    p->state = STORING;
    p->again = false;
    pthread_mutex_unlock(&m->lock);
    struct claim claim = {.path = p->path};
    int rc = claims_take(m->stack->claims, &claim, &err);
    bool is_busy = rc != 0; // its directory is being renamed: later, or with that
    if (!rc) {
        pthread_mutex_lock(&m->lock);
        bool dropped = p->dropped;
        mtime = p->mtime;
        p->again = false;
        pthread_mutex_unlock(&m->lock);
        rc = dropped ? err_set(&err, ESTALE, "it is another file now")
                     : rewrite(m->stack, p, &mtime, &info, &err);
        claims_drop(m->stack->claims, &claim);
    }
    if (rc && !is_busy && rc != -ESTALE && rc != -ENOENT && rc != -EEXIST)
        log_warn("its time of modification stays what it was when it was stored: %s path=%s",
                 err.text, p->path);
    pthread_mutex_lock(&m->lock);
    p->state = WAITING;
    if (!rc)
        p->info = info;
    if (p->dropped || (rc && !is_busy) || (!rc && !p->again)) {
        forget(m, p);
    } else {
        unlink_pending(m, p);
        link_last(m, p);
    }
    pthread_cond_broadcast(&m->change);
}

static struct pending *next_due(struct mtimes *m, uint64_t *out_due_ms)
{
    for (struct pending *p = m->first; p; p = p->next) {
        if (p->state != WAITING)
            continue;
        *out_due_ms = m->stopping ? 0 : p->due_ms;
        return p;
    }
    return NULL;
}

static void *run(void *arg)
{
    struct mtimes *m = arg;
    auto_unlock pthread_mutex_t *held = scope_lock(&m->lock);
    for (;;) {
        uint64_t due_ms = 0, now = clock_ms();
        if (m->stopping && now >= m->stop_ms)
            return NULL;
        struct pending *p = next_due(m, &due_ms);
        if (p && due_ms <= now) {
            store_one(m, p);
        } else if (p) {
            struct timespec until = clock_at(due_ms);
            pthread_cond_timedwait(&m->change, &m->lock, &until);
        } else if (m->stopping) {
            return NULL;
        } else {
            pthread_cond_wait(&m->change, &m->lock);
        }
    }
}

// --- Coming and going ---

// Where an old version stays, it is billed: the times of files are not worth that.
static bool keeps_versions(struct store *store)
{
    struct store_facts facts;
    if (store->ops->facts(store, &facts, NULL) != 0)
        return false;
    return facts.versioning == STORE_FACT_YES || facts.lock == STORE_FACT_YES;
}

int mtimes_new(struct stack *stack, unsigned delay_ms, struct mtimes **out, struct err *err)
{
    struct mtimes *m = calloc(1, sizeof(*m));
    if (!m)
        return err_errno(err, ENOMEM, "make the table of times");
    m->stack = stack;
    m->delay_ms = delay_ms;
    m->end = &m->first;
    m->offered = -1;
    pthread_mutex_init(&m->lock, NULL);
    clock_cond_init(&m->change);
    int rc = 0;
    while (!rc && m->thread_count < MTIMES_THREADS) {
        rc = pthread_create(&m->threads[m->thread_count], NULL, run, m);
        m->thread_count += !rc;
    }
    if (rc) {
        mtimes_free(m, 0);
        return err_errno(err, rc, "start a thread");
    }
    *out = m;
    return 0;
}

void mtimes_free(struct mtimes *m, uint64_t deadline_ms)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    m->stopping = true;
    m->stop_ms = clock_ms() + deadline_ms;
    pthread_cond_broadcast(&m->change);
    pthread_mutex_unlock(&m->lock);
    for (unsigned i = 0; i < m->thread_count; i++)
        pthread_join(m->threads[i], NULL);
    if (m->count > 0)
        log_warn("ending: the times of %zu files were not stored before [mount] drain_deadline",
                 m->count);
    while (m->first)
        forget(m, m->first);
    pthread_cond_destroy(&m->change);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

// --- Setting and asking ---

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool can_store(struct mtimes *m, const char *path, const struct object_info *info)
{
    if (!protect_is_young(m->stack, info) || rewrite_check(m->stack, path, info, NULL) != 0)
        return false;
    if (m->offered < 0)
        m->offered = !keeps_versions(m->stack->store);
    return m->offered > 0;
}

void mtimes_set(struct mtimes *m, const char *path, const struct object_info *info,
                struct timespec mtime)
{
    bool possible = can_store(m, path, info);
    auto_unlock pthread_mutex_t *held = scope_lock(&m->lock);
    struct pending *p = find(m, path);
    if (p && strcmp(p->info.stat.etag, info->stat.etag) != 0 && p->state == WAITING) {
        forget(m, p); // of what stood there before
        p = NULL;
    }
    if (p && !p->dropped) {
        p->mtime = mtime;
        p->again = true;
        if (p->state == WAITING) {
            unlink_pending(m, p);
            link_last(m, p);
        }
    } else if (!p && possible && !same_time(mtime, info->header.record.mtime)) {
        add(m, path, info, mtime); // without memory it is not stored
    }
    pthread_cond_broadcast(&m->change);
}

// While it is stored, the file may be looked at by its old ETag and by its new one.
bool mtimes_look(struct mtimes *m, const char *path, const char *etag, struct timespec *out)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&m->lock);
    const struct pending *p = find(m, path);
    if (!p || p->dropped || (p->state == WAITING && strcmp(p->info.stat.etag, etag) != 0))
        return false;
    *out = p->mtime;
    return true;
}

bool mtimes_take(struct mtimes *m, const char *path, const char *etag, struct timespec *out)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&m->lock);
    struct pending *p = find(m, path);
    if (!p || p->dropped || strcmp(p->info.stat.etag, etag) != 0)
        return false;
    *out = p->mtime;
    if (p->state == STORING)
        p->dropped = true; // it waits for the claim
    else
        forget(m, p);
    return true;
}

void mtimes_drop(struct mtimes *m, const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&m->lock);
    struct pending *p = find(m, path);
    if (p && p->state == STORING)
        p->dropped = true;
    else if (p)
        forget(m, p);
}

void mtimes_settle(struct mtimes *m, const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&m->lock);
    struct pending *p;
    while ((p = find(m, path)) && p->state == STORING) {
        p->dropped = true;
        pthread_cond_wait(&m->change, &m->lock);
    }
    if (p)
        forget(m, p);
}
