#include "backend/pack/seektable.h"

#include "backend/pack/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define SEEKTABLE_MAGIC 0x8F92EAB1u
#define DESCRIPTOR 0x80 // checksums; no other bit is defined

int seektable_add(struct seektable *t, const struct seektable_entry *entry, struct err *err)
{
    if (t->count == SEEKTABLE_ENTRIES_MAX)
        return err_set(err, EFBIG, "the file has more frames than a seek table can hold");
    if (t->count == t->room) {
        size_t room = t->room ? t->room * 2 : 32;
        uint8_t *grown = realloc(t->bytes, room * SEEKTABLE_ENTRY_BYTES);
        if (!grown)
            return err_set(err, ENOMEM, "no memory for a seek table of %zu frames", room);
        t->bytes = grown;
        t->room = room;
    }
    uint8_t *p = t->bytes + t->count++ * SEEKTABLE_ENTRY_BYTES;
    put_le32(p, entry->packed_len);
    put_le32(p + 4, entry->plain_len);
    put_le32(p + 8, entry->checksum);
    t->packed_bytes += entry->packed_len;
    t->plain_bytes += entry->plain_len;
    return 0;
}

struct seektable_entry seektable_get(const struct seektable *t, size_t i)
{
    assert(i < t->count);
    return seektable_entry_at(t->bytes + i * SEEKTABLE_ENTRY_BYTES);
}

void seektable_done(struct seektable *t)
{
    free(t->bytes);
    *t = (struct seektable){0};
}

void seektable_put_header(uint8_t out[8], uint32_t entries)
{
    frame_put_skippable(out, FRAME_MAGIC_SEEKTABLE,
                        entries * SEEKTABLE_ENTRY_BYTES + SEEKTABLE_FOOTER_BYTES);
}

void seektable_put_footer(uint8_t out[SEEKTABLE_FOOTER_BYTES], uint32_t entries)
{
    put_le32(out, entries);
    out[4] = DESCRIPTOR;
    put_le32(out + 5, SEEKTABLE_MAGIC);
}

int seektable_parse_footer(const uint8_t *bytes, uint32_t *out_entries, struct err *err)
{
    uint32_t entries = get_le32(bytes);
    if (get_le32(bytes + 5) != SEEKTABLE_MAGIC)
        return err_set(err, EUCLEAN, "the packed stream does not end in a seek table");
    if (bytes[4] != DESCRIPTOR)
        return err_set(err, EUCLEAN, "seek table: descriptor 0x%02x instead of 0x%02x", bytes[4],
                       DESCRIPTOR);
    if (entries == 0 || entries > SEEKTABLE_ENTRIES_MAX)
        return err_set(err, EUCLEAN, "seek table: %u entries", entries);
    *out_entries = entries;
    return 0;
}

int seektable_parse_header(const uint8_t *bytes, uint32_t entries, struct err *err)
{
    uint32_t len = entries * SEEKTABLE_ENTRY_BYTES + SEEKTABLE_FOOTER_BYTES;
    if (get_le32(bytes) != FRAME_MAGIC_SEEKTABLE || get_le32(bytes + 4) != len)
        return err_set(err, EUCLEAN, "seek table: no frame of %u bytes starts where it should",
                       len);
    return 0;
}

static int check_skippable(const struct seektable_entry *e, struct err *err)
{
    if (e->packed_len < FRAME_SKIP_HEADER)
        return err_set(err, EUCLEAN, "a skippable frame of %u bytes", e->packed_len);
    if (e->checksum != FRAME_CHECKSUM_EMPTY)
        return err_set(err, EUCLEAN, "a skippable frame with checksum %08x", e->checksum);
    return 0;
}

int seektable_check_next(struct seektable_check *c, const struct seektable_entry *e,
                         struct err *err)
{
    int rc = 0;
    if (e->plain_len == 0)
        rc = check_skippable(e, err);
    else if (e->plain_len > PACK_FRAME_BYTES || c->short_frame_seen)
        rc = err_set(err, EUCLEAN, "a data frame of %u plain bytes%s", e->plain_len,
                     c->short_frame_seen ? " behind one that was the last" : "");
    else if (e->packed_len == 0 || e->packed_len > BLOCK_BYTES)
        rc = err_set(err, EUCLEAN, "a data frame of %u packed bytes", e->packed_len);
    if (rc < 0) {
        (void)err_prefix(err, "seek table, at plain offset %llu", (unsigned long long)c->plain_off);
        return rc;
    }
    c->short_frame_seen |= e->plain_len > 0 && e->plain_len < PACK_FRAME_BYTES;
    c->packed_off += e->packed_len; // at most 2^27 entries of 32 bits: no overflow
    c->plain_off += e->plain_len;
    return 0;
}
