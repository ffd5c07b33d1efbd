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
    int rc = object_open(rs->store, path, etag, rs->identities, &r->object, err);
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
    snprintf(key, sizeof(key), "%s%s", path, OBJECT_SUFFIX); // it was a key already
    struct store_stat stat;
    int rc = rs->store->ops->head(rs->store, key, &stat, err);
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

// --- Reading ---

// All runs together stay within the cache, with room for what is being read.
static uint32_t window_bound(const struct readers *rs)
{
    uint64_t share = frames_capacity(rs->frames) / (rs->running + 1);
    return (uint32_t)max_u64(1, min_u64(WINDOW_FRAMES_MAX, share));
}

// Asks for a frame that this read needs and that is missing. If the run had asked for it already, it was lost again.
static int want(struct read_handle *h, uint64_t owner, uint64_t number, const struct window *was,
                struct window_plan *ahead, struct err *err)
{
    if (frames_find(h->readers->frames, owner, number))
        return 0;
    bool in_run = was->frames > 1 && !ahead->sought;
    if (in_run && number < was->asked && number * PACK_FRAME_BYTES >= was->next_off) {
        window_lost(&h->window, number);
        ahead->count = 0;
    }
    return downloads_want(h, owner, number, err);
}

// Sees to it that the frame of this read (`len` bytes, all in one frame), the one behind it if the read goes on, and those
// ahead of it are there or on their way. Under the lock.
static int plan(struct read_handle *h, uint64_t owner, uint64_t off, size_t len, bool goes_on,
                struct err *err)
{
    struct readers *rs = h->readers;
    struct window was = h->window;
    uint64_t number = off / PACK_FRAME_BYTES;
    uint64_t frames = pack_index_frames(object_reader_index(h->reader->object));
    struct window_plan ahead = window_read(&h->window, off, len, frames, window_bound(rs));
    if (ahead.sought)
        h->epoch++;
    int rc = want(h, owner, number, &was, &ahead, err);
    if (!rc && goes_on)
        rc = want(h, owner, number + 1, &was, &ahead, err);
    if (!rc && ahead.count > 0)
        downloads_ahead(h, owner, ahead.first, ahead.count);
    rs->running += (unsigned)(h->window.frames > 1) - (unsigned)(was.frames > 1);
    return rc;
}

// The frame, pinned; waits while it loads. Under the lock.
static int wait_frame(struct read_handle *h, uint64_t owner, uint64_t number, struct frame **out,
                      struct err *err)
{
    struct readers *rs = h->readers;
    for (;;) {
        struct frame *f = frames_find(rs->frames, owner, number);
        if (!f) {
            int rc = downloads_want(h, owner, number, err);
            if (rc)
                return rc;
            continue;
        }
        frames_pin(f);
        downloads_hurry(rs, f);
        while (f->state == FRAME_LOADING)
            pthread_cond_wait(&f->settled, &rs->lock);
        if (f->state == FRAME_READY) {
            *out = f;
            return 0;
        }
        int rc = f->again ? 0 : err_copy(err, &f->err);
        frames_unpin(rs->frames, f);
        if (rc)
            return rc;
    }
}

// Copies up to the end of one frame. *out_len: how much.
static int read_piece(struct read_handle *h, uint64_t off, void *out, size_t len, bool direct,
                      size_t *out_len, struct err *err)
{
    struct readers *rs = h->readers;
    uint64_t owner = direct ? h->direct_owner : h->reader->owner;
    uint64_t number = off / PACK_FRAME_BYTES;
    size_t at = off % PACK_FRAME_BYTES;
    size_t count = (size_t)min_u64(len, PACK_FRAME_BYTES - at);
    pthread_mutex_lock(&rs->lock);
    struct frame *f;
    int rc = plan(h, owner, off, count, len > count, err);
    if (!rc)
        rc = wait_frame(h, owner, number, &f, err);
    pthread_mutex_unlock(&rs->lock);
    if (rc)
        return rc;
    assert(at + count <= f->len);
    memcpy(out, f->bytes + at, count);
    pthread_mutex_lock(&rs->lock);
    frames_read(rs->frames, f, count, direct || h->window.frames > 1);
    if (direct && frames_spent(f))
        frames_drop(rs->frames, f);
    frames_unpin(rs->frames, f);
    pthread_mutex_unlock(&rs->lock);
    *out_len = count;
    return 0;
}

int reader_read(struct read_handle *h, uint64_t off, void *out, size_t len, bool direct,
                size_t *out_len, struct err *err)
{
    const struct object_info *info = object_reader_info(h->reader->object);
    uint64_t size = info->header.record.size;
    len = off < size ? (size_t)min_u64(len, size - off) : 0;
    for (size_t done = 0, count; done < len; done += count) {
        int rc = read_piece(h, off + done, (uint8_t *)out + done, len - done, direct, &count, err);
        if (!rc)
            continue;
        if (rc == -ESTALE) {
            err_prefix(err, "it was replaced in the store while it was read");
            if (err)
                err->code = EIO;
            rc = -EIO;
        }
        err_prefix(err, "read '%s' at byte %llu", h->reader->path,
                   (unsigned long long)(off + done));
        return rc;
    }
    *out_len = len;
    return 0;
}
