// What is inside a file, judged while its bytes go by once: gzip, zstd and xz (also one in another) are decoded to their
// end, and the dump inside is judged as the mount judges one that is stored plain (backend/complete.h). Memory is bounded;
// nothing is written anywhere. Pure, one thread an inner.
//
//     what comes out                                          verdict
//     a compressed stream that is cut, broken, or has
//     something else behind its end                           bad
//     a compressed stream that is whole, of nothing           bad (pg_dump nosuchdb | gzip)
//     a dump that says how it ends, and does not              bad
//     ... and does                                            good
//     a tar without its end                                   bad
//     anything else                                           unknown
#pragma once

#include "backend/base/err.h"

#include <stddef.h>
#include <stdint.h>

enum inner_verdict { INNER_GOOD, INNER_UNKNOWN, INNER_BAD };

#define INNER_WHAT_BYTES 64

struct inner_result {
    enum inner_verdict verdict;
    char what[INNER_WHAT_BYTES]; // "gzip of a PostgreSQL dump"
    char why[256];  // of INNER_BAD; of INNER_UNKNOWN, why it was not looked at to its end, or ""
    uint64_t bytes; // decoded at the innermost
};

struct inner;

struct inner *inner_new(void); // NULL: no memory
// Never fails: what is wrong is told at the end.
void inner_feed(struct inner *, const void *data, size_t len);
void inner_end(struct inner *, struct inner_result *out);
void inner_free(struct inner *);
