// Keys in text: base64, bech32, recipients, identities, and files of them.
#include "backend/base/crypto.h"
#include "backend/seal/base64.h"
#include "backend/seal/bech32.h"
#include "backend/seal/recipient.h"
#include "tests/unit/seal/seal_fixture.h"

#include <errno.h>

// RFC 4648, section 10, without padding
static void test_base64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        const char *bytes = pairs[i][0], *text = pairs[i][1];
        size_t len = strlen(bytes), chars = strlen(text);
        char out[16];
        uint8_t back[16];
        assert_int_equal(BASE64_CHARS(len), chars);
        base64_encode((const uint8_t *)bytes, len, out);
        assert_memory_equal(out, text, chars);
        assert_int_equal(base64_decoded_len(chars), len);
        assert_true(base64_decode(text, chars, back));
        assert_true(base64_decode(text, chars, NULL));
        assert_memory_equal(back, bytes, len);
    }
    // padding, a second spelling, a length that none has, other alphabets, other characters
    static const char *const bad[] = {"Zg==", "Zh",   "Zm9",   "Z",          "Zm9vY",
                                      "_m9v", "Zm 9", "Zm9\n", "Zm9v\x80mFy"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(base64_decode(bad[i], strlen(bad[i]), NULL));
    assert_int_equal(base64_decoded_len(5), -1);
    uint8_t all[256], back[256];
    char text[BASE64_CHARS(256)];
    fill_pattern(all, sizeof(all));
    base64_encode(all, sizeof(all), text);
    assert_true(base64_decode(text, sizeof(text), back));
    assert_memory_equal(all, back, sizeof(all));
}

// BIP 173, and strings that it calls wrong
static void test_bech32(void **state)
{
    (void)state;
    uint8_t out[64];
    assert_true(bech32_decode("a12uel5l", "a", out, 0));
    assert_true(bech32_decode("A12UEL5L", "a", out, 0));
    assert_false(bech32_decode("A12UEl5L", "a", out, 0)); // both cases
    assert_false(bech32_decode("a12uel5m", "a", out, 0));
    assert_false(bech32_decode("b12uel5l", "a", out, 0));
    assert_false(bech32_decode("a02uel5l", "a", out, 0));
    assert_false(bech32_decode("a12uel5", "a", out, 0));
    assert_false(bech32_decode("", "a", out, 0));
    assert_true(bech32_decode("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef", out, 20));
    static const uint8_t want[20] = {0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf,
                                     0x84, 0x65, 0x3a, 0x56, 0xd7, 0xc6, 0x75, 0xbe, 0x77, 0xdf};
    assert_memory_equal(out, want, sizeof(want));
    char text[BECH32_CHARS(6, 36) + 1];
    bech32_encode("abcdef", want, sizeof(want), text);
    assert_string_equal(text, "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw");
    for (size_t len = 0; len < 36; len++) { // every remainder of bits
        uint8_t bytes[36];
        fill_pattern(bytes, len);
        bech32_encode("age", bytes, len, text);
        assert_int_equal(strlen(text), BECH32_CHARS(3, len));
        assert_true(bech32_decode(text, "age", out, len));
        assert_memory_equal(out, bytes, len);
        for (size_t i = 4; text[i]; i++) { // any one character
            char was = text[i];
            text[i] = was == 'q' ? 'p' : 'q';
            assert_false(bech32_decode(text, "age", out, len));
            text[i] = 'b'; // not in its alphabet
            assert_false(bech32_decode(text, "age", out, len));
            text[i] = was;
        }
    }
}

// The pair that age's specification shows
static void test_pair(void **state)
{
    (void)state;
    struct identity *identity = fixed_identity();
    struct recipient recipient;
    char text[64];
    identity_recipient(identity, &recipient);
    recipient_format(&recipient, text);
    assert_string_equal(text, RECIPIENT_TEXT);
    struct recipient parsed = fixed_recipient();
    assert_memory_equal(parsed.point, recipient.point, sizeof(parsed.point));
    struct secret *formatted = identity_format(identity);
    assert_non_null(formatted);
    assert_string_equal((const char *)formatted->bytes, IDENTITY_TEXT);
    assert_int_equal(formatted->len, strlen(IDENTITY_TEXT));
    secret_free(formatted);
    identity_free(identity);
    identity_free(NULL);
}

static void test_generated(void **state)
{
    (void)state;
    struct identity *identity = NULL, *again = NULL;
    assert_int_equal(identity_generate(&identity, NULL), 0);
    struct secret *text = identity_format(identity);
    assert_int_equal(identity_parse((const char *)text->bytes, &again, NULL), 0);
    struct recipient a, b;
    identity_recipient(identity, &a);
    identity_recipient(again, &b);
    assert_memory_equal(a.point, b.point, sizeof(a.point));
    secret_free(text);
    identity_free(again);
    identity_free(identity);
}

static void test_wrong_keys(void **state)
{
    (void)state;
    struct err err;
    struct recipient recipient;
    struct identity *identity = NULL;
    static const char *const recipients[][2] = {
        {IDENTITY_TEXT, "secret identity"},
        {"age1pq1x34nzsvr0", "not supported"},
        {"ssh-ed25519 AAAA", "not supported"},
        {"age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwk", "checksum"},
        {"AGE1ZVKYG2LQZRAA2LNJVQEJ32NKUU0UES2S82HZRYE869XEEXVN73EQUNUJWJ", "not a recipient"},
        {"age1", "not a recipient"},
        {"", "not a recipient"}};
    for (size_t i = 0; i < sizeof(recipients) / sizeof(recipients[0]); i++) {
        assert_int_equal(recipient_parse(recipients[i][0], &recipient, &err), -EUCLEAN);
        assert_non_null(strstr(err.text, recipients[i][1]));
    }
    static const char *const identities[][2] = {
        {RECIPIENT_TEXT, "public"},
        {"AGE-PLUGIN-YUBIKEY-1Q", "not supported"},
        {"AGE-SECRET-KEY-PQ-1X", "not supported"},
        {"AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEY", "checksum"},
        {"age-secret-key-1gfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpq4egaex", "not an"},
        {"", "not an"}};
    for (size_t i = 0; i < sizeof(identities) / sizeof(identities[0]); i++) {
        assert_int_equal(identity_parse(identities[i][0], &identity, &err), -EUCLEAN);
        assert_non_null(strstr(err.text, identities[i][1]));
        assert_null(strstr(err.text, "GFPYY")); // a secret is never said
        assert_null(identity);
    }
    uint8_t low[32] = {1};
    char text[64];
    bech32_encode("age", low, sizeof(low), text);
    assert_int_equal(recipient_parse(text, &recipient, &err), -EUCLEAN);
    assert_non_null(strstr(err.text, "low order"));
}

static void test_wrap(void **state)
{
    (void)state;
    struct identity *identity = fixed_identity(), *other = NULL;
    assert_int_equal(identity_generate(&other, NULL), 0);
    struct recipient recipient = fixed_recipient();
    uint8_t ephemeral[32], file_key[16], share[32], wrapped[WRAPPED_BYTES], out[16] = {0};
    crypto_random(ephemeral, sizeof(ephemeral));
    crypto_random(file_key, sizeof(file_key));
    assert_int_equal(recipient_wrap(&recipient, ephemeral, file_key, share, wrapped, NULL), 0);
    assert_int_equal(identity_unwrap(other, share, wrapped, out, NULL), -EACCES);
    assert_int_equal(identity_unwrap(identity, share, wrapped, out, NULL), 0);
    assert_memory_equal(out, file_key, sizeof(file_key));
    wrapped[3] ^= 1;
    assert_int_equal(identity_unwrap(identity, share, wrapped, out, NULL), -EACCES);
    memset(share, 0, sizeof(share));
    assert_int_equal(identity_unwrap(identity, share, wrapped, out, NULL), -EUCLEAN);
    struct recipient low = {{0}};
    assert_int_equal(recipient_wrap(&low, ephemeral, file_key, share, wrapped, NULL), -EUCLEAN);
    identity_free(other);
    identity_free(identity);
}

static void test_identity_files(void **state)
{
    (void)state;
    struct identities got = {0};
    struct err err;
    static const char good[] = "# created: 2026\n# public key: age1...\n\n" IDENTITY_TEXT
                               "\r\n  \t\n" IDENTITY_TEXT " \n" IDENTITY_TEXT;
    assert_int_equal(identities_parse(good, strlen(good), &got, &err), 0);
    assert_int_equal(got.count, 3);
    identities_done(&got);
    assert_int_equal(got.count, 0);
    identities_done(&got);
    identities_done(NULL);
    static const char *const bad[][2] = {
        {"", "holds no identity"},
        {"# nothing\n", "holds no identity"},
        {IDENTITY_TEXT "\n\n" IDENTITY_TEXT "X\n", "line 3: "},
        {IDENTITY_TEXT "\n" RECIPIENT_TEXT, "line 2: this is a recipient"},
        {"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n", "itself encrypted"},
        {"age-encryption.org/v1\n-> scrypt\n", "itself encrypted"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(identities_parse(bad[i][0], strlen(bad[i][0]), &got, &err), -EUCLEAN);
        assert_non_null(strstr(err.text, bad[i][1]));
        assert_null(strstr(err.text, "GFPYY"));
        assert_int_equal(identities_parse(bad[i][0], strlen(bad[i][0]), &got, NULL), -EUCLEAN);
        assert_int_equal(got.count, 0);
    }
    assert_int_equal(identities_parse("a\0b", 3, &got, &err), -EUCLEAN);
    assert_non_null(strstr(err.text, "line 1"));
}

static void test_recipient_files(void **state)
{
    (void)state;
    struct recipient *got = NULL;
    size_t count = 7;
    struct err err;
    static const char line[] = RECIPIENT_TEXT "\n";
    char text[(SEAL_RECIPIENTS_MAX + 1) * (sizeof(line) - 1)];
    size_t len = sizeof(text) - (sizeof(line) - 1);
    for (size_t at = 0; at < sizeof(text); at += sizeof(line) - 1)
        memcpy(text + at, line, sizeof(line) - 1);
    assert_int_equal(recipients_parse(text, len, &got, &count, &err), 0);
    assert_int_equal(count, SEAL_RECIPIENTS_MAX);
    struct recipient want = fixed_recipient();
    assert_memory_equal(&got[SEAL_RECIPIENTS_MAX - 1], &want, sizeof(want));
    free(got);
    got = NULL;
    assert_int_equal(recipients_parse(text, sizeof(text), &got, &count, &err), -EUCLEAN);
    assert_non_null(strstr(err.text, "line 65: more than 64"));
    assert_int_equal(recipients_parse("#\n", 2, &got, &count, &err), -EUCLEAN);
    assert_non_null(strstr(err.text, "holds no recipient"));
    static const char secret[] = "# team\n" IDENTITY_TEXT;
    assert_int_equal(recipients_parse(secret, strlen(secret), &got, &count, &err), -EUCLEAN);
    assert_non_null(strstr(err.text, "line 2: this is a secret identity"));
    assert_null(strstr(err.text, "GFPYY"));
    assert_null(got);
    assert_int_equal(count, SEAL_RECIPIENTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),         cmocka_unit_test(test_bech32),
        cmocka_unit_test(test_pair),           cmocka_unit_test(test_generated),
        cmocka_unit_test(test_wrong_keys),     cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_identity_files), cmocka_unit_test(test_recipient_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
