// The daemon's memory, in blocks. One pool holds all of `[limits] memory`: frames being filled and compressed, heads held
// back, parts being uploaded, frames read. A block is one frame of 1 MiB or what zstd makes of it at worst. When no
// memory is free a block is a slot of the spool, an unlinked file bounded by spool_max and spool_keep_free.
//
// Nobody ever waits for a block whose release needs an application to do something (another writer's head, another
// writer's half-filled part: think of `tee` to twelve files). Two kinds of blocks come back by themselves:
//     uploading   held by a part that the uploaders are sending
//     packing     held by a frame that waits for, or is in, a worker
//
//     who asks               memory free   else waits while            else
//     BLOCK_WRITER (fuse)    takes it      uploading or packing > 0    a spool slot
//     BLOCK_WORKER           takes it      uploading > 0               a spool slot   (a worker never waits for workers)
//     BLOCK_HEAD             takes it while heads hold less than half of the pool; else a spool slot at once
//     BLOCK_DRAFT            never         never                       a spool slot (a file that is changed in any pattern)
//     BLOCK_CACHE            takes it      never                       NULL (the reader does without)
// Before anyone waits or spools, the reclaim hook is asked to drop cached frames.
// When the spool is full too: waits while uploading (or, for a writer, packing) slots exist, else ENOSPC, whose sentence
// names spool, spool_max and spool_keep_free.
//
// Threads: any. A block has one owner at a time.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// 1 MiB + 4 KiB = ZSTD_compressBound(1 MiB), a whole number of pages.
#define BLOCK_BYTES ((size_t)1052672)

struct blocks;
struct block;

enum block_user { BLOCK_WRITER, BLOCK_WORKER, BLOCK_HEAD, BLOCK_DRAFT, BLOCK_CACHE };
enum block_phase { BLOCK_HELD, BLOCK_PACKING, BLOCK_UPLOADING };

struct blocks_conf {
    uint64_t memory_bytes; // rounded down to whole blocks, at least 8
    const char *spool_dir; // opened when first needed; copied
    uint64_t spool_max_bytes;
    unsigned spool_keep_free_percent;
};

struct blocks_usage {
    uint64_t memory_bytes, memory_peak_bytes;
    uint64_t spool_bytes, spool_peak_bytes;
};

int blocks_new(const struct blocks_conf *, struct blocks **out, struct err *err);
void blocks_free(struct blocks *); // asserts that every block came back
struct blocks_usage blocks_usage(struct blocks *);
// `reclaim` frees one or more cached blocks and returns true, or returns false. Called without the pool's lock.
void blocks_set_reclaim(struct blocks *, bool (*reclaim)(void *ctx), void *ctx);

// The table above. 0, or -ENOSPC / -EIO of the spool; BLOCK_CACHE gives -ENOMEM at once instead.
int block_get(struct blocks *, enum block_user, struct block **out, struct err *err);
void block_put(struct block *); // accepts NULL
void block_set_phase(struct block *, enum block_phase);

// The bytes of a block in memory (BLOCK_BYTES, page-aligned), or NULL when it is in the spool: then read and write.
uint8_t *block_memory(struct block *);
int block_read(struct block *, size_t off, void *out, size_t len, struct err *err);
int block_write(struct block *, size_t off, const void *bytes, size_t len, struct err *err);

// Accounts memory that is allocated elsewhere (a reader's sealed bytes): false when there is no room now.
bool blocks_reserve(struct blocks *, uint64_t bytes);
void blocks_unreserve(struct blocks *, uint64_t bytes);
