// Whole files through the packer: sizes, kinds of bytes, fronts, buffers, rewrites.
#include "backend/base/num.h"
#include "backend/pack/frame.h"
#include "tests/unit/pack/rig.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void once(const struct rig_conf *conf, enum kind kind, size_t len, size_t piece, bool zstd)
{
    uint8_t *plain = make_bytes(kind, len);
    struct rig r;
    rig_init(&r, conf);
    rig_write(&r, plain, len, piece);
    rig_commit(&r, plain, len);
    if (zstd)
        rig_check_zstd(&r, plain, len);
    rig_done(&r);
    free(plain);
}

static const struct rig_conf fronts[] = {
    {.front_align = 1},
    {.front_align = 65536},
    {.front_align = 1, .front_min = 5 * MIB},
    {.front_align = 65536, .front_min = 5 * MIB},
};

static void every_size_edge(void **state)
{
    (void)state;
    static const size_t edges[] = {64 * KIB, MIB, 4 * MIB, 16 * MIB};
    size_t sizes[16] = {0, 1, 17 * MIB, 33 * MIB}, count = 4;
    for (unsigned i = 0; i < 4; i++)
        for (size_t k = 0; k < 3; k++)
            sizes[count++] = edges[i] + k - 1;
    for (unsigned i = 0; i < count; i++)
        for (unsigned f = 0; f < 4; f++) {
            struct rig_conf conf = fronts[f];
            conf.head_bytes = 16 * MIB;
            once(&conf, (enum kind)((i + f) % 3), sizes[i], 128 * KIB, f == i % 4);
        }
}

static void small_heads_and_none(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, MIB, MIB + 1, 2 * MIB, 3 * MIB - 1, 12 * MIB + 5};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        for (unsigned f = 0; f < 8; f++) {
            struct rig_conf conf = fronts[f % 4];
            conf.head_bytes = f < 4 ? 0 : 2 * MIB;
            once(&conf, (enum kind)((i + f) % 3), sizes[i], 100003, f == i);
        }
}

static void every_kind_and_level(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        once(&(struct rig_conf){.head_bytes = MIB, .level = 3}, (enum kind)kind, 6 * MIB + 7, 4096,
             true);
        once(&(struct rig_conf){.head_bytes = MIB, .level = 19}, (enum kind)kind, 2 * MIB + 7, MIB,
             true);
    }
}

static void odd_buffers(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 7, 4095, MIB - 1, MIB, MIB + 1, 5 * MIB};
    for (unsigned i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
        once(&(struct rig_conf){.head_bytes = MIB, .front_align = 65536}, KIND_TEXT, 2 * MIB + 333,
             pieces[i], false);
}

// --- Rewrites ---

static void rewrites(void **state)
{
    (void)state;
    static const struct {
        uint64_t off;
        size_t len;
        int rc;
    } cases[] = {
        {0, 1, 0},
        {131, 30000, 0},
        {MIB - 10, 20, 0},             // over a frame's edge
        {0, 2 * MIB, 0},               // the whole head
        {2 * MIB - 1, 1, 0},           // its last byte
        {2 * MIB - 1, 2, -EOPNOTSUPP}, // and one beyond
        {2 * MIB, 1, -EOPNOTSUPP},     // a frame that left
        {4 * MIB - 1, 1, -EOPNOTSUPP}, //
        {4 * MIB - 1, 2, -EOPNOTSUPP}, // half gone
        {4 * MIB, 500, 0},             // the frame being filled
        {4 * MIB + 499, 1, 0},
        {100, MIB * 4, -EOPNOTSUPP},
        {77, 0, 0},
    };
    size_t len = 4 * MIB + 500;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint8_t *plain = make_bytes(KIND_TEXT, len), *fresh = make_bytes(KIND_TEXT, 5 * MIB);
        fresh += 13; // text again, in another place: it packs as well
        struct rig r;
        rig_init(&r, &(struct rig_conf){.head_bytes = 2 * MIB, .level = 3});
        rig_write(&r, plain, len, 65536);
        struct err err = {0};
        int rc = packer_rewrite(r.packer, cases[i].off, fresh, cases[i].len, &err);
        assert_int_equal(rc, cases[i].rc);
        if (rc == 0)
            memcpy(plain + cases[i].off, fresh, cases[i].len);
        else
            assert_non_null(strstr(err.text, "[write] seek"));
        rig_commit(&r, plain, len);
        rig_done(&r);
        free(plain);
        free(fresh - 13);
    }
}

static void a_rewrite_may_cross_from_head_to_the_frame_being_filled(void **state)
{
    (void)state;
    size_t len = 2 * MIB + 1000;
    uint8_t *plain = make_bytes(KIND_ZEROS, len);
    struct rig r;
    rig_init(&r, &(struct rig_conf){.head_bytes = 2 * MIB});
    rig_write(&r, plain, len, 65536);
    memset(plain + 2 * MIB - 600, 'x', 1200);
    rig_rewrite(&r, 2 * MIB - 600, plain + 2 * MIB - 600, 1200);
    rig_commit(&r, plain, len);
    rig_done(&r);
    free(plain);
}

static void a_file_within_its_head_may_become_anything(void **state)
{
    (void)state;
    size_t len = 3 * MIB + 9;
    uint8_t *zeros = make_bytes(KIND_ZEROS, len), *random = make_bytes(KIND_RANDOM, len);
    struct rig r;
    rig_init(&r, &(struct rig_conf){.head_bytes = 16 * MIB});
    rig_write(&r, zeros, len, 65536);
    rig_rewrite(&r, 0, random, len);
    rig_commit(&r, random, len);
    rig_check_zstd(&r, random, len);
    rig_done(&r);
    free(zeros);
    free(random);
}

static void what_outgrows_its_reserve_is_told(void **state)
{
    (void)state;
    size_t len = 8 * MIB;
    uint8_t *text = make_bytes(KIND_ZEROS, len), *random = make_bytes(KIND_RANDOM, len);
    memcpy(text + MIB, random, len - MIB); // what follows goes out at once
    struct rig r;
    rig_init(&r, &(struct rig_conf){.head_bytes = MIB});
    rig_write(&r, text, len, 65536);
    rig_rewrite(&r, 0, random, MIB);
    struct err err = {0}, again = {0};
    struct pack_trailer trailer = {0};
    assert_int_equal(packer_commit(r.packer, &trailer, &err), -EIO);
    assert_non_null(strstr(err.text, "[write] seek"));
    assert_false(r.store.committed);
    assert_int_equal(packer_write(r.packer, "x", 1, &again), -EIO); // latched
    assert_string_equal(again.text, err.text);
    rig_done(&r);
    free(text);
    free(random);
}

// --- The gap between head and filler ---

static size_t packed_len(const uint8_t *plain, size_t len, int level)
{
    struct frame_scratch *scratch = NULL;
    struct frame_params params = {.level = level};
    size_t out = 0;
    assert_int_equal(frame_scratch_get(&scratch, NULL), 0);
    assert_int_equal(frame_pack(scratch, &params, plain, len, &out, NULL), 0);
    return out;
}

// A MiB that packs to exactly `want` bytes: random bytes for the most of it, then single ones, scattered over zeros
// again and again until it fits.
static uint8_t *head_of_packed_len(size_t want, int level)
{
    uint8_t *random = make_bytes(KIND_RANDOM, MIB), *plain = make_bytes(KIND_ZEROS, MIB);
    size_t solid = 188 * KIB, scattered = 100, at = 0;
    for (unsigned trial = 0; trial < 5000; trial++) {
        memset(plain, 0, MIB);
        memcpy(plain, random, solid);
        for (size_t i = 0; i < scattered; i++, at = (at + 4) % (MIB - 4))
            plain[256 * KIB + get_le32(random + at) % (768 * KIB)] = random[at] | 1;
        size_t len = packed_len(plain, MIB, level);
        if (len == want) {
            free(random);
            return plain;
        }
        if (len < want)
            scattered += (want - len) / 8;
        else
            scattered -= min_u64(scattered / 2, (len - want) / 8);
    }
    fail_msg("no head packs to %zu bytes", want);
    return NULL;
}

static void gaps_of_0_to_9_bytes(void **state)
{
    (void)state;
    size_t len = 8 * MIB;
    uint8_t *plain = make_bytes(KIND_RANDOM, len);
    memset(plain, 0, MIB);
    size_t reserve = packed_len(plain, MIB, 1) + MIB / 8 + 64 * KIB;
    for (size_t gap = 0; gap < 10; gap++) {
        uint8_t *head = head_of_packed_len(reserve - gap, 1);
        memset(plain, 0, MIB);
        struct rig r;
        rig_init(&r, &(struct rig_conf){.head_bytes = MIB});
        rig_write(&r, plain, len, 65536);
        memcpy(plain, head, MIB);
        rig_rewrite(&r, 0, plain, MIB);
        rig_commit(&r, plain, len);
        assert_int_equal(r.store.front_len, reserve);
        rig_check_zstd(&r, plain, len);
        rig_done(&r);
        free(head);
    }
    free(plain);
}

// --- pg_dump's head ---

static void pgdmp_is_held_on(void **state)
{
    (void)state;
    size_t len = 5 * MIB;
    uint8_t *plain = make_bytes(KIND_RANDOM, len);
    memcpy(plain, "PGDMP", 5);
    struct rig r;
    rig_init(&r, &(struct rig_conf){.head_bytes = MIB});
    rig_write(&r, plain, len, 65536);
    memset(plain + 3 * MIB, 'x', MIB); // far behind the configured head
    rig_rewrite(&r, 3 * MIB, plain + 3 * MIB, MIB);
    rig_commit(&r, plain, len);
    rig_done(&r);

    // without room for more it is held as far as configured, and the file goes on
    rig_init(&r, &(struct rig_conf){.head_bytes = MIB,
                                    .memory_bytes = 8 * BLOCK_BYTES,
                                    .spool_bytes = BLOCK_BYTES});
    rig_write(&r, plain, len, 65536);
    struct err err = {0};
    assert_int_equal(packer_rewrite(r.packer, 3 * MIB, "x", 1, &err), 0);
    rig_commit(&r, plain, len);
    rig_done(&r);
    free(plain);
}

// --- Many at a time ---

static void *write_one(void *ctx)
{
    struct rig *shared = ctx;
    struct check_store store = {.front_align = 65536, .front_min = MIB};
    struct rig r = {.env = shared->env, .store = store};
    size_t len = 6 * MIB + 1;
    uint8_t *plain = make_bytes(KIND_TEXT, len);
    struct err err = {0};
    if (packer_new(&r.env, check_sink_new(&r.store), &r.packer, &err) < 0)
        abort();
    rig_write(&r, plain, len, 65536);
    if (packer_sync(r.packer, &err) < 0 || packer_packed(r.packer) > len)
        abort();
    rig_commit(&r, plain, len);
    packer_free(r.packer);
    check_store_done(&r.store);
    free(plain);
    return NULL;
}

static void many_writers_share_a_small_pool(void **state)
{
    (void)state;
    struct rig shared;
    rig_init(&shared, &(struct rig_conf){.head_bytes = 2 * MIB, .memory_bytes = 8 * BLOCK_BYTES});
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_one, &shared), 0);
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    assert_true(blocks_usage(shared.env.blocks).memory_peak_bytes <= 8 * BLOCK_BYTES);
    rig_done(&shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_edge),
        cmocka_unit_test(small_heads_and_none),
        cmocka_unit_test(every_kind_and_level),
        cmocka_unit_test(odd_buffers),
        cmocka_unit_test(rewrites),
        cmocka_unit_test(a_rewrite_may_cross_from_head_to_the_frame_being_filled),
        cmocka_unit_test(a_file_within_its_head_may_become_anything),
        cmocka_unit_test(what_outgrows_its_reserve_is_told),
        cmocka_unit_test(gaps_of_0_to_9_bytes),
        cmocka_unit_test(pgdmp_is_held_on),
        cmocka_unit_test(many_writers_share_a_small_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
