#include "fs/downloads.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define GROUP_PACKED_BYTES (4 * MIB)

struct job {
    struct read_handle *handle;
    struct job_queue *queue; // NULL: running
    struct job *prev, *next;
    unsigned epoch;
    bool ahead; // nobody had asked for it
    uint64_t first;
    unsigned count;
    struct frame *frames[WINDOW_GROUP_MAX];
    struct block *blocks[WINDOW_GROUP_MAX];
};

struct downloader { // one thread's own
    struct readers *readers;
    struct pack_decoder *decoder;
    uint8_t *frame; // when no block is to be had
};

static void queue_out(struct job *job)
{
    struct job_queue *q = job->queue;
    *(job->prev ? &job->prev->next : &q->first) = job->next;
    *(job->next ? &job->next->prev : &q->last) = job->prev;
    job->prev = job->next = NULL;
    job->queue = NULL;
}

static void queue_in(struct job_queue *q, struct job *job)
{
    job->queue = q;
    job->prev = q->last;
    *(q->last ? &q->last->next : &q->first) = job;
    q->last = job;
}

// Nobody waits for any of its frames, and its handle does not want them any more.
static bool is_given_up(const struct readers *rs, const struct job *job)
{
    if (rs->stop)
        return true;
    if (!job->handle->closed && job->handle->epoch == job->epoch)
        return false;
    for (unsigned i = 0; i < job->count; i++)
        if (job->frames[i]->pins > 1)
            return false;
    return true;
}

static struct job *job_new(struct read_handle *h, uint64_t first)
{
    struct job *job = calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->handle = h;
    job->epoch = h->epoch;
    job->first = first;
    return job;
}

static bool job_add(struct job *job, uint64_t owner)
{
    uint64_t number = job->first + job->count;
    struct pack_span span =
        pack_index_span(object_reader_index(job->handle->reader->object), number);
    struct frame *f = frames_add(job->handle->readers->frames, owner, number, span.plain_len, job);
    if (!f)
        return false;
    job->frames[job->count++] = f;
    return true;
}

static void job_send(struct readers *rs, struct job_queue *q, struct job *job)
{
    job->handle->refs++;
    queue_in(q, job);
    pthread_cond_signal(&rs->work);
}

int downloads_want(struct read_handle *h, uint64_t owner, uint64_t number, struct err *err)
{
    struct job *job = job_new(h, number);
    if (!job || !job_add(job, owner)) {
        free(job);
        return err_errno(err, ENOMEM, "fetch a frame");
    }
    job_send(h->readers, &h->readers->wanted, job);
    return 0;
}

static uint64_t packed_bytes(const struct read_handle *h, uint64_t first, uint64_t last)
{
    const struct pack_index *index = object_reader_index(h->reader->object);
    struct pack_span from = pack_index_span(index, first);
    struct pack_span to = pack_index_span(index, last);
    return to.packed_off + to.packed_len - from.packed_off;
}

void downloads_ahead(struct read_handle *h, uint64_t owner, uint64_t first, uint64_t count)
{
    struct readers *rs = h->readers;
    unsigned group = window_group(&h->window);
    uint64_t end = first + count;
    for (uint64_t at = first; at < end;) {
        if (frames_find(rs->frames, owner, at)) {
            at++;
            continue;
        }
        struct job *job = job_new(h, at);
        if (!job)
            return;
        job->ahead = true;
        do {
            if (!job_add(job, owner))
                break;
            at++;
        } while (at < end && job->count < group && !frames_find(rs->frames, owner, at) &&
                 packed_bytes(h, job->first, at) <= GROUP_PACKED_BYTES);
        if (job->count == 0) {
            free(job);
            return;
        }
        job_send(rs, &rs->ahead, job);
    }
}

void downloads_hurry(struct readers *rs, struct frame *f)
{
    struct job *job = f->loader;
    if (!job || job->queue != &rs->ahead)
        return;
    queue_out(job);
    queue_in(&rs->wanted, job);
}

// Frames from `count` on are not fetched by this job: whoever waits asks for them alone.
static void job_cut(struct readers *rs, struct job *job, unsigned count)
{
    while (job->count > count) {
        job->count--;
        frames_failed(rs->frames, job->frames[job->count], NULL);
    }
}

// Frames in front of `count` are not fetched by this job.
static void job_skip(struct readers *rs, struct job *job, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        frames_failed(rs->frames, job->frames[i], NULL);
    for (unsigned i = count; i < job->count; i++)
        job->frames[i - count] = job->frames[i];
    job->count -= count;
    job->first += count;
}

// Blocks for the job's frames: of frames that were read to their end first (they are warm), then the pool's, then
// those of the coldest frames. Under the lock, which it lets go of around the pool. Returns how many there are.
static unsigned find_blocks(struct readers *rs, struct job *job)
{
    unsigned have = 0;
    while (have < job->count && (job->blocks[have] = frames_reuse(rs->frames, false)))
        have++;
    unsigned granted = have;
    while (granted < job->count && frames_grant(rs->frames))
        granted++;
    if (granted > have) {
        pthread_mutex_unlock(&rs->lock);
        unsigned got = have;
        while (got < granted && block_get(rs->blocks, BLOCK_CACHE, &job->blocks[got], NULL) == 0)
            got++;
        pthread_mutex_lock(&rs->lock);
        for (; granted > got; granted--)
            frames_ungrant(rs->frames);
        have = got;
    }
    while (have < job->count && (job->blocks[have] = frames_reuse(rs->frames, true)))
        have++;
    return have;
}

// Memory for fetched bytes beyond the downloader's own. Not under the lock.
static bool reserve_packed(struct readers *rs, uint64_t bytes)
{
    while (!blocks_reserve(rs->blocks, bytes)) {
        pthread_mutex_lock(&rs->lock);
        struct block *block = frames_reclaim(rs->frames);
        pthread_mutex_unlock(&rs->lock);
        if (!block)
            return false;
        block_put(block);
    }
    return true;
}

static uint64_t packed_beyond(const struct job *job)
{
    // they are there twice for a moment: as fetched, and with their seal opened
    uint64_t both = 2 * packed_bytes(job->handle, job->first, job->first + job->count - 1);
    return both > BLOCK_BYTES ? both - BLOCK_BYTES : 0;
}

// Cuts the job to the memory there is. Under the lock, which it lets go of. *out_reserved: packed bytes accounted.
static void find_memory(struct readers *rs, struct job *job, uint64_t *out_reserved)
{
    unsigned have = find_blocks(rs, job);
    unsigned keep = have;
    *out_reserved = 0;
    if (have == 0) { // only what somebody waits for, into the downloader's own room
        unsigned i = 0;
        while (i < job->count && job->frames[i]->pins == 1)
            i++;
        job_skip(rs, job, i);
        keep = 1;
    }
    job_cut(rs, job, keep);
    if (job->count > 1)
        *out_reserved = packed_beyond(job);
    if (*out_reserved == 0)
        return;
    pthread_mutex_unlock(&rs->lock);
    bool reserved = reserve_packed(rs, *out_reserved);
    pthread_mutex_lock(&rs->lock);
    if (reserved)
        return;
    *out_reserved = 0;
    while (job->count > 1 && packed_beyond(job) > 0)
        job_cut(rs, job, job->count - 1);
    for (unsigned i = job->count; i < have; i++) {
        frames_ungrant(rs->frames);
        block_put(take(job->blocks[i]));
    }
}

// The GET failed. What was read ahead is asked for alone by whoever waits for it by now, so that one bad frame in a group
// fails only those who need it; but not after a deadline, which they would have to sit through again.
static void settle_failed(struct readers *rs, struct job *job, const struct err *err)
{
    bool again = job->ahead && err->code != ETIMEDOUT;
    job->handle->reader->failed = true;
    for (unsigned i = 0; i < job->count; i++) {
        if (job->blocks[i]) {
            frames_ungrant(rs->frames);
            block_put(take(job->blocks[i]));
        }
        frames_failed(rs->frames, job->frames[i], again ? NULL : err);
    }
}

static void settle_lent(struct downloader *d, struct frame *f)
{
    struct readers *rs = d->readers;
    frames_lend(rs->frames, f, d->frame);
    while (f->pins > 1)
        pthread_cond_wait(&f->settled, &rs->lock);
    frames_unpin(rs->frames, f);
}

static void fetch(struct downloader *d, struct job *job)
{
    struct readers *rs = d->readers;
    struct object_reader *object = job->handle->reader->object;
    uint64_t reserved;
    find_memory(rs, job, &reserved);
    if (job->count == 0)
        return;
    uint64_t packed = packed_bytes(job->handle, job->first, job->first + job->count - 1);
    pthread_mutex_unlock(&rs->lock);

    uint8_t *outs[WINDOW_GROUP_MAX];
    for (unsigned i = 0; i < job->count; i++)
        outs[i] = job->blocks[i] ? block_memory(job->blocks[i]) : d->frame;
    struct err err = {0};
    int rc = object_read_frames(object, d->decoder, job->first, job->count, outs, &err);
    atomic_fetch_add_explicit(&rs->fetched_bytes, packed, memory_order_relaxed);
    if (reserved > 0)
        blocks_unreserve(rs->blocks, reserved);

    pthread_mutex_lock(&rs->lock);
    if (rc) {
        settle_failed(rs, job, &err);
        return;
    }
    for (unsigned i = 0; i < job->count; i++) {
        if (job->blocks[i])
            frames_ready(rs->frames, job->frames[i], job->blocks[i]);
        else
            settle_lent(d, job->frames[i]);
    }
}

static struct job *next_job(struct readers *rs)
{
    while (!rs->wanted.first && !rs->ahead.first) {
        if (rs->stop)
            return NULL;
        pthread_cond_wait(&rs->work, &rs->lock);
    }
    struct job *job = rs->wanted.first ? rs->wanted.first : rs->ahead.first;
    queue_out(job);
    return job;
}

static void *run_downloader(void *arg)
{
    struct downloader *d = arg;
    struct readers *rs = d->readers;
    pthread_setname_np(pthread_self(), "download");
    pthread_mutex_lock(&rs->lock);
    for (struct job *job; (job = next_job(rs));) {
        if (is_given_up(rs, job))
            job_cut(rs, job, 0);
        else
            fetch(d, job);
        read_handle_unref(job->handle);
        free(job);
    }
    pthread_mutex_unlock(&rs->lock);
    pack_decoder_free(d->decoder);
    free(d->frame);
    free(d);
    return NULL;
}

static int start_one(struct readers *rs, struct err *err)
{
    struct downloader *d = calloc(1, sizeof(*d));
    if (!d)
        return err_errno(err, ENOMEM, "start a downloader");
    d->readers = rs;
    d->frame = malloc(PACK_FRAME_BYTES);
    int rc = d->frame ? pack_decoder_new(&d->decoder, err)
                      : err_errno(err, ENOMEM, "start a downloader");
    if (!rc) {
        int failed = pthread_create(&rs->threads[rs->thread_count], NULL, run_downloader, d);
        if (!failed) {
            rs->thread_count++;
            return 0;
        }
        rc = err_errno(err, failed, "start a downloader");
        pack_decoder_free(d->decoder);
    }
    free(d->frame);
    free(d);
    return rc;
}

int downloads_start(struct readers *rs, unsigned threads, struct err *err)
{
    assert(threads > 0);
    uint64_t each = PACK_FRAME_BYTES + BLOCK_BYTES;
    while (threads > 1 && !blocks_reserve(rs->blocks, threads * each))
        threads--;
    if (threads == 1 && !blocks_reserve(rs->blocks, each))
        return err_set(err, ENOMEM,
                       "[limits] memory leaves no room for reading: raise it to 16M or more");
    rs->reserved_bytes = threads * each;
    rs->threads = calloc(threads, sizeof(*rs->threads));
    if (!rs->threads)
        return err_errno(err, ENOMEM, "start the downloaders");
    for (unsigned i = 0; i < threads; i++) {
        int rc = start_one(rs, err);
        if (rc)
            return rc;
    }
    return 0;
}

void downloads_stop(struct readers *rs)
{
    pthread_mutex_lock(&rs->lock);
    rs->stop = true;
    pthread_cond_broadcast(&rs->work);
    pthread_mutex_unlock(&rs->lock);
    for (unsigned i = 0; i < rs->thread_count; i++)
        pthread_join(rs->threads[i], NULL);
    free(rs->threads);
    if (rs->reserved_bytes > 0)
        blocks_unreserve(rs->blocks, rs->reserved_bytes);
}
