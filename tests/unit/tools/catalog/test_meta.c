// What is written is read again, whatever the names hold; what was cut, edited or made by others is named.
#include "tools/catalog/meta.h"

#include "backend/base/crypto.h"
#include "backend/base/scope.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

SCOPE_TYPE(meta)
SCOPE_TYPE(verified)

static struct temp_dir dir;
static char path[4096];

static char *copy(const char *text)
{
    char *made = strdup(text);
    assert_non_null(made);
    return made;
}

static struct meta *make(void)
{
    struct meta *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    m->name = copy("orders");
    m->host = copy("db1.example.com");
    m->partition = copy("orders");
    m->engine = copy("postgresql");
    m->format = copy("custom");
    m->database = copy(" \"odd\"\\n = ;name\n ");
    m->system_identifier = copy("7312345678901234567");
    m->server_version = 150019;
    m->tool = copy("bakfs 0.1.0");
    m->dump_tool = copy("");
    m->dump_options = copy("-N secret");
    m->globals_lack = copy("");
    m->begun = (struct timespec){.tv_sec = 1795300000, .tv_nsec = 1};
    m->snapshot = (struct timespec){.tv_sec = 1795300001, .tv_nsec = 999999999};
    m->ended = (struct timespec){.tv_sec = 1795300002};
    m->clock_offset_ms = -1500;
    m->dump = copy("a.dump");
    m->globals = copy("a.globals.sql");
    m->schema = copy("");
    return m;
}

static const char *const odd[] = {
    "",
    " ",
    "  both  ",
    "\t",
    "a\tb",
    "new\nline",
    "\r\n",
    "\\",
    "\\n",
    "ends in \\",
    "a = b",
    "; no comment",
    "# nor this",
    "[section]",
    "\"Weird \"\"table\"\"\".\"x\"",
    "'quotes'",
    "\x01\x1f\x7f\x1b[31m",
    "gr\xc3\xbc\xc3\x9f\x65 \xe6\x97\xa5\xe6\x9c\xac",
    "\xff\xfe no UTF-8 \x80",
    "\xef\xbb\xbf",
    "sha256 = 0000",
    "[end]\nsha256 = 00",
};
enum { ODD = sizeof(odd) / sizeof(odd[0]) };

static void save(const struct meta *m)
{
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    struct err err = {0};
    if (meta_write(out, m, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(fclose(out), 0);
}

static struct meta *load(void)
{
    struct meta *m = NULL;
    struct err err = {0};
    if (meta_read(path, &m, &err) != 0)
        fail_msg("%s", err.text);
    return m;
}

static void all_of_it(void **state)
{
    (void)state;
    auto_type(meta) struct meta *m = make();
    assert_int_equal(meta_add_file(m, "a.dump", UINT64_C(9000000000000), "00ff", NULL), 0);
    assert_int_equal(meta_add_file(m, "a.dir/\ttoc\n.dat", 0, "", NULL), 0);
    save(m);
    auto_type(meta) struct meta *again = load();
    assert_string_equal(again->name, "orders");
    assert_string_equal(again->host, "db1.example.com");
    assert_string_equal(again->database, m->database);
    assert_string_equal(again->dump_tool, "");
    assert_string_equal(again->globals, "a.globals.sql");
    assert_int_equal(again->server_version, 150019);
    assert_int_equal(again->clock_offset_ms, -1500);
    assert_memory_equal(&again->begun, &m->begun, sizeof(m->begun));
    assert_memory_equal(&again->snapshot, &m->snapshot, sizeof(m->begun));
    assert_memory_equal(&again->ended, &m->ended, sizeof(m->begun));
    assert_int_equal(again->file_count, 2);
    assert_string_equal(again->files[0].name, "a.dump");
    assert_true(again->files[0].size == UINT64_C(9000000000000));
    assert_string_equal(again->files[0].digest, "00ff");
    assert_string_equal(again->files[1].name, "a.dir/\ttoc\n.dat");
    assert_string_equal(again->files[1].digest, "");
}

static void odd_text(void **state)
{
    (void)state;
    auto_type(meta) struct meta *m = make();
    for (size_t i = 0; i < ODD; i++)
        for (size_t k = 0; k < ODD; k++)
            assert_int_equal(facts_add(&m->facts, i % 2 ? "table" : "x_9", odd[i], odd[k], NULL),
                             0);
    facts_sort(&m->facts);
    save(m);
    auto_type(meta) struct meta *again = load();
    assert_int_equal(again->facts.count, ODD * ODD);
    for (size_t i = 0; i < again->facts.count; i++) {
        const struct fact *a = &m->facts.list[i], *b = &again->facts.list[i];
        assert_string_equal(a->kind, b->kind);
        assert_string_equal(a->name, b->name);
    }
    for (size_t i = 0; i < ODD; i++) {
        struct meta *one = make();
        facts_add(&one->facts, "check", "name", odd[i], NULL);
        save(one);
        struct meta *read = load();
        assert_int_equal(read->facts.count, 1);
        assert_string_equal(read->facts.list[0].value, odd[i]);
        meta_free(read);
        meta_free(one);
    }
}

static void long_lines(void **state)
{
    (void)state;
    static const size_t sizes[] = {199, 4096, 65536, 500000, 1048500};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        auto_free char *value = malloc(sizes[i] + 1);
        assert_non_null(value);
        memset(value, 'x', sizes[i]);
        value[sizes[i]] = '\0';
        value[sizes[i] / 2] = '=';
        auto_type(meta) struct meta *m = make();
        assert_int_equal(facts_add(&m->facts, "function", "f(integer)", value, NULL), 0);
        save(m);
        auto_type(meta) struct meta *again = load();
        assert_string_equal(again->facts.list[0].value, value);
    }
    // longer than a reader takes: it is not written
    auto_free char *value = calloc(1, (1 << 20) + 1);
    assert_non_null(value);
    memset(value, 'x', 1 << 20);
    auto_type(meta) struct meta *m = make();
    facts_add(&m->facts, "check", "too long", value, NULL);
    FILE *out = fopen(path, "we");
    struct err err = {0};
    assert_int_equal(meta_write(out, m, &err), -EFBIG);
    assert_non_null(strstr(err.text, "too long"));
    fclose(out);
}

static size_t slurp(char **out)
{
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    *out = malloc(1 << 16);
    assert_non_null(*out);
    size_t len = fread(*out, 1, 1 << 16, f);
    fclose(f);
    return len;
}

static void put(const char *data, size_t len)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static int refused(struct err *err)
{
    struct meta *m = NULL;
    int rc = meta_read(path, &m, err);
    assert_true(rc < 0);
    assert_null(m);
    assert_int_equal(strncmp(err->text, path, strlen(path)), 0);
    return rc;
}

static long peak_kib(void)
{
    struct rusage used;
    assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
    return used.ru_maxrss;
}

// Whoever may write to the store may put one there: it is not read into memory.
static void line_without_end(void **state)
{
    (void)state;
    struct err err;
    long before = peak_kib();
    put("[meta]\n", 7);
    assert_int_equal(truncate(path, (off_t)1 << 30), 0);
    assert_int_equal(refused(&err), -EUCLEAN);
    assert_true(peak_kib() - before < 64 << 10);
}

static void torn_or_edited(void **state)
{
    (void)state;
    auto_type(meta) struct meta *m = make();
    facts_add(&m->facts, "rows", "public.orders", "1000", NULL);
    meta_add_file(m, "a.dump", 17, "00", NULL);
    save(m);
    auto_free char *data = NULL;
    size_t len = slurp(&data);
    struct err err;
    for (size_t cut = 0; cut < len; cut++) {
        put(data, cut);
        assert_int_equal(refused(&err), -EUCLEAN);
    }
    for (size_t i = 0; i < len; i++) {
        data[i] ^= 1;
        put(data, len);
        int rc = refused(&err); // a higher version is that before it is damaged
        assert_true(rc == -EUCLEAN || (rc == -EOPNOTSUPP && strstr(err.text, "newer")));
        data[i] ^= 1;
    }
    data[len] = '\n';
    put(data, len + 1);
    assert_int_equal(refused(&err), -EUCLEAN);
    assert_non_null(strstr(err.text, "behind its end"));
    put(data, len);
    auto_type(meta) struct meta *whole = load();
    assert_int_equal(whole->facts.count, 1);
    snprintf(path, sizeof(path), "%s/none", dir.path);
    assert_int_equal(meta_read(path, &(struct meta *){NULL}, &err), -ENOENT);
    snprintf(path, sizeof(path), "%s/META", dir.path);
}

// `text`, and the end that fits.
static void put_ended(const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    uint8_t sum[SHA256_BYTES];
    sha256(text, strlen(text), sum);
    fprintf(f, "%ssha256 = ", text);
    for (size_t i = 0; i < sizeof(sum); i++)
        fprintf(f, "%02x", sum[i]);
    fputc('\n', f);
    assert_int_equal(fclose(f), 0);
}

static void made_by_others(void **state)
{
    (void)state;
    struct err err;
    // as META.md says it, by hand; keys and sections of a later time
    put_ended("[meta]\nversion = 1\nname=orders\nlater = x\nserver_version = 160001\n[new]\na = "
              "b\n[files]\n"
              "file = a.dump\t12\t\\-\n[facts]\nrows = a b\t5\n; comment\n[end]\n");
    auto_type(meta) struct meta *m = load();
    assert_string_equal(m->name, "orders");
    assert_string_equal(m->host, "");
    assert_int_equal(m->server_version, 160001);
    assert_string_equal(m->facts.list[0].name, "a b");
    static const struct {
        const char *text;
        int code;
        const char *says;
    } bad[] = {
        {"[meta]\nversion = 2\nname = x\n[end]\n", -EOPNOTSUPP, "made by a newer bakfs"},
        {"[meta]\nname = x\nversion = 1\n[end]\n", -EUCLEAN, ":2: is no META"},
        {"[end]\n", -EUCLEAN, "is no META"},
        {"[meta]\nversion = 1\nnonsense\n[end]\n", -EUCLEAN, ":3: neither"},
        {"[meta]\nversion = x\n[end]\n", -EUCLEAN, "'x' is no number"},
        {"[meta]\nversion = 1\nbegun = yesterday\n[end]\n", -EUCLEAN, "no time"},
        {"[meta]\nversion = 1\nname = a\\qb\n[end]\n", -EUCLEAN, ":3: '\\qb' is no escape"},
        {"[meta]\nversion = 1\nname = a\\x0\n[end]\n", -EUCLEAN, "no escape"},
        {"[meta]\nversion = 1\nname = a\\x00\n[end]\n", -EUCLEAN, "no escape"},
        {"[meta]\nversion = 1\n[facts]\nrows = nothing\n[end]\n", -EUCLEAN, "a field is missing"},
        {"[meta]\nversion = 1\n[facts]\nODD = a\tb\n[end]\n", -EUCLEAN, "no kind of fact"},
        {"[meta]\nversion = 1\n[files]\nfile = a\t-1\t\\-\n[end]\n", -EUCLEAN, "below zero"},
        {"[meta]\nversion = 1\nserver_version = 99999999999\n[end]\n", -EUCLEAN, "cannot be"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put_ended(bad[i].text);
        int rc = refused(&err);
        if (rc != bad[i].code || !strstr(err.text, bad[i].says))
            fail_msg("%s: %d %s", bad[i].text, rc, err.text);
    }
}

static void verified(void **state)
{
    (void)state;
    struct verified v = {.how = copy("restore"),
                         .by = copy("drill1"),
                         .pass = false,
                         .at = {.tv_sec = 1795300000},
                         .duration_ms = 61000,
                         .restore_ms = 60000,
                         .bytes = 1 << 30,
                         .reason = copy("rows public.orders: 999, was 1000")};
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    assert_int_equal(verified_write(out, &v, NULL), 0);
    assert_int_equal(fclose(out), 0);
    auto_type(verified) struct verified *again = NULL;
    assert_int_equal(verified_read(path, &again, NULL), 0);
    assert_false(again->pass);
    assert_string_equal(again->how, "restore");
    assert_string_equal(again->by, "drill1");
    assert_string_equal(again->reason, v.reason);
    assert_int_equal(again->at.tv_sec, 1795300000);
    assert_int_equal(again->restore_ms, 60000);
    assert_true(again->bytes == 1 << 30);
    free(v.how);
    free(v.by);
    free(v.reason);
    struct err err;
    struct verified *none = NULL;
    put_ended("[verified]\nversion = 1\n[end]\n");
    assert_int_equal(verified_read(path, &none, &err), -EUCLEAN);
    put_ended("[verified]\nversion = 1\nresult = maybe\n[end]\n");
    assert_int_equal(verified_read(path, &none, &err), -EUCLEAN);
    put_ended("[verified]\nversion = 9\n[end]\n");
    assert_int_equal(verified_read(path, &none, &err), -EOPNOTSUPP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it),      cmocka_unit_test(odd_text),
        cmocka_unit_test(long_lines),     cmocka_unit_test(line_without_end),
        cmocka_unit_test(torn_or_edited), cmocka_unit_test(made_by_others),
        cmocka_unit_test(verified),
    };
    if (temp_dir_make(&dir) != 0)
        return 1;
    snprintf(path, sizeof(path), "%s/META", dir.path);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    temp_dir_remove(&dir);
    return failed;
}
