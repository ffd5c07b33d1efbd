// What restore decides without a server: what a dump is, names that fit, and what no command line may hold.
#include "backend/base/utf8.h"
#include "tools/restore/swap.h"
#include "tools/restore/verb.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/bakfs-unit-XXXXXX";
static char restore_command[] = "cat", dump_command[] = "seq 3", none[] = "";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void put(const char *name, const char *data, size_t len)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static int find(const char *name, bool is_dir, const struct conf_database *conf,
                const struct meta *meta, struct source *out, struct err *err)
{
    char dump[64], partition[] = "orders";
    snprintf(dump, sizeof(dump), "%s", name);
    struct backup backup = {.dump = dump, .dump_is_dir = is_dir, .partition = partition};
    const struct restore_job job = {.point = dir, .backup = &backup, .conf = conf, .meta = meta};
    return source_find(&job, out, err);
}

static void kinds(void **state)
{
    (void)state;
    char tar[1024] = "toc.dat";
    memcpy(tar + 257, "ustar", 5);
    static const char zeros[] = "x\0y";
    const struct {
        const char *data;
        size_t len;
        int rc;
        enum source_kind kind;
        const char *says;
    } list[] = {
        {"PGDMP\1\16", 7, 0, SOURCE_CUSTOM, ""},
        {tar, sizeof(tar), 0, SOURCE_TAR, ""},
        {"--\n-- PostgreSQL database dump\n--\n", 33, 0, SOURCE_PLAIN, ""},
        {"create table t (i int);\n", 24, 0, SOURCE_PLAIN, ""},
        {"--\n-- PostgreSQL database cluster dump\n", 39, -EOPNOTSUPP, 0, "pg_dumpall"},
        {"-- MySQL dump 10.13\n", 20, -EOPNOTSUPP, 0, "restore_command"},
        {"/*M!999999\\- enable the sandbox mode */\n-- MariaDB dump 10.19\n", 62, -EOPNOTSUPP, 0,
         "restore_command"},
        {"\x1f\x8b\x08", 3, -EOPNOTSUPP, 0, "gzip -dc"},
        {"\x28\xb5\x2f\xfd", 4, -EOPNOTSUPP, 0, "zstd -dc"},
        {"\xfd\x37zXZ", 6, -EOPNOTSUPP, 0, "xz -dc"},
        {zeros, 3, -EOPNOTSUPP, 0, "no dump that bakfs knows"},
        {"", 0, -EOPNOTSUPP, 0, "is empty"},
    };
    for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        struct source s = {.path = NULL};
        struct err err = {0};
        put("a", list[i].data, list[i].len);
        int rc = find("a", false, NULL, NULL, &s, &err);
        if (rc != list[i].rc || (rc == 0 && (s.kind != list[i].kind || s.bytes != list[i].len)) ||
            !strstr(err.text, list[i].says))
            fail_msg("%zu: %d %d %s", i, rc, (int)s.kind, err.text);
        source_done(&s);
    }
}

static void kinds_that_are_configured(void **state)
{
    (void)state;
    struct source s = {.path = NULL};
    struct conf_database conf = {.restore_command = restore_command, .dump_command = dump_command};
    put("a", "-- MySQL dump 10.13\n", 20);
    assert_int_equal(find("a", false, &conf, NULL, &s, NULL), 0);
    assert_int_equal(s.kind, SOURCE_COMMAND);
    source_done(&s);
    conf.dump_command =
        none; // of a database of PostgreSQL: what is no dump of it goes to the command
    assert_int_equal(find("a", false, &conf, NULL, &s, NULL), 0);
    assert_int_equal(s.kind, SOURCE_COMMAND);
    source_done(&s);
    char command[] = "command", name[] = "shop";
    struct meta meta = {.format = command, .name = name};
    struct err err = {0};
    assert_int_equal(find("a", false, NULL, &meta, &s, &err), -EOPNOTSUPP);
    assert_non_null(strstr(err.text, "[database shop]"));
    assert_int_equal(find("b", false, NULL, NULL, &s, &err), -ENOENT);
}

static void directories(void **state)
{
    (void)state;
    char path[128];
    struct source s = {.path = NULL};
    struct err err = {0};
    snprintf(path, sizeof(path), "%s/d", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    put("d/3.dat", "12345", 5);
    assert_int_equal(find("d", true, NULL, NULL, &s, &err), -EOPNOTSUPP);
    assert_non_null(strstr(err.text, "no toc.dat"));
    put("d/toc.dat", "PGDMP", 5);
    assert_int_equal(find("d", true, NULL, NULL, &s, &err), 0);
    assert_int_equal(s.kind, SOURCE_DIRECTORY);
    assert_int_equal(s.bytes, 10);
    source_done(&s);
}

static void names(void **state)
{
    (void)state;
    char out[64];
    assert_int_equal(utf8_fit("abc", 3), 3);
    assert_int_equal(utf8_fit("abc", 2), 2);
    assert_int_equal(utf8_fit("a\xc3\xb6", 2), 1);
    assert_int_equal(utf8_fit("\xf0\x9f\x90\x98", 3), 0);
    assert_int_equal(swap_old_name("orders", 1795300000, out, NULL), 0);
    assert_string_equal(out, "orders_before_20261121T222640Z");
    char full[64], o[] = "\xc3\xb6";
    for (int i = 0; i < 62; i += 2)
        memcpy(full + i, o, 2);
    strcpy(full + 62, "x");
    assert_int_equal(swap_old_name(full, 1795300000, out, NULL), 0);
    assert_int_equal(strlen(out), 38 + strlen("_before_20261121T222640Z"));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(restore_scratch_name("drill", i ? full : "orders", out), 0);
        assert_true(strlen(out) <= 63);
        assert_int_equal(strncmp(out, "bakfs_drill_", 12), 0);
    }
    assert_int_equal(restore_scratch_name(full, "orders", out), -ENAMETOOLONG);
}

static void no_passwords_on_command_lines(void **state)
{
    (void)state;
    static const char *const bad[] = {"password=x", "host=a PASSWORD = 'x'", "host=a sslpassword=x",
                                      "postgresql://u:x@h/db", "postgres://h/db?password=x"};
    static const char *const good[] = {"",
                                       "host=db2 user=postgres",
                                       "postgresql://u@h:5432/db",
                                       "postgresql://h:5432/a@b:c",
                                       "passfile=/root/.pgpass",
                                       "dbname=passwords"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};
        assert_int_equal(plan_check_conninfo(bad[i], &err), -EINVAL);
        assert_non_null(strstr(err.text, "~/.pgpass"));
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(plan_check_conninfo(good[i], NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(kinds_that_are_configured),
        cmocka_unit_test(directories),
        cmocka_unit_test(names),
        cmocka_unit_test(no_passwords_on_command_lines),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
