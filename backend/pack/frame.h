// One zstd frame: made, taken apart, measured. The only room that knows zstd and xxHash.
// Threads: a scratch belongs to the thread that got it.
#pragma once

#include "backend/base/blocks.h"
#include "backend/base/err.h"
#include "backend/pack/pack.h"

#include <stddef.h>
#include <stdint.h>

#define FRAME_MAGIC_PADDING 0x184D2A5Au
#define FRAME_MAGIC_TRAILER 0x184D2A5Bu
#define FRAME_MAGIC_SEEKTABLE 0x184D2A5Eu
#define FRAME_SKIP_HEADER 8 // magic, u32 length
// The low half of XXH64 over no bytes: what the seek table says of every skippable frame.
#define FRAME_CHECKSUM_EMPTY 0x51D8E999u

// What a thread needs to pack: a compressor and two buffers of BLOCK_BYTES, for plain bytes that lie in the spool and for
// the packed ones. Made at a thread's first frame, freed when the thread ends.
struct frame_scratch {
    void *compressor;
    uint8_t *plain, *packed;
};
int frame_scratch_get(struct frame_scratch **out, struct err *err);

struct frame_params {
    int level;
    bool own_checksum; // 4 bytes more; a way to another length
};

// Packs 1 to PACK_FRAME_BYTES bytes into scratch->packed.
int frame_pack(struct frame_scratch *, const struct frame_params *, const uint8_t *plain,
               size_t len, size_t *out_len, struct err *err);
// Unpacks what frame_pack made (a frame that is packed again at another level) into scratch->plain.
int frame_unpack(struct frame_scratch *, const uint8_t *packed, size_t packed_len, size_t plain_len,
                 struct err *err);
uint32_t frame_checksum(const void *plain, size_t len);

// The first 8 bytes of a skippable frame with `len` bytes of content.
void frame_put_skippable(uint8_t out[FRAME_SKIP_HEADER], uint32_t magic, uint32_t len);
