// Listings: what they show, and how many requests they cost.
#include "tests/unit/fs/tree_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// One object at first, and then as many names of it as there are hosts, dates and partitions.
static void fill(struct fixture *f, unsigned hosts, unsigned dates, unsigned partitions,
                 bool nested)
{
    char first[128] = "";
    for (unsigned h = 0; h < hosts; h++)
        for (unsigned d = 0; d < dates; d++)
            for (unsigned p = 0; p < partitions; p++) {
                char path[128];
                snprintf(path, sizeof(path), "db%u/20%02u-%02u-%02u/part%u%s", h, 20 + d / 336,
                         d / 28 % 12 + 1, d % 28 + 1, p, nested ? "/x.dump" : ".sql");
                if (*first) {
                    put_again(f, first, path);
                } else {
                    put_object(f, path, 1, 0, 1795348800);
                    strcpy(first, path);
                }
            }
}

static void shows_names_in_order(void **state)
{
    struct fixture *f = *state;
    put_object(f, "db1/2026-11-22/a", 1, 0, 0);
    put_object(f, "db1/2026-11-22/a-b", 1, 0, 0);
    put_object(f, "db1/2026-11-22/a.b", 1, 0, 0);
    put_object(f, "db1/2026-11-22/dir/x", 1, 0, 0);
    put_object(f, "db1/2026-11-22/dir-x", 1, 0, 0);
    put_object(f, "db1/2026-11-22/.hidden", 1, 0, 0);
    put_object(f, "db2/2026-11-21/orders/x", 1, 0, 0);
    assert_string_equal(names_in(f, "db1/2026-11-22"), ".hidden a a-b a.b dir/ dir-x");
    assert_string_equal(names_in(f, ""), "db1/ db2/");
    assert_string_equal(names_in(f, "db1"), "2026-11-22/");
    assert_string_equal(names_in(f, "db2/2026-11-21/orders"), "x");
    assert_string_equal(names_in(f, "db3"), "-ENOENT");
    assert_string_equal(names_in(f, "db1/latest"), "-ENOENT");
    assert_int_equal(f->store->gets, 0);
}

static void hides_what_breaks_the_rules(void **state)
{
    struct fixture *f = *state;
    put_object(f, "db1/2026-11-22/orders", 1, 0, 0); // a file where a directory is
    put_object(f, "db1/2026-11-22/orders/x", 1, 0, 0);
    put_raw(f, "db1/2026-11-22/README", "x");
    put_raw(f, "db1/2026-11-22/tab\there.zst.age", "x");
    put_raw(f, "db1/2026-13-22/x.zst.age", "x");
    put_raw(f, "db1/file.zst.age", "x");
    put_raw(f, ".trash/2026-11-22/x.zst.age", "x");
    put_raw(f, "top.zst.age", "x");
    assert_string_equal(names_in(f, ""), "db1/");
    assert_string_equal(names_in(f, "db1"), "2026-11-22/");
    assert_string_equal(names_in(f, "db1/2026-11-22"), "orders/");
    struct tree_stat stat;
    assert_int_equal(lookup(f, "db1/2026-11-22/orders", &stat), 0);
    assert_int_equal(stat.kind, TREE_DIR);
    fixture_counts_reset(f);
    assert_int_equal(lookup(f, "db1/2026-13-22", NULL), -ENOENT);
    assert_int_equal(lookup(f, ".trash", NULL), -ENOENT);
    assert_int_equal(lookup(f, "db1/latest/orders", NULL), -ENOENT);
    assert_int_equal(lookup(f, "db1/2026-11-22/tab\there", NULL), -ENOENT);
    assert_int_equal(count_store_all(f->store), 0);
}

static void find_costs_a_dozen_requests(void **state)
{
    struct fixture *f = *state;
    fill(f, 10, 50, 10, false);
    assert_int_equal(find_all(f, ""), 5000);
    if (count_store_all(f->store) > 12)
        fail_msg("%u requests", count_store_all(f->store));
    fixture_counts_reset(f);
    assert_int_equal(find_all(f, ""), 5000); // nothing new to ask
    assert_int_equal(count_store_all(f->store), 0);
}

static void find_in_one_host_costs_a_dozen_requests(void **state)
{
    struct fixture *f = *state;
    fill(f, 1, 500, 10, true);
    assert_int_equal(find_all(f, ""), 5000);
    if (count_store_all(f->store) > 12)
        fail_msg("%u requests", count_store_all(f->store));
}

static void one_big_directory(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 2500; i++) {
        char path[64];
        snprintf(path, sizeof(path), "db1/2026-11-22/base/%u", i);
        if (i == 0)
            put_object(f, path, 1, 0, 0);
        else
            put_again(f, "db1/2026-11-22/base/0", path);
    }
    put_object(f, "db1/2026-11-22/base/20x/y", 1, 0, 0);
    put_object(f, "db1/2026-11-22/zzz", 1, 0, 0);
    assert_int_equal(find_all(f, "db1/2026-11-22/base"), 2501);
    assert_true(f->store->lists <= 5);
    assert_string_equal(names_in(f, "db1/2026-11-22"), "base/ zzz");
    assert_int_equal(find_all(f, ""), 2502);
}

static void a_small_memory_is_enough(void **state)
{
    struct fixture *f = *state;
    fill(f, 3, 40, 20, false);
    f->conf.memory_bytes = 64 << 10;
    fixture_reopen(f);
    assert_int_equal(find_all(f, ""), 2400);
    assert_int_equal(find_all(f, "db1"), 800);
}

static void is_listed_again_when_it_is_old(void **state)
{
    struct fixture *f = *state;
    put_object(f, "db1/2026-11-22/a", 1, 0, 0);
    assert_string_equal(names_in(f, "db1/2026-11-22"), "a");
    put_object(f, "db1/2026-11-22/b", 1, 0, 0);
    drop_object(f, "db1/2026-11-22/a");
    f->now_ms += 4999;
    fixture_counts_reset(f);
    assert_string_equal(names_in(f, "db1/2026-11-22"), "a");
    assert_int_equal(count_store_all(f->store), 0);
    f->now_ms += 1;
    assert_string_equal(names_in(f, "db1/2026-11-22"), "b");
    assert_int_equal(f->store->lists, 1);
    drop_object(f, "db1/2026-11-22/b");
    f->now_ms += 5000;
    assert_string_equal(names_in(f, "db1/2026-11-22"), "-ENOENT");
}

static void listing_takes_long(void *ctx, const char *call, const char *key)
{
    (void)key;
    if (strcmp(call, "list") == 0)
        ((struct fixture *)ctx)->now_ms += 2000;
}

static void a_slow_listing_lasts_longer(void **state)
{
    struct fixture *f = *state;
    f->store->after = listing_takes_long;
    f->store->ctx = f;
    put_object(f, "db1/2026-11-22/a", 1, 0, 0);
    assert_string_equal(names_in(f, "db1/2026-11-22"), "a");
    fixture_counts_reset(f);
    f->now_ms += 19999;
    assert_string_equal(names_in(f, "db1/2026-11-22"), "a");
    assert_int_equal(count_store_all(f->store), 0);
    f->now_ms += 1;
    assert_string_equal(names_in(f, "db1/2026-11-22"), "a");
    assert_int_equal(f->store->lists, 1);
}

static void a_failure_is_told_and_not_remembered(void **state)
{
    struct fixture *f = *state;
    struct tree_list *list = NULL;
    struct err err = {0};
    put_object(f, "db1/2026-11-22/a", 1, 0, 0);
    f->store->fail = ETIMEDOUT;
    assert_int_equal(tree_read_dir(f->tree, "db1", &list, &err), -ETIMEDOUT);
    assert_non_null(strstr(err.text, "db1"));
    assert_non_null(strstr(err.text, "told to fail"));
    assert_int_equal(lookup(f, "db1/2026-11-22/a", NULL), -ETIMEDOUT);
    f->store->fail = 0;
    assert_string_equal(names_in(f, "db1"), "2026-11-22/");
    assert_int_equal(lookup(f, "db1/2026-11-22/a", NULL), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(shows_names_in_order),
        TEST(hides_what_breaks_the_rules),
        TEST(find_costs_a_dozen_requests),
        TEST(find_in_one_host_costs_a_dozen_requests),
        TEST(one_big_directory),
        TEST(a_small_memory_is_enough),
        TEST(is_listed_again_when_it_is_old),
        TEST(a_slow_listing_lasts_longer),
        TEST(a_failure_is_told_and_not_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
