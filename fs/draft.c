#include "fs/draft.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Frames of the base that one GET brings.
#define BASE_FRAMES 4u

struct kept_frame {
    struct block *block; // NULL: nothing of it was changed
    size_t kept;         // its first bytes; zeros follow
};

struct draft {
    struct blocks *blocks;
    uint64_t size;
    bool in_order;
    struct kept_frame *frames;
    size_t count;

    struct object_reader *base;
    uint64_t base_size; // bytes of it that still show
    struct pack_decoder *decoder;
    uint8_t *fetched; // BASE_FRAMES frames, from base frame `fetched_first`
    uint64_t fetched_first;
    unsigned fetched_count;
};

int draft_new(struct blocks *blocks, struct object_reader *base, struct draft **out,
              struct err *err)
{
    struct draft *d = calloc(1, sizeof(*d));
    if (!d) {
        object_reader_free(base);
        return err_errno(err, ENOMEM, "keep a file in the spool");
    }
    d->blocks = blocks;
    d->base = base;
    d->in_order = true;
    d->size = d->base_size = base ? object_reader_info(base)->header.record.size : 0;
    *out = d;
    return 0;
}

void draft_free(struct draft *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->count; i++)
        block_put(d->frames[i].block);
    free(d->frames);
    free(d->fetched);
    pack_decoder_free(d->decoder);
    object_reader_free(d->base);
    free(d);
}

uint64_t draft_size(const struct draft *d)
{
    return d->size;
}

bool draft_is_in_order(const struct draft *d)
{
    return d->in_order;
}

// --- The base ---

static int prepare_base(struct draft *d, struct err *err)
{
    if (!d->fetched)
        d->fetched = malloc(BASE_FRAMES * PACK_FRAME_BYTES);
    if (!d->fetched)
        return err_errno(err, ENOMEM, "read what is changed");
    return d->decoder ? 0 : pack_decoder_new(&d->decoder, err);
}

// The bytes of one frame of the base, borrowed until the next call.
static int base_frame(struct draft *d, uint64_t number, const uint8_t **out, struct err *err)
{
    int rc = prepare_base(d, err);
    if (rc)
        return rc;
    if (number < d->fetched_first || number >= d->fetched_first + d->fetched_count) {
        uint64_t last = div_up_u64(d->base_size, PACK_FRAME_BYTES);
        unsigned count = (unsigned)min_u64(BASE_FRAMES, last - number);
        uint8_t *outs[BASE_FRAMES];
        for (unsigned i = 0; i < count; i++)
            outs[i] = d->fetched + i * PACK_FRAME_BYTES;
        d->fetched_count = 0;
        rc = object_read_frames(d->base, d->decoder, number, count, outs, err);
        if (rc)
            return err_prefix(err, "read what is changed");
        d->fetched_first = number;
        d->fetched_count = count;
    }
    *out = d->fetched + (number - d->fetched_first) * PACK_FRAME_BYTES;
    return 0;
}

// How many bytes of a frame the base shows where nothing was changed.
static size_t base_bytes(const struct draft *d, uint64_t number)
{
    uint64_t start = number * PACK_FRAME_BYTES;
    return d->base_size <= start ? 0 : (size_t)min_u64(PACK_FRAME_BYTES, d->base_size - start);
}

// --- Frames ---

static struct kept_frame *frame_at(const struct draft *d, uint64_t number)
{
    return number < d->count ? &d->frames[number] : NULL;
}

// From what shows, `len` bytes at `in_frame`: first the bytes there are, then zeros.
static int read_frame(struct draft *d, uint64_t number, size_t in_frame, uint8_t *out, size_t len,
                      struct err *err)
{
    const struct kept_frame *f = frame_at(d, number);
    bool is_kept = f && f->block;
    size_t there = is_kept ? f->kept : base_bytes(d, number);
    size_t n = there > in_frame ? min_u64(len, there - in_frame) : 0;
    int rc = 0;
    if (n > 0 && is_kept) {
        rc = block_read(f->block, in_frame, out, n, err);
    } else if (n > 0) {
        const uint8_t *bytes = NULL;
        rc = base_frame(d, number, &bytes, err);
        if (!rc)
            memcpy(out, bytes + in_frame, n);
    }
    if (!rc)
        memset(out + n, 0, len - n);
    return rc;
}

int draft_read(struct draft *d, uint64_t off, void *out, size_t len, struct err *err)
{
    assert(off <= d->size && len <= d->size - off);
    uint8_t *to = out;
    while (len > 0) {
        size_t in_frame = (size_t)(off % PACK_FRAME_BYTES);
        size_t n = (size_t)min_u64(len, PACK_FRAME_BYTES - in_frame);
        int rc = read_frame(d, off / PACK_FRAME_BYTES, in_frame, to, n, err);
        if (rc)
            return rc;
        off += n;
        to += n;
        len -= n;
    }
    return 0;
}

static int grow(struct draft *d, uint64_t number, struct err *err)
{
    if (number < d->count)
        return 0;
    size_t count = (size_t)max_u64(number + 1, d->count + d->count / 2);
    struct kept_frame *frames = reallocarray(d->frames, count, sizeof(*frames));
    if (!frames)
        return err_errno(err, ENOMEM, "keep a file in the spool");
    memset(frames + d->count, 0, (count - d->count) * sizeof(*frames));
    d->frames = frames;
    d->count = count;
    return 0;
}

// A slot for the frame, with what the base has in it unless all of that is about to be written over.
static int keep_frame(struct draft *d, uint64_t number, size_t in_frame, size_t len,
                      struct err *err)
{
    struct kept_frame *f = &d->frames[number];
    size_t there = base_bytes(d, number);
    bool needs_base = there > 0 && (in_frame > 0 || len < there);
    const uint8_t *bytes = NULL;
    int rc = needs_base ? base_frame(d, number, &bytes, err) : 0;
    if (rc)
        return rc;
    struct block *block = NULL;
    rc = block_get(d->blocks, BLOCK_DRAFT, &block, err);
    if (!rc && needs_base)
        rc = block_write(block, 0, bytes, there, err);
    if (rc) {
        block_put(block);
        return rc;
    }
    *f = (struct kept_frame){.block = block, .kept = needs_base ? there : 0};
    return 0;
}

// Zeros between what a frame has and `in_frame`.
static int fill_gap(struct kept_frame *f, size_t in_frame, struct err *err)
{
    static const uint8_t zeros[65536];
    while (f->kept < in_frame) {
        size_t n = min_u64(in_frame - f->kept, sizeof(zeros));
        int rc = block_write(f->block, f->kept, zeros, n, err);
        if (rc)
            return rc;
        f->kept += n;
    }
    return 0;
}

static int write_frame(struct draft *d, uint64_t number, size_t in_frame, const uint8_t *bytes,
                       size_t len, struct err *err)
{
    int rc = grow(d, number, err);
    if (!rc && !d->frames[number].block)
        rc = keep_frame(d, number, in_frame, len, err);
    if (!rc)
        rc = fill_gap(&d->frames[number], in_frame, err);
    if (!rc)
        rc = block_write(d->frames[number].block, in_frame, bytes, len, err);
    if (!rc)
        d->frames[number].kept = (size_t)max_u64(d->frames[number].kept, in_frame + len);
    return rc;
}

int draft_write(struct draft *d, uint64_t off, const void *bytes, size_t len, struct err *err)
{
    const uint8_t *from = bytes;
    uint64_t at = off;
    if (off > DRAFT_SIZE_MAX - len)
        return err_set(err, EFBIG, "a file that is not written in order has at most %llu TiB",
                       (unsigned long long)(DRAFT_SIZE_MAX >> 40));
    d->in_order &= off == d->size;
    while (len > 0) {
        size_t in_frame = (size_t)(at % PACK_FRAME_BYTES);
        size_t n = (size_t)min_u64(len, PACK_FRAME_BYTES - in_frame);
        int rc = write_frame(d, at / PACK_FRAME_BYTES, in_frame, from, n, err);
        if (rc)
            return rc;
        at += n;
        from += n;
        len -= n;
    }
    d->size = max_u64(d->size, at);
    return 0;
}

void draft_truncate(struct draft *d, uint64_t size)
{
    d->in_order &= size >= d->size;
    if (size < d->size) {
        uint64_t first = size / PACK_FRAME_BYTES;
        for (uint64_t i = first; i < d->count; i++) {
            struct kept_frame *f = &d->frames[i];
            size_t stays = i == first ? (size_t)(size % PACK_FRAME_BYTES) : 0;
            f->kept = (size_t)min_u64(f->kept, stays);
            if (stays == 0)
                block_put(take(f->block));
        }
        d->base_size = min_u64(d->base_size, size);
    }
    d->size = size;
}

void draft_drop_before(struct draft *d, uint64_t off)
{
    for (uint64_t i = 0; i < min_u64(d->count, off / PACK_FRAME_BYTES); i++)
        block_put(take(d->frames[i].block));
}
