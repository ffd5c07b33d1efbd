// What backups.c, backups_sizes.c and backups_named.c share, and tests use on a plain directory: no look at the mount.
#pragma once

#include "tools/catalog/backups.h"
#include "tools/catalog/dir_names.h"

#define BACKUPS_PATH_BYTES 4096

struct backups_wanted {
    const char *point;                   // any directory
    const char *host, *date, *partition; // NULL: all
    unsigned flags;
};

int backups_walk(const struct backups_wanted *, struct backups *out, struct err *err);
// Sizes, completeness, and for what is not ours `when`, of the dump `name` in the directory `at`. What vanished is left
// as it was.
int backups_ask_at(int at, const char *name, struct backup *, struct err *err);
// Completeness and `when` of a directory that people copied in, whose names are `in`. Not its size.
int backups_judge_dir(int at, const struct dir_names *in, struct backup *, struct err *err);
// The same from what the daemon told with the name of the dump, a file.
void backups_take_known(struct backup *, const struct dir_name *);
void backup_free_members(struct backup *);
int backups_named_in(const struct conf *, char *const *argv, int argc, int *out_used,
                     struct backups *out, struct err *err);
