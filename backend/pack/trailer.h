// The trailer's content, written and parsed; FORMAT.md 3.3. Pure.
#pragma once

#include "backend/base/err.h"
#include "backend/pack/pack.h"

#include <stddef.h>
#include <stdint.h>

#define TRAILER_INDEX_STEP 4096
#define TRAILER_PATH_MAX 1024
#define TRAILER_VERSION_MAX 64

struct trailer_index { // record 6, as it stands in the object
    const uint8_t *bytes;
    size_t len;
};

// The whole frame, malloc'ed. `path` and `version` may be NULL or "": then there is no such record.
int trailer_encode(const struct pack_trailer *, const struct trailer_index *, uint8_t **out,
                   size_t *out_len, struct err *err);

// Parses a whole frame. *out_index points into `bytes`, len 0 when it is not there. -EUCLEAN, -ENOMEM.
int trailer_parse(const uint8_t *bytes, size_t len, struct pack_trailer *out,
                  struct trailer_index *out_index, struct err *err);
void trailer_done(struct pack_trailer *); // one that trailer_parse filled
