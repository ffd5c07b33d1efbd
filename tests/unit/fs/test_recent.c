#include "fs/recent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PATH "db1/2026-11-22/orders.dump"

static struct recents *recents;

static int setup(void **state)
{
    (void)state;
    return recents_new(&recents, NULL);
}

static int teardown(void **state)
{
    (void)state;
    recents_free(recents);
    return 0;
}

static void put(const char *path, const char *etag, uint8_t mark, time_t until, time_t now)
{
    struct object_key key;
    memset(&key, mark, sizeof(key));
    recents_put(recents, path, etag, &key, (struct timespec){.tv_sec = until},
                (struct timespec){.tv_sec = now});
}

static bool knows(const char *path, const char *etag, uint8_t mark)
{
    struct object_key key, wanted;
    memset(&wanted, mark, sizeof(wanted));
    return recents_get(recents, path, etag, &key) && memcmp(&key, &wanted, sizeof(key)) == 0;
}

static void a_key_is_one_objects(void **state)
{
    (void)state;
    put(PATH, "one", 1, 0, 100);
    assert_true(knows(PATH, "one", 1));
    assert_false(knows(PATH, "two", 1));
    assert_false(knows("db1/2026-11-22/other", "one", 1));
    put(PATH, "two", 2, 0, 100);
    assert_false(knows(PATH, "one", 1));
    assert_true(knows(PATH, "two", 2));
    assert_true(recents_has(recents, PATH));
    recents_drop(recents, PATH);
    recents_drop(recents, PATH);
    assert_false(recents_has(recents, PATH));
    assert_false(knows(PATH, "two", 2));
}

static void what_is_over_goes_at_the_next_put(void **state)
{
    (void)state;
    put("a", "e", 1, 200, 100);
    put("b", "e", 2, 300, 100);
    put("c", "e", 3, 400, 200); // `a` is over after that second only
    assert_true(knows("a", "e", 1));
    put("d", "e", 4, 500, 201);
    assert_false(knows("a", "e", 1));
    assert_true(knows("b", "e", 2) && knows("c", "e", 3) && knows("d", "e", 4));
}

static void the_oldest_make_room(void **state)
{
    (void)state;
    char path[32];
    for (unsigned i = 0; i <= RECENTS_MAX; i++) {
        snprintf(path, sizeof(path), "p%u", i);
        put(path, "e", (uint8_t)i, 0, 0);
    }
    assert_false(knows("p0", "e", 0));
    assert_true(knows("p1", "e", 1));
    assert_true(knows(path, "e", (uint8_t)RECENTS_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_is_one_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_over_goes_at_the_next_put, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_make_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
