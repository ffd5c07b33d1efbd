// A part of an upload: filled by the writer, then a source for the uploader, over blocks of the pool.
// Threads: one owner at a time.
#pragma once

#include "backend/base/blocks.h"
#include "backend/base/err.h"
#include "backend/stream.h"

#include <stddef.h>
#include <stdint.h>

struct upload;

struct part {
    struct source source; // its size is what was appended so far
    struct upload *owner;
    unsigned number;
    uint64_t off; // in the object
    struct blocks *pool;
    struct block **blocks; // each but the last is full
    size_t count, room;
};

// NULL when memory is short.
struct part *part_new(struct blocks *pool, struct upload *owner, unsigned number, uint64_t off);
void part_free(struct part *); // and its blocks
// Waits for memory, as blocks.h says.
int part_append(struct part *, const uint8_t *bytes, size_t len, struct err *err);
// From here on its blocks come back by themselves.
void part_leaves(struct part *);
uint64_t part_size(const struct part *); // 0 for NULL

// Two parts as one body; either may be NULL. They stay their owner's.
struct part_pair {
    struct source source;
    struct part *parts[2];
};
struct part_pair part_pair_of(struct part *first, struct part *second);
