#include "tools/verify/codec.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define OUT_BYTES ((size_t)128 << 10)
#define MEMORY_MAX ((uint64_t)192 << 20) // xz -9 wants 65 MiB; zstd without --long at most 128 MiB

struct codec {
    enum codec_kind kind;
    enum codec_state state;
    bool open;  // a stream has begun and not ended
    bool ended; // at least one stream has
    union {
        z_stream gzip;
        ZSTD_DStream *zstd;
        lzma_stream xz;
    } is;
    uint8_t out[OUT_BYTES];
};

enum codec_kind codec_recognise(const void *first, size_t len)
{
    static const struct {
        enum codec_kind kind;
        size_t len;
        const char *magic;
    } known[] = {
        {CODEC_GZIP, 3, "\x1f\x8b\x08"},
        {CODEC_ZSTD, 4, "\x28\xb5\x2f\xfd"},
        {CODEC_XZ, 6,
         "\xfd"
         "7zXZ\0"},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (len >= known[i].len && memcmp(first, known[i].magic, known[i].len) == 0)
            return known[i].kind;
    return CODEC_NONE;
}

const char *codec_name(enum codec_kind kind)
{
    static const char *const names[] = {"", "gzip", "zstd", "xz"};
    return names[kind];
}

static bool init(struct codec *c)
{
    switch (c->kind) {
    case CODEC_GZIP:
        return inflateInit2(&c->is.gzip, 15 + 16) == Z_OK; // 16: a gzip header, nothing else
    case CODEC_ZSTD:
        c->is.zstd = ZSTD_createDStream();
        return c->is.zstd != NULL;
    case CODEC_XZ:
        c->is.xz = (lzma_stream)LZMA_STREAM_INIT;
        return lzma_stream_decoder(&c->is.xz, MEMORY_MAX, LZMA_CONCATENATED) == LZMA_OK;
    case CODEC_NONE:
        break;
    }
    return false;
}

struct codec *codec_new(enum codec_kind kind)
{
    struct codec *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->kind = kind;
    if (init(c))
        return c;
    free(c);
    return NULL;
}

void codec_free(struct codec *c)
{
    if (!c)
        return;
    if (c->kind == CODEC_GZIP)
        inflateEnd(&c->is.gzip);
    else if (c->kind == CODEC_ZSTD)
        ZSTD_freeDStream(c->is.zstd);
    else
        lzma_end(&c->is.xz);
    free(c);
}

typedef void put_function(void *ctx, const void *data, size_t len);

static bool all_zeros(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != 0)
            return false;
    return true;
}

// Members one behind the other are one file; zeros behind the last are padding (of tapes).
static enum codec_state feed_gzip(struct codec *c, const uint8_t *data, size_t len,
                                  put_function *put, void *ctx)
{
    z_stream *z = &c->is.gzip;
    z->next_in = (Bytef *)(uintptr_t)data; // zlib does not write to it
    z->avail_in = (uInt)len;
    while (z->avail_in > 0) {
        if (!c->open && c->ended && *z->next_in != 0x1f)
            return all_zeros(z->next_in, z->avail_in) ? CODEC_GOES_ON : CODEC_GARBAGE;
        c->open = true;
        z->next_out = c->out;
        z->avail_out = OUT_BYTES;
        int rc = inflate(z, Z_NO_FLUSH);
        put(ctx, c->out, OUT_BYTES - z->avail_out);
        if (rc == Z_STREAM_END) {
            c->open = false;
            c->ended = true;
            if (inflateReset(z) != Z_OK)
                return CODEC_BROKEN;
        } else if (rc == Z_MEM_ERROR) {
            return CODEC_TOO_LARGE;
        } else if (rc != Z_OK) {
            return CODEC_BROKEN;
        }
    }
    return CODEC_GOES_ON;
}

// inflate may hold back what did not fit into `out` after all its input is taken.
static enum codec_state drain_gzip(struct codec *c, put_function *put, void *ctx)
{
    z_stream *z = &c->is.gzip;
    while (c->open) {
        z->next_out = c->out;
        z->avail_out = OUT_BYTES;
        int rc = inflate(z, Z_NO_FLUSH);
        size_t made = OUT_BYTES - z->avail_out;
        put(ctx, c->out, made);
        if (rc == Z_STREAM_END) {
            c->open = false;
            c->ended = true;
        } else if (rc != Z_OK || made == 0) {
            break;
        }
    }
    return c->open || !c->ended ? CODEC_CUT : CODEC_GOES_ON;
}

static enum codec_state feed_zstd(struct codec *c, const uint8_t *data, size_t len,
                                  put_function *put, void *ctx)
{
    ZSTD_inBuffer in = {data, len, 0};
    for (bool full = false; in.pos < in.size || full;) {
        ZSTD_outBuffer out = {c->out, OUT_BYTES, 0};
        size_t rc = ZSTD_decompressStream(c->is.zstd, &out, &in);
        if (ZSTD_isError(rc)) {
            // a window above 128 MiB (--long=28 and more), or no memory
            if (strstr(ZSTD_getErrorName(rc), "memory"))
                return CODEC_TOO_LARGE;
            return c->ended && !c->open ? CODEC_GARBAGE : CODEC_BROKEN;
        }
        put(ctx, c->out, out.pos);
        full = out.pos == out.size;
        c->open = rc != 0;
        c->ended = c->ended || rc == 0;
        if (rc == 0)
            full = false;
    }
    return CODEC_GOES_ON;
}

static enum codec_state run_xz(struct codec *c, const uint8_t *data, size_t len, lzma_action action,
                               put_function *put, void *ctx)
{
    lzma_stream *x = &c->is.xz;
    x->next_in = data;
    x->avail_in = len;
    while (x->avail_in > 0 || action == LZMA_FINISH) {
        x->next_out = c->out;
        x->avail_out = OUT_BYTES;
        lzma_ret rc = lzma_code(x, action);
        put(ctx, c->out, OUT_BYTES - x->avail_out);
        if (rc == LZMA_STREAM_END)
            return CODEC_GOES_ON;
        if (rc == LZMA_BUF_ERROR)
            return action == LZMA_FINISH ? CODEC_CUT : CODEC_GOES_ON;
        if (rc == LZMA_MEMLIMIT_ERROR || rc == LZMA_MEM_ERROR)
            return CODEC_TOO_LARGE;
        if (rc == LZMA_FORMAT_ERROR)
            return CODEC_GARBAGE; // the first stream's magic was seen: it is behind that
        if (rc != LZMA_OK)
            return CODEC_BROKEN;
    }
    return CODEC_GOES_ON;
}

enum codec_state codec_feed(struct codec *c, const void *data, size_t len,
                            void (*put)(void *ctx, const void *data, size_t len), void *ctx)
{
    if (c->state != CODEC_GOES_ON || len == 0)
        return c->state;
    if (c->kind == CODEC_GZIP)
        c->state = feed_gzip(c, data, len, put, ctx);
    else if (c->kind == CODEC_ZSTD)
        c->state = feed_zstd(c, data, len, put, ctx);
    else
        c->state = run_xz(c, data, len, LZMA_RUN, put, ctx);
    return c->state;
}

enum codec_state codec_end(struct codec *c, void (*put)(void *ctx, const void *data, size_t len),
                           void *ctx)
{
    if (c->state != CODEC_GOES_ON)
        return c->state;
    if (c->kind == CODEC_GZIP)
        c->state = drain_gzip(c, put, ctx);
    else if (c->kind == CODEC_ZSTD)
        c->state = c->open || !c->ended ? CODEC_CUT : CODEC_GOES_ON;
    else
        c->state = run_xz(c, NULL, 0, LZMA_FINISH, put, ctx);
    return c->state;
}
