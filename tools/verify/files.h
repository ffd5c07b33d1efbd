// The files of one backup on the mount, and what META says of each. One thread.
#pragma once

#include "backend/base/err.h"
#include "tools/catalog/backups.h"
#include "tools/catalog/meta.h"
#include "tools/verify/look.h"

#include <stddef.h>

struct files {
    struct look *list; // by name
    size_t count, room;
    char *dir;     // where their names begin: absolute
    char *archive; // the custom dump or the directory with toc.dat, absolute; NULL: none of them
    bool archive_is_dir;
};

// META and VERIFIED are not among them.
int files_find(const char *point, const struct backup *, struct files *out, struct err *err);
void files_done(struct files *);
struct look *files_named(const struct files *, const char *name); // NULL: not there
