// What is not compared at all, and which facts belong to some tables.
#include "tools/pg/compare_internal.h"

#include <string.h>

const char *compare_after_dot(const char *name)
{
    for (bool quoted = false; *name; name++) {
        if (*name == '"')
            quoted = !quoted;
        else if (*name == '.' && !quoted)
            return name + 1;
    }
    return name;
}

bool compare_leaves_out(const char *kind, const char *name, const struct compare_options *o)
{
    static const char *const privileges[] = {"grant", "default_grant", NULL};
    static const char *const subscriptions[] = {"subscription", "subscription_slot", NULL};
    if (o->no_owner && strcmp(kind, "owner") == 0)
        return true;
    if (o->no_privileges && is_kind(kind, privileges))
        return true;
    if (o->no_subscriptions && (is_kind(kind, subscriptions) || begins(name, "subscription ")))
        return true;
    if (o->no_event_triggers &&
        (strcmp(kind, "event_trigger") == 0 || begins(name, "event trigger ")))
        return true;
    if (!o->no_database)
        return false;
    if (strcmp(kind, "comment") == 0)
        return strcmp(name, "database") == 0;
    return strcmp(kind, "database") == 0 &&
           (begins(name, "setting ") || strcmp(name, "connection_limit") == 0);
}

// The first that a word begins with. One that nobody knows leaves out whatever it likes.
unsigned compare_left_out(const char *dump_options)
{
    static const struct {
        const char *word;
        unsigned leaves;
    } options[] = {
        {"--no-sync", 0},
        {"--no-password", 0},
        {"--no-toast-compression", 0},
        {"--no-table-access-method", 0},
        {"--no-statistics", 0},
        {"--no-owner", LEFT_OUT_OWNERS},
        {"-O", LEFT_OUT_OWNERS},
        {"--no-privileges", LEFT_OUT_GRANTS},
        {"--no-acl", LEFT_OUT_GRANTS},
        {"-x", LEFT_OUT_GRANTS},
        {"--no-comments", LEFT_OUT_COMMENTS},
        {"--no-blobs", LEFT_OUT_LARGE_OBJECTS},
        {"--no-large-objects", LEFT_OUT_LARGE_OBJECTS},
        {"-B", LEFT_OUT_LARGE_OBJECTS},
        {"--no-publications", LEFT_OUT_PUBLICATIONS},
        {"--no-subscriptions", LEFT_OUT_SUBSCRIPTIONS},
        {"--no-security-labels", LEFT_OUT_LABELS},
        {"--no-tablespaces", LEFT_OUT_TABLESPACES},
        {"--no-unlogged-table-data", LEFT_OUT_ROWS},
        {"--exclude-table-data", LEFT_OUT_ROWS},
        {"--schema-only", LEFT_OUT_ROWS | LEFT_OUT_LARGE_OBJECTS},
        {"--no-data", LEFT_OUT_ROWS | LEFT_OUT_LARGE_OBJECTS},
        {"-s", LEFT_OUT_ROWS | LEFT_OUT_LARGE_OBJECTS},
        {"-n", LEFT_OUT_ANY},
        {"-N", LEFT_OUT_ANY},
        {"-t", LEFT_OUT_ANY},
        {"-T", LEFT_OUT_ANY},
        {"-e", LEFT_OUT_ANY},
        {"-a", LEFT_OUT_ANY},
        {"--schema", LEFT_OUT_ANY},
        {"--exclude", LEFT_OUT_ANY},
        {"--table", LEFT_OUT_ANY},
        {"--no-", LEFT_OUT_ANY},
        {"--section", LEFT_OUT_ANY},
        {"--data-only", LEFT_OUT_ANY},
        {"--extension", LEFT_OUT_ANY},
        {"--filter", LEFT_OUT_ANY},
    };
    unsigned leaves = 0;
    for (const char *word = dump_options; *word; word += strcspn(word, " \t")) {
        word += strspn(word, " \t");
        size_t i = 0, count = sizeof(options) / sizeof(options[0]);
        while (i < count && !begins(word, options[i].word))
            i++;
        if (i < count)
            leaves |= options[i].leaves;
        // short ones may stand together: what is behind the first is not read
        if (i < count && word[1] != '-' && strcspn(word, " \t") > 2)
            leaves |= LEFT_OUT_ANY;
    }
    return leaves;
}

bool compare_may_lack(const char *kind, const char *name, const struct compare_options *o)
{
    static const struct {
        const char *kind;
        unsigned with;
    } kinds[] = {
        {"owner", LEFT_OUT_OWNERS},
        {"grant", LEFT_OUT_GRANTS},
        {"default_grant", LEFT_OUT_GRANTS},
        {"comment", LEFT_OUT_COMMENTS},
        {"rows", LEFT_OUT_ROWS},
        {"unlogged", LEFT_OUT_ROWS},
        {"sequence_value", LEFT_OUT_ROWS},
        {"check", LEFT_OUT_ROWS},
        {"migration", LEFT_OUT_ROWS},
        {"large_objects", LEFT_OUT_LARGE_OBJECTS},
        {"publication", LEFT_OUT_PUBLICATIONS},
        {"publication_table", LEFT_OUT_PUBLICATIONS},
        {"publication_schema", LEFT_OUT_PUBLICATIONS},
        {"subscription", LEFT_OUT_SUBSCRIPTIONS},
        {"security_label", LEFT_OUT_LABELS},
        {"tablespace", LEFT_OUT_TABLESPACES},
    };
    static const struct {
        const char *begin;
        unsigned with;
    } said_of[] = {
        {"large object", LEFT_OUT_LARGE_OBJECTS},
        {"publication ", LEFT_OUT_PUBLICATIONS},
        {"subscription ", LEFT_OUT_SUBSCRIPTIONS},
    };
    unsigned with = LEFT_OUT_ANY;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kind, kinds[i].kind) == 0)
            with |= kinds[i].with;
    bool is_said = strcmp(kind, "owner") == 0 || strcmp(kind, "grant") == 0 ||
                   strcmp(kind, "comment") == 0;
    for (size_t i = 0; is_said && i < sizeof(said_of) / sizeof(said_of[0]); i++)
        if (begins(name, said_of[i].begin))
            with |= said_of[i].with;
    return (o->dump_left_out & with) != 0;
}

// A name without its quotes: what a person types for it.
static void unquote(const char *name, size_t len, char *out, size_t room)
{
    size_t n = 0;
    bool quoted = false;
    for (size_t i = 0; i < len && n + 1 < room; i++) {
        if (name[i] == '"' && quoted && i + 1 < len && name[i + 1] == '"')
            i++;
        else if (name[i] == '"') {
            quoted = !quoted;
            continue;
        }
        out[n++] = name[i];
    }
    out[n] = '\0';
}

// "orders", "public.orders", "Weird" and "\"Weird\"" name the table at the beginning of `name` (SCHEMA.TABLE or SCHEMA.TABLE.PART).
static bool names_table(const char *given, const char *name)
{
    char plain[3][512]; // three names of 63 bytes, quoted
    const char *table = compare_after_dot(name), *end = compare_after_dot(table);
    size_t len = (size_t)(end - name) - (*end || (end > name && end[-1] == '.') ? 1 : 0);
    unquote(given, strlen(given), plain[0], sizeof(plain[0]));
    unquote(name, len, plain[1], sizeof(plain[1]));
    unquote(table, len - (size_t)(table - name), plain[2], sizeof(plain[2]));
    for (int i = 1; i < 3; i++)
        if (strcmp(plain[0], plain[i]) == 0 || strcmp(given, plain[i]) == 0)
            return true;
    return false;
}

bool compare_wants(const char *kind, const char *name, const struct compare_options *o)
{
    static const char *const kinds[] = {"table",         "column", "rows",       "unlogged",
                                        "rows_estimate", "rule",   "constraint", "trigger",
                                        "rows_skipped",  "policy", NULL};
    if (!o->tables)
        return true;
    if (!is_kind(kind, kinds))
        return false;
    for (const char *const *t = o->tables; *t; t++)
        if (names_table(*t, name))
            return true;
    return false;
}
