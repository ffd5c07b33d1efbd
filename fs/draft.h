// A draft: a file that is written in any pattern, kept whole and plain in the spool until its commit. Over an older
// object (the base) only what changes is kept; the rest is read from the base when it is needed.
//
// Frames of 1 MiB. What a frame shows, in this order:
//     bytes below `kept` of its spool slot, if it has one
//     else, without a slot, the base's bytes below `base_size`
//     else zeros
// Truncating lowers `kept` and `base_size`, so what was cut off never comes back.
//
// Threads: one caller at a time.
#pragma once

#include "backend/base/blocks.h"
#include "backend/object.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Each MiB below the end has an entry in a table in memory, written or not.
#define DRAFT_SIZE_MAX ((uint64_t)4 << 40)

struct draft;

// Takes `base` over, also on failure; NULL: an empty file.
int draft_new(struct blocks *, struct object_reader *base, struct draft **out, struct err *err);
void draft_free(struct draft *);
uint64_t draft_size(const struct draft *);
// Nothing but appended to, what the base has included: it may go on as a stream.
bool draft_is_in_order(const struct draft *);
// Bytes [off, off+len), all below the size. -EBADMSG and the rest as of object_read_frames.
int draft_read(struct draft *, uint64_t off, void *out, size_t len, struct err *err);
// Also behind the end. -EFBIG; -ENOSPC: the spool is full; some of it may have been written, the size is not changed.
int draft_write(struct draft *, uint64_t off, const void *bytes, size_t len, struct err *err);
void draft_truncate(struct draft *, uint64_t size);
// Gives back the room of what lies before `off`: whoever empties the draft will not read it again.
void draft_drop_before(struct draft *, uint64_t off);
