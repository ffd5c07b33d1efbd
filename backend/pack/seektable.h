// The seek table (zstd seekable format 0.1.0), written and read; FORMAT.md 3.5.
#pragma once

#include "backend/base/err.h"
#include "backend/base/num.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEEKTABLE_ENTRY_BYTES 12
#define SEEKTABLE_FOOTER_BYTES 9
#define SEEKTABLE_ENTRIES_MAX 134217728u

struct seektable_entry {
    uint32_t packed_len, plain_len, checksum;
};

// Entries as they will stand in the object, growing. done accepts a zeroed one.
struct seektable {
    uint8_t *bytes;
    size_t count, room; // entries
    uint64_t packed_bytes, plain_bytes;
};
int seektable_add(struct seektable *, const struct seektable_entry *, struct err *err);
struct seektable_entry seektable_get(const struct seektable *, size_t i);
void seektable_done(struct seektable *);

// Bytes of the whole frame for `entries` entries.
static inline uint64_t seektable_frame_bytes(uint64_t entries)
{
    return 8 + entries * SEEKTABLE_ENTRY_BYTES + SEEKTABLE_FOOTER_BYTES;
}
void seektable_put_header(uint8_t out[8], uint32_t entries);
void seektable_put_footer(uint8_t out[SEEKTABLE_FOOTER_BYTES], uint32_t entries);

// The footer, 9 bytes: how many entries there are. -EUCLEAN.
int seektable_parse_footer(const uint8_t *bytes, uint32_t *out_entries, struct err *err);
int seektable_parse_header(const uint8_t *bytes, uint32_t entries, struct err *err);

static inline struct seektable_entry seektable_entry_at(const uint8_t *bytes)
{
    return (struct seektable_entry){get_le32(bytes), get_le32(bytes + 4), get_le32(bytes + 8)};
}

// Goes over entries in order and holds each against FORMAT.md 3.1, 3.2 and 3.5.
struct seektable_check {
    uint64_t packed_off, plain_off; // where the next frame starts
    bool short_frame_seen;          // no data frame may follow
};
int seektable_check_next(struct seektable_check *, const struct seektable_entry *, struct err *err);
