// Listings: what directories hold, by as few requests as there can be.
//
// A directory is first asked for as one page without delimiter: 1,000 keys, whatever depth they have. Keys come in byte
// order, so a directory all of whose keys lie within the page is known completely. Where the page ends inside the asked
// directory, listing goes on in that directory alone, folded at '/', behind the child in which the page ended.
// When a directory is read that follows one just read (a walk: find), the page starts at this directory but goes on
// through its next siblings, which the walk will want next.
//
// No lock, no state: store in, entries out.
#pragma once

#include "backend/store/store.h"
#include "fs/dirs.h"

#include <stdbool.h>

struct listed {             // one directory that is known completely
    struct entries entries; // settled
    struct timespec newest;
    char *path;
};

struct listing {
    struct listed *dirs; // the asked one, if it exists, is among them
    size_t count, room;
    bool exists; // keys lie below the asked directory, be it hidden ones
};

// `ahead`: go on through the siblings behind `dir` (not for the root).
int listing_run(struct store *, const char *dir, bool ahead, struct listing *out, struct err *err);
void listing_done(struct listing *);

// Does any key lie below `dir`? One request.
int listing_any(struct store *, const char *dir, bool *out, struct err *err);
// The stat of an object as a listing tells it, for those who may list and not read. ENOENT.
int listing_stat(struct store *, const char *key, struct store_stat *out, struct err *err);
