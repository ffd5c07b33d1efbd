// Inside the renames: what rename.c (files) and rename_dir.c share.
#pragma once

#include "fs/rename.h"
#include "fs/rewrite.h"
#include "fs/tree.h"

// The flags that a record gets by being renamed to `to`: late, where the directory is old.
int rename_flags(struct stack *, const char *to, uint32_t *out, struct err *err);

// What stands under `to`, of which RENAME_NOREPLACE allows nothing. -ENOENT: nothing does. -ESTALE: the directory in which it
// is to stand was renamed, or removed, meanwhile: the kernel looks again.
int rename_find_target(struct stack *, const char *to, unsigned flags, struct tree_stat *out,
                       struct err *err);

// Takes a copy away again, if the old object is surely there still.
enum rename_undo {
    RENAME_UNDONE,
    RENAME_KEPT, // it could not be removed, or nobody knows what is there
    RENAME_GONE, // the old one is not there: the copy is the only one
};
enum rename_undo rename_undo(struct stack *, const char *from, const char *from_etag,
                             const char *to, const char *to_etag);
bool rename_is_gone(struct store *, const char *path);

int rename_dir(struct stack *, const char *from, const char *to, unsigned flags, struct err *err);
