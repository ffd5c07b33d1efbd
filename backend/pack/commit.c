// The end of a file: head, padding, trailer, seek table.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/pack/packer.h"
#include "backend/pack/trailer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define ZEROS_BYTES ((size_t)64 * 1024)
static const uint8_t zeros[ZEROS_BYTES];

struct ending {
    struct packer *packer;
    struct pack_trailer trailer;
    uint64_t gap;               // of the padding frame, 0: there is none
    struct seektable tables[2]; // of the front, and of what is behind it (borrowed from the packer)
    uint8_t *frame;             // the trailer, whole
    size_t frame_len;
};

// --- Tables ---

static int list_front(struct ending *e, struct err *err)
{
    struct packer *p = e->packer;
    for (size_t i = 0; i < p->head_count; i++) {
        const struct frame *f = &p->head[i];
        struct seektable_entry entry = {(uint32_t)f->packed_len, (uint32_t)f->plain_len,
                                        f->checksum};
        int rc = seektable_add(&e->tables[0], &entry, err);
        if (rc == 0)
            rc = digest_log_put(p->digests, f->number, f->sha, err);
        if (rc < 0)
            return rc;
    }
    struct seektable_entry padding = {(uint32_t)e->gap, 0, FRAME_CHECKSUM_EMPTY};
    return e->gap > 0 ? seektable_add(&e->tables[0], &padding, err) : 0;
}

static size_t entry_count(const struct ending *e)
{
    return e->tables[0].count + e->tables[1].count + 1; // and the trailer
}

// Record 6: packed offset and plain bytes before every 4,096th entry, the trailer's included.
static int make_index(const struct ending *e, struct trailer_index *out, struct err *err)
{
    size_t count = entry_count(e);
    *out = (struct trailer_index){0};
    if (count <= TRAILER_INDEX_STEP)
        return 0;
    size_t len = 16 * ((count - 1) / TRAILER_INDEX_STEP + 1), at = 0;
    uint8_t *bytes = malloc(len);
    if (!bytes)
        return err_set(err, ENOMEM, "no memory for the trailer of %zu frames", count);
    uint64_t packed = 0, plain = 0;
    for (size_t i = 0; i < count; i++) {
        if (i % TRAILER_INDEX_STEP == 0) {
            put_le64(bytes + at, packed);
            put_le64(bytes + at + 8, plain);
            at += 16;
        }
        if (i == count - 1)
            break;
        size_t front = e->tables[0].count;
        struct seektable_entry entry = i < front ? seektable_get(&e->tables[0], i)
                                                 : seektable_get(&e->tables[1], i - front);
        packed += entry.packed_len;
        plain += entry.plain_len;
    }
    assert(at == len);
    *out = (struct trailer_index){bytes, len};
    return 0;
}

static int make_trailer(struct ending *e, struct err *err)
{
    struct packer *p = e->packer;
    e->trailer.size = p->size;
    int rc =
        digest_log_final(p->digests, div_up_u64(p->size, PACK_FRAME_BYTES), e->trailer.digest, err);
    struct trailer_index index = {0};
    if (rc == 0)
        rc = make_index(e, &index, err);
    if (rc < 0)
        return rc;
    rc = trailer_encode(&e->trailer, &index, &e->frame, &e->frame_len, err);
    free((void *)(uintptr_t)index.bytes);
    if (rc < 0)
        return rc;
    struct seektable_entry entry = {(uint32_t)e->frame_len, 0, FRAME_CHECKSUM_EMPTY};
    // Its entry is the last of all, and the table behind belongs to the packer: it may grow there.
    rc = seektable_add(&p->behind, &entry, err);
    e->tables[1] = p->behind;
    if (rc == 0 && e->tables[0].count + p->behind.count > SEEKTABLE_ENTRIES_MAX)
        rc = err_set(err, EFBIG, "the file has more frames than a seek table can hold");
    return rc;
}

// --- Bytes ---

// Where the bytes of the front go: on, while nothing was sent, else into the front.
static int give_on(struct packer *p, const uint8_t *bytes, size_t len, struct err *err)
{
    return sink_write(p->next, bytes, len, err);
}

static int give_into_front(struct packer *p, const uint8_t *bytes, size_t len, struct err *err)
{
    return sink_write_front(p->next, bytes, len, err);
}

static int write_end(struct ending *e, struct err *err)
{
    struct sink *next = e->packer->next;
    uint32_t entries = (uint32_t)(e->tables[0].count + e->tables[1].count);
    uint8_t header[FRAME_SKIP_HEADER], footer[SEEKTABLE_FOOTER_BYTES];
    seektable_put_header(header, entries);
    seektable_put_footer(footer, entries);
    int rc = sink_write(next, e->frame, e->frame_len, err);
    if (rc == 0)
        rc = sink_write(next, header, sizeof(header), err);
    for (int i = 0; i < 2 && rc == 0; i++)
        if (e->tables[i].count > 0)
            rc = sink_write(next, e->tables[i].bytes, e->tables[i].count * SEEKTABLE_ENTRY_BYTES,
                            err);
    return rc == 0 ? sink_write(next, footer, sizeof(footer), err) : rc;
}

static int give_padding(struct ending *e, give_fn *give, struct err *err)
{
    if (e->gap == 0)
        return 0;
    uint8_t header[FRAME_SKIP_HEADER];
    uint64_t left = e->gap - FRAME_SKIP_HEADER;
    frame_put_skippable(header, FRAME_MAGIC_PADDING, (uint32_t)left);
    int rc = give(e->packer, header, sizeof(header), err);
    while (rc == 0 && left > 0) {
        size_t n = (size_t)min_u64(left, ZEROS_BYTES);
        rc = give(e->packer, zeros, n, err);
        left -= n;
    }
    return rc;
}

// Head frames, padding, filler. Each block goes back as soon as it was given: next needs memory for the same bytes.
static int give_front(struct ending *e, give_fn *give, struct err *err)
{
    struct packer *p = e->packer;
    int rc = 0;
    for (size_t i = 0; i < p->head_count && rc == 0; i++) {
        rc = block_give(p->head[i].block, p->head[i].packed_len, give, p, err);
        block_put(take(p->head[i].block));
    }
    if (rc == 0)
        rc = give_padding(e, give, err);
    for (uint64_t off = 0; off < p->filler_len && rc == 0; off += BLOCK_BYTES) {
        struct block **block = &p->filler[off / BLOCK_BYTES];
        rc = block_give(*block, (size_t)min_u64(BLOCK_BYTES, p->filler_len - off), give, p, err);
        block_put(take(*block));
    }
    return rc;
}

static int write_all(struct ending *e, struct err *err)
{
    bool fronted = e->packer->front_opened;
    int rc = 0;
    if (!fronted)
        rc = give_front(e, give_on, err);
    if (rc == 0)
        rc = write_end(e, err);
    if (rc == 0 && fronted)
        rc = give_front(e, give_into_front, err);
    return rc == 0 ? sink_commit(e->packer->next, err) : rc;
}

static int finish(struct ending *e, struct err *err)
{
    struct packer *p = e->packer;
    if (p->tail) {
        int rc = flight_wait_room(p, err);
        if (rc < 0)
            return rc;
        flight_submit(p, take(p->tail), p->tail_len);
        p->tail_len = 0;
    }
    flight_wait(p);
    int rc = packer_failed(p, err);
    if (rc == 0)
        rc = head_pack(p, err);
    // While nothing was sent nothing is fixed: frames follow each other without a gap.
    if (rc == 0 && p->front_opened)
        rc = head_fit(p, &e->gap, err);
    if (rc == 0)
        rc = list_front(e, err);
    if (rc == 0) {
        e->tables[1] = p->behind;
        rc = make_trailer(e, err);
    }
    return rc == 0 ? write_all(e, err) : rc;
}

int packer_commit(struct packer *p, struct pack_trailer *trailer, struct err *err)
{
    assert(!p->committed);
    struct ending e = {.packer = p, .trailer = *trailer};
    struct err own = {0};
    int rc = packer_failed(p, &own);
    if (rc == 0)
        rc = finish(&e, &own);
    seektable_done(&e.tables[0]);
    free(e.frame);
    if (rc < 0) {
        packer_latch(p, &own);
        return packer_failed(p, err);
    }
    p->committed = true;
    p->packed = p->size;
    *trailer = e.trailer;
    return 0;
}
