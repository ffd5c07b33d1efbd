// The digest of FORMAT.md 3.4 while a file is written: the frames of the head come last, those behind it in order.
#pragma once

#include "backend/base/crypto.h"
#include "backend/base/err.h"

#include <stdint.h>

#define DIGEST_GIB_FRAMES 1024

struct digest_log;
// Digests of frames below `early` (rounded up to a whole GiB) may come in any order and again.
int digest_log_new(uint64_t early, struct digest_log **out, struct err *err);
void digest_log_free(struct digest_log *);
// Frames from the rounded `early` on come in order. Fails only for want of memory.
int digest_log_put(struct digest_log *, uint64_t frame, const uint8_t sha[SHA256_BYTES],
                   struct err *err);
// All `frames` frames were put. Can be called once.
int digest_log_final(struct digest_log *, uint64_t frames, uint8_t out[SHA256_BYTES],
                     struct err *err);
