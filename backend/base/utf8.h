// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. Pure.
#pragma once

#include <stddef.h>
#include <string.h>

#define UTF8_ANY_BYTES 4 // as `len`, where a zero byte ends the text: nothing is read behind it

// Bytes of the well-formed character at `text`, 0 where there is none. `len`: bytes there are, at least one.
static inline size_t utf8_character(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t n;
    unsigned char low = 0x80, high = 0xbf; // of the second byte
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        n = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        n = 3;
        low = p[0] == 0xe0 ? 0xa0 : low;
        high = p[0] == 0xed ? 0x9f : high;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        n = 4;
        low = p[0] == 0xf0 ? 0x90 : low;
        high = p[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (len < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return n;
}

// How many bytes of `text` fit into `room` with no half character.
static inline size_t utf8_fit(const char *text, size_t room)
{
    size_t len = strlen(text);
    if (len <= room)
        return len;
    while (room > 0 && ((unsigned char)text[room] & 0xc0) == 0x80)
        room--;
    return room;
}
