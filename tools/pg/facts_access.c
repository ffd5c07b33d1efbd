// Who may what by default, and what reaches out of the database: foreign servers, publications, subscriptions.
#include "tools/pg/facts_internal.h"

// clang-format off
#define REST(catalog, oid, owner) \
    " " owner " AS owner, " SQL_NO_ACL "'" catalog "'::regclass::oid AS classid, " oid \
    " AS objid, 0 AS sub, e.objid IS NULL AS own "
#define REST_ACL(catalog, alias, owner, acl, acl_type) \
    " " owner " AS owner, " acl " AS acl, CASE i.privtype WHEN 'e' THEN i.initprivs ELSE " \
    "acldefault('" acl_type "', " owner ") END AS base, '" catalog "'::regclass::oid AS classid, " \
    alias ".oid AS objid, 0 AS sub, e.objid IS NULL AS own FROM " catalog " " alias " " \
    SQL_MEMBER(catalog, alias) SQL_INIT(catalog, alias, "0")

static const char wrappers[] =
    "SELECT 'foreign_data_wrapper' AS kind, quote_ident(w.fdwname) AS name, concat_ws(', ', "
    "nullif('handler ' || w.fdwhandler::regproc, 'handler -'), nullif('validator ' || "
    "w.fdwvalidator::regproc, 'validator -'), 'options (' || " SQL_OPTIONS("w.fdwoptions") " || ')') "
    "AS value, " REST_ACL("pg_foreign_data_wrapper", "w", "w.fdwowner", "w.fdwacl", "F");

static const char servers[] =
    "SELECT 'server' AS kind, quote_ident(s.srvname) AS name, concat_ws(', ', (SELECT 'wrapper ' || "
    "quote_ident(w.fdwname) FROM pg_foreign_data_wrapper w WHERE w.oid = s.srvfdw), 'type ' || "
    "s.srvtype, 'version ' || s.srvversion, 'options (' || " SQL_OPTIONS("s.srvoptions") " || ')') "
    "AS value, " REST_ACL("pg_foreign_server", "s", "s.srvowner", "s.srvacl", "S");

static const char mappings[] =
    "SELECT 'user_mapping', CASE m.umuser WHEN 0 THEN 'PUBLIC' ELSE quote_ident(m.usename) END || "
    "' on ' || quote_ident(m.srvname), coalesce('options (' || " SQL_OPTIONS("m.umoptions") " || ')', "
    "'') FROM pg_user_mappings m";

static const char publications[] =
    "SELECT 'publication' AS kind, quote_ident(p.pubname) AS name, concat_ws(', ', CASE WHEN "
    "p.puballtables THEN 'all tables' END, CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN "
    "p.pubupdate THEN 'update' END, CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN "
    "to_jsonb(p)->>'pubtruncate' = 'true' THEN 'truncate' END, CASE WHEN to_jsonb(p)->>'pubviaroot' "
    "= 'true' THEN 'via root' END) AS value, " REST("pg_publication", "p.oid", "p.pubowner")
    " FROM pg_publication p " SQL_MEMBER("pg_publication", "p") " WHERE e.objid IS NULL";

static const char publication_tables[] =
    "SELECT 'publication_table', quote_ident(p.pubname) || ': ' || r.prrelid::regclass, "
    "concat_ws(' ', '(' || (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname) FROM "
    "pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum = ANY ({prattrs})) || ')', "
    "'where ' || pg_get_expr({prqual}, r.prrelid)) "
    "FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid";

static const char publication_schemas[] =
    "SELECT 'publication_schema', quote_ident(p.pubname) || ': ' || quote_ident(s.nspname), '' "
    "FROM pg_publication_namespace r JOIN pg_publication p ON p.oid = r.pnpubid "
    "JOIN pg_namespace s ON s.oid = r.pnnspid";

// Neither its conninfo, which may hold a password, nor whether it is enabled: a restored one never is.
static const char subscriptions[] =
    "SELECT 'subscription' AS kind, quote_ident(s.subname) AS name, 'publications ' || (SELECT "
    "string_agg(quote_ident(x), ', ' ORDER BY x) FROM unnest(s.subpublications) x) || ', commit ' || "
    "s.subsynccommit AS value, " REST("pg_subscription", "s.oid", "s.subowner")
    " FROM pg_subscription s " SQL_MEMBER("pg_subscription", "s")
    " WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

static const char slots[] =
    "SELECT 'subscription_slot', quote_ident(s.subname), coalesce(s.subslotname, 'none') "
    "FROM pg_subscription s "
    "WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

static const char defaults[] =
    "SELECT 'default_grant', quote_ident(pg_get_userbyid(d.defaclrole)) || CASE d.defaclnamespace "
    "WHEN 0 THEN '' ELSE ' in ' || d.defaclnamespace::regnamespace END || ' on ' || CASE "
    "d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions' "
    "WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE d.defaclobjtype::text END || ' to ' || CASE "
    "a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, "
    "string_agg(DISTINCT a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END, ', ') "
    "FROM pg_default_acl d, aclexplode(d.defaclacl) a "
    "GROUP BY d.defaclrole, d.defaclnamespace, d.defaclobjtype, a.grantee";
// clang-format on

const struct facts_query facts_of_access[] = {
    {.sql = wrappers},
    {.sql = servers},
    {.plain = true, .sql = mappings},
    {.since = 100000, .sql = publications},
    {.since = 100000, .plain = true, .sql = publication_tables},
    {.since = 150000, .plain = true, .sql = publication_schemas},
    {.since = 100000, .sql = subscriptions},
    {.since = 100000, .plain = true, .sql = slots},
    {.plain = true, .sql = defaults},
    {0},
};
