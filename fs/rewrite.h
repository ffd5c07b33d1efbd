// One stored file gets another header: another path, other times. The payload is copied by the store, never changed.
// Threads: any. The caller holds a claim on the paths.
#pragma once

#include "backend/base/err.h"
#include "backend/object.h"

#include <stdbool.h>
#include <time.h>

struct stack;

struct rewrite {
    const char *from, *to;          // paths; may be one
    const struct object_info *info; // of what stands under `from`
    struct store_cond cond;         // for `to`
    const struct timespec *mtime;   // NULL: as it was
    uint32_t flags;                 // set in the record, besides those it has
};

// Can this mount rewrite it? It is ours, and its file key is known or an identity is there. EACCES.
int rewrite_check(struct stack *, const char *path, const struct object_info *, struct err *err);
// Stores it. `to` is known to the recents then, if `from` was; what else knows of files is the caller's. Where the answer
// was lost the store is asked whether `to` has the payload now. *out_unsure (may be NULL): after a failure, even that could
// not be found out.
int rewrite_object(struct stack *, const struct rewrite *, struct object_info *out,
                   bool *out_unsure, struct err *err);

// What proves that two objects have one payload. `out` tells which object it was.
int rewrite_nonce(struct store *, const char *path, uint8_t nonce[SEAL_NONCE_BYTES],
                  struct object_info *out, struct err *err);
int rewrite_remove(struct store *, const char *path, const char *etag, struct err *err);
