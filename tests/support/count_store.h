// A store over another one that counts what is asked of it, and can let a test do something just before an answer is
// given. Frees the inner store with itself. Threads: any; `after` is set while nothing is asked.
#pragma once

#include "backend/store/store.h"

#include <stdatomic.h>

struct count_store {
    struct store store; // first
    struct store *inner;
    atomic_uint heads, gets, lists, part_copies, others;
    // called without arguments of interest but the key or prefix, after the inner store answered
    void (*after)(void *ctx, const char *call, const char *key);
    void *ctx;
    atomic_int fail; // errno that head, get and list return instead of asking; 0: none
};

// Takes over `inner`. NULL: no memory.
struct count_store *count_store_new(struct store *inner);
unsigned count_store_all(const struct count_store *);
