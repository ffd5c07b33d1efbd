#include "backend/base/num.h"
#include "backend/store/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_ceilings(void **state)
{
    (void)state;
    assert_int_equal(plan_object_max(64 * MIB) / GIB, 358);
    assert_int_equal(plan_object_max(16 * MIB) / GIB, 118);
    assert_int_equal(plan_object_max(8 * MIB), PLAN_PARTS * 8 * MIB);
}

static void test_shape(void **state)
{
    (void)state;
    const uint64_t largest[] = {8 * MIB, 8 * MIB + 1, 16 * MIB, 64 * MIB, 5 * GIB};
    for (size_t i = 0; i < sizeof(largest) / sizeof(largest[0]); i++) {
        uint64_t max = largest[i];
        assert_int_equal(plan_part_bytes(max, 1), 8 * MIB);
        assert_int_equal(plan_part_bytes(max, 205), 8 * MIB);
        assert_int_equal(plan_part_bytes(max, 9557), max);
        assert_int_equal(plan_part_bytes(max, PLAN_PARTS), max);
        for (unsigned n = 2; n <= PLAN_PARTS; n++)
            assert_true(plan_part_bytes(max, n) >= plan_part_bytes(max, n - 1));
    }
    assert_true(plan_part_bytes(64 * MIB, 206) > 8 * MIB);
    assert_true(plan_part_bytes(64 * MIB, 9556) < 64 * MIB);
    // half way up
    assert_int_equal(plan_part_bytes(64 * MIB, 205 + 4676), 36 * MIB);
}

static void test_part_max(void **state)
{
    (void)state;
    assert_int_equal(plan_part_max(256 * MIB), 64 * MIB);
    assert_int_equal(plan_part_max(64 * MIB), 16 * MIB);
    assert_int_equal(plan_part_max(0), 8 * MIB);
    assert_int_equal(plan_part_max(32 * MIB + 4), 8 * MIB + 1);
    assert_int_equal(plan_part_max(UINT64_MAX), 5 * GIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_part_max),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
