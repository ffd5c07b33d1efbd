// What status calls well, a warning, and bad.
#include "tools/status/status.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1795320000 // 2026-11-22
#define HOUR 3600
#define DAY 86400
#define MAX 500

// Backups of db1 orders, and one [database] for it.
struct fixture {
    struct backup list[MAX];
    struct conf_database databases[2];
    struct conf conf;
    struct status_look look;
    struct status s;
    struct status_drill drill;
};

static char empty[] = "";

static int no_drill(void *ctx, const struct backup *list, size_t count, time_t since,
                    struct status_drill *out)
{
    (void)list;
    (void)count;
    (void)since;
    *out = *(struct status_drill *)ctx;
    return 0;
}

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    *state = f;
    f->databases[0] = (struct conf_database){.name = strdup("orders"),
                                             .host = strdup("db1"),
                                             .partition = empty,
                                             .every_ms = UINT64_C(86400000),
                                             .drill_every_ms = UINT64_C(30) * 86400000};
    f->conf = (struct conf){.databases = f->databases, .database_count = 1};
    f->look = (struct status_look){.now = NOW,
                                   .point = "/mnt/bak",
                                   .backups.list = f->list,
                                   .drill = no_drill,
                                   .ctx = &f->drill};
    f->drill = (struct status_drill){.readable = true, .at = NOW - DAY, .restore_ms = 60000};
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    status_done(&f->s);
    free(f->databases[0].name);
    free(f->databases[0].host);
    free(f);
    return 0;
}

// `age` hours old.
static struct backup *put(struct fixture *f, int age, uint64_t size)
{
    struct backup *b = &f->list[f->look.backups.count++];
    *b = (struct backup){.host = (char *)(uintptr_t) "db1",
                         .date = (char *)(uintptr_t) "2026-11-22",
                         .partition = (char *)(uintptr_t) "orders",
                         .stem = (char *)(uintptr_t) "db1/2026-11-22/orders/db1.X.orders",
                         .dump = (char *)(uintptr_t) "db1/2026-11-22/orders/db1.X.orders.dump",
                         .when = NOW - age * HOUR,
                         .ours = true,
                         .finished = true,
                         .size = size};
    return b;
}

// -> its only partition
static const struct status_partition *judge(struct fixture *f)
{
    struct err err = {0};
    status_done(&f->s);
    assert_int_equal(status_judge(&f->conf, &f->look, &f->s, &err), 0);
    assert_int_equal(f->s.count, 1);
    return &f->s.partitions[0];
}

static bool says(const struct status_partition *p, const char *text)
{
    for (size_t i = 0; i < p->notes.count; i++)
        if (strstr(p->notes.list[i].text, text))
            return true;
    return false;
}

static void days(struct fixture *f, int first, int last)
{
    for (int day = first; day > last; day--)
        put(f, day * 24, 1000);
}

static void in_time(void **state)
{
    struct fixture *f = *state;
    days(f, 10, 0);
    put(f, 2, 1000);
    const struct status_partition *p = judge(f);
    assert_int_equal(p->level, STATUS_OK);
    assert_int_equal(p->good, 11);
    assert_int_equal(p->age_s, 2 * HOUR);
    assert_int_equal(p->notes.count, 0);
    assert_string_equal(p->conf->name, "orders");
}

static void overdue_after_every_and_an_eighth(void **state)
{
    struct fixture *f = *state;
    put(f, 27, 1000);
    assert_false(judge(f)->overdue);
    f->list[0].when -= 60;
    assert_true(judge(f)->overdue);
    assert_int_equal(f->s.level, STATUS_BAD);
    assert_true(says(f->s.partitions, "27 hours old, wanted every 1 day"));
    assert_string_equal(f->s.partitions[0].notes.list[0].type, "bakfs backup orders");
    f->databases[0].every_ms = 0; // never
    assert_int_equal(judge(f)->level, STATUS_OK);
}

static void a_clock_that_was_wrong(void **state)
{
    struct fixture *f = *state;
    put(f, 50, 1000);
    put(f, -24 * 300, 1000); // would hide for a year that none comes any more
    assert_true(judge(f)->overdue);
    assert_true(says(f->s.partitions, "from the future"));
    assert_int_equal(f->s.partitions[0].bad_since, 0);
    f->list[1].when = NOW + HOUR / 2;
    assert_int_equal(judge(f)->level, STATUS_OK);
}

static void none_at_all(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(judge(f)->level, STATUS_BAD);
    assert_true(says(f->s.partitions, "no backup at all"));
    assert_non_null(strstr(f->s.verdict, "orders on db1 (no backup at all)"));
    put(f, 5, 1000)->finished = false;
    assert_true(says(judge(f), "none of its backups is good"));
}

static void what_came_after_the_good_one(void **state)
{
    struct fixture *f = *state;
    put(f, 20, 1000);
    put(f, 2, 1000)->finished = false;
    assert_int_equal(judge(f)->level, STATUS_BAD);
    assert_int_equal(f->s.partitions[0].bad_since, 1);
    assert_true(says(f->s.partitions, "META was never written"));
    f->list[1].when = NOW - HOUR / 2; // may still be running
    assert_int_equal(judge(f)->level, STATUS_OK);
    f->list[1].when = NOW - 2 * HOUR; // a long one, which the daemon is still writing
    strcpy(f->look.daemon.writing[0], "db1/2026-11-22/orders/db1.X.orders.dump");
    f->look.daemon.writing_count = 1;
    assert_int_equal(judge(f)->level, STATUS_OK);
    f->list[1].finished = true;
    f->list[1].verified = BACKUP_VERIFIED_FAIL;
    assert_true(says(judge(f), "its verification failed"));
    f->list[1].verified = BACKUP_NOT_VERIFIED;
    f->list[1].complete = BACKUP_COMPLETE_NO;
    assert_true(says(judge(f), "stops short"));
}

static void what_the_daemon_could_not_store(void **state)
{
    struct fixture *f = *state;
    put(f, 2, 1000);
    f->look.daemon.failure_count = 1;
    f->look.daemon.failures[0] = (struct daemon_failure){
        .path = "db1/2026-11-22/orders/x", .reason = "no room", .at = NOW - HOUR};
    assert_true(says(judge(f), "no room"));
    f->look.daemon.failures[0].at = NOW - 3 * HOUR; // a good one came since
    assert_int_equal(judge(f)->level, STATUS_OK);
    f->look.daemon.failures[0] =
        (struct daemon_failure){.path = "db1/2026-11-22/orders2/x", .at = NOW - HOUR};
    assert_int_equal(judge(f)->level, STATUS_OK);
}

static void drills(void **state)
{
    struct fixture *f = *state;
    put(f, 24 * 40, 1000);
    put(f, 2, 1000);
    assert_int_equal(judge(f)->level, STATUS_OK);
    f->drill.at = NOW - 34 * DAY;
    assert_true(judge(f)->drill_overdue);
    f->drill.at = 0;
    assert_true(says(judge(f), "no restore of it was ever tried"));
    f->list[0].when = NOW - 20 * DAY; // too young for one
    assert_false(judge(f)->drill_overdue);
    f->list[0].when = NOW - 40 * DAY;
    f->drill.readable = false; // no key: any look that passed has to do
    f->list[0].verified = BACKUP_VERIFIED_PASS;
    f->list[0].verified_at = NOW - 10 * DAY;
    assert_false(judge(f)->drill_overdue);
}

static void sizes(void **state)
{
    struct fixture *f = *state;
    int64_t percent = 0;
    days(f, 10, 0);
    struct backup *last = put(f, 2, 101);
    assert_int_equal(judge(f)->level, STATUS_OK);
    assert_true(status_trend(f->s.partitions, &percent));
    assert_int_equal(percent, -90 + 0);
    last->size = 95;
    assert_int_equal(judge(f)->level, STATUS_WARN);
    assert_true(says(f->s.partitions, "suddenly small"));
    assert_int_equal(f->s.level, STATUS_WARN);
    last->size = 11000;
    assert_true(says(judge(f), "suddenly large"));
    f->look.backups.count = 3; // too few to say
    f->list[2].size = 1;
    f->databases[0].every_ms = 0;
    assert_false(status_trend(judge(f), &percent));
}

static void not_configured(void **state)
{
    struct fixture *f = *state;
    f->conf.database_count = 0;
    days(f, 30, 20);
    assert_int_equal(judge(f)->level, STATUS_WARN); // it used to come daily
    assert_false(f->s.partitions[0].overdue);
    assert_int_equal(f->s.partitions[0].rhythm_s, DAY);
    f->look.backups.count = 3;
    assert_int_equal(judge(f)->level, STATUS_OK);
}

static void keys(void **state)
{
    struct fixture *f = *state;
    put(f, 2, 1000);
    struct proof proof = {.host = (char[]){"db1"},
                          .recipient = (char[]){"age1x"},
                          .object = (char[]){"db1/x"},
                          .at = NOW - DAY,
                          .opened = true,
                          .opened_at = NOW - DAY};
    judge(f);
    assert_int_equal(f->s.hosts[0].proof, STATUS_PROOF_NEVER);
    assert_int_equal(f->s.level, STATUS_WARN);
    f->look.proofs = (struct proofs){.list = &proof, .count = 1};
    judge(f);
    assert_int_equal(f->s.hosts[0].proof, STATUS_PROOF_OPENED);
    assert_int_equal(f->s.level, STATUS_OK);
    proof.opened_at = proof.at = NOW - (time_t)366 * DAY;
    judge(f);
    assert_int_equal(f->s.level, STATUS_BAD);
    proof.opened = false;
    judge(f);
    assert_int_equal(f->s.hosts[0].proof, STATUS_PROOF_FAILED);
    proof.opened_at = 0; // a key of somebody else
    judge(f);
    assert_int_equal(f->s.hosts[0].proof, STATUS_PROOF_NEVER);
}

static void without_a_mount(void **state)
{
    struct fixture *f = *state;
    f->look.mount = (struct err){.code = ENOENT, .text = "/mnt/bak: nothing is mounted there"};
    assert_int_equal(status_judge(&f->conf, &f->look, &f->s, NULL), 0);
    assert_int_equal(f->s.count, 0); // nothing is known of any
    assert_int_equal(f->s.level, STATUS_BAD);
    assert_non_null(strstr(f->s.verdict, "nothing is mounted"));
}

static void clocks(void **state)
{
    struct fixture *f = *state;
    put(f, 2, 1000);
    struct proof proof = {
        .host = (char[]){"db1"}, .object = empty, .opened = true, .opened_at = NOW};
    f->look.proofs = (struct proofs){.list = &proof, .count = 1};
    const struct {
        int64_t ms;
        enum status_level level;
    } cases[] = {{0, STATUS_OK}, {-30000, STATUS_OK}, {31000, STATUS_WARN}, {-301000, STATUS_BAD}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        f->look.daemon.clock_offset_ms = cases[i].ms;
        judge(f);
        assert_int_equal(f->s.level, cases[i].level);
    }
}

static void the_calendar(void **state)
{
    struct fixture *f = *state;
    enum status_day found[4];
    put(f, 3 * 24, 1)->verified = BACKUP_VERIFIED_PASS;
    put(f, 3 * 24, 1);
    put(f, 2 * 24, 1)->finished = false;
    put(f, 24, 1)->finished = false;
    put(f, 24, 1);
    judge(f);
    status_days(f->s.partitions, NOW / DAY - 3, 4, found);
    assert_int_equal(found[0], STATUS_DAY_VERIFIED);
    assert_int_equal(found[1], STATUS_DAY_BAD);
    assert_int_equal(found[2], STATUS_DAY_GOOD);
    assert_int_equal(found[3], STATUS_DAY_NONE);
}

static void hosts_that_are_asked_for(void **state)
{
    struct fixture *f = *state;
    f->look.host = "db2";
    assert_int_equal(status_judge(&f->conf, &f->look, &f->s, NULL), 0);
    assert_int_equal(f->s.count, 0);
    f->look.host = "db1";
    f->look.partition = "orders";
    assert_string_equal(judge(f)->partition, "orders");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(in_time),
        TEST(overdue_after_every_and_an_eighth),
        TEST(a_clock_that_was_wrong),
        TEST(none_at_all),
        TEST(what_came_after_the_good_one),
        TEST(what_the_daemon_could_not_store),
        TEST(drills),
        TEST(sizes),
        TEST(not_configured),
        TEST(keys),
        TEST(without_a_mount),
        TEST(clocks),
        TEST(the_calendar),
        TEST(hosts_that_are_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
