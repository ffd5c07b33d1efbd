// What is held of a file that is being written: read back, rewritten and cut, against a model in plain memory.
#include "backend/base/num.h"
#include "tests/unit/pack/rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL_BYTES (9 * MIB)

struct model {
    struct rig rig;
    uint8_t *bytes; // MODEL_BYTES of them
    uint8_t *scratch;
    uint64_t size, head;
    uint64_t gone; // where the frames that left end, 0: none did
};

static void model_init(struct model *m, const struct rig_conf *conf, uint64_t head)
{
    *m = (struct model){.head = head};
    rig_init(&m->rig, conf);
    m->bytes = calloc(1, MODEL_BYTES);
    m->scratch = calloc(1, MODEL_BYTES);
    assert_true(m->bytes && m->scratch);
}

static void model_done(struct model *m, bool commit)
{
    if (commit)
        rig_commit(&m->rig, m->bytes, m->size);
    rig_done(&m->rig);
    free(m->bytes);
    free(m->scratch);
}

static void do_write(struct model *m, const uint8_t *bytes, size_t len)
{
    rig_write(&m->rig, bytes, len, 100003);
    memcpy(m->bytes + m->size, bytes, len);
    m->size += len;
    if (m->size >= m->head + MIB)
        m->gone = m->size - (m->size - m->head) % MIB;
}

static bool is_held(const struct model *m, uint64_t off, uint64_t end)
{
    return m->gone == 0 || end <= m->head || off >= m->gone || off == end;
}

static void do_read(struct model *m, uint64_t off, size_t len)
{
    struct err err = {0};
    memset(m->scratch, 0xEE, len);
    int rc = packer_read(m->rig.packer, off, m->scratch, len, &err);
    assert_int_equal(rc, is_held(m, off, off + len) ? 0 : -EOPNOTSUPP);
    if (rc == 0) {
        assert_memory_equal(m->scratch, m->bytes + off, len);
        return;
    }
    assert_non_null(strstr(err.text, "read back"));
    for (size_t i = 0; i < len; i++)
        assert_int_equal(m->scratch[i], 0xEE);
}

static void do_rewrite(struct model *m, uint64_t off, const uint8_t *bytes, size_t len)
{
    int rc = packer_rewrite(m->rig.packer, off, bytes, len, NULL);
    assert_int_equal(rc, is_held(m, off, off + len) ? 0 : -EOPNOTSUPP);
    if (rc == 0)
        memcpy(m->bytes + off, bytes, len);
}

static int do_truncate(struct model *m, uint64_t size)
{
    struct err err = {0};
    int rc = packer_truncate(m->rig.packer, size, &err);
    assert_int_equal(rc, size >= m->gone ? 0 : -EOPNOTSUPP);
    if (rc == 0)
        m->size = size;
    else
        assert_non_null(strstr(err.text, "packed and gone"));
    assert_int_equal(packer_size(m->rig.packer), m->size);
    assert_int_equal(packer_head_held(m->rig.packer), min_u64(m->size, m->head));
    return rc;
}

// Cut from `len` to `cut`, go on with other bytes, read all that is held, commit.
static void cut_once(size_t len, size_t cut, size_t more, bool ok)
{
    struct model m;
    model_init(&m, &(struct rig_conf){.head_bytes = 2 * MIB}, 2 * MIB);
    uint8_t *first = make_bytes(KIND_TEXT, len), *then = make_bytes(KIND_TEXT, more + 500);
    then += 500; // packs as well, in another place
    do_write(&m, first, len);
    assert_int_equal(do_truncate(&m, cut), ok ? 0 : -EOPNOTSUPP);
    do_write(&m, then, more);
    uint64_t held = min_u64(m.size, m.head);
    do_read(&m, 0, held);
    do_read(&m, m.gone, m.size - m.gone);
    if (m.size > 0)
        do_rewrite(&m, 0, then, min_u64(more, min_u64(m.size, m.head)));
    model_done(&m, true);
    free(first);
    free(then - 500);
}

static void cuts_at_every_edge(void **state)
{
    (void)state;
    static const struct {
        size_t len, cut;
        bool ok;
    } cases[] = {
        {0, 0, true},
        {1, 0, true},
        {1, 1, true},
        {MIB, MIB - 1, true},
        {MIB, 0, true},
        {MIB + 1, MIB, true},
        {MIB + 1, MIB - 1, true},
        {2 * MIB, 2 * MIB - 1, true}, // the head is full, and still open
        {2 * MIB, 0, true},
        {2 * MIB + 1, 2 * MIB, true}, // closed, and nothing left
        {2 * MIB + 1, 2 * MIB - 1, true},
        {3 * MIB - 1, 2 * MIB + 5, true},
        {3 * MIB - 1, MIB + 5, true},
        {3 * MIB - 1, 0, true},
        {3 * MIB, 3 * MIB, true}, // a frame left
        {3 * MIB, 3 * MIB - 1, false},
        {3 * MIB, 0, false},
        {3 * MIB + 7, 3 * MIB, true},
        {3 * MIB + 7, 3 * MIB + 6, true},
        {3 * MIB + 7, 3 * MIB - 1, false},
        {3 * MIB + 7, MIB, false},
    };
    static const size_t more[] = {0, 1, MIB, 3 * MIB + 9};
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        for (unsigned k = 0; k < sizeof(more) / sizeof(*more); k++)
            cut_once(cases[i].len, cases[i].cut, more[k], cases[i].ok);
}

static void nothing_is_held_back_without_a_head(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, &(struct rig_conf){.head_bytes = 0}, 0);
    uint8_t *bytes = make_bytes(KIND_TEXT, 2 * MIB);
    do_write(&m, bytes, MIB - 1);
    do_read(&m, 0, MIB - 1);
    assert_int_equal(do_truncate(&m, 0), 0);
    do_write(&m, bytes + 1, MIB + 5);
    do_read(&m, MIB, 5);
    do_read(&m, MIB - 1, 5);
    assert_int_equal(do_truncate(&m, 0), -EOPNOTSUPP);
    assert_int_equal(do_truncate(&m, MIB), 0);
    model_done(&m, true);
    free(bytes);
}

// Held on for pg_dump, then cut and made a file of another kind, and the other way round.
static void the_head_of_a_cut_file_is_that_of_what_follows(void **state)
{
    (void)state;
    uint8_t *text = make_bytes(KIND_TEXT, 4 * MIB), *dump = make_bytes(KIND_TEXT, 4 * MIB);
    memcpy(dump, "PGDMP", 5);
    struct model m;
    model_init(&m, &(struct rig_conf){.head_bytes = MIB}, 64 * MIB);
    do_write(&m, dump, 4 * MIB);
    do_read(&m, 0, 4 * MIB);
    assert_int_equal(do_truncate(&m, 2 * MIB + 1), 0); // still beyond the configured head
    do_write(&m, text, MIB);
    do_read(&m, 0, 3 * MIB + 1);
    assert_int_equal(do_truncate(&m, 0), 0);
    m.head = MIB;
    do_write(&m, text, 3 * MIB + 1);
    do_read(&m, 0, MIB);
    do_read(&m, 0, MIB + 1); // refused
    model_done(&m, true);

    model_init(&m, &(struct rig_conf){.head_bytes = MIB}, MIB);
    do_write(&m, text, 2 * MIB - 1);
    assert_int_equal(do_truncate(&m, 4), 0);
    m.head = 64 * MIB;
    do_rewrite(&m, 0, dump, 4);
    do_write(&m, dump + 4, 3 * MIB);
    do_read(&m, 0, 3 * MIB + 4);
    model_done(&m, true);
    free(text);
    free(dump);
}

static void what_is_cut_gives_its_blocks_back(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, &(struct rig_conf){.head_bytes = 4 * MIB}, 4 * MIB);
    uint8_t *bytes = make_bytes(KIND_TEXT, 5 * MIB);
    do_write(&m, bytes, 5 * MIB - 1);
    assert_int_equal(blocks_usage(m.rig.env.blocks).memory_bytes, 5 * BLOCK_BYTES);
    assert_int_equal(do_truncate(&m, MIB), 0);
    assert_int_equal(blocks_usage(m.rig.env.blocks).memory_bytes, BLOCK_BYTES);
    assert_int_equal(do_truncate(&m, 0), 0);
    assert_int_equal(blocks_usage(m.rig.env.blocks).memory_bytes, 0);
    model_done(&m, true);
    free(bytes);
}

// A small pool: most of what is held lies in the spool.
static void held_in_the_spool(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, &(struct rig_conf){.head_bytes = 6 * MIB, .memory_bytes = 8 * BLOCK_BYTES},
               6 * MIB);
    uint8_t *bytes = make_bytes(KIND_TEXT, 8 * MIB);
    do_write(&m, bytes, 7 * MIB - 3);
    assert_true(blocks_usage(m.rig.env.blocks).spool_bytes > 0);
    do_read(&m, 0, 7 * MIB - 3);
    assert_int_equal(do_truncate(&m, 5 * MIB + 11), 0);
    do_write(&m, bytes, 2 * MIB);
    do_read(&m, 0, 6 * MIB);
    do_read(&m, 5 * MIB, 2 * MIB); // over the frame that left
    model_done(&m, true);
    free(bytes);
}

static void a_failure_is_told_by_every_call(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, &(struct rig_conf){.head_bytes = MIB, .fail_at = 1}, MIB);
    uint8_t *bytes = make_bytes(KIND_RANDOM, 6 * MIB);
    struct err err = {0};
    if (packer_write(m.rig.packer, bytes, 6 * MIB, NULL) == 0)
        assert_true(packer_sync(m.rig.packer, &err) < 0);
    assert_int_equal(packer_read(m.rig.packer, 0, m.scratch, 1, &err), -EIO);
    assert_int_equal(packer_truncate(m.rig.packer, 0, &err), -EIO);
    model_done(&m, false);
    free(bytes);
}

static uint64_t next_random(uint64_t *x, uint64_t below)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return below > 0 ? *x % below : 0;
}

// Mostly near an edge: of a frame, of the head, of the file.
static uint64_t some_place(const struct model *m, uint64_t *x)
{
    uint64_t at = next_random(x, m->size + 1);
    switch (next_random(x, 4)) {
    case 0:
        at = align_up_u64(at, MIB) + next_random(x, 3);
        at -= min_u64(at, 1);
        break;
    case 1:
        at = m->size - min_u64(m->size, next_random(x, 4));
        break;
    case 2:
        at = m->gone + next_random(x, 3);
        break;
    default:
        break;
    }
    return min_u64(at, m->size);
}

static void one_run(uint64_t seed, const uint8_t *bytes)
{
    uint64_t x = seed * 0x9E3779B97F4A7C15u + 1, head = next_random(&x, 4) * MIB;
    struct model m;
    model_init(&m, &(struct rig_conf){.head_bytes = head, .memory_bytes = 8 * BLOCK_BYTES}, head);
    for (unsigned step = 0; step < 40; step++) {
        uint64_t at = some_place(&m, &x);
        const uint8_t *from = bytes + next_random(&x, 1000);
        size_t some = (size_t)next_random(&x, next_random(&x, 2) ? 3000 : MIB + 3000);
        switch (next_random(&x, 4)) {
        case 0:
            do_write(&m, from, min_u64(some, MODEL_BYTES - m.size));
            break;
        case 1:
            do_rewrite(&m, at, from, min_u64(some, m.size - at));
            break;
        case 2:
            do_read(&m, at, min_u64(some, m.size - at));
            break;
        default: // not too often down to nothing
            do_truncate(&m, next_random(&x, 8) ? max_u64(at, m.size - min_u64(m.size, some)) : at);
        }
    }
    model_done(&m, true);
}

static void any_order_of_calls(void **state)
{
    (void)state;
    // Packs worse than it lies there, so that a rewritten head fits where another one was.
    uint8_t *bytes = make_bytes(KIND_TEXT, 2 * MIB + 4096);
    for (uint64_t seed = 1; seed <= 120; seed++)
        one_run(seed, bytes);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_at_every_edge),
        cmocka_unit_test(nothing_is_held_back_without_a_head),
        cmocka_unit_test(the_head_of_a_cut_file_is_that_of_what_follows),
        cmocka_unit_test(what_is_cut_gives_its_blocks_back),
        cmocka_unit_test(held_in_the_spool),
        cmocka_unit_test(a_failure_is_told_by_every_call),
        cmocka_unit_test(any_order_of_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
