#include "backend/seal/chunk.h"

#include "backend/base/num.h"

void chunk_key(const uint8_t file_key[SEAL_FILE_KEY_BYTES], const uint8_t nonce[SEAL_NONCE_BYTES],
               uint8_t out[CHACHA_KEY_BYTES])
{
    hkdf_sha256(file_key, SEAL_FILE_KEY_BYTES, nonce, SEAL_NONCE_BYTES, "payload", out);
}

// 11 bytes of counter, big endian, and the flag.
static void make_nonce(uint64_t number, bool last, uint8_t out[CHACHA_NONCE_BYTES])
{
    out[0] = out[1] = out[2] = 0;
    put_be64(out + 3, number);
    out[11] = last;
}

void chunk_seal(const uint8_t key[CHACHA_KEY_BYTES], uint64_t number, bool last, const void *plain,
                size_t len, void *out)
{
    assert(len <= SEAL_CHUNK_BYTES && (last || len == SEAL_CHUNK_BYTES));
    uint8_t nonce[CHACHA_NONCE_BYTES];
    make_nonce(number, last, nonce);
    chacha20poly1305_seal(key, nonce, plain, len, out);
}

bool chunk_open(const uint8_t key[CHACHA_KEY_BYTES], uint64_t number, bool last, const void *sealed,
                size_t len, void *out)
{
    assert(len >= SEAL_TAG_BYTES && len <= CHUNK_SEALED_BYTES);
    uint8_t nonce[CHACHA_NONCE_BYTES];
    make_nonce(number, last, nonce);
    return chacha20poly1305_open(key, nonce, sealed, len, out);
}
