// What is the same, what is a note and what is a failure; by facts written down here.
#include "tools/pg/compare.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// "KIND|NAME|VALUE" each, NULL at the end
static struct facts facts_of(const char *const *lines)
{
    struct facts f = {0};
    for (; *lines; lines++) {
        char copy[512];
        snprintf(copy, sizeof(copy), "%s", *lines);
        char *name = strchr(copy, '|'), *value = strchr(name + 1, '|');
        *name++ = *value++ = '\0';
        assert_int_equal(facts_add(&f, copy, name, value, NULL), 0);
    }
    facts_sort(&f);
    return f;
}

#define LIST(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__ __VA_OPT__(, ) NULL                                                            \
    }
static const struct compare_options same_version = {.version_then = 150020, .version_now = 150003};

// `wanted`: "FAIL text" or "NOTE text", in order
static void says(const char *const *then, const char *const *now, const struct compare_options *o,
                 const char *const *wanted)
{
    struct facts a = facts_of(then), b = facts_of(now);
    struct comparison c = {0};
    struct err err = {0};
    if (compare_facts(&a, &b, o, &c, &err) != 0)
        fail_msg("%s", err.text);
    size_t failures = 0;
    for (size_t i = 0; i < c.count; i++) {
        char line[1024];
        bool fail = c.list[i].level == DIFFERENCE_FAIL;
        failures += fail;
        snprintf(line, sizeof(line), "%s %s", fail ? "FAIL" : "NOTE", c.list[i].text);
        if (!wanted[i])
            fail_msg("more than wanted: %s", line);
        assert_string_equal(line, wanted[i]);
    }
    if (wanted[c.count])
        fail_msg("not said: %s", wanted[c.count]);
    assert_int_equal(c.failures, failures);
    comparison_done(&c);
    facts_done(&a);
    facts_done(&b);
}

static void plain(void **state)
{
    (void)state;
    says(LIST("table|public.a|", "index|public.i|x"), LIST("table|public.a|", "index|public.i|x"),
         &same_version, LIST());
    says(LIST("column|public.orders.total|numeric(12,2)"),
         LIST("column|public.orders.total|numeric(10,2)"), &same_version,
         LIST("FAIL column public.orders.total: numeric(10,2), was numeric(12,2)"));
    says(LIST("materialized_view|public.m|select 1"), LIST(), &same_version,
         LIST("FAIL materialized view public.m: missing, was select 1"));
    says(LIST("table|public.a|"), LIST("table|public.a|unlogged", "table|public.b|"), &same_version,
         LIST("FAIL table public.a: unlogged, was (empty)",
              "FAIL table public.b: not in the backup"));
}

static void sequences(void **state)
{
    (void)state;
    static const struct {
        const char *then, *now, *said;
    } cases[] = {
        {"17", "17", NULL},
        {"17..20", "17", NULL},
        {"17..20", "20", NULL},
        {"17..20", "18", NULL},
        {"1 (unused)..20", "1 (unused)", NULL},
        {"1 (unused)..20", "1", NULL},
        {"17", "18", "FAIL sequence value s: 18, was 17"},
        {"9 (unused)", "9", "FAIL sequence value s: 9, was 9 (unused)"},
        {"17..20", "16", "FAIL sequence value s: 16, was 17..20 while the dump was made"},
        {"17..20", "21", "FAIL sequence value s: 21, was 17..20 while the dump was made"},
        {"-17..-20", "-18", NULL}, // counts down
        {"20..3", "2",
         "NOTE sequence value s: 2, was 20..3 while the dump was made (it went back)"},
        {"9223372036854775806..9223372036854775807", "9223372036854775805",
         "FAIL sequence value s: 9223372036854775805, was "
         "9223372036854775806..9223372036854775807 while the dump was made"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char then[128], now[128];
        snprintf(then, sizeof(then), "sequence_value|s|%s", cases[i].then);
        snprintf(now, sizeof(now), "sequence_value|s|%s", cases[i].now);
        says(LIST(then), LIST(now), &same_version, LIST(cases[i].said));
    }
    // one that cannot be read on one side says nothing; one that is gone is told by its definition
    says(LIST("sequence|s|bigint", "sequence_value|s|1"), LIST(), &same_version,
         LIST("FAIL sequence s: missing, was bigint"));
    struct facts a = facts_of(LIST("sequence_value|s|seven")),
                 b = facts_of(LIST("sequence_value|s|7"));
    struct comparison c = {0};
    assert_int_equal(compare_facts(&a, &b, &same_version, &c, NULL), -EUCLEAN);
    facts_done(&a);
    facts_done(&b);
}

static void counts(void **state)
{
    (void)state;
    says(LIST("rows|public.orders|1000"), LIST("rows|public.orders|999"), &same_version,
         LIST("FAIL rows public.orders: 999, was 1000"));
    says(LIST("materialized_view|m|x", "rows|m|3"), LIST("materialized_view|m|x", "rows|m|4"),
         &same_version,
         LIST("NOTE rows m: 4, was 3 (refreshed by the restore: it was stale in the backup)"));
    says(LIST("rows|t|3"), LIST("rows_skipped|t|no permission"), &same_version,
         LIST("NOTE rows t: not counted (no permission), 3 in the backup"));
    says(LIST("rows_skipped|t|ended"), LIST("rows|t|3"), &same_version,
         LIST("NOTE rows t: not counted in the backup (ended), now 3"));
    says(LIST("rows_skipped|all|it failed"), LIST("rows|t|3"), &same_version,
         LIST("NOTE rows all: not counted in the backup (it failed)"));
    says(LIST("rows|t|3"), LIST("rows|t|3", "rows_skipped|u|locked"), &same_version, LIST());
    says(LIST("table|t|", "rows|t|3"), LIST("table|t|"), &same_version,
         LIST("FAIL rows t: none can be counted, was 3"));
    says(LIST("table|t|unlogged", "unlogged|t|3"), LIST("table|t|", "rows|t|3"), &same_version,
         LIST("FAIL table t: (empty), was unlogged"));
    says(LIST("rows_estimate|s|3000", "rows_estimate|t|3000", "rows_estimate|u|3000",
              "rows_estimate|v|0"),
         LIST("rows|s|7", "rows|t|2000", "rows|u|0", "rows|v|0"), &same_version,
         LIST("NOTE rows s: 7, about 3000 by the estimate in the backup",
              "NOTE rows u: none, about 3000 by the estimate in the backup"));
    says(LIST("large_objects|count|3", "large_objects|bytes|100"), LIST("large_objects|count|3"),
         &same_version, LIST());
    says(LIST("large_objects|count|3"), LIST("large_objects|count|2"), &same_version,
         LIST("FAIL large objects count: 2, was 3"));
    says(LIST("check|orders|7"), LIST("check|orders|8"), &same_version,
         LIST("FAIL check orders: 8, was 7"));
    says(LIST("check|orders|7"), LIST(), &same_version,
         LIST("FAIL check orders: no answer, was 7"));
}

static void one_line_for_what_is_gone(void **state)
{
    (void)state;
    says(LIST("table|public.t|", "column|public.t.a|int", "rows|public.t|3",
              "owner|table public.t|me", "comment|table public.t|x",
              "grant|table public.t to \"a to b\"|SELECT", "constraint|public.t.c|CHECK",
              "column|public.tt.a|int", "table|public.tt|", "text_search_dictionary|public.d|x",
              "owner|text search dictionary public.d|me"),
         LIST("column|public.tt.a|int", "table|public.tt|"), &same_version,
         LIST("FAIL table public.t: missing",
              "FAIL text search dictionary public.d: missing, was x"));
    says(LIST("owner|table public.t|me", "table|public.t|"), LIST("table|public.t|"), &same_version,
         LIST("FAIL owner table public.t: missing, was me"));
}

static void what_cannot_be_helped(void **state)
{
    (void)state;
    const struct compare_options other = {.version_then = 140010, .version_now = 150003};
    says(LIST("view|v|select 1", "view|w|select 2", "rows|t|1", "owner|view v|a"),
         LIST("view|v|select  1", "rows|t|2", "owner|view v|b"), &other,
         LIST("FAIL owner view v: b, was a", "FAIL rows t: 2, was 1",
              "NOTE view v: select  1, was select 1 (another version of PostgreSQL)",
              "FAIL view w: missing, was select 2"));
    says(LIST("owner|schema public|postgres"),
         LIST("owner|schema public|pg_database_owner", "database|provider|c"), &other,
         LIST("NOTE database provider: not in the backup: c (another version of PostgreSQL)",
              "NOTE owner schema public: pg_database_owner, was postgres (another version of "
              "PostgreSQL)"));
    says(LIST("user_mapping|u on s|options (user=u)", "user_mapping|v on s|options (user=v)"),
         LIST("user_mapping|u on s|", "user_mapping|v on s|options (user=w)"), &same_version,
         LIST("NOTE user mapping u on s: (empty), was options (user=u) (not every role may see it)",
              "FAIL user mapping v on s: options (user=w), was options (user=v)"));
    says(LIST("index|i|invalid; CREATE INDEX i"), LIST(), &same_version,
         LIST("NOTE index i: not there; it was invalid in the backup, and a dump leaves such out"));
    says(LIST(), LIST("extension|plpgsql|schema pg_catalog", "schema|public|", "schema|other|"),
         &same_version,
         LIST("NOTE extension plpgsql: there, as in every new database, though not in the backup",
              "FAIL schema other: not in the backup",
              "NOTE schema public: there, as in every new database, though not in the backup"));
    says(LIST("extension_version|x|1.1"), LIST("extension_version|x|1.2"), &same_version,
         LIST("NOTE extension version x: 1.2, was 1.1"));
    says(LIST("function|f()|(changed while it was read)"), LIST("function|f()|x"), &same_version,
         LIST("NOTE function f(): x, was (changed while it was read)"));
}

static void left_out(void **state)
{
    (void)state;
    const char *const *all =
        LIST("owner|table t|me", "grant|table t to you|SELECT", "default_grant|x|y",
             "subscription|s|p", "owner|subscription s|me", "subscription_slot|s|s",
             "event_trigger|e|x", "comment|event trigger e|x", "database|setting work_mem|1",
             "database|connection_limit|1", "comment|database|x");
    const struct compare_options o = {.no_owner = true,
                                      .no_privileges = true,
                                      .no_subscriptions = true,
                                      .no_event_triggers = true,
                                      .no_database = true};
    says(all, LIST(), &o, LIST());
    says(LIST(), all, &o, LIST());
    says(LIST("database|encoding|UTF8"), LIST("database|encoding|LATIN1"), &o,
         LIST("FAIL database encoding: LATIN1, was UTF8"));
}

static void filtered(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        unsigned leave;
    } cases[] = {
        {"-T audit", LEFT_OUT_ANY},
        {"--jobs=2 --exclude-table-data=log", LEFT_OUT_ROWS},
        {"--exclude-table=log", LEFT_OUT_ANY},
        {"--no-comments", LEFT_OUT_COMMENTS},
        {"-v\t-n app", LEFT_OUT_ANY},
        {"-xO", LEFT_OUT_GRANTS | LEFT_OUT_ANY},
        {"-x -O", LEFT_OUT_GRANTS | LEFT_OUT_OWNERS},
        {"--no-acl --no-large-objects", LEFT_OUT_GRANTS | LEFT_OUT_LARGE_OBJECTS},
        {"-s", LEFT_OUT_ROWS | LEFT_OUT_LARGE_OBJECTS},
        {"--no-such-option", LEFT_OUT_ANY},
        {"", 0},
        {"  ", 0},
        {"-v --lock-wait-timeout=10s", 0},
        {"--no-sync", 0},
        {"--rows-per-insert 5 --inserts", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(compare_left_out(cases[i].options), cases[i].leave);
    const struct compare_options o = {.dump_left_out = LEFT_OUT_ANY};
    says(LIST("table|a.audit|", "rows|a.audit|3", "rows|a.log|7", "rows|a.t|7", "table|a.log|",
              "table|a.t|", "large_objects|count|3", "sequence_value|s|7"),
         LIST("table|a.log|", "table|a.t|", "rows|a.log|0", "rows|a.t|6", "large_objects|count|0",
              "sequence_value|s|1 (unused)"),
         &o,
         LIST("NOTE large objects count: 0, was 3 (dump_options leave things out)",
              "NOTE rows a.log: 0, was 7 (dump_options leave things out)",
              "FAIL rows a.t: 6, was 7",
              "NOTE sequence value s: 1 (unused), was 7 (dump_options leave things out)",
              "NOTE table a.audit: not there (dump_options leave things out)"));
}

// That comments are left out is no reason for a table to be.
static void filtered_of_one_sort(void **state)
{
    (void)state;
    const char *const *then = LIST("table|a.audit|", "comment|table a.t|x", "owner|table a.t|app",
                                   "rows|a.t|7", "grant|table a.t to b|SELECT");
    const char *const *now = LIST("owner|table a.t|postgres", "rows|a.t|0");
    const struct compare_options comments = {.dump_left_out = LEFT_OUT_COMMENTS};
    says(then, now, &comments,
         LIST("NOTE comment table a.t: not there (dump_options leave things out)",
              "FAIL grant table a.t to b: missing, was SELECT",
              "FAIL owner table a.t: postgres, was app", "FAIL rows a.t: 0, was 7",
              "FAIL table a.audit: missing"));
    const struct compare_options access = {.dump_left_out = LEFT_OUT_OWNERS | LEFT_OUT_GRANTS};
    says(then, now, &access,
         LIST("FAIL comment table a.t: missing, was x",
              "NOTE grant table a.t to b: not there (dump_options leave things out)",
              "NOTE owner table a.t: postgres, was app (dump_options leave things out)",
              "FAIL rows a.t: 0, was 7", "FAIL table a.audit: missing"));
}

static void only_some_tables(void **state)
{
    (void)state;
    const struct compare_options o = {
        .tables = LIST("orders", "other.items", "Weird \"table\"", "part", "\"A b\"")};
    says(LIST("table|public.orders|", "column|public.orders.id|int", "rows|public.orders|3",
              "index|public.orders_idx|x", "table|public.items|", "table|other.items|",
              "table|public.\"Weird \"\"table\"\"\"|", "column|public.\"orders.x\".a|int",
              "function|public.f()|x", "table|public.part|partition of public.whole DEFAULT",
              "column|public.part.a|int inherited", "rows|public.\"A b\"|7",
              "constraint|public.orders.fk|FOREIGN KEY", "constraint|public.orders.c|CHECK (a)"),
         LIST("table|public.orders|", "column|public.orders.id|text", "rows|public.orders|2",
              "table|public.part|", "column|public.part.a|int", "rows|public.\"A b\"|7",
              "constraint|public.orders.c|CHECK (b)"),
         &o,
         LIST("FAIL column public.orders.id: text, was int",
              "NOTE column public.part.a: int, was int inherited (only tables were restored)",
              "FAIL constraint public.orders.c: CHECK (b), was CHECK (a)",
              "NOTE constraint public.orders.fk: not there (only tables were restored)",
              "FAIL rows public.orders: 2, was 3", "FAIL table other.items: missing",
              "FAIL table public.\"Weird \"\"table\"\"\": missing",
              "NOTE table public.part: (empty), was partition of public.whole DEFAULT (only tables "
              "were restored)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),
        cmocka_unit_test(sequences),
        cmocka_unit_test(counts),
        cmocka_unit_test(one_line_for_what_is_gone),
        cmocka_unit_test(what_cannot_be_helped),
        cmocka_unit_test(left_out),
        cmocka_unit_test(filtered),
        cmocka_unit_test(filtered_of_one_sort),
        cmocka_unit_test(only_some_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
