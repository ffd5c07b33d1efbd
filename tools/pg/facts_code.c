// Functions, procedures, aggregates, languages, event triggers, text search, statistics objects.
#include "tools/pg/facts_internal.h"

// clang-format off
#define OBJECT(catalog, oid, owner) \
    " " owner " AS owner, " SQL_NO_ACL "'" catalog "'::regclass::oid AS classid, " oid \
    " AS objid, 0 AS sub, true AS own "
#define IN_SCHEMA(catalog, alias, schema) \
    " FROM " catalog " " alias " JOIN pg_namespace n ON n.oid = " schema " " \
    SQL_MEMBER(catalog, alias) " WHERE " SQL_OWN " "
#define OPTIONAL(word, column) "nullif('" word " ' || " column ", '" word " -')"

// Constructors of ranges come with their type.
static const char functions[] =
    "SELECT CASE {prokind} WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END "
    "AS kind, " SQL_NAME("p.proname") " || '(' || oidvectortypes(p.proargtypes) || ')' AS name, "
    "CASE WHEN NOT " SQL_OWN " THEN '' WHEN {prokind} = 'a' THEN (SELECT concat_ws(', ', "
    "pg_get_function_arguments(p.oid), 'result ' || pg_get_function_result(p.oid), "
    "'kind ' || a.aggkind::text, CASE a.aggnumdirectargs WHEN 0 THEN NULL ELSE 'direct ' || "
    "a.aggnumdirectargs END, 'sfunc ' || a.aggtransfn, 'stype ' || format_type(a.aggtranstype, "
    "NULL), nullif('sspace ' || a.aggtransspace, 'sspace 0'), 'init ' || a.agginitval, "
    OPTIONAL("final", "a.aggfinalfn") ", CASE WHEN a.aggfinalextra THEN 'extra' END, "
    OPTIONAL("combine", "a.aggcombinefn") ", " OPTIONAL("serial", "a.aggserialfn") ", "
    OPTIONAL("deserial", "a.aggdeserialfn") ", " OPTIONAL("msfunc", "a.aggmtransfn") ", "
    OPTIONAL("minv", "a.aggminvtransfn") ", CASE a.aggmtranstype WHEN 0 THEN NULL ELSE 'mstype ' || "
    "format_type(a.aggmtranstype, NULL) END, nullif('msspace ' || a.aggmtransspace, 'msspace 0'), "
    "'minit ' || a.aggminitval, " OPTIONAL("mfinal", "a.aggmfinalfn") ", CASE WHEN a.aggmfinalextra "
    "THEN 'mextra' END, CASE a.aggsortop WHEN 0 THEN NULL ELSE 'sort ' || a.aggsortop::regoperator "
    "END, 'modify ' || (to_jsonb(a)->>'aggfinalmodify') || (to_jsonb(a)->>'aggmfinalmodify'), "
    "'parallel ' || p.proparallel::text) FROM pg_aggregate a WHERE a.aggfnoid = p.oid) "
    "ELSE pg_get_functiondef(p.oid) END AS value, "
    "p.proowner AS owner, p.proacl AS acl, " SQL_BASE("f", "p.proowner") " AS base, "
    "'pg_proc'::regclass::oid AS classid, p.oid AS objid, 0 AS sub, " SQL_OWN " AS own "
    "FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace " SQL_MEMBER("pg_proc", "p")
    SQL_INIT("pg_proc", "p", "0") " LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND "
    "d.objid = p.oid AND d.deptype = 'i' WHERE d.objid IS NULL AND n.nspname !~ '^(pg_toast|pg_temp|information_schema$)' "
    "AND (" SQL_USER_SCHEMA " OR p.proacl IS NOT NULL)";

static const char languages[] =
    "SELECT 'language' AS kind, quote_ident(l.lanname) AS name, concat_ws(', ', 'handler ' || "
    "l.lanplcallfoid::regproc, nullif('inline ' || l.laninline::regproc, 'inline -'), "
    "nullif('validator ' || l.lanvalidator::regproc, 'validator -'), CASE WHEN l.lanpltrusted THEN "
    "'trusted' END) AS value, l.lanowner AS owner, l.lanacl AS acl, CASE i.privtype WHEN 'e' THEN "
    "i.initprivs ELSE acldefault('l', l.lanowner) END AS base, "
    "'pg_language'::regclass::oid AS classid, l.oid AS objid, 0 AS sub, (l.oid >= 16384 AND "
    "e.objid IS NULL) AS own FROM pg_language l " SQL_MEMBER("pg_language", "l")
    SQL_INIT("pg_language", "l", "0");

static const char event_triggers[] =
    "SELECT 'event_trigger' AS kind, quote_ident(t.evtname) AS name, concat_ws('; ', t.evtevent, "
    "'when tag in (' || (SELECT string_agg(g, ', ' ORDER BY g) FROM unnest(t.evttags) g) || ')', "
    "'execute ' || t.evtfoid::regprocedure, CASE t.evtenabled WHEN 'D' THEN 'disabled' WHEN 'R' "
    "THEN 'on replica' WHEN 'A' THEN 'always' END) AS value, "
    OBJECT("pg_event_trigger", "t.oid", "t.evtowner")
    " FROM pg_event_trigger t " SQL_MEMBER("pg_event_trigger", "t") " WHERE e.objid IS NULL";

static const char parsers[] =
    "SELECT 'text_search_parser' AS kind, " SQL_NAME("p.prsname") " AS name, concat_ws(', ', "
    "p.prsstart, p.prstoken, p.prsend, p.prsheadline, p.prslextype) AS value, "
    OBJECT("pg_ts_parser", "p.oid", "0::oid") IN_SCHEMA("pg_ts_parser", "p", "p.prsnamespace");

static const char templates[] =
    "SELECT 'text_search_template' AS kind, " SQL_NAME("t.tmplname") " AS name, concat_ws(', ', "
    "t.tmplinit, t.tmpllexize) AS value, "
    OBJECT("pg_ts_template", "t.oid", "0::oid") IN_SCHEMA("pg_ts_template", "t", "t.tmplnamespace");

static const char dictionaries[] =
    "SELECT 'text_search_dictionary' AS kind, " SQL_NAME("d.dictname") " AS name, concat_ws(', ', "
    "(SELECT 'template ' || quote_ident(t.tmplname) FROM pg_ts_template t WHERE t.oid = "
    "d.dicttemplate), d.dictinitoption) AS value, " OBJECT("pg_ts_dict", "d.oid", "d.dictowner")
    IN_SCHEMA("pg_ts_dict", "d", "d.dictnamespace");

static const char configurations[] =
    "SELECT 'text_search_configuration' AS kind, " SQL_NAME("g.cfgname") " AS name, (SELECT "
    "'parser ' || quote_ident(p.prsname) FROM pg_ts_parser p WHERE p.oid = g.cfgparser) || "
    "coalesce('; ' || (SELECT string_agg(m.maptokentype || ' ' || m.mapdict::regdictionary, ', ' "
    "ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = g.oid), '') "
    "AS value, " OBJECT("pg_ts_config", "g.oid", "g.cfgowner")
    IN_SCHEMA("pg_ts_config", "g", "g.cfgnamespace");

static const char statistics[] =
    "SELECT 'statistics' AS kind, " SQL_NAME("s.stxname") " AS name, "
    "pg_get_statisticsobjdef(s.oid) || CASE WHEN (to_jsonb(s)->>'stxstattarget')::int >= 0 THEN "
    "'; statistics ' || (to_jsonb(s)->>'stxstattarget') ELSE '' END AS value, "
    OBJECT("pg_statistic_ext", "s.oid", "s.stxowner")
    IN_SCHEMA("pg_statistic_ext", "s", "s.stxnamespace");
// clang-format on

const struct facts_query facts_of_code[] = {
    {.sql = functions},
    {.sql = languages},
    {.sql = event_triggers},
    {.sql = parsers},
    {.sql = templates},
    {.sql = dictionaries},
    {.sql = configurations},
    {.since = 100000, .sql = statistics},
    {0},
};
