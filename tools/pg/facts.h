// What is known of a database at one moment: the facts that META keeps and a restored copy is held against.
//
// A fact is a kind, a name and a value, all text without a zero byte. A value is the definition as the catalog prints it;
// a long one is its head and "... sha256:" of the whole. Names are those a person would write: public.orders, "Weird
// ""table"""."x"; a column, constraint, trigger, rule and policy is TABLE.NAME; a function has its argument types.
//   database       "encoding", "collate", "ctype", "provider", "locale", "connection_limit", "setting work_mem", "setting of
//                  ROLE work_mem": never shortened, a restore sets them from here
//   owner          of "database", "table public.orders", "large objects": a role
//   comment        the same names, and "column public.orders.total", "large object 17"
//   grant          "table public.orders to ROLE" (or PUBLIC, or (owner)): "SELECT, UPDATE*", * with grant option, "none". Only
//                  what differs from what such an object has by itself, so that no fact means "as by default"
//   default_grant  "ROLE in SCHEMA on tables to ROLE"
//   extension      its schema; extension_version: what a restore makes of it is up to its server
//   tablespace     of what does not lie where the database does
//   rows           exact counts; unlogged: those of unlogged tables; rows_estimate; rows_skipped: why there is none
//   sequence_value "17", "17 (unused)", "17..20"
//   large_objects  "count", "which" (a digest), "bytes"
//   check, migration
// and one kind for each sort of object: schema, table, foreign_table, view, materialized_view, sequence, column,
// constraint, index, trigger, rule, policy, type, function, and whatever else pg_dump carries.
#pragma once

#include "backend/base/err.h"
#include "tools/pg/pg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fact {
    char *kind, *name, *value; // owned
};

struct facts {
    struct fact *list; // sorted by kind and name after facts_sort
    size_t count, room;
};

int facts_add(struct facts *, const char *kind, const char *name, const char *value,
              struct err *err); // copies
void facts_sort(struct facts *);
const struct fact *facts_find(const struct facts *, const char *kind,
                              const char *name); // of sorted ones
void facts_done(struct facts *);                 // frees what is in it

// All that is not counted, by the connection's current transaction (its snapshot; in one of its own where none is open),
// without user code being run: catalogs only. Leaves no locks behind. Definitions are printed as of now, so what is altered
// meanwhile may be newer than the snapshot; what cannot be printed any more is compared with a note.
int facts_take(struct pg *, struct facts *out, struct err *err);

// Sequences do not obey snapshots: they are read before and after the dump, and any value between is right. Reads all
// sequences now, as "sequence_value"; the second call with the same facts makes ranges of what is different.
int facts_sequences(struct pg *, struct facts *inout, struct err *err);

enum facts_counts { FACTS_COUNTS_EXACT, FACTS_COUNTS_ESTIMATE, FACTS_COUNTS_OFF };
struct facts_counting {
    struct pg_server server;
    const char *application_name;
    const char *snapshot; // of pg_export_snapshot, or NULL: each connection's own now
    unsigned workers;     // connections
    enum facts_counts how;
    // Asked by the calling thread, several times a second; true ends the counting, also of the table that is counted now:
    // what is left has no "rows" fact but "rows_skipped".
    bool (*stop)(void *ctx);
    void *ctx;
};
// Counts rows of all that pg_dump carries data of: tables, partitions, materialized views that are populated, an extension's
// tables where it says so, unlogged tables unless on a standby; and large objects. No statement timeout; a table that is
// locked for 10 s, or that we may not read whole, is skipped. The calling thread opens a connection too, for a moment.
int facts_count(const struct facts_counting *, struct facts *out, struct err *err);

// Configured queries, as "check" facts: the rows of the result, columns joined by tabs. Run READ ONLY by the caller's
// transaction.
int facts_check(struct pg *, const char *name, const char *sql, struct facts *out, struct err *err);
// "migration": what alembic, flyway, django, rails or sqitch wrote, or the query (not "") of the configuration.
int facts_migration(struct pg *, const char *query, struct facts *out, struct err *err);
