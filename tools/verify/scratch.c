#include "tools/verify/scratch.h"

#include "backend/base/scope.h"
#include "tools/catalog/names.h"
#include "tools/pg/pg.h"
#include "tools/restore/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LEFT_OVER_S ((time_t)24 * 60 * 60) // no restore into a scratch database takes a day

struct scratch {
    struct scratch_conf conf;
    struct pg_server server;
    bool looked_at;     // the members below are known
    char role[64];      // who restores
    char database[256]; // connected to
    char system_identifier[32];
};

SCOPE_TYPE(pg_rows)

static void pg_free(struct pg *pg)
{
    pg_close(pg);
}
SCOPE_TYPE(pg)

int scratch_new(const struct scratch_conf *conf, struct scratch **out, struct err *err)
{
    struct scratch *s = calloc(1, sizeof(*s));
    if (!s)
        return err_errno(err, ENOMEM, "%s", conf->verb);
    s->conf = *conf;
    s->server = (struct pg_server){.conninfo = conf->conf->restore.drill_conninfo,
                                   .service = conf->conf->restore.drill_service};
    *out = s;
    return 0;
}

void scratch_free(struct scratch *s)
{
    free(s);
}

// --- The server ---

static int judge_role(const struct scratch *s, struct pg *pg, struct err *err)
{
    auto_type(pg_rows) struct pg_rows *rows = NULL;
    int rc = pg_query(pg,
                      "select rolsuper, rolcreatedb, pg_is_in_recovery() from pg_roles "
                      "where rolname = current_user",
                      NULL, 0, &rows, err);
    if (rc)
        return rc;
    if (pg_row_count(rows) != 1)
        return err_set(err, EACCES, "the role %s is not there any more", s->role);
    if (*pg_value(rows, 0, 0) == 't')
        return err_set(err, EACCES,
                       "%s is a superuser on the drill server, and what is in a backup would be "
                       "run as one; make a role for it there: CREATE ROLE bakfs_drill LOGIN "
                       "CREATEDB; and name it in [restore] drill_conninfo (user=bakfs_drill)",
                       s->role);
    if (*pg_value(rows, 0, 1) != 't')
        return err_set(
            err, EACCES,
            "%s may not make databases on the drill server; as its superuser: ALTER ROLE "
            "\"%s\" CREATEDB;",
            s->role, s->role);
    if (*pg_value(rows, 0, 2) == 't')
        return err_set(err, EROFS, "the drill server is a standby: nothing can be restored there");
    return 0;
}

// Which cluster it is; who may not ask does not know.
static void ask_identity(struct scratch *s, struct pg *pg)
{
    auto_type(pg_rows) struct pg_rows *rows = NULL;
    if (pg_query(pg, "select system_identifier::text from pg_catalog.pg_control_system()", NULL, 0,
                 &rows, NULL) == 0 &&
        pg_row_count(rows) == 1)
        snprintf(s->system_identifier, sizeof(s->system_identifier), "%s", pg_value(rows, 0, 0));
}

// "bakfs_drill_orders_20261122T031500Z_1a2b": older than a day?
static bool is_left_over(const char *name, time_t now)
{
    const char *last = strrchr(name, '_');
    const size_t len = strlen("YYYYMMDDThhmmssZ");
    time_t made;
    return last && (size_t)(last - name) > len && last[-(ptrdiff_t)len - 1] == '_' &&
           name_stamp(last - len, len, &made) && made < now - LEFT_OVER_S;
}

// What a killed drill or verify left: names of ours that are ours, with nobody in them.
static void drop_left_overs(const struct scratch *s, struct pg *pg)
{
    auto_type(pg_rows) struct pg_rows *rows = NULL;
    if (pg_query(pg,
                 "select datname from pg_database d where (starts_with(datname::text, "
                 "'bakfs_drill_') or starts_with(datname::text, 'bakfs_verify_')) "
                 "and datdba = (select oid from pg_roles where rolname = current_user) "
                 "and not exists (select from pg_stat_activity a where a.datid = d.oid)",
                 NULL, 0, &rows, NULL) != 0)
        return;
    for (size_t i = 0; i < pg_row_count(rows); i++) {
        const char *name = pg_value(rows, i, 0);
        struct err err;
        if (!is_left_over(name, time(NULL)))
            continue;
        if (restore_drop(&s->server, name, &err) == 0)
            fprintf(stderr, "bakfs %s: note: dropped %s, which an earlier one left on the server\n",
                    s->conf.verb, name);
        else
            fprintf(stderr, "bakfs %s: warning: %s, left by an earlier one: %s\n", s->conf.verb,
                    name, err.text);
    }
}

static int look_at_server(struct scratch *s, struct err *err)
{
    if (!*s->server.conninfo && !*s->server.service)
        return err_set(
            err, EINVAL,
            "there is no server to restore into: set [restore] drill_conninfo to one that is "
            "not the source, as a role that is no superuser: drill_conninfo = host=drill "
            "user=bakfs_drill dbname=postgres");
    char name[64];
    snprintf(name, sizeof(name), "bakfs %s", s->conf.verb);
    auto_type(pg) struct pg *pg = NULL;
    int rc = pg_open(&s->server, name, &pg, err);
    if (rc)
        return err_prefix(err, "the drill server");
    snprintf(s->role, sizeof(s->role), "%s", pg_user(pg));
    snprintf(s->database, sizeof(s->database), "%s", pg_database(pg));
    rc = judge_role(s, pg, err);
    if (rc)
        return rc;
    ask_identity(s, pg);
    drop_left_overs(s, pg);
    s->looked_at = true;
    return 0;
}

// --- One backup ---

static bool is_source(const struct scratch *s, const struct meta *meta)
{
    return meta && *meta->system_identifier &&
           strcmp(meta->system_identifier, s->system_identifier) == 0;
}

static int refuse_source(const struct scratch *s, struct verdict *v, struct err *err)
{
    if (!is_source(s, v->meta))
        return 0;
    if (strcmp(v->meta->database, s->database) == 0)
        return err_set(
            err, EPERM,
            "[restore] drill_conninfo names the very database that was dumped (%s, on the "
            "same server): a drill does not go near it; name another server, or at "
            "least dbname=postgres",
            s->database);
    return verdict_add(
        v, LOOK_PASS, err,
        "the drill server is the server that was dumped: this does not show that you "
        "can do without it");
}

static int refuse_taken(const struct scratch *s, const char *name, struct err *err)
{
    char verb[64];
    snprintf(verb, sizeof(verb), "bakfs %s", s->conf.verb);
    auto_type(pg) struct pg *pg = NULL;
    auto_type(pg_rows) struct pg_rows *rows = NULL;
    int rc = pg_open(&s->server, verb, &pg, err);
    if (rc == 0)
        rc = pg_query(pg, "select from pg_database where datname = $1", (const char *[]){name}, 1,
                      &rows, err);
    if (rc == 0 && pg_row_count(rows) > 0)
        rc = err_set(err, EEXIST, "the database %s is there already: it is left alone; try again",
                     name);
    return rc;
}

// What the drill server or its role lacks is no failure of the backup.
static bool is_about_server(int rc, const char *text)
{
    static const char *const words[] = {
        "No space left on device",    "connection to server",   "server closed the",
        "terminating connection",     "the database system is", "out of memory",
        "out of shared memory",       "connection slots",       "too many connections",
        "Connection timed out",       "Transport endpoint",     "Software caused connection abort",
        "Connection refused",         "could not extend file",  "permission denied",
        "must be superuser",          "must be owner",          "must be member",
        "extension control file",     "is not available",       "tablespace",
        "no connection to the server"};
    if (rc == -ECONNREFUSED || rc == -ENOSPC || rc == -ETIMEDOUT || rc == -ENOTCONN ||
        rc == -EINTR || rc == -ENOMEM || rc == -EACCES || rc == -EPERM || rc == -EINVAL ||
        rc == -EOPNOTSUPP)
        return true;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strstr(text, words[i]))
            return true;
    return strstr(text, "role \"") && strstr(text, "does not exist");
}

static int take_differences(const struct comparison *c, struct verdict *v, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < c->count && rc == 0; i++)
        rc = verdict_add(v, c->list[i].level == DIFFERENCE_FAIL ? LOOK_FAIL : LOOK_PASS, err, "%s",
                         c->list[i].text);
    return rc;
}

static int preflight(const struct restore_job *job, struct verdict *v, struct err *err)
{
    struct comparison found = {.list = NULL};
    int rc = restore_preflight(job, &found, err);
    const char *first = NULL;
    for (size_t i = 0; i < found.count && rc == 0; i++) {
        bool fails = found.list[i].level == DIFFERENCE_FAIL;
        if (fails && !first)
            first = found.list[i].text;
        else if (!fails)
            rc = verdict_add(v, LOOK_PASS, err, "%s", found.list[i].text);
    }
    if (rc == 0 && first)
        rc = err_set(err, EINVAL, "the drill server cannot take it: %s%s", first,
                     found.failures > 1 ? " (and more)" : "");
    comparison_done(&found);
    return rc;
}

static int drop(const struct scratch *s, const char *name, struct verdict *v, struct err *err)
{
    struct err why;
    if (restore_drop(&s->server, name, &why) == 0)
        return 0;
    return verdict_add(v, LOOK_PASS, err, "the database %s could not be dropped: %s", name,
                       why.text);
}

static int run(const struct scratch *s, const struct restore_job *job, bool has_database,
               struct verdict *v, struct scratch_times *out, struct err *err)
{
    struct restore_result result = {.compared = false};
    struct err why;
    int rc = restore_run(job, &result, &why);
    if (rc) {
        if (rc == -EINTR || is_about_server(rc, why.text))
            return err_copy(err, &why);
        return verdict_add(v, LOOK_FAIL, err, "%s", why.text);
    }
    *out = (struct scratch_times){result.restore_ms, result.compare_ms, result.bytes};
    rc = take_differences(&result.comparison, v, err);
    if (rc == 0 && !result.compared)
        rc =
            verdict_add(v, LOOK_PASS, err,
                        "it was restored to its end; nothing says what should be in it, so nothing "
                        "was compared");
    restore_result_done(&result);
    if (has_database && rc == 0)
        rc = drop(s, job->database, v, err);
    return rc;
}

static int scratch_name(const struct scratch *s, const struct backup *b, char out[64],
                        struct err *err)
{
    int rc = restore_scratch_name(s->conf.prefix, b->partition, out);
    return rc ? err_errno(err, -rc, "a name for the scratch database of %s", b->partition) : 0;
}

int scratch_run(struct scratch *s, const struct backup *b, const struct conf_database *db,
                struct verdict *v, struct scratch_times *out, struct err *err)
{
    // another engine's command knows its own server
    bool command = v->meta ? strcmp(v->meta->format, "command") == 0 : db && *db->dump_command;
    char name[64];
    *out = (struct scratch_times){0};
    int rc = command || s->looked_at ? 0 : look_at_server(s, err);
    if (rc == 0 && !command)
        rc = refuse_source(s, v, err);
    if (rc == 0)
        rc = scratch_name(s, b, name, err);
    if (rc == 0 && !command)
        rc = refuse_taken(s, name, err);
    if (rc)
        return rc;
    const struct restore_job job = {.verb = s->conf.verb,
                                    .point = s->conf.conf->mount.point,
                                    .backup = b,
                                    .meta = v->meta,
                                    .conf = db,
                                    .server = s->server,
                                    .database = name,
                                    .jobs = db ? db->jobs : 1,
                                    .no_owner = true,
                                    .no_privileges = true,
                                    .scratch = true,
                                    .progress = s->conf.progress,
                                    .ctx = s->conf.ctx};
    rc = command ? 0 : preflight(&job, v, err);
    return rc ? rc : run(s, &job, !command, v, out, err);
}
