// Lookups: what they answer, how fresh it is, and how many requests they cost.
#include "tests/unit/fs/tree_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILE_A "db1/2026-11-22/a"

static void one_name_costs_one_request(void **state)
{
    struct fixture *f = *state;
    struct tree_stat stat;
    put_object(f, FILE_A, 12345678, 0x40000000, 1795348800);
    assert_int_equal(lookup(f, FILE_A, &stat), 0);
    assert_int_equal(count_store_all(f->store), 1);
    assert_int_equal(stat.kind, TREE_FILE);
    assert_int_equal(stat.info.header.record.size, 12345678);
    assert_int_equal(stat.info.header.record.committed.tv_sec, 1795348800);
    assert_int_equal(stat.info.header.record.flags, 0x40000000);
    assert_true(stat.info.stat.size > 0 && stat.info.stat.etag[0]);
    assert_int_equal(lookup(f, FILE_A, NULL), 0);
    assert_int_equal(lookup(f, "db1/2026-11-22", NULL), 0);
    assert_int_equal(lookup(f, "", NULL), 0);
}

static void a_directory_costs_one_listing(void **state)
{
    struct fixture *f = *state;
    struct tree_stat stat;
    put_object(f, "db1/2026-11-22/orders/x", 1, 0, 0);
    assert_int_equal(lookup(f, "db1", &stat), 0);
    assert_int_equal(stat.kind, TREE_DIR);
    assert_int_equal(count_store_all(f->store), 1); // no file can be there
    assert_int_equal(lookup(f, "db1/2026-11-22/orders", &stat), 0);
    assert_int_equal(stat.kind, TREE_DIR);
    assert_int_equal(count_store_all(f->store), 3);
    assert_int_equal(lookup(f, "db1/2026-11-22", &stat), 0);
    assert_int_equal(count_store_all(f->store), 3);  // it is above one that is there
    assert_int_equal(stat.mtime.tv_sec, 1795305600); // nothing better is known than its DATE
    names_in(f, "db1/2026-11-22");
    assert_int_equal(lookup(f, "db1/2026-11-22", &stat), 0);
    struct object_info info = info_of(f, "db1/2026-11-22/orders/x");
    assert_int_equal(stat.mtime.tv_sec, info.stat.last_modified.tv_sec);
}

static void absence_is_not_remembered(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(lookup(f, FILE_A, NULL), -ENOENT);
    assert_int_equal(f->store->gets, 1);
    assert_int_equal(f->store->lists, 1);
    put_object(f, FILE_A, 1, 0, 0);
    assert_int_equal(lookup(f, FILE_A, NULL), 0);
    // but a fresh listing is believed
    names_in(f, "db1/2026-11-22");
    put_object(f, "db1/2026-11-22/b", 1, 0, 0);
    fixture_counts_reset(f);
    assert_int_equal(lookup(f, "db1/2026-11-22/b", NULL), -ENOENT);
    assert_int_equal(count_store_all(f->store), 0);
    assert_int_equal(tree_lookup_now(f->tree, "db1/2026-11-22/b", &(struct tree_stat){0}, NULL), 0);
    f->now_ms += 5000;
    assert_int_equal(lookup(f, "db1/2026-11-22/b", NULL), 0);
}

static void an_old_answer_costs_a_head(void **state)
{
    struct fixture *f = *state;
    struct tree_stat stat;
    put_object(f, FILE_A, 1, 0, 0);
    assert_int_equal(lookup(f, FILE_A, NULL), 0);
    f->now_ms += 4999;
    fixture_counts_reset(f);
    assert_int_equal(lookup(f, FILE_A, NULL), 0);
    assert_int_equal(count_store_all(f->store), 0);
    f->now_ms += 1;
    assert_int_equal(lookup(f, FILE_A, &stat), 0);
    assert_int_equal(f->store->heads, 1);
    assert_int_equal(count_store_all(f->store), 1);
    assert_int_equal(stat.info.header.record.size, 1);
    put_object(f, FILE_A, 2, 0, 0); // another one there
    f->now_ms += 5000;
    assert_int_equal(lookup(f, FILE_A, &stat), 0);
    assert_int_equal(stat.info.header.record.size, 2);
    drop_object(f, FILE_A);
    f->now_ms += 5000;
    assert_int_equal(lookup(f, FILE_A, NULL), -ENOENT);
}

static void lookup_now_asks_always(void **state)
{
    struct fixture *f = *state;
    struct tree_stat stat;
    put_object(f, FILE_A, 1, 0, 0);
    assert_int_equal(lookup(f, FILE_A, NULL), 0);
    put_object(f, FILE_A, 2, 0, 0);
    assert_int_equal(lookup(f, FILE_A, &stat), 0);
    assert_int_equal(stat.info.header.record.size, 1);
    assert_int_equal(tree_lookup_now(f->tree, FILE_A, &stat, NULL), 0);
    assert_int_equal(stat.info.header.record.size, 2);
    assert_int_equal(lookup(f, FILE_A, &stat), 0);
    assert_int_equal(stat.info.header.record.size, 2);
    drop_object(f, FILE_A);
    assert_int_equal(tree_lookup_now(f->tree, FILE_A, &stat, NULL), -ENOENT);
    assert_int_equal(lookup(f, FILE_A, NULL), -ENOENT);
}

static void forget_asks_again(void **state)
{
    struct fixture *f = *state;
    struct tree_stat stat;
    put_object(f, FILE_A, 1, 0, 0);
    names_in(f, "db1/2026-11-22");
    assert_int_equal(lookup(f, FILE_A, NULL), 0);
    put_object(f, FILE_A, 2, 0, 0);
    put_object(f, "db1/2026-11-22/b", 3, 0, 0);
    tree_forget(f->tree, FILE_A);
    assert_int_equal(lookup(f, FILE_A, &stat), 0);
    assert_int_equal(stat.info.header.record.size, 2);
    tree_forget(f->tree, "db1/2026-11-22/b"); // a name that a listing did not have
    assert_int_equal(lookup(f, "db1/2026-11-22/b", &stat), 0);
    assert_int_equal(stat.info.header.record.size, 3);
}

// ls -l
static uint64_t list_long(struct fixture *f, const char *dir)
{
    struct tree_list *list = NULL;
    uint64_t sum = 0;
    assert_int_equal(tree_read_dir(f->tree, dir, &list, NULL), 0);
    for (size_t i = 0; i < list->count; i++) {
        char path[STORE_KEY_BYTES + 1];
        struct tree_stat stat;
        snprintf(path, sizeof(path), "%s/%s", dir, list->names[i].name);
        assert_int_equal(lookup(f, path, &stat), 0);
        sum += stat.info.header.record.size;
    }
    tree_list_free(list);
    return sum;
}

static void a_long_listing_fetches_each_header_once(void **state)
{
    struct fixture *f = *state;
    uint64_t sum = 0;
    for (unsigned i = 0; i < 700; i++) {
        char path[64];
        snprintf(path, sizeof(path), "db1/2026-11-22/orders/f%u", i);
        put_object(f, path, i + 1, 0, 0);
        sum += i + 1;
    }
    assert_int_equal(list_long(f, "db1/2026-11-22/orders"), sum);
    unsigned gets = f->store->gets;
    assert_int_equal(gets, 700);
    assert_int_equal(f->store->heads, 0);
    assert_int_equal(f->store->lists, 1);
    f->now_ms += 5000;
    assert_int_equal(list_long(f, "db1/2026-11-22/orders"), sum);
    assert_int_equal(f->store->gets, gets);
    assert_int_equal(f->store->lists, 2);
    fixture_reopen(f); // the next mount finds them in the state directory
    assert_int_equal(list_long(f, "db1/2026-11-22/orders"), sum);
    assert_int_equal(f->store->gets, gets);
    assert_int_equal(f->store->heads, 0);
}

static void time_passes(void *ctx, const char *call, const char *key)
{
    (void)key;
    if (strcmp(call, "get") == 0)
        ((struct fixture *)ctx)->now_ms += 100;
}

static void a_walk_longer_than_the_refresh_lists_again(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 200; i++) {
        char path[64];
        snprintf(path, sizeof(path), "db1/2026-11-22/orders/f%u", i);
        put_object(f, path, 1, 0, 0);
    }
    f->store->after = time_passes;
    f->store->ctx = f;
    assert_int_equal(list_long(f, "db1/2026-11-22/orders"), 200);
    // 20 s by that clock: a listing every 5 s, and not a request for every name
    assert_int_equal(f->store->heads, 0);
    assert_true(f->store->lists <= 6);
    assert_true(f->store->gets <=
                210); // what was on its way when the listing changed may be asked twice
}

static void what_cannot_be_read_is_shown(void **state)
{
    struct fixture *f = *state;
    struct tree_stat stat;
    put_raw(f, FILE_A OBJECT_SUFFIX, "not an age file");
    assert_int_equal(lookup(f, FILE_A, &stat), 0);
    assert_int_equal(stat.info.header.state, SEAL_FOREIGN);
    assert_int_equal(stat.info.header.len, 0);
    assert_int_equal(stat.info.stat.size, 15);
    put_raw(f, "db1/2026-11-22/b" OBJECT_SUFFIX, "not an age file");
    names_in(f, "db1/2026-11-22");
    fixture_counts_reset(f);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(lookup(f, "db1/2026-11-22/b", NULL), 0);
    assert_int_equal(count_store_all(f->store), 1);
}

struct crowd {
    struct fixture *f;
    pthread_barrier_t barrier;
    const char *path;
};

static void *look_together(void *ctx)
{
    struct crowd *c = ctx;
    struct tree_stat stat;
    pthread_barrier_wait(&c->barrier);
    return (void *)(intptr_t)tree_lookup(c->f->tree, c->path, &stat, NULL);
}

static void threads_share_a_question(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 20; round++) {
        char path[64];
        pthread_t threads[8];
        struct crowd c = {.f = f, .path = path};
        snprintf(path, sizeof(path), "db1/2026-11-22/f%u", round);
        put_object(f, path, 1, 0, 0);
        fixture_counts_reset(f);
        pthread_barrier_init(&c.barrier, NULL, 8);
        for (unsigned i = 0; i < 8; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, look_together, &c), 0);
        for (unsigned i = 0; i < 8; i++) {
            void *rc;
            pthread_join(threads[i], &rc);
            assert_null(rc);
        }
        pthread_barrier_destroy(&c.barrier);
        assert_int_equal(count_store_all(f->store), 1);
    }
}

static void *walk(void *ctx)
{
    return (void *)(intptr_t)(list_long(ctx, "db1/2026-11-22") == 60 ? 0 : 1);
}

static void *change(void *ctx)
{
    struct fixture *f = ctx;
    struct tree_stat stat;
    for (unsigned i = 0; i < 50; i++) {
        f->now_ms += 700;
        tree_lookup_now(f->tree, "db1/2026-11-22/f10", &stat, NULL);
        tree_forget(f->tree, "db1/2026-11-22/f20");
        tree_make_dir(f->tree, "db2", NULL);
        tree_remove_dir(f->tree, "db2", NULL);
    }
    return NULL;
}

static void threads_walk_and_change(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 60; i++) {
        char path[64];
        snprintf(path, sizeof(path), "db1/2026-11-22/f%u", i);
        put_object(f, path, 1, 0, 0);
    }
    pthread_t threads[5];
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < 4 ? walk : change, f), 0);
    for (unsigned i = 0; i < 5; i++) {
        void *rc;
        pthread_join(threads[i], &rc);
        assert_null(rc);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_begin, fixture_end)
    const struct CMUnitTest tests[] = {
        TEST(one_name_costs_one_request),
        TEST(a_directory_costs_one_listing),
        TEST(absence_is_not_remembered),
        TEST(an_old_answer_costs_a_head),
        TEST(lookup_now_asks_always),
        TEST(forget_asks_again),
        TEST(a_long_listing_fetches_each_header_once),
        TEST(a_walk_longer_than_the_refresh_lists_again),
        TEST(what_cannot_be_read_is_shown),
        TEST(threads_share_a_question),
        TEST(threads_walk_and_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
