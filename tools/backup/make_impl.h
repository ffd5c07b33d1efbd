// What the steps of one backup share: make.c, make_pg.c, make_command.c.
#pragma once

#include "tools/backup/make.h"
#include "tools/backup/site.h"
#include "tools/catalog/meta.h"
#include "tools/process.h"

struct making {
    const struct make_job *job;
    struct site site; // site.dir -1: nothing is written yet
    struct meta *meta;
    uint64_t stored;
};

int making_set(char **text, const char *value, struct err *err);
// Fills what META says of the place and the moment. `when`: of STEM.
int making_place(struct making *, struct timespec when, struct err *err);
// Waits for `child`, and tells of `name`'s progress meanwhile; the sentence of its end is `what`'s. Frees it.
int making_wait(struct making *, struct process *child, const char *what, const char *stage,
                const char *name, struct err *err);
// What a program writes to standard output becomes the file STEM + suffix, its name *out.
int making_run(struct making *, const struct process_conf *, const char *what, const char *suffix,
               char **out, struct err *err);

int make_pg(struct making *, struct err *err);
int make_command(struct making *, struct err *err);
