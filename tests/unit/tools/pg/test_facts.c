// The list of facts: order, finding, and how long values are shortened.
#include "tools/pg/facts.h"
#include "tools/pg/facts_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void sorted(void **state)
{
    (void)state;
    struct facts f = {0};
    for (int i = 0; i < 1000; i++) {
        char name[32], value[32];
        snprintf(name, sizeof(name), "public.t%d", (i * 7919) % 1000);
        snprintf(value, sizeof(value), "%d", (i * 7919) % 1000);
        assert_int_equal(facts_add(&f, i % 2 ? "table" : "rows", name, value, NULL), 0);
    }
    assert_int_equal(facts_add(&f, "view", "v", "x", NULL), 0);
    facts_sort(&f);
    for (size_t i = 1; i < f.count; i++)
        assert_true(strcmp(f.list[i - 1].kind, f.list[i].kind) <= 0);
    size_t found = 0;
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "public.t%d", i);
        const struct fact *table = facts_find(&f, "table", name),
                          *rows = facts_find(&f, "rows", name);
        found += (table ? 1U : 0U) + (rows ? 1U : 0U);
        if (table)
            assert_int_equal(atoi(table->value), i);
    }
    assert_int_equal(found, 1000);
    assert_null(facts_find(&f, "view", "w"));
    assert_null(facts_find(&f, "aggregate", "v"));
    assert_string_equal(facts_find(&f, "view", "v")->value, "x");
    facts_done(&f);
    assert_int_equal(f.count, 0);
    facts_sort(&f);
    assert_null(facts_find(&f, "view", "v"));
}

static void shortened(void **state)
{
    (void)state;
    struct facts f = {0};
    char text[400];
    memset(text, 'x', sizeof(text));
    text[160] = '\0';
    assert_int_equal(facts_add_shortened(&f, "k", "fits", text, NULL), 0);
    assert_string_equal(f.list[0].value, text);
    text[160] = 'x';
    text[161] = '\0';
    assert_int_equal(facts_add_shortened(&f, "k", "long", text, NULL), 0);
    assert_int_equal(strlen(f.list[1].value), 120 + strlen(" ... sha256:") + 64);
    // printf '%0161d' 0 | tr 0 x | sha256sum
    assert_string_equal(
        f.list[1].value + 120,
        " ... sha256:fdb7f3c40645e79ca4c5d1638753243ccb283f5dd126ceb21de5fa7d40953c65");
    text[140] = 'y'; // what the head does not show, the digest does
    assert_int_equal(facts_add_shortened(&f, "k", "other", text, NULL), 0);
    assert_string_not_equal(f.list[1].value, f.list[2].value);
    // a character of several bytes is not cut
    for (size_t at = 117; at <= 120; at++) {
        memset(text, 'x', 200);
        text[200] = '\0';
        memcpy(text + at, "\xf0\x9f\x98\x80", 4);
        assert_int_equal(facts_add_shortened(&f, "k", "utf8", text, NULL), 0);
        const char *end = strstr(f.list[f.count - 1].value, " ... ");
        assert_non_null(end);
        size_t len = (size_t)(end - f.list[f.count - 1].value);
        assert_int_equal(len, at > 116 && at < 120 ? at : 120);
    }
    facts_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sorted), cmocka_unit_test(shortened)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
