// How many uploads of a store were begun and not ended.
#pragma once

#include "backend/store/store.h"

#include <limits.h>

static inline int uploads_count_one(void *ctx, const struct store_upload *upload)
{
    (void)upload;
    ++*(unsigned *)ctx;
    return 0;
}

// Of keys that begin with `prefix`. UINT_MAX: they cannot be listed.
static inline unsigned uploads_below(struct store *store, const char *prefix)
{
    unsigned count = 0;
    return store->ops->list_uploads(store, prefix, uploads_count_one, &count, NULL) ? UINT_MAX
                                                                                    : count;
}
