// Output for people and programs, and guesses.
#include "backend/base/nearest.h"
#include "tools/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void printed(void (*print)(FILE *, const char *), const char *text, const char *wanted)
{
    char *out = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&out, &len);
    assert_non_null(file);
    print(file, text);
    assert_int_equal(fclose(file), 0);
    assert_string_equal(out, wanted);
    free(out);
}

static void json(void **state)
{
    (void)state;
    printed(cli_print_json, "", "\"\"");
    printed(cli_print_json, "a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    printed(cli_print_json, "\n\t\x01\x7f", "\"\\u000a\\u0009\\u0001\\u007f\"");
    printed(cli_print_json, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
            "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
    // lone, overlong, surrogate, beyond U+10FFFF, cut at the end
    printed(cli_print_json,
            "a\xff"
            "b",
            "\"a\\ufffdb\"");
    printed(cli_print_json, "\xc0\xaf", "\"\\ufffd\\ufffd\"");
    printed(cli_print_json, "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
    printed(cli_print_json, "\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    printed(cli_print_json, "x\xe2\x82", "\"x\\ufffd\\ufffd\"");
}

static void safe(void **state)
{
    (void)state;
    printed(cli_print_safe, "a\x1b[31mb\n\x7f\xc3\xa4", "a?[31mb??\xc3\xa4");
}

static void distances(void **state)
{
    (void)state;
    assert_int_equal(word_distance("", ""), 0);
    assert_int_equal(word_distance("", "abc"), 3);
    assert_int_equal(word_distance("abc", ""), 3);
    assert_int_equal(word_distance("list", "list"), 0);
    assert_int_equal(word_distance("ilst", "list"), 1);
    assert_int_equal(word_distance("kitten", "sitting"), 3);
    assert_int_equal(word_distance("ca", "abc"), 3); // a swapped pair is not changed again
    char word[40];
    memset(word, 'a', sizeof(word) - 1);
    word[39] = '\0';
    assert_int_equal(word_distance(word, word), WORD_FAR);
    word[32] = '\0';
    assert_int_equal(word_distance(word, word), 0);
}

static void nearest(void **state)
{
    (void)state;
    static const char *const words[] = {"init",    "mount",  "umount", "list",
                                        "confirm", "keygen", NULL};
    assert_string_equal(cli_nearest("ilst", words), "list");
    assert_string_equal(cli_nearest("unmount", words), "umount");
    assert_string_equal(cli_nearest("conffirm", words), "confirm");
    assert_string_equal(cli_nearest("key-gen", words), "keygen");
    assert_null(cli_nearest("frobnicate", words));
    assert_null(cli_nearest("", words));
}

static void sizes_and_times(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        const char *size, *took;
    } rows[] = {{0, "0 B", "0.0 s"},
                {1023, "1023 B", "1.0 s"},
                {1024, "1.0 KiB", "1.0 s"},
                {59999, "58.6 KiB", "59.9 s"},
                {60000, "58.6 KiB", "1 min 0 s"},
                {102348, "99.9 KiB", "1 min 42 s"},
                {1048063, "1023 KiB", "17 min 28 s"},
                {1048576, "1.0 MiB", "17 min 28 s"},
                {3599999, "3.4 MiB", "59 min 59 s"},
                {3600000, "3.4 MiB", "1 h 0 min"},
                {UINT64_MAX, "16.0 EiB", "5124095576030 h 25 min"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[32];
        cli_size_text(rows[i].value, out);
        assert_string_equal(out, rows[i].size);
        cli_took_text(rows[i].value, out);
        assert_string_equal(out, rows[i].took);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json),
        cmocka_unit_test(safe),
        cmocka_unit_test(distances),
        cmocka_unit_test(nearest),
        cmocka_unit_test(sizes_and_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
