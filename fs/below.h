// All files below a directory, as the store holds them now; and work on many of them at a time.
// Threads: any; a `struct below` has one owner.
#pragma once

#include "backend/base/err.h"
#include "backend/object.h"

#include <stdbool.h>
#include <stddef.h>

struct stack;

struct below_file {
    char *path;
    // the header by below_headers only, if it may be read; no ETag: it vanished meanwhile
    struct object_info info;
};

struct below {
    struct below_file *list;
    size_t count, room;
    char after[STORE_KEY_BYTES + 1]; // the last key that was listed
    bool more;
};

// Adds the next page: at most 1,000 files. Keys that are not shown as files are passed over.
int below_page(struct store *, const char *dir, struct below *, struct err *err);
// Fetches the headers of those that the tree does not know.
int below_headers(struct stack *, struct below *, struct err *err);
// Forgets the files, not the place in the listing.
void below_clear(struct below *);
void below_done(struct below *);

// Calls `one` for 0 to count - 1, eight at a time, from this thread and others. After a failure none is begun; returns the
// first.
int below_each(size_t count, int (*one)(void *ctx, size_t i, struct err *err), void *ctx,
               struct err *err);
