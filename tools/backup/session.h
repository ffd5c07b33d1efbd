// The session that holds the snapshot which is dumped and described: REPEATABLE READ, READ ONLY, ended with us. And the
// counting of rows beside it, in threads of its own. One thread, but for what says otherwise.
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"
#include "tools/pg/facts.h"
#include "tools/pg/pg.h"

#include <stdbool.h>
#include <time.h>

#define SESSION_NAME_BYTES 64

struct session {
    struct pg *pg;
    char name
        [SESSION_NAME_BYTES]; // application_name: of this one and, with more behind it, of all that we start
    char snapshot[128];
    char system_identifier[32]; // "" where it is not told
    bool reads_passwords;       // of roles
    struct timespec begun;      // when the snapshot was taken, by our clock
};

int session_open(const struct pg_server *, const char *verb, struct session *out, struct err *err);
// Takes the snapshot (again: gives the old one back first).
int session_snapshot(struct session *, struct err *err);
// Runs what the configuration asks in the snapshot; what fails is told to `warn` and does not end the transaction.
int session_ask(struct session *, const struct conf_database *, struct facts *out,
                void (*warn)(void *ctx, const char *text), void *ctx, struct err *err);
int session_commit(struct session *, struct err *err);
void session_close(struct session *); // ends the transaction and all locks with it

struct counting;
// Counts as `db` says. `server` is borrowed until counting_end.
int counting_begin(const struct session *, const struct pg_server *server,
                   const struct conf_database *db, struct counting **out, struct err *err);
// Waits, at most `ms`. True: it is done.
bool counting_wait(struct counting *, int ms);
// Does anybody wait for a lock that we hold?
bool session_blocks_others(struct session *);
// No further table, and those that are counted now are given up, soon.
void counting_stop(struct counting *);
// Joins and frees. What was counted is added to `out`; a count that failed is `warn`ed of, and noted as "rows_skipped".
// `out` NULL: it is not wanted any more.
int counting_end(struct counting *, struct facts *out, void (*warn)(void *ctx, const char *text),
                 void *ctx, struct err *err);
