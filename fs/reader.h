// Files open for reading: frames fetched, decoded and kept, with bounded read-ahead.
//
// A reader is shared by all handles of one object (path and ETag); a read_handle is one open file with its own idea of
// what comes next. Reading in order runs ahead: a window that doubles from 1 frame up to a bound that follows from the
// memory budget and `downloads`; frames in it are fetched in groups by the downloaders, several ranged GETs at a time,
// and decoded there in parallel. A seek resets the window; a random 64 KiB read fetches one frame.
// Decoded frames live in BLOCK_CACHE blocks, in one LRU over all readers, which gives way when writers need memory. With
// no block to be had a read still works: it decodes into memory of its own downloader, reserved at the start.
//
// A frame that several wait for is fetched once. A failed GET fails only reads that need its frames, and is not
// remembered: the next read tries again. An object stays open for a while after its last handle, with its frames.
//
// Threads: any; one lock over the set, for look-ups only, never held across the store.
#pragma once

#include "backend/base/blocks.h"
#include "backend/base/err.h"
#include "backend/object.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct readers; // the daemon's one set of readers: cache, downloaders
struct read_handle;

struct readers_conf { // all borrowed, and outlive the readers
    struct store *store;
    const struct identities *identities;
    struct blocks *blocks;
    unsigned downloads;    // threads
    uint64_t memory_bytes; // the whole budget: the window's bound follows from it
};
// Starts threads: after the fork. Sets the pool's reclaim hook.
int readers_new(const struct readers_conf *, struct readers **out, struct err *err);
void readers_free(struct readers *); // every handle was closed
// Bytes fetched from the store so far, for status.
uint64_t readers_fetched(struct readers *);

// Errors as of object_open.
int reader_open(struct readers *, const char *path, const char *etag, struct read_handle **out,
                struct err *err);
const struct object_reader *reader_object(const struct read_handle *);

// Bytes that stay where they were decoded, for whoever writes them on at once.
#define READ_PIECES_MAX 5 // one more than the frames in READ_BYTES_MAX
#define READ_BYTES_MAX ((size_t)4 << 20)
struct read_pieces {
    unsigned count;
    struct iovec bytes[READ_PIECES_MAX]; // not to be written to
    // reader.c's own
    struct read_handle *handle;
    bool direct;
    struct frame *frames[READ_PIECES_MAX];
};
// Up to `len` (READ_BYTES_MAX) bytes at `off`, fewer only at the end of the file; reader_put gives them back. -EBADMSG
// and the rest as of object_read_frames, but EIO when the object was replaced meanwhile; the sentence names object and
// plain offset. `direct` (O_DIRECT): from what was fetched for direct reads of this very handle, each frame once per
// pass; never from the cache that others share.
int reader_get(struct read_handle *, uint64_t off, size_t len, bool direct, struct read_pieces *out,
               struct err *err);
// The handle may be closed already: whoever was answered may close before this is called.
void reader_put(struct read_pieces *);
// Does not wait for what is being read ahead.
void reader_close(struct read_handle *);
