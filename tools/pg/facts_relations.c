// Relations: tables, partitions, foreign tables, views, materialized views, sequences; and schemas above them.
#include "tools/pg/facts_internal.h"

// clang-format off
#define RELATIONS \
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace " \
    SQL_MEMBER("pg_class", "c") SQL_INIT("pg_class", "c", "0")
// what is not ours has grants at most
#define RELATIONS_OF_KIND(kinds) \
    " WHERE c.relkind IN (" kinds ") AND n.nspname !~ '^(pg_toast|pg_temp|information_schema$)' " \
    "AND (" SQL_USER_SCHEMA " OR c.relacl IS NOT NULL)"
#define RELATION_REST(acl_type) \
    " c.relowner AS owner, c.relacl AS acl, " SQL_BASE(acl_type, "c.relowner") " AS base, " \
    "'pg_class'::regclass::oid AS classid, c.oid AS objid, 0 AS sub, " SQL_OWN " AS own "
#define TOAST " LEFT JOIN pg_class tt ON tt.oid = c.reltoastrelid "
#define OPTIONS \
    " 'with (' || (SELECT string_agg(o, ', ' ORDER BY o) FROM (SELECT unnest(c.reloptions) o " \
    "UNION ALL SELECT 'toast.' || unnest(tt.reloptions)) x) || ')' "
#define METHOD \
    " (SELECT 'using ' || quote_ident(amname) FROM pg_am " \
    "WHERE oid = c.relam AND amname <> 'heap') "

static const char schemas[] =
    "SELECT 'schema' AS kind, quote_ident(n.nspname) AS name, '' AS value, "
    "n.nspowner AS owner, n.nspacl AS acl, " SQL_BASE("n", "n.nspowner") " AS base, "
    "'pg_namespace'::regclass::oid AS classid, n.oid AS objid, 0 AS sub, " SQL_OWN " AS own "
    "FROM pg_namespace n " SQL_MEMBER("pg_namespace", "n") SQL_INIT("pg_namespace", "n", "0")
    " WHERE n.nspname !~ '^(pg_toast|pg_temp|information_schema$)'";

static const char tables[] =
    "SELECT CASE c.relkind WHEN 'f' THEN 'foreign_table' ELSE 'table' END AS kind, "
    SQL_NAME("c.relname") " AS name, concat_ws('; ', "
    "CASE c.relpersistence WHEN 'u' THEN 'unlogged' END, "
    "CASE c.relkind WHEN 'p' THEN 'partitioned by ' || pg_get_partkeydef(c.oid) END, "
    "CASE WHEN c.relispartition THEN 'partition of ' || p.names || ' ' || "
    "pg_get_expr(c.relpartbound, c.oid) ELSE 'inherits ' || p.names END, "
    "CASE c.reloftype WHEN 0 THEN NULL ELSE 'of ' || format_type(c.reloftype, NULL) END, "
    METHOD ", " OPTIONS ", "
    "CASE WHEN c.relrowsecurity THEN 'row security' END, "
    "CASE WHEN c.relforcerowsecurity THEN 'row security forced' END, "
    "CASE c.relreplident WHEN 'f' THEN 'replica identity full' WHEN 'n' THEN 'replica identity "
    "nothing' WHEN 'i' THEN 'replica identity index' END, "
    "(SELECT 'server ' || quote_ident(s.srvname) FROM pg_foreign_server s "
    "WHERE s.oid = ft.ftserver), "
    "'options (' || " SQL_OPTIONS("ft.ftoptions") " || ')') AS value, "
    RELATION_REST("r") RELATIONS TOAST
    " LEFT JOIN (SELECT inhrelid, string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) "
    "AS names FROM pg_inherits GROUP BY 1) p ON p.inhrelid = c.oid "
    "LEFT JOIN pg_foreign_table ft ON ft.ftrelid = c.oid "
    RELATIONS_OF_KIND("'r', 'p', 'f'");

static const char views[] =
    "SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized_view' END AS kind, "
    SQL_NAME("c.relname") " AS name, CASE WHEN " SQL_OWN " THEN coalesce(nullif(concat_ws('; ', "
    OPTIONS ", CASE WHEN NOT c.relispopulated THEN 'not populated' END, " METHOD "), '') || '; ', "
    "'') || pg_get_viewdef(c.oid) END AS value, "
    RELATION_REST("r") RELATIONS TOAST RELATIONS_OF_KIND("'v', 'm'");

static const char sequences[] =
    "SELECT 'sequence' AS kind, " SQL_NAME("c.relname") " AS name, concat_ws('; ', "
    "format_type(s.seqtypid, NULL), 'start ' || s.seqstart, 'increment ' || s.seqincrement, "
    "'min ' || s.seqmin, 'max ' || s.seqmax, 'cache ' || s.seqcache, "
    "CASE WHEN s.seqcycle THEN 'cycle' END, "
    "CASE c.relpersistence WHEN 'u' THEN 'unlogged' END, 'owned by ' || o.owned) AS value, "
    RELATION_REST("s") RELATIONS " JOIN pg_sequence s ON s.seqrelid = c.oid "
    "LEFT JOIN (SELECT d.objid, min(d.refobjid::regclass || '.' || quote_ident(a.attname)) AS owned "
    "FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
    "WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND d.refclassid = "
    "'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i') GROUP BY 1) o "
    "ON o.objid = c.oid "
    RELATIONS_OF_KIND("'S'");

// where they lie, of those that do not lie where the database does
static const char tablespaces[] =
    "SELECT 'tablespace', CASE WHEN c.relkind = 'm' THEN 'materialized view' WHEN c.relkind IN "
    "('i', 'I') THEN 'index' ELSE 'table' END || ' ' || " SQL_NAME("c.relname") ", "
    "quote_ident(s.spcname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "JOIN pg_tablespace s ON s.oid = c.reltablespace " SQL_MEMBER("pg_class", "c")
    " WHERE " SQL_OWN;
// clang-format on

const struct facts_query facts_of_relations[] = {
    {.sql = schemas},
    {.sql = tables},
    {.sql = views},
    {.since = 100000, .sql = sequences},
    {.plain = true, .sql = tablespaces},
    {0},
};
