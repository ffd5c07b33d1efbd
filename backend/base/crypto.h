// The cryptography bakfs uses, from OpenSSL 3; the only room that includes it. Pure, any thread.
// The functions that cannot fail for valid arguments abort the process if OpenSSL fails (no memory): a digest that is
// silently wrong must not exist.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32
#define CHACHA_KEY_BYTES 32
#define CHACHA_NONCE_BYTES 12
#define CHACHA_TAG_BYTES 16
#define X25519_BYTES 32

void sha256(const void *data, size_t len, uint8_t out[SHA256_BYTES]);

// A digest in pieces. free accepts NULL.
struct sha256;
struct sha256 *sha256_new(void);
void sha256_update(struct sha256 *, const void *data, size_t len);
void sha256_final(struct sha256 *, uint8_t out[SHA256_BYTES]); // and starts anew
void sha256_free(struct sha256 *);

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[SHA256_BYTES]);
// RFC 5869 with 32 bytes of output.
void hkdf_sha256(const void *ikm, size_t ikm_len, const void *salt, size_t salt_len,
                 const char *info, uint8_t out[32]);

// RFC 8439 AEAD without additional data; out has len + 16 bytes. `in` and `out` may be the same.
void chacha20poly1305_seal(const uint8_t key[CHACHA_KEY_BYTES],
                           const uint8_t nonce[CHACHA_NONCE_BYTES], const void *in, size_t len,
                           void *out);
// len counts the tag (at least 16); out has len - 16 bytes. False when the tag does not hold; out is then wiped.
bool chacha20poly1305_open(const uint8_t key[CHACHA_KEY_BYTES],
                           const uint8_t nonce[CHACHA_NONCE_BYTES], const void *in, size_t len,
                           void *out);

void x25519_public(const uint8_t scalar[X25519_BYTES], uint8_t out[X25519_BYTES]);
// False when the shared secret is all zero (a low-order point): reject.
bool x25519_shared(const uint8_t scalar[X25519_BYTES], const uint8_t point[X25519_BYTES],
                   uint8_t out[X25519_BYTES]);

void crypto_random(void *out, size_t len);
bool crypto_equal(const void *a, const void *b, size_t len); // in constant time
