// Bytes that follow from a seed and a place, so that any range of any size can be made, and checked, without keeping it.
#pragma once

#include "backend/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void pattern_fill(uint64_t seed, uint64_t off, void *out, size_t len);
bool pattern_holds(uint64_t seed, uint64_t off, const void *bytes, size_t len);

// A source of `size` bytes of the pattern from `off`; on the caller's stack, its free does nothing.
struct pattern_source {
    struct source source;
    uint64_t seed, off;
};
struct pattern_source pattern_source(uint64_t seed, uint64_t off, uint64_t size);
