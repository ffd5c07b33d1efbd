// Inside the room: queries that become facts.
#pragma once

#include "tools/pg/facts.h"

// A value that changed or went away while it was read (definitions are looked up as of now, not as of the snapshot): it
// cannot be compared.
#define FACTS_UNKNOWN "(changed while it was read)"

// One kind of object. `sql` gives: kind, name, value, owner (oid, 0: none), acl, base (what acl is held against), classid,
// objid, sub, own (false: only its grants are ours, as of what an extension or initdb made). `plain` sql gives kind, name
// and value alone.
struct facts_query {
    int since; // server version it needs, 0: any
    bool plain;
    const char *sql;
};
extern const struct facts_query facts_of_relations[], facts_of_relation_parts[], facts_of_types[],
    facts_of_code[], facts_of_access[], facts_of_the_rest[];

// Rows of kind, name, value. A NULL value is FACTS_UNKNOWN. Long ones are shortened.
int facts_add_rows(struct facts *, const struct pg_rows *, struct err *err);
int facts_add_shortened(struct facts *, const char *kind, const char *name, const char *value,
                        struct err *err);

// Savepoints where a transaction is open, a read-only transaction of its own where none is. What `end` leaves behind is
// nothing: locks and settings go too.
int facts_inner_begin(struct pg *, bool *out_own, struct err *err);
int facts_inner_end(struct pg *, bool own, struct err *err);

// The pieces of SQL that many kinds share. `c`, `n`: aliases of the object and its schema; `e` is set where an extension
// owns it, `i` is how its grants began.
#define SQL_USER_SCHEMA "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
#define SQL_MEMBER(catalog, alias)                                                                 \
    " LEFT JOIN pg_depend e ON e.classid = '" catalog "'::regclass AND e.objid = " alias           \
    ".oid AND e.objsubid = 0 AND e.deptype = 'e' "
#define SQL_INIT(catalog, alias, sub)                                                              \
    " LEFT JOIN pg_init_privs i ON i.classoid = '" catalog "'::regclass AND i.objoid = " alias     \
    ".oid AND i.objsubid = " sub " "
#define SQL_BASE(type, owner)                                                                      \
    "CASE WHEN i.privtype = 'e' OR n.nspname = 'pg_catalog' "                                      \
    "THEN coalesce(i.initprivs, acldefault('" type "', " owner ")) "                               \
    "ELSE acldefault('" type "', " owner ") END"
#define SQL_OWN "(" SQL_USER_SCHEMA " AND e.objid IS NULL)"
#define SQL_NAME(name) "quote_ident(n.nspname) || '.' || quote_ident(" name ")"
#define SQL_NO_ACL " NULL::aclitem[] AS acl, NULL::aclitem[] AS base, "
// Options of foreign things and relations, without what may hold a password.
#define SQL_OPTIONS(list)                                                                          \
    "(SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(" list ") o WHERE o !~* "                  \
    "'^[^=]*(pass|secret|token|credential|private|api_?key|access_?key)' AND o !~* "               \
    "'pass(word|wd|phrase)?[[:space:]]*=' AND o !~ '://[^/@]*:[^/@]*@')"
