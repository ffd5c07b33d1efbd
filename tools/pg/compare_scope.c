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

bool compare_is_filtered(const char *dump_options)
{
    static const char *const left_out[] = {
        "-n",      "-N",    "-t",        "-T",          "-e",          "-s",       "-a",
        "-O",      "-x",    "-B",        "--schema",    "--exclude", //
        "--table", "--no-", "--section", "--data-only", "--extension", "--filter", NULL};
    static const char *const harmless[] = {"--no-sync", "--no-password", NULL};
    for (const char *word = dump_options; *word; word += strcspn(word, " \t")) {
        word += strspn(word, " \t");
        bool leaves = false, harms = true;
        for (const char *const *w = left_out; *w; w++)
            leaves |= begins(word, *w);
        for (const char *const *w = harmless; *w; w++)
            harms &= !begins(word, *w);
        if (leaves && harms)
            return true;
    }
    return false;
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
                                        "policy",        NULL};
    if (!o->tables)
        return true;
    if (!is_kind(kind, kinds))
        return false;
    for (const char *const *t = o->tables; *t; t++)
        if (names_table(*t, name))
            return true;
    return false;
}
