#include "backend/base/crypto.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = 0;
    for (; hex[0]; hex += 2) {
        char digits[] = {hex[0], hex[1], '\0'}, *end;
        out[n++] = (uint8_t)strtoul(digits, &end, 16);
        assert_ptr_equal(end, digits + 2);
    }
    return n;
}

static void assert_hex(const uint8_t *bytes, size_t len, const char *hex)
{
    uint8_t want[256];
    assert_int_equal(unhex(hex, want), len);
    assert_memory_equal(bytes, want, len);
}

// FIPS 180-2, appendix B
static void test_sha256(void **state)
{
    (void)state;
    uint8_t out[32];
    for (int i = 0; i < 2; i++) { // the thread's context is used again
        sha256("abc", 3, out);
        assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
    sha256(NULL, 0, out);
    assert_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    struct sha256 *s = sha256_new();
    assert_non_null(s);
    for (int i = 0; i < 2; i++) { // final starts anew
        sha256_update(s, "a", 1);
        sha256_update(s, "bc", 2);
        sha256_final(s, out);
        assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
    sha256_free(s);
    sha256_free(NULL);
}

// RFC 4231 cases 2 and 6, and an empty key (by Python's hmac)
static void test_hmac(void **state)
{
    (void)state;
    uint8_t out[32], key[131];
    const char *data = "what do ya want for nothing?";
    hmac_sha256("Jefe", 4, data, strlen(data), out);
    assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    data = "Test Using Larger Than Block-Size Key - Hash Key First";
    hmac_sha256(key, sizeof(key), data, strlen(data), out);
    assert_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    hmac_sha256(NULL, 0, "", 0, out);
    assert_hex(out, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

// RFC 5869 case 3 has neither salt nor info; its first 32 bytes. The other by Python's hmac.
static void test_hkdf(void **state)
{
    (void)state;
    uint8_t ikm[22], salt[13], out[32];
    memset(ikm, 0x0b, sizeof(ikm));
    hkdf_sha256(ikm, sizeof(ikm), NULL, 0, "", out);
    assert_hex(out, 32, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
    for (size_t i = 0; i < sizeof(salt); i++)
        salt[i] = (uint8_t)i;
    hkdf_sha256(ikm, sizeof(ikm), salt, sizeof(salt), "header", out);
    assert_hex(out, 32, "8de6eb6b9d5b7bc1595a4430ff731d21f4f3a2f2402a41a8661df682524bd83f");
}

// RFC 8439 has only an example with additional data; this one by Python's cryptography
static void test_chacha(void **state)
{
    (void)state;
    uint8_t key[32], nonce[12], sealed[64], plain[64];
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(0x80 + i);
    for (size_t i = 0; i < sizeof(nonce); i++)
        nonce[i] = (uint8_t)i;
    const char *text = "Ladies and Gentlemen";
    size_t len = strlen(text);
    chacha20poly1305_seal(key, nonce, text, len, sealed);
    assert_hex(sealed, len + 16,
               "29d75f9911c40858fc866b5da5b1794ed038be8c57494e8f5b62f9edf319ff5d5a494d84");
    assert_true(chacha20poly1305_open(key, nonce, sealed, len + 16, plain));
    assert_memory_equal(plain, text, len);
    assert_true(chacha20poly1305_open(key, nonce, sealed, len + 16, sealed)); // in place
    assert_memory_equal(sealed, text, len);
    chacha20poly1305_seal(key, nonce, sealed, len, sealed);
    for (size_t bit = 0; bit < (len + 16) * 8; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        memset(plain, 'x', sizeof(plain));
        assert_false(chacha20poly1305_open(key, nonce, sealed, len + 16, plain));
        for (size_t i = 0; i < len; i++)
            assert_int_equal(plain[i], 0); // wiped
        assert_int_equal(plain[len], 'x');
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    chacha20poly1305_seal(key, nonce, NULL, 0, sealed);
    assert_hex(sealed, 16, "536d44772021380abe709d84144c65d2");
    assert_true(chacha20poly1305_open(key, nonce, sealed, 16, plain));
    sealed[0] ^= 1;
    assert_false(chacha20poly1305_open(key, nonce, sealed, 16, plain));
}

// RFC 7748, 6.1
static void test_x25519(void **state)
{
    (void)state;
    uint8_t alice[32], bob[32], point[32], out[32], low[32] = {0};
    unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", alice);
    unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", bob);
    x25519_public(alice, point);
    assert_hex(point, 32, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert_true(x25519_shared(bob, point, out));
    assert_hex(out, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    x25519_public(bob, point);
    assert_hex(point, 32, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    memset(out, 'x', sizeof(out));
    assert_true(x25519_shared(alice, point, out));
    assert_hex(out, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    memset(out, 'x', sizeof(out));
    for (uint8_t i = 0; i < 2; i++) { // the points 0 and 1 have low order
        low[0] = i;
        assert_false(x25519_shared(alice, low, out));
        assert_int_equal(out[0], 'x');
    }
}

static void test_equal_and_random(void **state)
{
    (void)state;
    assert_true(crypto_equal("abc", "abd", 2));
    assert_false(crypto_equal("abc", "abd", 3));
    uint8_t a[32] = {0}, b[32] = {0};
    crypto_random(a, sizeof(a));
    crypto_random(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

// Every thread has contexts of its own, freed with it (the leak checker sees to that).
static void *in_thread(void *arg)
{
    uint8_t key[32], nonce[12] = {0}, digest[32], want[32];
    memset(key, *(int *)arg, sizeof(key));
    static const char text[4096] = "x";
    sha256(text, sizeof(text), want);
    for (int i = 0; i < 200; i++) {
        uint8_t sealed[sizeof(text) + 16], plain[sizeof(text)];
        nonce[0] = (uint8_t)i;
        chacha20poly1305_seal(key, nonce, text, sizeof(text), sealed);
        if (!chacha20poly1305_open(key, nonce, sealed, sizeof(sealed), plain))
            return NULL;
        sha256(plain, sizeof(plain), digest);
        if (memcmp(digest, want, 32) != 0)
            return NULL;
    }
    return arg;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    int numbers[4];
    for (int i = 0; i < 4; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, in_thread, &numbers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, &numbers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),  cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_hkdf),    cmocka_unit_test(test_chacha),
        cmocka_unit_test(test_x25519),  cmocka_unit_test(test_equal_and_random),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
