#include "backend/pack/frame.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>
#include <zstd_errors.h>

_Static_assert(ZSTD_COMPRESSBOUND(PACK_FRAME_BYTES) == BLOCK_BYTES, "a packed frame fits a block");

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static bool scratch_key_there;

static void scratch_free(void *p)
{
    struct frame_scratch *s = p;
    if (!s)
        return;
    ZSTD_freeCCtx(s->compressor);
    free(s->plain);
    free(s->packed);
    free(s);
}

static void make_key(void)
{
    scratch_key_there = pthread_key_create(&scratch_key, scratch_free) == 0;
}

int frame_scratch_get(struct frame_scratch **out, struct err *err)
{
    pthread_once(&scratch_once, make_key);
    struct frame_scratch *s = scratch_key_there ? pthread_getspecific(scratch_key) : NULL;
    if (!s) {
        s = scratch_key_there ? calloc(1, sizeof(*s)) : NULL;
        if (s) {
            s->compressor = ZSTD_createCCtx();
            s->plain = malloc(BLOCK_BYTES);
            s->packed = malloc(BLOCK_BYTES);
        }
        if (!s || !s->compressor || !s->plain || !s->packed ||
            pthread_setspecific(scratch_key, s) != 0) {
            scratch_free(s);
            return err_set(err, ENOMEM, "no memory for a compressor");
        }
    }
    *out = s;
    return 0;
}

int frame_pack(struct frame_scratch *s, const struct frame_params *params, const uint8_t *plain,
               size_t len, size_t *out_len, struct err *err)
{
    assert(len > 0 && len <= PACK_FRAME_BYTES);
    ZSTD_CCtx *c = s->compressor;
    ZSTD_CCtx_reset(c, ZSTD_reset_session_and_parameters);
    ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, params->level);
    ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, params->own_checksum);
    size_t n = ZSTD_compress2(c, s->packed, BLOCK_BYTES, plain, len);
    if (ZSTD_isError(n))
        return err_set(err, ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation ? ENOMEM : EIO,
                       "compress %zu bytes at level %d: %s", len, params->level,
                       ZSTD_getErrorName(n));
    *out_len = n;
    return 0;
}

int frame_unpack(struct frame_scratch *s, const uint8_t *packed, size_t packed_len,
                 size_t plain_len, struct err *err)
{
    size_t n = ZSTD_decompress(s->plain, BLOCK_BYTES, packed, packed_len);
    if (ZSTD_isError(n) || n != plain_len)
        return err_set(err, EIO, "take a frame of this file's head apart again: %s",
                       ZSTD_isError(n) ? ZSTD_getErrorName(n) : "wrong length");
    return 0;
}

uint32_t frame_checksum(const void *plain, size_t len)
{
    return (uint32_t)XXH64(plain, len, 0);
}

void frame_put_skippable(uint8_t out[FRAME_SKIP_HEADER], uint32_t magic, uint32_t len)
{
    put_le32(out, magic);
    put_le32(out + 4, len);
}

// --- Reading ---

struct pack_decoder {
    ZSTD_DCtx *context;
};

int pack_decoder_new(struct pack_decoder **out, struct err *err)
{
    struct pack_decoder *d = malloc(sizeof(*d));
    if (d)
        d->context = ZSTD_createDCtx();
    if (!d || !d->context) {
        free(d);
        return err_set(err, ENOMEM, "no memory for a decompressor");
    }
    *out = d;
    return 0;
}

void pack_decoder_free(struct pack_decoder *d)
{
    if (!d)
        return;
    ZSTD_freeDCtx(d->context);
    free(d);
}

int pack_decode(struct pack_decoder *d, const void *packed, const struct pack_span *span,
                uint8_t *out_plain, struct err *err)
{
    // zstd would as well decode several frames in a row, or skip one: the span is one frame, whole.
    unsigned long long content = ZSTD_getFrameContentSize(packed, span->packed_len);
    if (ZSTD_findFrameCompressedSize(packed, span->packed_len) != span->packed_len ||
        content != span->plain_len)
        return err_set(err, EBADMSG,
                       "the %u bytes at packed offset %llu are not the zstd frame of %u bytes that "
                       "the seek table names",
                       span->packed_len, (unsigned long long)span->packed_off, span->plain_len);
    size_t n =
        ZSTD_decompressDCtx(d->context, out_plain, span->plain_len, packed, span->packed_len);
    if (ZSTD_isError(n) || n != span->plain_len)
        return err_set(err, EBADMSG, "the zstd frame at packed offset %llu does not decode: %s",
                       (unsigned long long)span->packed_off,
                       ZSTD_isError(n) ? ZSTD_getErrorName(n) : "wrong length");
    if (frame_checksum(out_plain, n) != span->checksum)
        return err_set(err, EBADMSG,
                       "the zstd frame at packed offset %llu has not the checksum that the seek "
                       "table names",
                       (unsigned long long)span->packed_off);
    return 0;
}
