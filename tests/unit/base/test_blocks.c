// The table of blocks.h, row by row, and the bounds of the spool.
#include "backend/base/blocks.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define POOL 8u
#define SLOTS 4u

static struct blocks *pool_with(const char *dir, uint64_t slots, unsigned keep_free)
{
    struct blocks *b = NULL;
    struct err err = {0};
    struct blocks_conf conf = {.memory_bytes = POOL * BLOCK_BYTES + 100,
                               .spool_dir = dir,
                               .spool_max_bytes = slots * BLOCK_BYTES,
                               .spool_keep_free_percent = keep_free};
    assert_int_equal(blocks_new(&conf, &b, &err), 0);
    return b;
}

static struct blocks *pool(void)
{
    return pool_with("/tmp", SLOTS, 0);
}

static struct block *get(struct blocks *b, enum block_user user)
{
    struct block *block = NULL;
    struct err err = {0};
    int rc = block_get(b, user, &block, &err);
    if (rc < 0)
        fail_msg("block_get: %s", err.text);
    return block;
}

static void fill(struct blocks *b, struct block *out[POOL])
{
    for (unsigned i = 0; i < POOL; i++) {
        out[i] = get(b, BLOCK_WRITER);
        assert_non_null(block_memory(out[i]));
        assert_int_equal((uintptr_t)block_memory(out[i]) % 4096, 0);
    }
}

static void put_all(struct block **list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        block_put(list[i]);
}

static void nobody_waits_for_what_is_only_held(void **state)
{
    (void)state;
    struct blocks *b = pool();
    struct block *held[POOL], *spooled[3];
    fill(b, held);
    static const enum block_user users[] = {BLOCK_WRITER, BLOCK_WORKER, BLOCK_HEAD};
    for (unsigned i = 0; i < 3; i++) {
        spooled[i] = get(b, users[i]);
        assert_null(block_memory(spooled[i]));
    }
    assert_int_equal(blocks_usage(b).memory_bytes, POOL * BLOCK_BYTES);
    assert_int_equal(blocks_usage(b).spool_bytes, 3 * BLOCK_BYTES);
    struct block *none = NULL;
    assert_int_equal(block_get(b, BLOCK_CACHE, &none, NULL), -ENOMEM);
    assert_null(none);
    put_all(spooled, 3);
    put_all(held, POOL);
    assert_int_equal(blocks_usage(b).spool_bytes, 0);
    assert_int_equal(blocks_usage(b).memory_bytes, 0);
    assert_int_equal(blocks_usage(b).spool_peak_bytes, 3 * BLOCK_BYTES);
    blocks_free(b);
}

static void a_worker_does_not_wait_for_workers(void **state)
{
    (void)state;
    struct blocks *b = pool();
    struct block *held[POOL];
    fill(b, held);
    block_set_phase(held[0], BLOCK_PACKING);
    struct block *spooled = get(b, BLOCK_WORKER); // would hang
    assert_null(block_memory(spooled));
    block_put(spooled);
    // and a head waits for nobody at all
    block_set_phase(held[1], BLOCK_UPLOADING);
    spooled = get(b, BLOCK_HEAD);
    assert_null(block_memory(spooled));
    block_put(spooled);
    put_all(held, POOL);
    blocks_free(b);
}

static void heads_leave_half_of_the_memory(void **state)
{
    (void)state;
    struct blocks *b = pool();
    struct block *heads[POOL / 2 + 1];
    for (unsigned i = 0; i < POOL / 2; i++) {
        heads[i] = get(b, BLOCK_HEAD);
        assert_non_null(block_memory(heads[i]));
    }
    heads[POOL / 2] = get(b, BLOCK_HEAD);
    assert_null(block_memory(heads[POOL / 2]));
    block_put(heads[0]);
    heads[0] = get(b, BLOCK_HEAD);
    assert_non_null(block_memory(heads[0]));
    put_all(heads, POOL / 2 + 1);
    blocks_free(b);
}

struct waiter {
    struct blocks *pool;
    enum block_user user;
    struct block *got;
    int rc;
    sem_t about_to_wait;
    pthread_t thread;
};

// The last thing before waiting or spooling: nothing is given back.
static bool tell_and_keep(void *ctx)
{
    struct waiter *w = ctx;
    sem_post(&w->about_to_wait);
    return false;
}

static void *wait_for_block(void *ctx)
{
    struct waiter *w = ctx;
    struct err err = {0};
    w->rc = block_get(w->pool, w->user, &w->got, &err);
    return NULL;
}

static void begin_wait(struct waiter *w, struct blocks *b, enum block_user user)
{
    w->pool = b;
    w->user = user;
    w->got = NULL;
    sem_init(&w->about_to_wait, 0, 0);
    blocks_set_reclaim(b, tell_and_keep, w);
    assert_int_equal(pthread_create(&w->thread, NULL, wait_for_block, w), 0);
    sem_wait(&w->about_to_wait);
}

static void end_wait(struct waiter *w)
{
    pthread_join(w->thread, NULL);
    blocks_set_reclaim(w->pool, NULL, NULL);
    sem_destroy(&w->about_to_wait);
}

static void waiting_ends_when_the_block_comes_back(void **state)
{
    (void)state;
    static const struct {
        enum block_user user;
        enum block_phase phase;
    } rows[] = {{BLOCK_WRITER, BLOCK_UPLOADING},
                {BLOCK_WRITER, BLOCK_PACKING},
                {BLOCK_WORKER, BLOCK_UPLOADING}};
    for (unsigned round = 0; round < 30; round++) {
        struct blocks *b = pool();
        struct block *held[POOL];
        fill(b, held);
        block_set_phase(held[3], rows[round % 3].phase);
        struct waiter w;
        begin_wait(&w, b, rows[round % 3].user);
        block_put(held[3]);
        end_wait(&w);
        assert_int_equal(w.rc, 0);
        assert_non_null(block_memory(w.got));
        assert_int_equal(blocks_usage(b).spool_peak_bytes, 0);
        held[3] = w.got;
        put_all(held, POOL);
        blocks_free(b);
    }
}

static void waiting_ends_when_nothing_is_left_to_wait_for(void **state)
{
    (void)state;
    struct blocks *b = pool();
    struct block *held[POOL];
    fill(b, held);
    block_set_phase(held[0], BLOCK_UPLOADING);
    struct waiter w;
    begin_wait(&w, b, BLOCK_WRITER);
    block_set_phase(held[0], BLOCK_PACKING); // a writer waits for that, too
    block_set_phase(held[0], BLOCK_HELD);
    end_wait(&w);
    assert_int_equal(w.rc, 0);
    assert_null(block_memory(w.got));
    block_put(w.got);
    put_all(held, POOL);
    blocks_free(b);
}

static void a_full_spool_is_waited_for_or_told(void **state)
{
    (void)state;
    struct blocks *b = pool();
    struct block *held[POOL], *spooled[SLOTS];
    fill(b, held);
    for (unsigned i = 0; i < SLOTS; i++)
        spooled[i] = get(b, BLOCK_HEAD);
    struct err err = {0};
    struct block *none = NULL;
    assert_int_equal(block_get(b, BLOCK_WORKER, &none, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "spool_max"));
    assert_non_null(strstr(err.text, "spool_keep_free"));
    assert_non_null(strstr(err.text, "/tmp"));
    assert_null(none);
    block_set_phase(spooled[1], BLOCK_PACKING); // no comfort for a worker
    assert_int_equal(block_get(b, BLOCK_WORKER, &none, &err), -ENOSPC);
    block_set_phase(spooled[1], BLOCK_UPLOADING);
    struct waiter w;
    begin_wait(&w, b, BLOCK_WORKER);
    block_put(spooled[1]);
    end_wait(&w);
    assert_int_equal(w.rc, 0);
    assert_null(block_memory(w.got));
    spooled[1] = w.got;
    put_all(spooled, SLOTS);
    put_all(held, POOL);
    blocks_free(b);
}

static void no_spool_and_no_disk_are_said(void **state)
{
    (void)state;
    static const struct {
        const char *dir;
        uint64_t slots;
        unsigned keep_free;
        int code;
    } rows[] = {{NULL, SLOTS, 0, ENOSPC},
                {"/tmp", 0, 0, ENOSPC},
                {"/tmp", SLOTS, 100, ENOSPC},
                {"/nonexistent/spool", SLOTS, 0, EIO}};
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct blocks *b = pool_with(rows[i].dir, rows[i].slots, rows[i].keep_free);
        struct block *held[POOL], *none = NULL;
        fill(b, held);
        struct err err = {0};
        assert_int_equal(block_get(b, BLOCK_WRITER, &none, &err), -rows[i].code);
        assert_non_null(strstr(err.text, "[write] spool"));
        put_all(held, POOL);
        blocks_free(b);
    }
}

static void bytes_survive_in_memory_and_spool(void **state)
{
    (void)state;
    struct blocks *b = pool();
    struct block *list[POOL + SLOTS];
    static uint8_t want[BLOCK_BYTES], have[BLOCK_BYTES];
    for (unsigned i = 0; i < POOL + SLOTS; i++) {
        list[i] = get(b, BLOCK_WRITER);
        memset(want, (int)i + 1, sizeof(want));
        assert_int_equal(block_write(list[i], 0, want, sizeof(want), NULL), 0);
        assert_int_equal(block_write(list[i], BLOCK_BYTES - 1, "x", 1, NULL), 0);
    }
    for (unsigned i = 0; i < POOL + SLOTS; i++) {
        memset(want, (int)i + 1, sizeof(want));
        want[BLOCK_BYTES - 1] = 'x';
        assert_int_equal(block_read(list[i], 0, have, sizeof(have), NULL), 0);
        assert_memory_equal(have, want, sizeof(have));
        assert_int_equal(block_read(list[i], BLOCK_BYTES - 2, have, 2, NULL), 0);
        assert_int_equal(have[1], 'x');
    }
    // slots are used again, and their old bytes are gone or overwritten
    block_put(list[POOL]);
    list[POOL] = get(b, BLOCK_WRITER);
    assert_null(block_memory(list[POOL]));
    put_all(list, POOL + SLOTS);
    blocks_free(b);
}

static struct block *cached;

static bool drop_cached(void *ctx)
{
    (void)ctx;
    if (!cached)
        return false;
    block_put(cached);
    cached = NULL;
    return true;
}

static void cached_frames_give_way(void **state)
{
    (void)state;
    struct blocks *b = pool();
    blocks_set_reclaim(b, drop_cached, NULL);
    struct block *held[POOL];
    for (unsigned i = 0; i + 1 < POOL; i++)
        held[i] = get(b, BLOCK_WRITER);
    cached = get(b, BLOCK_CACHE);
    struct block *none = NULL;
    struct err err = {0};
    assert_int_equal(block_get(b, BLOCK_CACHE, &none, &err), -ENOMEM);
    assert_non_null(cached); // one cached frame does not push out another
    held[POOL - 1] = get(b, BLOCK_HEAD);
    assert_non_null(block_memory(held[POOL - 1]));
    assert_null(cached);
    put_all(held, POOL);
    blocks_free(b);
}

static void reserved_memory_counts(void **state)
{
    (void)state;
    struct blocks *b = pool();
    assert_false(blocks_reserve(b, POOL * BLOCK_BYTES + 1));
    assert_true(blocks_reserve(b, (POOL - 1) * BLOCK_BYTES + 1));
    struct block *spooled = get(b, BLOCK_WRITER);
    assert_null(block_memory(spooled));
    blocks_unreserve(b, (POOL - 1) * BLOCK_BYTES + 1);
    struct block *held[POOL];
    fill(b, held);
    assert_false(blocks_reserve(b, 1));
    put_all(held, POOL);
    block_put(spooled);
    block_put(NULL);
    assert_int_equal(blocks_usage(b).memory_peak_bytes, POOL * BLOCK_BYTES);
    blocks_free(b);
    blocks_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_waits_for_what_is_only_held),
        cmocka_unit_test(a_worker_does_not_wait_for_workers),
        cmocka_unit_test(heads_leave_half_of_the_memory),
        cmocka_unit_test(waiting_ends_when_the_block_comes_back),
        cmocka_unit_test(waiting_ends_when_nothing_is_left_to_wait_for),
        cmocka_unit_test(a_full_spool_is_waited_for_or_told),
        cmocka_unit_test(no_spool_and_no_disk_are_said),
        cmocka_unit_test(bytes_survive_in_memory_and_spool),
        cmocka_unit_test(cached_frames_give_way),
        cmocka_unit_test(reserved_memory_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
