// The store that the configuration names: [store] url, with its credentials. No request is sent yet.
#pragma once

#include "backend/base/err.h"
#include "backend/store/store.h"
#include "conf/conf.h"

struct opened_store {
    struct store *store;
    char *dir_path; // of a dir: store, malloc'ed; NULL otherwise
    size_t prefix_len;
};

// `out` is the caller's: store_free, free.
int stores_open(const struct conf *, struct opened_store *out, struct err *err);
