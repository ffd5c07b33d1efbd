#include "backend/pack/packer.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int packer_new(const struct pack_env *env, struct sink *next, struct packer **out, struct err *err)
{
    assert(env->head_bytes % PACK_FRAME_BYTES == 0 && env->packer_count > 0);
    struct packer *p = calloc(1, sizeof(*p));
    if (!p) {
        sink_free(next);
        return err_set(err, ENOMEM, "no memory for a file being written");
    }
    p->env = env;
    p->next = next;
    p->head_limit = env->head_bytes;
    p->flight_max = env->packer_count + 2;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    p->flight = calloc(p->flight_max, sizeof(*p->flight));
    uint64_t early = max_u64(env->head_bytes, PACKER_PGDMP_HEAD_BYTES) / PACK_FRAME_BYTES;
    int rc = p->flight ? digest_log_new(early, &p->digests, err)
                       : err_set(err, ENOMEM, "no memory for a file being written");
    if (rc < 0) {
        packer_free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void packer_free(struct packer *p)
{
    if (!p)
        return;
    int saved = errno;
    struct err given_up;
    err_set(&given_up, ECANCELED, "the file was given up");
    packer_latch(p, &given_up); // frames in flight are dropped, not sent
    flight_wait(p);
    block_put(p->tail);
    for (size_t i = 0; i < p->head_count; i++)
        block_put(p->head[i].block);
    for (uint64_t off = 0; off < p->filler_len; off += BLOCK_BYTES)
        block_put(p->filler[off / BLOCK_BYTES]);
    sink_free(p->next);
    seektable_done(&p->behind);
    digest_log_free(p->digests);
    free(p->filler);
    free(p->head);
    free(p->flight);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
    errno = saved;
}

void packer_latch(struct packer *p, const struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&p->lock);
    if (p->failed.code == 0)
        p->failed = *err;
}

int packer_failed(struct packer *p, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&p->lock);
    return p->failed.code ? err_copy(err, &p->failed) : 0;
}

// Ends a call of the caller: what went wrong is latched, and the first that ever did is what it hears.
static int settle(struct packer *p, int rc, const struct err *own, struct err *err)
{
    if (rc < 0)
        packer_latch(p, own);
    return packer_failed(p, err);
}

static int append_tail(struct packer *p, const uint8_t *bytes, size_t len, size_t *out_taken,
                       struct err *err)
{
    int rc = 0;
    if (!p->tail) {
        rc = flight_wait_room(p, err);
        if (rc == 0)
            rc = block_get(p->env->blocks, BLOCK_WRITER, &p->tail, err);
        if (rc < 0)
            return rc;
    }
    size_t n = (size_t)min_u64(len, PACK_FRAME_BYTES - p->tail_len);
    rc = block_write(p->tail, p->tail_len, bytes, n, err);
    if (rc < 0)
        return rc;
    p->tail_len += n;
    p->size += n;
    if (p->tail_len == PACK_FRAME_BYTES) {
        flight_submit(p, take(p->tail), p->tail_len);
        p->tail_len = 0;
    }
    *out_taken = n;
    return 0;
}

static int append(struct packer *p, const uint8_t *bytes, size_t len, struct err *err)
{
    while (len > 0) {
        size_t taken = 0;
        int rc = 0;
        if (p->size < p->head_limit)
            rc = head_append(p, bytes, len, &taken, err);
        else if (!p->head_closed)
            rc = head_close(p, err);
        else
            rc = append_tail(p, bytes, len, &taken, err);
        if (rc < 0)
            return rc;
        bytes += taken;
        len -= taken;
    }
    return 0;
}

int packer_write(struct packer *p, const void *bytes, size_t len, struct err *err)
{
    assert(!p->committed);
    struct err own = {0};
    int rc = packer_failed(p, &own);
    if (rc == 0)
        rc = append(p, bytes, len, &own);
    return settle(p, rc, &own, err);
}

// Are all of these bytes still plain, here?
static bool still_held(const struct packer *p, uint64_t off, uint64_t end)
{
    uint64_t head_end = head_held_bytes(p), tail_start = p->size - p->tail_len;
    return end <= head_end || off >= tail_start || tail_start == head_end;
}

static int refuse(const struct packer *p, uint64_t off, uint64_t end, const char *what,
                  struct err *err)
{
    return err_set(err, EOPNOTSUPP,
                   "bytes %llu to %llu of this file are packed and gone: only its first %llu can "
                   "be %s (see [write] seek and head)",
                   (unsigned long long)off, (unsigned long long)end,
                   (unsigned long long)head_held_bytes(p), what);
}

// How many of the bytes from `off` lie in the head. The others lie in the frame being filled, from *out_tail_off on.
static size_t split_held(const struct packer *p, uint64_t off, size_t len, size_t *out_tail_off)
{
    uint64_t head_end = head_held_bytes(p);
    size_t in_head = off < head_end ? (size_t)min_u64(len, head_end - off) : 0;
    *out_tail_off = in_head < len ? (size_t)(off + in_head - (p->size - p->tail_len)) : 0;
    return in_head;
}

int packer_rewrite(struct packer *p, uint64_t off, const void *bytes, size_t len, struct err *err)
{
    assert(!p->committed);
    struct err own = {0};
    int rc = packer_failed(p, &own);
    // After a failure the size is anybody's guess, and the caller's may be another.
    assert(rc < 0 || (off <= p->size && len <= p->size - off));
    if (rc == 0 && len > 0) {
        if (!still_held(p, off, off + len))
            return refuse(p, off, off + len, "rewritten", err);
        size_t tail_off, in_head = split_held(p, off, len, &tail_off);
        rc = head_rewrite(p, off, bytes, in_head, &own);
        if (rc == 0 && in_head < len)
            rc = block_write(p->tail, tail_off, (const uint8_t *)bytes + in_head, len - in_head,
                             &own);
    }
    return settle(p, rc, &own, err);
}

int packer_read(struct packer *p, uint64_t off, void *out, size_t len, struct err *err)
{
    assert(!p->committed);
    struct err own = {0};
    int rc = packer_failed(p, &own);
    assert(rc < 0 || (off <= p->size && len <= p->size - off));
    if (rc == 0 && len > 0) {
        if (!still_held(p, off, off + len))
            return refuse(p, off, off + len, "read back", err);
        size_t tail_off, in_head = split_held(p, off, len, &tail_off);
        rc = head_read(p, off, out, in_head, &own);
        if (rc == 0 && in_head < len)
            rc = block_read(p->tail, tail_off, (uint8_t *)out + in_head, len - in_head, &own);
    }
    return settle(p, rc, &own, err);
}

int packer_truncate(struct packer *p, uint64_t size, struct err *err)
{
    assert(!p->committed);
    int rc = packer_failed(p, err);
    assert(rc < 0 || size <= p->size);
    if (rc < 0 || size == p->size)
        return rc;
    uint64_t tail_start = p->size - p->tail_len;
    // What was submitted is packed, counted and soon sent, whatever becomes of it. (Only the caller submits.)
    if (size < tail_start && p->submitted > 0)
        return refuse(p, size, tail_start, "cut", err);
    p->tail_len = size > tail_start ? (size_t)(size - tail_start) : 0;
    if (p->tail_len == 0)
        block_put(take(p->tail)); // an empty frame must not be
    if (size <= tail_start && p->submitted == 0)
        head_truncate(p, size);
    p->size = size;
    return 0;
}

uint64_t packer_size(const struct packer *p)
{
    return p->size;
}

uint64_t packer_head_held(const struct packer *p)
{
    return head_held_bytes(p);
}

uint64_t packer_packed(const struct packer *p)
{
    return p->packed;
}

int packer_sync(struct packer *p, struct err *err)
{
    flight_wait(p);
    return packer_failed(p, err);
}
