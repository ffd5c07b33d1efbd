// Every key takes its good values and refuses its bad ones, with a sentence that names it.
#include "conf/conf.h"
#include "conf/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MOST 10

static const struct sample {
    enum conf_type type;
    const char *good[MOST], *bad[MOST];
} samples[] = {
    {CONF_TEXT, {"", "eu-central-1", "a b"}, {"a\x01z", "a ; b", "a # b", "\x7f"}},
    {CONF_PATH, {"/", "/a b", "/a#b"}, {"a", "./a", "~/a", "/a ;b", "/a\nb"}},
    {CONF_URL,
     {"", "dir:/", "dir:/a", "s3://abc", "s3://a.b-c/d/e"},
     {"dir:a", "dir:", "s3://", "s3://ab", "s3:///x", "https://x", "/a", "s3://a b c",
      "s3://abc?x"}},
    {CONF_ENDPOINT,
     {"", "http://h", "https://h:1", "http://127.0.0.1:7480", "https://[::1]:80/"},
     {"h", "ftp://h", "http://", "http:///x", "https://u:p@h", "http://h?x", "http://h h"}},
    {CONF_RECIPIENTS, {"", "/a", "age1abc", "age1a,age1b"}, {"a", "AGE-SECRET-KEY-1X", "file:/a"}},
    {CONF_DURATION,
     {"1000ms", "5s", "10m", "1h", "1d"},
     {"", "5", "s", "-5s", "5 s", "1.5h", "5S", "99999999999999999999s", "999999d"}},
    {CONF_SIZE,
     {"64M", "1G", "1048576K", "67108864"},
     {"", "M", "-1M", "64 M", "1.5G", "64m", "64MB", "99999999999999999999", "16777216T", "9999T"}},
    {CONF_PERCENT, {"0", "20%", "100%", "7"}, {"", "%", "101%", "-1%", "1.5%", "20 %"}},
    {CONF_COUNT, {"1", "64"}, {"", "0", "257", "-1", "x", "1x", "1%", "4294967297"}},
    {CONF_WORKERS, {"0", "1", "256"}, {"", "257", "-1", "x"}},
    {CONF_LEVEL, {"1", "19"}, {"", "0", "20", "-1", "x"}},
    {CONF_BOOL,
     {"yes", "no", "on", "off", "true", "false"},
     {"", "1", "0", "Yes", "yess", "yes|no", "y"}},
    {CONF_UMASK, {"0", "077", "0777", "22"}, {"", "8", "1777", "00777", "-1", "0x7", "rwx"}},
    {CONF_UID,
     {"", "0", "root", "nobody", "4294967294"},
     {"no such user", "4294967295", "-1", "1x"}},
    {CONF_LINE, {"", "a ; b # c", "SELECT ';'"}, {"a\x01z", "\x7f", "a\nb"}},
    {CONF_CONNINFO, {"", "host=a password='x # y'"}, {"a\x01z"}},
    {CONF_NAME,
     {"", "a", "0", "db1.example.com", "a_b-c.D"},
     {".a", "-a", "a b", "a/b", "\xc3\xa4", "a.zst"}},
    {CONF_SMTP,
     {"", "smtp://h", "smtp://h:25", "smtps://[::1]:465"},
     {"h", "smtp://", "http://h", "smtp://u:p@h", "smtp://h/x", "smtp://h h"}},
    {CONF_WEB,
     {"", "http://h", "https://h:1/a?b=c&d#e"},
     {"h", "ftp://h", "http://", "http:///x", "https://h h", "https://?x"}},
    {CONF_ADDRESS,
     {"", "root", "a@b", "a.b+c@example.com"},
     {"@b", "a@", "a b", "<a@b>", "a@b,c@d", "a@b\xc3\xa4"}},
    {CONF_ADDRESSES, {"", "root", "a@b, c@d", "a@b,c@d"}, {",", "a@b,", "a@b c@d", "A <a@b>"}},
    {CONF_GID, {"", "0", "root", "4294967294"}, {"no such group", "4294967295", "-1", "1x"}},
};

static const struct sample *samples_of(enum conf_type type)
{
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
        if (samples[i].type == type)
            return &samples[i];
    return NULL;
}

static struct conf *fresh(void)
{
    struct conf *conf = NULL;
    struct err err = {0};
    if (conf_load("/dev/null", &conf, &err) != 0)
        fail_msg("%s", err.text);
    return conf;
}

static int set(struct conf *conf, const struct conf_key *key, const char *value, struct err *err)
{
    if (conf_key_of_database(key)) // only of the file
        return conf_key_set(key, value, &conf->databases[0], err);
    char assignment[512];
    snprintf(assignment, sizeof(assignment), "%s.%s=%s", key->section, key->key, value);
    return conf_set(conf, assignment, err);
}

static void takes(struct conf *conf, const struct conf_key *key, const char *value)
{
    struct err err = {0};
    if (set(conf, key, value, &err) != 0)
        fail_msg("'%s' was refused: %s", value, err.text);
}

static void refuses(struct conf *conf, const struct conf_key *key, const char *value)
{
    char named[128];
    snprintf(named, sizeof(named), "[%s] %s", key->section, key->key);
    struct err err = {0};
    int rc = set(conf, key, value, &err);
    if (rc == 0)
        fail_msg("%s took '%s'", named, value);
    assert_int_equal(rc, -err.code);
    assert_non_null(strstr(err.text, named));
}

// "a|b": each is taken, or refused.
static void each_choice(struct conf *conf, const struct conf_key *key, const char *choices,
                        void (*judge)(struct conf *, const struct conf_key *, const char *))
{
    char copy[128], *rest = NULL;
    snprintf(copy, sizeof(copy), "%s", choices);
    for (char *word = strtok_r(copy, "|", &rest); word; word = strtok_r(NULL, "|", &rest))
        judge(conf, key, word);
}

static void every_key(void **state)
{
    (void)state;
    struct conf *conf = fresh();
    size_t place;
    assert_int_equal(conf_database_get(conf, "orders", &place, NULL), 0);
    for (size_t i = 0; i < conf_key_count; i++) {
        const struct conf_key *key = &conf_keys[i];
        if (key->type == CONF_LATER) {
            refuses(conf, key, "x");
            refuses(conf, key, "");
            continue;
        }
        assert_non_null(key->help);
        if (key->type == CONF_CHECKS) // test_conf.c: each has a name of its own
            continue;
        takes(conf, key, key->fallback);
        if (key->type == CONF_CHOICE || key->type == CONF_SWITCH) {
            each_choice(conf, key, key->choices, takes);
            if (key->refused)
                each_choice(conf, key, key->refused, refuses);
            refuses(conf, key, "");
            refuses(conf, key, "nonsense");
            refuses(conf, key, key->choices[1] ? "a|b" : "x");
        } else {
            const struct sample *s = samples_of(key->type);
            assert_non_null(s);
            for (size_t k = 0; k < MOST && s->good[k]; k++)
                takes(conf, key, s->good[k]);
            for (size_t k = 0; k < MOST && s->bad[k]; k++)
                refuses(conf, key, s->bad[k]);
        }
        takes(conf, key, key->fallback);
    }
    conf_free(conf);
}

// What a path, and a number, may not be empty: only where the default is.
static void empty_values(void **state)
{
    (void)state;
    struct conf *conf = fresh();
    struct err err = {0};
    assert_int_equal(conf_set(conf, "mount.point=", &err), 0);
    assert_int_equal(conf_set(conf, "write.spool=", &err), -EINVAL);
    assert_string_equal(err.text, "-o write.spool: [write] spool: '' is not an absolute path");
    assert_int_equal(conf_set(conf, "mount.state=", &err), -EINVAL);
    conf_free(conf);
}

static void limits_are_told(void **state)
{
    (void)state;
    struct conf *conf = fresh();
    struct err err = {0};
    assert_int_equal(conf_set(conf, "limits.memory=1M", &err), -EINVAL);
    assert_string_equal(err.text,
                        "-o limits.memory: [limits] memory: '1M' is not between 32M and 1T");
    assert_int_equal(conf_set(conf, "limits.memory=32M", &err), 0);
    assert_int_equal(conf->limits.memory_bytes, 32 << 20);
    assert_int_equal(conf_set(conf, "store.deadline=500ms", &err), -EINVAL);
    assert_string_equal(err.text,
                        "-o store.deadline: [store] deadline: '500ms' is not between 1s and 1d");
    assert_int_equal(conf_set(conf, "mount.refresh=0", &err), 0);
    assert_int_equal(conf->mount.refresh_ms, 0);
    assert_int_equal(conf_set(conf, "store.addressing=neither", &err), -EINVAL);
    assert_string_equal(err.text,
                        "-o store.addressing: [store] addressing: 'neither' is not one of "
                        "auto|path|virtual");
    conf_free(conf);
}

// No two keys share a name or a place.
static void table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < conf_key_count; i++) {
        const struct conf_key *a = &conf_keys[i];
        assert_true(a->type == CONF_LATER || a->fallback);
        assert_true((a->type != CONF_LATER && !a->refused) || a->later);
        for (size_t k = 0; k < i; k++) {
            const struct conf_key *b = &conf_keys[k];
            assert_false(strcmp(a->section, b->section) == 0 && strcmp(a->key, b->key) == 0);
            assert_false(a->offset != CONF_NOWHERE && a->offset == b->offset &&
                         conf_key_of_database(a) == conf_key_of_database(b));
        }
    }
}

int main(void)
{
    unsetenv("AWS_ENDPOINT_URL_S3");
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_REGION");
    unsetenv("AWS_DEFAULT_REGION");
    unsetenv("AWS_CA_BUNDLE");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key),
        cmocka_unit_test(empty_values),
        cmocka_unit_test(limits_are_told),
        cmocka_unit_test(table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
