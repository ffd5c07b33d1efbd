// The sink that stores: sealed bytes become parts, sent by a pool of uploaders while the writer writes; the front, if one
// was opened, is part 1 and goes last. An object without a front that fits in one part is a single put.
// front_min is the store's part_min; front_align 1.
#pragma once

#include "backend/base/blocks.h"
#include "backend/base/cancel.h"
#include "backend/base/err.h"
#include "backend/base/workers.h"
#include "backend/store/journal.h"
#include "backend/store/store.h"
#include "backend/stream.h"

struct upload_env { // shared by all uploads of a daemon; outlives them
    struct store *store;
    struct blocks *blocks;
    struct workers *uploaders;
    struct journal *journal; // may be NULL
    uint64_t part_max;       // plan_part_max of the memory budget
};

// `cond` is copied. EFBIG comes with the first byte that no part can take. `cancel` (may be NULL, outlives the sink): asked
// for, no further part is sent and the commit fails with ECANCELED; it passes right before the request that commits.
int upload_sink_new(const struct upload_env *, const char *key, const struct store_cond *cond,
                    struct cancel *cancel, struct sink **out, struct err *err);
// After a commit that returned 0: what was stored.
const struct store_stat *upload_sink_stat(const struct sink *);
// For status: sealed bytes acknowledged by the store so far. Any thread.
uint64_t upload_sink_acked(const struct sink *);
// Waits until every full part handed over so far is stored (fsync, flushes in between); returns the latched failure.
int upload_sink_sync(struct sink *, struct err *err);
// Behind an open front, instead of write: the next part of the object is `len` bytes of the object `from`, on the store's
// side (store.h, copy_part: its sizes, errors and -EOPNOTSUPP). Several are under way at a time, so a failure may come with
// a later call.
int upload_sink_copy(struct sink *, const char *from, const char *if_match, uint64_t from_off,
                     uint64_t len, struct err *err);
