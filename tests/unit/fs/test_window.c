#include "fs/window.h"

#include "backend/pack/pack.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FRAME ((uint64_t)PACK_FRAME_BYTES)
#define READ ((size_t)128 << 10)

static struct window_plan read_at(struct window *w, uint64_t off, uint32_t bound)
{
    return window_read(w, off, READ, 1000, bound);
}

static void the_first_read_stays_in_its_frame(void **state)
{
    (void)state;
    struct window w = {0};
    assert_int_equal(read_at(&w, 0, 64).count, 0);
    assert_int_equal(w.frames, 1);
}

static void random_reads_never_run_ahead(void **state)
{
    (void)state;
    struct window w = {0};
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t off = i * 7919 % 990 * FRAME + 4096 * i % FRAME;
        // one read of an application, as the kernel splits it
        assert_int_equal(read_at(&w, off, 64).count, 0);
        assert_int_equal(read_at(&w, off + READ, 64).count, 0);
        assert_int_equal(w.frames, 1);
    }
}

static void a_run_doubles_to_the_bound(void **state)
{
    (void)state;
    struct window w = {0};
    uint32_t seen[8];
    for (uint64_t frame = 0; frame < 8; frame++) {
        for (uint64_t off = 0; off < FRAME; off += READ)
            read_at(&w, frame * FRAME + off, 48);
        seen[frame] = w.frames;
    }
    const uint32_t expected[8] = {2, 4, 8, 16, 32, 48, 48, 48};
    for (int i = 0; i < 8; i++)
        assert_int_equal(seen[i], expected[i]);
}

static void every_frame_is_asked_for_once_and_ahead(void **state)
{
    (void)state;
    struct window w = {0};
    uint64_t next = 1; // the first frame is read, not asked for
    for (uint64_t off = 0; off < 200 * FRAME; off += READ) {
        struct window_plan plan = window_read(&w, off, READ, 200, 64);
        assert_false(plan.sought);
        if (plan.count == 0)
            continue;
        assert_int_equal(plan.first, next);
        assert_true(plan.first > off / FRAME);
        assert_true(plan.first + plan.count <= off / FRAME + 64);
        next = plan.first + plan.count;
    }
    assert_int_equal(next, 200);
}

static void strides_are_a_third_of_the_window(void **state)
{
    (void)state;
    struct window w = {0};
    for (uint64_t off = 0; off < 500 * FRAME; off += READ) {
        struct window_plan plan = read_at(&w, off, 64);
        if (plan.count > 0 && off > 100 * FRAME)
            assert_true(plan.count >= 21);
    }
    assert_int_equal(window_group(&w), 21);
}

static void reads_that_overtake_each_other_are_one_run(void **state)
{
    (void)state;
    struct window w = {0};
    uint64_t next = 1;
    for (uint64_t off = 0; off < 100 * FRAME; off += 4 * READ) {
        const uint64_t order[4] = {2, 0, 3, 1};
        for (int i = 0; i < 4; i++) {
            struct window_plan plan = read_at(&w, off + order[i] * READ, 64);
            assert_false(plan.sought);
            if (plan.count > 0) {
                assert_int_equal(plan.first, next);
                next += plan.count;
            }
        }
    }
    assert_int_equal(w.frames, 64);
}

static void a_seek_starts_over(void **state)
{
    (void)state;
    struct window w = {0};
    for (uint64_t off = 0; off < 10 * FRAME; off += READ)
        read_at(&w, off, 64);
    assert_int_equal(w.frames, 64);
    struct window_plan plan = read_at(&w, 500 * FRAME, 64);
    assert_true(plan.sought);
    assert_int_equal(plan.count, 0);
    assert_int_equal(w.frames, 1);
    assert_true(read_at(&w, 0, 64).sought); // far back is a seek, too
}

static void nothing_is_asked_for_past_the_end(void **state)
{
    (void)state;
    struct window w = {0};
    uint64_t most = 0;
    for (uint64_t off = 0; off < 5 * FRAME; off += READ) {
        struct window_plan plan = window_read(&w, off, READ, 5, 64);
        if (plan.count > 0)
            most = plan.first + plan.count;
    }
    assert_int_equal(most, 5);
}

static void what_was_lost_halves_the_window_and_is_asked_for_again(void **state)
{
    (void)state;
    struct window w = {0};
    for (uint64_t off = 0; off < 10 * FRAME; off += READ)
        read_at(&w, off, 64);
    window_lost(&w, 10);
    assert_int_equal(w.frames, 32);
    struct window_plan plan = read_at(&w, 10 * FRAME, 32);
    assert_int_equal(plan.first, 11);
    assert_int_equal(plan.count, 31);
}

static void a_bound_of_one_reads_nothing_ahead(void **state)
{
    (void)state;
    struct window w = {0};
    for (uint64_t off = 0; off < 10 * FRAME; off += READ)
        assert_int_equal(read_at(&w, off, 1).count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_read_stays_in_its_frame),
        cmocka_unit_test(random_reads_never_run_ahead),
        cmocka_unit_test(a_run_doubles_to_the_bound),
        cmocka_unit_test(every_frame_is_asked_for_once_and_ahead),
        cmocka_unit_test(strides_are_a_third_of_the_window),
        cmocka_unit_test(reads_that_overtake_each_other_are_one_run),
        cmocka_unit_test(a_seek_starts_over),
        cmocka_unit_test(nothing_is_asked_for_past_the_end),
        cmocka_unit_test(what_was_lost_halves_the_window_and_is_asked_for_again),
        cmocka_unit_test(a_bound_of_one_reads_nothing_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
