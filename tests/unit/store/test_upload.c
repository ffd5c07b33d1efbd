#include "backend/store/upload.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/plan.h"
#include "tests/support/fault_store.h"
#include "tests/support/pattern.h"
#include "tests/support/temp_dir.h"
#include "tests/support/uploads.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define KEY "db1/2026-11-22/orders.sql.zst.age"
#define PIECE ((size_t)1000003) // fits nowhere evenly

struct rig {
    struct temp_dir dir;
    char state[300];
    struct store *files, *store; // store: faults around files
    struct blocks *blocks;
    struct workers *uploaders;
    struct journal *journal;
    struct upload_env env;
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    struct err err;
    if (!r || temp_dir_make(&r->dir) < 0)
        return -1;
    char objects[300], spool[300];
    snprintf(objects, sizeof(objects), "%s/objects", r->dir.path);
    snprintf(spool, sizeof(spool), "%s/spool", r->dir.path);
    snprintf(r->state, sizeof(r->state), "%s/state", r->dir.path);
    if (mkdir(objects, 0700) < 0 || mkdir(spool, 0700) < 0)
        return -1;
    // so little that parts and fronts do not fit: 8 blocks
    struct blocks_conf conf = {.memory_bytes = 0, .spool_dir = spool, .spool_max_bytes = 256 * MIB};
    if (store_dir_new(objects, &r->files, &err) < 0 || fault_store_new(r->files, &r->store) < 0 ||
        blocks_new(&conf, &r->blocks, &err) < 0 ||
        workers_new("upload", 3, 2, &r->uploaders, &err) < 0 ||
        journal_open(r->state, &r->journal, &err) < 0)
        return -1;
    r->env = (struct upload_env){.store = r->store,
                                 .blocks = r->blocks,
                                 .uploaders = r->uploaders,
                                 .journal = r->journal,
                                 .part_max = plan_part_max(0)};
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    workers_free(r->uploaders);
    blocks_free(r->blocks); // asserts that every block came back
    journal_close(r->journal);
    store_free(r->store);
    store_free(r->files);
    temp_dir_remove(&r->dir);
    free(r);
    return 0;
}

// --- Helpers ---

static int write_pattern(struct sink *sink, uint64_t seed, uint64_t off, uint64_t len, bool front,
                         struct err *err)
{
    auto_free uint8_t *bytes = malloc(PIECE);
    assert_non_null(bytes);
    for (uint64_t at = 0; at < len;) {
        size_t n = min_u64(PIECE, len - at);
        pattern_fill(seed, off + at, bytes, n);
        int rc = front ? sink_write_front(sink, bytes, n, err) : sink_write(sink, bytes, n, err);
        if (rc < 0)
            return rc;
        at += n;
    }
    return 0;
}

// Writes an object: `front` bytes that come last, then (in the object) `tail`.
static int write_object(const struct upload_env *env, uint64_t seed, uint64_t front, uint64_t tail,
                        const struct store_cond *cond, struct err *err)
{
    struct sink *sink;
    int rc = upload_sink_new(env, KEY, cond, NULL, &sink, err);
    if (rc < 0)
        return rc;
    rc = front ? sink_open_front(sink, front, err) : 0;
    if (rc == 0)
        rc = write_pattern(sink, seed, front, tail, false, err);
    if (rc == 0 && front)
        rc = write_pattern(sink, seed, 0, front, true, err);
    if (rc == 0)
        rc = sink_commit(sink, err);
    if (rc == 0) {
        assert_int_equal(upload_sink_stat(sink)->size, front + tail);
        assert_int_equal(upload_sink_acked(sink), front + tail);
    }
    sink_free(sink);
    return rc;
}

static void holds(struct store *store, uint64_t seed, uint64_t size)
{
    struct store_stat stat;
    struct source *source;
    assert_int_equal(store->ops->head(store, KEY, &stat, NULL), 0);
    assert_int_equal(stat.size, size);
    assert_int_equal(store_source_new(store, KEY, &stat, NULL, 0, &source, NULL), 0);
    auto_free uint8_t *bytes = malloc(PIECE);
    assert_non_null(bytes);
    for (uint64_t at = 0; at < size;) {
        size_t n = min_u64(PIECE, size - at);
        assert_int_equal(source_read_at(source, at, bytes, n, NULL), 0);
        assert_true(pattern_holds(seed, at, bytes, n));
        at += n;
    }
    source_free(source);
}

static unsigned uploads(struct store *store)
{
    return uploads_below(store, "");
}

static bool is_absent(struct store *store)
{
    struct store_stat stat;
    return store->ops->head(store, KEY, &stat, NULL) == -ENOENT;
}

// --- Tests ---

static void test_sizes(void **state)
{
    struct rig *r = *state;
    const struct {
        uint64_t front, tail;
        unsigned puts, parts;
    } cases[] = {
        {0, 0, 1, 0},
        {0, 1, 1, 0},
        {0, 8 * MIB - 1, 1, 0},
        {0, 8 * MIB, 1, 0},
        {0, 8 * MIB + 1, 0, 2},
        {0, 16 * MIB, 0, 2},
        {0, 20 * MIB, 0, 3},
        {5 * MIB, 0, 1, 0},
        {5 * MIB, 3 * MIB, 1, 0},
        {5 * MIB, 3 * MIB + 1, 0, 2},
        {5 * MIB + 1, 8 * MIB - 1, 0, 2},
        {5 * MIB, 8 * MIB, 0, 2},
        {5 * MIB, 8 * MIB + 1, 0, 3},
        {18 * MIB + 77, 17 * MIB, 0, 4}, // the front is larger than a part, and than memory
        {9 * MIB, 0, 0, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err;
        unsigned puts = fault_store_calls(r->store, FAULT_PUT);
        unsigned parts = fault_store_calls(r->store, FAULT_PUT_PART);
        int rc = write_object(&r->env, i, cases[i].front, cases[i].tail, NULL, &err);
        if (rc != 0)
            fail_msg("case %zu: %s", i, err.text);
        holds(r->files, i, cases[i].front + cases[i].tail);
        assert_int_equal(fault_store_calls(r->store, FAULT_PUT) - puts, cases[i].puts);
        assert_int_equal(fault_store_calls(r->store, FAULT_PUT_PART) - parts, cases[i].parts);
        assert_int_equal(uploads(r->files), 0);
    }
}

static void test_conditions(void **state)
{
    struct rig *r = *state;
    const uint64_t sizes[] = {100, 9 * MIB};
    for (int i = 0; i < 2; i++) {
        struct store_cond absent = {.if_absent = true};
        assert_int_equal(write_object(&r->env, 1, 0, sizes[i], &absent, NULL), 0);
        assert_int_equal(write_object(&r->env, 2, 0, sizes[i], &absent, NULL), -EEXIST);
        holds(r->files, 1, sizes[i]);
        struct store_stat stat;
        assert_int_equal(r->files->ops->head(r->files, KEY, &stat, NULL), 0);
        struct store_cond match = {.if_match = stat.etag};
        assert_int_equal(write_object(&r->env, 3, 0, sizes[i], &match, NULL), 0);
        assert_int_equal(write_object(&r->env, 4, 0, sizes[i], &match, NULL), -EEXIST);
        holds(r->files, 3, sizes[i]);
        assert_int_equal(uploads(r->files), 0);
        assert_int_equal(r->files->ops->remove(r->files, KEY, NULL, NULL), 0);
    }
}

static void test_free_aborts(void **state)
{
    struct rig *r = *state;
    const uint64_t sizes[] = {0, 1, 8 * MIB, 20 * MIB};
    for (int front = 0; front < 2; front++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct sink *sink;
            assert_int_equal(upload_sink_new(&r->env, KEY, NULL, NULL, &sink, NULL), 0);
            if (front)
                assert_int_equal(sink_open_front(sink, 5 * MIB, NULL), 0);
            assert_int_equal(write_pattern(sink, 1, 0, sizes[i], false, NULL), 0);
            if (front)
                assert_int_equal(write_pattern(sink, 1, 0, MIB, true, NULL), 0);
            sink_free(sink);
            assert_true(is_absent(r->files));
            assert_int_equal(uploads(r->files), 0);
        }
}

static void *free_thread(void *ctx)
{
    sink_free(ctx);
    return NULL;
}

// free while parts are on their way: it waits for them, and what they stored is aborted.
static void test_free_waits(void **state)
{
    struct rig *r = *state;
    struct sink *sink;
    pthread_t thread;
    fault_store_hold(r->store, FAULT_PUT_PART);
    assert_int_equal(upload_sink_new(&r->env, KEY, NULL, NULL, &sink, NULL), 0);
    assert_int_equal(sink_open_front(sink, 5 * MIB, NULL), 0);
    // a full part leaves at once; one byte more would wait for its memory
    assert_int_equal(write_pattern(sink, 1, 0, 8 * MIB, false, NULL), 0);
    fault_store_wait_held(r->store, 1);
    assert_int_equal(uploads(r->files), 1);
    assert_int_equal(pthread_create(&thread, NULL, free_thread, sink), 0);
    fault_store_release(r->store);
    pthread_join(thread, NULL);
    assert_int_equal(uploads(r->files), 0);
    assert_true(is_absent(r->files));
}

static void test_latched(void **state)
{
    struct rig *r = *state;
    struct sink *sink;
    struct err err = {0};
    struct fault fault = {.op = FAULT_PUT_PART, .nth = 1, .code = ENOSPC};
    fault_store_set(r->store, &fault);
    unsigned before = fault_store_calls(r->store, FAULT_PUT_PART);
    assert_int_equal(upload_sink_new(&r->env, KEY, NULL, NULL, &sink, NULL), 0);
    assert_int_equal(write_pattern(sink, 1, 0, 8 * MIB + 1, false, NULL), 0);
    assert_int_equal(upload_sink_sync(sink, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "part 1"));
    for (int i = 0; i < 3; i++) {
        err = (struct err){0};
        assert_int_equal(write_pattern(sink, 1, 0, 20 * MIB, false, &err), -ENOSPC);
        assert_non_null(strstr(err.text, "part 1"));
    }
    assert_int_equal(fault_store_calls(r->store, FAULT_PUT_PART) - before, 1);
    // nothing is held for a file that failed
    assert_int_equal(blocks_usage(r->blocks).memory_bytes, 0);
    assert_int_equal(sink_commit(sink, &err), -ENOSPC);
    sink_free(sink);
    assert_int_equal(uploads(r->files), 0);
    assert_true(is_absent(r->files));
}

static int abort_upload(void *ctx, const struct store_upload *upload)
{
    struct store *store = ctx;
    return store->ops->upload_abort(store, upload->key, upload->id, NULL);
}

// As a recovering daemon does that takes it for another one's: before it has a part nothing is lost with it.
static void test_aborted_by_another(void **state)
{
    struct rig *r = *state;
    for (int kept = 0; kept < 2; kept++) {
        struct sink *sink;
        struct err err = {0};
        unsigned aborted = 99;
        assert_int_equal(upload_sink_new(&r->env, KEY, NULL, NULL, &sink, NULL), 0);
        assert_int_equal(sink_open_front(sink, 5 * MIB, NULL), 0);
        if (kept == 0)
            fault_store_hold(r->store, FAULT_PUT_PART);
        assert_int_equal(write_pattern(sink, 1, 5 * MIB, 8 * MIB, false, NULL), 0);
        if (kept == 0)
            fault_store_wait_held(r->store, 1);
        else
            assert_int_equal(upload_sink_sync(sink, NULL), 0);
        assert_int_equal(uploads(r->files), 1);
        assert_int_equal(r->files->ops->list_uploads(r->files, KEY, abort_upload, r->files, NULL),
                         0);
        fault_store_release(r->store);
        int rc = write_pattern(sink, 1, 13 * MIB, 9 * MIB, false, &err);
        if (rc == 0)
            rc = write_pattern(sink, 1, 0, 5 * MIB, true, &err);
        if (rc == 0)
            rc = sink_commit(sink, &err);
        assert_int_equal(rc, kept == 0 ? 0 : -ENOENT);
        sink_free(sink);
        holds(r->files, 1, 22 * MIB);
        assert_int_equal(uploads(r->files), 0);
        assert_int_equal(journal_recover(r->state, r->files, &aborted, NULL), 0);
        assert_int_equal(aborted, 0);
    }
}

static void test_sync(void **state)
{
    struct rig *r = *state;
    struct sink *sink;
    assert_int_equal(upload_sink_new(&r->env, KEY, NULL, NULL, &sink, NULL), 0);
    assert_int_equal(sink_open_front(sink, 5 * MIB, NULL), 0);
    assert_int_equal(write_pattern(sink, 1, 5 * MIB, 17 * MIB, false, NULL), 0);
    assert_int_equal(upload_sink_sync(sink, NULL), 0);
    assert_int_equal(upload_sink_acked(sink), 16 * MIB);
    assert_true(is_absent(r->files));
    assert_int_equal(write_pattern(sink, 1, 0, 5 * MIB, true, NULL), 0);
    assert_int_equal(sink_commit(sink, NULL), 0);
    holds(r->files, 1, 22 * MIB);
    sink_free(sink);
}

static unsigned journal_files(const struct rig *r)
{
    unsigned count = 0;
    DIR *dir = opendir(r->state);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));)
        count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

// Every call of the store fails once, with and without having been done: the file is old or new, and whatever the upload
// left is aborted by the next mount.
static void test_every_call_fails(void **state)
{
    struct rig *r = *state;
    const struct {
        uint64_t front, tail;
    } shapes[] = {{0, 100}, {0, 17 * MIB}, {5 * MIB, 9 * MIB}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        for (int kind = FAULT_FAIL; kind <= FAULT_LOST; kind++) {
            uint64_t front = shapes[i].front, tail = shapes[i].tail;
            int rc = -1;
            for (unsigned nth = 1; rc != 0; nth++) {
                struct err err = {0};
                struct pattern_source old = pattern_source(99, 0, 1000);
                assert_int_equal(r->files->ops->put(r->files, KEY, &old.source, NULL, NULL, NULL),
                                 0);
                struct fault fault = {
                    .op = FAULT_ANY, .kind = (enum fault_kind)kind, .nth = nth, .code = EIO};
                fault_store_set(r->store, &fault);
                rc = write_object(&r->env, nth, front, tail, NULL, &err);
                fault_store_set(r->store, &(struct fault){0});
                assert_true(nth < 20);

                struct store_stat stat;
                assert_int_equal(r->files->ops->head(r->files, KEY, &stat, NULL), 0);
                if (rc == 0 || stat.size != 1000)
                    holds(r->files, nth, front + tail);
                else
                    holds(r->files, 99, 1000);
                assert_true(rc == 0 || rc == -EIO);
                assert_true(rc == 0 || strstr(err.text, "a fault as ordered"));

                unsigned aborted = 0;
                journal_close(take(r->journal));
                assert_int_equal(journal_recover(r->state, r->files, &aborted, &err), 0);
                assert_int_equal(uploads(r->files), 0);
                assert_int_equal(journal_files(r), 0);
                assert_int_equal(journal_open(r->state, &r->journal, &err), 0);
                r->env.journal = r->journal;
            }
        }
}

// An upload that cannot even be aborted is left to the next mount.
static void test_abort_fails(void **state)
{
    struct rig *r = *state;
    struct err err;
    struct fault fault = {.op = FAULT_ANY, .nth = 3, .forever = true, .code = ETIMEDOUT};
    fault_store_set(r->store, &fault); // begin, part 1, then nothing any more
    assert_int_equal(write_object(&r->env, 1, 0, 20 * MIB, NULL, &err), -ETIMEDOUT);
    assert_int_equal(uploads(r->files), 1);
    unsigned aborted = 0;
    assert_int_equal(journal_recover(r->state, r->files, &aborted, &err), 0);
    assert_int_equal(aborted, 0); // this daemon lives
    journal_close(take(r->journal));
    assert_int_equal(journal_recover(r->state, r->files, &aborted, &err), 0);
    assert_int_equal(aborted, 1);
    assert_int_equal(uploads(r->files), 0);
}

// Two writers by turns in one thread, each holding a part, with memory for one: neither waits for the other.
static void test_two_writers(void **state)
{
    struct rig *r = *state;
    struct sink *sinks[2];
    auto_free uint8_t *bytes = malloc(MIB);
    assert_non_null(bytes);
    const char *const keys[] = {"a", KEY};
    for (int i = 0; i < 2; i++)
        assert_int_equal(upload_sink_new(&r->env, keys[i], NULL, NULL, &sinks[i], NULL), 0);
    for (uint64_t at = 0; at < 20; at++)
        for (unsigned i = 0; i < 2; i++) {
            pattern_fill(i, at * MIB, bytes, MIB);
            assert_int_equal(sink_write(sinks[i], bytes, MIB, NULL), 0);
        }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(sink_commit(sinks[i], NULL), 0);
        sink_free(sinks[i]);
    }
    holds(r->files, 1, 20 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conditions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_aborts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_latched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_aborted_by_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_call_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abort_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_writers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
