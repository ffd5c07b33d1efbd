// Reading: trailer and seek table, held against each other and against FORMAT.md sections 3 and 4.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/pack/frame.h"
#include "backend/pack/seektable.h"
#include "backend/pack/trailer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

// Holds the table of 5 GiB and the trailer: one read for nearly every file.
#define TAIL_BYTES ((size_t)64 * 1024)
// A longer table is read in pieces of this many entries (6 MiB).
#define PIECE_ENTRIES 524288u
// FORMAT.md sets no bound; ours has at most half a MiB of index in it.
#define TRAILER_MAX (16 * MIB)

struct data_frame {
    uint64_t packed_off;
    uint32_t packed_len, checksum;
};

struct pack_index {
    struct pack_trailer trailer;
    uint64_t frame_count;
    struct data_frame *frames;
};

struct reading {
    struct source *packed;
    uint8_t *tail; // the last bytes of the stream
    size_t tail_len;
    uint32_t entries;
    uint64_t table_off;
};

// --- Bytes ---

static int read_tail(struct reading *r, struct err *err)
{
    r->tail_len = (size_t)min_u64(r->packed->size, TAIL_BYTES);
    if (r->tail_len < seektable_frame_bytes(1))
        return err_set(err, EUCLEAN, "the packed stream of %zu bytes is too short", r->tail_len);
    r->tail = malloc(r->tail_len);
    if (!r->tail)
        return err_set(err, ENOMEM, "no memory for an object's tail");
    return source_read_at(r->packed, r->packed->size - r->tail_len, r->tail, r->tail_len, err);
}

// Bytes of the stream, from the tail where it has them. *out_owned is to be freed.
static int get_bytes(struct reading *r, uint64_t off, size_t len, const uint8_t **out,
                     uint8_t **out_owned, struct err *err)
{
    uint64_t tail_off = r->packed->size - r->tail_len;
    if (off >= tail_off) {
        *out = r->tail + (off - tail_off);
        return 0;
    }
    assert(len > 0); // a frame is never empty
    uint8_t *bytes = malloc(len);
    if (!bytes)
        return err_set(err, ENOMEM, "no memory for %zu bytes of seek table", len);
    int rc = source_read_at(r->packed, off, bytes, len, err);
    if (rc < 0) {
        free(bytes);
        return rc;
    }
    *out = *out_owned = bytes;
    return 0;
}

// --- The table ---

static int find_table(struct reading *r, struct err *err)
{
    uint64_t size = r->packed->size;
    int rc =
        seektable_parse_footer(r->tail + r->tail_len - SEEKTABLE_FOOTER_BYTES, &r->entries, err);
    if (rc < 0)
        return rc;
    // Each entry stands for a frame of 8 bytes at least: so much memory is worth spending.
    uint64_t len = seektable_frame_bytes(r->entries);
    if (len > size || (uint64_t)r->entries * FRAME_SKIP_HEADER > size - len)
        return err_set(err, EUCLEAN, "seek table: %u entries in a packed stream of %llu bytes",
                       r->entries, (unsigned long long)size);
    r->table_off = size - len;
    const uint8_t *header = NULL;
    auto_free uint8_t *owned = NULL;
    rc = get_bytes(r, r->table_off, FRAME_SKIP_HEADER, &header, &owned, err);
    return rc == 0 ? seektable_parse_header(header, r->entries, err) : rc;
}

struct walk {
    struct seektable_check check;
    struct pack_index *index;
    struct seektable_entry last;
    const struct trailer_index *marks; // record 6, or NULL in the first walk
};

static int check_mark(const struct walk *w, uint32_t i, struct err *err)
{
    if (!w->marks || w->marks->len == 0 || i % TRAILER_INDEX_STEP != 0)
        return 0;
    const uint8_t *mark = w->marks->bytes + (size_t)(i / TRAILER_INDEX_STEP) * 16;
    if (get_le64(mark) != w->check.packed_off || get_le64(mark + 8) != w->check.plain_off)
        return err_set(err, EUCLEAN, "the trailer's index is wrong at entry %u", i);
    return 0;
}

static int walk_entry(struct walk *w, uint32_t i, const struct seektable_entry *e, struct err *err)
{
    struct pack_index *index = w->index;
    uint64_t packed_off = w->check.packed_off;
    int rc = check_mark(w, i, err);
    if (rc == 0)
        rc = seektable_check_next(&w->check, e, err);
    if (rc < 0)
        return rc;
    if (e->plain_len > 0)
        index->frames[index->frame_count++] =
            (struct data_frame){packed_off, e->packed_len, e->checksum};
    w->last = *e;
    return 0;
}

static int walk_table(struct reading *r, struct walk *w, struct err *err)
{
    uint64_t at = r->table_off + FRAME_SKIP_HEADER;
    for (uint32_t i = 0; i < r->entries;) {
        uint32_t n = (uint32_t)min_u64(r->entries - i, PIECE_ENTRIES);
        const uint8_t *p = NULL;
        auto_free uint8_t *owned = NULL;
        int rc = get_bytes(r, at, (size_t)n * SEEKTABLE_ENTRY_BYTES, &p, &owned, err);
        assert(rc < 0 || p);
        for (uint32_t k = 0; k < n && rc == 0; k++) {
            struct seektable_entry e = seektable_entry_at(p + (size_t)k * SEEKTABLE_ENTRY_BYTES);
            rc = walk_entry(w, i + k, &e, err);
        }
        if (rc < 0)
            return rc;
        i += n;
        at += (uint64_t)n * SEEKTABLE_ENTRY_BYTES;
    }
    if (w->check.packed_off != r->table_off)
        return err_set(err, EUCLEAN, "seek table: its frames end at %llu, it starts at %llu",
                       (unsigned long long)w->check.packed_off, (unsigned long long)r->table_off);
    return 0;
}

// --- The trailer ---

static int check_trailer(struct reading *r, struct pack_index *index,
                         const struct trailer_index *marks, uint64_t plain_bytes, struct err *err)
{
    uint64_t need = r->entries <= TRAILER_INDEX_STEP
                        ? 0
                        : ((r->entries - 1) / TRAILER_INDEX_STEP + 1) * (uint64_t)16;
    if (index->trailer.size != plain_bytes)
        return err_set(err, EUCLEAN, "the trailer says %llu plain bytes, the seek table %llu",
                       (unsigned long long)index->trailer.size, (unsigned long long)plain_bytes);
    if (marks->len != need)
        return err_set(err, EUCLEAN, "the trailer's index has %zu bytes for %u entries", marks->len,
                       r->entries);
    if (marks->len == 0)
        return 0;
    struct walk again = {.index = index, .marks = marks};
    index->frame_count = 0;
    return walk_table(r, &again, err);
}

static int read_trailer(struct reading *r, struct pack_index *index, const struct walk *walked,
                        struct err *err)
{
    uint32_t len = walked->last.packed_len;
    if (walked->last.plain_len != 0 || len > TRAILER_MAX)
        return err_set(err, EUCLEAN,
                       "the last frame in front of the seek table (%u bytes, %u plain) is no "
                       "trailer",
                       len, walked->last.plain_len);
    const uint8_t *frame = NULL;
    auto_free uint8_t *owned = NULL;
    struct trailer_index marks = {0};
    int rc = get_bytes(r, r->table_off - len, len, &frame, &owned, err);
    if (rc == 0)
        rc = trailer_parse(frame, len, &index->trailer, &marks, err);
    return rc == 0 ? check_trailer(r, index, &marks, walked->check.plain_off, err) : rc;
}

static int read_index(struct reading *r, struct pack_index *index, struct err *err)
{
    int rc = read_tail(r, err);
    if (rc == 0)
        rc = find_table(r, err);
    if (rc < 0)
        return rc;
    assert(r->entries > 0); // as the footer was parsed
    index->frames = malloc(r->entries * sizeof(*index->frames));
    if (!index->frames)
        return err_set(err, ENOMEM, "no memory for a seek table of %u entries", r->entries);
    struct walk walk = {.index = index};
    rc = walk_table(r, &walk, err);
    return rc == 0 ? read_trailer(r, index, &walk, err) : rc;
}

int pack_index_read(struct source *packed, struct pack_index **out, struct err *err)
{
    struct reading r = {.packed = packed};
    struct pack_index *index = calloc(1, sizeof(*index));
    int rc = index ? read_index(&r, index, err)
                   : err_set(err, ENOMEM, "no memory for a seek table");
    free(r.tail);
    if (rc < 0) {
        pack_index_free(index);
        return rc;
    }
    *out = index;
    return 0;
}

void pack_index_free(struct pack_index *index)
{
    if (!index)
        return;
    trailer_done(&index->trailer);
    free(index->frames);
    free(index);
}

const struct pack_trailer *pack_index_trailer(const struct pack_index *index)
{
    return &index->trailer;
}

uint64_t pack_index_frames(const struct pack_index *index)
{
    return index->frame_count;
}

struct pack_span pack_index_span(const struct pack_index *index, uint64_t frame)
{
    assert(frame < index->frame_count);
    const struct data_frame *f = &index->frames[frame];
    uint64_t before = frame * PACK_FRAME_BYTES;
    return (struct pack_span){
        .packed_off = f->packed_off,
        .packed_len = f->packed_len,
        .plain_len = (uint32_t)min_u64(PACK_FRAME_BYTES, index->trailer.size - before),
        .checksum = f->checksum,
    };
}
