// What belongs to a relation: columns, constraints, indexes, triggers, rules, policies. Those of an extension's tables
// belong to the extension.
#include "tools/pg/facts_internal.h"

// clang-format off
#define OF_TABLE(oid) \
    " JOIN pg_class c ON c.oid = " oid " JOIN pg_namespace n ON n.oid = c.relnamespace " \
    SQL_MEMBER("pg_class", "c")
#define PART(catalog, oid) \
    " 0::oid AS owner, " SQL_NO_ACL "'" catalog "'::regclass::oid AS classid, " oid " AS objid, " \
    "0 AS sub, " SQL_OWN " AS own "
#define PART_NAME(name) SQL_NAME("c.relname") " || '.' || quote_ident(" name ")"
#define ENABLED(flag) \
    " coalesce(CASE " flag " WHEN 'D' THEN '; disabled' WHEN 'R' THEN '; on replica' " \
    "WHEN 'A' THEN '; always' END, '') "

// "pg_attver" among a column's options is a count that newer servers keep for themselves; a dump has none.
static const char columns[] =
    "SELECT 'column' AS kind, " PART_NAME("a.attname") " AS name, concat_ws(' ', "
    "format_type(a.atttypid, a.atttypmod), "
    "CASE WHEN a.attcollation <> t.typcollation THEN 'collate ' || (SELECT "
    "quote_ident(cn.nspname) || '.' || quote_ident(co.collname) FROM pg_collation co JOIN "
    "pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END, "
    "CASE WHEN a.attnotnull THEN 'not null' END, "
    "CASE {generated} WHEN 's' THEN 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || "
    "') stored' WHEN 'v' THEN 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ')' "
    "ELSE 'default ' || pg_get_expr(d.adbin, d.adrelid) END, "
    "CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity by default' END, "
    "CASE WHEN c.relkind <> 'v' AND a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' "
    "THEN 'storage plain' WHEN 'e' THEN 'storage external' WHEN 'm' THEN 'storage main' ELSE "
    "'storage extended' END END, "
    "CASE {compression} WHEN 'p' THEN 'compression pglz' WHEN 'l' THEN 'compression lz4' END, "
    "CASE WHEN a.attstattarget >= 0 THEN 'statistics ' || a.attstattarget END, "
    "'with (' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(a.attoptions) o "
    "WHERE o !~ '^pg_attver=') || ')', "
    "'options (' || " SQL_OPTIONS("a.attfdwoptions") " || ')', "
    "CASE WHEN a.attinhcount > 0 THEN 'inherited' END) AS value, "
    "c.relowner AS owner, a.attacl AS acl, " SQL_BASE("c", "c.relowner") " AS base, "
    "'pg_class'::regclass::oid AS classid, c.oid AS objid, a.attnum::int AS sub, " SQL_OWN " AS own "
    "FROM pg_attribute a " OF_TABLE("a.attrelid") SQL_INIT("pg_class", "c", "a.attnum")
    " JOIN pg_type t ON t.oid = a.atttypid "
    "LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum "
    "WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'v', 'm') "
    "AND n.nspname !~ '^(pg_toast|pg_temp|information_schema$)' AND (" SQL_OWN " OR a.attacl IS NOT NULL)";

// Copies of a foreign key for partitions get new names in each database; "not null" stands with its column.
static const char constraints[] =
    "SELECT 'constraint' AS kind, " PART_NAME("k.conname") " AS name, "
    "pg_get_constraintdef(k.oid) AS value, " PART("pg_constraint", "k.oid")
    "FROM pg_constraint k " OF_TABLE("k.conrelid")
    " WHERE k.contype IN ('c', 'p', 'u', 'x', 'f') "
    "AND (k.contype <> 'f' OR {conparentid} = 0) AND " SQL_OWN;

static const char domain_constraints[] =
    "SELECT 'constraint' AS kind, " SQL_NAME("t.typname") " || '.' || quote_ident(k.conname) AS "
    "name, pg_get_constraintdef(k.oid) AS value, " PART("pg_constraint", "k.oid")
    "FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid "
    "JOIN pg_namespace n ON n.oid = t.typnamespace " SQL_MEMBER("pg_type", "t")
    " WHERE k.contype = 'c' AND " SQL_OWN;

static const char indexes[] =
    "SELECT 'index' AS kind, " SQL_NAME("x.relname") " AS name, "
    "CASE WHEN i.indisvalid AND i.indisready THEN '' ELSE 'invalid; ' END || "
    "pg_get_indexdef(i.indexrelid) || "
    "coalesce((SELECT '; partition of ' || inhparent::regclass FROM pg_inherits "
    "WHERE inhrelid = i.indexrelid), '') || "
    "CASE WHEN i.indisclustered THEN '; clustered' ELSE '' END || "
    "CASE WHEN i.indisreplident THEN '; replica identity' ELSE '' END || "
    "coalesce((SELECT string_agg('; statistics of column ' || a.attnum || ' ' || a.attstattarget, "
    "'' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = i.indexrelid "
    "AND a.attstattarget >= 0), '') AS value, " PART("pg_class", "x.oid")
    "FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid " OF_TABLE("i.indrelid")
    " WHERE " SQL_OWN;

// Copies of a trigger for partitions come with the trigger of the table above, unless their state is their own.
static const char triggers[] =
    "SELECT 'trigger' AS kind, " PART_NAME("t.tgname") " AS name, "
    "pg_get_triggerdef(t.oid) || " ENABLED("t.tgenabled") " AS value, " PART("pg_trigger", "t.oid")
    "FROM pg_trigger t " OF_TABLE("t.tgrelid")
    " LEFT JOIN pg_trigger u ON u.oid = {tgparentid} WHERE NOT t.tgisinternal "
    "AND (u.oid IS NULL OR u.tgenabled <> t.tgenabled) AND " SQL_OWN;

static const char rules[] =
    "SELECT 'rule' AS kind, " PART_NAME("r.rulename") " AS name, "
    "pg_get_ruledef(r.oid) || " ENABLED("r.ev_enabled") " AS value, " PART("pg_rewrite", "r.oid")
    "FROM pg_rewrite r " OF_TABLE("r.ev_class")
    " WHERE r.rulename <> '_RETURN' AND " SQL_OWN;

static const char policies[] =
    "SELECT 'policy' AS kind, " PART_NAME("p.polname") " AS name, concat_ws(' ', "
    "CASE WHEN NOT p.polpermissive THEN 'restrictive' END, "
    "CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' "
    "WHEN 'd' THEN 'delete' ELSE 'all' END, "
    "'to ' || (SELECT string_agg(w, ', ' ORDER BY w) FROM (SELECT CASE r WHEN 0 THEN 'PUBLIC' ELSE "
    "quote_ident(pg_get_userbyid(r)) END AS w FROM unnest(p.polroles) r) x), "
    "'using (' || pg_get_expr(p.polqual, p.polrelid) || ')', "
    "'check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')') AS value, "
    PART("pg_policy", "p.oid")
    "FROM pg_policy p " OF_TABLE("p.polrelid") " WHERE " SQL_OWN;
// clang-format on

const struct facts_query facts_of_relation_parts[] = {
    {.sql = columns},  {.sql = constraints}, {.sql = domain_constraints}, {.sql = indexes},
    {.sql = triggers}, {.sql = rules},       {.sql = policies},           {0},
};
