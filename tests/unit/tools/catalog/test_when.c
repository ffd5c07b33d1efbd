// Times as people write them, with clocks that change, and all that is none.
#include "tools/catalog/names.h"
#include "tools/catalog/when.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static time_t utc(const char *stamp)
{
    time_t t = 0;
    assert_true(name_stamp(stamp, strlen(stamp), &t));
    return t;
}

static void zone(const char *name)
{
    setenv("TZ", name, 1);
    tzset();
}

struct expectation {
    const char *text, *stamp; // stamp NULL: EINVAL
};

static void expect_all(const struct expectation *list, size_t count, time_t now)
{
    for (size_t i = 0; i < count; i++) {
        struct err err = {0};
        time_t t = 1;
        int rc = when_parse(list[i].text, now, &t, &err);
        char got[20];
        when_stamp(t, got);
        if (rc != (list[i].stamp ? 0 : -EINVAL) || (rc == 0 && strcmp(got, list[i].stamp) != 0))
            fail_msg("'%s': %d %s %s, expected %s", list[i].text, rc, got, err.text,
                     list[i].stamp ? list[i].stamp : "EINVAL");
        if (rc != 0) {
            assert_int_equal(t, 1);
            assert_true(strlen(err.text) > 10);
        }
    }
}
#define EXPECT(list, now) expect_all(list, sizeof(list) / sizeof((list)[0]), now)

static void berlin_in_winter(void **state)
{
    (void)state;
    zone("Europe/Berlin");
    static const struct expectation list[] = {
        {"2026-11-21", "20261121T225959Z"},
        {"20261121", "20261121T225959Z"},
        {" 2026-11-21 03:00 ", "20261121T020000Z"},
        {"2026-11-21  03:00:15", "20261121T020015Z"},
        {"2026-11-21T03:00:15.250", "20261121T020015Z"},
        {"2026-11-21T03:00:15Z", "20261121T030015Z"},
        {"2026-11-21 03:00 UTC", "20261121T030000Z"},
        {"2026-11-21T03:00:15+02:00", "20261121T010015Z"},
        {"2026-11-21T03:00:15-0530", "20261121T083015Z"},
        {"2026-11-21 03:00 +02", "20261121T010000Z"},
        {"2026-11-21 03:00 CET", "20261121T020000Z"},
        {"2026-11-21 03:00 CEST", NULL}, // not at that time of year
        {"yesterday 03:00", "20261121T020000Z"},
        {"Yesterday 3am", "20261121T020000Z"},
        {"yesterday 12:30 pm", "20261121T113000Z"},
        {"yesterday 12am", "20261120T230000Z"},
        {"yesterday", "20261121T225959Z"},
        {"today", "20261122T225959Z"},
        {"today 03:00", "20261122T020000Z"},
        {"now", "20261122T043000Z"},
        {"03:00", "20261122T020000Z"},
        {"23:00", "20261121T220000Z"}, // today it is not that late yet
        {"03:00Z", "20261122T030000Z"},
        {"23:00Z", "20261121T230000Z"},
        {"2h ago", "20261122T023000Z"},
        {"3 days ago", "20261119T043000Z"},
        {"1h 30m ago", "20261122T030000Z"},
        {"an hour ago", "20261122T033000Z"},
        {"a week ago", "20261115T043000Z"},
        {"20261121T031500Z", "20261121T031500Z"},
        {"@1795300000", "20261121T222640Z"},
        {"@0", "19700101T000000Z"},
        {"2024-02-29", "20240229T225959Z"},
    };
    EXPECT(list, utc("20261122T043000Z")); // 05:30 there
}

static void no_times(void **state)
{
    (void)state;
    zone("Europe/Berlin");
    static const struct expectation list[] = {
        {"", NULL},
        {" ", NULL},
        {"2026-02-29", NULL},
        {"2100-02-29", NULL},
        {"2026-13-01", NULL},
        {"2026-00-10", NULL},
        {"2026-11-31 03:00", NULL},
        {"2026-11-2", NULL},
        {"26-11-21", NULL},
        {"21.11.2026", NULL},
        {"11/21/2026", NULL},
        {"2026-11-21 24:00", NULL},
        {"2026-11-21 3", NULL},
        {"2026-11-21 03:60", NULL},
        {"2026-11-21 03:0", NULL},
        {"2026-11-21 03:00:60", NULL},
        {"2026-11-21 03:00 XYZ", NULL},
        {"2026-11-21 03:00+2", NULL},
        {"2026-11-21 03:00+16:00", NULL},
        {"2026-11-21 03:00Zulu", NULL},
        {"2026-11-21 03:00 Z Z", NULL},
        {"2026-11-21 13am", NULL},
        {"2026-11-21 0am", NULL},
        {"ago", NULL},
        {"2h", NULL},
        {"2 ago", NULL},
        {"2h ago ago", NULL},
        {"2x ago", NULL},
        {"-2h ago", NULL},
        {"999999999w ago", NULL},
        {"9999999999 s ago", NULL},
        {"@", NULL},
        {"@-5", NULL},
        {"@12x", NULL},
        {"@999999999999", NULL},
        {"20261121T031500", NULL},
        {"20261121T251500Z", NULL},
        {"20261321T031500Z", NULL},
        {"tomorrow", NULL},
        {"2026-11-21T", NULL},
        {"now 03:00", NULL},
        {"yesterdays", NULL},
        {"12", NULL},
        {"\x01\xff", NULL},
        {"03:00.5", NULL},
        {"03:00:15.", NULL},
    };
    EXPECT(list, utc("20261122T043000Z"));
    assert_int_equal(when_parse("junk", 0, &(time_t){0}, NULL), -EINVAL);
}

static void says(const char *text, const char *a, const char *b, const char *c)
{
    struct err err = {0};
    time_t t;
    assert_int_equal(when_parse(text, utc("20261122T043000Z"), &t, &err), -EINVAL);
    const char *all[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        if (!strstr(err.text, all[i]))
            fail_msg("'%s' not in: %s", all[i], err.text);
}

// A local time that comes twice or never is asked about, and what is offered can be typed.
static void clocks_that_change(void **state)
{
    (void)state;
    zone("Europe/Berlin");
    says("2026-10-25 02:30", "twice", "\"2026-10-25 02:30:00+02:00\"",
         "\"2026-10-25 02:30:00+01:00\"");
    says("2026-03-29 02:30", "never", "\"2026-03-29 01:30:00+01:00\"",
         "\"2026-03-29 03:30:00+02:00\"");
    static const struct expectation list[] = {
        {"2026-10-25 02:30:00+02:00", "20261025T003000Z"},
        {"2026-10-25 02:30:00+01:00", "20261025T013000Z"},
        {"2026-10-25 02:30 CEST", "20261025T003000Z"},
        {"2026-10-25 02:30 cet", "20261025T013000Z"},
        {"2026-10-25 01:59:59", "20261024T235959Z"},
        {"2026-10-25 03:00", "20261025T020000Z"},
        {"2026-10-25", "20261025T225959Z"},
        {"2026-03-29 01:59", "20260329T005900Z"},
        {"2026-03-29 03:00", "20260329T010000Z"},
        {"2026-03-29", "20260329T215959Z"},
    };
    EXPECT(list, utc("20261122T043000Z"));
    zone(
        "America/Sao_Paulo"); // set back at midnight: 23:59:59 of that day came twice; forward: no midnight
    static const struct expectation saopaulo[] = {
        {"2018-02-17", "20180218T025959Z"},
        {"2018-11-03", "20181104T025959Z"},
        {"2018-11-04", "20181105T015959Z"},
    };
    EXPECT(saopaulo, utc("20261122T043000Z"));
    says("2018-11-04 00:30", "never", "2018-11-03 23:30:00-03:00", "2018-11-04 01:30:00-02:00");
    // "02:30" alone, typed on the day of the change
    zone("Europe/Berlin");
    struct err err = {0};
    time_t t;
    assert_int_equal(when_parse("02:30", utc("20261025T120000Z"), &t, &err), -EINVAL);
    assert_non_null(strstr(err.text, "twice"));
}

static void written(void **state)
{
    (void)state;
    char text[WHEN_TEXT_BYTES];
    zone("Europe/Berlin");
    time_t t = utc("20261121T031500Z");
    when_text(t, t + 7200, text);
    assert_string_equal(text, "2026-11-21 03:15:00 UTC (04:15:00 CET, 2 hours ago)");
    t = utc("20261121T233000Z");
    when_text(t, t + 1, text);
    assert_string_equal(text, "2026-11-21 23:30:00 UTC (2026-11-22 00:30:00 CET, 1 second ago)");
    when_text(t, t - 90, text);
    assert_string_equal(text, "2026-11-21 23:30:00 UTC (2026-11-22 00:30:00 CET, in 1 minute)");
    zone("UTC");
    when_text(t, t, text);
    assert_string_equal(text, "2026-11-21 23:30:00 UTC (now)");
}

static void ages(void **state)
{
    (void)state;
    static const struct {
        time_t s;
        const char *text;
    } list[] = {{0, "now"},
                {1, "1 second"},
                {59, "59 seconds"},
                {60, "1 minute"},
                {3599, "59 minutes"},
                {3600, "1 hour"},
                {47 * 3600, "47 hours"},
                {48 * 3600, "2 days"},
                {89 * 86400, "89 days"},
                {90 * 86400, "3 months"},
                {800 * 86400, "2 years"},
                {-7200, "in 2 hours"}};
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        char text[32];
        when_age(1000000000 - list[i].s, 1000000000, text);
        assert_string_equal(text, list[i].text);
    }
    char longest[32];
    when_age(INT64_MAX / 2, 0, longest);
    when_age(INT64_MIN / 2, 0, longest);
}

static void stamps(void **state)
{
    (void)state;
    char text[20];
    when_stamp(utc("20240229T235959Z"), text);
    assert_string_equal(text, "20240229T235959Z");
    static const char *const bad[] = {"20240229T235959",  "20240229T235959ZZ", "20240229 235959Z",
                                      "20240230T235959Z", "20240229T240000Z",  "20240229T236000Z",
                                      "20240229T235960Z", "2024x229T235959Z",  ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        time_t t = 5;
        assert_false(name_stamp(bad[i], strlen(bad[i]), &t));
        assert_int_equal(t, 5);
    }
    when_stamp((time_t)1 << 60, text); // a year that does not fit
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(berlin_in_winter),
        cmocka_unit_test(no_times),
        cmocka_unit_test(clocks_that_change),
        cmocka_unit_test(written),
        cmocka_unit_test(ages),
        cmocka_unit_test(stamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
