// Which backups a command line means. One thread.
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"
#include "tools/catalog/backups.h"

#include <stdbool.h>
#include <stddef.h>

struct selection {        // by host, partition, when within each word of the command line
    struct backup **list; // borrowed from the sets
    size_t count, room;
    struct backups *sets; // owned
    size_t set_count;
    size_t skipped; // newest ones that are being written now: the one before was taken
};

struct select_options {
    bool all;              // else the newest of each partition
    double sample_percent; // 0: no sample; of what is there, at least one
};

// No words: every partition on the mount.
int select_backups(const struct conf *, char *const *argv, int argc, const struct select_options *,
                   struct selection *out, struct err *err);
void selection_done(struct selection *);
