// The pack: plain bytes as the zstd seekable format (zstd contrib/seekable_format, v0.1.0) with padding, our trailer and
// the seek table: backend/FORMAT.md section 3.
#pragma once

#include "backend/base/blocks.h"
#include "backend/base/err.h"
#include "backend/base/workers.h"
#include "backend/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACK_FRAME_BYTES ((size_t)1 << 20)
#define PACK_DIGEST_BYTES 32
#define PACK_SALT_BYTES 32

// --- Writing ---

struct pack_env { // shared by all writers of a daemon; outlives them
    struct blocks *blocks;
    struct workers *packers;
    unsigned packer_count;
    int level; // 1..19
    // plain bytes held back, a multiple of 1 MiB, at least 1 MiB; 0: nothing is held back beyond what next's front_min
    // demands
    uint64_t head_bytes;
};

// Wraps `next`, whose ownership it takes (also freed on failure). It is not a sink for others to wrap: besides appending
// it takes rewrites of the held-back head.
struct packer;
int packer_new(const struct pack_env *, struct sink *next, struct packer **out, struct err *err);
// Appends. Waits for this file's own frames and for memory, as blocks.h says. Latches failures.
int packer_write(struct packer *, const void *bytes, size_t len, struct err *err);
// Rewrites bytes below packer_size. -EOPNOTSUPP (nothing latched, nothing changed) when any of them is no longer held:
// neither in the head nor in the frame being filled.
int packer_rewrite(struct packer *, uint64_t off, const void *bytes, size_t len, struct err *err);
// Plain bytes below packer_size. -EOPNOTSUPP (nothing latched, `out` is unchanged) as packer_rewrite.
int packer_read(struct packer *, uint64_t off, void *out, size_t len, struct err *err);
// Makes the file `size` bytes long, at most packer_size; what is written and rewritten then goes on from there, as if it
// had never been longer. -EOPNOTSUPP (nothing latched, nothing changed) when a frame that left would have to go: it cuts
// inside the frame being filled and, as long as no frame left, anywhere.
int packer_truncate(struct packer *, uint64_t size, struct err *err);
uint64_t packer_size(const struct packer *);
// Length of the head, which stays held until the commit.
uint64_t packer_head_held(const struct packer *);
// Plain bytes of frames that left for `next` (sealed, maybe sent); for status. Any thread.
uint64_t packer_packed(const struct packer *);
// Waits until every full frame was handed to next; returns the latched failure.
int packer_sync(struct packer *, struct err *err);

struct pack_trailer {
    uint64_t size;
    uint8_t digest[PACK_DIGEST_BYTES];
    uint8_t salt[PACK_SALT_BYTES];
    uint8_t complete; // enum seal_complete's numbers
    char *path;       // first written under; malloc'ed when read
    char *version;    // of the tool; malloc'ed when read
};
// Packs what is left, writes trailer and seek table, then the front, and commits `next`. Of `trailer` size and digest are
// outputs, the rest is written.
int packer_commit(struct packer *, struct pack_trailer *trailer, struct err *err);
void packer_free(struct packer *); // and next: aborts unless committed

// --- Reading ---

// Over a stream of packed bytes (borrowed, must outlive it). Reads trailer and seek table, holds them against each other
// and every rule of FORMAT.md section 3; -EUCLEAN otherwise.
struct pack_index;
int pack_index_read(struct source *packed, struct pack_index **out, struct err *err);
void pack_index_free(struct pack_index *);
const struct pack_trailer *pack_index_trailer(const struct pack_index *);

struct pack_span {
    uint64_t packed_off;
    uint32_t packed_len;
    uint32_t plain_len;
    uint32_t checksum; // low half of XXH64
};
uint64_t
pack_index_frames(const struct pack_index *); // frames with plain bytes: div_up(size, 1 MiB)
struct pack_span pack_index_span(const struct pack_index *, uint64_t frame);

// Decodes one frame and checks length and checksum. -EBADMSG. `scratch` is a struct pack_decoder of the calling thread.
struct pack_decoder;
int pack_decoder_new(struct pack_decoder **out, struct err *err);
void pack_decoder_free(struct pack_decoder *);
int pack_decode(struct pack_decoder *scratch, const void *packed, const struct pack_span *,
                uint8_t *out_plain, struct err *err);

// Frame digests -> the digest of FORMAT.md section 3.4, for verify and for tests: frames in order.
struct pack_digest;
struct pack_digest *pack_digest_new(void);
void pack_digest_frame(struct pack_digest *, const uint8_t frame_sha256[32]);
void pack_digest_final(struct pack_digest *, uint8_t out[PACK_DIGEST_BYTES]);
void pack_digest_free(struct pack_digest *);
