// The cache of decoded frames: a table by owner and number, and one LRU over all of them.
//
//     state     in the table   in the LRU   bytes     becomes
//     loading   yes            no           none      ready, failed
//     ready     yes            yes          a block   out of the table when evicted, dropped or purged
//     ready     no             no           lent      (frames_lend: bytes of the loader's own, for those who wait)
//     failed    no             no           none      -
//
// A frame lives while it is in the table or pinned. Who loads it holds a pin, who waits for it or copies from it too;
// a pinned frame is not evicted. frame_read counts what was given out: a frame that a reader in order has read to
// its end is spent, goes to the cold end and is the first whose block is used again.
//
// Threads: none of its own; every call is under its owner's lock. `settled` is for waiting on that lock.
#pragma once

#include "backend/base/blocks.h"
#include "backend/base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_state { FRAME_LOADING, FRAME_READY, FRAME_FAILED };

struct frame {
    uint64_t owner, number;
    enum frame_state state;
    const uint8_t *bytes; // FRAME_READY
    uint32_t len;
    unsigned pins;
    bool again;             // FRAME_FAILED: not this frame's own failure; ask for it alone
    struct err err;         // FRAME_FAILED and not again
    pthread_cond_t settled; // loading no more; of a lent frame: a pin was given back
    void *loader;           // FRAME_LOADING: the owner's
    // below: frames.c's own
    struct block *block;
    bool in_table, spent;
    uint64_t read_bytes;
    struct frame *next_in_bucket;
    struct frame *colder, *hotter;
};

struct frames;

// `capacity`: frames with blocks, for frames_full; it is the caller who keeps to it.
int frames_new(size_t capacity, struct frames **out, struct err *err);
void frames_free(struct frames *); // no frame is loading or pinned
size_t frames_capacity(const struct frames *);
// Blocks in the cache and granted to loaders.
size_t frames_blocks(const struct frames *);

struct frame *frames_find(struct frames *, uint64_t owner, uint64_t number);
// A new frame, loading, pinned once for its loader. NULL: no memory.
struct frame *frames_add(struct frames *, uint64_t owner, uint64_t number, uint32_t len,
                         void *loader);

// A block for a frame to be loaded, out of the cache: of a spent frame, or (`coldest`) of the coldest that nobody reads.
struct block *frames_reuse(struct frames *, bool coldest);
// May the loader take one more block from the pool? If so it counts from now on.
bool frames_grant(struct frames *);
// A granted or reused block that is not used after all: no longer counted; the caller puts it back.
void frames_ungrant(struct frames *);
// Takes a block out of the cache for good (memory is needed elsewhere): the caller puts it back. NULL: none.
struct block *frames_reclaim(struct frames *);

// The ends of loading. Each gives up the loader's pin, except frames_lend.
void frames_ready(struct frames *, struct frame *, struct block *);
void frames_failed(struct frames *, struct frame *, const struct err *); // NULL: again
void frames_lend(struct frames *, struct frame *, const uint8_t *bytes); // until pins == 1

void frames_pin(struct frame *);
void frames_unpin(struct frames *, struct frame *);
// `len` bytes of it were given out. `in_order`: by a reader that will not come back.
void frames_read(struct frames *, struct frame *, size_t len, bool in_order);
// Ready, with bytes of its loader's own?
bool frames_is_lent(const struct frame *);
// Read to its end in order?
bool frames_spent(const struct frame *);
// Out of the table; its block goes back when the last pin does.
void frames_drop(struct frames *, struct frame *);
// Drops all ready frames of one owner.
void frames_purge(struct frames *, uint64_t owner);
