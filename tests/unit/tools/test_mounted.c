// What is no bakfs is never taken for one. (That a bakfs is found needs a mount: tests/integration.)
#include "tools/mounted.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static void other_mounts(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(mounted_check("/proc", &err), -ENOENT);
    assert_string_equal(err.text, "/proc: something else than bakfs is mounted there");
    assert_int_equal(mounted_check("/proc/self/..", &err), -ENOENT); // seen as /proc
    assert_non_null(strstr(err.text, "something else"));
    assert_int_equal(mounted_check("/usr/bin", &err), -ENOENT);
    assert_string_equal(err.text, "/usr/bin: nothing is mounted there");
    assert_int_equal(mounted_check("/nonexistent/x", &err), -ENOENT);
    assert_int_equal(mounted_check("/nonexistent/x", NULL), -ENOENT);
}

static void any_mount(void **state)
{
    (void)state;
    bool any = false;
    assert_int_equal(mounted_any("/proc/", &any, NULL), 0);
    assert_true(any);
    assert_int_equal(mounted_any("/usr/bin", &any, NULL), 0);
    assert_false(any);
}

static void devices(void **state)
{
    (void)state;
    struct stat st;
    bool bakfs = true;
    assert_int_equal(stat("/proc", &st), 0);
    assert_int_equal(mounted_device(st.st_dev, &bakfs, NULL), 0);
    assert_false(bakfs);
}

static void paths(void **state)
{
    (void)state;
    struct err err = {0};
    char *path = mounted_path("//proc/./self/../", &err);
    assert_non_null(path);
    assert_string_equal(path, "/proc");
    free(path);
    assert_null(mounted_path("/nonexistent", &err));
    assert_int_equal(err.code, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_mounts),
        cmocka_unit_test(any_mount),
        cmocka_unit_test(devices),
        cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
