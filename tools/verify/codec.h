// Decoders of compressed streams, one contract for all: bytes in, bytes out to a function, bounded memory. One thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codec_kind { CODEC_NONE, CODEC_GZIP, CODEC_ZSTD, CODEC_XZ };

#define CODEC_MAGIC_BYTES 6 // so much of a stream tells its kind

enum codec_kind codec_recognise(const void *first, size_t len);
const char *codec_name(enum codec_kind);

enum codec_state {
    CODEC_GOES_ON,
    CODEC_CUT,       // ended in the middle of a stream
    CODEC_BROKEN,    // what was compressed does not decode
    CODEC_GARBAGE,   // something else stands behind the end
    CODEC_TOO_LARGE, // wants more memory than there is for it
};

struct codec;

struct codec *codec_new(enum codec_kind); // not CODEC_NONE; NULL: no memory
void codec_free(struct codec *);
// Once it is not CODEC_GOES_ON it stays what it is.
enum codec_state codec_feed(struct codec *, const void *data, size_t len,
                            void (*put)(void *ctx, const void *data, size_t len), void *ctx);
// Nothing comes any more. CODEC_GOES_ON: it was whole.
enum codec_state codec_end(struct codec *, void (*put)(void *ctx, const void *data, size_t len),
                           void *ctx);
