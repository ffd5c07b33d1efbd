#include "backend/s3/times.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_http(void **state)
{
    (void)state;
    time_t t = 0;
    assert_true(times_parse_http("Sun, 22 Nov 2026 10:41:17 GMT", &t));
    assert_int_equal(t, 1795344077);
    static const char *const bad[] = {
        "",
        "Sun, 22 Nov 2026 10:41:17 CET",
        "Sun, 22 Nox 2026 10:41:17 GMT",
        "Sun, xx Nov 2026 10:41:17 GMT",
        "Sun, 22 Nov 2026 25:41:17 GMT",
        "Sunday, 22-Nov-26 10:41:17 GMT",
        "Sun, 00 Nov 2026 10:41:17 GMT",
        "Sun, 22 Nov 2026 10-41-17 GMT",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(times_parse_http(bad[i], &t));
    assert_int_equal(t, 1795344077);
}

static void test_iso(void **state)
{
    (void)state;
    struct timespec t = {0};
    assert_true(times_parse_iso("2026-11-22T10:41:17.123Z", &t));
    assert_int_equal(t.tv_sec, 1795344077);
    assert_int_equal(t.tv_nsec, 123000000);
    assert_true(times_parse_iso("2026-11-22T10:41:17Z", &t));
    assert_int_equal(t.tv_nsec, 0);
    assert_true(times_parse_iso("2026-11-22T10:41:17.123456789123Z", &t));
    assert_int_equal(t.tv_nsec, 123456789);
    static const char *const bad[] = {
        "",
        "2026-11-22",
        "2026-11-22T10:41:17",
        "2026-11-22T10:41:17.1",
        "2026-13-22T10:41:17Z",
        "2026-11-22T10:41:17.12x3Z",
        "2026-11-22 10:41:17Z",
        "2026-11-22T10:41:17ZZ",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(times_parse_iso(bad[i], &t));
}

static void test_format(void **state)
{
    (void)state;
    char text[TIMES_AMZ_BYTES];
    times_format_amz(1795344077, text);
    assert_string_equal(text, "20261122T104117Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http),
        cmocka_unit_test(test_iso),
        cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
