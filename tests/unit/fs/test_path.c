#include "backend/object.h"
#include "fs/path.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// 2026-11-22 12:00 UTC
static const struct timespec noon = {.tv_sec = 1795348800};

static int create(const char *path, bool is_dir)
{
    struct err err = {0};
    int rc = path_check_create(path, is_dir, 0, noon, &err);
    if (rc) {
        assert_int_equal(err.code, -rc);
        assert_non_null(strstr(err.text, "db1/2026-11-22/orders/orders.dump"));
    }
    return rc;
}

static void depth(void **state)
{
    (void)state;
    assert_int_equal(path_depth(""), 0);
    assert_int_equal(path_depth("db1"), 1);
    assert_int_equal(path_depth("db1/2026-11-22"), 2);
    assert_int_equal(path_depth("db1/2026-11-22/orders.sql"), 3);
}

static void what_may_be_created(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int file, dir; // 0 or the errno
    } rows[] = {
        {"db1", EINVAL, 0},
        {"db1.example.com", EINVAL, 0},
        {"db_1-a", EINVAL, 0},
        {"1db", EINVAL, 0},
        {"latest", EINVAL, 0},
        {".bakfs", EINVAL, EINVAL},
        {"-db", EINVAL, EINVAL},
        {"db 1", EINVAL, EINVAL},
        {"d\xc3\xa4", EINVAL, EINVAL},
        {"", EINVAL, EINVAL},
        {"db1/", EINVAL, EINVAL},
        {"/db1", EINVAL, EINVAL},
        {"db1//x", EINVAL, EINVAL},
        {"db1/2026-11-22", EINVAL, 0},
        {"db1/2024-02-29", EINVAL, 0},
        {"db1/2000-02-29", EINVAL, 0},
        {"db1/1900-02-29", EINVAL, EINVAL},
        {"db1/2026-02-29", EINVAL, EINVAL},
        {"db1/2026-04-31", EINVAL, EINVAL},
        {"db1/2026-13-01", EINVAL, EINVAL},
        {"db1/2026-00-01", EINVAL, EINVAL},
        {"db1/2026-01-00", EINVAL, EINVAL},
        {"db1/0000-01-01", EINVAL, EINVAL},
        {"db1/2026-1-1", EINVAL, EINVAL},
        {"db1/2026/11/22", EINVAL, EINVAL},
        {"db1/2026-11-22x", EINVAL, EINVAL},
        {"db1/latest", EINVAL, EINVAL},
        {"db1/latest/orders", EINVAL, EINVAL},
        {"db1/2026-11-23/x", 0, 0},           // tomorrow
        {"db1/2026-11-24/x", EINVAL, EINVAL}, // past it
        {"db1/2026-11-22/orders.sql", 0, 0},
        {"db1/2026-11-22/.orders.sql.Xa3", 0, 0},
        {"db1/2026-11-22/a/b/c/d", 0, 0},
        {"db1/2026-11-22/a/../b", EINVAL, EINVAL},
        {"db1/2026-11-22/.", EINVAL, EINVAL},
        {"db1/2026-11-22/..", EINVAL, EINVAL},
        {"db1/2026-11-22/...", 0, 0},
        {"db1/2026-11-22/a\nb", EINVAL, EINVAL},
        {"db1/2026-11-22/a\x7f", EINVAL, EINVAL},
        {"db1/2026-11-22/Gr\xc3\xb6\xc3\x9f"
         "e",
         0, 0},
        {"db1/2026-11-22/\xf0\x9f\x98\x80", 0, 0},
        {"db1/2026-11-22/\xf4\x90\x80\x80", EILSEQ, EILSEQ}, // above U+10FFFF
        {"db1/2026-11-22/\xed\xa0\x80", EILSEQ, EILSEQ},     // a surrogate
        {"db1/2026-11-22/\xc0\xaf", EILSEQ, EILSEQ},         // overlong '/'
        {"db1/2026-11-22/\xe0\x9f\xbf", EILSEQ, EILSEQ},
        {"db1/2026-11-22/\xf0\x8f\xbf\xbf", EILSEQ, EILSEQ},
        {"db1/2026-11-22/a\xc3", EILSEQ, EILSEQ}, // cut
        {"db1/2026-11-22/\xe2\x82/x", EILSEQ, EILSEQ},
        {"db1/2026-11-22/\x80", EILSEQ, EILSEQ},
        {"db1/2026-11-22/orders.zst.age", EINVAL, EINVAL},
        {"db1/2026-11-22/orders.zst", 0, EINVAL},
        {"db1/2026-11-22/orders.zst/x", EINVAL, EINVAL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int file = create(rows[i].path, false), dir = create(rows[i].path, true);
        if (file != -rows[i].file || dir != -rows[i].dir)
            fail_msg("'%s': %d and %d", rows[i].path, file, dir);
    }
}

static void lengths(void **state)
{
    (void)state;
    char path[2048] = "db1/2026-11-22/";
    size_t start = strlen(path);
    memset(path + start, 'n', PATH_COMPONENT_BYTES);
    assert_int_equal(create(path, false), 0);
    path[start + PATH_COMPONENT_BYTES] = 'n';
    assert_int_equal(create(path, false), -ENAMETOOLONG);

    for (size_t i = start; i < 1024 - 8; i++)
        path[i] = i % 200 == 0 ? '/' : 'n';
    path[1024 - 8] = '\0';
    assert_int_equal(create(path, false), 0);
    assert_true(path_is_file(path));
    assert_int_equal(create(path, true), -ENAMETOOLONG); // no file would fit into it
    assert_false(path_is_dir(path));
    assert_int_equal(path_check_create(path, false, 1, noon, NULL), -ENAMETOOLONG);
    path[1024 - 9] = '\0';
    assert_int_equal(path_check_create(path, false, 1, noon, NULL), 0);
    path[1024 - 10] = '\0';
    assert_int_equal(create(path, true), 0);
}

static void what_is_shown(void **state)
{
    (void)state;
    assert_true(path_is_file("db1/2999-01-01/x")); // no clock can say that it was wrong then
    assert_true(path_is_dir("db1/2999-01-01"));
    assert_false(path_is_file("db1/2026-11-22"));
    assert_false(path_is_file("db1/latest/x"));
    assert_false(path_is_dir(""));
    assert_false(path_is_dir("db1/2026-11-22/x.zst"));
    assert_true(path_is_file("db1/2026-11-22/x.zst"));
}

static void keys(void **state)
{
    (void)state;
    char out[STORE_KEY_BYTES + 1];
    assert_true(path_from_key("db1/2026-11-22/orders.sql.zst.age", out));
    assert_string_equal(out, "db1/2026-11-22/orders.sql");
    static const char *const hidden[] = {
        "",
        ".zst.age",
        "db1/2026-11-22/x",
        "db1/2026-11-22/x.zst",
        "db1/2026-11-22/.zst.age",
        "db1/x.zst.age",
        "db1//2026-11-22/x.zst.age",
        "db1/2026-11-22/../x.zst.age",
        "db1/2026-11-22/a\tb.zst.age",
        "db1/2026-11-22/x.zst.age/",
        "db1/2026-11-22/x.zst.age.zst.age",
    };
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        if (path_from_key(hidden[i], out))
            fail_msg("'%s' is shown", hidden[i]);
}

static void partitions(void **state)
{
    (void)state;
    char out[PATH_COMPONENT_BYTES + 1];
    assert_true(path_partition("db1/2026-11-22/orders.sql.META", true, out));
    assert_string_equal(out, "orders");
    assert_true(path_partition("db1/2026-11-22/orders", true, out));
    assert_string_equal(out, "orders");
    assert_true(path_partition("db1/2026-11-22/or.ders", false, out));
    assert_string_equal(out, "or.ders");
    assert_true(path_partition("db1/2026-11-22/or.ders/db1.x.dump", true, out));
    assert_string_equal(out, "or.ders");
    assert_false(path_partition("db1/2026-11-22/.orders.sql.Xa3", true, out));
    assert_false(path_partition("db1/2026-11-22/.tmp", false, out));
    assert_false(path_partition("db1/2026-11-22", false, out));
    assert_false(path_partition("", false, out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(depth),   cmocka_unit_test(what_may_be_created),
        cmocka_unit_test(lengths), cmocka_unit_test(what_is_shown),
        cmocka_unit_test(keys),    cmocka_unit_test(partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
