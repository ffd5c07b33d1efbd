// Bech32 (BIP 173) without its limit of length, the spelling of age's keys. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Characters of an encoded string, without a NUL.
#define BECH32_CHARS(prefix_len, bytes) ((prefix_len) + 1 + ((bytes)*8 + 4) / 5 + 6)

// `prefix` in lower case. Writes lower case and a NUL.
void bech32_encode(const char *prefix, const uint8_t *bytes, size_t len, char *out);

// True when `text` is `prefix` (given in lower case), 1, and exactly `len` bytes with a checksum that holds, all of it in
// lower or all of it in upper case. `out` is undefined on failure.
bool bech32_decode(const char *text, const char *prefix, uint8_t *out, size_t len);
