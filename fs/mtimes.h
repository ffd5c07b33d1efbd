// Times of stored files, set after their commit (rsync, zstd): shown at once, stored a few seconds later, or with the rename
// that follows. A rewrite of the file's header costs as much as a rename, so it is done once, when nobody sets it any
// more. Where it cannot be stored (no key, grace over, a bucket that would keep and bill the old version) it is accepted and
// forgotten.
//
// Threads: any; some of its own write. What stands here is for one object (path and ETag).
#pragma once

#include "backend/base/err.h"
#include "backend/object.h"

#include <stdbool.h>
#include <time.h>

struct stack;
struct mtimes;

#define MTIMES_DELAY_MS 3000

// `delay_ms`: how long a time must stand before it is stored.
int mtimes_new(struct stack *, unsigned delay_ms, struct mtimes **out, struct err *err);
// Stores what is left, no longer than `deadline_ms`, and ends.
void mtimes_free(struct mtimes *, uint64_t deadline_ms);

void mtimes_set(struct mtimes *, const char *path, const struct object_info *,
                struct timespec mtime);
// What the file shows. False: what is stored.
bool mtimes_look(struct mtimes *, const char *path, const char *etag, struct timespec *out);
// The same, and it is the caller's to store now. With a claim on the path.
bool mtimes_take(struct mtimes *, const char *path, const char *etag, struct timespec *out);
// The file is about to be written: what waits is dropped, what is being stored is waited for. Without a claim.
void mtimes_settle(struct mtimes *, const char *path);
// The file is removed or renamed.
void mtimes_drop(struct mtimes *, const char *path);
