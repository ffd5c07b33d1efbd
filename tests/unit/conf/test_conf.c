// The file: lines, sections, what inih would cut, the environment, and that the sample is the table.
#include "backend/base/scope.h"
#include "conf/conf.h"
#include "conf/table.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char *text_of(FILE *file, size_t *out_len)
{
    rewind(file);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    *out_len = fread(text, 1, 65535, file);
    return text;
}

// Loads `bytes` as a file. `path` gets the name that sentences begin with.
static int load(const char *bytes, size_t len, struct conf **out, char path[64], struct err *err)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fflush(file), 0);
    snprintf(path, 64, "/proc/self/fd/%d", fileno(file));
    int rc = conf_load(path, out, err);
    fclose(file);
    return rc;
}

static struct conf *good(const char *text)
{
    struct err err = {0};
    struct conf *conf = NULL;
    char path[64];
    if (load(text, strlen(text), &conf, path, &err) != 0)
        fail_msg("%s", err.text);
    return conf;
}

// `wanted` stands behind "FILE:".
static void bad_bytes(const char *bytes, size_t len, const char *wanted)
{
    struct err err = {0};
    struct conf *conf = NULL;
    char path[64];
    int rc = load(bytes, len, &conf, path, &err);
    assert_true(rc < 0);
    assert_int_equal(rc, -err.code);
    assert_null(conf);
    size_t prefix = strlen(path);
    assert_int_equal(strncmp(err.text, path, prefix), 0);
    assert_int_equal(err.text[prefix], ':');
    assert_string_equal(err.text + prefix + 1, wanted);
}

static void bad(const char *text, const char *wanted)
{
    bad_bytes(text, strlen(text), wanted);
}

static void defaults(void **state)
{
    (void)state;
    struct conf *conf = good("");
    assert_string_equal(conf->store.url, "");
    assert_string_equal(conf->store.profile, "");
    assert_int_equal(conf->store.addressing, CONF_ADDRESSING_AUTO);
    assert_int_equal(conf->store.deadline_ms, 300000);
    assert_false(conf->store.ignore_clock);
    assert_int_equal(conf->mount.refresh_ms, 5000);
    assert_int_equal(conf->mount.uid, geteuid());
    assert_int_equal(conf->mount.gid, getegid());
    assert_int_equal(conf->mount.umask, 077);
    assert_false(conf->mount.allow_other);
    assert_false(conf->mount.read_only);
    assert_int_equal(conf->mount.drain_deadline_ms, 600000);
    assert_int_equal(conf->write.level, 3);
    assert_int_equal(conf->write.head_bytes, 16 << 20);
    assert_string_equal(conf->write.spool, "/var/tmp");
    assert_int_equal(conf->write.spool_max_bytes, (uint64_t)2 << 30);
    assert_int_equal(conf->write.spool_keep_free_percent, 20);
    assert_false(conf->write.publish_failed);
    assert_int_equal(conf->limits.memory_bytes, 256 << 20);
    assert_true(conf->limits.uploads > 0 && conf->limits.downloads > 0);
    assert_true(conf->limits.workers > 0);
    assert_true(conf->protect.on);
    assert_int_equal(conf->protect.grace_ms, 3600000);
    assert_int_equal(conf->notify.on, CONF_NOTIFY_FAILURE);
    assert_string_equal(conf->notify.smtp, "");
    assert_int_equal(conf->database_count, 0);
    conf_free(conf);
}

static void values(void **state)
{
    (void)state;
    struct conf *conf = good("# a comment\n"
                             "; another\n"
                             "\n"
                             "[store]\n"
                             "url = s3://bucket/some/prefix\n"
                             "addressing: path\r\n"
                             "clock=ignore\n"
                             "[write]   # behind a section it may stand\n"
                             "  level = 19\n"
                             "[protect]\n"
                             "mode = off");
    assert_string_equal(conf->store.url, "s3://bucket/some/prefix");
    assert_int_equal(conf->store.addressing, CONF_ADDRESSING_PATH);
    assert_true(conf->store.ignore_clock);
    assert_int_equal(conf->write.level, 19);
    assert_false(conf->protect.on);
    conf_free(conf);

    conf = good("\xEF\xBB\xBF[write]\nlevel = 4\n");
    assert_int_equal(conf->write.level, 4);
    conf_free(conf);
}

static void wrong_lines(void **state)
{
    (void)state;
    bad("[write]\nlevel = 99\n", "2: [write] level: '99' is not a number from 1 to 19");
    bad("[write]\nlevvel = 3\n", "2: [write] levvel: no such key; did you mean level?");
    bad("[write]\nmemory = 64M\n", "2: [write] memory: no such key here; it belongs to [limits]");
    bad("[write]\nqqqqqqqqqqq = 1\n",
        "2: [write] qqqqqqqqqqq: no such key; the sample bakfs.conf shows all of them");
    bad("[wrte]\n", "1: [wrte]: no such section; did you mean [write]?");
    bad("\n\n[database]\n", "3: [database]: which one? write [database NAME]");
    bad("[write]\nlevel = 3\n\nlevel = 3\n",
        "4: [write] level: set twice; remove one of the lines");
    bad("[write]\n[limits]\n[write]\nlevel=3\nlevel=4\n",
        "5: [write] level: set twice; remove one of the lines");
    bad("level = 3\n", "1: 'level' stands before the first [section]");
    bad("[write]\nlevel\n", "2: neither [section] nor key = value");
    bad("[write\nlevel = 3\n", "1: a section's name ends in ']'");
    bad("[write] level = 3\n", "1: nothing may follow a section's ']'");
    bad("[write]\nlevel = 3 ; good\n", "2: [write] level: '3 ; good' is not a number from 1 to 19");
    bad("[store]\nurl = dir:/x # good\n",
        "2: [store] url: what follows looks like a comment; give the comment a line of its own");
    bad("[mount]\npoint = /a\tb\n", "2: [mount] point: holds a control character");
    bad("[mount]\nread_only = yes\n",
        "2: [mount] read_only: belongs on the command line (-o ro), not in the file");
    // A value that goes on in the next line is no value.
    bad("[seal]\nrecipients =\n  /etc/recipients\n", "3: neither [section] nor key = value");
    // The first error counts, whoever finds it.
    bad("[write]\nlevel\nlevel = 99\n", "2: neither [section] nor key = value");
    bad("[write]\nlevel = 99\nlevel\n[nosuch]\n",
        "2: [write] level: '99' is not a number from 1 to 19");
}

static void not_yet(void **state)
{
    (void)state;
    bad("[limits]\nbandwidth = 1M\n",
        "2: [limits] bandwidth: not yet: this version does not limit bandwidth; remove the line");
    bad("[seal]\nmode = none\n",
        "2: [seal] mode = none: not yet: this version neither writes nor reads unsealed objects");
}

static void databases(void **state)
{
    (void)state;
    struct conf *conf = good("[restore]\n"
                             "conninfo = host=there\n"
                             "[database orders]\n"
                             "conninfo = host=here dbname='or ders' # not a comment\n"
                             "format = directory\n"
                             "jobs = 4\n"
                             "every = 6h\n"
                             "check.paid = SELECT count(*) FROM a; -- rows\n"
                             "[database b.2]\n"
                             "[database c]\n"
                             "jobs = 2\n"
                             "[database orders]\n"
                             "counts = off\n"
                             "check.sum = SELECT 1\n"
                             "restore_command = a ; b # c\n");
    assert_string_equal(conf->restore.conninfo, "host=there");
    assert_int_equal(conf->database_count, 3);
    const struct conf_database *db = conf_database_find(conf, "orders", NULL);
    assert_ptr_equal(db, &conf->databases[0]);
    assert_string_equal(db->name, "orders");
    assert_string_equal(db->conninfo, "host=here dbname='or ders' # not a comment");
    assert_int_equal(db->format, CONF_FORMAT_DIRECTORY);
    assert_int_equal(db->jobs, 4);
    assert_int_equal(db->counts, CONF_COUNTS_OFF);
    assert_int_equal(db->every_ms, 6 * 3600 * 1000);
    assert_int_equal(db->drill_every_ms, (uint64_t)30 * 86400 * 1000);
    assert_int_equal(db->check_count, 2);
    assert_string_equal(db->checks[0].name, "paid");
    assert_string_equal(db->checks[0].sql, "SELECT count(*) FROM a; -- rows");
    assert_string_equal(db->checks[1].name, "sum");
    assert_string_equal(db->restore_command, "a ; b # c");
    db = conf_database_find(conf, "b.2", NULL); // an empty section is one with defaults
    assert_non_null(db);
    assert_int_equal(db->format, CONF_FORMAT_CUSTOM);
    assert_int_equal(db->jobs, 1);
    assert_int_equal(db->counts, CONF_COUNTS_EXACT);
    assert_int_equal(db->every_ms, 86400 * 1000);
    assert_string_equal(db->host, "");
    assert_int_equal(conf_database_find(conf, "c", NULL)->jobs, 2);
    struct err err = {0};
    assert_null(conf_database_find(conf, "ordesr", &err));
    assert_int_equal(err.code, ENOENT);
    assert_string_equal(err.text, "the configuration has no [database ordesr]; did you mean "
                                  "[database orders]?");
    assert_null(conf_database_find(conf, "something else", &err));
    assert_string_equal(err.text, "the configuration has no [database something else]; it has "
                                  "[database orders] and others");
    conf_free(conf);
    conf = good("");
    assert_int_equal(conf->database_count, 0);
    assert_null(conf_database_find(conf, "orders", &err));
    conf_free(conf);
}

static void wrong_databases(void **state)
{
    (void)state;
    bad("[database a b]\n",
        "1: [database a b]: 'a b' is not a name of letters, digits, '.', '-' and "
        "'_', the first a letter or digit");
    bad("[database .a]\n", "1: [database .a]: '.a' is not a name of letters, digits, '.', '-' and "
                           "'_', the first a letter or digit");
    bad("[database a.zst]\n", "1: [database a.zst]: 'a.zst' is not a name of letters, digits, '.', "
                              "'-' and '_', the first a letter or digit");
    bad("[database a]\njobs = 1\n[database b]\njobs = 2\n[database a]\njobs = 3\n",
        "6: [database a] jobs: set twice; remove one of the lines");
    bad("[database a]\ncheck.x = 1\ncheck.y = 1\ncheck.x = 1\n",
        "4: [database a] check.x: set twice; remove one of the lines");
    bad("[database a]\ncheck. = 1\n", "2: [database a] check.: no such key; did you mean check.*?");
    bad("[database a]\ncheck.x =\n", "2: [database a] check.x: there is no SQL behind it");
    bad("[database a]\njobs = 65\n", "2: [database a] jobs: '65' is not a number from 1 to 64");
    bad("[database a]\nformat = tar\n",
        "2: [database a] format: 'tar' is not one of custom|directory|plain");
    bad("[database a]\npartition = x/y\n",
        "2: [database a] partition: 'x/y' is not a name of letters, digits, '.', '-' and '_', the "
        "first a letter or digit");
    struct conf *conf = good("");
    struct err err = {0};
    assert_int_equal(conf_set(conf, "database a.jobs=2", &err), -EINVAL);
    assert_string_equal(err.text, "-o database a.jobs: belongs in the configuration file");
    conf_free(conf);
}

// What is wrong with several lines together.
static void sections_together(void **state)
{
    (void)state;
    bad("[database a]\nconninfo = dbname=a\nservice = a\n",
        " [database a]: conninfo and service are both set; remove one");
    bad("[restore]\ndrill_conninfo = dbname=a\ndrill_service = a\n",
        " [restore]: drill_conninfo and drill_service are both set; remove one");
    bad("[notify]\nsmtp = smtp://mail\n", " [notify] smtp: to whom? set to = you@example.com");
    bad("[notify]\nuser = me\n", " [notify] user: its password is missing; set password_file");
    bad("[database a]\nhost = h\nconninfo = host=one\n"
        "[database b]\nhost = h\npartition = a\nconninfo = host=two\n",
        " [database a] and [database b] are different databases, and both back up to host h, "
        "partition a: set another partition, or host");
    static const char *const apart[] = {
        "[database a]\nconninfo = host=one\n[database b]\nconninfo = host=two\n",
        "[database a]\nhost = h\npartition = p\nconninfo = host=one\n"
        "[database b]\nhost = i\npartition = p\nconninfo = host=two\n",
        // one database in two formats
        "[database a]\nconninfo = host=one\n"
        "[database b]\npartition = a\nconninfo = host=one\nformat = plain\n"};
    for (size_t i = 0; i < sizeof(apart) / sizeof(apart[0]); i++)
        conf_free(good(apart[i]));
}

// A file that others may read holds no password; one of the owner's own may.
static void passwords(void **state)
{
    (void)state;
    static const char *const with[] = {"password=hush", "host=a Password = 'hush'",
                                       "postgresql://me:hush@host/db", "postgres://me:hush@host",
                                       "postgresql://host/db?user=a&password=hush"},
                             *const without[] = {"host=a dbname=password",
                                                 "postgresql://me@host/db",
                                                 "postgresql://host:5432/db",
                                                 "postgres://host/db?application_name=a:b@c",
                                                 "passfile=/etc/pgpass"};
    char path[] = "/tmp/bakfs-test-conf-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (size_t i = 0; i < 10; i++) {
        const char *conninfo = i < 5 ? with[i] : without[i - 5];
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_true(dprintf(fd, "[database a]\nconninfo = %s\n", conninfo) > 0);
        struct conf *conf = NULL;
        struct err err = {0};
        assert_int_equal(fchmod(fd, 0640), 0);
        assert_int_equal(conf_load(path, &conf, &err), i < 5 ? -EACCES : 0);
        if (i < 5) {
            assert_non_null(strstr(err.text, "[database a] conninfo: holds a password"));
            assert_non_null(strstr(err.text, "~/.pgpass"));
            assert_null(strstr(err.text, "hush"));
            assert_null(conf);
        }
        conf_free(conf);
        conf = NULL;
        assert_int_equal(fchmod(fd, 0600), 0);
        assert_int_equal(conf_load(path, &conf, &err), 0);
        assert_string_equal(conf->databases[0].conninfo, conninfo);
        conf_free(conf);
    }
    close(fd);
    unlink(path);
}

static void what_inih_would_cut(void **state)
{
    (void)state;
    char text[8192];
    static const char head[] = "[store]\nregion = ";
    size_t longest = 4095 - strlen("region = ") - 1;
    memset(text, 'x', sizeof(text));
    memcpy(text, head, strlen(head));
    text[strlen(head) + longest] = '\n';
    text[strlen(head) + longest + 1] = '\0';
    struct conf *conf = good(text);
    assert_int_equal(strlen(conf->store.region), longest);
    conf_free(conf);
    text[strlen(head) + longest] = 'x';
    text[strlen(head) + longest + 1] = '\n';
    text[strlen(head) + longest + 2] = '\0';
    bad(text, "2: longer than 4095 bytes");

    bad("[database xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]\n",
        "1: a section's name has at most 49 bytes");
    // inih would read it as check.xxx..., cut
    bad("[database x]\ncheck.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx = 1\n",
        "2: a key has at most 49 bytes");
    static const char zero[] = "[write]\nlevel = 3\0 4\n";
    bad_bytes(zero, sizeof(zero) - 1, "2: holds a zero byte");
}

static void missing_file(void **state)
{
    (void)state;
    struct err err = {0};
    struct conf *conf = NULL;
    assert_int_equal(conf_load("/nonexistent/bakfs.conf", &conf, &err), -ENOENT);
    assert_string_equal(err.text, "read the configuration /nonexistent/bakfs.conf: No such file or "
                                  "directory");
    assert_int_equal(setenv("BAKFS_CONF", "/nonexistent/by-environment", 1), 0);
    assert_int_equal(conf_load(NULL, &conf, &err), -ENOENT);
    assert_non_null(strstr(err.text, "by-environment"));
    assert_int_equal(unsetenv("BAKFS_CONF"), 0);
    assert_int_equal(conf_load("/proc/self", &conf, &err), -EISDIR);
    assert_int_equal(conf_load("/nonexistent/bakfs.conf", &conf, NULL), -ENOENT);
    assert_null(conf);
}

static void environment(void **state)
{
    (void)state;
    static const char text[] = "[store]\nendpoint = http://file:1\nregion = file\n";
    setenv("AWS_ENDPOINT_URL", "http://general:2", 1);
    setenv("AWS_REGION", "there", 1);
    setenv("AWS_DEFAULT_REGION", "elsewhere", 1);
    struct conf *conf = good(text);
    assert_string_equal(conf->store.endpoint, "http://general:2");
    assert_string_equal(conf->store.region, "there");
    // The command line comes before both.
    assert_int_equal(conf_set(conf, "store.region=here", NULL), 0);
    assert_string_equal(conf->store.region, "here");
    conf_free(conf);

    setenv("AWS_ENDPOINT_URL_S3", "not a url", 1);
    struct err err = {0};
    char path[64];
    assert_int_equal(load(text, strlen(text), &conf, path, &err), -EINVAL);
    assert_string_equal(err.text,
                        "environment AWS_ENDPOINT_URL_S3: [store] endpoint: 'not a url' is "
                        "not http://host[:port] or https://host[:port]");
    unsetenv("AWS_ENDPOINT_URL_S3");
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_REGION");
    unsetenv("AWS_DEFAULT_REGION");
    conf = good(text);
    assert_string_equal(conf->store.endpoint, "http://file:1");
    conf_free(conf);
}

static void options(void **state)
{
    (void)state;
    struct conf *conf = good("");
    struct err err = {0};
    assert_int_equal(conf_set(conf, "write.level=7", &err), 0);
    assert_int_equal(conf->write.level, 7);
    assert_int_equal(conf_set(conf, "store.url=dir:/a=b.c", &err), 0);
    assert_string_equal(conf->store.url, "dir:/a=b.c");
    assert_int_equal(conf_set(conf, "write.level=x", &err), -EINVAL);
    assert_string_equal(err.text,
                        "-o write.level: [write] level: 'x' is not a number from 1 to 19");
    assert_int_equal(conf->write.level, 7);
    assert_int_equal(conf_set(conf, "mount.read_only=yes", &err), 0);
    assert_true(conf->mount.read_only);
    static const char *const malformed[] = {"",         "level=7",  "write.level",
                                            ".level=7", "write.=7", "write=level.7"};
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        assert_int_equal(conf_set(conf, malformed[i], &err), -EINVAL);
        assert_non_null(strstr(err.text, "not of the form section.key=value"));
        assert_int_equal(conf_set(conf, malformed[i], NULL), -EINVAL);
    }
    assert_int_equal(conf_set(conf, "write.levek=7", &err), -EINVAL);
    assert_string_equal(err.text,
                        "-o write.levek: [write] levek: no such key; did you mean level?");
    assert_int_equal(conf_set(conf, "limits.bandwidth=1M", &err), -EOPNOTSUPP);
    conf_free(conf);
}

static void together(void **state)
{
    (void)state;
    struct err err = {0};
    struct conf *conf = good("");
    assert_int_equal(conf_check(conf, &err), -EINVAL);
    assert_non_null(strstr(err.text, "no store"));
    conf_free(conf);

    conf = good("[store]\nurl = dir:/srv/store\n");
    assert_int_equal(conf_check(conf, &err), -EINVAL);
    assert_non_null(strstr(err.text, "no recipients"));
    conf->mount.read_only = true;
    assert_int_equal(conf_check(conf, &err), 0);
    conf_free(conf);

    conf = good("[store]\nurl = dir:/mnt/bak/store\n[seal]\nrecipients = /r\n[mount]\npoint = "
                "/mnt/bak/\n");
    assert_int_equal(conf_check(conf, &err), -EINVAL);
    assert_non_null(strstr(err.text, "below the mount point"));
    assert_int_equal(conf_set(conf, "mount.point=/mnt/ba", &err), 0);
    assert_int_equal(conf_check(conf, &err), 0);
    conf_free(conf);
}

static void sample_is_the_table(void **state)
{
    (void)state;
    FILE *written = tmpfile(), *sample = fopen(SAMPLE_CONF, "re");
    assert_non_null(written);
    assert_non_null(sample);
    assert_int_equal(conf_write(written, NULL, 0, NULL), 0);
    size_t written_len, sample_len;
    auto_free char *a = text_of(written, &written_len);
    auto_free char *b = text_of(sample, &sample_len);
    assert_string_equal(a, b);
    assert_int_equal(written_len, sample_len);
    for (size_t i = 0; i < conf_key_count; i++) {
        if (conf_keys[i].option_only)
            continue;
        if (conf_keys[i].type == CONF_LATER) {
            assert_non_null(strstr(b, conf_keys[i].key));
            continue;
        }
        char line[256];
        if (conf_keys[i].example)
            snprintf(line, sizeof(line), "\n#%s\n", conf_keys[i].example);
        else
            snprintf(line, sizeof(line), "\n#%s =%s%s\n", conf_keys[i].key,
                     *conf_keys[i].fallback ? " " : "", conf_keys[i].fallback);
        assert_non_null(strstr(b, line));
    }
    fclose(written);
    fclose(sample);
    conf_free(good(b)); // all comments: all defaults
}

// With every '#' in front of a key gone it says the same as without.
static void sample_uncommented(void **state)
{
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    struct conf_value all[128];
    size_t count = 0;
    for (size_t i = 0; i < conf_key_count; i++)
        if (conf_keys[i].type != CONF_LATER && !conf_keys[i].option_only && !conf_keys[i].example)
            all[count++] = (struct conf_value){
                conf_key_of_database(&conf_keys[i]) ? "database orders" : conf_keys[i].section,
                conf_keys[i].key, conf_keys[i].fallback};
    assert_int_equal(conf_write(file, all, count, NULL), 0);
    size_t len;
    auto_free char *text = text_of(file, &len);
    fclose(file);
    struct conf *set = good(text), *unset = good("");
    for (size_t i = 0; i < count; i++) {
        char line[256];
        snprintf(line, sizeof(line), "\n%s =%s%s\n", all[i].key, *all[i].value ? " " : "",
                 all[i].value);
        assert_non_null(strstr(text, line));
    }
    assert_int_equal(set->limits.memory_bytes, unset->limits.memory_bytes);
    assert_string_equal(set->write.spool, unset->write.spool);
    assert_int_equal(set->mount.uid, unset->mount.uid);
    assert_int_equal(set->database_count, 1);
    assert_string_equal(set->databases[0].name, "orders");
    conf_free(set);
    conf_free(unset);
}

int main(void)
{
    static const char *const ours[] = {"BAKFS_CONF", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL",
                                       "AWS_REGION", "AWS_DEFAULT_REGION",  "AWS_CA_BUNDLE"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        unsetenv(ours[i]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(values),
        cmocka_unit_test(wrong_lines),
        cmocka_unit_test(not_yet),
        cmocka_unit_test(databases),
        cmocka_unit_test(wrong_databases),
        cmocka_unit_test(sections_together),
        cmocka_unit_test(passwords),
        cmocka_unit_test(what_inih_would_cut),
        cmocka_unit_test(missing_file),
        cmocka_unit_test(environment),
        cmocka_unit_test(options),
        cmocka_unit_test(together),
        cmocka_unit_test(sample_is_the_table),
        cmocka_unit_test(sample_uncommented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
