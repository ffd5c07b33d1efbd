// Where a bucket is, and the URL of a key in it. Pure.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define ENDPOINT_PATH_BYTES (3 * 2048 + 300)

struct endpoint {
    char base[320]; // "http://127.0.0.1:7480", scheme and host in lower case, no default port
    char host[310]; // of the Host header: "127.0.0.1:7480", or "bucket.host"
    char url[640];  // scheme and that host
    char bucket[256];
    bool virtual_host; // the bucket stands in the host name, not in the path
};

enum endpoint_addressing { ENDPOINT_AUTO, ENDPOINT_PATH, ENDPOINT_VIRTUAL };

// `text` NULL or "": AWS's own endpoint of `region`. Auto is path for a given endpoint and for a bucket with a dot in
// its name (no certificate fits it), virtual for AWS.
int endpoint_parse(const char *text, const char *region, const char *bucket,
                   enum endpoint_addressing, struct endpoint *out, struct err *err);
// The encoded path of a request: of the bucket itself for key NULL.
int endpoint_path(const struct endpoint *, const char *key, char out[ENDPOINT_PATH_BYTES],
                  struct err *err);
