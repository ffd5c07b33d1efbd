// The X25519 recipient type of age: wraps a file key for a recipient, unwraps it with an identity. Pure; keys in text are
// in seal.h.
#pragma once

#include "backend/base/crypto.h"
#include "backend/seal/seal.h"

#define WRAPPED_BYTES (SEAL_FILE_KEY_BYTES + CHACHA_TAG_BYTES)

// -EUCLEAN when the recipient is a point of low order, which recipient_parse does not let pass.
int recipient_wrap(const struct recipient *, const uint8_t ephemeral[X25519_BYTES],
                   const uint8_t file_key[SEAL_FILE_KEY_BYTES], uint8_t out_share[X25519_BYTES],
                   uint8_t out_wrapped[WRAPPED_BYTES], struct err *err);

// -EACCES: it is not for this identity. -EUCLEAN: the share is a point of low order.
int identity_unwrap(const struct identity *, const uint8_t share[X25519_BYTES],
                    const uint8_t wrapped[WRAPPED_BYTES], uint8_t out_file_key[SEAL_FILE_KEY_BYTES],
                    struct err *err);
