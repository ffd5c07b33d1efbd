// The journal of uploads: what a daemon has begun and not ended, so that the next mount of that store can abort what a
// killed daemon left. One file per daemon in the state directory, held by flock while it lives; the key stands there,
// synced, before the upload is created.
// Threads: any.
#pragma once

#include "backend/base/err.h"
#include "backend/store/store.h"

struct journal;
struct journal_entry;

// Makes this daemon's file in `dir` (created 0700 when missing).
int journal_open(const char *dir, struct journal **out, struct err *err);
// Removes the file if nothing is left in it.
void journal_close(struct journal *);

int journal_begin(struct journal *, struct store *, const char *key, struct journal_entry **out,
                  struct err *err);
int journal_set_id(struct journal_entry *, const char *upload_id, struct err *err);
// The upload was completed or aborted; frees the entry. NULL is accepted.
void journal_end(struct journal_entry *);
// The upload could not be aborted: frees the entry, but it stays in the file, for the next mount. NULL is accepted.
void journal_leave(struct journal_entry *);

// Goes through the files of dead daemons in `dir` and aborts what they left in this store, never anything else: an
// upload whose id stands there; without an id (killed in between) the one upload of that key that was begun in the
// seconds after the entry, if there is exactly one. Says in *out_aborted how many.
int journal_recover(const char *dir, struct store *, unsigned *out_aborted, struct err *err);
