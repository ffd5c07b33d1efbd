// bakfs doctor from the inside: findings, and the checks that make them. doctor.c reads the arguments, runs the table of
// checks and prints; doctor_*.c are the checks, each a function that looks at one thing and tells what it found.
// One thread.
#pragma once

#include "backend/seal/seal.h"
#include "backend/store/store.h"
#include "conf/conf.h"
#include "conf/stores.h"
#include "tools/daemon_status.h"
#include "tools/proof.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

// What is older and unfinished, nobody works on any more.
#define DOCTOR_OLD_SECONDS (7 * 24 * 60 * 60)
#define DOCTOR_SHOWN 20 // of one kind, without --all
#define DOCTOR_TEXT_BYTES 2048

enum doctor_level {
    DOCTOR_OK,
    DOCTOR_NOTE,    // good to know; nothing has to be done
    DOCTOR_PROBLEM, // to be mended: exit code 1
};

struct doctor {
    // asked for
    const char *conf_path;
    bool fix, deep, json, all, no_immutable, progress;
    FILE *out;
    // what there is to look at
    struct conf *conf;
    struct opened_store opened;
    struct store *store; // opened.store once it was reached, else NULL
    struct timespec now; // by the store's clock
    bool has_identities; // --identity
    struct identities identities;
    struct proofs proofs; // what was tried in this run, and before
    bool proofs_read;
    bool mounted; // and `daemon` is what it says of itself
    struct daemon_status daemon;
    const char *updatedb_conf;
    // told so far
    const char *group, *group_told;
    unsigned findings, problems;
};

// What was found; `why` it matters and what to `type` are NULL where there is nothing to say.
void doctor_tell(struct doctor *, enum doctor_level, const char *why, const char *type,
                 const char *what, ...) __attribute__((format(printf, 5, 6)));
// For findings of which there may be many: false, and nothing is to be told, after DOCTOR_SHOWN of them.
bool doctor_shows(const struct doctor *, uint64_t *count);
// After the last of them: how many were not shown.
void doctor_more(struct doctor *, uint64_t count, const char *of_what);
// A line on a terminal.
void doctor_progress(const struct doctor *, const char *what, uint64_t count);

// Is the mount there, and read-only? Then nothing is tried that writes.
static inline bool doctor_read_only(const struct doctor *d)
{
    return d->mounted && d->daemon.read_only;
}

// --- doctor_conf.c ---
void doctor_files(struct doctor *);
void doctor_keys(struct doctor *);
// --- doctor_store.c ---
void doctor_reach(struct doctor *); // sets d->store and d->now; the others need it
void doctor_clock(struct doctor *);
void doctor_write(struct doctor *);
void doctor_conditions(struct doctor *);
void doctor_facts(struct doctor *);
void doctor_device(struct doctor *);
// --- doctor_objects.c ---
void doctor_objects(struct doctor *);
// --- doctor_headers.c ---
// Of --deep: unreadable headers, one payload under two keys. Read by threads of its own.
struct headers_seen;
struct headers_seen *doctor_headers_new(void); // NULL: no memory
void doctor_headers_look(struct doctor *, struct headers_seen *, const struct store_entry *);
void doctor_headers_end(struct doctor *, struct headers_seen *); // tells, and frees
// --- doctor_prove.c ---
// Opens the object of `path` with d->identities.
void doctor_prove(struct doctor *, const char *path, const char *etag);
// After the last of them: keeps a record, for bakfs status.
void doctor_proved(struct doctor *);
// --- doctor_uploads.c ---
void doctor_orphans(struct doctor *);
void doctor_temporary(struct doctor *);
void doctor_journals(struct doctor *);
// --- doctor_host.c ---
void doctor_daemon(struct doctor *);
void doctor_exit_codes(struct doctor *);
void doctor_guard(struct doctor *);
void doctor_updatedb(struct doctor *);
// The text of an updatedb.conf with our entry, malloc'ed; NULL: no memory. *out_had: it was there, or the mount point is
// pruned anyway.
char *doctor_updatedb_text(const char *text, const char *point, bool *out_had);
