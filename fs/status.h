// What the daemon knows of itself: last failures, counters. Rendered as .bakfs/status.json.
// Threads: any.
#pragma once

#include "backend/base/err.h"
#include "backend/store/probe.h"
#include "fs/reader.h"
#include "fs/writer.h"

#include <stdbool.h>

struct status;

struct status_sources { // all outlive the status
    struct store *store;
    struct probe conditions;
    struct blocks *blocks;
    struct writers *writers;
    struct readers *readers;
    uint64_t object_max_bytes;
    bool has_identity, read_only;
};

int status_new(struct status **out, struct err *err);
void status_free(struct status *);
void status_set_sources(struct status *, const struct status_sources *);

void status_stored(struct status *, const char *path, uint64_t plain_bytes, uint64_t stored_bytes);
void status_failed(struct status *, const char *path, const char *reason);
// Was the last write of this path a failure? What stands under it in the store, if anything, is older then. Remembered
// until the path is stored or removed (for the last FAILED_PATHS_MAX paths).
bool status_is_failed(struct status *, const char *path);
void status_forget(struct status *, const char *path);
// May a refusal be logged, or were there too many in this second (a crawler)? Counts what is held back.
bool status_may_log(struct status *);

// The report as JSON, malloc'ed. NULL: no memory.
char *status_json(struct status *);
