#include "backend/seal/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const uint8_t *bytes, size_t len, char *out)
{
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        for (have += 8; have >= 6; have -= 6)
            *out++ = alphabet[bits >> (have - 6) & 63];
    }
    if (have)
        *out = alphabet[bits << (6 - have) & 63];
}

ptrdiff_t base64_decoded_len(size_t chars)
{
    return chars % 4 == 1 ? -1 : (ptrdiff_t)(chars / 4 * 3 + (chars % 4 ? chars % 4 - 1 : 0));
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(const char *text, size_t chars, uint8_t *out)
{
    if (base64_decoded_len(chars) < 0)
        return false;
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < chars; i++) {
        int value = value_of(text[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        have += 6;
        if (have >= 8) {
            have -= 8;
            if (out)
                *out++ = (uint8_t)(bits >> have);
        }
    }
    // the bits of the last character that no byte takes: another value would be a second spelling of the same bytes
    return (bits & ((1u << have) - 1)) == 0;
}
