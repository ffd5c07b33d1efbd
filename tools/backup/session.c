#include "tools/backup/session.h"

#include "backend/base/clock.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// We give up rather than wait for ever behind somebody's ALTER TABLE, and others behind us.
#define LOCK_TIMEOUT "5min"
#define COUNT_WORKERS 2 // connections, or [database] jobs where that is more

// Where the host of this program dies without a word, the server notices, and its locks go. What it does not know is left
// out.
static const char settings[] =
    "SELECT pg_catalog.set_config(v.name, v.value, false) FROM (VALUES "
    "('lock_timeout', '" LOCK_TIMEOUT "'), "
    "('client_connection_check_interval', '10s'), ('tcp_keepalives_idle', '60'), "
    "('tcp_keepalives_interval', '15'), ('tcp_keepalives_count', '4'), "
    "('default_transaction_deferrable', 'off')"
    ") v(name, value) WHERE pg_catalog.current_setting(v.name, true) IS NOT NULL";

// One value that may not be told.
static void ask_text(struct pg *pg, const char *sql, char *out, size_t room)
{
    struct pg_rows *rows = NULL;
    *out = '\0';
    if (pg_query(pg, sql, NULL, 0, &rows, NULL) == 0 && pg_row_count(rows) > 0)
        snprintf(out, room, "%s", pg_value(rows, 0, 0));
    pg_rows_free(rows);
}

int session_open(const struct pg_server *server, const char *verb, struct session *out,
                 struct err *err)
{
    struct session s = {.pg = NULL};
    snprintf(s.name, sizeof(s.name), "bakfs %s %ld", verb, (long)getpid());
    int rc = pg_open(server, s.name, &s.pg, err);
    if (rc != 0)
        return err_prefix(err, "connect to the database");
    rc = pg_exec(s.pg, settings, err);
    if (rc != 0) {
        session_close(&s);
        return rc;
    }
    char answer[8];
    ask_text(s.pg, "SELECT system_identifier FROM pg_catalog.pg_control_system()",
             s.system_identifier, sizeof(s.system_identifier));
    ask_text(s.pg, "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')",
             answer, sizeof(answer));
    s.reads_passwords = *answer == 't';
    *out = s;
    return 0;
}

int session_snapshot(struct session *s, struct err *err)
{
    struct pg_rows *rows = NULL;
    int rc = *s->snapshot ? pg_exec(s->pg, "ROLLBACK", err) : 0;
    if (rc == 0)
        rc = pg_exec(s->pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    if (rc == 0)
        rc = pg_query(s->pg, "SELECT pg_catalog.pg_export_snapshot()", NULL, 0, &rows, err);
    if (rc != 0)
        return err_prefix(err, "take a snapshot");
    clock_gettime(CLOCK_REALTIME, &s->begun);
    snprintf(s->snapshot, sizeof(s->snapshot), "%s", pg_value(rows, 0, 0));
    pg_rows_free(rows);
    return 0;
}

// What people have configured may fail; that ends no transaction.
static int judge(const struct session *s, int rc, const struct err *why,
                 void (*warn)(void *ctx, const char *text), void *ctx, struct err *err)
{
    if (rc == 0)
        return 0;
    if (rc == -ENOMEM || pg_is_lost(s->pg))
        return err_copy(err, why);
    char text[ERR_TEXT_BYTES + 64];
    snprintf(text, sizeof(text), "%s: it will not be compared after a restore", why->text);
    warn(ctx, text);
    return 0;
}

int session_ask(struct session *s, const struct conf_database *db, struct facts *out,
                void (*warn)(void *ctx, const char *text), void *ctx, struct err *err)
{
    struct err why = {0};
    int rc = facts_migration(s->pg, db->migration_query, out, &why);
    rc = judge(s, rc, &why, warn, ctx, err);
    for (size_t i = 0; rc == 0 && i < db->check_count; i++) {
        rc = facts_check(s->pg, db->checks[i].name, db->checks[i].sql, out, &why);
        rc = judge(s, rc, &why, warn, ctx, err);
    }
    return rc;
}

int session_commit(struct session *s, struct err *err)
{
    return pg_exec(s->pg, "COMMIT", err);
}

void session_close(struct session *s)
{
    pg_close(s->pg);
    s->pg = NULL;
}

bool session_blocks_others(struct session *s)
{
    // of another session that waits for one of ours; ours wait for each other never longer than theirs
    static const char sql[] =
        "WITH ours AS (SELECT a.pid FROM pg_catalog.pg_stat_activity a "
        "WHERE a.application_name LIKE $1 || '%') "
        "SELECT 1 FROM pg_catalog.pg_locks l WHERE NOT l.granted AND l.pid NOT IN (SELECT pid FROM "
        "ours) "
        "AND pg_catalog.pg_blocking_pids(l.pid) && ARRAY(SELECT pid FROM ours) LIMIT 1";
    struct pg_rows *rows = NULL;
    const char *params[] = {s->name};
    // what pg_stat_activity says is remembered for a transaction
    if (pg_exec(s->pg, "SELECT pg_catalog.pg_stat_clear_snapshot()", NULL) != 0 ||
        pg_query(s->pg, sql, params, 1, &rows, NULL) != 0)
        return true; // nobody knows: let go
    bool found = pg_row_count(rows) > 0;
    pg_rows_free(rows);
    return found;
}

// --- Counting ---

struct counting {
    struct facts_counting conf;
    char name[SESSION_NAME_BYTES], snapshot[128];
    atomic_bool stop;
    pthread_t thread;
    pthread_cond_t changed;
    pthread_mutex_t lock;
    bool done; // below the lock
    int rc;
    struct err err;
    struct facts facts;
};

static bool is_stopped(void *ctx)
{
    const struct counting *c = ctx;
    return atomic_load(&c->stop);
}

static void *run_counting(void *ctx)
{
    struct counting *c = ctx;
    int rc = facts_count(&c->conf, &c->facts, &c->err);
    auto_unlock pthread_mutex_t *held = scope_lock(&c->lock);
    c->rc = rc;
    c->done = true;
    pthread_cond_broadcast(&c->changed);
    return NULL;
}

int counting_begin(const struct session *s, const struct pg_server *server,
                   const struct conf_database *db, struct counting **out, struct err *err)
{
    struct counting *c = calloc(1, sizeof(*c));
    if (!c)
        return err_errno(err, ENOMEM, "count rows");
    snprintf(c->name, sizeof(c->name), "%.55s count", s->name);
    snprintf(c->snapshot, sizeof(c->snapshot), "%s", s->snapshot);
    c->conf =
        (struct facts_counting){.server = *server,
                                .application_name = c->name,
                                .snapshot = c->snapshot,
                                .workers = db->jobs > COUNT_WORKERS ? db->jobs : COUNT_WORKERS,
                                .how = db->counts == CONF_COUNTS_OFF        ? FACTS_COUNTS_OFF
                                       : db->counts == CONF_COUNTS_ESTIMATE ? FACTS_COUNTS_ESTIMATE
                                                                            : FACTS_COUNTS_EXACT,
                                .stop = is_stopped,
                                .ctx = c};
    pthread_mutex_init(&c->lock, NULL);
    clock_cond_init(&c->changed);
    int why = pthread_create(&c->thread, NULL, run_counting, c);
    if (why != 0) {
        pthread_cond_destroy(&c->changed);
        pthread_mutex_destroy(&c->lock);
        free(c);
        return err_errno(err, why, "count rows");
    }
    *out = c;
    return 0;
}

bool counting_wait(struct counting *c, int ms)
{
    struct timespec until = clock_at(clock_ms() + (uint64_t)ms);
    auto_unlock pthread_mutex_t *held = scope_lock(&c->lock);
    while (!c->done)
        if (pthread_cond_timedwait(&c->changed, &c->lock, &until) == ETIMEDOUT)
            break;
    return c->done;
}

void counting_stop(struct counting *c)
{
    atomic_store(&c->stop, true);
}

int counting_end(struct counting *c, struct facts *out, void (*warn)(void *ctx, const char *text),
                 void *ctx, struct err *err)
{
    pthread_join(c->thread, NULL);
    int rc = 0;
    if (out && c->rc != 0) {
        char text[ERR_TEXT_BYTES + 64];
        snprintf(text, sizeof(text), "rows were not counted: %s", c->err.text);
        warn(ctx, text);
    }
    if (out && c->rc != 0)
        rc = facts_add(out, "rows_skipped", "all", "the counting failed", err);
    for (size_t i = 0; out && rc == 0 && i < c->facts.count; i++)
        rc = facts_add(out, c->facts.list[i].kind, c->facts.list[i].name, c->facts.list[i].value,
                       err);
    facts_done(&c->facts);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return rc;
}
