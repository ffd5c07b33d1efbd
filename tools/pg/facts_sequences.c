// Where sequences stand. Some hundreds are read by one query, in a savepoint that is rolled back, which gives their locks
// back too: a database has more of them than a lock table has room.
#include "backend/base/scope.h"
#include "tools/pg/facts_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_AT_ONCE 200

// Those that a dump carries: not an extension's, unless it says that their values are data.
static const char listing[] =
    "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c "
    "JOIN pg_namespace n ON n.oid = c.relnamespace " SQL_MEMBER("pg_class", "c") //
    " WHERE c.relkind = 'S' AND " SQL_USER_SCHEMA " AND (e.objid IS NULL OR EXISTS (SELECT FROM "
    "pg_extension x WHERE x.oid = e.refobjid AND c.oid = ANY (x.extconfig))) ORDER BY 1";

// "17"; a sequence that was never asked begins with its value: "17 (unused)".
static void print_value(FILE *out, const char *name)
{
    fputs("SELECT ", out);
    fputc('\'', out);
    for (const char *p = name; *p; p++) {
        if (*p == '\'')
            fputc('\'', out);
        fputc(*p, out);
    }
    fprintf(out,
            "', last_value || CASE WHEN is_called THEN '' ELSE ' (unused)' END FROM ONLY "
            "%s",
            name);
}

static char *query_of(const struct pg_rows *names, size_t first, size_t count)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            fputs(" UNION ALL ", out);
        print_value(out, pg_value(names, first + i, 0));
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static struct fact *known(struct facts *f, size_t sorted, const char *name)
{
    const struct facts part = {.list = f->list, .count = sorted};
    const struct fact *found = facts_find(&part, "sequence_value", name);
    return found ? &f->list[found - f->list] : NULL;
}

// "17" and then "20" is "17..20"; the low end of a range stays.
static int widen(struct fact *fact, const char *value, struct err *err)
{
    const char *dots = strstr(fact->value, "..");
    size_t low = dots ? (size_t)(dots - fact->value) : strlen(fact->value);
    if (!dots && strcmp(fact->value, value) == 0)
        return 0;
    char *range = NULL;
    if (asprintf(&range, "%.*s..%s", (int)low, fact->value, value) < 0)
        return err_set(err, ENOMEM, "no memory for a sequence");
    free(fact->value);
    fact->value = range;
    return 0;
}

static int keep(struct facts *f, size_t sorted, const struct pg_rows *values, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < pg_row_count(values); i++) {
        const char *name = pg_value(values, i, 0), *value = pg_value(values, i, 1);
        struct fact *fact = known(f, sorted, name);
        rc = fact ? widen(fact, value, err) : facts_add(f, "sequence_value", name, value, err);
    }
    return rc;
}

static int read_some(struct pg *pg, const struct pg_rows *names, size_t first, size_t count,
                     struct facts *f, size_t sorted, struct err *err)
{
    auto_free char *sql = query_of(names, first, count);
    if (!sql)
        return err_set(err, ENOMEM, "no memory for a query");
    bool own = false;
    int rc = facts_inner_begin(pg, &own, err);
    if (rc != 0)
        return rc;
    struct pg_rows *values = NULL;
    rc = pg_exec(pg, "SET LOCAL lock_timeout = '10s'", err);
    if (rc == 0)
        rc = pg_query(pg, sql, NULL, 0, &values, err);
    if (rc == 0)
        rc = keep(f, sorted, values, err);
    pg_rows_free(values);
    char state[6];
    snprintf(state, sizeof(state), "%s", pg_sqlstate(pg));
    int ended = facts_inner_end(pg, own, rc == 0 ? err : NULL);
    if (rc == 0)
        return ended;
    // dropped since it was listed, locked by a migration, or not ours to read: what is known of it is no value
    bool single = rc == -EIO && (strcmp(state, "42P01") == 0 || strcmp(state, "55P03") == 0 ||
                                 strcmp(state, "42501") == 0 || strcmp(state, "3F000") == 0);
    if (!single || ended != 0)
        return rc;
    for (size_t i = 0; count > 1 && i < count; i++) {
        rc = read_some(pg, names, first + i, 1, f, sorted, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int facts_sequences(struct pg *pg, struct facts *inout, struct err *err)
{
    struct pg_rows *names = NULL;
    int rc = pg_query(pg, listing, NULL, 0, &names, err);
    if (rc != 0)
        return err_prefix(err, "list the sequences");
    facts_sort(inout);
    size_t sorted = inout->count, all = pg_row_count(names);
    for (size_t first = 0; rc == 0 && first < all; first += MOST_AT_ONCE) {
        size_t count = all - first < MOST_AT_ONCE ? all - first : MOST_AT_ONCE;
        rc = read_some(pg, names, first, count, inout, sorted, err);
    }
    pg_rows_free(names);
    facts_sort(inout);
    return rc == 0 ? 0 : err_prefix(err, "read the sequences");
}
