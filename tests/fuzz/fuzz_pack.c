// The seek table, the trailer and what they name, as pack_index_read and pack_decode meet them in a stranger's object.
// What is accepted must hold together: frames inside the stream, in order, adding up to the size.
#include "backend/pack/pack.h"
#include "backend/pack/trailer.h"
#include "tests/support/check_sink.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool holds)
{
    if (!holds)
        abort();
}

static void use_index(const struct pack_index *index, const uint8_t *data, size_t size)
{
    static struct pack_decoder *decoder;
    static uint8_t plain[PACK_FRAME_BYTES];
    uint64_t end = 0, plain_bytes = 0;
    if (!decoder)
        need(pack_decoder_new(&decoder, NULL) == 0);
    for (uint64_t i = 0; i < pack_index_frames(index); i++) {
        struct pack_span span = pack_index_span(index, i);
        need(span.packed_off >= end && span.packed_len <= size - span.packed_off);
        need(span.plain_len > 0 && span.plain_len <= PACK_FRAME_BYTES);
        end = span.packed_off + span.packed_len;
        plain_bytes += span.plain_len;
        // Decoding costs time, and the first frames are like the others.
        if (i < 4)
            (void)pack_decode(decoder, data + span.packed_off, &span, plain, NULL);
    }
    need(plain_bytes == pack_index_trailer(index)->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source *source = bytes_source_new(data, size);
    struct pack_index *index = NULL;
    if (pack_index_read(source, &index, NULL) == 0)
        use_index(index, data, size);
    pack_index_free(index);
    source_free(source);
    return 0;
}
