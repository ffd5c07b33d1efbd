// Counts rows: threads with a connection each, one table after the other, the largest first. Each table is counted in a
// transaction of its own on the shared snapshot, so that its lock lasts no longer than its count.
#include "backend/base/scope.h"
#include "tools/pg/facts_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_WORKERS 16
#define ASK_MS 200 // how often the caller's `stop` is asked

enum { NAME, TABLE, CONDITION, UNLOGGED }; // columns of the listing

struct counting {
    const struct facts_counting *conf; // fixed
    const struct pg_rows *tables;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    // under lock
    size_t next;
    unsigned running;
    bool stop;
    struct err first; // failure
    struct facts *out;
    struct pg *connections[MOST_WORKERS];
};

struct counter {
    struct counting *all;
    unsigned number;
    pthread_t thread;
};

// Tables, leaf partitions and materialized views; an extension's only where it says that their rows are data, and which.
// Unlogged ones cannot be read on a standby, and pg_dump leaves them out there.
static const char listing[] =
    "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.oid, x.condition, "
    "c.relpersistence = 'u', c.reltuples FROM pg_class c JOIN pg_namespace n ON n.oid = "
    "c.relnamespace " SQL_MEMBER("pg_class", "c") //
    " LEFT JOIN (SELECT unnest(extconfig) AS config, unnest(extcondition) AS condition "
    "FROM pg_extension) x ON x.config = c.oid "
    "WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.relispopulated "
    "AND " SQL_USER_SCHEMA " AND (e.objid IS NULL OR x.config IS NOT NULL) "
    "AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery()) ORDER BY c.relpages DESC, 1";

static int open_snapshot(struct pg *pg, const char *snapshot, struct err *err)
{
    static const char begin[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    if (!snapshot || !*snapshot)
        return pg_exec(pg, begin, err);
    auto_free char *quoted = pg_quote_literal(pg, snapshot), *sql = NULL;
    if (!quoted || asprintf(&sql, "%s; SET TRANSACTION SNAPSHOT %s", begin, quoted) < 0) {
        sql = NULL;
        return err_set(err, ENOMEM, "no memory for a query");
    }
    return pg_exec(pg, sql, err);
}

static int count_rows(struct pg *pg, const char *table, const char *condition, char out[32],
                      struct err *err)
{
    auto_free char *sql = NULL;
    if (asprintf(&sql, "SELECT count(*) FROM ONLY %s %s", table, condition) < 0) {
        sql = NULL;
        return err_set(err, ENOMEM, "no memory for a query");
    }
    struct pg_rows *rows = NULL;
    int rc = pg_query(pg, sql, NULL, 0, &rows, err);
    if (rc == 0)
        snprintf(out, 32, "%s", pg_value(rows, 0, 0));
    pg_rows_free(rows);
    return rc;
}

// Why a table may go without a count: not for us to read, or hidden by row security; locked by a migration; cancelled.
// What was dropped meanwhile is left out as well: the dump has no lock on it, so it has not been dumped.
static const char *reason(const struct pg *pg)
{
    static const char *const reasons[][2] = {
        {"42501", "no permission to read all its rows"},
        {"55P03", "locked by another session"},
        {"57014", "the counting was ended"},
        {"42P01", "dropped meanwhile"},
        {"3F000", "dropped meanwhile"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (strcmp(pg_sqlstate(pg), reasons[i][0]) == 0)
            return reasons[i][1];
    return NULL;
}

static int add(struct counting *all, const char *kind, const char *name, const char *value,
               struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    return facts_add(all->out, kind, name, value, err);
}

static int count_table(struct counting *all, struct pg *pg, size_t row, struct err *err)
{
    const char *name = pg_value(all->tables, row, NAME);
    bool unlogged = *pg_value(all->tables, row, UNLOGGED) == 't';
    char value[32] = "";
    int rc = open_snapshot(pg, all->conf->snapshot, err);
    if (rc == 0)
        rc = count_rows(pg, name, pg_value(all->tables, row, CONDITION), value, err);
    const char *why = rc == -EIO ? reason(pg) : NULL;
    if (rc != 0 && !why)
        return err_prefix(err, "count %s", name);
    rc = pg_exec(pg, "ROLLBACK", err);
    if (rc != 0 && strcmp(pg_sqlstate(pg), "57014") == 0) // the cancellation came late
        rc = pg_exec(pg, "ROLLBACK", err);
    if (rc != 0)
        return rc;
    if (why)
        return add(all, "rows_skipped", name, why, err);
    return add(all, unlogged ? "unlogged" : "rows", name, value, err);
}

// The next table for a worker, or false: none is left, or it is time to end.
static bool take_next(struct counting *all, size_t *out_row, bool *out_skip)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    if (all->first.code || all->next == pg_row_count(all->tables))
        return false;
    *out_row = all->next++;
    *out_skip = all->stop;
    return true;
}

static int count_all(struct counter *counter, struct err *err)
{
    struct counting *all = counter->all;
    struct pg *pg = NULL;
    int rc = pg_open(&all->conf->server, all->conf->application_name, &pg, err);
    if (rc != 0) // a server with few connections left: the first one counts it all
        return counter->number > 0 ? 0 : rc;
    rc = pg_exec(pg, "SET lock_timeout = '10s'", err);
    pthread_mutex_lock(&all->lock);
    all->connections[counter->number] = pg;
    pthread_mutex_unlock(&all->lock);
    size_t row = 0;
    bool skip = false;
    while (rc == 0 && take_next(all, &row, &skip)) {
        if (skip)
            rc = add(all, "rows_skipped", pg_value(all->tables, row, NAME),
                     "the counting was ended", err);
        else
            rc = count_table(all, pg, row, err);
    }
    pthread_mutex_lock(&all->lock);
    all->connections[counter->number] = NULL;
    pthread_mutex_unlock(&all->lock);
    pg_close(pg);
    return rc;
}

static void *count_in_thread(void *ctx)
{
    struct counter *counter = ctx;
    struct counting *all = counter->all;
    struct err err = {0};
    int rc = count_all(counter, &err);
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    if (rc != 0 && !all->first.code)
        all->first = err;
    all->running--;
    pthread_cond_signal(&all->ended);
    return NULL;
}

static void cancel_all(struct counting *all)
{
    for (size_t i = 0; i < MOST_WORKERS; i++)
        if (all->connections[i])
            pg_cancel(all->connections[i]);
}

// Waits for the workers. A failure of one, or a stop, ends what the others count now.
static void watch(struct counting *all)
{
    pthread_mutex_lock(&all->lock);
    while (all->running > 0) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += ASK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&all->ended, &all->lock, &until);
        if (!all->stop && all->conf->stop && all->running > 0) {
            pthread_mutex_unlock(&all->lock);
            bool stop = all->conf->stop(all->conf->ctx);
            pthread_mutex_lock(&all->lock);
            all->stop = stop;
        }
        if (all->running > 0 && (all->stop || all->first.code))
            cancel_all(all);
    }
    pthread_mutex_unlock(&all->lock);
}

static int run(struct counting *all, struct err *err)
{
    struct counter counters[MOST_WORKERS];
    size_t tables = pg_row_count(all->tables), wanted = all->conf->workers, started = 0;
    if (wanted < 1)
        wanted = 1;
    if (wanted > MOST_WORKERS)
        wanted = MOST_WORKERS;
    if (wanted > tables)
        wanted = tables;
    int rc = 0;
    for (; rc == 0 && started < wanted; started += rc == 0) {
        counters[started] = (struct counter){.all = all, .number = (unsigned)started};
        pthread_mutex_lock(&all->lock);
        all->running++;
        pthread_mutex_unlock(&all->lock);
        int code =
            pthread_create(&counters[started].thread, NULL, count_in_thread, &counters[started]);
        if (code == 0)
            continue;
        pthread_mutex_lock(&all->lock);
        all->running--;
        rc = err_errno(&all->first, code, "start a thread");
        pthread_mutex_unlock(&all->lock);
    }
    watch(all);
    for (size_t i = 0; i < started; i++)
        pthread_join(counters[i].thread, NULL);
    return all->first.code ? err_copy(err, &all->first) : 0;
}

static int count_exactly(const struct facts_counting *conf, const struct pg_rows *tables,
                         struct facts *out, struct err *err)
{
    struct counting all = {.conf = conf, .tables = tables, .out = out};
    pthread_condattr_t attr;
    pthread_mutex_init(&all.lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&all.ended, &attr);
    pthread_condattr_destroy(&attr);
    int rc = run(&all, err);
    pthread_cond_destroy(&all.ended);
    pthread_mutex_destroy(&all.lock);
    return rc;
}

static int estimate(const struct pg_rows *tables, struct facts *out, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < pg_row_count(tables); i++) {
        double rows = strtod(pg_value(tables, i, UNLOGGED + 1), NULL);
        char value[32];
        snprintf(value, sizeof(value), "%.0f", rows);
        if (rows >= 0) // -1: nobody has looked yet
            rc = facts_add(out, "rows_estimate", pg_value(tables, i, NAME), value, err);
    }
    return rc;
}

// How many, which, and how large: a sum of digests does not ask for an order. Only a superuser may read their pages.
static int large_objects(struct pg *pg, struct facts *out, struct err *err)
{
    static const char which[] =
        "SELECT 'large_objects', v.name, v.value FROM (SELECT count(*) AS many, "
        "sum(('x' || substr(md5(oid::text), 1, 8))::bit(32)::bigint) AS digest "
        "FROM pg_largeobject_metadata) x, LATERAL (VALUES ('count', x.many::text), "
        "('which', 'sum of digests ' || x.digest)) v(name, value) WHERE v.value IS NOT NULL";
    static const char size[] =
        "SELECT 'large_objects', 'bytes', sum(size)::text FROM (SELECT max(pageno::bigint * "
        "current_setting('block_size')::int / 4 + length(data)) AS size FROM pg_largeobject "
        "GROUP BY loid) x HAVING count(*) > 0";
    struct pg_rows *rows = NULL;
    int rc = pg_query(pg, which, NULL, 0, &rows, err);
    if (rc == 0)
        rc = facts_add_rows(out, rows, err);
    pg_rows_free(rows);
    rows = NULL;
    if (rc != 0)
        return rc;
    rc = pg_query(pg, size, NULL, 0, &rows, err);
    if (rc != 0)
        return strcmp(pg_sqlstate(pg), "42501") == 0 ? 0 : rc;
    rc = facts_add_rows(out, rows, err);
    pg_rows_free(rows);
    return rc;
}

static int count_on(struct pg *pg, const struct facts_counting *conf, struct facts *out,
                    struct err *err)
{
    struct pg_rows *tables = NULL;
    int rc = open_snapshot(pg, conf->snapshot, err);
    if (rc == 0)
        rc = pg_query(pg, listing, NULL, 0, &tables, err);
    if (rc == 0 && conf->how == FACTS_COUNTS_EXACT)
        rc = large_objects(pg, out, err);
    if (rc == 0 ||
        !pg_is_lost(
            pg)) // its snapshot is not needed for the counting: each worker takes the exported one
        (void)pg_exec(pg, "ROLLBACK", NULL);
    if (rc == 0)
        rc = conf->how == FACTS_COUNTS_EXACT ? count_exactly(conf, tables, out, err)
                                             : estimate(tables, out, err);
    pg_rows_free(tables);
    return rc;
}

int facts_count(const struct facts_counting *conf, struct facts *out, struct err *err)
{
    if (conf->how == FACTS_COUNTS_OFF)
        return 0;
    struct pg *pg = NULL;
    int rc = pg_open(&conf->server, conf->application_name, &pg, err);
    if (rc != 0)
        return rc;
    rc = count_on(pg, conf, out, err);
    pg_close(pg);
    facts_sort(out);
    return rc;
}
