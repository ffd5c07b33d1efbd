// Queries of the configuration, and what migration tools wrote. They run with the search_path of their own role and
// database, read-only, in a savepoint: one that fails leaves the transaction as it was.
#include "backend/base/scope.h"
#include "tools/pg/facts_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text_of(const struct pg_rows *rows)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    for (size_t i = 0; i < pg_row_count(rows); i++)
        for (size_t k = 0; k < pg_column_count(rows); k++)
            fprintf(out, "%s%s", k > 0 ? "\t" : i > 0 ? "\n" : "", pg_value(rows, i, k));
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static int ask(struct pg *pg, const char *sql, char **out, struct err *err)
{
    bool own = false;
    int rc = facts_inner_begin(pg, &own, err);
    if (rc != 0)
        return rc;
    struct pg_rows *rows = NULL;
    rc = pg_exec(pg, "SET LOCAL transaction_read_only = on; SET LOCAL search_path TO DEFAULT", err);
    if (rc == 0)
        rc = pg_query(pg, sql, NULL, 0, &rows, err);
    char *text = rc == 0 ? text_of(rows) : NULL;
    pg_rows_free(rows);
    if (rc == 0 && !text)
        rc = err_set(err, ENOMEM, "no memory for an answer");
    int ended = facts_inner_end(pg, own, rc == 0 ? err : NULL);
    if (rc == 0)
        rc = ended;
    if (rc != 0) {
        free(text);
        return rc;
    }
    *out = text;
    return 0;
}

int facts_check(struct pg *pg, const char *name, const char *sql, struct facts *out,
                struct err *err)
{
    auto_free char *text = NULL;
    int rc = ask(pg, sql, &text, err);
    if (rc == 0)
        rc = facts_add_shortened(out, "check", name, text, err);
    return rc == 0 ? 0 : err_prefix(err, "check.%s", name);
}

// A tool's table, a column that shows that it is the tool's, and what says where the migrations stand.
static const struct migrations {
    const char *tool, *table, *column, *sql;
} tools[] = {
    {"alembic", "alembic_version", "version_num",
     "SELECT string_agg(version_num, ', ' ORDER BY version_num) FROM %s"},
    {"flyway", "flyway_schema_history", "installed_rank",
     "SELECT coalesce(version, description) || ', ' || (SELECT count(*) FROM %1$s) || ' applied' "
     "FROM %1$s ORDER BY installed_rank DESC LIMIT 1"},
    {"django", "django_migrations", "app",
     "SELECT app || '.' || name || ', ' || (SELECT count(*) FROM %1$s) || ' applied' "
     "FROM %1$s ORDER BY id DESC LIMIT 1"},
    {"rails", "schema_migrations", "version",
     "SELECT max(version) || ', ' || count(*) || ' applied' FROM %s"},
    {"sqitch", "changes", "change_id",
     "SELECT string_agg(DISTINCT project || ' ' || change, ', ') FROM %1$s c WHERE committed_at = "
     "(SELECT max(committed_at) FROM %1$s WHERE project = c.project)"},
};

static int tables_of(struct pg *pg, const struct migrations *m, struct pg_rows **out,
                     struct err *err)
{
    static const char sql[] =
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN "
        "pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relname = $1 AND a.attname = $2 AND c.relkind IN ('r', 'p') AND " SQL_USER_SCHEMA
        " AND ($1 <> 'changes' OR n.nspname ~ 'sqitch')";
    const char *const params[] = {m->table, m->column};
    return pg_query(pg, sql, params, 2, out, err);
}

static int add_migration(struct pg *pg, const struct migrations *m, const char *table,
                         struct facts *out, struct err *err)
{
    auto_free char *sql = NULL, *name = NULL, *text = NULL;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int len = asprintf(&sql, m->sql, table);
#pragma GCC diagnostic pop
    if (len < 0) {
        sql = NULL;
        return err_set(err, ENOMEM, "no memory for a query");
    }
    if (asprintf(&name, "%s %s", m->tool, table) < 0) {
        name = NULL;
        return err_set(err, ENOMEM, "no memory for a name");
    }
    struct err why = {0};
    int rc = ask(pg, sql, &text, &why);
    if (rc != 0) // found by its looks alone: one that cannot be read is no failure
        return pg_is_lost(pg) || rc == -ENOMEM ? err_copy(err, &why) : 0;
    return facts_add_shortened(out, "migration", name, text, err);
}

static int look_for(struct pg *pg, const struct migrations *m, struct facts *out, struct err *err)
{
    struct pg_rows *tables = NULL;
    int rc = tables_of(pg, m, &tables, err);
    for (size_t i = 0; rc == 0 && i < pg_row_count(tables); i++)
        rc = add_migration(pg, m, pg_value(tables, i, 0), out, err);
    pg_rows_free(tables);
    return rc;
}

int facts_migration(struct pg *pg, const char *query, struct facts *out, struct err *err)
{
    if (query && *query) {
        auto_free char *text = NULL;
        int rc = ask(pg, query, &text, err);
        if (rc == 0)
            rc = facts_add_shortened(out, "migration", "query", text, err);
        return rc == 0 ? 0 : err_prefix(err, "migration_query");
    }
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(tools) / sizeof(tools[0]); i++)
        rc = look_for(pg, &tools[i], out, err);
    return rc == 0 ? 0 : err_prefix(err, "look for migrations");
}
