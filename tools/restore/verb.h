// Inside `bakfs restore`: what was asked for, and what will happen. One thread.
#pragma once

#include "tools/restore/internal.h"

#include <time.h>

struct request { // of the command line; borrowed
    const char *conf_path, *to, *into;
    const char **tables; // NULL at the end, or NULL
    time_t at;           // 0: the newest
    unsigned jobs;       // 0: not given
    bool replace, no_owner, no_privileges, no_tablespaces, dry_run, force, yes;
};

struct plan {
    struct conf *conf;
    struct backups backups;
    const struct backup *backup; // of these
    struct meta *meta;           // NULL: none
    const struct conf_database *db;
    struct source source;
    struct restore_job job;
    char name[256];    // the database that is there in the end
    char made[64];     // the name it is made under, with --replace
    char old_name[64]; // that of the one that was replaced
    bool replaces;     // there is one to replace
    size_t sessions;   // that one has
    char where[512];   // "socket, port 5432, as postgres (PostgreSQL 15.19)"
    struct comparison findings;
};

// Chooses the backup, the server and the names, and looks at what would fail. An ENOENT, EACCES and so on is its end.
int plan_make(const struct request *, char *const *argv, int argc, struct plan *out,
              struct err *err);
void plan_print(const struct request *, const struct plan *);
void plan_done(struct plan *);
// What a conninfo must not hold on a command line. EINVAL says where a password belongs.
int plan_check_conninfo(const char *conninfo, struct err *err);
