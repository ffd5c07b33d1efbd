// What backups there are, by the names in a plain directory.
#include "tests/support/temp_dir.h"
#include "tools/catalog/backups_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define STEM "db1.example.com.20261122T031500Z.orders"
#define DIR "db1.example.com/2026-11-22/orders/"
#define AT_0315 1795317300 // 2026-11-22 03:15:00 UTC

struct fixture {
    struct temp_dir dir;
    struct backups all;
    char text[4096];
};

static int begin(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    *state = f;
    return f ? temp_dir_make(&f->dir) : -1;
}

static int end(void **state)
{
    struct fixture *f = *state;
    backups_done(&f->all);
    temp_dir_remove(&f->dir);
    free(f);
    return 0;
}

// Makes a file of `size` bytes, and the directories above it. A path that ends in '/' is a directory.
static void put(struct fixture *f, const char *path, size_t size)
{
    char whole[1024];
    snprintf(whole, sizeof(whole), "%s/%s", f->dir.path, path);
    for (char *slash = whole + strlen(f->dir.path) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        assert_true(mkdir(whole, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    if (path[strlen(path) - 1] == '/')
        return;
    int fd = open(whole, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static void load(struct fixture *f, const char *host, const char *partition, unsigned flags)
{
    struct err err = {0};
    backups_done(&f->all);
    int rc = backups_walk(
        &(struct backups_wanted){
            .point = f->dir.path, .host = host, .partition = partition, .flags = flags},
        &f->all, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(rc, 0);
}

// One line for each: what of it is there.
static const char *shown(struct fixture *f)
{
    char *p = f->text;
    *p = '\0';
    for (size_t i = 0; i < f->all.count; i++) {
        const struct backup *b = &f->all.list[i];
        p += snprintf(p, sizeof(f->text) - (size_t)(p - f->text), "%s %s %s%s%s%s%s%s%s\n", b->host,
                      b->partition, b->dump ? b->dump : "-", b->dump_is_dir ? "/" : "",
                      b->ours ? " ours" : "", b->finished ? "" : " unfinished",
                      b->globals ? " globals" : "", b->schema ? " schema" : "",
                      b->verified == BACKUP_VERIFIED_PASS   ? " PASS"
                      : b->verified == BACKUP_VERIFIED_FAIL ? " FAIL"
                                                            : "");
    }
    return f->text;
}

static void of_bakfs(void **state)
{
    struct fixture *f = *state;
    put(f, DIR STEM ".globals.sql", 1);
    put(f, DIR STEM ".schema.sql", 1);
    put(f, DIR STEM ".dump", 1000);
    put(f, DIR STEM ".META", 1);
    put(f, DIR STEM ".VERIFIED.20261122T040000Z.FAIL", 1);
    put(f, DIR STEM ".VERIFIED.20261122T050000Z.PASS", 1);
    put(f, DIR STEM ".VERIFIED.20261122T030000Z.FAIL", 1);
    put(f, DIR "README", 1); // somebody's
    load(f, NULL, NULL, BACKUPS_SIZES);
    assert_string_equal(shown(f),
                        "db1.example.com orders " DIR STEM ".dump ours globals schema PASS\n");
    const struct backup *b = &f->all.list[0];
    assert_string_equal(b->stem, DIR STEM);
    assert_string_equal(b->meta, DIR STEM ".META");
    assert_string_equal(b->date, "2026-11-22");
    assert_int_equal(b->when, AT_0315);
    assert_int_equal(b->verified_at, AT_0315 + 105 * 60);
    assert_string_equal(b->verified_path, DIR STEM ".VERIFIED.20261122T050000Z.PASS");
    assert_int_equal(b->size, 1000);
    assert_true(backup_is_good(b, NULL));
}

static void formats_and_two_of_a_day(void **state)
{
    struct fixture *f = *state;
    put(f, "db1/2026-11-22/a/db1.20261122T150000Z.a.sql", 1);
    put(f, "db1/2026-11-22/a/db1.20261122T150000Z.a.META", 1);
    put(f, "db1/2026-11-22/a/db1.20261122T030000Z.a.dir/toc.dat", 10);
    put(f, "db1/2026-11-22/a/db1.20261122T030000Z.a.dir/3001.dat", 20);
    put(f, "db1/2026-11-22/a/db1.20261122T030000Z.a.META", 1);
    put(f, "db1/2026-11-21/a/db1.20261121T030000Z.a.dump", 1);
    put(f, "db1/2026-11-20/a/db1.20261120T030000Z.a.META", 1);
    put(f, "db1/2026-11-19/a/db1.20261119T030000Z.a.VERIFIED.20261122T050000Z.PASS", 1);
    load(f, "db1", "a", BACKUPS_SIZES);
    assert_string_equal(shown(f),
                        "db1 a - ours\n"
                        "db1 a db1/2026-11-21/a/db1.20261121T030000Z.a.dump ours unfinished\n"
                        "db1 a db1/2026-11-22/a/db1.20261122T030000Z.a.dir/ ours\n"
                        "db1 a db1/2026-11-22/a/db1.20261122T150000Z.a.sql ours\n");
    assert_int_equal(f->all.list[2].size, 0); // of a directory only when it is asked for
    assert_int_equal(backup_ask_sizes(f->dir.path, &f->all.list[2], NULL), 0);
    assert_int_equal(f->all.list[2].size, 30);
    const char *why = NULL;
    assert_false(backup_is_good(&f->all.list[0], &why));
    assert_string_equal(why, "its dump is not there");
    assert_false(backup_is_good(&f->all.list[1], &why));
    assert_non_null(strstr(why, "META was never written"));
}

static void copied_in(void **state)
{
    struct fixture *f = *state;
    put(f, "db1/2026-11-22/orders.sql", 5);
    put(f, "db1/2026-11-22/orders.dump", 5);
    put(f, "db1/2026-11-22/orders.schema.sql", 5);
    put(f, "db1/2026-11-22/orders.sql.VERIFIED.20261122T050000Z.FAIL", 1);
    put(f, "db1/2026-11-22/orders.gone.VERIFIED.20261122T050000Z.FAIL", 1);
    put(f, "db1/2026-11-22/only.globals.sql", 5);
    put(f, "db1/2026-11-22/.orders.sql.Xy", 5);
    put(f, "db1/2026-11-22/base/PG_VERSION", 3);
    put(f, "db1/2026-11-22/base/base/1/1259", 30);
    put(f, "db1/2026-11-22/base.VERIFIED.20261122T050000Z.PASS", 1);
    put(f, "db1/2026-11-22/empty/", 0);
    put(f, "db1/2026-02-30/orders.sql", 5);
    put(f, "db1/today/orders.sql", 5);
    put(f, "db1/orders.sql", 5);
    put(f, "README", 5);
    load(f, NULL, NULL, BACKUPS_SIZES);
    assert_string_equal(shown(f), "db1 base db1/2026-11-22/base/ PASS\n"
                                  "db1 only db1/2026-11-22/only.globals.sql\n"
                                  "db1 orders db1/2026-11-22/orders.dump schema\n"
                                  "db1 orders db1/2026-11-22/orders.sql FAIL\n");
    assert_true(f->all.list[0].when > AT_0315); // its commit, not its DATE
    assert_int_equal(backup_ask_sizes(f->dir.path, &f->all.list[0], NULL), 0);
    assert_int_equal(f->all.list[0].size, 33);
}

static void links_are_not_followed(void **state)
{
    struct fixture *f = *state;
    char link[512];
    put(f, "db1/2026-11-22/orders.sql", 5);
    put(f, "db1/latest/", 0);
    snprintf(link, sizeof(link), "%s/db1/latest/orders", f->dir.path);
    assert_int_equal(symlink("../2026-11-22/orders.sql", link), 0);
    snprintf(link, sizeof(link), "%s/db1/2026-11-21", f->dir.path);
    assert_int_equal(symlink("2026-11-22", link), 0);
    load(f, NULL, NULL, 0);
    assert_int_equal(f->all.count, 1);
}

static void names_with_dots(void **state)
{
    struct fixture *f = *state;
    put(f, "a.b/2026-11-22/x.globals/a.b.20261122T031500Z.x.globals.sql", 1);
    put(f, "a.b/2026-11-22/x.globals/a.b.20261122T031500Z.x.globals.META", 1);
    load(f, "a.b", "x.globals", 0);
    assert_string_equal(shown(f), "a.b x.globals a.b/2026-11-22/x.globals/"
                                  "a.b.20261122T031500Z.x.globals.sql ours\n");
}

// --- Which one ---

static void week(struct fixture *f)
{
    put(f, "db1/2026-11-20/a/db1.20261120T030000Z.a.dump", 1);
    put(f, "db1/2026-11-20/a/db1.20261120T030000Z.a.META", 1);
    put(f, "db1/2026-11-21/a/db1.20261121T030000Z.a.dump", 1);
    put(f, "db1/2026-11-21/a/db1.20261121T030000Z.a.META", 1);
    put(f, "db1/2026-11-21/a/db1.20261121T030000Z.a.VERIFIED.20261121T040000Z.FAIL", 1);
    put(f, "db1/2026-11-22/a/db1.20261122T030000Z.a.dump", 1);
    load(f, NULL, NULL, BACKUPS_SIZES);
}

static void the_newest_good_one(void **state)
{
    struct fixture *f = *state;
    struct err err;
    const struct backup *b = NULL;
    week(f);
    assert_int_equal(backups_choose(&f->all, 0, false, &b, &err), 0);
    assert_string_equal(b->date, "2026-11-20");
    assert_int_equal(backups_choose(&f->all, 0, true, &b, &err), 0);
    assert_string_equal(b->date, "2026-11-22");
    assert_int_equal(backups_choose(&f->all, AT_0315 - 86400, true, &b, &err), 0);
    assert_string_equal(b->date, "2026-11-21");
}

static void why_there_is_none(void **state)
{
    struct fixture *f = *state;
    struct err err;
    const struct backup *b = NULL;
    week(f);
    assert_int_equal(backups_choose(&f->all, AT_0315 - 3 * 86400, false, &b, &err), -ENOENT);
    assert_non_null(strstr(err.text, "the oldest is of 2026-11-20 03:00:00 UTC"));
    struct backups bad = {.list = f->all.list + 1, .count = 2};
    assert_int_equal(backups_choose(&bad, 0, false, &b, &err), -ENOENT);
    assert_non_null(strstr(err.text, "none of the 2 backups of db1 a is good"));
    assert_non_null(strstr(err.text, "unfinished"));
    struct backups none = {.list = NULL};
    assert_int_equal(backups_choose(&none, 0, false, &b, &err), -ENOENT);
    assert_null(b);
    put(f, "db1/2026-11-22/other.sql", 1);
    load(f, NULL, NULL, 0);
    assert_int_equal(backups_choose(&f->all, 0, false, &b, &err), -EINVAL);
}

// --- What a command line means ---

// The words, and how many were taken; the backups are in f->all. -errno.
static int named(struct fixture *f, const char *first, const char *second, struct err *err)
{
    struct conf_database db = {
        .name = (char[]){"shop"}, .host = (char[]){"db1"}, .partition = (char[]){"a"}};
    struct conf conf = {.mount.point = f->dir.path, .databases = &db, .database_count = 1};
    char *words[] = {first ? strdup(first) : NULL, second ? strdup(second) : NULL};
    int used = 0;
    backups_done(&f->all);
    memset(err, 0, sizeof(*err));
    int rc = backups_named_in(&conf, words, first ? (second ? 2 : 1) : 0, &used, &f->all, err);
    free(words[0]);
    free(words[1]);
    return rc ? rc : used;
}

static void names_and_paths(void **state)
{
    struct fixture *f = *state;
    struct err err;
    week(f);
    put(f, "db1/2026-11-22/other.sql", 1);
    put(f, "db1/2026-11-22/dir/db1.20261122T030000Z.dir.dir/toc.dat", 1);
    put(f, "db1/2026-11-22/dir/db1.20261122T030000Z.dir.META", 1);
    char absolute[512];
    snprintf(absolute, sizeof(absolute), "%s/db1/2026-11-21/a", f->dir.path);
    const struct {
        const char *first, *second;
        int used;
        size_t count;
    } cases[] = {
        {"shop", "db1", 1, 3},
        {"db1", "a", 2, 3},
        {"db1", "other", 2, 1},
        {"db1/2026-11-21/a", NULL, 1, 1},
        {absolute, NULL, 1, 1},
        {"db1/2026-11-21/a/db1.20261121T030000Z.a.dump", NULL, 1, 1},
        {"db1/2026-11-21/a/db1.20261121T030000Z.a.META", "x", 1, 1},
        {"db1/2026-11-22/other.sql", NULL, 1, 1},
        {"db1/2026-11-22/dir/db1.20261122T030000Z.dir.dir", NULL, 1, 1},
        {"db1/2026-11-22/dir/db1.20261122T030000Z.dir.dir/toc.dat", NULL, 1, 1},
        {"db1/2026-11-22/", NULL, 1, 3},
        {"db1/", NULL, 1, 5},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int used = named(f, cases[i].first, cases[i].second, &err);
        if (used != cases[i].used || f->all.count != cases[i].count)
            fail_msg("%s: %d, %zu: %s", cases[i].first, used, f->all.count, err.text);
    }
}

static void what_is_not_there(void **state)
{
    struct fixture *f = *state;
    struct err err;
    week(f);
    const struct {
        const char *first, *second, *said;
        int rc;
    } cases[] = {
        {"shpo", NULL, "did you mean shop?", -ENOENT},
        {"db1", NULL, "which PARTITION?; there is a", -ENOENT},
        {"db1", "ab", "did you mean a?", -ENOENT},
        {"db1", "users", "there is a", -ENOENT},
        {"db1/2026-11-23/a", NULL, "did you mean 2026-11-2", -ENOENT},
        {"db9/2026-11-21/a", NULL, "did you mean db1?", -ENOENT},
        {"/usr/bin", NULL, "is not on the mount", -ENOENT},
        {NULL, NULL, "no backup named", -EINVAL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int rc = named(f, cases[i].first, cases[i].second, &err);
        if (rc != cases[i].rc || !strstr(err.text, cases[i].said))
            fail_msg("%s: %d: %s", cases[i].first, rc, err.text);
    }
}

static void only_on_a_mount(void **state)
{
    struct fixture *f = *state;
    struct err err;
    assert_int_equal(backups_load(f->dir.path, NULL, NULL, 0, &f->all, &err), -ENOENT);
    assert_non_null(strstr(err.text, "type: bakfs mount"));
    assert_int_equal(backups_load("", NULL, NULL, 0, &f->all, &err), -ENOENT);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(of_bakfs),          TEST(formats_and_two_of_a_day),
        TEST(copied_in),         TEST(links_are_not_followed),
        TEST(names_with_dots),   TEST(the_newest_good_one),
        TEST(why_there_is_none), TEST(names_and_paths),
        TEST(what_is_not_there), TEST(only_on_a_mount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
