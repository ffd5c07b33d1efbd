// What the files of this room share; its contract is engine.h. One thread.
#pragma once

#include "tools/restore/engine.h"

#include <stdbool.h>
#include <stdint.h>

// --- What the dump is (source.c) ---

enum source_kind {
    SOURCE_CUSTOM,    // pg_dump -Fc
    SOURCE_DIRECTORY, // pg_dump -Fd
    SOURCE_TAR,       // pg_dump -Ft
    SOURCE_PLAIN,     // SQL for psql
    SOURCE_COMMAND,   // whatever restore_command reads
};
struct source {
    enum source_kind kind;
    char *path; // absolute, owned
    uint64_t bytes;
};
// By META, else by the first bytes. EOPNOTSUPP: none that can be restored into a database, with what to do instead.
int source_find(const struct restore_job *, struct source *out, struct err *err);
void source_done(struct source *);
static inline bool source_is_archive(const struct source *s)
{
    return s->kind == SOURCE_CUSTOM || s->kind == SOURCE_DIRECTORY || s->kind == SOURCE_TAR;
}

// --- Running the tools (load.c, feed.c) ---

// pg_restore into job->database with more words (NULL at the end, or NULL), of the entries in `list` (a descriptor; -1: all).
int load_archive(const struct restore_job *, const struct source *, const char *tool,
                 const char *const *more, int list, struct err *err);
int load_plain(const struct restore_job *, const struct source *, const char *tool,
               struct err *err); // one transaction
int load_command(const struct restore_job *, const struct source *, struct err *err);
// What `pg_restore -l` prints; free() it.
int load_list(const struct source *, const char *tool, char **out, struct err *err);
// An unnamed file with `text`, for `list` above: its descriptor.
int load_list_file(const char *text, size_t len, struct err *err);

char *load_conninfo(const char *database); // for -d: a name that looks like a conninfo is none

// --- The database that is made (database.c) ---

// A connection to where databases are made and dropped: "postgres", else "template1", else what the conninfo itself names.
int database_admin(const struct pg_server *, const char *verb, struct pg **out, struct err *err);
int database_exists(struct pg *, const char *name, bool *out, struct err *err);
// From template0, with META's encoding and locale where the server has them; else a NOTE.
int database_create(struct pg *, const struct restore_job *, struct comparison *notes,
                    struct err *err);
// Statements with names in them: "%s" of `format` are identifiers, which are quoted.
int database_exec(struct pg *, struct err *err, const char *format, const char *name1,
                  const char *name2);
// The last sign of life of subscriptions: disabled, or (`drop`) taken away without a word to the publisher.
int database_mute_subscriptions(struct pg *, bool drop, struct comparison *notes, struct err *err);

// --- Owner, settings, grants and comment of a database (properties.c) ---

// As META says, for a new database. What the server refuses is a NOTE.
int properties_from_meta(struct pg *, const struct restore_job *, struct comparison *notes,
                         struct err *err);
// As those of `old`, a database of the same server. `pg` is connected to `database` or elsewhere.
int properties_copy(struct pg *, const char *old, const char *database, struct comparison *notes,
                    struct err *err);

// --- Some tables only (tables.c) ---
// *out_names: the tables that are there now, as facts write them; tables_free them.
int tables_restore(const struct restore_job *, const struct source *, const char *tool,
                   char ***out_names, struct err *err);
void tables_free(char **names);

// --- Findings ---
int finding(struct comparison *, enum difference_level, struct err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void progress(const struct restore_job *, const char *stage, uint64_t done, uint64_t total);
const struct fact *meta_fact(const struct restore_job *, const char *kind, const char *name);
