// The inside of the reader: what its files share, and the threads that fetch and decode frames.
//
// A job is one ranged GET: consecutive frames that were missing, each of which it put into the cache as loading. Two
// queues: frames that somebody waits for, and frames read ahead. A job of the second moves to the first when somebody
// comes to wait for one of its frames. A job that nobody wants any more (its handle was closed, or sought, and nobody
// waits) is given up before it is sent.
//
// Memory: a downloader has room of its own for one frame and its packed bytes, accounted at the start, so that a frame
// somebody waits for is always fetched; what goes beyond that gives way: a group is cut to the blocks there are.
//
// One lock over all of it. It is held for look-ups and lists only, never across the store, blocks_reserve or block_get
// (which may call reclaim). Order: this lock, then the pool's.
#pragma once

#include "fs/frames.h"
#include "fs/reader.h"
#include "fs/window.h"

#include <pthread.h>
#include <stdatomic.h>

struct job;

struct job_queue {
    struct job *first, *last;
};

struct reader { // one object, open
    // fixed
    uint64_t owner; // of its frames
    struct object_reader *object;
    char *path, *etag;
    // under the lock
    unsigned handles;
    bool failed;      // do not keep it when the last handle goes
    uint64_t idle_at; // readers.ticks when it did
    struct reader *next;
};

struct read_handle {
    // fixed
    struct readers *readers;
    struct reader *reader;
    uint64_t direct_owner; // of what it fetches for O_DIRECT reads
    // under the lock
    unsigned refs; // its user and its jobs
    bool closed;
    unsigned epoch; // changes when it seeks
    struct window window;
};

struct readers {
    // fixed
    struct store *store;
    const struct identities *identities;
    struct blocks *blocks;
    pthread_t *threads;
    unsigned thread_count;
    uint64_t reserved_bytes;
    atomic_uint_fast64_t fetched_bytes;
    pthread_mutex_t lock;
    // under the lock
    pthread_cond_t work;
    bool stop;
    struct frames *frames;
    struct job_queue wanted, ahead;
    struct reader *open; // idle ones too
    uint64_t ticks, owners;
    unsigned handles, running; // handles; those with a window above 1
};

// All under the lock.

// The frame is missing and somebody will wait for it. -ENOMEM.
int downloads_want(struct read_handle *, uint64_t owner, uint64_t number, struct err *err);
// Frames [first, first + count) that are missing, in groups. Nothing comes of it when there is no memory.
void downloads_ahead(struct read_handle *, uint64_t owner, uint64_t first, uint64_t count);
// Somebody is about to wait for this loading frame.
void downloads_hurry(struct readers *, struct frame *);

// Not under the lock.
int downloads_start(struct readers *, unsigned threads, struct err *err);
// What is queued is given up, what runs is waited for.
void downloads_stop(struct readers *);

// readers.c: gives up a reference; may let go of the lock and take it again.
void read_handle_unref(struct read_handle *);
