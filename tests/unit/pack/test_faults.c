// What goes wrong below the packer: it is latched, nothing is published, every block comes back (rig_done asserts it).
#include "backend/base/num.h"
#include "tests/unit/pack/rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void latched(struct rig *r, int rc)
{
    struct pack_trailer trailer = {0};
    assert_int_equal(packer_write(r->packer, "x", 1, NULL), rc);
    assert_int_equal(packer_rewrite(r->packer, 0, "x", 1, NULL), rc);
    assert_int_equal(packer_sync(r->packer, NULL), rc);
    assert_int_equal(packer_commit(r->packer, &trailer, NULL), rc);
    assert_int_equal(trailer.size, 0);
    assert_false(r->store.committed);
}

static int write_and_commit(struct rig *r, const uint8_t *plain, size_t len)
{
    struct err err = {0};
    struct pack_trailer trailer = {0};
    for (size_t off = 0; off < len; off += 256 * KIB) {
        int rc = packer_write(r->packer, plain + off, min_u64(256 * KIB, len - off), &err);
        if (rc < 0)
            return rc;
    }
    return packer_commit(r->packer, &trailer, &err);
}

// Fails call N for N = 1, 2... until everything succeeds.
static void fail_each_call(const struct rig_conf *base, size_t len, unsigned at_least)
{
    uint8_t *plain = make_bytes(KIND_RANDOM, len);
    unsigned n = 1;
    for (bool failed = true; failed; n++) {
        struct rig_conf conf = *base;
        conf.fail_at = n;
        struct rig r;
        rig_init(&r, &conf);
        int rc = write_and_commit(&r, plain, len);
        failed = rc < 0;
        if (failed)
            latched(&r, -EIO);
        else
            assert_true(r.store.committed);
        rig_done(&r);
    }
    assert_true(n - 2 >= at_least);
    free(plain);
}

static void every_call_of_a_short_file(void **state)
{
    (void)state;
    fail_each_call(&(struct rig_conf){.head_bytes = 4 * MIB}, 2 * MIB, 6);
}

static void every_call_of_a_file_with_a_front(void **state)
{
    (void)state;
    fail_each_call(&(struct rig_conf){.head_bytes = MIB, .front_align = 65536}, 7 * MIB, 12);
}

static void every_call_when_all_is_spooled(void **state)
{
    (void)state;
    // eight blocks, and the test holds them
    for (unsigned n = 1; n < 40; n += 3) {
        struct rig r;
        struct block *held[8];
        rig_init(&r, &(struct rig_conf){
                         .head_bytes = 2 * MIB, .memory_bytes = 8 * BLOCK_BYTES, .fail_at = n});
        for (int i = 0; i < 8; i++)
            assert_int_equal(block_get(r.env.blocks, BLOCK_WRITER, &held[i], NULL), 0);
        uint8_t *plain = make_bytes(KIND_RANDOM, 5 * MIB);
        (void)write_and_commit(&r, plain, 5 * MIB);
        for (int i = 0; i < 8; i++)
            block_put(held[i]);
        rig_done(&r);
        free(plain);
    }
}

static void all_in_the_spool_is_as_good(void **state)
{
    (void)state;
    struct rig r;
    struct block *held[8];
    size_t len = 9 * MIB + 77;
    uint8_t *plain = make_bytes(KIND_TEXT, len);
    rig_init(&r, &(struct rig_conf){.head_bytes = 2 * MIB,
                                    .memory_bytes = 8 * BLOCK_BYTES,
                                    .front_align = 65536,
                                    .front_min = MIB});
    for (int i = 0; i < 8; i++)
        assert_int_equal(block_get(r.env.blocks, BLOCK_WRITER, &held[i], NULL), 0);
    rig_write(&r, plain, len, 100000);
    memset(plain + MIB - 5, 'x', 10);
    rig_rewrite(&r, MIB - 5, plain + MIB - 5, 10);
    memset(plain + len - 50, 'y', 20);
    rig_rewrite(&r, len - 50, plain + len - 50, 20);
    assert_true(blocks_usage(r.env.blocks).spool_bytes >= 3 * BLOCK_BYTES);
    rig_commit(&r, plain, len);
    assert_int_equal(blocks_usage(r.env.blocks).spool_bytes, 0);
    for (int i = 0; i < 8; i++)
        block_put(held[i]);
    rig_check_zstd(&r, plain, len);
    rig_done(&r);
    free(plain);
}

static void no_room_is_enospc(void **state)
{
    (void)state;
    for (uint64_t slots = 0; slots < 4; slots++) {
        struct rig r;
        struct block *held[8];
        rig_init(&r, &(struct rig_conf){.head_bytes = 2 * MIB,
                                        .memory_bytes = 8 * BLOCK_BYTES,
                                        .spool_bytes = slots * BLOCK_BYTES + 1});
        for (int i = 0; i < 8; i++)
            assert_int_equal(block_get(r.env.blocks, BLOCK_WRITER, &held[i], NULL), 0);
        uint8_t *plain = make_bytes(KIND_RANDOM, 9 * MIB);
        int rc = write_and_commit(&r, plain, 9 * MIB);
        // Two for the head and one for the frame being filled are enough: the writer waits for it to come back.
        assert_int_equal(rc, slots < 3 ? -ENOSPC : 0);
        if (rc < 0)
            latched(&r, -ENOSPC);
        for (int i = 0; i < 8; i++)
            block_put(held[i]);
        rig_done(&r);
        free(plain);
    }
}

static void given_up_at_any_place(void **state)
{
    (void)state;
    uint8_t *plain = make_bytes(KIND_RANDOM, 8 * MIB);
    for (size_t len = 0; len <= 8 * MIB; len += 512 * KIB + 1) {
        struct rig r;
        rig_init(&r, &(struct rig_conf){.head_bytes = 2 * MIB});
        rig_write(&r, plain, len, MIB);
        rig_done(&r); // frames may be in flight
        assert_false(r.store.committed);
    }
    packer_free(NULL);
    free(plain);
}

static void sync_hands_on_what_is_full(void **state)
{
    (void)state;
    struct rig r;
    size_t len = 6 * MIB + 5;
    uint8_t *plain = make_bytes(KIND_RANDOM, len);
    rig_init(&r, &(struct rig_conf){.head_bytes = MIB});
    rig_write(&r, plain, len, MIB);
    assert_int_equal(packer_sync(r.packer, NULL), 0);
    assert_true(r.store.behind_len > 4 * MIB);
    // What left is what next got whole; the first frame stands in the front.
    assert_true(packer_packed(r.packer) >= 4 * MIB && packer_packed(r.packer) <= 5 * MIB);
    rig_commit(&r, plain, len);
    rig_done(&r);
    free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_of_a_short_file),
        cmocka_unit_test(every_call_of_a_file_with_a_front),
        cmocka_unit_test(every_call_when_all_is_spooled),
        cmocka_unit_test(all_in_the_spool_is_as_good),
        cmocka_unit_test(no_room_is_enospc),
        cmocka_unit_test(given_up_at_any_place),
        cmocka_unit_test(sync_hands_on_what_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
