// A sink over memory that holds its caller to the contract of backend/stream.h (beyond what the wrappers assert: never two
// calls at a time, no call after one that failed or after the commit), and fails at a chosen call. And a source over bytes.
#pragma once

#include "backend/stream.h"

#include <stdatomic.h>
#include <stdbool.h>

struct check_store {                 // what arrives; outlives the sink
    uint64_t front_align, front_min; // set by the test; align at least 1
    unsigned fail_at; // this call of open_front, write, write_front, commit fails; 0: none

    unsigned calls;
    bool failed, committed, freed;
    uint8_t *front, *behind;
    size_t front_len, front_given, behind_len, behind_room;
    uint8_t *object; // after the commit: front || behind
    size_t object_len;
    atomic_bool busy;
};

struct sink *check_sink_new(struct check_store *);
void check_store_done(struct check_store *);

// Over borrowed bytes.
struct source *bytes_source_new(const uint8_t *bytes, size_t len);
