// What is known of a database at one moment: the facts that META keeps and a restored copy is held against.
//
// A fact is a kind, a name and a value, all text without a zero byte. Kinds: "database" (encoding, collation, owner,
// settings, acl), "extension", "migration", "schema", "table", "column", "constraint", "index", "sequence" (definition),
// "sequence_value", "view", "function", "trigger", "rule", "policy", "type", "grant", "rows" (row counts), "check"
// (configured queries), "large_objects" and whatever else pg_dump carries. Names are those a person would write
// (public.orders, "Weird ""table"""."x"; a column is TABLE.COLUMN, a function has its argument types). A value is the
// definition as the catalog prints it, shortened to its head and "sha256:..." where it is long.
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

// All that is not counted, by the connection's current transaction (its snapshot), without user code being run: catalogs
// only. `sequences`: where each sequence stands goes to "sequence_value" as "VALUE" here; see facts_sequences.
int facts_take(struct pg *, struct facts *out, struct err *err);

// Sequences do not obey snapshots: they are read before and after the dump, and any value between is right. Reads all
// sequences now; the second call with the same facts makes ranges "LOW..HIGH" of what is different.
int facts_sequences(struct pg *, struct facts *inout, struct err *err);

enum facts_counts { FACTS_COUNTS_EXACT, FACTS_COUNTS_ESTIMATE, FACTS_COUNTS_OFF };
struct facts_counting {
    struct pg_server server;
    const char *application_name;
    const char *snapshot; // of pg_export_snapshot, or NULL: each connection's own now
    unsigned workers;     // connections
    enum facts_counts how;
    // Asked between tables, by any worker; true ends the counting: what is left has no "rows" fact but "rows_skipped".
    bool (*stop)(void *ctx);
    void *ctx;
};
// Counts rows of ordinary tables, partitions, materialized views and (as "unlogged": not compared with unequal servers)
// all others that pg_dump carries data of, and large objects. No statement timeout.
int facts_count(const struct facts_counting *, struct facts *out, struct err *err);

// Configured queries, as "check" facts: the rows of the result, columns joined by tabs. Run READ ONLY by the caller's
// transaction.
int facts_check(struct pg *, const char *name, const char *sql, struct facts *out, struct err *err);
// "migration": what alembic, flyway, django, rails or sqitch wrote, or the query (not "") of the configuration.
int facts_migration(struct pg *, const char *query, struct facts *out, struct err *err);
