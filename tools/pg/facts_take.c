// Runs the queries: one for each kind, whatever the number of objects.
#include "backend/base/scope.h"
#include "tools/pg/facts_internal.h"
#include "tools/pg/pg_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A kind's objects give up to four sorts of facts: their definitions, owners, comments, and the grants that are not what
// the object would have by default.
static const char before[] = "WITH o AS (";
static const char after[] =
    ") SELECT o.kind, o.name, o.value FROM o WHERE o.own "
    "UNION ALL SELECT 'owner', replace(o.kind, '_', ' ') || ' ' || o.name, "
    "pg_get_userbyid(o.owner) FROM o WHERE o.own AND o.owner <> 0 AND o.kind NOT IN ('column') "
    "UNION ALL SELECT 'comment', replace(o.kind, '_', ' ') || ' ' || o.name, d.description "
    "FROM o JOIN pg_description d ON d.classoid = o.classid AND d.objoid = o.objid "
    "AND d.objsubid = o.sub WHERE o.own "
    "UNION ALL SELECT 'grant', replace(o.kind, '_', ' ') || ' ' || o.name || ' to ' || g.who, "
    "g.what FROM o, LATERAL (SELECT CASE who WHEN 0 THEN 'PUBLIC' WHEN o.owner THEN '(owner)' "
    "ELSE quote_ident(pg_get_userbyid(who)) END AS who, coalesce(a.what, 'none') AS what FROM "
    "(SELECT grantee AS who, string_agg(DISTINCT privilege_type || CASE WHEN is_grantable "
    "THEN '*' ELSE '' END, ', ') AS what FROM aclexplode(o.acl) GROUP BY 1) a FULL JOIN "
    "(SELECT grantee AS who, string_agg(DISTINCT privilege_type || CASE WHEN is_grantable "
    "THEN '*' ELSE '' END, ', ') AS what FROM aclexplode(o.base) GROUP BY 1) d USING (who) "
    "WHERE a.what IS DISTINCT FROM d.what) g WHERE o.acl IS NOT NULL";

// What the catalogs of some versions do not have.
static const struct token {
    const char *name;
    int since;
    const char *now, *earlier;
} tokens[] = {
    {"{generated}", 120000, "a.attgenerated", "''"},
    {"{compression}", 140000, "a.attcompression", "''"},
    {"{prokind}", 110000, "p.prokind", "(CASE WHEN p.proisagg THEN 'a' ELSE 'f' END)"},
    {"{conparentid}", 110000, "k.conparentid", "0"},
    {"{tgparentid}", 130000, "t.tgparentid", "0"},
    {"{prattrs}", 150000, "r.prattrs", "NULL::int2vector"},
    {"{prqual}", 150000, "r.prqual", "NULL::pg_node_tree"},
};

static const struct token *token_at(const char *sql)
{
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++)
        if (strncmp(sql, tokens[i].name, strlen(tokens[i].name)) == 0)
            return &tokens[i];
    return NULL;
}

static char *sql_for(const struct facts_query *q, int version)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    if (!q->plain)
        fputs(before, out);
    for (const char *p = q->sql; *p;) {
        const struct token *t = *p == '{' ? token_at(p) : NULL;
        if (t)
            fputs(version >= t->since ? t->now : t->earlier, out);
        else
            fputc(*p, out);
        p += t ? strlen(t->name) : 1;
    }
    if (!q->plain)
        fputs(after, out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static int take_one(struct pg *pg, const struct facts_query *q, struct facts *out, struct err *err)
{
    if (q->since > pg_version(pg))
        return 0;
    auto_free char *sql = sql_for(q, pg_version(pg));
    if (!sql)
        return err_set(err, ENOMEM, "no memory for a query");
    struct pg_rows *rows = NULL;
    int rc = pg_query(pg, sql, NULL, 0, &rows, err);
    if (rc == 0)
        rc = facts_add_rows(out, rows, err);
    pg_rows_free(rows);
    return rc;
}

// A database that was just restored has no statistics of its catalogs, and the planner then takes thousands of tables for a
// few, and goes through them for each other. Until the end of the savepoint.
static const char planning[] =
    "SELECT set_config(v.name, v.value, true) FROM (VALUES ('enable_nestloop', 'off'), "
    "('jit', 'off'), ('work_mem', '64MB')) v(name, value) "
    "WHERE current_setting(v.name, true) IS NOT NULL";

static int take_all(struct pg *pg, struct facts *out, struct err *err)
{
    static const struct facts_query *const kinds[] = {
        facts_of_relations, facts_of_relation_parts, facts_of_types,
        facts_of_code,      facts_of_access,         facts_of_the_rest,
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        for (const struct facts_query *q = kinds[i]; rc == 0 && q->sql; q++)
            rc = take_one(pg, q, out, err);
    return rc;
}

int facts_take(struct pg *pg, struct facts *out, struct err *err)
{
    bool own = false;
    int rc = facts_inner_begin(pg, &own, err);
    if (rc != 0)
        return rc;
    rc = pg_exec(pg, planning, err);
    if (rc == 0)
        rc = take_all(pg, out, err);
    // what printed a view has locked the tables below it
    int ended = facts_inner_end(pg, own, rc == 0 ? err : NULL);
    facts_sort(out);
    if (rc == 0)
        rc = ended;
    return rc == 0 ? 0 : err_prefix(err, "read the catalogs");
}

int facts_inner_begin(struct pg *pg, bool *out_own, struct err *err)
{
    bool own = !pg_in_transaction(pg);
    int rc = pg_exec(
        pg, own ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" : "SAVEPOINT bakfs", err);
    if (rc == 0)
        *out_own = own;
    return rc;
}

int facts_inner_end(struct pg *pg, bool own, struct err *err)
{
    return pg_exec(pg, own ? "ROLLBACK" : "ROLLBACK TO SAVEPOINT bakfs; RELEASE SAVEPOINT bakfs",
                   err);
}
