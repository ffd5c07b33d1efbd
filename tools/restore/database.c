// The database that a restore makes: made, muted, dropped.
#include "backend/base/scope.h"
#include "backend/base/utf8.h"
#include "tools/catalog/when.h"
#include "tools/restore/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define NAME_MAX_BYTES 63 // of PostgreSQL: what is longer is cut without a word

int database_admin(const struct pg_server *server, const char *verb, struct pg **out,
                   struct err *err)
{
    // The database that is restored may be gone, and its name the only one in the conninfo.
    static const char *const names[] = {"postgres", "template1", NULL};
    char name[64];
    snprintf(name, sizeof(name), "bakfs %s", verb);
    struct err first = {0};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct err now = {0};
        struct pg_server there = *server;
        there.database = names[i] ? names[i] : server->database;
        int rc = pg_open(&there, name, out, &now);
        if (rc == 0)
            return 0;
        if (i == 0)
            first = now;
        // a server that is not there is not asked three times
        if (rc != -ECONNREFUSED || !strstr(now.text, "FATAL"))
            break;
    }
    return err_copy(err, &first);
}

int database_exists(struct pg *pg, const char *name, bool *out, struct err *err)
{
    struct pg_rows *rows = NULL;
    int rc = pg_query(pg, "SELECT 1 FROM pg_database WHERE datname = $1", &name, 1, &rows, err);
    if (rc != 0)
        return rc;
    *out = pg_row_count(rows) > 0;
    pg_rows_free(rows);
    return 0;
}

int database_exec(struct pg *pg, struct err *err, const char *format, const char *name1,
                  const char *name2)
{
    auto_free char *one = pg_quote_identifier(pg, name1);
    auto_free char *two = pg_quote_identifier(pg, name2 ? name2 : "");
    auto_free char *sql = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&sql, &len);
    if (!one || !two || !f) {
        if (f)
            fclose(f);
        return err_errno(err, ENOMEM, "a statement");
    }
    int names = 0;
    for (const char *p = format; *p; p++) {
        if (p[0] == '%' && p[1] == 's') {
            fputs(names++ == 0 ? one : two, f);
            p++;
        } else {
            fputc(*p, f);
        }
    }
    if (fclose(f) != 0)
        return err_errno(err, ENOMEM, "a statement");
    return pg_exec(pg, sql, err);
}

// --- Making it ---

static const char *property(const struct restore_job *job, const char *name)
{
    const struct fact *fact = meta_fact(job, "database", name);
    return fact && *fact->value ? fact->value : NULL;
}

static int add_literal(FILE *f, struct pg *pg, const char *word, const char *value)
{
    auto_free char *quoted = value ? pg_quote_literal(pg, value) : NULL;
    if (value && !quoted)
        return -ENOMEM;
    if (value)
        fprintf(f, " %s %s", word, quoted);
    return 0;
}

static int create(struct pg *pg, const struct restore_job *job, bool locale, bool encoding,
                  struct err *err)
{
    auto_free char *name = pg_quote_identifier(pg, job->database);
    auto_free char *sql = NULL;
    size_t len = 0;
    FILE *f = name ? open_memstream(&sql, &len) : NULL;
    if (!f)
        return err_errno(err, ENOMEM, "a statement");
    fprintf(f, "CREATE DATABASE %s TEMPLATE template0", name);
    int rc = encoding ? add_literal(f, pg, "ENCODING", property(job, "encoding")) : 0;
    const char *provider = property(job, "provider");
    bool icu = provider && *provider == 'i', builtin = provider && *provider == 'b';
    if (rc == 0 && locale) {
        rc = add_literal(f, pg, "LC_COLLATE", property(job, "collate"));
        rc = rc ? rc : add_literal(f, pg, "LC_CTYPE", property(job, "ctype"));
        if (icu || builtin)
            rc = rc ? rc : add_literal(f, pg, "LOCALE_PROVIDER", icu ? "icu" : "builtin");
        if (icu || builtin)
            rc = rc ? rc
                    : add_literal(f, pg, icu ? "ICU_LOCALE" : "BUILTIN_LOCALE",
                                  property(job, "locale"));
    } else if (rc == 0 && encoding && property(job, "encoding")) {
        fputs(" LC_COLLATE 'C' LC_CTYPE 'C'", f); // goes with each encoding
    }
    if (fclose(f) != 0 || rc != 0)
        return err_errno(err, ENOMEM, "a statement");
    return pg_exec(pg, sql, err);
}

static bool is_about_locale(const struct pg *pg)
{
    static const char *const states[] = {"42809", "22023", "0A000", "22P02"};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(pg_sqlstate(pg), states[i]) == 0)
            return true;
    return false;
}

int database_create(struct pg *pg, const struct restore_job *job, struct comparison *notes,
                    struct err *err)
{
    struct err why = {0};
    int rc = create(pg, job, true, true, &why);
    if (rc == 0)
        return 0;
    if (!is_about_locale(pg)) {
        err_copy(err, &why);
        return err_prefix(err, "create database %s", job->database);
    }
    rc = create(pg, job, false, true, err);
    if (rc != 0)
        return err_prefix(err, "create database %s", job->database);
    return finding(notes, DIFFERENCE_NOTE, err,
                   "locale: made with C instead of the backup's, so that sorting differs: %s",
                   why.text);
}

// --- Subscriptions ---

static int mute_one(struct pg *pg, const char *name, bool drop, struct err *err)
{
    int rc = database_exec(pg, err, "ALTER SUBSCRIPTION %s DISABLE", name, NULL);
    if (rc == 0 && drop) // without its slot it goes without asking the publisher
        rc = database_exec(pg, err, "ALTER SUBSCRIPTION %s SET (slot_name = NONE)", name, NULL);
    if (rc == 0 && drop)
        rc = database_exec(pg, err, "DROP SUBSCRIPTION %s", name, NULL);
    return rc;
}

int database_mute_subscriptions(struct pg *pg, bool drop, struct comparison *notes, struct err *err)
{
    struct pg_rows *rows = NULL;
    int rc =
        pg_query(pg,
                 "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid "
                 "WHERE d.datname = current_database() ORDER BY 1",
                 NULL, 0, &rows, err);
    for (size_t i = 0; rc == 0 && i < pg_row_count(rows); i++) {
        const char *name = pg_value(rows, i, 0);
        rc = mute_one(pg, name, drop, err);
        if (rc == 0 && notes && !drop)
            rc = finding(
                notes, DIFFERENCE_NOTE, err,
                "subscription %s: disabled, and has not touched the publisher; when this database "
                "takes over: ALTER SUBSCRIPTION \"%s\" ENABLE (or make it anew with copy_data)",
                name, name);
    }
    pg_rows_free(rows);
    return rc;
}

// --- Dropping it ---

static int drop_subscriptions(const struct pg_server *server, const char *database, struct err *err)
{
    struct pg_server there = *server;
    there.database = database;
    struct pg *pg = NULL;
    int rc = pg_open(&there, "bakfs drop", &pg, err);
    if (rc == 0)
        rc = database_mute_subscriptions(pg, true, NULL, err);
    pg_close(pg);
    return rc;
}

static int has_subscriptions(struct pg *pg, const char *database, bool *out, struct err *err)
{
    struct pg_rows *rows = NULL;
    int rc = pg_query(pg,
                      "SELECT 1 FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid "
                      "WHERE d.datname = $1 LIMIT 1",
                      &database, 1, &rows, err);
    if (rc == 0)
        *out = pg_row_count(rows) > 0;
    pg_rows_free(rows);
    return rc;
}

static const char end_sessions[] =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 "
    "AND pid <> pg_backend_pid()";

int restore_drop(const struct pg_server *server, const char *database, struct err *err)
{
    struct pg *pg = NULL;
    int rc = database_admin(server, "drop", &pg, err);
    if (rc != 0)
        return rc;
    bool exists = false, subscribed = false;
    rc = database_exists(pg, database, &exists, err);
    if (rc == 0 && exists) // who may not read the catalog has no subscriptions
        (void)!has_subscriptions(pg, database, &subscribed, NULL);
    if (rc == 0 && subscribed)
        rc = drop_subscriptions(server, database, err);
    if (rc == 0 && exists && pg_version(pg) >= 130000) {
        rc = database_exec(pg, err, "DROP DATABASE IF EXISTS %s WITH (FORCE)", database, NULL);
    } else if (rc == 0 && exists) {
        struct pg_rows *rows = NULL;
        rc = pg_query(pg, end_sessions, &database, 1, &rows, err);
        pg_rows_free(rows);
        if (rc == 0)
            rc = database_exec(pg, err, "DROP DATABASE IF EXISTS %s", database, NULL);
    }
    pg_close(pg);
    return rc == 0 ? 0 : err_prefix(err, "drop database %s", database);
}

int restore_scratch_name(const char *prefix, const char *database, char out[64])
{
    char stamp[20];
    uint16_t noise = 0;
    when_stamp(time(NULL), stamp);
    if (getrandom(&noise, sizeof(noise), 0) != (ssize_t)sizeof(noise))
        return -EIO;
    // bakfs_PREFIX_NAME_STAMP_XXXX
    size_t taken = strlen("bakfs_") + strlen(prefix) + 2 + strlen(stamp) + 5;
    if (taken >= NAME_MAX_BYTES)
        return -ENAMETOOLONG;
    int len = (int)utf8_fit(database, NAME_MAX_BYTES - taken);
    int made = snprintf(out, 64, "bakfs_%s_%.*s_%s_%04x", prefix, len, database, stamp, noise);
    return made > 0 && made < 64 ? 0 : -ENAMETOOLONG;
}
