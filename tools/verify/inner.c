#include "tools/verify/inner.h"

#include "backend/base/num.h"
#include "backend/complete.h"
#include "tools/verify/codec.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NESTED_MAX 2 // a gzip in a zstd is opened; what is in that is looked at as it is

struct layer { // the bytes of one depth
    struct inner *inner;
    unsigned depth;
    bool known; // kind is decided
    enum codec_kind kind;
    struct codec *codec; // of a compressed one
    enum codec_state state;
    uint64_t size;
    size_t first_len, last_len;
    uint8_t first[COMPLETE_FIRST_BYTES];
    uint8_t last[2 * COMPLETE_LAST_BYTES]; // the end stands in its last last_len bytes
};

struct inner {
    struct layer layers[NESTED_MAX + 1];
    bool no_memory;
};

struct inner *inner_new(void)
{
    struct inner *in = calloc(1, sizeof(*in));
    if (!in)
        return NULL;
    for (unsigned i = 0; i <= NESTED_MAX; i++) {
        in->layers[i].inner = in;
        in->layers[i].depth = i;
    }
    return in;
}

void inner_free(struct inner *in)
{
    if (!in)
        return;
    for (unsigned i = 0; i <= NESTED_MAX; i++)
        codec_free(in->layers[i].codec);
    free(in);
}

static void keep_last(struct layer *l, const uint8_t *data, size_t len)
{
    size_t room = sizeof(l->last);
    if (len >= COMPLETE_LAST_BYTES) {
        memcpy(l->last, data + len - COMPLETE_LAST_BYTES, COMPLETE_LAST_BYTES);
        l->last_len = COMPLETE_LAST_BYTES;
        return;
    }
    if (l->last_len + len > room) {
        size_t keep = COMPLETE_LAST_BYTES;
        memmove(l->last, l->last + l->last_len - keep, keep);
        l->last_len = keep;
    }
    memcpy(l->last + l->last_len, data, len);
    l->last_len += len;
}

static void take_bytes(void *ctx, const void *data, size_t len);

static struct layer *below(struct layer *l)
{
    return &l->inner->layers[l->depth + 1];
}

static void decode(struct layer *l, const void *data, size_t len)
{
    l->state = codec_feed(l->codec, data, len, take_bytes, below(l));
}

static void decide(struct layer *l)
{
    l->known = true;
    if (l->depth == NESTED_MAX)
        return;
    l->kind = codec_recognise(l->first, l->first_len);
    if (l->kind == CODEC_NONE)
        return;
    l->codec = codec_new(l->kind);
    if (!l->codec) {
        l->inner->no_memory = true;
        l->kind = CODEC_NONE;
        return;
    }
    decode(l, l->first, l->first_len);
}

static void take_bytes(void *ctx, const void *data, size_t len)
{
    struct layer *l = ctx;
    const uint8_t *at = data;
    l->size += len;
    if (!l->known) {
        size_t n = (size_t)min_u64(len, CODEC_MAGIC_BYTES - l->first_len);
        memcpy(l->first + l->first_len, at, n);
        l->first_len += n;
        keep_last(l, at, n);
        at += n;
        len -= n;
        if (l->first_len == CODEC_MAGIC_BYTES)
            decide(l);
    }
    if (len == 0)
        return;
    if (l->codec) {
        decode(l, at, len);
        return;
    }
    size_t n = (size_t)min_u64(len, sizeof(l->first) - l->first_len);
    memcpy(l->first + l->first_len, at, n);
    l->first_len += n;
    keep_last(l, at, len);
}

void inner_feed(struct inner *in, const void *data, size_t len)
{
    take_bytes(&in->layers[0], data, len);
}

// --- The judgement ---

static bool has(const struct layer *l, const char *text)
{
    return memmem(l->first, (size_t)min_u64(l->first_len, 256), text, strlen(text)) != NULL;
}

static bool is_tar(const struct layer *l)
{
    return l->first_len >= 512 && memcmp(l->first + 257, "ustar", 5) == 0;
}

static const char *name_of(const struct layer *l)
{
    if (l->size == 0)
        return "nothing";
    if (l->first_len >= 5 && memcmp(l->first, "PGDMP", 5) == 0)
        return "a pg_dump archive (custom)";
    if (is_tar(l))
        return "a tar";
    if (l->first_len >= 15 && memcmp(l->first, "SQLite format 3", 15) == 0)
        return "an SQLite database";
    if (has(l, "-- PostgreSQL database cluster dump"))
        return "a PostgreSQL cluster dump";
    if (has(l, "-- PostgreSQL database dump"))
        return "a PostgreSQL dump";
    if (has(l, "-- MySQL dump ") || has(l, "-- MariaDB dump "))
        return "a MySQL dump";
    return "other bytes";
}

static bool ends_in_zeros(const struct layer *l, size_t count)
{
    if (l->last_len < count)
        return false;
    for (size_t i = l->last_len - count; i < l->last_len; i++)
        if (l->last[i] != 0)
            return false;
    return true;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// The header counts the pages, and that count holds when its change counter is the one the count was made at.
static bool is_cut_sqlite(const struct layer *l)
{
    if (l->first_len < 100 || memcmp(l->first, "SQLite format 3", 16) != 0)
        return false;
    uint64_t page = (uint64_t)l->first[16] << 8 | l->first[17];
    if (page == 1)
        page = 65536;
    return memcmp(l->first + 24, l->first + 92, 4) == 0 && page * be32(l->first + 28) > l->size;
}

static void judge_plain(const struct layer *l, struct inner_result *out)
{
    size_t last_len = (size_t)min_u64(l->last_len, COMPLETE_LAST_BYTES);
    const uint8_t *last = l->last + l->last_len - last_len;
    enum seal_complete complete = complete_judge(l->size, l->first, l->first_len, last, last_len);
    out->verdict = complete == SEAL_COMPLETE_YES  ? INNER_GOOD
                   : complete == SEAL_COMPLETE_NO ? INNER_BAD
                                                  : INNER_UNKNOWN;
    if (l->size == 0)
        snprintf(out->why, sizeof(out->why), "%s",
                 l->depth > 0 ? "it is compressed, and there is nothing in it: the dump failed"
                              : "it is empty");
    else if (out->verdict == INNER_BAD)
        snprintf(out->why, sizeof(out->why),
                 "the dump stops short: its last line is not there that says it is complete");
    else if (out->verdict == INNER_UNKNOWN && is_tar(l) && !ends_in_zeros(l, 1024))
        out->verdict = INNER_BAD,
        snprintf(out->why, sizeof(out->why),
                 "the tar stops short: the end of the archive is missing");
    else if (out->verdict == INNER_UNKNOWN && is_cut_sqlite(l))
        out->verdict = INNER_BAD,
        snprintf(out->why, sizeof(out->why), "the SQLite database stops short: pages are missing");
}

static void judge_stream(const struct layer *l, struct inner_result *out)
{
    const char *name = codec_name(l->kind);
    out->verdict = INNER_BAD;
    switch (l->state) {
    case CODEC_CUT:
        snprintf(out->why, sizeof(out->why), "the %s stream is cut: its end is missing", name);
        break;
    case CODEC_BROKEN:
        snprintf(out->why, sizeof(out->why), "the %s stream is damaged: it does not decompress",
                 name);
        break;
    case CODEC_GARBAGE:
        snprintf(out->why, sizeof(out->why), "something that is no %s stands behind its end", name);
        break;
    case CODEC_TOO_LARGE:
        out->verdict = INNER_UNKNOWN;
        snprintf(out->why, sizeof(out->why),
                 "to decompress this %s takes more memory than verify may use: what is in it was "
                 "not looked at",
                 name);
        break;
    case CODEC_GOES_ON:
        break;
    }
}

void inner_end(struct inner *in, struct inner_result *out)
{
    *out = (struct inner_result){.verdict = INNER_UNKNOWN};
    unsigned at = 0;
    for (;; at++) { // the end of each is the end of what is in it
        struct layer *l = &in->layers[at];
        if (!l->known)
            decide(l);
        if (!l->codec)
            break;
        if (l->state == CODEC_GOES_ON)
            l->state = codec_end(l->codec, take_bytes, below(l));
    }
    const struct layer *inside = &in->layers[at];
    char outer[32] = "";
    for (unsigned i = 0; i < at; i++) {
        size_t len = strlen(outer);
        snprintf(outer + len, sizeof(outer) - len, "%s of ", codec_name(in->layers[i].kind));
    }
    snprintf(out->what, sizeof(out->what), "%s%s", outer, name_of(inside));
    out->bytes = inside->size;
    for (unsigned i = 0; i < at; i++) {
        if (in->layers[i].state == CODEC_GOES_ON)
            continue;
        judge_stream(&in->layers[i], out);
        return;
    }
    judge_plain(inside, out);
    if (in->no_memory && out->verdict != INNER_BAD) {
        out->verdict = INNER_UNKNOWN;
        snprintf(out->why, sizeof(out->why), "no memory to decompress it");
    }
}
