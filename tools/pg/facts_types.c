// Types, collations, and what works on types: operators, operator classes and families, casts, conversions.
#include "tools/pg/facts_internal.h"

// clang-format off
#define OBJECT(catalog, oid, owner) \
    " " owner " AS owner, " SQL_NO_ACL "'" catalog "'::regclass::oid AS classid, " oid \
    " AS objid, 0 AS sub, true AS own "
#define IN_SCHEMA(catalog, alias, schema) \
    " FROM " catalog " " alias " JOIN pg_namespace n ON n.oid = " schema " " \
    SQL_MEMBER(catalog, alias) " WHERE " SQL_OWN " "
// what initdb made has a small oid
#define NOT_IN_SCHEMA(catalog, alias) \
    " FROM " catalog " " alias " " SQL_MEMBER(catalog, alias) \
    " WHERE " alias ".oid >= 16384 AND e.objid IS NULL "

static const char types[] =
    "SELECT 'type' AS kind, " SQL_NAME("t.typname") " AS name, CASE t.typtype "
    "WHEN 'e' THEN 'enum (' || coalesce((SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER "
    "BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid), '') || ')' "
    "WHEN 'c' THEN 'composite (' || coalesce((SELECT string_agg(concat_ws(' ', "
    "quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), CASE WHEN a.attcollation <> "
    "at.typcollation THEN 'collate ' || (SELECT quote_ident(collname) FROM pg_collation co WHERE "
    "co.oid = a.attcollation) END), ', ' ORDER BY a.attnum) FROM pg_attribute a JOIN pg_type at ON "
    "at.oid = a.atttypid WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), "
    "'') || ')' "
    "WHEN 'd' THEN concat_ws(' ', 'domain', format_type(t.typbasetype, t.typtypmod), CASE WHEN "
    "t.typcollation <> (SELECT b.typcollation FROM pg_type b WHERE b.oid = t.typbasetype) THEN "
    "'collate ' || (SELECT quote_ident(collname) FROM pg_collation co WHERE co.oid = "
    "t.typcollation) END, CASE WHEN t.typnotnull THEN 'not null' END, 'default ' || t.typdefault) "
    "WHEN 'r' THEN (SELECT concat_ws(', ', 'range (' || format_type(r.rngsubtype, NULL), (SELECT "
    "'opclass ' || quote_ident(o.opcname) FROM pg_opclass o WHERE o.oid = r.rngsubopc), (SELECT "
    "'collate ' || quote_ident(collname) FROM pg_collation co WHERE co.oid = r.rngcollation), "
    "nullif('canonical ' || r.rngcanonical, 'canonical -'), nullif('subdiff ' || r.rngsubdiff, "
    "'subdiff -'), 'multirange ' || (to_jsonb(r)->>'rngmultitypid')::oid::regtype) || ')' FROM "
    "pg_range r WHERE r.rngtypid = t.oid) "
    "WHEN 'b' THEN concat_ws(', ', 'base (' || t.typinput, t.typoutput, nullif(t.typreceive::text, "
    "'-'), nullif(t.typsend::text, '-'), nullif(t.typmodin::text, '-'), nullif(t.typmodout::text, "
    "'-'), nullif(t.typanalyze::text, '-'), nullif(to_jsonb(t)->>'typsubscript', '-'), 'length ' || "
    "t.typlen, CASE WHEN t.typbyval THEN 'by value' END, 'align ' || t.typalign::text, 'storage ' || "
    "t.typstorage::text, 'category ' || t.typcategory::text, CASE WHEN t.typispreferred THEN 'preferred' END, "
    "'delimiter ' || t.typdelim::text, CASE t.typelem WHEN 0 THEN NULL ELSE 'element ' || "
    "format_type(t.typelem, NULL) END, CASE t.typcollation WHEN 0 THEN NULL ELSE 'collatable' END, "
    "'default ' || t.typdefault) || ')' "
    "ELSE 'shell' END AS value, t.typowner AS owner, t.typacl AS acl, " SQL_BASE("T", "t.typowner")
    " AS base, 'pg_type'::regclass::oid AS classid, t.oid AS objid, 0 AS sub, " SQL_OWN " AS own "
    "FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace " SQL_MEMBER("pg_type", "t")
    SQL_INIT("pg_type", "t", "0") " LEFT JOIN pg_class c ON c.oid = t.typrelid "
    // rows of tables, arrays and multiranges come with what they are of
    "LEFT JOIN pg_type of ON of.oid = t.typelem AND of.typarray = t.oid "
    "WHERE t.typtype <> 'm' AND of.oid IS NULL AND (c.oid IS NULL OR c.relkind = 'c') "
    "AND n.nspname !~ '^(pg_toast|pg_temp|information_schema$)' AND (" SQL_USER_SCHEMA " OR t.typacl IS NOT NULL)";

// comments on the columns of composite types; pg_type's own stand with the type
static const char type_columns[] =
    "SELECT 'comment', 'column ' || " SQL_NAME("c.relname") " || '.' || quote_ident(a.attname), "
    "d.description FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    SQL_MEMBER("pg_type", "c") " JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_description d ON "
    "d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = a.attnum "
    "WHERE c.relkind = 'c' AND " SQL_USER_SCHEMA;

// not its version: that is the operating system's
static const char collations[] =
    "SELECT 'collation' AS kind, " SQL_NAME("c.collname") " AS name, concat_ws(', ', "
    "'provider ' || c.collprovider::text, 'collate ' || c.collcollate, 'ctype ' || c.collctype, "
    "'locale ' || coalesce(to_jsonb(c)->>'colliculocale', to_jsonb(c)->>'colllocale'), "
    "'rules ' || (to_jsonb(c)->>'collicurules'), "
    "CASE WHEN to_jsonb(c)->>'collisdeterministic' = 'false' THEN 'not deterministic' END) "
    "AS value, " OBJECT("pg_collation", "c.oid", "c.collowner")
    IN_SCHEMA("pg_collation", "c", "c.collnamespace")
    "AND c.collencoding IN (-1, (SELECT encoding FROM pg_database "
    "WHERE datname = current_database()))";

static const char conversions[] =
    "SELECT 'conversion' AS kind, " SQL_NAME("c.conname") " AS name, concat_ws(' ', "
    "pg_encoding_to_char(c.conforencoding), 'to', pg_encoding_to_char(c.contoencoding), 'by', "
    "c.conproc, CASE WHEN c.condefault THEN 'default' END) AS value, "
    OBJECT("pg_conversion", "c.oid", "c.conowner")
    IN_SCHEMA("pg_conversion", "c", "c.connamespace");

// Shell operators, which only are somebody's commutator, are not dumped.
static const char operators[] =
    "SELECT 'operator' AS kind, o.oid::regoperator::text AS name, concat_ws(', ', "
    "'function ' || o.oprcode, 'result ' || format_type(o.oprresult, NULL), "
    "CASE o.oprcom WHEN 0 THEN NULL ELSE 'commutator ' || o.oprcom::regoperator END, "
    "CASE o.oprnegate WHEN 0 THEN NULL ELSE 'negator ' || o.oprnegate::regoperator END, "
    "nullif('restrict ' || o.oprrest, 'restrict -'), nullif('join ' || o.oprjoin, 'join -'), "
    "CASE WHEN o.oprcanhash THEN 'hashes' END, CASE WHEN o.oprcanmerge THEN 'merges' END) AS value, "
    OBJECT("pg_operator", "o.oid", "o.oprowner")
    IN_SCHEMA("pg_operator", "o", "o.oprnamespace") "AND o.oprcode <> 0";

static const char operator_classes[] =
    "SELECT 'operator_class' AS kind, " SQL_NAME("o.opcname") " || ' using ' || m.amname AS name, "
    "concat_ws(', ', CASE WHEN o.opcdefault THEN 'default' END, 'for ' || "
    "format_type(o.opcintype, NULL), CASE o.opckeytype WHEN 0 THEN NULL ELSE 'storage ' || "
    "format_type(o.opckeytype, NULL) END, 'family ' || (SELECT quote_ident(fn.nspname) || '.' || "
    "quote_ident(f.opfname) FROM pg_opfamily f JOIN pg_namespace fn ON fn.oid = f.opfnamespace "
    "WHERE f.oid = o.opcfamily)) AS value, " OBJECT("pg_opclass", "o.oid", "o.opcowner")
    " FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod "
    "JOIN pg_namespace n ON n.oid = o.opcnamespace " SQL_MEMBER("pg_opclass", "o")
    " WHERE " SQL_OWN;

static const char operator_families[] =
    "SELECT 'operator_family' AS kind, " SQL_NAME("f.opfname") " || ' using ' || m.amname AS name, "
    "coalesce((SELECT string_agg(x.what, ', ' ORDER BY x.what) FROM (SELECT 'operator ' || "
    "a.amopstrategy || ' ' || a.amopopr::regoperator || CASE a.amoppurpose WHEN 'o' THEN "
    "' for order' ELSE '' END AS what FROM pg_amop a WHERE a.amopfamily = f.oid UNION ALL SELECT "
    "'function ' || p.amprocnum || ' (' || format_type(p.amproclefttype, NULL) || ', ' || "
    "format_type(p.amprocrighttype, NULL) || ') ' || p.amproc::regprocedure FROM pg_amproc p "
    "WHERE p.amprocfamily = f.oid) x), '') AS value, "
    OBJECT("pg_opfamily", "f.oid", "f.opfowner")
    " FROM pg_opfamily f JOIN pg_am m ON m.oid = f.opfmethod "
    "JOIN pg_namespace n ON n.oid = f.opfnamespace " SQL_MEMBER("pg_opfamily", "f")
    " WHERE " SQL_OWN;

static const char casts[] =
    "SELECT 'cast' AS kind, format_type(c.castsource, NULL) || ' as ' || "
    "format_type(c.casttarget, NULL) AS name, concat_ws(', ', CASE c.castcontext WHEN 'i' THEN "
    "'implicit' WHEN 'a' THEN 'assignment' ELSE 'explicit' END, CASE c.castmethod WHEN 'f' THEN "
    "'function ' || c.castfunc::regprocedure WHEN 'i' THEN 'inout' ELSE 'binary' END) AS value, "
    OBJECT("pg_cast", "c.oid", "0::oid") NOT_IN_SCHEMA("pg_cast", "c")
    // a range's cast to its multirange comes with the range
    "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass AND "
    "d.objid = c.oid AND d.deptype = 'i')";

static const char transforms[] =
    "SELECT 'transform' AS kind, format_type(t.trftype, NULL) || ' for ' || (SELECT "
    "quote_ident(l.lanname) FROM pg_language l WHERE l.oid = t.trflang) AS name, "
    "'from ' || t.trffromsql::oid::regprocedure || ' to ' || t.trftosql::oid::regprocedure AS value, "
    OBJECT("pg_transform", "t.oid", "0::oid") NOT_IN_SCHEMA("pg_transform", "t");

static const char access_methods[] =
    "SELECT 'access_method' AS kind, quote_ident(a.amname) AS name, a.amtype::text || ' ' || a.amhandler "
    "AS value, " OBJECT("pg_am", "a.oid", "0::oid") NOT_IN_SCHEMA("pg_am", "a");
// clang-format on

const struct facts_query facts_of_types[] = {
    {.sql = types},
    {.plain = true, .sql = type_columns},
    {.sql = collations},
    {.sql = conversions},
    {.sql = operators},
    {.sql = operator_classes},
    {.sql = operator_families},
    {.sql = casts},
    {.sql = transforms},
    {.sql = access_methods},
    {0},
};
