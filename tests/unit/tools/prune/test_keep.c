#include "tools/prune/keep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1795348800 // 2026-11-22T12:00:00Z, a Sunday
#define HOUR 3600
#define DAY 86400

// `text`: one letter for each, the oldest first: g good, v verified, u unfinished, f failed, i incomplete, h hidden, x
// foreign, r recent. `hours`: how old each is.
static struct keep_item *decide(const struct keep_rules *rules, const char *text, const int *hours)
{
    static struct keep_item list[32];
    static const char letters[] = "gufihxr";
    size_t count = strlen(text);
    assert_true(count <= 32);
    memset(list, 0xa5, sizeof(list));
    for (size_t i = 0; i < count; i++) {
        list[i].when = NOW - hours[i] * HOUR;
        list[i].verified = text[i] == 'v';
        list[i].state = text[i] == 'v' ? KEEP_GOOD
                                       : (enum keep_state)(strchr(letters, text[i]) - letters);
    }
    keep_decide(rules, NOW, list, count);
    return list;
}

static void expect(const struct keep_item *item, bool keep, const char *why)
{
    if (item->keep != keep || strcmp(item->why, why) != 0)
        fail_msg("%s, %s; not: %s, %s", item->keep ? "keep" : "go", item->why, keep ? "keep" : "go",
                 why);
}

static void test_any(void **state)
{
    (void)state;
    assert_false(keep_rules_any(&(struct keep_rules){.within = "1d"}));
    assert_true(keep_rules_any(&(struct keep_rules){.last = 1}));
    assert_true(keep_rules_any(&(struct keep_rules){.hourly = 1}));
    assert_true(keep_rules_any(&(struct keep_rules){.daily = 1}));
    assert_true(keep_rules_any(&(struct keep_rules){.weekly = 1}));
    assert_true(keep_rules_any(&(struct keep_rules){.monthly = 1}));
    assert_true(keep_rules_any(&(struct keep_rules){.yearly = 1}));
    assert_true(keep_rules_any(&(struct keep_rules){.within_s = 1}));
}

static void test_last(void **state)
{
    (void)state;
    const int hours[] = {72, 48, 24, 1};
    const struct keep_item *list = decide(&(struct keep_rules){.last = 2}, "gggg", hours);
    expect(&list[0], false, "no rule keeps it");
    expect(&list[1], false, "no rule keeps it");
    expect(&list[2], true, "last");
    expect(&list[3], true, "newest, last");
    list = decide(&(struct keep_rules){.last = 99}, "gggg", hours);
    expect(&list[0], true, "last");
}

// The newest of each period, by UTC; every rule that keeps one is named.
static void test_periods(void **state)
{
    (void)state;
    // Sat 06:00, Sat 12:00, Sun 00:00, Sun 11:00, Sun 11:30 (not an hour apart)
    const int hours[] = {30, 24, 12, 1};
    const struct keep_rules rules = {.hourly = 1, .daily = 2, .weekly = 2, .monthly = 2};
    const struct keep_item *list = decide(&rules, "gggg", hours);
    expect(&list[0], false, "no rule keeps it");
    expect(&list[1], true, "daily 2026-11-21");
    expect(&list[2], false, "no rule keeps it");
    expect(&list[3], true,
           "newest, hourly 2026-11-22T11, daily 2026-11-22, weekly 2026-W47, monthly 2026-11");
    // Monday begins another week, and the weeks around New Year are those of ISO
    const int weeks[] = {24 * 326, 24 * 325, 24 * 324, 24 * 7, 24 * 6};
    list = decide(&(struct keep_rules){.weekly = 4, .yearly = 1}, "ggggg", weeks);
    expect(&list[0], false, "no rule keeps it"); // 2025-12-31, Wednesday
    expect(&list[1], false, "no rule keeps it"); // 2026-01-01
    expect(&list[2], true, "weekly 2026-W01");
    expect(&list[3], true, "weekly 2026-W46");
    expect(&list[4], true, "newest, weekly 2026-W47, yearly 2026");
    list = decide(&(struct keep_rules){.yearly = 2}, "ggggg", weeks);
    expect(&list[0], true, "yearly 2025");
    // days without a backup do not use the rule up
    const int gaps[] = {24 * 90, 24 * 60, 24 * 30};
    list = decide(&(struct keep_rules){.daily = 3}, "ggg", gaps);
    assert_true(list[0].keep && list[1].keep && list[2].keep);
}

static void test_within(void **state)
{
    (void)state;
    const int hours[] = {49, 48, 47, 1};
    const struct keep_rules rules = {.within_s = 2 * DAY, .within = "2d"};
    const struct keep_item *list = decide(&rules, "ggug", hours);
    expect(&list[0], false, "no rule keeps it");
    expect(&list[1], true, "within 2d");
    expect(&list[2], true, "within 2d, unfinished: it has no META, but younger than 7 days");
    expect(&list[3], true, "newest, within 2d");
    const struct keep_rules ever = {.within_s = UINT64_MAX, .within = "x"};
    assert_true(decide(&ever, "gggg", hours)[0].keep);
}

static void test_newest(void **state)
{
    (void)state;
    const int hours[] = {24 * 30, 24 * 20, 24 * 10, 24 * 9, 1};
    // the newest verified one is not the newest, and what failed or is unfinished is neither
    const struct keep_item *list = decide(&(struct keep_rules){.last = 1}, "vvgfu", hours);
    expect(&list[0], false, "no rule keeps it");
    expect(&list[1], true, "newest verified");
    expect(&list[2], true, "newest, last");
    expect(&list[3], true, "failed its verification, but no good one is newer");
    expect(&list[4], true, "unfinished: it has no META, but no good one is newer");
    // a rule is not used up by them
    list = decide(&(struct keep_rules){.last = 2}, "ggufg", hours);
    assert_true(list[1].keep);
    expect(&list[0], false, "no rule keeps it");
}

static void test_bad_ones(void **state)
{
    (void)state;
    const int hours[] = {24 * 7 + 1, 24 * 7, 24 * 7 - 1, 1};
    const struct keep_rules rules = {.last = 9};
    for (const char *c = "ufih"; *c; c++) {
        const char text[] = {*c, *c, *c, 'g', '\0'};
        const struct keep_item *list = decide(&rules, text, hours);
        assert_false(list[0].keep);
        assert_false(list[1].keep);
        assert_true(list[2].keep);
        assert_non_null(strstr(list[2].why, "younger than 7 days"));
        assert_true(strlen(list[0].why) > 0);
    }
    expect(&decide(&rules, "xxxg", hours)[0], true,
           "bakfs did not write it: nothing is known of it");
    const struct keep_item *list =
        decide(&(struct keep_rules){.last = 1}, "ggr", (const int[]){72, 48, 1});
    expect(&list[0], false, "no rule keeps it");
    expect(&list[1], true, "newest, last");
    expect(&list[2], true, "copied in less than a day ago: it may not be whole yet");
}

static void test_none_good(void **state)
{
    (void)state;
    const int hours[] = {24 * 90, 24 * 60, 24 * 30};
    const struct keep_item *list = decide(&(struct keep_rules){.last = 1}, "ufi", hours);
    for (int i = 0; i < 3; i++)
        assert_true(list[i].keep);
    expect(&list[0], true, "unfinished: it has no META, and the partition has no good backup");
    keep_decide(&(struct keep_rules){.last = 1}, NOW, NULL, 0);
}

// A clock that was wrong must not make the newest real backup one that may go.
static void test_future(void **state)
{
    (void)state;
    const int hours[] = {72, 48, 0, -1, -24 * 400};
    const struct keep_item *list = decide(&(struct keep_rules){.last = 1}, "ggggu", hours);
    expect(&list[0], false, "no rule keeps it");
    expect(&list[1], false, "no rule keeps it");
    expect(&list[2], true, "newest, last");
    expect(&list[3], true, "its time is in the future");
    expect(&list[4], true, "its time is in the future");
    // only future ones: not one of them is good, for now
    list = decide(&(struct keep_rules){.last = 1}, "ufggg", (const int[]){90, 80, -1, -2, -3});
    for (int i = 0; i < 5; i++)
        assert_true(list[i].keep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any),       cmocka_unit_test(test_last),
        cmocka_unit_test(test_periods),   cmocka_unit_test(test_within),
        cmocka_unit_test(test_newest),    cmocka_unit_test(test_bad_ones),
        cmocka_unit_test(test_none_good), cmocka_unit_test(test_future),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
