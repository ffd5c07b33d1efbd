// A file of more than 4,096 frames and more than four GiB: the trailer's index, the digest over several GiB of which the
// first is complete only at the end.
#include "backend/base/crypto.h"
#include "backend/base/num.h"
#include "tests/unit/pack/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FRAMES 4200u

static void digest_of_frames(const uint8_t *const shas[FRAMES + 1], uint8_t out[32])
{
    struct pack_digest *d = pack_digest_new();
    assert_non_null(d);
    struct sha256 *whole = sha256_new(), *gib = sha256_new();
    uint8_t sha[32];
    for (unsigned i = 0; i <= FRAMES; i++) {
        pack_digest_frame(d, shas[i]);
        sha256_update(gib, shas[i], 32);
        if (i % 1024 == 1023 || i == FRAMES) {
            sha256_final(gib, sha);
            sha256_update(whole, sha, 32);
        }
    }
    sha256_final(whole, out);
    pack_digest_final(d, sha);
    assert_memory_equal(sha, out, 32);
    pack_digest_free(d);
    pack_digest_free(NULL);
    sha256_free(whole);
    sha256_free(gib);
}

static void more_than_four_gib(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r, &(struct rig_conf){.head_bytes = 2 * MIB, .front_align = 65536});
    uint8_t *kinds[3], shas[4][32];
    const uint8_t *order[FRAMES + 1];
    for (unsigned i = 0; i < 3; i++) {
        kinds[i] = make_bytes(KIND_ZEROS, MIB);
        kinds[i][i * 5] = 'x';
        sha256(kinds[i], MIB, shas[i]);
    }
    struct err err = {0};
    for (unsigned i = 0; i < FRAMES; i++) {
        unsigned kind = i % 7 % 3;
        order[i] = shas[kind];
        if (packer_write(r.packer, kinds[kind], MIB, &err) < 0)
            fail_msg("%s", err.text);
    }
    rig_write(&r, (const uint8_t *)"end", 3, 3);
    sha256("end", 3, shas[3]);
    order[FRAMES] = shas[3];
    rig_rewrite(&r, MIB, kinds[2], MIB);
    order[1] = shas[2];

    struct pack_trailer trailer = {.complete = 1};
    if (packer_commit(r.packer, &trailer, &err) < 0)
        fail_msg("%s", err.text);
    uint8_t digest[32];
    digest_of_frames(order, digest);
    assert_memory_equal(trailer.digest, digest, 32);

    struct source *source = bytes_source_new(r.store.object, r.store.object_len);
    struct pack_index *index = NULL;
    if (pack_index_read(source, &index, &err) < 0) // holds the index against the table
        fail_msg("%s", err.text);
    assert_int_equal(pack_index_frames(index), FRAMES + 1);
    assert_int_equal(pack_index_trailer(index)->size, FRAMES * MIB + 3);
    assert_null(pack_index_trailer(index)->path);
    static const uint64_t picks[] = {0, 1, 2, 3, 1023, 1024, 4095, 4096, FRAMES - 1};
    struct pack_decoder *decoder = NULL;
    assert_int_equal(pack_decoder_new(&decoder, &err), 0);
    uint8_t *out = malloc(PACK_FRAME_BYTES), sha[32];
    for (unsigned i = 0; i < sizeof(picks) / sizeof(*picks); i++) {
        struct pack_span span = pack_index_span(index, picks[i]);
        if (pack_decode(decoder, r.store.object + span.packed_off, &span, out, &err) < 0)
            fail_msg("%s", err.text);
        sha256(out, span.plain_len, sha);
        assert_memory_equal(sha, order[picks[i]], 32);
    }
    free(out);
    pack_decoder_free(decoder);
    pack_index_free(index);
    source_free(source);
    for (unsigned i = 0; i < 3; i++)
        free(kinds[i]);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(more_than_four_gib)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
