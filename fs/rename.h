// Renames within grace, by copies on the store's side whose headers say the new path; then the old ones are removed. A
// directory: all of it is copied, then all of it removed. The journal has it, so that the next mount undoes what was not
// copied whole and ends what was.
//
// What is renamed keeps its inode. Whoever has it open to read by the old key cannot read on (EIO).
#pragma once

#include "backend/base/err.h"
#include "backend/store/journal.h"

struct stack;

// `flags` of renameat2: RENAME_NOREPLACE. Errors: EPERM protected, HOST or DATE; EBUSY being written; EACCES no file key;
// EEXIST, ENOTEMPTY, EISDIR, ENOTDIR; EINVAL the rules of names, or other flags. After a failure all is as it was, as far
// as the store lets us; the sentence says what is not.
int rename_path(struct stack *, const char *from, const char *to, unsigned flags, struct err *err);

// For journal_recover_moves: undoes or ends what a dead daemon began. Only what has one payload under both names is
// touched.
int rename_recover(struct store *, const struct journal_move *, struct err *err);
