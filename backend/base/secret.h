// Key material in its own pages: locked where the limits allow, left out of core dumps, wiped when freed. There is no
// print function, on purpose.
#pragma once

#include "backend/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct secret {
    size_t len;
    uint8_t bytes[]; // len bytes, and a 0 byte behind them so that text secrets are strings
};

// Copies `len` bytes. NULL when memory is short.
struct secret *secret_new(const void *bytes, size_t len);
void secret_free(struct secret *secret);
void secret_wipe(void *p, size_t len); // wipes a buffer on the stack; the compiler may not drop it
