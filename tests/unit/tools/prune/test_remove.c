// A removal that stops anywhere: what is left is never taken for a good backup, and the next run ends it.
#include "tools/prune/prune.h"

#include "tests/support/fault_store.h"
#include "tests/support/pattern.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1795348800 // 2026-11-22T12:00:00Z
#define OLD "db1/2026-10-01/orders/db1.20261001T031500Z.orders"
#define NEW "db1/2026-11-22/orders/db1.20261122T031500Z.orders"

static const char *const ends[] = {".dir/1.dat", ".dir/toc.dat", ".globals.sql",
                                   ".META",      ".schema.sql",  ".VERIFIED.20261002T000000Z.PASS"};
enum { ENDS = sizeof(ends) / sizeof(ends[0]) };

static struct temp_dir dir;
static struct store *plain, *faulty;

#define OK(call)                                                                                   \
    do {                                                                                           \
        struct err err = {0};                                                                      \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

static void put(const char *stem)
{
    for (int i = 0; i < ENDS; i++) {
        char key[256];
        struct pattern_source body = pattern_source(1, 0, 10);
        snprintf(key, sizeof(key), "%s%s.zst.age", stem, ends[i]);
        OK(plain->ops->put(plain, key, &body.source, NULL, NULL, &err));
    }
}

static struct prune_list look(void)
{
    struct prune_list all = {.list = NULL};
    struct prune_plan plan;
    OK(prune_survey(plain, NULL, NULL, &all, &err));
    OK(prune_decide(plain, &(struct keep_rules){.last = 1}, NOW, &all, &plan, &err));
    return all;
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(temp_dir_make(&dir), 0);
    OK(store_dir_new(dir.path, &plain, &err));
    return fault_store_new(plain, &faulty);
}

static int teardown(void **state)
{
    (void)state;
    store_free(faulty);
    store_free(plain);
    temp_dir_remove(&dir);
    return 0;
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    put(NEW);
    for (unsigned nth = 1; nth <= ENDS; nth++) {
        put(OLD);
        struct prune_list all = look();
        assert_int_equal(all.count, 2);
        assert_int_equal(all.list[0].count, ENDS);
        assert_int_equal(all.list[0].item.state, KEEP_GOOD);
        assert_false(all.list[0].item.keep);
        assert_true(all.list[1].item.keep);
        fault_store_set(
            faulty,
            &(struct fault){.op = FAULT_REMOVE_VERSION, .nth = nth, .forever = true, .code = EIO});
        OK(prune_remove(faulty, &all.list[0], &err));
        assert_false(all.list[0].removed);
        assert_non_null(strstr(all.list[0].failure, "as ordered"));
        prune_list_done(&all);

        all = look();
        assert_int_equal(all.count, 2);
        assert_int_equal(all.list[0].count, ENDS - nth + 1);
        assert_false(all.list[0].item.keep);
        assert_int_equal(all.list[0].item.state, nth > 1 ? KEEP_UNFINISHED : KEEP_GOOD);
        OK(prune_remove(plain, &all.list[0], &err));
        assert_true(all.list[0].removed);
        prune_list_done(&all);
        all = look();
        assert_int_equal(all.count, 1);
        assert_int_equal(all.list[0].count, ENDS);
        prune_list_done(&all);
    }
}

// --- The order, of a store with versions ---

static struct {
    pthread_mutex_t lock;
    char ids[16][8];
    size_t count;
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int record(struct store *store, const char *key, const char *id, struct err *err)
{
    (void)store, (void)key, (void)err;
    pthread_mutex_lock(&seen.lock);
    snprintf(seen.ids[seen.count++], sizeof(seen.ids[0]), "%s", id);
    pthread_mutex_unlock(&seen.lock);
    return 0;
}

static size_t place(const char *id)
{
    for (size_t i = 0; i < seen.count; i++)
        if (strcmp(seen.ids[i], id) == 0)
            return i;
    fail_msg("%s was not removed", id);
    return 0;
}

// META before the rest, and of each key what readers see last: the newest version, or the marker that hides the others.
static void test_order(void **state)
{
    (void)state;
    static char dump[] = "k.dump", meta[] = "k.META", toc[] = "k.dir/toc.dat";
    static char ids[][8] = {"m3", "m2", "m1", "t1", "d2", "d1", "p1", "f1"};
    static char pass[] = "k.PASS", fail[] = "a.FAIL";
    struct piece pieces[] = {
        {.key = dump, .id = ids[4], .rank = PIECE_REST, .order = 0},
        {.key = dump, .id = ids[5], .rank = PIECE_REST, .order = 1},
        {.key = meta, .id = ids[0], .rank = PIECE_META, .marker = true, .order = 2},
        {.key = meta, .id = ids[1], .rank = PIECE_META, .order = 3},
        {.key = meta, .id = ids[2], .rank = PIECE_META, .order = 4},
        {.key = toc, .id = ids[3], .rank = PIECE_HEAD, .order = 5},
        {.key = pass, .id = ids[6], .rank = PIECE_PASS, .order = 6},
        {.key = fail, .id = ids[7], .rank = PIECE_FAIL, .order = 7},
    };
    struct store_ops ops = *plain->ops;
    ops.remove_version = record;
    struct store store = {.ops = &ops};
    struct prune_backup b = {.pieces = pieces, .count = 8};
    OK(prune_remove(&store, &b, &err));
    assert_true(b.removed);
    assert_int_equal(seen.count, 8);
    static const char *const order[] = {"m1", "m2", "m3", "p1", "t1", "d1", "d2", "f1"};
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(place(order[i]), i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
