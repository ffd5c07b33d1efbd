#include "fs/claims.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct claims *claims;

static int setup(void **state)
{
    (void)state;
    return claims_new(&claims, NULL);
}

static int teardown(void **state)
{
    (void)state;
    claims_free(claims);
    return 0;
}

// A long claim is never waited for: whether `b` is refused tells whether the two overlap.
static int take_beside(const char *a, const char *a_other, const char *b)
{
    struct claim held = {.path = a, .other = a_other, .is_long = true}, claim = {.path = b};
    struct err err = {0};
    assert_int_equal(claims_take(claims, &held, &err), 0);
    int rc = claims_take(claims, &claim, &err);
    if (!rc)
        claims_drop(claims, &claim);
    claims_drop(claims, &held);
    return rc;
}

static void paths_overlap_with_what_is_above_and_below(void **state)
{
    (void)state;
    assert_int_equal(take_beside("h/d/p", NULL, "h/d/p"), -EBUSY);
    assert_int_equal(take_beside("h/d/p", NULL, "h/d/p/f"), -EBUSY);
    assert_int_equal(take_beside("h/d/p", NULL, "h/d"), -EBUSY);
    assert_int_equal(take_beside("h/d/p", "h/d/q", "h/d/q/f"), -EBUSY);
    assert_int_equal(take_beside("h/d/p", NULL, "h/d/p2"), 0);
    assert_int_equal(take_beside("h/d/p2", NULL, "h/d/p"), 0);
    assert_int_equal(take_beside("h/d/p", "h/d/q", "h/d/r"), 0);
}

static atomic_bool taken;

static void *take_and_drop(void *path)
{
    struct claim claim = {.path = path};
    assert(claims_take(claims, &claim, NULL) == 0);
    taken = true;
    claims_drop(claims, &claim);
    return NULL;
}

static void a_short_one_is_waited_for(void **state)
{
    (void)state;
    struct claim held = {.path = "h/d/f", .other = "h/d/g"};
    pthread_t thread;
    taken = false;
    assert_int_equal(claims_take(claims, &held, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, take_and_drop, (char[]){"h/d/g"}), 0);
    assert_false(taken); // however far the thread came
    claims_drop(claims, &held);
    pthread_join(thread, NULL);
    assert_true(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(paths_overlap_with_what_is_above_and_below, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_short_one_is_waited_for, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
