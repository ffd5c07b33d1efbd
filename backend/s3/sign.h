// AWS Signature Version 4 for S3. Pure: what it needs is given, what it makes is returned.
#pragma once

#include "backend/base/crypto.h"
#include "backend/base/err.h"
#include "backend/base/secret.h"

#include <stddef.h>
#include <time.h>

#define SIGN_HASH_BYTES (2 * SHA256_BYTES + 1) // hex digits and their end
#define SIGN_AUTHORIZATION_BYTES 2048
#define SIGN_EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct sign_pair {
    const char *name, *value;
};

struct sign_request {
    const char *method;
    const char *path;                // encoded, as it stands in the request
    const char *query;               // of sign_query, as it stands in the request
    const struct sign_pair *headers; // host and every x-amz-*; names in lower case
    size_t header_count;
    const char *payload_hash; // hex SHA-256 of the body
};

struct sign_identity {
    const char *access_key;
    const struct secret *secret_key;
    const char *region;
};

// Encodes and sorts query parameters: "a=1&uploads=". -EINVAL when they do not fit.
int sign_query(const struct sign_pair *pairs, size_t count, char *out, size_t room,
               struct err *err);
// The value of the Authorization header. `amz_date` is the value of x-amz-date.
int sign_authorization(const struct sign_identity *, const struct sign_request *,
                       const char *amz_date, char out[SIGN_AUTHORIZATION_BYTES], struct err *err);
void sign_hex(const uint8_t digest[SHA256_BYTES], char out[SIGN_HASH_BYTES]);
