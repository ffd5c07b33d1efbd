// One backup into one new database: made, filled, muted, compared; dropped when anything fails.
#include "tools/restore/engine.h"

#include "backend/base/clock.h"
#include "backend/base/scope.h"
#include "tools/catalog/backups.h"
#include "tools/process.h"
#include "tools/restore/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- Findings ---

int finding(struct comparison *c, enum difference_level level, struct err *err, const char *format,
            ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return err_errno(err, ENOMEM, "a finding");
    if (c->count == c->room) {
        size_t room = c->room ? 2 * c->room : 8;
        struct difference *more = reallocarray(c->list, room, sizeof(*more));
        if (!more) {
            free(text);
            return err_errno(err, ENOMEM, "a finding");
        }
        c->list = more;
        c->room = room;
    }
    c->list[c->count++] = (struct difference){.level = level, .text = text};
    c->failures += level == DIFFERENCE_FAIL;
    return 0;
}

void progress(const struct restore_job *job, const char *stage, uint64_t done, uint64_t total)
{
    if (job->progress)
        job->progress(job->ctx, stage, done, total);
}

const struct fact *meta_fact(const struct restore_job *job, const char *kind, const char *name)
{
    return job->meta ? facts_find(&job->meta->facts, kind, name) : NULL;
}

// --- Filling it ---

static int keep_list_line(FILE *f, const char *line, size_t len, bool *out_dropped)
{
    // "3; 3466 16390 EVENT TRIGGER - name owner"
    static const char word[] = " EVENT TRIGGER ";
    bool drop = *line != ';' && memmem(line, len, word, sizeof(word) - 1) != NULL;
    *out_dropped |= drop;
    return drop || fwrite(line, 1, len, f) == len ? 0 : -ENOMEM;
}

// A drill restores no event triggers: they are for superusers. -> a descriptor of the list, or -1: all entries.
static int scratch_list(const struct source *source, const char *tool, int *out_fd, struct err *err)
{
    auto_free char *list = NULL, *kept = NULL;
    size_t kept_len = 0;
    int rc = load_list(source, tool, &list, err);
    if (rc != 0)
        return rc;
    FILE *f = open_memstream(&kept, &kept_len);
    if (!f)
        return err_errno(err, ENOMEM, "restore");
    bool dropped = false;
    for (const char *line = list; rc == 0 && *line;) {
        size_t len = strcspn(line, "\n");
        len += line[len] == '\n';
        rc = keep_list_line(f, line, len, &dropped);
        line += len;
    }
    if (fclose(f) != 0 || rc != 0)
        return err_errno(err, ENOMEM, "restore");
    *out_fd = -1;
    if (!dropped)
        return 0;
    int fd = load_list_file(kept, kept_len, err);
    if (fd < 0)
        return fd;
    *out_fd = fd;
    return 0;
}

static int fill(const struct restore_job *job, const struct source *source, int server_version,
                char ***out_tables, struct err *err)
{
    auto_free char *tool = NULL;
    bool archive = source_is_archive(source);
    const char *bindir = job->conf ? job->conf->bindir : "";
    int rc = pg_tool(bindir, archive ? "pg_restore" : "psql", server_version, &tool, err);
    if (rc != 0)
        return rc;
    if (!archive)
        return load_plain(job, source, tool, err);
    if (job->tables)
        return tables_restore(job, source, tool, out_tables, err);
    auto_fd int list = -1;
    if (job->scratch)
        rc = scratch_list(source, tool, &list, err);
    return rc ? rc : load_archive(job, source, tool, NULL, list, err);
}

// --- Comparing it ---

static bool stop_counting(void *ctx)
{
    (void)ctx;
    return process_stop_asked();
}

// A configured query that fails here is told of, and its answer is missed by the comparison: no reason to lose all that was
// restored. In a drill it may be the role that lacks something.
static int judge_query(const struct restore_job *job, const struct pg *pg, int rc,
                       const struct err *why, struct comparison *notes, struct err *err)
{
    if (rc == 0)
        return 0;
    if (rc == -ENOMEM || job->scratch || pg_is_lost(pg))
        return err_copy(err, why);
    return finding(notes, DIFFERENCE_NOTE, err, "%s", why->text);
}

static const char *migration_query(const struct restore_job *job)
{
    return job->conf ? job->conf->migration_query : "";
}

static int query_again(const struct restore_job *job, struct pg *pg, struct facts *now,
                       struct comparison *notes, struct err *err)
{
    struct err why = {0};
    bool migration = false;
    for (size_t i = 0; i < job->meta->facts.count; i++)
        migration |= strcmp(job->meta->facts.list[i].kind, "migration") == 0;
    int rc = migration ? facts_migration(pg, migration_query(job), now, &why) : 0;
    rc = judge_query(job, pg, rc, &why, notes, err);
    for (size_t i = 0; rc == 0 && job->conf && i < job->conf->check_count; i++) {
        const struct conf_query *check = &job->conf->checks[i];
        if (!meta_fact(job, "check", check->name))
            continue;
        rc = facts_check(pg, check->name, check->sql, now, &why);
        rc = judge_query(job, pg, rc, &why, notes, err);
    }
    return rc;
}

// What the backup was asked for is asked again: counts, configured queries, the migration.
static int take_again(const struct restore_job *job, struct pg *pg, struct facts *now,
                      struct comparison *notes, struct err *err)
{
    bool rows = false;
    int rc = facts_take(pg, now, err);
    rc = rc ? rc : facts_sequences(pg, now, err);
    for (size_t i = 0; i < job->meta->facts.count; i++) {
        const char *kind = job->meta->facts.list[i].kind;
        rows |= strncmp(kind, "rows", 4) == 0 || strcmp(kind, "unlogged") == 0;
    }
    if (rc == 0 && !job->tables) // they may ask for others
        rc = query_again(job, pg, now, notes, err);
    if (rc != 0 || !rows)
        return rc;
    struct facts_counting counting = {.server = job->server,
                                      .application_name = "bakfs compare",
                                      .workers = job->jobs ? job->jobs : 1,
                                      .how = FACTS_COUNTS_EXACT,
                                      .stop = stop_counting};
    counting.server.database = job->database;
    rc = facts_count(&counting, now, err);
    return rc == 0 && process_stop_asked() ? err_set(err, EINTR, "stopped while rows were counted")
                                           : rc;
}

// On another host than the one that made it, and on a bare one, nobody knows what was asked.
static bool is_asked(const struct restore_job *job, const struct fact *f)
{
    if (strcmp(f->kind, "migration") == 0)
        return (strcmp(f->name, "query") == 0) == (*migration_query(job) != '\0');
    if (strcmp(f->kind, "check") != 0)
        return true;
    for (size_t i = 0; job->conf && i < job->conf->check_count; i++)
        if (strcmp(job->conf->checks[i].name, f->name) == 0)
            return true;
    return false;
}

static int say_not_asked(const struct restore_job *job, struct comparison *notes, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && !job->tables && i < job->meta->facts.count; i++) {
        const struct fact *f = &job->meta->facts.list[i];
        if (!is_asked(job, f))
            rc = finding(notes, DIFFERENCE_NOTE, err,
                         "%s %s: not asked: its query is not in the configuration of this host; %s "
                         "in the backup",
                         f->kind, f->name, f->value);
    }
    return rc;
}

// Where things lie is compared only when it was restored. `out` borrows the strings; free its list.
static int comparable(const struct restore_job *job, const struct facts *all, struct facts *out,
                      struct err *err)
{
    bool places = !job->scratch && !job->no_tablespaces;
    out->list = calloc(all->count + 1, sizeof(*out->list));
    if (!out->list)
        return err_errno(err, ENOMEM, "compare");
    for (size_t i = 0; i < all->count; i++)
        if ((places || strcmp(all->list[i].kind, "tablespace") != 0) &&
            is_asked(job, &all->list[i]))
            out->list[out->count++] = all->list[i];
    return 0;
}

// With counts = off, or a count that failed as a whole, the comparison has nothing to say of any row.
static int judge_counts(const struct restore_job *job, struct restore_result *result,
                        struct err *err)
{
    size_t tables = 0, counts = 0, told = 0;
    for (size_t i = 0; i < job->meta->facts.count; i++) {
        const char *kind = job->meta->facts.list[i].kind;
        tables += strcmp(kind, "table") == 0;
        counts += strcmp(kind, "rows") == 0 || strcmp(kind, "unlogged") == 0;
        told += strncmp(kind, "rows_", 5) == 0;
    }
    result->rows_unknown = tables > 0 && counts == 0;
    if (!result->rows_unknown || told > 0)
        return 0;
    return finding(&result->comparison, DIFFERENCE_NOTE, err,
                   "rows: not counted in the backup: that all of them are there is not proved "
                   "([database] counts = exact counts them)");
}

static int compare(const struct restore_job *job, struct pg *pg, struct restore_result *result,
                   struct err *err)
{
    struct facts all = {0}, now = {0}, then = {0};
    struct comparison found = {0};
    progress(job, "compare", 0, 0);
    int rc = take_again(job, pg, &all, &result->comparison, err);
    rc = rc ? rc : say_not_asked(job, &result->comparison, err);
    facts_sort(&all);
    rc = rc ? rc : comparable(job, &all, &now, err);
    rc = rc ? rc : comparable(job, &job->meta->facts, &then, err);
    const struct compare_options options = {
        .version_then = job->meta->server_version,
        .version_now = pg_version(pg),
        .no_owner = job->no_owner,
        .no_privileges = job->no_privileges,
        .no_subscriptions = job->scratch,
        .no_event_triggers = job->scratch,
        .no_database = job->scratch,
        .dump_left_out = compare_left_out(job->meta->dump_options),
        .tables = job->tables};
    if (rc == 0)
        rc = compare_facts(&then, &now, &options, &found, err);
    for (size_t i = 0; rc == 0 && i < found.count; i++)
        rc = finding(&result->comparison, found.list[i].level, err, "%s", found.list[i].text);
    result->comparison.compared += found.compared;
    comparison_done(&found);
    free(then.list);
    free(now.list);
    facts_done(&all);
    rc = rc ? rc : judge_counts(job, result, err);
    if (rc == 0)
        result->compared = true;
    return rc ? err_prefix(err, "compare") : 0;
}

// --- All of it ---

static int finish(const struct restore_job *job, struct pg *pg, struct restore_result *result,
                  struct err *err)
{
    int rc = database_mute_subscriptions(pg, job->scratch || job->tables, &result->comparison, err);
    if (rc == 0 && job->meta && !job->scratch)
        rc = properties_from_meta(pg, job, &result->comparison, err);
    if (rc != 0 || !job->meta)
        return rc;
    uint64_t began = clock_ms();
    rc = compare(job, pg, result, err);
    result->compare_ms = clock_ms() - began;
    if (rc == 0 &&
        !job->scratch) { // a database without statistics is slow; a failure here is none of the restore
        progress(job, "analyze", 0, 0);
        (void)!pg_exec(pg, "ANALYZE", NULL);
    }
    return rc;
}

static int fill_and_finish(const struct restore_job *job, const struct source *source, int version,
                           struct restore_result *result, struct err *err)
{
    uint64_t began = clock_ms();
    char **tables = NULL;
    int rc = fill(job, source, version, &tables, err);
    result->restore_ms = clock_ms() - began;
    result->bytes = source->bytes;
    struct pg *pg = NULL;
    struct restore_job now = *job;
    now.tables = (const char *const *)tables;
    struct pg_server there = job->server;
    there.database = job->database;
    if (rc == 0)
        rc = pg_open(&there, "bakfs compare", &pg, err);
    if (rc == 0)
        rc = finish(&now, pg, result, err);
    pg_close(pg);
    tables_free(tables);
    return rc;
}

static int run_postgresql(const struct restore_job *job, const struct source *source,
                          struct restore_result *result, struct err *err)
{
    struct pg *pg = NULL;
    int rc = database_admin(&job->server, job->verb, &pg, err);
    if (rc != 0)
        return rc;
    int version = pg_version(pg);
    rc = database_create(pg, job, &result->comparison, err);
    pg_close(pg);
    if (rc != 0)
        return rc;
    rc = fill_and_finish(job, source, version, result, err);
    if (rc == 0)
        return 0;
    struct err drop = {0};
    if (restore_drop(&job->server, job->database, &drop) != 0 && err) {
        char sentence[ERR_TEXT_BYTES];
        memcpy(sentence, err->text, sizeof(sentence));
        int code = err->code;
        err_set(
            err, code,
            "%.500s; and database %s is left there: it could not be dropped (type: DROP DATABASE "
            "\"%s\")",
            sentence, job->database, job->database);
    }
    return rc;
}

// A tool says "Transport endpoint is not connected"; what that is, and what to type, is known here.
static int name_lost_mount(const struct restore_job *job, int rc, struct err *err)
{
    struct err why = {0};
    if (rc == -EINTR || !job->point || backups_check_mount(job->point, &why) == 0)
        return rc;
    char sentence[ERR_TEXT_BYTES];
    snprintf(sentence, sizeof(sentence), "%s", err ? err->text : "");
    return err_set(err, ENOTCONN, "%.300s (%.500s)", why.text, sentence);
}

int restore_run(const struct restore_job *job, struct restore_result *out, struct err *err)
{
    struct restore_result result = {.compared = false};
    struct source source = {.path = NULL};
    int rc = source_find(job, &source, err);
    if (rc != 0)
        return rc;
    if (job->tables && !source_is_archive(&source)) {
        rc = err_set(
            err, EOPNOTSUPP,
            "%s: single tables are restored from dumps in the custom and the directory format only",
            source.path);
    } else if (source.kind == SOURCE_COMMAND) {
        uint64_t began = clock_ms();
        rc = load_command(job, &source, err);
        result.restore_ms = clock_ms() - began;
        result.bytes = source.bytes;
    } else {
        rc = run_postgresql(job, &source, &result, err);
    }
    source_done(&source);
    if (rc != 0)
        rc = name_lost_mount(job, rc, err);
    if (rc != 0)
        restore_result_done(&result);
    else
        *out = result;
    return rc;
}

void restore_result_done(struct restore_result *result)
{
    comparison_done(&result->comparison);
}
