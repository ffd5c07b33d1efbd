// A stored object as a source, over a store that goes wrong. (Windows and replaced objects: tests/contract.)
#include "backend/store/store.h"
#include "tests/support/fault_store.h"
#include "tests/support/pattern.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct rig {
    struct temp_dir dir;
    struct store *files, *store;
    struct store_stat stat;
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    struct pattern_source body = pattern_source(1, 0, 10000);
    if (!r || temp_dir_make(&r->dir) < 0 || store_dir_new(r->dir.path, &r->files, NULL) < 0 ||
        fault_store_new(r->files, &r->store) < 0 ||
        r->files->ops->put(r->files, "k", &body.source, NULL, &r->stat, NULL) < 0)
        return -1;
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    store_free(r->store);
    store_free(r->files);
    temp_dir_remove(&r->dir);
    free(r);
    return 0;
}

static struct source *open_with_window(struct rig *r, uint64_t off, size_t len)
{
    struct store_window window = {.off = off, .len = len, .bytes = malloc(len)};
    struct source *source;
    assert_non_null(window.bytes);
    pattern_fill(1, off, window.bytes, len);
    assert_int_equal(store_source_new(r->store, "k", &r->stat, &window, 1, &source, NULL), 0);
    return source;
}

static void test_requests(void **state)
{
    struct rig *r = *state;
    struct source *source = open_with_window(r, 4000, 1000);
    const struct {
        uint64_t off;
        size_t len;
        unsigned gets;
    } cases[] = {{4000, 1000, 0}, {4500, 1, 0}, {0, 4000, 1},  {5000, 5000, 1},
                 {3999, 2, 1},    {4999, 2, 1}, {0, 10000, 2}, {10000, 0, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[10000];
        unsigned before = fault_store_calls(r->store, FAULT_GET);
        assert_int_equal(source_read_at(source, cases[i].off, bytes, cases[i].len, NULL), 0);
        assert_true(pattern_holds(1, cases[i].off, bytes, cases[i].len));
        assert_int_equal(fault_store_calls(r->store, FAULT_GET) - before, cases[i].gets);
    }
    source_free(source);
}

static void test_failures(void **state)
{
    struct rig *r = *state;
    struct source *source = open_with_window(r, 4000, 1000);
    const struct {
        enum fault_kind kind;
        unsigned nth;
        int rc;
    } cases[] = {{FAULT_FAIL, 1, -EIO},
                 {FAULT_FAIL, 2, -EIO},
                 {FAULT_SHORT, 1, -EUCLEAN},
                 {FAULT_SHORT, 2, -EUCLEAN},
                 {FAULT_FAIL, 3, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t bytes[10000];
        struct err err = {0};
        struct fault fault = {
            .op = FAULT_GET, .kind = cases[i].kind, .nth = cases[i].nth, .code = EIO};
        fault_store_set(r->store, &fault);
        assert_int_equal(source_read_at(source, 0, bytes, sizeof(bytes), &err), cases[i].rc);
        assert_true(cases[i].rc == 0 || strlen(err.text) > 0);
    }
    source_free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
