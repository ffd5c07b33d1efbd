#include "tools/notify/mime.h"

#include "backend/base/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 78    // what RFC 5322 asks for
#define LINE_LIMIT_BYTES 990 // what a server must take is 998
#define WORD_BYTES 42        // of text in one encoded word: "=?UTF-8?B?" 56 "?=" is below 75

// --- Text ---

// C0, DEL and C1: what a terminal, or a mail program, takes for an order.
static bool is_control(const unsigned char *p, size_t len)
{
    return len == 1 ? *p < 0x20 || *p == 0x7f : len == 2 && p[0] == 0xc2 && p[1] < 0xa0;
}

char *mime_clean(const char *text, bool lines)
{
    char *out = malloc(strlen(text) + 1);
    if (!out)
        return NULL;
    char *to = out;
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t len = utf8_character((const char *)p, UTF8_ANY_BYTES);
        if (*p == '\n' || *p == '\t') {
            *to++ = lines ? (char)*p : ' ';
        } else if (len == 0 || is_control(p, len)) {
            *to++ = '?';
        } else {
            memcpy(to, p, len);
            to += len;
        }
        p += len ? len : 1;
    }
    *to = '\0';
    return out;
}

// --- Headers ---

static void put_base64(FILE *out, const unsigned char *p, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        uint32_t n = (uint32_t)p[i] << 16 | (i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < len ? p[i + 2] : 0);
        fputc(digits[n >> 18], out);
        fputc(digits[n >> 12 & 63], out);
        fputc(i + 1 < len ? digits[n >> 6 & 63] : '=', out);
        fputc(i + 2 < len ? digits[n & 63] : '=', out);
    }
}

static void put_encoded_words(FILE *out, const char *value)
{
    while (*value) {
        size_t len = utf8_fit(value, WORD_BYTES);
        fputs("=?UTF-8?B?", out);
        put_base64(out, (const unsigned char *)value, len);
        value += len;
        fputs(*value ? "?=\r\n " : "?=", out);
    }
}

// Folds before a word that would not fit any more. A word longer than a line stays whole: up to 998 bytes are allowed.
static void put_folded(FILE *out, size_t column, const char *value)
{
    while (*value) {
        size_t blanks = strspn(value, " ");
        size_t len = blanks + strcspn(value + blanks, " ");
        // a line of blanks would end the headers for some
        bool fold = blanks > 0 && value[blanks] && column + len > LINE_MAX_BYTES;
        fprintf(out, "%s%.*s", fold ? "\r\n" : "", (int)len, value);
        column = fold ? len : column + len;
        value += len;
    }
}

static bool is_plain(const char *text)
{
    if (strstr(text, "=?")) // would be read as an encoded word
        return false;
    size_t word = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p >= 0x7f || *p < 0x20)
            return false;
        word = *p == ' ' ? 0 : word + 1;
        if (word > LINE_LIMIT_BYTES - LINE_MAX_BYTES)
            return false;
    }
    return true;
}

void mime_header(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s: ", name);
    if (is_plain(value))
        put_folded(out, strlen(name) + 2, value);
    else
        put_encoded_words(out, value);
    fputs("\r\n", out);
}

// --- The body ---

static bool needs_encoding(const char *body)
{
    size_t line = 0;
    for (const unsigned char *p = (const unsigned char *)body; *p; p++) {
        line = *p == '\n' ? 0 : line + 1;
        if (*p >= 0x7f || line > LINE_LIMIT_BYTES)
            return true;
    }
    return false;
}

static void put_lines(FILE *out, const char *body)
{
    for (const char *p = body; *p; p++) {
        if (*p == '\n')
            fputc('\r', out);
        fputc(*p, out);
    }
}

// RFC 2045, 6.7. A blank before the end of a line must not stand bare.
static void put_quoted_printable(FILE *out, const char *body)
{
    size_t column = 0;
    for (const unsigned char *p = (const unsigned char *)body; *p; p++) {
        if (*p == '\n') {
            fputs("\r\n", out);
            column = 0;
            continue;
        }
        bool at_end = p[1] == '\n' || p[1] == '\0';
        bool bare = *p > 0x20 ? *p < 0x7f && *p != '=' : !at_end;
        size_t len = bare ? 1 : 3;
        if (column + len > 75) {
            fputs("=\r\n", out);
            column = 0;
        }
        fprintf(out, bare ? "%c" : "=%02X", *p);
        column += len;
    }
}

void mime_body(FILE *out, const char *body)
{
    bool encoded = needs_encoding(body);
    fprintf(out,
            "MIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=%s\r\n"
            "Content-Transfer-Encoding: %s\r\n"
            "\r\n",
            encoded ? "utf-8" : "us-ascii", encoded ? "quoted-printable" : "7bit");
    if (encoded)
        put_quoted_printable(out, body);
    else
        put_lines(out, body);
}
