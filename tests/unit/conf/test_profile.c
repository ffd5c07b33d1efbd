#include "conf/profile.h"

#include "tests/support/temp_dir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct temp_dir dir;
static char credentials[300], config[300];

static int set_up(void **state)
{
    (void)state;
    if (temp_dir_make(&dir) != 0)
        return -1;
    snprintf(credentials, sizeof(credentials), "%s/credentials", dir.path);
    snprintf(config, sizeof(config), "%s/config", dir.path);
    setenv("AWS_SHARED_CREDENTIALS_FILE", credentials, 1);
    setenv("AWS_CONFIG_FILE", config, 1);
    unsetenv("AWS_PROFILE");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_remove(&dir);
    return 0;
}

static void put(const char *path, mode_t mode, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static void sections_are_found(void **state)
{
    (void)state;
    put(credentials, 0600,
        "[default]\naws_access_key_id = AK1\naws_secret_access_key = s/1+=\n"
        "[backup]\naws_access_key_id=AK2\naws_secret_access_key=s2\naws_session_token=t2\n");
    put(config, 0644,
        "[default]\nregion = eu-central-1\n[profile backup]\nregion = us-west-2\n"
        "[backup]\nregion = not-this-one\n");
    struct profile p;
    struct err err;
    assert_int_equal(profile_load("", &p, &err), 0);
    assert_string_equal(p.access_key, "AK1");
    assert_string_equal((const char *)p.secret_key->bytes, "s/1+=");
    assert_string_equal(p.region, "eu-central-1");
    assert_null(p.session_token);
    profile_done(&p);

    setenv("AWS_PROFILE", "backup", 1);
    assert_int_equal(profile_load(NULL, &p, &err), 0);
    assert_string_equal(p.access_key, "AK2");
    assert_string_equal((const char *)p.session_token->bytes, "t2");
    assert_string_equal(p.region, "us-west-2");
    profile_done(&p);
    // what the configuration names comes before the environment
    assert_int_equal(profile_load("default", &p, &err), 0);
    assert_string_equal(p.access_key, "AK1");
    profile_done(&p);
}

static void a_long_token_is_kept(void **state)
{
    (void)state;
    char token[2001], text[2200];
    memset(token, 'T', sizeof(token) - 1);
    token[sizeof(token) - 1] = '\0';
    snprintf(text, sizeof(text),
             "[default]\naws_access_key_id = A\naws_secret_access_key = s\n"
             "aws_session_token = %s\n",
             token);
    put(credentials, 0600, text);
    struct profile p;
    struct err err;
    assert_int_equal(profile_load(NULL, &p, &err), 0);
    assert_string_equal((const char *)p.session_token->bytes, token);
    profile_done(&p);
}

static void what_is_missing_is_said(void **state)
{
    (void)state;
    struct profile p;
    struct err err;
    assert_int_equal(profile_load("nope", &p, &err), -ENOENT);
    assert_non_null(strstr(err.text, "'nope'"));
    put(config, 0644,
        "[profile role]\nrole_arn = arn:aws:iam::1:role/x\n[profile empty]\nregion=x\n");
    assert_int_equal(profile_load("role", &p, &err), -EOPNOTSUPP);
    assert_non_null(strstr(err.text, "role_arn: not yet"));
    assert_int_equal(profile_load("empty", &p, &err), -EACCES);
    put(config, 0644, "[profile\nx\n");
    assert_int_equal(profile_load("empty", &p, &err), -EINVAL);
}

static void others_may_not_read_keys(void **state)
{
    (void)state;
    struct profile p;
    struct err err;
    put(credentials, 0644, "[default]\naws_access_key_id = A\naws_secret_access_key = topsecret\n");
    assert_int_equal(profile_load(NULL, &p, &err), -EACCES);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_null(strstr(err.text, "topsecret"));
}

int main(void)
{
#define PROFILE_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PROFILE_TEST(sections_are_found),
        PROFILE_TEST(a_long_token_is_kept),
        PROFILE_TEST(what_is_missing_is_said),
        PROFILE_TEST(others_may_not_read_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
