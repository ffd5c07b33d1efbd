// Frames behind the head: packed by the workers, handed on in order.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/pack/packer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define PIECE_BYTES ((size_t)128 * 1024)

int frame_pack_block(struct frame *f, const struct frame_params *params, bool keep, struct err *err)
{
    struct frame_scratch *scratch = NULL;
    int rc = frame_scratch_get(&scratch, err);
    if (rc < 0)
        return rc;
    const uint8_t *plain = block_memory(f->block);
    if (!plain) {
        rc = block_read(f->block, 0, scratch->plain, f->plain_len, err);
        if (rc < 0)
            return rc;
        plain = scratch->plain;
    }
    rc = frame_pack(scratch, params, plain, f->plain_len, &f->packed_len, err);
    if (rc < 0 || !keep)
        return rc;
    f->checksum = frame_checksum(plain, f->plain_len);
    sha256(plain, f->plain_len, f->sha);
    // A copy costs a hundredth of the packing, and the block stays where it is: in memory or spool.
    return block_write(f->block, 0, scratch->packed, f->packed_len, err);
}

int block_give(struct block *block, size_t len, give_fn *give, struct packer *p, struct err *err)
{
    if (block_memory(block))
        return give(p, block_memory(block), len, err);
    uint8_t *piece = malloc(PIECE_BYTES);
    if (!piece)
        return err_set(err, ENOMEM, "no memory to read the spool");
    int rc = 0;
    for (size_t off = 0; off < len && rc == 0; off += PIECE_BYTES) {
        size_t n = (size_t)min_u64(len - off, PIECE_BYTES);
        rc = block_read(block, off, piece, n, err);
        if (rc == 0)
            rc = give(p, piece, n, err);
    }
    free(piece);
    return rc;
}

// --- Handing on ---

static int add_filler(struct packer *p, const uint8_t *bytes, size_t len, struct err *err)
{
    while (len > 0) {
        size_t off = (size_t)(p->filler_len % BLOCK_BYTES);
        struct block **block = &p->filler[p->filler_len / BLOCK_BYTES];
        int rc = 0;
        // It stays until the commit, as a head's block does, and is bounded with those.
        if (off == 0)
            rc = block_get(p->env->blocks, BLOCK_HEAD, block, err);
        if (rc < 0)
            return rc;
        size_t n = (size_t)min_u64(len, BLOCK_BYTES - off);
        rc = block_write(*block, off, bytes, n, err);
        if (rc < 0) {
            if (off == 0)
                block_put(take(*block));
            return rc;
        }
        p->filler_len += n;
        bytes += n;
        len -= n;
    }
    return 0;
}

// A piece of the packed stream behind the reserve: filler first, then to next.
static int give_behind(struct packer *p, const uint8_t *bytes, size_t len, struct err *err)
{
    uint64_t room = p->front - p->reserve - p->filler_len;
    size_t filler = (size_t)min_u64(len, room);
    int rc = add_filler(p, bytes, filler, err);
    if (rc < 0 || filler == len)
        return rc;
    if (!p->front_opened) {
        rc = sink_open_front(p->next, p->front, err);
        if (rc < 0)
            return rc;
        p->front_opened = true;
    }
    return sink_write(p->next, bytes + filler, len - filler, err);
}

static int hand_on_frame(struct packer *p, const struct frame *f, struct err *err)
{
    struct seektable_entry entry = {(uint32_t)f->packed_len, (uint32_t)f->plain_len, f->checksum};
    int rc = seektable_add(&p->behind, &entry, err);
    if (rc == 0)
        rc = digest_log_put(p->digests, f->number, f->sha, err);
    if (rc == 0)
        rc = block_give(f->block, f->packed_len, give_behind, p, err);
    if (rc == 0 && p->front_opened)
        p->packed += f->plain_len;
    return rc;
}

// With the lock held, which it leaves for each frame: whoever comes in between finds `handing` and goes; its frame is
// seen here, because `done` is set under the lock.
static void hand_on(struct packer *p)
{
    if (p->handing)
        return;
    p->handing = true;
    while (p->handed < p->submitted && p->flight[p->handed % p->flight_max].done) {
        struct frame *f = &p->flight[p->handed % p->flight_max];
        bool failed = p->failed.code != 0;
        pthread_mutex_unlock(&p->lock);
        struct err err = {0};
        if (!failed && hand_on_frame(p, f, &err) < 0)
            packer_latch(p, &err);
        block_put(take(f->block));
        pthread_mutex_lock(&p->lock);
        p->handed++;
        pthread_cond_broadcast(&p->changed);
    }
    p->handing = false;
    pthread_cond_broadcast(&p->changed);
}

static void run_frame(void *ctx)
{
    struct frame *f = ctx;
    struct packer *p = f->packer;
    struct err err = {0};
    struct frame_params params = {.level = p->env->level};
    if (packer_failed(p, NULL) == 0 && frame_pack_block(f, &params, true, &err) < 0)
        packer_latch(p, &err);
    pthread_mutex_lock(&p->lock);
    f->done = true;
    hand_on(p);
    pthread_mutex_unlock(&p->lock); // the packer may be gone from here on
}

// --- The caller's side ---

int flight_wait_room(struct packer *p, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&p->lock);
    while (p->submitted - p->handed == p->flight_max)
        pthread_cond_wait(&p->changed, &p->lock);
    return p->failed.code ? err_copy(err, &p->failed) : 0;
}

void flight_submit(struct packer *p, struct block *block, size_t plain_len)
{
    block_set_phase(block, BLOCK_PACKING);
    pthread_mutex_lock(&p->lock);
    assert(p->submitted - p->handed < p->flight_max);
    struct frame *f = &p->flight[p->submitted % p->flight_max];
    *f = (struct frame){.packer = p,
                        .block = block,
                        .number = p->head_count + p->submitted,
                        .plain_len = plain_len};
    p->submitted++;
    pthread_mutex_unlock(&p->lock);
    workers_submit(p->env->packers, run_frame, f);
}

void flight_wait(struct packer *p)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&p->lock);
    while (p->handed < p->submitted || p->handing)
        pthread_cond_wait(&p->changed, &p->lock);
}
