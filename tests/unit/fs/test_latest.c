// HOST/latest: the newest good backup of each partition.
#include "tests/unit/fs/tree_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define YES ((uint32_t)SEAL_COMPLETE_YES << SEAL_FLAG_COMPLETE_SHIFT)
#define NO ((uint32_t)SEAL_COMPLETE_NO << SEAL_FLAG_COMPLETE_SHIFT)
#define TOOL SEAL_FLAG_TOOL
#define LATE SEAL_FLAG_LATE

static bool is_writing(void *ctx, const char *path)
{
    return ctx && strcmp(path, ctx) == 0;
}

// "PARTITION=TARGET" joined by spaces.
static const char *latest(struct fixture *f, const char *host, const char *writing)
{
    static char text[1024];
    char path[128] = "";
    struct tree_latest *list = NULL;
    size_t count = 0;
    if (writing)
        snprintf(path, sizeof(path), "%s", writing);
    int rc = tree_latest(f->tree, host, is_writing, path, &list, &count, NULL);
    if (rc == -ENOENT)
        return "-ENOENT";
    assert_int_equal(rc, 0);
    char *p = text;
    *p = '\0';
    for (size_t i = 0; i < count; i++)
        p += snprintf(p, sizeof(text) - (size_t)(p - text), "%s%s=%s", i ? " " : "",
                      list[i].partition, list[i].target);
    tree_latest_free(list, count);
    return text;
}

static void the_newest_date_wins(void **state)
{
    struct fixture *f = *state;
    put_object(f, "db1/2026-11-20/orders.sql", 1, YES, 300);
    put_object(f, "db1/2026-11-21/orders.sql", 1, YES, 200);
    put_object(f, "db1/2026-11-20/old.sql", 1, 0, 100);
    put_object(f, "db1/2999-01-01/orders.sql", 1, YES, 900); // past tomorrow
    put_object(f, "db1/2026-11-21/.orders.sql.Xa", 1, YES, 950);
    assert_string_equal(latest(f, "db1", NULL),
                        "old=2026-11-20/old.sql orders=2026-11-21/orders.sql");
    assert_string_equal(latest(f, "db2", NULL), "-ENOENT");
    assert_string_equal(latest(f, "db1/2026-11-20", NULL), "-ENOENT");
}

static void in_one_date_the_newest_commit_wins(void **state)
{
    struct fixture *f = *state;
    put_object(f, "db1/2026-11-20/orders.dump", 1, 0, 200);
    put_object(f, "db1/2026-11-20/orders.sql", 1, 0, 100);
    put_object(f, "db1/2026-11-20/users.sql", 1, 0, 100);
    put_object(f, "db1/2026-11-20/users/x", 1, 0, 200);
    assert_string_equal(latest(f, "db1", NULL),
                        "orders=2026-11-20/orders.dump users=2026-11-20/users");
}

static void what_is_no_good_is_passed_over(void **state)
{
    struct fixture *f = *state;
    put_object(f, "db1/2026-11-20/a.sql", 1, YES, 100);
    put_object(f, "db1/2026-11-21/a.sql", 1, NO, 200);
    put_object(f, "db1/2026-11-20/b/x", 1, YES, 100);
    put_object(f, "db1/2026-11-21/b/x", 1, YES, 200);
    put_object(f, "db1/2026-11-21/b/y", 1, NO, 200);
    put_object(f, "db1/2026-11-20/c/x", 1, YES | TOOL, 100);
    put_object(f, "db1/2026-11-20/c/x.META", 1, TOOL, 101);
    put_object(f, "db1/2026-11-21/c/x", 1, YES | TOOL, 200); // its META never came
    put_raw(f, "db1/2026-11-21/d.sql.zst.age", "no age file");
    put_object(f, "db1/2026-11-20/e.sql", 1, YES, 100);
    put_object(f, "db1/2026-11-21/e.sql", 1, YES, 200);
    assert_string_equal(latest(f, "db1", "db1/2026-11-21/e.sql"),
                        "a=2026-11-20/a.sql b=2026-11-20/b c=2026-11-20/c e=2026-11-20/e.sql");
    assert_string_equal(latest(f, "db1", "db1/2026-11-20/c"),
                        "a=2026-11-20/a.sql b=2026-11-20/b e=2026-11-21/e.sql");
}

static void companions_are_no_backups(void **state)
{
    struct fixture *f = *state;
    put_object(f, "db1/2026-11-20/a.sql", 1, YES, 100);
    put_object(f, "db1/2026-11-20/a.sql.META", 1, TOOL, 101);
    put_object(f, "db1/2026-11-20/a.sql.VERIFIED.20261122T000000Z.PASS", 1, TOOL | LATE, 102);
    put_object(f, "db1/2026-11-20/a.notes", 1, LATE, 103);
    put_object(f, "db1/2026-11-21/a.schema.sql", 1, YES, 200);
    put_object(f, "db1/2026-11-21/b.schema.sql", 1, YES, 200);
    assert_string_equal(latest(f, "db1", NULL), "a=2026-11-20/a.sql b=2026-11-21/b.schema.sql");
}

static void only_the_newest_headers_are_fetched(void **state)
{
    struct fixture *f = *state;
    for (unsigned day = 1; day <= 28; day++)
        for (unsigned p = 0; p < 10; p++) {
            char path[64];
            snprintf(path, sizeof(path), "db1/2026-10-%02u/p%u.sql", day, p);
            put_object(f, path, 1, YES, day);
        }
    assert_non_null(strstr(latest(f, "db1", NULL), "p9=2026-10-28/p9.sql"));
    assert_int_equal(f->store->gets, 10);
    assert_true(f->store->lists <= 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(the_newest_date_wins),
        TEST(in_one_date_the_newest_commit_wins),
        TEST(what_is_no_good_is_passed_over),
        TEST(companions_are_no_backups),
        TEST(only_the_newest_headers_are_fetched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
