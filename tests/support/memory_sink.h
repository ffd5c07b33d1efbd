// A sink and a source over memory, for tests of the rooms that wrap others. Keeps stream.h's promises and holds its callers
// to them: the front goes where it belongs, and only a commit makes the bytes visible.
#pragma once

#include "backend/stream.h"

#include <stdatomic.h>
#include <stdbool.h>

struct memory {     // outlives its sink and sources
    uint8_t *bytes; // the object, once committed
    size_t len;
    bool committed;
    bool aborted;   // freed without a commit
    unsigned calls; // of the sink: open_front, write, write_front, commit
    // the call with this number (from 1) and all later ones fail with EIO; 0: none
    unsigned fail_call;
    size_t piece_bytes;     // the source fails reads that are longer; 0: any length
    atomic_uint reads;      // of the sources
    atomic_uint free_count; // sinks and sources that were freed
};

void memory_done(struct memory *);

// NULL when memory is short.
struct sink *memory_sink_new(struct memory *, uint64_t front_align, uint64_t front_min);
struct source *memory_source_new(struct memory *);
