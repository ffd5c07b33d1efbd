#include "tools/catalog/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_stamp(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        long long time; // -1: none
    } rows[] = {
        {"20261121T031500Z", 1795230900}, {"20240229T235959Z", 1709251199},
        {"19700101T000000Z", 0},          {"20230229T000000Z", -1},
        {"20261121T240000Z", -1},         {"20261121T036000Z", -1},
        {"20261121T030060Z", -1},         {"20261321T031500Z", -1},
        {"20260021T031500Z", -1},         {"20261100T031500Z", -1},
        {"20261121t031500Z", -1},         {"20261121T031500z", -1},
        {"2026112 T031500Z", -1},         {"-0261121T031500Z", -1},
        {"00000101T000000Z", -1},         {"20261121T031500", -1},
        {"20261121T031500ZZ", -1},        {"", -1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        time_t at = 7;
        bool is = name_stamp(rows[i].text, strlen(rows[i].text), &at);
        if (is != (rows[i].time >= 0) || at != (is ? rows[i].time : 7))
            fail_msg("'%s': %d, %lld", rows[i].text, is, (long long)at);
    }
}

static void test_date(void **state)
{
    (void)state;
    time_t at = 0;
    assert_true(name_date("2026-11-21", &at));
    assert_int_equal(at, 1795219200);
    static const char *const wrong[] = {
        "2026-02-29", "2026-13-01",  "2026-00-01", "2026-11-31", "latest",
        "2026-1-21",  "2026-11-021", "2026/11/21", "0000-01-01", ""};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (name_date(wrong[i], &at))
            fail_msg("'%s' is no date", wrong[i]);
}

static void test_ours(void **state)
{
    (void)state;
    static const struct {
        const char *end;
        enum name_kind kind;
    } rows[] = {
        {".dump", NAME_DUMP},
        {".dir", NAME_DIR},
        {".sql", NAME_SQL},
        {".globals.sql", NAME_GLOBALS},
        {".schema.sql", NAME_SCHEMA},
        {".META", NAME_META},
        {".VERIFIED.20261122T040000Z.PASS", NAME_VERIFIED},
        {".VERIFIED.20261122T040000Z.FAIL", NAME_VERIFIED},
        {".VERIFIED.20261122T040000Z.MAYBE", NAME_BESIDE},
        {".VERIFIED.20261122T250000Z.PASS", NAME_BESIDE},
        {".x.VERIFIED.20261122T040000Z.PASS", NAME_BESIDE},
        {".meta", NAME_BESIDE},
        {".dump.gz", NAME_BESIDE},
        {".", NAME_BESIDE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char name[200];
        struct name found;
        snprintf(name, sizeof(name), "db1.example.com.20261121T031500Z.or.ders%s", rows[i].end);
        assert_true(name_parse("or.ders", name, &found));
        if (found.kind != rows[i].kind)
            fail_msg("'%s' is kind %d", name, (int)found.kind);
        assert_int_equal(found.stem_len, strlen(name) - strlen(rows[i].end));
        assert_int_equal(found.when, 1795230900);
        assert_int_equal(found.verified_at, found.kind == NAME_VERIFIED ? 1795320000 : 0);
        assert_int_equal(found.pass, strstr(rows[i].end, "PASS") && found.kind == NAME_VERIFIED);
    }
}

static void test_not_ours(void **state)
{
    (void)state;
    static const char *const names[] = {
        "orders.sql",
        "db1.20261121T031500Z.orders",
        "db1.20261121T031500Z.orders2.dump",
        "db1.20261121T031500Z.order.dump",
        "db1.20261321T031500Z.orders.dump",
        "20261121T031500Z.orders.dump",
        ".20261121T031500Z.orders.dump",
        ".db1.20261121T031500Z.orders.dump.XXXXXX",
        "d b.20261121T031500Z.orders.dump",
        "db1.20261121T0315",
        "db1.20261121T031500Z",
        "db1.",
        "",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct name found;
        if (name_parse("orders", names[i], &found))
            fail_msg("'%s' is taken for one of ours", names[i]);
    }
}

// The first TIMESTAMP that its PARTITION follows is the one.
static void test_two_stamps(void **state)
{
    (void)state;
    struct name found;
    static const char name[] = "db1.20261121T031500Z.20261122T031500Z.orders.dump";
    assert_true(name_parse("orders", name, &found));
    assert_int_equal(found.when, 1795230900 + 86400);
    assert_int_equal(found.kind, NAME_DUMP);
    assert_true(name_parse("20261122T031500Z.orders", name, &found));
    assert_int_equal(found.when, 1795230900);
}

static void test_base(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum name_added added;
        size_t base_len;
        bool pass;
    } rows[] = {
        {"orders.sql", NAME_ADDED_NOTHING, 10, false},
        {"orders.sql.META", NAME_ADDED_META, 10, false},
        {"orders.VERIFIED.20261122T040000Z.PASS", NAME_ADDED_VERIFIED, 6, true},
        {"orders.sql.VERIFIED.20261122T040000Z.FAIL", NAME_ADDED_VERIFIED, 10, false},
        {".VERIFIED.20261122T040000Z.PASS", NAME_ADDED_NOTHING, 31, false},
        {"orders.VERIFIED.20261122T040000Z.pass", NAME_ADDED_NOTHING, 37, false},
        {"orders.VERIFIED.PASS", NAME_ADDED_NOTHING, 20, false},
        {".META", NAME_ADDED_NOTHING, 5, false},
        {"", NAME_ADDED_NOTHING, 0, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct name_base base;
        name_base(rows[i].name, &base);
        if (base.added != rows[i].added || base.base_len != rows[i].base_len ||
            base.pass != rows[i].pass)
            fail_msg("'%s': %d, %zu", rows[i].name, (int)base.added, base.base_len);
        assert_int_equal(base.verified_at, base.added == NAME_ADDED_VERIFIED ? 1795320000 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stamp),      cmocka_unit_test(test_date),
        cmocka_unit_test(test_ours),       cmocka_unit_test(test_not_ours),
        cmocka_unit_test(test_two_stamps), cmocka_unit_test(test_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
