// Own changes: known at once, and never undone by an answer that was on its way.
#include "tests/unit/fs/tree_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILE_A "db1/2026-11-22/orders/a"
#define ORDERS "db1/2026-11-22/orders"

static void commit(struct fixture *f, const char *path, uint64_t size)
{
    put_object(f, path, size, 0, 1795348800);
    struct object_info info = info_of(f, path);
    tree_committed(f->tree, path, &info);
}

static void rm(struct fixture *f, const char *path)
{
    drop_object(f, path);
    tree_removed(f->tree, path);
}

static void a_made_directory_is_there(void **state)
{
    struct fixture *f = *state;
    struct tree_stat stat;
    struct err err = {0};
    assert_int_equal(tree_make_dir(f->tree, "db1/2026-11-22", &err), -ENOENT); // its parent is not
    assert_int_equal(tree_make_dir(f->tree, "db1", NULL), 0);
    assert_int_equal(tree_make_dir(f->tree, "db1", &err), -EEXIST);
    assert_int_equal(tree_make_dir(f->tree, "db1/2026-11-22", NULL), 0);
    assert_int_equal(tree_make_dir(f->tree, ORDERS, NULL), 0);
    assert_int_equal(lookup(f, ORDERS, &stat), 0);
    assert_int_equal(stat.kind, TREE_DIR);
    assert_true(stat.mtime.tv_sec > 1700000000);
    assert_string_equal(names_in(f, ""), "db1/");
    assert_string_equal(names_in(f, "db1"), "2026-11-22/");
    assert_string_equal(names_in(f, "db1/2026-11-22"), "orders/");
    assert_string_equal(names_in(f, ORDERS), "");
    f->now_ms += 60000;
    assert_string_equal(names_in(f, "db1/2026-11-22"), "orders/");
    assert_string_equal(names_in(f, ORDERS), "");
    fixture_counts_reset(f);
    assert_int_equal(lookup(f, FILE_A, NULL), -ENOENT); // just listed: cp needs no request here
    assert_int_equal(count_store_all(f->store), 0);
    assert_int_equal(tree_remove_dir(f->tree, "db1", &err), -ENOTEMPTY);
    assert_int_equal(tree_remove_dir(f->tree, ORDERS, NULL), 0);
    assert_int_equal(tree_remove_dir(f->tree, ORDERS, &err), -ENOENT);
    assert_int_equal(tree_remove_dir(f->tree, "db1/2026-11-22", NULL), 0);
    assert_int_equal(tree_remove_dir(f->tree, "db1", NULL), 0);
    assert_string_equal(names_in(f, ""), "");
}

static void made_and_stored_are_shown_together(void **state)
{
    struct fixture *f = *state;
    put_object(f, "db1/2026-11-21/a-b/x", 1, 0, 0);
    assert_int_equal(tree_make_dir(f->tree, "db1/2026-11-21/a", NULL), 0);
    assert_int_equal(tree_make_dir(f->tree, "db1/2026-11-22", NULL), 0);
    assert_int_equal(tree_make_dir(f->tree, "db1/2026-11-22/x", NULL), 0);
    assert_int_equal(tree_make_dir(f->tree, "db1/2026-11-22/x/y", NULL), 0);
    assert_int_equal(tree_make_dir(f->tree, "db1/2026-11-22/x-y", NULL), 0);
    assert_string_equal(names_in(f, "db1"), "2026-11-21/ 2026-11-22/");
    assert_string_equal(names_in(f, "db1/2026-11-21"), "a/ a-b/");
    assert_string_equal(names_in(f, "db1/2026-11-22"), "x/ x-y/");
    assert_string_equal(names_in(f, "db1/2026-11-22/x"), "y/");
}

static void a_commit_is_known_at_once(void **state)
{
    struct fixture *f = *state;
    struct tree_stat stat;
    assert_int_equal(tree_make_dir(f->tree, "db1", NULL), 0);
    assert_int_equal(tree_make_dir(f->tree, "db1/2026-11-22", NULL), 0);
    assert_int_equal(tree_make_dir(f->tree, ORDERS, NULL), 0);
    assert_string_equal(names_in(f, ORDERS), "");
    commit(f, FILE_A, 77);
    fixture_counts_reset(f);
    assert_int_equal(lookup(f, FILE_A, &stat), 0);
    assert_int_equal(stat.info.header.record.size, 77);
    assert_string_equal(names_in(f, ORDERS), "a");
    assert_int_equal(lookup(f, "db1/2026-11-22", &stat), 0);
    assert_int_equal(stat.mtime.tv_sec, 1795348800);
    assert_int_equal(count_store_all(f->store), 0);
    commit(f, FILE_A, 78);
    assert_int_equal(lookup(f, FILE_A, &stat), 0);
    assert_int_equal(stat.info.header.record.size, 78);
    // mkdir lasts once a file is inside, and then no longer than the file
    drop_object(f, FILE_A);
    f->now_ms += 5000;
    assert_int_equal(lookup(f, FILE_A, NULL), -ENOENT);
    assert_int_equal(lookup(f, ORDERS, NULL), -ENOENT);
}

static void remove_all(void **state) // rm -r
{
    struct fixture *f = *state;
    put_object(f, FILE_A, 1, 0, 0);
    put_object(f, ORDERS "/b", 1, 0, 0);
    put_object(f, "db1/2026-11-22/other.sql", 1, 0, 0);
    assert_string_equal(names_in(f, ORDERS), "a b");
    rm(f, FILE_A);
    assert_string_equal(names_in(f, ORDERS), "b");
    assert_int_equal(tree_remove_dir(f->tree, ORDERS, NULL), -ENOTEMPTY);
    rm(f, ORDERS "/b");
    assert_int_equal(lookup(f, ORDERS "/b", NULL), -ENOENT);
    assert_int_equal(lookup(f, ORDERS, NULL), 0); // empty, and still there
    assert_string_equal(names_in(f, ORDERS), "");
    assert_int_equal(tree_remove_dir(f->tree, ORDERS, NULL), 0);
    assert_int_equal(lookup(f, ORDERS, NULL), -ENOENT);
    assert_string_equal(names_in(f, "db1/2026-11-22"), "other.sql");
}

static void rmdir_asks_the_store(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(tree_make_dir(f->tree, "db1", NULL), 0);
    put_object(f, "db1/2026-11-22/x", 1, 0, 0); // by another host
    assert_int_equal(tree_remove_dir(f->tree, "db1", NULL), -ENOTEMPTY);
    put_raw(f, "db2/hidden", "x");
    assert_int_equal(tree_remove_dir(f->tree, "db2", NULL), -ENOTEMPTY);
}

struct meanwhile {
    struct fixture *f;
    const char *call;
    const char *commit, *remove;
};

// This mount's change comes after the store's answer was made and before it is in.
static void happen(void *ctx, const char *call, const char *key)
{
    struct meanwhile *m = ctx;
    (void)key;
    if (strcmp(call, m->call) != 0)
        return;
    m->f->store->after = NULL;
    if (m->commit)
        commit(m->f, m->commit, 99);
    if (m->remove)
        rm(m->f, m->remove);
}

static void a_listing_does_not_undo_a_change(void **state)
{
    struct fixture *f = *state;
    struct tree_stat stat;
    put_object(f, FILE_A, 1, 0, 0);
    put_object(f, ORDERS "/b", 1, 0, 0);
    struct meanwhile m = {.f = f, .call = "list", .commit = ORDERS "/new", .remove = FILE_A};
    f->store->ctx = &m;
    f->store->after = happen;
    assert_string_equal(names_in(f, ORDERS), "b new");
    assert_int_equal(lookup(f, FILE_A, NULL), -ENOENT);
    assert_int_equal(lookup(f, ORDERS "/new", &stat), 0);
    assert_int_equal(stat.info.header.record.size, 99);
    // of a directory that was not there yet
    m = (struct meanwhile){.f = f, .call = "list", .commit = "db7/2026-11-22/p/x"};
    f->store->after = happen;
    assert_string_equal(names_in(f, "db7/2026-11-22/p"), "x");
}

// What was emptied, or made again, while the listing was on its way stays until its rmdir.
static void a_listing_does_not_undo_a_made_directory(void **state)
{
    struct fixture *f = *state;
    put_object(f, "db1/2026-11-22/users/u", 1, 0, 0);
    assert_int_equal(tree_make_dir(f->tree, ORDERS, NULL), 0);
    struct meanwhile m = {.f = f, .call = "list", .commit = FILE_A, .remove = FILE_A};
    f->store->ctx = &m;
    f->store->after = happen;
    assert_string_equal(names_in(f, "db1/2026-11-22"), "orders/ users/");
    f->now_ms += 60000;
    assert_int_equal(lookup(f, ORDERS, NULL), 0);
    assert_string_equal(names_in(f, "db1/2026-11-22"), "orders/ users/");
    assert_int_equal(tree_remove_dir(f->tree, ORDERS, NULL), 0);
}

static void a_lookup_does_not_undo_a_change(void **state)
{
    struct fixture *f = *state;
    struct tree_stat stat;
    put_object(f, FILE_A, 1, 0, 0);
    struct meanwhile m = {.f = f, .call = "get", .commit = FILE_A};
    f->store->ctx = &m;
    f->store->after = happen;
    assert_int_equal(lookup(f, FILE_A, &stat), 0);
    assert_int_equal(stat.info.header.record.size, 99);
    f->now_ms += 5000;
    m = (struct meanwhile){.f = f, .call = "head", .remove = FILE_A};
    f->store->after = happen;
    assert_int_equal(lookup(f, FILE_A, &stat), -ENOENT);
    // neither file nor directory, when it was asked
    m = (struct meanwhile){.f = f, .call = "list", .commit = "db8/2026-11-22/p/x"};
    f->store->after = happen;
    assert_int_equal(lookup(f, "db8", &stat), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(a_made_directory_is_there),
        TEST(made_and_stored_are_shown_together),
        TEST(a_commit_is_known_at_once),
        TEST(remove_all),
        TEST(rmdir_asks_the_store),
        TEST(a_listing_does_not_undo_a_change),
        TEST(a_listing_does_not_undo_a_made_directory),
        TEST(a_lookup_does_not_undo_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
