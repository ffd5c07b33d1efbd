#include "tools/pg/compare.h"

#include "backend/base/scope.h"
#include "tools/pg/compare_internal.h"
#include "tools/pg/facts_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pair { // of one kind and name; one side may be missing
    const struct fact *then, *now;
};

static int add(struct comparison *c, enum difference_level level, struct err *err,
               const char *format, ...) __attribute__((format(printf, 4, 5)));

static int add(struct comparison *c, enum difference_level level, struct err *err,
               const char *format, ...)
{
    if (c->count == c->room) {
        size_t room = c->room ? 2 * c->room : 16;
        struct difference *list = reallocarray(c->list, room, sizeof(*list));
        if (!list)
            return err_set(err, ENOMEM, "no memory for a comparison");
        c->list = list;
        c->room = room;
    }
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        return err_set(err, ENOMEM, "no memory for a comparison");
    c->list[c->count++] = (struct difference){.level = level, .text = text};
    c->failures += level == DIFFERENCE_FAIL;
    return 0;
}

// "materialized_view" as a person says it
struct spoken {
    char text[40];
};
static struct spoken spoken(const char *kind)
{
    struct spoken s;
    snprintf(s.text, sizeof(s.text), "%s", kind);
    for (char *p = s.text; *p; p++)
        if (*p == '_')
            *p = ' ';
    return s;
}

static const char *shown(const char *value)
{
    return *value ? value : "(empty)";
}

static int differs(struct comparison *c, enum difference_level level, const struct pair *p,
                   const char *why, struct err *err)
{
    return add(c, level, err, "%s %s: %s, was %s%s", spoken(p->then->kind).text, p->then->name,
               shown(p->now->value), shown(p->then->value), why);
}

// A table that was restored without the one above it.
static bool is_of_above(const struct fact *then)
{
    static const char mark[] = " inherited";
    size_t len = strlen(then->value), room = sizeof(mark) - 1;
    if (strcmp(then->kind, "column") == 0)
        return len > room && strcmp(then->value + len - room, mark) == 0;
    return strcmp(then->kind, "table") == 0 &&
           (strstr(then->value, "partition of ") || strstr(then->value, "inherits "));
}

// --- values ---

static bool number(const char *text, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && (!*end || *end == ' ' || *end == '.');
}

// "17", "17 (unused)" and "17..20": a range holds both its ends. -EUCLEAN: none of them.
static int range(const char *value, int64_t *out_low, int64_t *out_high)
{
    const char *dots = strstr(value, "..");
    if (!number(value, out_low) || !number(dots ? dots + 2 : value, out_high))
        return -EUCLEAN;
    return 0;
}

static int compare_sequence(struct comparison *c, const struct pair *p, struct err *err)
{
    int64_t then[2], now[2];
    if (range(p->then->value, &then[0], &then[1]) != 0 ||
        range(p->now->value, &now[0], &now[1]) != 0)
        return err_set(err, EUCLEAN, "sequence %s: neither '%s' nor '%s' may be a value",
                       p->then->name, p->then->value, p->now->value);
    if (!strstr(p->then->value, "..") || strstr(p->now->value, ".."))
        return differs(c, DIFFERENCE_FAIL, p, "", err);
    bool down = then[0] > then[1]; // it counts down, began again, or was set back
    int64_t low = down ? then[1] : then[0], high = down ? then[0] : then[1];
    if (now[0] >= low && now[0] <= high)
        return 0;
    return differs(c, down ? DIFFERENCE_NOTE : DIFFERENCE_FAIL, p,
                   down ? " while the dump was made (it went back)" : " while the dump was made",
                   err);
}

static bool is_other_major(const struct compare_options *o)
{
    return o->version_then / 10000 != o->version_now / 10000;
}

static const char may_be_left_out[] = " (dump_options leave things out)";

// It is what it would be without having been dumped.
static bool is_as_new(const struct pair *p)
{
    const char *kind = p->then->kind, *now = p->now->value;
    if (strcmp(kind, "owner") == 0)
        return true; // whoever restores
    if (strcmp(kind, "sequence_value") == 0)
        return strstr(now, " (unused)") != NULL;
    return strcmp(kind, "large_objects") == 0 && strcmp(now, "0") == 0;
}

static int compare_values(struct comparison *c, const struct pair *p,
                          const struct compare_options *o, struct err *err)
{
    // counted, so the same on every version
    static const char *const data[] = {"rows",          "unlogged", "check",   "migration",
                                       "large_objects", "owner",    "comment", NULL};
    // what a restore makes of them depends on the server it is on
    static const char *const served[] = {"extension_version", "subscription_slot", "rows_estimate",
                                         NULL};
    const char *kind = p->then->kind;
    if (strcmp(p->then->value, p->now->value) == 0)
        return 0;
    if (strcmp(p->then->value, FACTS_UNKNOWN) == 0 || strcmp(p->now->value, FACTS_UNKNOWN) == 0)
        return differs(c, DIFFERENCE_NOTE, p, "", err);
    if (is_as_new(p) && compare_may_lack(kind, p->then->name, o))
        return differs(c, DIFFERENCE_NOTE, p, may_be_left_out, err);
    if (strcmp(kind, "sequence_value") == 0)
        return compare_sequence(c, p, err);
    if (is_kind(kind, served))
        return differs(c, DIFFERENCE_NOTE, p, "", err);
    // only its user, its server's owner and superusers see the options
    if (strcmp(kind, "user_mapping") == 0 && (!*p->now->value || !*p->then->value))
        return differs(c, DIFFERENCE_NOTE, p, " (not every role may see it)", err);
    if (o->tables && is_of_above(p->then))
        return differs(c, DIFFERENCE_NOTE, p, " (only tables were restored)", err);
    bool changed_hands = strcmp(p->then->name, "schema public") == 0; // with version 15
    if (is_other_major(o) && (!is_kind(kind, data) || changed_hands))
        return differs(c, DIFFERENCE_NOTE, p, " (another version of PostgreSQL)", err);
    return differs(c, DIFFERENCE_FAIL, p, "", err);
}

// --- kinds that are not compared like the others ---

struct sides {
    const struct facts *then, *now;
    const struct compare_options *options;
    struct comparison *out;
};

static int compare_estimate(const struct sides *s, const struct fact *then, struct err *err)
{
    const struct fact *now = facts_find(s->now, "rows", then->name);
    if (!now)
        now = facts_find(s->now, "unlogged", then->name);
    int64_t many = 0, about = 0;
    if (!now || !number(now->value, &many) || !number(then->value, &about) || many >= about / 2)
        return 0;
    return add(s->out, DIFFERENCE_NOTE, err, "rows %s: %s, about %s by the estimate in the backup",
               then->name, many == 0 ? "none" : now->value, then->value);
}

static bool is_gone(const struct sides *s, const char *kind, const char *name, size_t len)
{
    auto_free char *whole = strndup(name, len);
    return whole && facts_find(s->then, kind, whole) && !facts_find(s->now, kind, whole);
}

// The end of " to ROLE" is not part of an object's name.
static size_t length_without_role(const char *name)
{
    size_t len = strlen(name);
    bool quoted = false;
    for (const char *p = name; *p; p++) {
        quoted ^= *p == '"';
        if (!quoted && begins(p, " to "))
            len = (size_t)(p - name);
    }
    return len;
}

// Facts of parts, and what is said of an object, tell nothing new once the object is gone: "table public.orders: missing"
// is enough.
static bool is_of_missing(const struct sides *s, const struct fact *then)
{
    static const char *const parts[] = {"column", "constraint", "trigger",  "rule",
                                        "policy", "rows",       "unlogged", NULL};
    static const char *const wholes[] = {"table", "foreign_table",     "view",
                                         "type",  "materialized_view", NULL};
    static const char *const said[] = {"owner", "comment", "grant", "tablespace", NULL};
    if (is_kind(then->kind, parts)) {
        const char *end = compare_after_dot(compare_after_dot(then->name));
        size_t len = (size_t)(end - then->name) - (*end ? 1 : 0);
        for (const char *const *kind = wholes; *kind; kind++)
            if (is_gone(s, *kind, then->name, len))
                return true;
    }
    if (!is_kind(then->kind, said))
        return false;
    size_t len = strcmp(then->kind, "grant") == 0 ? length_without_role(then->name)
                                                  : strlen(then->name);
    // "materialized view public.totals": a kind has at most three words
    char kind[40] = "";
    for (size_t i = 0, words = 0; i < len && i + 1 < sizeof(kind) && words < 3; i++) {
        bool blank = then->name[i] == ' ';
        if (blank && is_gone(s, kind, then->name + i + 1, len - i - 1))
            return true;
        words += blank;
        kind[i] = blank ? '_' : then->name[i];
        kind[i + 1] = '\0';
    }
    return false;
}

static bool is_matview(const struct facts *f, const char *name)
{
    return facts_find(f, "materialized_view", name) != NULL;
}

// Nobody knows how many there were: that what is there now is all of it is not proved.
static int compare_skipped(const struct sides *s, const struct pair *p, struct err *err)
{
    const struct fact *now = facts_find(s->now, "rows", p->then->name);
    if (!now)
        now = facts_find(s->now, "unlogged", p->then->name);
    if (!now && !p->now && strcmp(p->then->name, "all") != 0)
        return 0; // it is gone: its definition tells
    return add(s->out, DIFFERENCE_NOTE, err, "rows %s: not counted in the backup (%s)%s%s",
               p->then->name, p->then->value, now ? ", now " : "", now ? now->value : "");
}

// Counts: exact ones must be the same; a materialized view is filled anew by a restore.
static int compare_rows(const struct sides *s, const struct pair *given, struct err *err)
{
    struct pair p = *given;
    const char *name = p.then->name, *kind = p.then->kind;
    if (!p.now) // a table that is unlogged on one side only: its definition tells
        p.now = facts_find(s->now, strcmp(p.then->kind, "rows") == 0 ? "unlogged" : "rows", name);
    const struct fact *skipped = p.now ? NULL : facts_find(s->now, "rows_skipped", name);
    if (skipped)
        return add(s->out, DIFFERENCE_NOTE, err, "%s %s: not counted (%s), %s in the backup", kind,
                   name, skipped->value, p.then->value);
    if (!p.now) {
        // an unpopulated materialized view says so by its definition
        if (is_matview(s->now, name) || is_of_missing(s, p.then))
            return 0;
        return add(s->out, DIFFERENCE_FAIL, err, "%s %s: none can be counted, was %s", kind, name,
                   p.then->value);
    }
    if (strcmp(p.then->value, p.now->value) == 0)
        return 0;
    if (is_matview(s->then, name))
        return differs(s->out, DIFFERENCE_NOTE, &p,
                       " (refreshed by the restore: it was stale in the backup)", err);
    if (strcmp(p.now->value, "0") == 0 && compare_may_lack(kind, name, s->options))
        return differs(s->out, DIFFERENCE_NOTE, &p, may_be_left_out, err);
    return differs(s->out, DIFFERENCE_FAIL, &p, "", err);
}

static int compare_missing(const struct sides *s, const struct fact *then, struct err *err)
{
    static const char *const counted[] = {"sequence_value", "extension_version",
                                          "subscription_slot", NULL};
    // they may need what was left out
    static const char *const others[] = {"constraint", "trigger", "rule", "policy", NULL};
    if (is_kind(then->kind, counted) || is_of_missing(s, then))
        return 0;
    // nobody but a superuser may see their pages
    if (strcmp(then->kind, "large_objects") == 0 && strcmp(then->name, "count") != 0)
        return 0;
    if (strcmp(then->kind, "index") == 0 && begins(then->value, "invalid; "))
        return add(s->out, DIFFERENCE_NOTE, err,
                   "index %s: not there; it was invalid in the backup, and a dump leaves such out",
                   then->name);
    if (s->options->tables && is_kind(then->kind, others))
        return add(s->out, DIFFERENCE_NOTE, err, "%s %s: not there (only tables were restored)",
                   spoken(then->kind).text, then->name);
    if (compare_may_lack(then->kind, then->name, s->options))
        return add(s->out, DIFFERENCE_NOTE, err, "%s %s: not there%s", spoken(then->kind).text,
                   then->name, may_be_left_out);
    if (strcmp(then->kind, "check") == 0 || strcmp(then->kind, "migration") == 0)
        return add(s->out, DIFFERENCE_FAIL, err, "%s %s: no answer, was %s",
                   spoken(then->kind).text, then->name, shown(then->value));
    return add(s->out, DIFFERENCE_FAIL, err, "%s %s: missing%s%s", spoken(then->kind).text,
               then->name, *then->value ? ", was " : "", then->value);
}

// What template0 has, whether or not the backed up database still had it.
static bool comes_with_template0(const struct fact *now)
{
    static const char *const kinds[] = {"extension", "schema", "owner", "comment", "grant", NULL};
    static const char *const names[] = {"plpgsql",           "public",           "schema public",
                                        "extension plpgsql", "schema public to", NULL};
    if (!is_kind(now->kind, kinds))
        return false;
    for (const char *const *n = names; *n; n++)
        if (strcmp(now->name, *n) == 0 || (begins(*n, "schema public to") && begins(now->name, *n)))
            return true;
    return false;
}

static int compare_extra(const struct sides *s, const struct fact *now, struct err *err)
{
    static const char *const counted[] = {"sequence_value",
                                          "rows",
                                          "unlogged",
                                          "rows_skipped",
                                          "rows_estimate",
                                          "large_objects",
                                          "migration",
                                          "check",
                                          "extension_version",
                                          "subscription_slot",
                                          NULL};
    if (is_kind(now->kind, counted))
        return 0;
    if (comes_with_template0(now))
        return add(s->out, DIFFERENCE_NOTE, err,
                   "%s %s: there, as in every new database, though not in the backup",
                   spoken(now->kind).text, now->name);
    // a newer version has properties and grants of its own
    bool other = is_other_major(s->options);
    return add(s->out, other ? DIFFERENCE_NOTE : DIFFERENCE_FAIL, err,
               "%s %s: not in the backup%s%s%s", spoken(now->kind).text, now->name,
               *now->value ? ": " : "", now->value,
               other ? " (another version of PostgreSQL)" : "");
}

static int compare_pair(const struct sides *s, const struct pair *p, struct err *err)
{
    const struct fact *any = p->then ? p->then : p->now;
    assert(any);
    if (compare_leaves_out(any->kind, any->name, s->options) ||
        !compare_wants(any->kind, any->name, s->options))
        return 0;
    s->out->compared += p->then != NULL;
    if (!p->then)
        return compare_extra(s, p->now, err);
    if (strcmp(any->kind, "rows") == 0 || strcmp(any->kind, "unlogged") == 0)
        return compare_rows(s, p, err);
    if (strcmp(any->kind, "rows_skipped") == 0)
        return compare_skipped(s, p, err);
    if (strcmp(any->kind, "rows_estimate") == 0)
        return compare_estimate(s, p->then, err);
    if (!p->now)
        return compare_missing(s, p->then, err);
    return compare_values(s->out, p, s->options, err);
}

static int order_of(const struct fact *a, const struct fact *b)
{
    int order = strcmp(a->kind, b->kind);
    return order != 0 ? order : strcmp(a->name, b->name);
}

int compare_facts(const struct facts *then, const struct facts *now,
                  const struct compare_options *options, struct comparison *out, struct err *err)
{
    struct comparison c = {0};
    const struct sides s = {.then = then, .now = now, .options = options, .out = &c};
    int rc = 0;
    for (size_t i = 0, k = 0; rc == 0 && (i < then->count || k < now->count);) {
        struct pair p = {.then = i < then->count ? &then->list[i] : NULL,
                         .now = k < now->count ? &now->list[k] : NULL};
        int order = !p.now ? -1 : !p.then ? 1 : order_of(p.then, p.now);
        if (order < 0)
            p.now = NULL;
        if (order > 0)
            p.then = NULL;
        rc = compare_pair(&s, &p, err);
        i += p.then != NULL;
        k += p.now != NULL;
    }
    if (rc != 0) {
        comparison_done(&c);
        return rc;
    }
    *out = c;
    return 0;
}

void comparison_done(struct comparison *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->list[i].text);
    free(c->list);
    *c = (struct comparison){0};
}
