// The digest against its definition, at every edge: frames of 1 MiB, groups of 1,024 of them.
#include "backend/base/crypto.h"
#include "tools/verify/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FRAME ((size_t)1 << 20)

static void text_of(const uint8_t hash[SHA256_BYTES], char out[DIGEST_TEXT_BYTES])
{
    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

// Of up to a GiB.
static void by_definition(const uint8_t *data, size_t len, char out[DIGEST_TEXT_BYTES])
{
    struct sha256 *group = sha256_new();
    assert_non_null(group);
    uint8_t hash[SHA256_BYTES];
    for (size_t at = 0; at < len; at += FRAME) {
        sha256(data + at, len - at < FRAME ? len - at : FRAME, hash);
        sha256_update(group, hash, sizeof(hash));
    }
    sha256_final(group, hash);
    sha256(hash, len ? sizeof(hash) : 0, hash);
    text_of(hash, out);
    sha256_free(group);
}

static void edges(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, 3 * FRAME + 17};
    static const size_t pieces[] = {4096, FRAME - 1, FRAME, FRAME + 1, 4 * FRAME};
    uint8_t *data = malloc(4 * FRAME);
    assert_non_null(data);
    for (size_t i = 0; i < 4 * FRAME; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        for (size_t k = 0; k < sizeof(pieces) / sizeof(*pieces); k++) {
            char wanted[DIGEST_TEXT_BYTES], got[DIGEST_TEXT_BYTES];
            by_definition(data, sizes[i], wanted);
            struct digest *d = digest_new();
            assert_non_null(d);
            for (size_t at = 0; at < sizes[i]; at += pieces[k])
                digest_update(d, data + at, sizes[i] - at < pieces[k] ? sizes[i] - at : pieces[k]);
            digest_final(d, got);
            digest_free(d);
            assert_string_equal(got, wanted);
        }
    free(data);
}

static void more_than_a_group(void **state)
{
    (void)state;
    uint8_t *zeros = calloc(1, FRAME), frame[SHA256_BYTES], groups[2 * SHA256_BYTES];
    assert_non_null(zeros);
    sha256(zeros, FRAME, frame);
    struct sha256 *group = sha256_new();
    struct digest *d = digest_new();
    assert_true(group && d);
    for (unsigned i = 0; i < 1024; i++)
        sha256_update(group, frame, sizeof(frame));
    sha256_final(group, groups);
    sha256(frame, sizeof(frame), groups + SHA256_BYTES);
    sha256(groups, sizeof(groups), frame);
    char wanted[DIGEST_TEXT_BYTES], got[DIGEST_TEXT_BYTES];
    text_of(frame, wanted);
    for (unsigned i = 0; i < 1025; i++)
        digest_update(d, zeros, FRAME);
    digest_final(d, got);
    assert_string_equal(got, wanted);
    digest_free(d);
    sha256_free(group);
    free(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges),
        cmocka_unit_test(more_than_a_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
