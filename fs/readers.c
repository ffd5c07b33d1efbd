// The set of readers, the objects they have open, and their handles.
#include "fs/reader.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "fs/downloads.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_READERS_MAX 8 // objects kept open after their last handle

// --- The set ---

static bool reclaim(void *ctx)
{
    struct readers *rs = ctx;
    pthread_mutex_lock(&rs->lock);
    struct block *block = frames_reclaim(rs->frames);
    pthread_mutex_unlock(&rs->lock);
    block_put(block);
    return block != NULL;
}

int readers_new(const struct readers_conf *conf, struct readers **out, struct err *err)
{
    struct readers *rs = calloc(1, sizeof(*rs));
    if (!rs)
        return err_errno(err, ENOMEM, "set up reading");
    rs->store = conf->store;
    rs->identities = conf->identities;
    rs->blocks = conf->blocks;
    pthread_mutex_init(&rs->lock, NULL);
    pthread_cond_init(&rs->work, NULL);
    // Half of the memory: writers take it back through reclaim, and a window needs no more.
    int rc = frames_new(conf->memory_bytes / 2 / BLOCK_BYTES, &rs->frames, err);
    if (!rc) {
        blocks_set_reclaim(rs->blocks, reclaim, rs);
        uint64_t most = conf->memory_bytes / 4 / (PACK_FRAME_BYTES + BLOCK_BYTES);
        uint64_t threads = max_u64(1, min_u64(conf->downloads, most));
        rc = downloads_start(rs, (unsigned)threads, err);
    }
    if (rc) {
        readers_free(rs);
        return rc;
    }
    *out = rs;
    return 0;
}

static void reader_free(struct reader *r)
{
    if (!r)
        return;
    object_reader_free(r->object);
    free(r->path);
    free(r->etag);
    free(r);
}

void readers_free(struct readers *rs)
{
    if (!rs)
        return;
    downloads_stop(rs);
    assert(rs->handles == 0);
    if (rs->frames)
        blocks_set_reclaim(rs->blocks, NULL, NULL);
    while (rs->open) {
        struct reader *r = rs->open;
        rs->open = r->next;
        reader_free(r);
    }
    frames_free(rs->frames);
    pthread_cond_destroy(&rs->work);
    pthread_mutex_destroy(&rs->lock);
    free(rs);
}

uint64_t readers_fetched(struct readers *rs)
{
    return atomic_load_explicit(&rs->fetched_bytes, memory_order_relaxed);
}

// --- Objects ---

static struct reader *find_open(struct readers *rs, const char *path, const char *etag)
{
    for (struct reader *r = rs->open; r; r = r->next)
        if (!r->failed && strcmp(r->path, path) == 0 && strcmp(r->etag, etag) == 0)
            return r;
    return NULL;
}

static int reader_new(struct readers *rs, const char *path, const char *etag, struct reader **out,
                      struct err *err)
{
    struct reader *r = calloc(1, sizeof(*r));
    if (!r)
        return err_errno(err, ENOMEM, "open '%s'", path);
    int rc = object_open(rs->store, path, etag, rs->identities, NULL, &r->object, err);
    if (!rc) {
        r->path = strdup(path);
        r->etag = strdup(object_reader_info(r->object)->stat.etag);
        if (!r->path || !r->etag)
            rc = err_errno(err, ENOMEM, "open '%s'", path);
    }
    if (rc) {
        reader_free(r);
        return rc;
    }
    *out = r;
    return 0;
}

// Takes the reader out of the set; the caller frees it without the lock.
static struct reader *let_go(struct readers *rs, struct reader *r)
{
    struct reader **link = &rs->open;
    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    frames_purge(rs->frames, r->owner);
    return r;
}

// Its last handle went. It stays open for a while, with what the cache has of it (pg_restore opens a dump again and
// again), unless something was wrong. Returns the one that is to be freed instead, or NULL.
static struct reader *make_idle(struct readers *rs, struct reader *r)
{
    if (r->failed)
        return let_go(rs, r);
    r->idle_at = ++rs->ticks;
    unsigned idle = 0;
    struct reader *oldest = NULL;
    for (struct reader *each = rs->open; each; each = each->next) {
        if (each->handles > 0)
            continue;
        idle++;
        if (!oldest || each->idle_at < oldest->idle_at)
            oldest = each;
    }
    return idle > IDLE_READERS_MAX ? let_go(rs, oldest) : NULL;
}

// --- Handles ---

void read_handle_unref(struct read_handle *h)
{
    struct readers *rs = h->readers;
    assert(h->refs > 0);
    if (--h->refs > 0)
        return;
    frames_purge(rs->frames, h->direct_owner);
    struct reader *r = h->reader;
    struct reader *old = --r->handles == 0 ? make_idle(rs, r) : NULL;
    free(h);
    if (!old)
        return;
    pthread_mutex_unlock(&rs->lock);
    reader_free(old);
    pthread_mutex_lock(&rs->lock);
}

static void attach(struct read_handle *h, struct reader *r)
{
    struct readers *rs = h->readers;
    h->reader = r;
    h->direct_owner = ++rs->owners;
    h->refs = 1;
    r->handles++;
    rs->handles++;
}

static bool attach_open(struct read_handle *h, const char *path, const char *etag)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&h->readers->lock);
    struct reader *r = find_open(h->readers, path, etag);
    if (r)
        attach(h, r);
    return r != NULL;
}

// What was opened before may have been replaced since: a HEAD tells, before a read would fail in the middle.
static int check_still_there(struct readers *rs, const char *path, const char *etag,
                             struct err *err)
{
    char key[STORE_KEY_BYTES + 1];
    struct store_stat stat;
    int rc = object_store_key(path, key, err);
    if (!rc)
        rc = rs->store->ops->head(rs->store, key, &stat, err);
    if (!rc && strcmp(stat.etag, etag) != 0)
        rc = err_set(err, ESTALE, "another object stands there now");
    return rc;
}

int reader_open(struct readers *rs, const char *path, const char *etag, struct read_handle **out,
                struct err *err)
{
    struct read_handle *h = calloc(1, sizeof(*h));
    if (!h)
        return err_errno(err, ENOMEM, "open '%s'", path);
    h->readers = rs;
    if (etag && attach_open(h, path, etag)) {
        int rc = check_still_there(rs, path, etag, err);
        if (rc)
            reader_close(h);
        else
            *out = h;
        return rc;
    }
    struct reader *mine = NULL;
    int rc = reader_new(rs, path, etag, &mine, err);
    if (rc) {
        free(h);
        return rc;
    }
    pthread_mutex_lock(&rs->lock);
    struct reader *r = find_open(rs, path, mine->etag); // somebody was faster?
    if (!r) {
        r = take(mine);
        r->owner = ++rs->owners;
        r->next = rs->open;
        rs->open = r;
    }
    attach(h, r);
    pthread_mutex_unlock(&rs->lock);
    reader_free(mine);
    *out = h;
    return 0;
}

const struct object_reader *reader_object(const struct read_handle *h)
{
    return h->reader->object;
}

void reader_close(struct read_handle *h)
{
    if (!h)
        return;
    struct readers *rs = h->readers;
    auto_unlock pthread_mutex_t *held = scope_lock(&rs->lock);
    h->closed = true;
    rs->handles--;
    if (h->window.frames > 1)
        rs->running--;
    read_handle_unref(h);
}
