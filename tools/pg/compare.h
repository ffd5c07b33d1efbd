// Does a restored database hold what META says? Every difference is named. Pure.
#pragma once

#include "backend/base/err.h"
#include "tools/pg/facts.h"

struct compare_options {
    int version_then,
        version_now; // of the servers: deparse may differ between majors, then a definition is a NOTE
    bool no_owner, no_privileges; // owners and grants were left out on purpose
    // so were these, with what is said of them; `no_database`: settings, limit and comment of the database itself
    bool no_subscriptions, no_event_triggers, no_database;
    unsigned dump_left_out;    // of enum left_out: what is missing of these may not be in the dump
    const char *const *tables; // only these were restored (NULL-terminated), or NULL: all
};

enum difference_level {
    DIFFERENCE_NOTE, // cannot be helped: said, and no failure
    DIFFERENCE_FAIL,
};
struct difference {
    enum difference_level level;
    char *text; // "index public.orders_idx: missing", "rows public.orders: 999, was 1000"; owned
};
struct comparison {
    struct difference *list;
    size_t count, room;
    size_t compared, failures; // facts looked at; of list, DIFFERENCE_FAIL
};

// What options of pg_dump leave out.
enum left_out {
    LEFT_OUT_ANY = 1, // some objects, and all that goes with them
    LEFT_OUT_ROWS = 2,
    LEFT_OUT_OWNERS = 4,
    LEFT_OUT_GRANTS = 8,
    LEFT_OUT_COMMENTS = 16,
    LEFT_OUT_LARGE_OBJECTS = 32,
    LEFT_OUT_PUBLICATIONS = 64,
    LEFT_OUT_SUBSCRIPTIONS = 128,
    LEFT_OUT_LABELS = 256,
    LEFT_OUT_TABLESPACES = 512,
};
unsigned compare_left_out(const char *dump_options);
// Both sorted. -EUCLEAN only for facts that cannot be read.
int compare_facts(const struct facts *then, const struct facts *now, const struct compare_options *,
                  struct comparison *out, struct err *err);
void comparison_done(struct comparison *);
// Is it what a restore of some tables makes: they, and what stands on them alone?
bool compare_wants(const char *kind, const char *name, const struct compare_options *);
