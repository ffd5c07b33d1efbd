// What is told, and what was told already; the clock is the test's.
#include "backend/base/scope.h"
#include "tests/support/temp_dir.h"
#include "tools/notify/repeat.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW 1795348800
#define HOUR 3600
#define DAY (24 * HOUR)

static struct temp_dir temp;
static char dir[256]; // the state directory: that, or what stands in for it

static struct repeat judged(bool pass, const char *what, const char *summary, time_t now)
{
    struct repeat out;
    repeat_judge(dir,
                 &(struct notice){.pass = pass, .verb = "backup", .what = what, .summary = summary},
                 now, &out);
    return out;
}

static bool tells(const char *what, const char *summary, time_t now)
{
    return judged(false, what, summary, now).tell;
}

static void once_and_then_daily(void **state)
{
    (void)state;
    struct repeat first = judged(false, "orders", "disk full", NOW);
    assert_true(first.tell && first.remembered && !first.again);
    assert_int_equal(first.count, 1);
    assert_int_equal(first.since, NOW);
    for (int i = 1; i <= 21; i++)
        assert_false(tells("orders", "disk full", NOW + i * HOUR));
    assert_false(tells("orders", "disk full", NOW + REPEAT_DAY_S - 1));
    struct repeat later = judged(false, "orders", "disk full", NOW + DAY - 60); // a timer in haste
    assert_true(later.tell);
    assert_int_equal(later.count, 24);
    assert_int_equal(later.since, NOW);
    assert_false(tells("orders", "disk full", NOW + DAY + HOUR));
    assert_true(tells("orders", "disk full", NOW + 2 * DAY));
}

static void what_is_the_same(void **state)
{
    (void)state;
    assert_true(tells("orders", "12 rows are missing", NOW));
    assert_false(tells("orders", "13 rows are missing", NOW));
    assert_true(tells("orders", "rows are missing", NOW));
    assert_true(tells("users", "12 rows are missing", NOW));
    // another verb
    struct repeat out;
    repeat_judge(
        dir, &(struct notice){.verb = "verify", .what = "orders", .summary = "12 rows are missing"},
        NOW, &out);
    assert_true(out.tell);
    // of paths, only the date may differ
    assert_true(tells("db1/2026-11-22/o/db1.20261122T031500Z.o.dump", "x", NOW));
    assert_false(tells("db1/2026-11-23/o/db1.20261123T031501Z.o.dump", "x", NOW));
    assert_true(tells("db2/2026-11-23/o/db2.20261123T031501Z.o.dump", "x", NOW));
    assert_true(tells("db1/2026-11-23/o2/db1.20261123T031501Z.o.dump", "x", NOW));
    assert_true(tells("shard-123456789", "x", NOW));
    assert_true(tells("shard-123456780", "x", NOW));
    assert_true(tells("shard-20261378", "x", NOW)); // no date
    assert_true(tells("shard-20261379", "x", NOW));
    assert_true(tells("dump_20261122", "x", NOW));
    assert_false(tells("dump_20261123", "x", NOW));
}

static void many_reasons_are_bounded(void **state)
{
    (void)state;
    char reason[] = "reason a";
    for (int i = 0; i < REPEAT_REASONS; i++, reason[7]++)
        assert_true(tells("orders", reason, NOW + i));
    for (int i = 0; i < 5; i++, reason[7]++)
        assert_false(tells("orders", reason, NOW + 20));
    assert_true(tells("orders", reason, NOW + 20 + REPEAT_DAY_S));
}

static void passes(void **state)
{
    (void)state;
    assert_false(judged(true, "orders", "9 GiB", NOW).tell);
    assert_true(tells("orders", "disk full", NOW));
    assert_false(tells("orders", "disk full", NOW + 1));
    assert_false(judged(true, "users", "9 GiB", NOW + 2).tell);
    struct repeat again = judged(true, "orders", "9 GiB", NOW + 2);
    assert_true(again.tell && again.again);
    assert_int_equal(again.count, 2);
    assert_int_equal(again.since, NOW);
    assert_false(judged(true, "orders", "9 GiB", NOW + 3).tell);
    struct repeat anew = judged(false, "orders", "disk full", NOW + 4); // told at once
    assert_true(anew.tell);
    assert_int_equal(anew.count, 1);
}

static void clock_was_wrong(void **state)
{
    (void)state;
    assert_true(tells("orders", "disk full", NOW + 400 * DAY));
    assert_true(tells("orders", "disk full", NOW));
    assert_false(tells("orders", "disk full", NOW + 1));
}

static void nobody_could_be_told(void **state)
{
    (void)state;
    const struct notice failure = {.verb = "backup", .what = "orders", .summary = "disk full"};
    const struct notice pass = {.pass = true, .verb = "backup", .what = "orders", .summary = "ok"};
    struct repeat out;
    repeat_judge(dir, &failure, NOW, &out);
    assert_true(out.tell);
    repeat_take_back(dir, &failure, NOW, &out);
    repeat_judge(dir, &failure, NOW + 1, &out);
    assert_true(out.tell);
    assert_int_equal(out.count, 2);
    assert_false(tells("orders", "disk full", NOW + 2));
    repeat_judge(dir, &pass, NOW + 3, &out);
    assert_true(out.tell);
    repeat_take_back(dir, &pass, NOW + 3, &out);
    repeat_judge(dir, &pass, NOW + 4, &out);
    assert_true(out.tell && out.again);
    assert_int_equal(out.count, 3);
    assert_int_equal(out.since, NOW);
    assert_false(judged(true, "orders", "ok", NOW + 5).tell);
}

static void put_file(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

// What cannot be read or written is told rather than not.
static void a_file_that_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{",
        "[",
        "{}",
        "[1, \"x\", null, {}]",
        "[{\"verb\": 1, \"what\": [], \"told\": 7}]",
        "[{\"verb\": \"backup\", \"what\": \"orders\", \"told\": 7}]"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        put_file("notices", texts[i]);
        assert_true(tells("orders", "disk full", NOW));
        assert_false(tells("orders", "disk full", NOW));
    }
    static const char *const nowhere[] = {"", "/proc/self/none", "/dev/null"};
    for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
        snprintf(dir, sizeof(dir), "%s", nowhere[i]);
        for (int k = 0; k < 2; k++) {
            struct repeat out = judged(false, "orders", "disk full", NOW);
            assert_true(out.tell && !out.remembered);
        }
        assert_false(judged(true, "orders", "ok", NOW).tell);
    }
}

// Who may not write to the daemon's directory has a book elsewhere.
static void another_place(void **state)
{
    (void)state;
    char elsewhere[512];
    strcpy(dir, "/dev/null");
    snprintf(elsewhere, sizeof(elsewhere), "%s/unit", temp.path);
    setenv("STATE_DIRECTORY", elsewhere, 1);
    assert_true(tells("orders", "disk full", NOW));
    assert_false(tells("orders", "disk full", NOW));
    unsetenv("STATE_DIRECTORY");
    setenv("HOME", temp.path, 1);
    assert_true(tells("orders", "disk full", NOW));
    assert_false(tells("orders", "disk full", NOW));
    assert_int_equal(access(elsewhere, F_OK), 0);
    snprintf(elsewhere, sizeof(elsewhere), "%s/.bakfs/notices", temp.path);
    assert_int_equal(access(elsewhere, F_OK), 0);
}

static void old_ones_go(void **state)
{
    (void)state;
    char what[32], path[512];
    assert_true(tells("first", "x", NOW));
    for (int i = 0; i < 20; i++) {
        snprintf(what, sizeof(what), "what%d", i);
        assert_true(tells(what, "x", NOW + REPEAT_FORGET_S + 10));
    }
    snprintf(path, sizeof(path), "%s/notices", dir);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_false(judged(true, "first", "ok", NOW + REPEAT_FORGET_S + 11).tell);
    assert_true(judged(true, "what0", "ok", NOW + REPEAT_FORGET_S + 11).tell);
}

// Of many that fail at the same moment one tells.
static void processes(void **state)
{
    (void)state;
    enum { CHILDREN = 16 };
    pid_t children[CHILDREN];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            char go;
            close(ends[1]);
            if (read(ends[0], &go, 1) != 0) // its end: all of them are there
                _exit(2);
            _exit(tells("orders", "disk full", NOW) ? 1 : 0);
        }
    }
    close(ends[1]);
    close(ends[0]);
    int told = 0;
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        told += WEXITSTATUS(status);
    }
    assert_int_equal(told, 1);
    assert_int_equal(judged(false, "orders", "disk full", NOW).count, CHILDREN + 1);
}

static int fresh(void **state)
{
    (void)state;
    assert_int_equal(temp_dir_make(&temp), 0);
    memcpy(dir, temp.path, sizeof(dir));
    unsetenv("STATE_DIRECTORY");
    unsetenv("HOME");
    return 0;
}

static int gone(void **state)
{
    (void)state;
    temp_dir_remove(&temp);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(once_and_then_daily),
        TEST(what_is_the_same),
        TEST(many_reasons_are_bounded),
        TEST(passes),
        TEST(clock_was_wrong),
        TEST(nobody_could_be_told),
        TEST(a_file_that_is_none),
        TEST(another_place),
        TEST(old_ones_go),
        TEST(processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
