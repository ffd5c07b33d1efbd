#include "backend/seal/chunk.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/base/secret.h"

#include <errno.h>
#include <stdlib.h>

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

int seal_chunks_check(const uint8_t file_key[SEAL_FILE_KEY_BYTES],
                      const uint8_t nonce[SEAL_NONCE_BYTES], uint64_t first, const void *sealed,
                      size_t len, bool ends, struct err *err)
{
    uint8_t key[CHACHA_KEY_BYTES];
    const uint8_t *at = sealed;
    auto_free uint8_t *plain = malloc(SEAL_CHUNK_BYTES);
    if (!plain)
        return err_set(err, ENOMEM, "no memory for a chunk");
    chunk_key(file_key, nonce, key);
    bool opens = len > 0 || !ends; // an empty payload has a chunk too
    uint64_t number = first;
    for (; len > 0 && opens; number++) {
        size_t chunk = (size_t)min_u64(len, CHUNK_SEALED_BYTES);
        bool last = ends && chunk == len;
        opens = (last || chunk == CHUNK_SEALED_BYTES) && chunk >= SEAL_TAG_BYTES &&
                chunk_open(key, number, last, at, chunk, plain);
        at += chunk;
        len -= chunk;
    }
    secret_wipe(key, sizeof(key));
    secret_wipe(plain, SEAL_CHUNK_BYTES);
    return opens ? 0
                 : err_set(err, EBADMSG, "chunk %llu does not open: the object was changed or cut",
                           (unsigned long long)number);
}
