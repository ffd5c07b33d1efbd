// Standard base64 (RFC 4648, section 4) without padding, as age writes it: the canonical form and no other. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BASE64_CHARS(bytes) (((bytes)*4 + 2) / 3)

// Writes BASE64_CHARS(len) characters, no NUL.
void base64_encode(const uint8_t *bytes, size_t len, char *out);

// The bytes that `chars` characters stand for, or -1 when no canonical text has that length.
ptrdiff_t base64_decoded_len(size_t chars);

// False unless all of `text` is canonical. `out` takes base64_decoded_len(chars) bytes, undefined on failure; with NULL
// the text is only checked.
bool base64_decode(const char *text, size_t chars, uint8_t *out);
