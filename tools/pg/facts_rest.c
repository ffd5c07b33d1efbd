// The database itself, its extensions, security labels, and large objects, of which there may be millions: told together.
#include "tools/pg/facts_internal.h"

// clang-format off
#define THIS " WHERE d.datname = current_database() "

static const char database[] =
    "SELECT 'database', x.name, x.value FROM pg_database d, LATERAL (VALUES "
    "('encoding', pg_encoding_to_char(d.encoding)), ('collate', d.datcollate::text), "
    "('ctype', d.datctype::text), ('provider', to_jsonb(d)->>'datlocprovider'), "
    "('locale', coalesce(to_jsonb(d)->>'daticulocale', to_jsonb(d)->>'datlocale')), "
    "('connection_limit', nullif(d.datconnlimit, -1)::text)) x(name, value) " THIS
    "AND x.value IS NOT NULL "
    "UNION ALL SELECT 'database', 'setting ' || coalesce('of ' || "
    "quote_ident(pg_get_userbyid(nullif(s.setrole, 0))) || ' ', '') || split_part(c, '=', 1), "
    "substr(c, strpos(c, '=') + 1) FROM pg_database d JOIN pg_db_role_setting s "
    "ON s.setdatabase = d.oid, unnest(s.setconfig) c " THIS
    "UNION ALL SELECT 'owner', 'database', pg_get_userbyid(d.datdba) FROM pg_database d " THIS
    "UNION ALL SELECT 'comment', 'database', shobj_description(d.oid, 'pg_database') "
    "FROM pg_database d " THIS "AND shobj_description(d.oid, 'pg_database') IS NOT NULL "
    "UNION ALL SELECT 'grant', 'database to ' || g.who, g.what FROM pg_database d, LATERAL (SELECT "
    "CASE who WHEN 0 THEN 'PUBLIC' WHEN d.datdba THEN '(owner)' ELSE "
    "quote_ident(pg_get_userbyid(who)) END AS who, coalesce(a.what, 'none') AS what FROM "
    "(SELECT grantee AS who, string_agg(DISTINCT privilege_type || CASE WHEN is_grantable THEN '*' "
    "ELSE '' END, ', ') AS what FROM aclexplode(d.datacl) GROUP BY 1) a FULL JOIN (SELECT grantee AS "
    "who, string_agg(DISTINCT privilege_type || CASE WHEN is_grantable THEN '*' ELSE '' END, ', ') "
    "AS what FROM aclexplode(acldefault('d', d.datdba)) GROUP BY 1) b USING (who) "
    "WHERE a.what IS DISTINCT FROM b.what) g " THIS "AND d.datacl IS NOT NULL";

// A restore makes the version that its server has: told by itself.
static const char extensions[] =
    "SELECT 'extension' AS kind, quote_ident(x.extname) AS name, 'schema ' || "
    "quote_ident(n.nspname) AS value, 0::oid AS owner, " SQL_NO_ACL
    "'pg_extension'::regclass::oid AS classid, x.oid AS objid, 0 AS sub, true AS own "
    "FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace";
static const char versions[] =
    "SELECT 'extension_version', quote_ident(extname), extversion FROM pg_extension";

static const char labels[] =
    "SELECT 'security_label', objtype || ' ' || objname || ' by ' || provider, label "
    "FROM pg_seclabels WHERE objtype NOT IN ('database', 'role', 'tablespace')";

static const char large_objects[] =
    "SELECT 'owner', 'large objects', string_agg(w, ', ' ORDER BY w) FROM (SELECT "
    "quote_ident(pg_get_userbyid(lomowner)) || ' has ' || count(*) AS w FROM "
    "pg_largeobject_metadata GROUP BY lomowner) x HAVING count(*) > 0 "
    "UNION ALL SELECT 'grant', 'large objects to ' || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE "
    "quote_ident(pg_get_userbyid(a.grantee)) END, string_agg(a.privilege_type || ' on ' || a.many, "
    "', ' ORDER BY a.privilege_type) FROM (SELECT g.grantee, g.privilege_type, count(*) AS many FROM "
    "pg_largeobject_metadata m, aclexplode(m.lomacl) g WHERE g.grantee <> m.lomowner GROUP BY 1, 2) "
    "a GROUP BY a.grantee "
    "UNION ALL SELECT 'comment', 'large object ' || objoid, description FROM pg_description "
    "WHERE classoid = 'pg_largeobject'::regclass";
// clang-format on

const struct facts_query facts_of_the_rest[] = {
    {.plain = true, .sql = database},      {.sql = extensions},
    {.plain = true, .sql = versions},      {.plain = true, .sql = labels},
    {.plain = true, .sql = large_objects}, {0},
};
