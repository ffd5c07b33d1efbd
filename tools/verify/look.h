// One file on the mount, looked at: quickly (its object's header, tail, tables and path, by what the daemon says of it) or in
// full (every byte read past the caches, its digest, what is inside). One thread a file; several files at once.
#pragma once

#include "backend/base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum look_outcome {
    LOOK_PASS,
    LOOK_FAIL,   // the file is not what it should be
    LOOK_CANNOT, // nobody knows: no key, no network, no mount, stopped
};

#define LOOK_TEXT_BYTES 512

struct look {
    // wanted; owned strings
    char *path; // on the mount, absolute
    char *name; // as it is told
    bool full;
    bool may_be_empty; // part of something larger: a table, a file of a data directory
    bool has_wanted;   // META says what it is
    bool belongs;      // to the dump itself, not beside it
    uint64_t wanted_size;
    char *wanted_digest; // "" or NULL: META does not say
    // found
    enum look_outcome outcome;
    char text
        [LOOK_TEXT_BYTES]; // of LOOK_FAIL and LOOK_CANNOT: one line; of LOOK_PASS: a note, or ""
    char what[64];         // is in it, of a full look
    bool no_identity;      // nobody here opens it: the digest was not compared
    uint64_t size, stored, bytes; // bytes: plain ones that were read
};

struct look_run { // of all looks of a run
    atomic_ullong bytes;
    bool (*stop)(void); // asked between pieces; may be NULL
};

void look_at(struct look *, struct look_run *);
void look_done(struct look *);
// Is an EIO from this file a word about it, and not about the store?
bool look_is_served(const char *path);
