// The header cache: what object_probe read of an object, by store, key and ETag, so that a header is fetched once. In
// memory, and in one file of the state directory that all mounts of this host share.
//
// The file is a log of records of fixed length, each with its own checksum; new ones are appended in batches under
// flock. Nothing in it is believed beyond its checksum: a torn tail is cut, a damaged record is skipped, another version
// is another file. Above its bound it is rewritten with the newer half. It is a cache: when it cannot be read or
// written, the mount goes on without it (the reason is logged for debugging).
//
// Threads: any. No lock is held across the disk.
#pragma once

#include "backend/base/err.h"
#include "backend/object.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEADERS_FILE "headers.v1"
#define HEADERS_RECORD_BYTES 192
#define HEADERS_ENTRIES_MAX 100000 // 20 MB of file; memory holds fewer when its bound is lower

struct headers;

// `state_dir` NULL or "": in memory only. `max_entries`: the bound, at least 2; the file has at most twice as many records.
int headers_new(const char *state_dir, const char *store_id, unsigned max_entries,
                struct headers **out, struct err *err);
void headers_free(struct headers *); // writes what is not written yet
// True when the header of this very object (key, ETag, size) is known.
bool headers_get(struct headers *, const char *key, const struct store_stat *,
                 struct seal_header *out);
// Remembers it. What could not be read (len 0: archived, or no age file) is not remembered: it may be readable later.
void headers_put(struct headers *, const char *key, const struct object_info *);
// Appends what is not in the file yet.
void headers_flush(struct headers *);
