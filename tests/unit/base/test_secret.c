#include "backend/base/secret.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_lengths(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 32, 4079, 4080, 4096, 10000};
    char text[10000];
    memset(text, 'k', sizeof(text));
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct secret *s = secret_new(text, lengths[i]);
        assert_non_null(s);
        assert_int_equal(s->len, lengths[i]);
        assert_memory_equal(s->bytes, text, lengths[i]);
        assert_int_equal(s->bytes[lengths[i]], 0);
        secret_free(s);
    }
    secret_free(NULL);
    assert_null(secret_new(NULL, SIZE_MAX)); // nothing of that size is copied
}

static void test_free_keeps_errno(void **state)
{
    (void)state;
    struct secret *s = secret_new("key", 3);
    errno = ENOENT;
    secret_free(s);
    assert_int_equal(errno, ENOENT);
}

// The pages are left out of core dumps: "dd" in the mapping's VmFlags.
static void test_not_dumped(void **state)
{
    (void)state;
    struct secret *s = secret_new("key", 3);
    assert_non_null(s);
    FILE *maps = fopen("/proc/self/smaps", "re");
    assert_non_null(maps);
    char line[1024];
    bool inside = false, dumped = true;
    while (fgets(line, sizeof(line), maps)) {
        char *dash, *end;
        uintptr_t from = strtoul(line, &dash, 16);
        if (*dash == '-') { // the first line of a mapping: from-to
            uintptr_t to = strtoul(dash + 1, &end, 16);
            inside = from <= (uintptr_t)s && (uintptr_t)s < to;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            dumped = strstr(line, " dd") == NULL;
    }
    fclose(maps);
    assert_false(dumped);
    secret_free(s);
}

static void test_wipe(void **state)
{
    (void)state;
    char text[] = "key";
    secret_wipe(text, 3);
    assert_memory_equal(text, "\0\0\0", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_free_keeps_errno),
        cmocka_unit_test(test_not_dumped),
        cmocka_unit_test(test_wipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
