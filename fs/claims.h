// Paths on which this mount changes something right now: one change at a time on a path, or on anything above or below it.
// A change that is over in a moment is waited for; one that may take long (a directory is renamed) is EBUSY.
// Threads: any. Who holds a claim takes no other.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>

struct claims;

struct claim {
    struct claim *next;
    const char *path, *other; // borrowed; `other` may be NULL
    bool is_long;
};

int claims_new(struct claims **out, struct err *err);
void claims_free(struct claims *);
// Claims both paths at once, or neither. Fill *claim before; it and its strings live until claims_drop.
int claims_take(struct claims *, struct claim *, struct err *err);
void claims_drop(struct claims *, struct claim *);
