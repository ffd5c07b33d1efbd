// One chunk of an age payload: 64 KiB (the last one shorter) under ChaCha20-Poly1305, its number and whether it is the
// last in the nonce. Pure. Who calls chunk_seal sees to it that a number is sealed once under a key.
#pragma once

#include "backend/base/crypto.h"
#include "backend/seal/seal.h"

#define CHUNK_SEALED_BYTES SEAL_CHUNK_SEALED_BYTES

void chunk_key(const uint8_t file_key[SEAL_FILE_KEY_BYTES], const uint8_t nonce[SEAL_NONCE_BYTES],
               uint8_t out[CHACHA_KEY_BYTES]);

// `out` has len + SEAL_TAG_BYTES bytes.
void chunk_seal(const uint8_t key[CHACHA_KEY_BYTES], uint64_t number, bool last, const void *plain,
                size_t len, void *out);

// `len` counts the tag; `out` has len - SEAL_TAG_BYTES bytes and may be `sealed`. False when the tag does not hold.
bool chunk_open(const uint8_t key[CHACHA_KEY_BYTES], uint64_t number, bool last, const void *sealed,
                size_t len, void *out);
