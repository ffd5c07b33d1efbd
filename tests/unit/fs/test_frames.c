#include "fs/frames.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LEN 1000u
#define CAPACITY 4

struct fixture {
    struct blocks *blocks;
    struct frames *frames;
};

static int set_up(void **state)
{
    static struct fixture f;
    const struct blocks_conf conf = {.memory_bytes = 16 * BLOCK_BYTES, .spool_dir = "/tmp"};
    if (blocks_new(&conf, &f.blocks, NULL) || frames_new(CAPACITY, &f.frames, NULL))
        return -1;
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    frames_free(f->frames);
    assert_int_equal(blocks_usage(f->blocks).memory_bytes, 0); // every block came back
    blocks_free(f->blocks);
    return 0;
}

static struct frame *load(struct fixture *f, uint64_t owner, uint64_t number)
{
    struct frame *frame = frames_add(f->frames, owner, number, LEN, f);
    assert_non_null(frame);
    struct block *block = frames_reuse(f->frames, false);
    if (!block && frames_grant(f->frames))
        assert_int_equal(block_get(f->blocks, BLOCK_CACHE, &block, NULL), 0);
    if (!block)
        block = frames_reuse(f->frames, true);
    assert_non_null(block);
    frames_ready(f->frames, frame, block);
    return frame;
}

static bool has(struct fixture *f, uint64_t owner, uint64_t number)
{
    return frames_find(f->frames, owner, number) != NULL;
}

static void the_coldest_goes_first(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < CAPACITY; i++)
        load(f, 1, i);
    frames_read(f->frames, frames_find(f->frames, 1, 0), LEN, false); // warm again
    load(f, 1, 10);
    assert_true(has(f, 1, 0));
    assert_false(has(f, 1, 1));
    load(f, 1, 11);
    assert_false(has(f, 1, 2));
    assert_int_equal(frames_blocks(f->frames), CAPACITY);
}

static void a_frame_read_to_its_end_in_order_goes_before_all(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < CAPACITY; i++)
        load(f, 1, i);
    struct frame *last = frames_find(f->frames, 1, CAPACITY - 1);
    frames_read(f->frames, last, LEN - 1, true);
    assert_false(frames_spent(last));
    frames_read(f->frames, last, 1, true);
    assert_true(frames_spent(last));
    load(f, 1, 10);
    assert_false(has(f, 1, CAPACITY - 1));
    assert_true(has(f, 1, 0));
}

static void a_spent_block_is_used_before_the_pool_is_asked(void **state)
{
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 100; i++)
        frames_read(f->frames, load(f, 1, i), LEN, true);
    assert_int_equal(frames_blocks(f->frames), 1);
    assert_int_equal(blocks_usage(f->blocks).memory_peak_bytes, BLOCK_BYTES);
}

static void who_reads_a_spent_frame_again_keeps_it(void **state)
{
    struct fixture *f = *state;
    struct frame *frame = load(f, 1, 1);
    frames_read(f->frames, frame, LEN, true);
    frames_read(f->frames, frame, 10, false);
    assert_null(frames_reuse(f->frames, false));
    assert_true(has(f, 1, 1));
}

static void a_pinned_frame_stays(void **state)
{
    struct fixture *f = *state;
    struct frame *spent = load(f, 1, 1), *other = load(f, 1, 2);
    frames_read(f->frames, spent, LEN, true);
    frames_pin(spent);
    frames_pin(other);
    assert_null(frames_reuse(f->frames, false));
    assert_null(frames_reuse(f->frames, true));
    assert_null(frames_reclaim(f->frames));
    frames_unpin(f->frames, other);
    block_put(frames_reclaim(f->frames));
    assert_false(has(f, 1, 2));
    assert_true(has(f, 1, 1));
    frames_unpin(f->frames, spent);
}

static void a_dropped_frame_lives_until_its_last_pin(void **state)
{
    struct fixture *f = *state;
    struct frame *frame = load(f, 1, 1);
    frames_pin(frame);
    frames_drop(f->frames, frame);
    assert_false(has(f, 1, 1));
    assert_int_equal(frames_blocks(f->frames), 1);
    load(f, 1, 1); // a new one may stand beside it
    assert_int_equal(frames_blocks(f->frames), 2);
    frames_unpin(f->frames, frame);
    assert_int_equal(frames_blocks(f->frames), 1);
    assert_true(has(f, 1, 1));
}

static void reclaim_gives_memory_back(void **state)
{
    struct fixture *f = *state;
    load(f, 1, 1);
    load(f, 1, 2);
    block_put(frames_reclaim(f->frames));
    assert_int_equal(frames_blocks(f->frames), 1);
    assert_int_equal(blocks_usage(f->blocks).memory_bytes, BLOCK_BYTES);
    block_put(frames_reclaim(f->frames));
    assert_null(frames_reclaim(f->frames));
}

static void a_failure_reaches_those_who_wait_and_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct frame *frame = frames_add(f->frames, 1, 1, LEN, f);
    frames_pin(frame); // who waits
    struct err err = {.code = 74, .text = "bad"};
    frames_failed(f->frames, frame, &err);
    assert_false(has(f, 1, 1));
    assert_int_equal(frame->state, FRAME_FAILED);
    assert_false(frame->again);
    assert_string_equal(frame->err.text, "bad");
    frames_unpin(f->frames, frame);

    frame = frames_add(f->frames, 1, 1, LEN, f);
    frames_pin(frame);
    frames_failed(f->frames, frame, NULL);
    assert_true(frame->again);
    frames_unpin(f->frames, frame);
}

static void lent_bytes_are_seen_by_those_who_wait_only(void **state)
{
    struct fixture *f = *state;
    static const uint8_t bytes[LEN] = {7};
    struct frame *frame = frames_add(f->frames, 1, 1, LEN, f);
    frames_pin(frame);
    frames_lend(f->frames, frame, bytes);
    assert_int_equal(frame->state, FRAME_READY);
    assert_ptr_equal(frame->bytes, bytes);
    assert_false(has(f, 1, 1));
    assert_null(frames_reclaim(f->frames));
    frames_unpin(f->frames, frame); // who waited
    assert_int_equal(frame->pins, 1);
    frames_unpin(f->frames, frame); // who lent
}

static void purge_takes_one_owner(void **state)
{
    struct fixture *f = *state;
    load(f, 1, 1);
    load(f, 2, 1);
    load(f, 1, 2);
    struct frame *loading = frames_add(f->frames, 1, 3, LEN, f);
    frames_purge(f->frames, 1);
    assert_false(has(f, 1, 1) || has(f, 1, 2));
    assert_true(has(f, 2, 1));
    assert_ptr_equal(frames_find(f->frames, 1, 3), loading);
    frames_failed(f->frames, loading, NULL);
}

static void many_frames_are_found(void **state)
{
    struct fixture *f = *state;
    static struct frame *all[3000];
    for (uint64_t i = 0; i < 3000; i++)
        all[i] = frames_add(f->frames, i % 3, i << (i % 3) * 20, LEN, f);
    for (uint64_t i = 0; i < 3000; i++)
        assert_ptr_equal(frames_find(f->frames, i % 3, i << (i % 3) * 20), all[i]);
    for (uint64_t i = 0; i < 3000; i++)
        frames_failed(f->frames, all[i], NULL);
    for (uint64_t i = 0; i < 3000; i++)
        assert_false(has(f, i % 3, i << (i % 3) * 20));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_coldest_goes_first),
        TEST(a_frame_read_to_its_end_in_order_goes_before_all),
        TEST(a_spent_block_is_used_before_the_pool_is_asked),
        TEST(who_reads_a_spent_frame_again_keeps_it),
        TEST(a_pinned_frame_stays),
        TEST(a_dropped_frame_lives_until_its_last_pin),
        TEST(reclaim_gives_memory_back),
        TEST(a_failure_reaches_those_who_wait_and_is_forgotten),
        TEST(lent_bytes_are_seen_by_those_who_wait_only),
        TEST(purge_takes_one_owner),
        TEST(many_frames_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
