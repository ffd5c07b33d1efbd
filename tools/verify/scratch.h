// A backup restored into a database that is made for it and dropped again: on the server of [restore] drill_conninfo, as a
// role that is no superuser. One thread.
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"
#include "tools/catalog/backups.h"
#include "tools/verify/judge.h"

#include <stdint.h>

struct scratch;

struct scratch_conf { // borrowed, and outlives the scratch
    const struct conf *conf;
    const char *verb;   // "drill"
    const char *prefix; // of names: "drill" makes bakfs_drill_...
    void (*progress)(void *ctx, const char *stage, uint64_t done, uint64_t total); // may be NULL
    void *ctx;
};

int scratch_new(const struct scratch_conf *, struct scratch **out, struct err *err);
void scratch_free(struct scratch *);

struct scratch_times {
    uint64_t restore_ms, compare_ms, bytes;
};
// Adds to the verdict, whose META it uses: what is different, or why it could not be restored. `db` NULL: none is
// configured. The first call looks at the server, and refuses what could be harmed by it. An error is none of the backup:
// the server, the role, the network.
int scratch_run(struct scratch *, const struct backup *, const struct conf_database *db,
                struct verdict *, struct scratch_times *out, struct err *err);
