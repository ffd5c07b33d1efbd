#include "tests/contract/store_suite_versions.h"

#include "tests/support/pattern.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEN_MAX 1100
#define PAGE 1000 // of every store: more than one of them is listed
#define MANY (PAGE + 5)

static struct store *store;

struct seen {
    size_t count;
    struct version {
        char key[64], id[STORE_VERSION_ID_BYTES];
        struct store_version v;
    } list[SEEN_MAX];
};
static struct seen seen;

#define ok(call)                                                                                   \
    do {                                                                                           \
        struct err err = {0};                                                                      \
        if ((call) != 0)                                                                           \
            fail_msg("line %d: %s", __LINE__, err.text);                                           \
    } while (0)

static void put(const char *key, uint64_t size)
{
    struct pattern_source body = pattern_source(1, 0, size);
    ok(store->ops->put(store, key, &body.source, NULL, NULL, &err));
}

static int see(void *ctx, const struct store_version *version)
{
    (void)ctx;
    assert_true(seen.count < SEEN_MAX);
    struct version *at = &seen.list[seen.count++];
    snprintf(at->key, sizeof(at->key), "%s", version->key);
    snprintf(at->id, sizeof(at->id), "%s", version->id);
    assert_true(strlen(version->id) > 0);
    at->v = *version;
    return 0;
}

static void look(const char *prefix)
{
    seen.count = 0;
    ok(store->ops->list_versions(store, prefix, see, NULL, &err));
    // in order; of each key exactly the first is the latest
    for (size_t i = 0; i < seen.count; i++) {
        int order = i ? strcmp(seen.list[i - 1].key, seen.list[i].key) : -1;
        assert_true(order <= 0);
        assert_int_equal(seen.list[i].v.latest, order < 0);
    }
}

static void remove_seen(void)
{
    for (size_t i = 0; i < seen.count; i++)
        ok(store->ops->remove_version(store, seen.list[i].key, seen.list[i].id, &err));
}

static void test_nothing(void **state)
{
    (void)state;
    look("versions/");
    assert_int_equal(seen.count, 0);
    ok(store->ops->remove_version(store, "versions/absent", "null", &err));
}

static void test_all_of_it(void **state)
{
    (void)state;
    put("versions/a", 10);
    put("versions/b/c c+%41", 11);
    put("versions-other", 1);
    put("versions/a", 12);
    put("versions/d", 13);
    ok(store->ops->remove(store, "versions/d", NULL, &err));
    look("versions/");
    bool keeps = seen.count == 5; // two of a, one of b, one of d and the marker of its removal
    assert_true(keeps || seen.count == 2);
    assert_string_equal(seen.list[0].key, "versions/a");
    assert_int_equal(seen.list[0].v.size, 12);
    assert_true(seen.list[0].v.last_modified.tv_sec > 1700000000);
    assert_string_equal(seen.list[keeps ? 2 : 1].key, "versions/b/c c+%41");
    if (keeps) {
        assert_int_equal(seen.list[1].v.size, 10);
        assert_true(seen.list[3].v.delete_marker);
        assert_false(seen.list[4].v.delete_marker);
        assert_int_equal(seen.list[4].v.size, 13);
    }
    remove_seen();
    remove_seen(); // what is gone is gone
    look("versions/");
    assert_int_equal(seen.count, 0);
    look("versions");
    assert_int_equal(seen.count, 1);
    remove_seen();
}

// What came after the listing stays, where the store can tell it apart.
static void test_replaced(void **state)
{
    (void)state;
    put("versions/e", 10);
    look("versions/");
    assert_int_equal(seen.count, 1);
    struct version old = seen.list[0];
    put("versions/e", 20);
    look("versions/");
    struct err err = {0};
    int rc = store->ops->remove_version(store, old.key, old.id, &err);
    if (seen.count == 1 && strcmp(old.id, seen.list[0].id) != 0)
        assert_int_equal(rc, -ESTALE);
    else
        assert_int_equal(rc, 0);
    look("versions/");
    if (strcmp(old.id, "null") != 0) {
        assert_int_equal(seen.count, 1);
        assert_int_equal(seen.list[0].v.size, 20);
    }
    remove_seen();
}

static int stop(void *ctx, const struct store_version *version)
{
    (void)ctx, (void)version;
    return -ECANCELED;
}

// Pages go on where the last one ended, whatever is in the key.
static void test_pages(void **state)
{
    (void)state;
    char key[64];
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "versions/%04d a%%20b+c&", i);
        put(key, 1);
    }
    look("versions/");
    assert_int_equal(seen.count, MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "versions/%04d a%%20b+c&", i);
        assert_string_equal(seen.list[i].key, key);
    }
    struct err err = {0};
    assert_int_equal(store->ops->list_versions(store, "versions/", stop, NULL, &err), -ECANCELED);
    remove_seen();
    look("versions/");
    assert_int_equal(seen.count, 0);
}

static void test_no_hold(void **state)
{
    (void)state;
    put("versions/f", 1);
    look("versions/");
    struct store_hold hold = {.legal_hold = true, .until = {1, 1}};
    ok(store->ops->ask_hold(store, seen.list[0].key, seen.list[0].id, &hold, &err));
    assert_false(hold.legal_hold);
    assert_int_equal(hold.until.tv_sec, 0);
    remove_seen();
    ok(store->ops->ask_hold(store, seen.list[0].key, seen.list[0].id, &hold, &err));
}

int store_suite_versions_run(const char *name, struct store *of, bool pages)
{
    store = of;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),  cmocka_unit_test(test_all_of_it),
        cmocka_unit_test(test_replaced), cmocka_unit_test(test_no_hold),
        cmocka_unit_test(test_pages), // the last one
    };
    return _cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof(tests[0]) - !pages, NULL,
                                   NULL);
}
