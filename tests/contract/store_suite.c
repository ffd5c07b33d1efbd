#include "tests/contract/store_suite.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "tests/contract/store_suite_list.h"
#include "tests/contract/store_suite_versions.h"
#include "tests/support/pattern.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct store *store;

// --- Helpers ---

static void ok_(int rc, const struct err *err, int line)
{
    if (rc != 0)
        fail_msg("line %d: %d, %s", line, rc, err->text);
}
#define ok(call)                                                                                   \
    do {                                                                                           \
        struct err err = {0};                                                                      \
        int rc_ = (call);                                                                          \
        ok_(rc_, &err, __LINE__);                                                                  \
    } while (0)

// The code, and a sentence with it.
#define fails(code_, call)                                                                         \
    do {                                                                                           \
        struct err err = {0};                                                                      \
        assert_int_equal((call), -(code_));                                                        \
        assert_int_equal(err.code, (code_));                                                       \
        assert_true(strlen(err.text) > 0);                                                         \
    } while (0)

static struct store_stat put(const char *key, uint64_t seed, uint64_t size)
{
    struct pattern_source body = pattern_source(seed, 0, size);
    struct store_stat stat;
    ok(store->ops->put(store, key, &body.source, NULL, &stat, &err));
    assert_int_equal(stat.size, size);
    assert_true(strlen(stat.etag) > 0);
    return stat;
}

static struct store_stat head(const char *key)
{
    struct store_stat stat;
    ok(store->ops->head(store, key, &stat, &err));
    return stat;
}

static void is_absent(const char *key)
{
    struct store_stat stat;
    fails(ENOENT, store->ops->head(store, key, &stat, &err));
}

static void holds(const char *key, uint64_t seed, uint64_t size)
{
    struct store_stat before = head(key), stat;
    assert_int_equal(before.size, size);
    auto_free uint8_t *bytes = malloc(size + 16);
    assert_non_null(bytes);
    memset(bytes, 0xaa, size + 16);
    size_t len = 0;
    ok(store->ops->get(store, key, before.etag, 0, size + 16, bytes, &len, &stat, &err));
    assert_int_equal(len, size);
    assert_true(pattern_holds(seed, 0, bytes, size));
    assert_int_equal(stat.size, size);
    assert_string_equal(stat.etag, before.etag);
}

static void gone(const char *key)
{
    ok(store->ops->remove(store, key, NULL, &err));
}

struct uploads {
    unsigned count;
    char key[STORE_KEY_BYTES + 1], id[STORE_UPLOAD_ID_BYTES];
    struct timespec initiated;
};

static int see_upload(void *ctx, const struct store_upload *upload)
{
    struct uploads *u = ctx;
    u->count++;
    snprintf(u->key, sizeof(u->key), "%s", upload->key);
    snprintf(u->id, sizeof(u->id), "%s", upload->id);
    u->initiated = upload->initiated;
    return 0;
}

static struct uploads uploads(const char *prefix)
{
    struct uploads u = {0};
    ok(store->ops->list_uploads(store, prefix, see_upload, &u, &err));
    return u;
}

static struct store_part put_part(const char *key, const char *id, unsigned number, uint64_t seed,
                                  uint64_t off, uint64_t size)
{
    struct pattern_source body = pattern_source(seed, off, size);
    struct store_part part;
    ok(store->ops->put_part(store, key, id, number, off, &body.source, &part, &err));
    assert_int_equal(part.number, number);
    assert_int_equal(part.size, size);
    return part;
}

static void is_near_now(const struct timespec *t)
{
    int64_t away = (int64_t)t->tv_sec - (int64_t)store->ops->now(store).tv_sec;
    assert_true(away > -600 && away < 600);
}

// --- Tests ---

static void test_check(void **state)
{
    (void)state;
    ok(store->ops->check(store, false, &err));
    ok(store->ops->check(store, true, &err));
    assert_int_equal(uploads("").count, 0);
    assert_true(strlen(store->id) > 0);
    struct timespec local, now = store->ops->now(store);
    clock_gettime(CLOCK_REALTIME, &local);
    int64_t ahead = ((int64_t)now.tv_sec - (int64_t)local.tv_sec) * 1000;
    int64_t said = store->ops->clock_offset_ms(store);
    assert_true(ahead - said < 5000 && said - ahead < 5000);
}

static void test_absent(void **state)
{
    (void)state;
    char bytes[8];
    size_t len = 99;
    struct store_stat stat;
    is_absent("absent/file");
    fails(ENOENT, store->ops->get(store, "absent/file", NULL, 0, 8, bytes, &len, &stat, &err));
    fails(ENOENT, store->ops->get_tail(store, "absent/file", NULL, 8, bytes, &len, &stat, &err));
    fails(ENOENT, store->ops->copy(store, "absent/file", NULL, "absent/copy", &stat, &err));
    assert_int_equal(len, 99); // outputs change only on success
    is_absent("absent/copy");
    gone("absent/file");
}

static void test_sizes(void **state)
{
    (void)state;
    const uint64_t sizes[] = {0,       1,           65535,   65536,      65537,
                              MIB - 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct store_stat stat = put("sizes/file", i, sizes[i]);
        is_near_now(&stat.last_modified);
        assert_string_equal(head("sizes/file").etag, stat.etag);
        assert_false(head("sizes/file").cold);
        holds("sizes/file", i, sizes[i]);
    }
    gone("sizes/file");
    is_absent("sizes/file");
}

static void test_ranges(void **state)
{
    (void)state;
    const struct {
        uint64_t off;
        size_t len, got;
    } ranges[] = {{0, 1, 1},         {0, 100000, 100000}, {99999, 1, 1},   {99999, 5, 1},
                  {1, 65536, 65536}, {100000, 10, 0},     {100001, 10, 0}, {1 << 30, 10, 0}};
    struct store_stat put_stat = put("ranges/file", 7, 100000);
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        auto_free uint8_t *bytes = calloc(1, ranges[i].len + 1);
        assert_non_null(bytes);
        bytes[ranges[i].got] = 0xaa; // nothing is written behind what came
        size_t len = 0;
        struct store_stat stat;
        ok(store->ops->get(store, "ranges/file", i % 2 ? put_stat.etag : NULL, ranges[i].off,
                           ranges[i].len, bytes, &len, i % 3 ? &stat : NULL, &err));
        assert_int_equal(len, ranges[i].got);
        assert_true(pattern_holds(7, ranges[i].off, bytes, len));
        assert_int_equal(bytes[ranges[i].got], 0xaa);
        if (i % 3) {
            assert_int_equal(stat.size, 100000);
            assert_string_equal(stat.etag, put_stat.etag);
        }
    }
    gone("ranges/file");
}

static void test_tails(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 999, 1000, 1001, 5000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct store_stat stat, put_stat = put("tails/file", i, sizes[i]);
        uint8_t bytes[1000];
        size_t len = 99, expected = min_u64(1000, sizes[i]);
        ok(store->ops->get_tail(store, "tails/file", i % 2 ? put_stat.etag : NULL, 1000, bytes,
                                &len, &stat, &err));
        assert_int_equal(len, expected);
        assert_true(pattern_holds(i, sizes[i] - expected, bytes, len));
        assert_int_equal(stat.size, sizes[i]);
        assert_string_equal(stat.etag, put_stat.etag);
    }
    gone("tails/file");
}

static void test_replaced(void **state)
{
    (void)state;
    struct store_stat old = put("replaced/file", 1, 4000), stat;
    struct store_stat new = put("replaced/file", 2, 4000);
    assert_string_not_equal(old.etag, new.etag);
    uint8_t bytes[16];
    size_t len;
    fails(ESTALE,
          store->ops->get(store, "replaced/file", old.etag, 0, 16, bytes, &len, &stat, &err));
    fails(ESTALE,
          store->ops->get_tail(store, "replaced/file", old.etag, 16, bytes, &len, &stat, &err));
    fails(ESTALE, store->ops->copy(store, "replaced/file", old.etag, "replaced/copy", &stat, &err));
    is_absent("replaced/copy");
    holds("replaced/file", 2, 4000);
    gone("replaced/file");
}

static void test_put_conditions(void **state)
{
    (void)state;
    if (!store->limits.put_conditions)
        skip();
    struct pattern_source body = pattern_source(3, 0, 100);
    struct store_stat stat;
    struct store_cond absent = {.if_absent = true};
    ok(store->ops->put(store, "cond/put", &body.source, &absent, &stat, &err));
    fails(EEXIST, store->ops->put(store, "cond/put", &body.source, &absent, NULL, &err));
    struct store_stat first = stat;
    struct store_cond match = {.if_match = first.etag};
    body = pattern_source(4, 0, 200);
    ok(store->ops->put(store, "cond/put", &body.source, &match, &stat, &err));
    body = pattern_source(5, 0, 300);
    fails(EEXIST, store->ops->put(store, "cond/put", &body.source, &match, NULL, &err));
    holds("cond/put", 4, 200);
    gone("cond/put");
    fails(EEXIST, store->ops->put(store, "cond/put", &body.source, &match, NULL, &err));
    is_absent("cond/put");
}

struct part_job {
    const char *key, *id;
    unsigned number;
    uint64_t seed, off, size;
    struct store_part part;
    int rc;
};

static void *put_part_thread(void *ctx)
{
    struct part_job *job = ctx;
    struct pattern_source body = pattern_source(job->seed, job->off, job->size);
    job->rc = store->ops->put_part(store, job->key, job->id, job->number, job->off, &body.source,
                                   &job->part, NULL);
    return NULL;
}

static void test_parts_together(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    const char *key = "parts/many";
    uint64_t part = max_u64(store->limits.part_min, 300000);
    char id[STORE_UPLOAD_ID_BYTES];
    struct part_job jobs[COUNT];
    pthread_t threads[COUNT];
    put(key, 1, 1000);
    ok(store->ops->upload_begin(store, key, id, &err));
    for (unsigned i = 0; i < COUNT; i++) {
        unsigned number = COUNT - i; // the last first, and it is shorter
        jobs[i] = (struct part_job){.key = key,
                                    .id = id,
                                    .number = number,
                                    .seed = 9,
                                    .off = (number - 1) * part,
                                    .size = number == COUNT ? 12345 : part};
        assert_int_equal(pthread_create(&threads[i], NULL, put_part_thread, &jobs[i]), 0);
    }
    struct store_part parts[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        pthread_join(threads[i], NULL);
        parts[jobs[i].number - 1] = jobs[i].part;
    }
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(jobs[i].rc, 0);
    holds(key, 1, 1000); // the old one, until the new one is whole
    struct store_stat stat;
    ok(store->ops->upload_complete(store, key, id, parts, COUNT, NULL, &stat, &err));
    uint64_t size = (COUNT - 1) * part + 12345;
    assert_int_equal(stat.size, size);
    assert_string_equal(head(key).etag, stat.etag);
    holds(key, 9, size);
    assert_int_equal(uploads("parts/").count, 0);
    gone(key);
}

static void test_one_part(void **state)
{
    (void)state;
    const uint64_t sizes[] = {1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char id[STORE_UPLOAD_ID_BYTES];
        ok(store->ops->upload_begin(store, "parts/one", id, &err));
        is_absent("parts/one");
        put_part("parts/one", id, 1, 100, 0, sizes[i]); // put once more: the later one counts
        struct store_part part = put_part("parts/one", id, 1, i, 0, sizes[i]);
        is_absent("parts/one");
        struct store_stat stat;
        ok(store->ops->upload_complete(store, "parts/one", id, &part, 1, NULL, &stat, &err));
        holds("parts/one", i, sizes[i]);
        gone("parts/one");
    }
}

static void test_complete_conditions(void **state)
{
    (void)state;
    if (!store->limits.complete_conditions)
        skip();
    char id[STORE_UPLOAD_ID_BYTES];
    struct store_stat stat, first = put("cond/complete", 1, 10);
    struct store_cond absent = {.if_absent = true}, match = {.if_match = first.etag};
    ok(store->ops->upload_begin(store, "cond/complete", id, &err));
    struct store_part part = put_part("cond/complete", id, 1, 2, 0, 1000);
    fails(EEXIST,
          store->ops->upload_complete(store, "cond/complete", id, &part, 1, &absent, &stat, &err));
    holds("cond/complete", 1, 10);
    ok(store->ops->upload_complete(store, "cond/complete", id, &part, 1, &match, &stat, &err));
    holds("cond/complete", 2, 1000);

    ok(store->ops->upload_begin(store, "cond/complete", id, &err));
    part = put_part("cond/complete", id, 1, 3, 0, 500);
    fails(EEXIST,
          store->ops->upload_complete(store, "cond/complete", id, &part, 1, &match, &stat, &err));
    holds("cond/complete", 2, 1000);
    ok(store->ops->upload_abort(store, "cond/complete", id, &err));
    gone("cond/complete");

    ok(store->ops->upload_begin(store, "cond/complete", id, &err));
    part = put_part("cond/complete", id, 1, 4, 0, 500);
    ok(store->ops->upload_complete(store, "cond/complete", id, &part, 1, &absent, &stat, &err));
    holds("cond/complete", 4, 500);
    gone("cond/complete");
}

static void test_abort(void **state)
{
    (void)state;
    char id[STORE_UPLOAD_ID_BYTES], other[STORE_UPLOAD_ID_BYTES];
    ok(store->ops->upload_begin(store, "abort/a b", id, &err));
    ok(store->ops->upload_begin(store, "abortive/other", other, &err));
    struct store_part part = put_part("abort/a b", id, 1, 1, 0, 1000);
    struct uploads u = uploads("abort/");
    assert_int_equal(u.count, 1);
    assert_string_equal(u.key, "abort/a b");
    assert_string_equal(u.id, id);
    is_near_now(&u.initiated);
    assert_int_equal(uploads("abort").count, 2);
    ok(store->ops->upload_abort(store, "abort/a b", id, &err));
    assert_int_equal(uploads("abort/").count, 0);
    ok(store->ops->upload_abort(store, "abort/a b", id, &err)); // once more
    struct pattern_source body = pattern_source(1, 0, 10);
    struct store_stat stat;
    fails(ENOENT, store->ops->put_part(store, "abort/a b", id, 2, 1000, &body.source, &part, &err));
    fails(ENOENT, store->ops->upload_complete(store, "abort/a b", id, &part, 1, NULL, &stat, &err));
    is_absent("abort/a b");
    assert_int_equal(uploads("abortive/other").count, 1); // the other one was not touched
    ok(store->ops->upload_abort(store, "abortive/other", other, &err));
    assert_int_equal(uploads("").count, 0);
}

static void test_touched(void **state)
{
    (void)state;
    char id[STORE_UPLOAD_ID_BYTES];
    struct timespec when = {.tv_sec = 1};
    ok(store->ops->upload_begin(store, "touched", id, &err));
    ok(store->ops->upload_touched(store, "touched", id, &when, &err));
    assert_int_equal(when.tv_sec, 0);
    put_part("touched", id, 1, 1, 0, 1000);
    ok(store->ops->upload_touched(store, "touched", id, &when, &err));
    int64_t age = store->ops->now(store).tv_sec - when.tv_sec;
    assert_true(age >= -60 && age < 600);
    ok(store->ops->upload_abort(store, "touched", id, &err));
    fails(ENOENT, store->ops->upload_touched(store, "touched", id, &when, &err));
    struct store_facts facts;
    ok(store->ops->facts(store, &facts, &err));
}

static void test_copy(void **state)
{
    (void)state;
    struct store_stat from = put("copy/from", 11, 5 * MIB + 17), stat;
    put("copy/to", 12, 10);
    ok(store->ops->copy(store, "copy/from", from.etag, "copy/to", &stat, &err));
    assert_int_equal(stat.size, from.size);
    assert_string_equal(head("copy/to").etag, stat.etag);
    holds("copy/to", 11, from.size);
    ok(store->ops->copy(store, "copy/from", NULL, "copy/elsewhere/new %+", &stat, &err));
    holds("copy/elsewhere/new %+", 11, from.size);
    holds("copy/from", 11, from.size);
    assert_string_equal(head("copy/from").etag, from.etag);
    gone("copy/from");
    gone("copy/to");
    gone("copy/elsewhere/new %+");
}

static struct store_part copy_part(const char *key, const char *id, unsigned number, uint64_t off,
                                   const char *etag, uint64_t from_off, uint64_t size)
{
    struct store_part part;
    ok(store->ops->copy_part(store, key, id, number, off, "parts/from +&", etag, from_off, size,
                             &part, &err));
    assert_int_equal(part.number, number);
    assert_int_equal(part.size, size);
    assert_true(strlen(part.etag) > 0);
    return part;
}

// A part that was put, then parts of another object at odd places, the last one a single byte.
static void test_copy_part(void **state)
{
    (void)state;
    const char *key = "parts/copied";
    uint64_t first = max_u64(store->limits.part_min, 300000) + 1;
    uint64_t size = 2 * first + 4711;
    struct store_stat from = put("parts/from +&", 21, size), stat;
    char id[STORE_UPLOAD_ID_BYTES];
    put(key, 1, 1000);
    ok(store->ops->upload_begin(store, key, id, &err));
    struct store_part parts[3];
    parts[2] = copy_part(key, id, 3, size - 1, from.etag, size - 1, 1);
    parts[1] = copy_part(key, id, 2, first, from.etag, first, size - 1 - first);
    parts[0] = put_part(key, id, 1, 21, 0, first);
    holds(key, 1, 1000); // the old one, until the new one is whole
    ok(store->ops->upload_complete(store, key, id, parts, 3, NULL, &stat, &err));
    assert_int_equal(stat.size, size);
    holds(key, 21, size);

    // onto itself, and shifted: what stands at first + 5 is what stood at 5
    struct store_stat old = stat;
    ok(store->ops->upload_begin(store, key, id, &err));
    parts[0] = put_part(key, id, 1, 21, 0, first);
    ok(store->ops->copy_part(store, key, id, 2, first, key, old.etag, 0, first + 5, &parts[1],
                             &err));
    struct store_cond match = {.if_match = old.etag};
    ok(store->ops->upload_complete(store, key, id, parts, 2, &match, &stat, &err));
    assert_int_equal(stat.size, 2 * first + 5);
    uint8_t edge[16];
    size_t len;
    ok(store->ops->get(store, key, stat.etag, first - 8, 16, edge, &len, NULL, &err));
    assert_int_equal(len, 16);
    assert_true(pattern_holds(21, first - 8, edge, 8));
    assert_true(pattern_holds(21, 0, edge + 8, 8));
    holds("parts/from +&", 21, size);
    assert_int_equal(uploads("parts/").count, 0);
    gone(key);
    gone("parts/from +&");
}

static void test_copy_part_refusals(void **state)
{
    (void)state;
    const char *key = "parts/copied", *from = "parts/from +&";
    const struct store_ops *ops = store->ops;
    uint64_t size = 100000;
    struct store_stat old = put(from, 1, size);
    struct store_stat now = put(from, 2, size);
    char id[STORE_UPLOAD_ID_BYTES];
    struct store_part part = {.number = 99};
    ok(ops->upload_begin(store, key, id, &err));
    fails(ESTALE, ops->copy_part(store, key, id, 1, 0, from, old.etag, 0, size, &part, &err));
    fails(ENOENT, ops->copy_part(store, key, id, 1, 0, "parts/no", now.etag, 0, size, &part, &err));
    fails(EINVAL, ops->copy_part(store, key, id, 1, 0, from, now.etag, 0, 0, &part, &err));
    fails(EINVAL, ops->copy_part(store, key, id, 1, 0, from, now.etag, UINT64_MAX, 2, &part, &err));
    assert_true(ops->copy_part(store, key, id, 1, 0, from, now.etag, 1, size, &part, NULL) < 0);
    assert_true(ops->copy_part(store, key, id, 1, 0, from, now.etag, size, 1, &part, NULL) < 0);
    ok(ops->upload_abort(store, key, id, &err));
    fails(ENOENT, ops->copy_part(store, key, id, 1, 0, from, now.etag, 0, size, &part, &err));
    assert_int_equal(part.number, 99); // outputs change only on success
    is_absent(key);
    assert_int_equal(uploads("parts/").count, 0);
    gone(from);
}

static void *put_absent_thread(void *ctx)
{
    uint64_t *seed = ctx;
    struct pattern_source body = pattern_source(*seed, 0, 1000);
    struct store_cond absent = {.if_absent = true};
    int rc = store->ops->put(store, "race/new", &body.source, &absent, NULL, NULL);
    assert(rc == 0 || rc == -EEXIST);
    if (rc != 0)
        *seed = 0;
    return NULL;
}

static void test_race(void **state)
{
    (void)state;
    if (!store->limits.put_conditions)
        skip();
    enum { COUNT = 6 };
    for (int round = 0; round < 5; round++) {
        uint64_t seeds[COUNT], winner = 0;
        pthread_t threads[COUNT];
        for (unsigned i = 0; i < COUNT; i++) {
            seeds[i] = i + 1;
            assert_int_equal(pthread_create(&threads[i], NULL, put_absent_thread, &seeds[i]), 0);
        }
        for (unsigned i = 0; i < COUNT; i++)
            pthread_join(threads[i], NULL);
        for (unsigned i = 0; i < COUNT; i++)
            if (seeds[i] != 0) {
                assert_int_equal(winner, 0);
                winner = seeds[i];
            }
        assert_true(winner > 0);
        holds("race/new", winner, 1000);
        gone("race/new");
    }
}

static void test_source(void **state)
{
    (void)state;
    struct store_stat stat = put("source/file", 5, 100000);
    struct store_window windows[2] = {{.off = 0, .len = 4096}, {.off = 99000, .len = 1000}};
    for (int i = 0; i < 2; i++) {
        windows[i].bytes = malloc(windows[i].len);
        assert_non_null(windows[i].bytes);
        pattern_fill(5, windows[i].off, windows[i].bytes, windows[i].len);
    }
    struct source *source;
    ok(store_source_new(store, "source/file", &stat, windows, 2, &source, &err));
    assert_int_equal(source->size, 100000);
    auto_free uint8_t *bytes = malloc(100000);
    assert_non_null(bytes);
    const uint64_t ranges[][2] = {{0, 100000}, {0, 1},     {4095, 2},     {4096, 94904},
                                  {98999, 2},  {99999, 1}, {50000, 1000}, {100, 99850}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        ok(source_read_at(source, ranges[i][0], bytes, ranges[i][1], &err));
        assert_true(pattern_holds(5, ranges[i][0], bytes, ranges[i][1]));
    }
    put("source/file", 6, 100000);
    // what was fetched before the replacement still belongs to the old one, the rest is refused
    ok(source_read_at(source, 99000, bytes, 1000, &err));
    fails(ESTALE, source_read_at(source, 50000, bytes, 1000, &err));
    gone("source/file");
    fails(ENOENT, source_read_at(source, 50000, bytes, 1000, &err));
    source_free(source);
}

int store_suite_run(const char *name, struct store *of)
{
    store = of;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_tails),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_put_conditions),
        cmocka_unit_test(test_parts_together),
        cmocka_unit_test(test_one_part),
        cmocka_unit_test(test_complete_conditions),
        cmocka_unit_test(test_touched),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_copy_part),
        cmocka_unit_test(test_copy_part_refusals),
        cmocka_unit_test(test_race),
        cmocka_unit_test(test_source),
    };
    return _cmocka_run_group_tests(name, tests, sizeof(tests) / sizeof(tests[0]), NULL, NULL) +
           store_suite_list_run(name, of) +
           store_suite_versions_run(name, of, strncmp(of->id, "dir:", 4) == 0);
}
