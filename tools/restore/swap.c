// The new database takes the name of the old one, which is kept beside it.
#include "tools/restore/swap.h"

#include "backend/base/clock.h"
#include "backend/base/scope.h"
#include "backend/base/utf8.h"
#include "tools/catalog/when.h"
#include "tools/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SESSIONS_END_MS                                                                            \
    30000 // a backend that writes a checkpoint or waits for a disk may take so long

static const char end_sessions[] = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                                   "WHERE datname = $1 AND pid <> pg_backend_pid()";

int swap_old_name(const char *name, time_t now, char out[64], struct err *err)
{
    char stamp[20];
    when_stamp(now, stamp);
    int room = 63 - (int)(strlen("_before_") + strlen(stamp));
    int len = (int)utf8_fit(name, (size_t)room);
    int made = snprintf(out, 64, "%.*s_before_%s", len, name, stamp);
    return made > 0 && made < 64 ? 0 : err_set(err, ENAMETOOLONG, "no name for the old database");
}

// No new ones come; those that are there are ended.
static int end_all_sessions(struct pg *pg, const char *name, size_t *out_ended, struct err *err)
{
    uint64_t until = clock_ms() + SESSIONS_END_MS;
    for (size_t ended = 0;;) {
        struct pg_rows *rows = NULL;
        int rc = pg_query(pg, end_sessions, &name, 1, &rows, err);
        if (rc != 0)
            return err_prefix(err, "end the sessions of %s", name);
        size_t count = strtoull(pg_value(rows, 0, 0), NULL, 10);
        pg_rows_free(rows);
        ended = count > ended ? count : ended;
        if (count == 0) {
            *out_ended = ended;
            return 0;
        }
        if (process_stop_asked())
            return err_set(err, EINTR, "stopped while the sessions of %s were ended", name);
        if (clock_ms() > until)
            return err_set(err, EBUSY,
                           "%zu sessions of %s do not end; the database was not replaced", count,
                           name);
        rc = pg_exec(pg, "SELECT pg_sleep(0.05)", err);
        if (rc != 0)
            return rc;
        *out_ended = ended;
    }
}

// Both names in one transaction: there is no moment with neither, nor a way to stay half way.
static int rename_both(struct pg *pg, const struct swap *s, bool connectable, struct err *err)
{
    int rc = pg_exec(pg, "BEGIN", err);
    if (rc != 0)
        return rc;
    rc = database_exec(pg, err, "ALTER DATABASE %s RENAME TO %s", s->name, s->old_name);
    rc = rc ? rc : database_exec(pg, err, "ALTER DATABASE %s RENAME TO %s", s->made, s->name);
    if (rc == 0 && connectable)
        rc = database_exec(pg, err, "ALTER DATABASE %s ALLOW_CONNECTIONS true", s->old_name, NULL);
    int end = pg_exec(pg, rc == 0 ? "COMMIT" : "ROLLBACK", rc == 0 ? err : NULL);
    return rc ? rc : end;
}

static int shut(struct pg *pg, const struct swap *s, size_t *out_ended, struct err *err)
{
    int rc = database_exec(pg, err, "ALTER DATABASE %s ALLOW_CONNECTIONS false", s->name, NULL);
    return rc ? rc : end_all_sessions(pg, s->name, out_ended, err);
}

// After a failure: the old database is as it was.
static void open_again(const struct pg_server *server, const char *name, struct err *err)
{
    struct pg *pg = NULL;
    int rc = database_admin(server, "restore", &pg, NULL);
    if (rc == 0)
        rc = database_exec(pg, NULL, "ALTER DATABASE %s ALLOW_CONNECTIONS true", name, NULL);
    pg_close(pg);
    if (rc != 0 && err) {
        int code = err->code;
        char sentence[ERR_TEXT_BYTES];
        memcpy(sentence, err->text, sizeof(sentence));
        err_set(err, code,
                "%.400s; and nobody can connect to %s before this is typed: ALTER DATABASE \"%s\" "
                "ALLOW_CONNECTIONS true",
                sentence, name, name);
    }
}

static int facts_of(struct pg *pg, const char *name, bool *out_connectable, bool *out_subscribed,
                    struct err *err)
{
    struct pg_rows *rows = NULL;
    int rc = pg_query(pg, "SELECT datallowconn FROM pg_database WHERE datname = $1", &name, 1,
                      &rows, err);
    if (rc == 0 && pg_row_count(rows) == 0)
        rc = err_set(err, ENOENT, "database %s is not there any more", name);
    if (rc == 0)
        *out_connectable = *pg_value(rows, 0, 0) == 't';
    pg_rows_free(rows);
    rows = NULL;
    if (rc == 0 &&
        pg_query(pg,
                 "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND backend_type LIKE 'logical "
                 "replication%'",
                 &name, 1, &rows, NULL) == 0)
        *out_subscribed = pg_row_count(rows) > 0;
    pg_rows_free(rows);
    return rc;
}

int swap_names(const struct pg_server *server, const struct swap *s, size_t *out_ended,
               struct comparison *notes, struct err *err)
{
    struct pg *pg = NULL;
    bool connectable = true, subscribed = false;
    int rc = process_stop_asked() ? err_set(err, EINTR, "stopped before it") : 0;
    rc = rc ? rc : database_admin(server, "restore", &pg, err);
    rc = rc ? rc : facts_of(pg, s->name, &connectable, &subscribed, err);
    rc = rc ? rc : properties_copy(pg, s->name, s->made, notes, err);
    if (rc == 0) {
        rc = shut(pg, s, out_ended, err);
        rc = rc ? rc : rename_both(pg, s, connectable, err);
        if (rc != 0 && connectable)
            open_again(server, s->name, err);
    }
    pg_close(pg);
    if (rc == 0 && subscribed)
        rc = finding(notes, DIFFERENCE_NOTE, err,
                     "subscriptions of the old database go on in %s: disable them there before "
                     "those of the new one "
                     "are enabled",
                     s->old_name);
    return rc ? err_prefix(err, "put %s in the place of %s", s->made, s->name) : 0;
}
