#include "backend/s3/uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_encode(void **state)
{
    (void)state;
    char out[64];
    assert_true(uri_encode("host=db1/date=2026+a b:c~-_.", true, out, sizeof(out)));
    assert_string_equal(out, "host%3Ddb1/date%3D2026%2Ba%20b%3Ac~-_.");
    assert_true(uri_encode("a/b", false, out, sizeof(out)));
    assert_string_equal(out, "a%2Fb");
    assert_true(uri_encode("\xc3\xa4", true, out, sizeof(out)));
    assert_string_equal(out, "%C3%A4");
    assert_true(uri_encode("", true, out, 1));
    assert_string_equal(out, "");
}

static void test_room(void **state)
{
    (void)state;
    char out[8];
    assert_true(uri_encode("abc", true, out, 4));
    assert_false(uri_encode("abc", true, out, 3));
    assert_true(uri_encode("a b", true, out, 6));
    assert_false(uri_encode("a b", true, out, 5));
    assert_false(uri_encode("", true, out, 0));
}

static void test_decode(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; // NULL: malformed
    } table[] = {
        {"a%20b+c%2Bd", "a b c+d"},
        {"%C3%a4", "\xc3\xa4"},
        {"plain/x", "plain/x"},
        {"", ""},
        {"a%", NULL},
        {"a%2", NULL},
        {"a%g0", NULL},
        {"a%00b", NULL},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char text[32];
        strcpy(text, table[i].in);
        assert_int_equal(uri_decode(text), table[i].out != NULL);
        if (table[i].out)
            assert_string_equal(text, table[i].out);
    }
}

static void test_round(void **state)
{
    (void)state;
    char all[256], encoded[1024];
    for (int i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    all[255] = '\0';
    assert_true(uri_encode(all, true, encoded, sizeof(encoded)));
    assert_true(uri_decode(encoded));
    assert_string_equal(encoded, all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_decode),
        cmocka_unit_test(test_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
