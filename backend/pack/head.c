// The head: plain frames in blocks until the commit, because pg_dump and others go back and rewrite them.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/pack/packer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// What a rewrite may add to the packed head. A rewritten table of contents grew by 17 % of its packed size: three times that
// is held free, at least a MiB, but no more than an eighth of the plain bytes, since the gap is stored.
#define RESERVE_SHARE_PACKED 2
#define RESERVE_SHARE_PLAIN 8
#define RESERVE_SPARE_MIN MIB
#define RESERVE_BYTES (64 * KIB)
#define REPACK_LEVEL_MAX 12 // beyond that a level is slow, and another length was found long before

uint64_t head_held_bytes(const struct packer *p)
{
    return min_u64(p->size, p->head_limit);
}

static int add_block(struct packer *p, struct err *err)
{
    struct block *block = NULL;
    struct frame *grown = realloc(p->head, (p->head_count + 1) * sizeof(*grown));
    if (!grown)
        return err_set(err, ENOMEM, "no memory for a file's head");
    p->head = grown;
    int rc = block_get(p->env->blocks, BLOCK_HEAD, &block, err);
    if (rc < 0)
        return rc;
    p->head[p->head_count] = (struct frame){.packer = p, .block = block, .number = p->head_count};
    p->head_count++;
    return 0;
}

int head_append(struct packer *p, const uint8_t *bytes, size_t len, size_t *out_taken,
                struct err *err)
{
    size_t off = (size_t)(p->size % PACK_FRAME_BYTES);
    int rc = off == 0 ? add_block(p, err) : 0;
    if (rc == -ENOSPC && p->size >= p->env->head_bytes) {
        p->head_limit = p->size; // what is held beyond the configured head is a courtesy
        *out_taken = 0;
        return 0;
    }
    if (rc < 0)
        return rc;
    size_t n = (size_t)min_u64(len, PACK_FRAME_BYTES - off);
    struct frame *f = &p->head[p->head_count - 1];
    rc = block_write(f->block, off, bytes, n, err);
    if (rc < 0)
        return rc;
    f->plain_len += n;
    p->size += n;
    *out_taken = n;
    return 0;
}

int head_rewrite(struct packer *p, uint64_t off, const uint8_t *bytes, size_t len, struct err *err)
{
    while (len > 0) {
        size_t in_frame = (size_t)(off % PACK_FRAME_BYTES);
        size_t n = (size_t)min_u64(len, PACK_FRAME_BYTES - in_frame);
        int rc = block_write(p->head[off / PACK_FRAME_BYTES].block, in_frame, bytes, n, err);
        if (rc < 0)
            return rc;
        off += n;
        bytes += n;
        len -= n;
    }
    return 0;
}

int head_read(struct packer *p, uint64_t off, uint8_t *out, size_t len, struct err *err)
{
    while (len > 0) {
        size_t in_frame = (size_t)(off % PACK_FRAME_BYTES);
        size_t n = (size_t)min_u64(len, PACK_FRAME_BYTES - in_frame);
        int rc = block_read(p->head[off / PACK_FRAME_BYTES].block, in_frame, out, n, err);
        if (rc < 0)
            return rc;
        off += n;
        out += n;
        len -= n;
    }
    return 0;
}

void head_truncate(struct packer *p, uint64_t len)
{
    assert(p->submitted == 0 && p->filler_len == 0 && len <= head_held_bytes(p));
    while (p->head_count > div_up_u64(len, PACK_FRAME_BYTES))
        block_put(p->head[--p->head_count].block);
    if (len % PACK_FRAME_BYTES > 0)
        p->head[p->head_count - 1].plain_len = (size_t)(len % PACK_FRAME_BYTES);
    free(take(p->filler));
    p->head_closed = false;
    if (len <= p->env->head_bytes) { // it may become a file of another kind
        p->head_limit = p->env->head_bytes;
        p->pgdmp_asked = false;
    }
}

// --- Jobs over the head's frames ---

static void end_job(struct packer *p, int rc, const struct err *err)
{
    if (rc < 0)
        packer_latch(p, err);
    pthread_mutex_lock(&p->lock);
    p->batch_left--;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

static void run_head_frame(struct frame *f, bool keep)
{
    struct packer *p = f->packer;
    struct err err = {0};
    struct frame_params params = {.level = p->env->level};
    int rc = packer_failed(p, &err);
    if (rc == 0)
        rc = frame_pack_block(f, &params, keep, &err);
    end_job(p, rc, &err);
}

static void run_measure(void *ctx)
{
    run_head_frame(ctx, false);
}

static void run_pack(void *ctx)
{
    run_head_frame(ctx, true);
}

static void begin_batch(struct packer *p, size_t jobs)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&p->lock);
    p->batch_left = jobs;
}

static int end_batch(struct packer *p, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&p->lock);
    while (p->batch_left > 0)
        pthread_cond_wait(&p->changed, &p->lock);
    return p->failed.code ? err_copy(err, &p->failed) : 0;
}

static int over_all_frames(struct packer *p, void (*run)(void *ctx), struct err *err)
{
    begin_batch(p, p->head_count);
    for (size_t i = 0; i < p->head_count; i++)
        workers_submit(p->env->packers, run, &p->head[i]);
    return end_batch(p, err);
}

static uint64_t packed_sum(const struct packer *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < p->head_count; i++)
        sum += p->head[i].packed_len;
    return sum;
}

// --- Full ---

static int extend_for_pgdmp(struct packer *p, bool *out_extended, struct err *err)
{
    char start[5];
    if (p->size == 0 || p->size >= PACKER_PGDMP_HEAD_BYTES)
        return 0;
    int rc = block_read(p->head[0].block, 0, start, sizeof(start), err);
    if (rc == 0 && memcmp(start, "PGDMP", sizeof(start)) == 0) {
        p->head_limit = PACKER_PGDMP_HEAD_BYTES;
        *out_extended = true;
    }
    return rc;
}

// The front is never empty, even where nobody asks for one: what is written before the commit, when size and time are
// not known, can only stand behind a front.
static int fix_front(struct packer *p, struct err *err)
{
    uint64_t align = p->next->front_align;
    uint64_t packed = packed_sum(p);
    uint64_t spare = min_u64(max_u64(packed / RESERVE_SHARE_PACKED, RESERVE_SPARE_MIN),
                             p->size / RESERVE_SHARE_PLAIN);
    uint64_t reserve = p->head_count == 0 ? 0 : packed + spare + RESERVE_BYTES;
    uint64_t front = max_u64(
        max_u64(align_up_u64(reserve, align), align_up_u64(p->next->front_min, align)), align);
    size_t blocks = (size_t)div_up_u64(front - reserve, BLOCK_BYTES);
    p->filler = calloc(blocks + 1, sizeof(struct block *));
    if (!p->filler)
        return err_set(err, ENOMEM, "no memory for a file being written");
    p->reserve = reserve;
    p->front = front;
    p->head_closed = true;
    return 0;
}

int head_close(struct packer *p, struct err *err)
{
    bool extended = false;
    // Once: a limit that was taken back for want of room (head_append) is not set again.
    int rc = p->pgdmp_asked ? 0 : extend_for_pgdmp(p, &extended, err);
    p->pgdmp_asked = true;
    if (rc < 0 || extended)
        return rc;
    rc = over_all_frames(p, run_measure, err);
    return rc < 0 ? rc : fix_front(p, err);
}

// --- Commit ---

int head_pack(struct packer *p, struct err *err)
{
    return over_all_frames(p, run_pack, err);
}

static bool gap_is_good(uint64_t gap)
{
    return gap == 0 || gap >= FRAME_SKIP_HEADER;
}

struct repack {
    struct packer *packer;
    uint64_t gap; // 1 to 7, then a good one if there is one
};

// Looks for a level at which the frame in scratch->plain leaves a good gap.
static int repack_frame(struct repack *r, struct frame *f, struct frame_scratch *scratch,
                        struct err *err)
{
    for (int level = 1; level <= REPACK_LEVEL_MAX && !gap_is_good(r->gap); level++) {
        for (int own_checksum = 0; own_checksum <= 1; own_checksum++) {
            struct frame_params params = {level, own_checksum != 0};
            size_t len = 0;
            int rc = frame_pack(scratch, &params, scratch->plain, f->plain_len, &len, err);
            if (rc < 0)
                return rc;
            if (len > f->packed_len + r->gap || !gap_is_good(f->packed_len + r->gap - len))
                continue;
            rc = block_write(f->block, 0, scratch->packed, len, err);
            if (rc < 0)
                return rc;
            r->gap += f->packed_len - len;
            f->packed_len = len;
            return 0;
        }
    }
    return 0;
}

static int repack(struct repack *r, struct err *err)
{
    struct packer *p = r->packer;
    struct frame_scratch *scratch = NULL;
    int rc = frame_scratch_get(&scratch, err);
    for (size_t i = p->head_count; rc == 0 && i-- > 0 && !gap_is_good(r->gap);) {
        struct frame *f = &p->head[i];
        rc = block_read(f->block, 0, scratch->packed, f->packed_len, err);
        if (rc == 0)
            rc = frame_unpack(scratch, scratch->packed, f->packed_len, f->plain_len, err);
        if (rc == 0)
            rc = repack_frame(r, f, scratch, err);
    }
    return rc;
}

static void run_repack(void *ctx)
{
    struct repack *r = ctx;
    struct packer *p = r->packer;
    struct err err = {0};
    int rc = repack(r, &err);
    end_job(p, rc, &err);
}

int head_fit(struct packer *p, uint64_t *out_gap, struct err *err)
{
    uint64_t packed = packed_sum(p);
    if (packed > p->reserve)
        return err_set(
            err, EIO,
            "the first %llu bytes of this file were rewritten and take %llu bytes packed "
            "where %llu were reserved; write it with [write] seek = spool, or seek = no",
            (unsigned long long)head_held_bytes(p), (unsigned long long)packed,
            (unsigned long long)p->reserve);
    struct repack r = {.packer = p, .gap = p->reserve - packed};
    if (!gap_is_good(r.gap)) {
        begin_batch(p, 1);
        workers_submit(p->env->packers, run_repack, &r);
        int rc = end_batch(p, err);
        if (rc < 0)
            return rc;
    }
    if (!gap_is_good(r.gap))
        return err_set(err, EIO,
                       "the first %llu bytes of this file were rewritten and leave a gap of %llu "
                       "bytes, which no zstd frame fills; write it with [write] seek = spool, or "
                       "seek = no",
                       (unsigned long long)head_held_bytes(p), (unsigned long long)r.gap);
    *out_gap = r.gap;
    return 0;
}
