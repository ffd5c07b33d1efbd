// One backup into one new database, through the mount: what restore, verify --restore and drill share. One thread.
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"
#include "tools/catalog/backups.h"
#include "tools/catalog/meta.h"
#include "tools/pg/compare.h"
#include "tools/pg/pg.h"

struct restore_job {   // borrowed
    const char *verb;  // for sentences and application_name
    const char *point; // the mount
    const struct backup *backup;
    const struct meta *meta;          // NULL: none, nothing can be compared
    const struct conf_database *conf; // restore_command, bindir, jobs; NULL: none is configured
    struct pg_server server;          // where to
    const char *database;             // made anew from template0; must not be there
    const char *const *tables;        // NULL-terminated, or NULL: all
    unsigned jobs;
    bool no_owner, no_privileges, no_tablespaces;
    bool
        scratch; // a drill: as an unprivileged role, no subscriptions, no event triggers, dropped by the caller
    void (*progress)(void *ctx, const char *stage, uint64_t done, uint64_t total); // may be NULL
    void *ctx;
};

struct restore_result {
    struct comparison comparison;
    bool compared;
    bool rows_unknown; // META has tables, and not one count
    uint64_t restore_ms, compare_ms;
    uint64_t bytes; // plain bytes of the dump
};

// What would fail later, looked at before the first byte: roles, tablespaces, extensions, major version, room. Each
// finding is a difference (FAIL: the restore will not work).
int restore_preflight(const struct restore_job *, struct comparison *out, struct err *err);
// Makes the database, fills it, compares it with META. A failure drops the database it made, and says in one sentence
// what failed. 0 also when the comparison has failures: look at it. Disables subscriptions always: a restored one never
// touches the publisher.
int restore_run(const struct restore_job *, struct restore_result *out, struct err *err);
void restore_result_done(struct restore_result *);
// Ends its sessions and drops it. ENOENT is success.
int restore_drop(const struct pg_server *, const char *database, struct err *err);
// "bakfs_drill_orders_20261122T031500Z_1a2b", at most 63 bytes: names that bakfs may drop begin with "bakfs_".
int restore_scratch_name(const char *prefix, const char *database, char out[64]);
