// What doctor keeps of keys that it tried.
#include "tests/support/temp_dir.h"
#include "tools/proof.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct temp_dir dir;

static int begin(void **state)
{
    (void)state;
    return temp_dir_make(&dir);
}

static int end(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

static void there_and_back(void **state)
{
    (void)state;
    struct proofs all = {.list = NULL};
    struct err err = {0};
    assert_int_equal(proofs_read(dir.path, &all, &err), 0);
    assert_int_equal(all.count, 0);
    assert_int_equal(proofs_note(&all, "db1", "age1a", "db1/x = y", true, 1000, &err), 0);
    assert_int_equal(proofs_note(&all, "db1", "age1b", "db1/x", false, 1001, &err), 0);
    assert_int_equal(proofs_note(&all, "db1", "age1a", "db1/z", false, 2000, &err), 0);
    assert_int_equal(proofs_write(dir.path, &all, &err), 0);
    proofs_done(&all);
    assert_int_equal(proofs_read(dir.path, &all, &err), 0);
    assert_int_equal(all.count, 2);
    assert_string_equal(all.list[0].host, "db1");
    assert_string_equal(all.list[0].recipient, "age1a");
    assert_string_equal(all.list[0].object, "db1/z");
    assert_false(all.list[0].opened);
    assert_int_equal(all.list[0].at, 2000);
    assert_int_equal(all.list[0].opened_at, 1000); // that it did once is not forgotten
    assert_int_equal(all.list[1].opened_at, 0);
    proofs_done(&all);
}

static void edited_or_not_writable(void **state)
{
    (void)state;
    struct proofs all = {.list = NULL};
    struct err err = {0};
    char path[300];
    snprintf(path, sizeof(path), "%s/" PROOF_FILE, dir.path);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs("[proof]\nhost = db1\n", out);
    fclose(out);
    assert_int_equal(proofs_read(dir.path, &all, &err), -EUCLEAN);
    assert_null(all.list);
    assert_int_equal(proofs_note(&all, "db1", "age1a", "db1/x", true, 1000, &err), 0);
    assert_int_equal(proofs_write("/nonexistent", &all, &err), -ENOENT);
    assert_int_equal(proofs_write(dir.path, &all, &err), 0);
    proofs_done(&all);
    assert_int_equal(proofs_read(dir.path, &all, &err), 0);
    assert_int_equal(all.count, 1);
    proofs_done(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_and_back, begin, end),
        cmocka_unit_test_setup_teardown(edited_or_not_writable, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
