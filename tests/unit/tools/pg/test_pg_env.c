// What a child is told of a server, and which tools are found; without a server.
#include "tools/pg/pg.h"

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

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static bool has(char *const *env, const char *entry)
{
    for (; *env; env++)
        if (strcmp(*env, entry) == 0)
            return true;
    return false;
}

static char **env_of(const struct pg_server *server, const char *database)
{
    struct err err = {0};
    char **env = NULL;
    if (pg_child_env(server, database, "bakfs backup", &env, &err) != 0)
        fail_msg("%s", err.text);
    return env;
}

static void conninfo(void **state)
{
    (void)state;
    setenv("PGSSLROOTCERT", "/from/environment", 1);
    setenv("PGDATESTYLE", "German", 1);
    const struct pg_server server = {
        .conninfo = "host=127.0.0.1 port=1 user=u password='p w' dbname=a sslrootcert=/r "
                    "keepalives_idle=7"};
    char **env = env_of(&server, NULL);
    assert_true(has(env, "PGHOST=127.0.0.1"));
    assert_true(has(env, "PGPORT=1"));
    assert_true(has(env, "PGUSER=u"));
    assert_true(has(env, "PGPASSWORD=p w"));
    assert_true(has(env, "PGDATABASE=a"));
    assert_true(has(env, "PGSSLROOTCERT=/r"));
    assert_false(has(env, "PGSSLROOTCERT"));
    assert_true(has(env, "PGAPPNAME=bakfs backup"));
    assert_true(has(env, "PGDATESTYLE"));
    assert_false(has(env, "PGCLIENTENCODING=UTF8"));
    pg_env_free(env);
    env = env_of(&server, "dbname=x host=elsewhere");
    assert_true(has(env, "PGDATABASE=dbname=x host=elsewhere"));
    assert_true(has(env, "PGHOST=127.0.0.1"));
    pg_env_free(env);
    unsetenv("PGSSLROOTCERT");
    unsetenv("PGDATESTYLE");
}

// A service file wins over variables: a child that still saw PGSERVICE would go to the service's own database.
static void service(void **state)
{
    (void)state;
    char dir[] = "/tmp/bakfs-pg-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/services", dir);
    write_file(path, "[orders]\nhost=127.0.0.1\nport=1\nuser=s\npassword=secret\ndbname=theirs\n",
               0600);
    setenv("PGSERVICEFILE", path, 1);
    char **env = env_of(&(struct pg_server){.service = "orders"}, "mine");
    assert_true(has(env, "PGDATABASE=mine"));
    assert_true(has(env, "PGPASSWORD=secret"));
    assert_true(has(env, "PGUSER=s"));
    assert_true(has(env, "PGSERVICEFILE"));
    for (char **e = env; *e; e++)
        assert_int_not_equal(strncmp(*e, "PGSERVICE=", 10), 0);
    pg_env_free(env);
    setenv("PGSERVICE", "orders", 1);
    env = env_of(&(struct pg_server){.database = "other"}, NULL);
    assert_true(has(env, "PGDATABASE=other"));
    assert_true(has(env, "PGHOST=127.0.0.1"));
    assert_true(has(env, "PGSERVICE"));
    pg_env_free(env);
    unsetenv("PGSERVICE");

    struct err err = {0};
    assert_int_equal(pg_child_env(&(struct pg_server){.service = "nope"}, NULL, "x", &env, &err),
                     -EINVAL);
    assert_non_null(strstr(err.text, "nope"));
    unsetenv("PGSERVICEFILE");
    unlink(path);
    rmdir(dir);
}

static void never_quoted(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "host=a password=my s3cret",    "postgresql://u:s3cret@[::1/x", "host=a s3cret=x",
        "postgresql://u:%zzs3cret@h/x", "host=a password='s3cret",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err = {0};
        struct pg *pg = NULL;
        char **env = NULL;
        const struct pg_server server = {.conninfo = bad[i]};
        assert_int_equal(pg_open(&server, "test", &pg, &err), -EINVAL);
        assert_null(strstr(err.text, "s3cret"));
        assert_int_equal(pg_child_env(&server, NULL, "test", &env, &err), -EINVAL);
        assert_null(strstr(err.text, "s3cret"));
    }
}

static void nobody_there(void **state)
{
    (void)state;
    struct err err = {0};
    struct pg *pg = NULL;
    const struct pg_server server = {
        .conninfo = "host=127.0.0.1 port=1 user=u password=s3cret dbname=a"};
    assert_int_equal(pg_open(&server, "test", &pg, &err), -ECONNREFUSED);
    assert_non_null(strstr(err.text, "127.0.0.1"));
    assert_null(strchr(err.text, '\n'));
    assert_null(strstr(err.text, "s3cret"));
    assert_int_equal(pg_child_env(&(struct pg_server){.conninfo = "host=h sslpassword=s3cret"},
                                  NULL, "x", &(char **){NULL}, &err),
                     -EOPNOTSUPP);
    assert_null(strstr(err.text, "s3cret"));
}

static void tools(void **state)
{
    (void)state;
    char dir[] = "/tmp/bakfs-pg-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/pg_dump", dir);
    write_file(path, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 14.9 (Debian 14.9-1)'\n", 0755);
    struct err err = {0};
    char *found = NULL;
    assert_int_equal(pg_tool(dir, "pg_dump", 140000, &found, &err), 0);
    assert_string_equal(found, path);
    free(found);
    found = NULL;
    assert_int_equal(pg_tool(dir, "pg_dump", 150000, &found, &err), -ENOENT);
    assert_non_null(strstr(err.text, "version 14 is older than the server (15)"));
    assert_int_equal(pg_tool(dir, "pg_restore", 140000, &found, &err), -ENOENT);
    assert_non_null(strstr(err.text, "postgresql-client-14"));
    assert_null(found);
    // without a directory of its own: PATH after the places of the distributions
    char *before = strdup(getenv("PATH"));
    assert_non_null(before);
    write_file(path, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 97.1'\n", 0755);
    setenv("PATH", dir, 1);
    assert_int_equal(pg_tool("", "pg_dump", 960000, &found, &err), 0);
    assert_string_equal(found, path);
    free(found);
    setenv("PATH", before, 1);
    free(before);
    unlink(path);
    rmdir(dir);
}

int main(void)
{
    for (char **e = environ; *e;) { // libpq's own variables would be in the way
        if (strncmp(*e, "PG", 2) != 0) {
            e++;
            continue;
        }
        char name[128];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(*e, "="), *e);
        unsetenv(name);
        e = environ;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conninfo),     cmocka_unit_test(service), cmocka_unit_test(never_quoted),
        cmocka_unit_test(nobody_there), cmocka_unit_test(tools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
