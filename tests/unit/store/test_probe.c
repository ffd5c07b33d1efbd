// What is found out about conditions: over the simulated store, which honours them, and one that does not.
#include "backend/store/probe.h"
#include "tests/support/fault_store.h"
#include "tests/support/sim_store.h"
#include "tests/support/temp_dir.h"
#include "tests/support/uploads.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct store *sim;
static const struct store_ops *honest;
static struct store_ops changed;
static struct temp_dir dir;
static unsigned puts_seen;
static int64_t ahead_seconds;

static int put_any(struct store *s, const char *key, struct source *body,
                   const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    (void)cond;
    puts_seen++;
    return honest->put(s, key, body, NULL, out, err);
}

static int put_seen(struct store *s, const char *key, struct source *body,
                    const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    assert_true(s->limits.put_conditions && s->limits.complete_conditions); // the bare request
    assert_int_equal(strncmp(key, PROBE_PREFIX, strlen(PROBE_PREFIX)), 0);
    puts_seen++;
    return honest->put(s, key, body, cond, out, err);
}

static int complete_any(struct store *s, const char *key, const char *id,
                        const struct store_part *parts, unsigned count,
                        const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    (void)cond;
    return honest->upload_complete(s, key, id, parts, count, NULL, out, err);
}

// One that knows If-None-Match, but refuses every If-Match: of no use.
static int put_no_match(struct store *s, const char *key, struct source *body,
                        const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    if (cond && cond->if_match)
        return err_set(err, EEXIST, "no");
    return honest->put(s, key, body, cond, out, err);
}

static int refused(struct store *s, const char *key, const char *if_match, struct err *err)
{
    (void)s, (void)key, (void)if_match;
    return err_set(err, EACCES, "remove: refused");
}

static struct timespec later(struct store *s)
{
    struct timespec t = honest->now(s);
    t.tv_sec += ahead_seconds;
    return t;
}

static void nothing_left(void)
{
    assert_int_equal(uploads_below(sim, ""), 0);
    // the simulated store has room for 16: 20 tries that left something would fill it
}

static int setup(void **state)
{
    (void)state;
    if (temp_dir_make(&dir) < 0 || sim_store_new(100, &sim) < 0)
        return -1;
    honest = sim->ops;
    changed = *honest;
    changed.put = put_seen;
    changed.now = later;
    sim->ops = &changed;
    sim->limits.put_conditions = sim->limits.complete_conditions = false;
    sim->limits.conditions_unsure = true;
    puts_seen = 0;
    ahead_seconds = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_free(sim);
    temp_dir_remove(&dir);
    return 0;
}

static void asked(enum probe_answer put, enum probe_answer complete)
{
    struct probe p;
    struct err err = {0};
    if (probe_ask(sim, &p, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(p.put, put);
    assert_int_equal(p.complete, complete);
    assert_false(sim->limits.put_conditions || sim->limits.complete_conditions);
    nothing_left();
}

static void test_answers(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        asked(PROBE_HONOURED, PROBE_HONOURED);
    changed.upload_complete = complete_any;
    for (int i = 0; i < 20; i++)
        asked(PROBE_HONOURED, PROBE_IGNORED);
    changed.put = put_any;
    asked(PROBE_IGNORED, PROBE_IGNORED);
    changed.put = put_no_match;
    asked(PROBE_IGNORED, PROBE_IGNORED);
    changed.remove = refused;
    puts_seen = 0;
    changed.put = put_seen;
    asked(PROBE_UNKNOWN, PROBE_UNKNOWN);
    assert_int_equal(puts_seen, 0); // nothing is left that could not be removed
}

static void test_failures(void **state)
{
    (void)state;
    struct store *faulty;
    assert_int_equal(fault_store_new(sim, &faulty), 0);
    changed.put = put_any; // fault_store has limits of its own
    for (unsigned nth = 1;; nth++) {
        struct probe p = {.put = PROBE_HONOURED};
        struct err err = {0};
        fault_store_set(faulty, &(struct fault){.op = FAULT_ANY, .nth = nth, .code = EIO});
        int rc = probe_conditions(faulty, NULL, &p, &err);
        if (rc == 0)
            break;
        assert_int_equal(rc, -EIO);
        assert_non_null(strstr(err.text, "conditions are honoured"));
        assert_int_equal(p.put, PROBE_UNKNOWN);
        assert_false(faulty->limits.put_conditions || faulty->limits.complete_conditions);
        assert_true(nth < 40);
    }
    store_free(faulty);
}

static void test_remembered(void **state)
{
    (void)state;
    struct probe p;
    changed.upload_complete = complete_any;
    assert_int_equal(probe_conditions(sim, dir.path, &p, NULL), 0);
    assert_true(sim->limits.put_conditions);
    assert_false(sim->limits.complete_conditions);
    unsigned once = puts_seen;
    assert_true(once > 0);
    ahead_seconds = 6 * 24 * 3600;
    struct probe again;
    assert_int_equal(probe_conditions(sim, dir.path, &again, NULL), 0);
    assert_int_equal(puts_seen, once);
    assert_int_equal(again.put, PROBE_HONOURED);
    assert_int_equal(again.complete, PROBE_IGNORED);
    assert_true(again.seconds == p.seconds);
    // a week later the store may have learnt it
    ahead_seconds = 7 * 24 * 3600 + 5;
    changed.upload_complete = honest->upload_complete;
    assert_int_equal(probe_conditions(sim, dir.path, &again, NULL), 0);
    assert_true(puts_seen > once);
    assert_int_equal(again.complete, PROBE_HONOURED);
    assert_true(sim->limits.complete_conditions);
    // another store has its own file
    once = puts_seen;
    snprintf(sim->id, sizeof(sim->id), "sim: another");
    assert_int_equal(probe_conditions(sim, dir.path, &again, NULL), 0);
    assert_true(puts_seen > once);
    // that nothing is known holds for a day
    snprintf(sim->id, sizeof(sim->id), "sim: a third");
    changed.remove = refused;
    assert_int_equal(probe_conditions(sim, dir.path, &again, NULL), 0);
    assert_int_equal(again.put, PROBE_UNKNOWN);
    assert_false(sim->limits.put_conditions);
    changed.remove = honest->remove;
    once = puts_seen;
    assert_int_equal(probe_conditions(sim, dir.path, &again, NULL), 0);
    assert_int_equal(puts_seen, once);
    ahead_seconds += 24 * 3600 + 5;
    assert_int_equal(probe_conditions(sim, dir.path, &again, NULL), 0);
    assert_true(puts_seen > once);
    assert_int_equal(again.put, PROBE_HONOURED);
}

static void test_malformed(void **state)
{
    (void)state;
    struct probe p;
    assert_int_equal(probe_conditions(sim, dir.path, &p, NULL), 0);
    char command[512];
    static const char *const bad[] = {"", "x", "store sim:\\n",
                                      "store sim:\\nseconds 1\\nput x\\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(command, sizeof(command), "for f in %s/conditions-*; do printf '%s' >$f; done",
                 dir.path, bad[i]);
        assert_int_equal(system(command), 0);
        unsigned once = puts_seen;
        assert_int_equal(probe_conditions(sim, dir.path, &p, NULL), 0);
        assert_true(puts_seen > once);
        assert_int_equal(p.complete, PROBE_HONOURED);
    }
}

static void test_sure(void **state)
{
    (void)state;
    struct probe p;
    sim->limits.conditions_unsure = false;
    sim->limits.put_conditions = true;
    assert_int_equal(probe_conditions(sim, dir.path, &p, NULL), 0);
    assert_int_equal(puts_seen, 0);
    assert_int_equal(p.put, PROBE_HONOURED);
    assert_int_equal(p.complete, PROBE_IGNORED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sure, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
