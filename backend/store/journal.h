// The journal of uploads and moves: what a daemon has begun and not ended, so that the next mount of that store can abort
// or end what a killed daemon left. One file per daemon in the state directory, held by flock while it lives; the key stands
// there, synced, before the upload is created or the first copy is made.
// Threads: any.
#pragma once

#include "backend/base/err.h"
#include "backend/store/store.h"

#include <stdbool.h>

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

// --- Moves: objects that are stored under another key, and then removed under the old one ---

enum journal_move_kind {
    JOURNAL_NO_MOVE,
    JOURNAL_MOVE_FILE,
    JOURNAL_MOVE_OVER, // a file, in the place of another
    JOURNAL_MOVE_DIR,  // all files below
};

struct journal_move {
    enum journal_move_kind kind;
    bool copied; // all of it stands under `to`
    const char *from, *to;
};

// Before the first copy. `copied` is ignored.
int journal_move(struct journal *, struct store *, const struct journal_move *,
                 struct journal_entry **out, struct err *err);
// Before the first removal.
int journal_move_copied(struct journal_entry *, struct err *err);

// Goes through the files of dead daemons in `dir` and gives each move of this store that was not ended to `settle`; what it
// returns 0 for is done. Others stay for the next mount, for 7 days. After journal_recover: a copy may still be an upload.
int journal_recover_moves(const char *dir, struct store *,
                          int (*settle)(void *ctx, const struct journal_move *, struct err *),
                          void *ctx, struct err *err);

// Goes through the files of dead daemons in `dir` and aborts what they left in this store, never anything else. Says in
// *out_aborted how many.
//
// An upload whose id stands there is aborted. Without an id (killed before it was known, or every answer was lost) several
// may have been begun. They are looked for among the uploads of that key that were begun in the hour after the entry:
//   - one with a part is not among them: parts are sent after the id was written down;
//   - one that another journal here knows is that daemon's; while a daemon that lives has an entry for this key without an
//     id, none is touched and the entry stays, for the next mount;
//   - the others, without a part, are aborted. Should one be another host's that has just begun, that one loses nothing: its
//     first part finds no upload, and it begins anew (upload.c).
int journal_recover(const char *dir, struct store *, unsigned *out_aborted, struct err *err);

// Every entry of all journals in `dir`, of whatever store; `alive`: its daemon lives. `each` returning non-zero ends it with
// that error. Changes nothing.
struct journal_line; // journal_file.h
int journal_look(const char *dir, int (*each)(void *ctx, const struct journal_line *, bool alive),
                 void *ctx, struct err *err);
