// Where one backup lies on the mount: HOST/DATE/PARTITION and its STEM. The PARTITION directory is held by a descriptor, so
// that nothing lands in, or is removed from, a bare directory when the mount goes away meanwhile. One thread.
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"
#include "tools/catalog/meta.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define SITE_NAME_BYTES 248 // a name on the mount, with its end

struct site {
    const char *point; // borrowed
    char host[SITE_NAME_BYTES], partition[SITE_NAME_BYTES];
    char date[16];
    char stem[SITE_NAME_BYTES];
    int dir; // -1: not open
    char here
        [40]; // a path to `dir` as long as we live: what children take for their working directory
};

// Makes the directories, marks them as written by bakfs. -EEXIST: a backup of that second is there already.
int site_open(const struct conf *, const struct conf_database *, time_t when, struct site *out,
              struct err *err);
void site_close(struct site *);
// "STEM" and `suffix`.
void site_name(const struct site *, const char *suffix, char out[SITE_NAME_BYTES]);
// A new file to write to, -errno.
int site_create(const struct site *, const char *name, struct err *err);
// Closes it: that is what stores it.
int site_commit(int fd, const char *name, struct err *err);

// Are the file, or all files below the directory, in the store, whole? Adds them to META with sizes and digests, and what
// is stored of them to *stored. `meta` may be NULL.
int site_check(const struct site *, const char *name, struct meta *meta, uint64_t *stored,
               struct err *err);
// All of this STEM. What cannot be removed (its grace is over) has no META and is no backup: `err` names it.
int site_remove(const struct site *, struct err *err);
// The mount is there no more (or another one is).
bool site_is_lost(const struct site *);
