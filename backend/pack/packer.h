// Inside the packer: what packer.c, head.c, flight.c and commit.c share.
//
// A file is head || tail frames. The head (head.c) stays plain in its blocks until the commit. Behind it each full frame
// flies (flight.c): submitted -> packed by a worker, in any order -> handed on, strictly in order, by whichever worker
// finishes the next one; `handing` sees to it that there is never more than one.
//
//     packed stream   head frames | padding |  filler  |  frames, trailer, seek table
//     offset          0                     reserve    front
//
// `reserve` is fixed when the head is full; the packed bytes of the first frames behind it, the filler, are kept in blocks
// up to `front`, from where on `next` gets them as they come. Nothing of that exists while the file is no longer than its
// head.
//
// Threads: the caller's members belong to the one caller. The hand-on's belong to whoever set `handing`, and to the caller
// while nothing is in flight; the lock, taken in between, orders the two.
#pragma once

#include "backend/pack/digest.h"
#include "backend/pack/frame.h"
#include "backend/pack/pack.h"
#include "backend/pack/seektable.h"

#include <pthread.h>
#include <stdatomic.h>

// What pg_dump's custom format rewrites at its end, the table of contents, grows with the number of tables: its head is
// held on to this length, as long as there is room for it.
#define PACKER_PGDMP_HEAD_BYTES ((uint64_t)64 << 20)

struct frame {
    struct packer *packer;
    struct block *block; // plain bytes, then packed ones
    uint64_t number;     // in the file
    size_t plain_len, packed_len;
    uint32_t checksum;
    uint8_t sha[SHA256_BYTES];
    bool done;
};

struct packer {
    const struct pack_env *env;
    struct sink *next;
    unsigned flight_max;

    // the caller's
    uint64_t size;
    uint64_t head_limit; // plain bytes
    struct frame *head;
    size_t head_count;
    struct block *tail; // the frame being filled
    size_t tail_len;
    bool pgdmp_asked; // whether the head goes on for pg_dump: once
    bool head_closed; // reserve and front are fixed, the head takes no more
    bool committed;

    // the hand-on's
    bool front_opened;
    uint64_t reserve, front;
    uint64_t filler_len; // of front - reserve
    struct block **filler;
    struct seektable behind; // entries of the frames behind the head
    struct digest_log *digests;

    atomic_uint_fast64_t packed; // plain bytes that left

    pthread_mutex_t lock; // members below are under it
    pthread_cond_t changed;
    struct err failed;          // the first failure
    struct frame *flight;       // a ring of flight_max
    uint64_t submitted, handed; // tail frames, counted
    bool handing;
    size_t batch_left; // jobs over the head
};

// --- packer.c ---

// Latches `err` unless something is latched already.
void packer_latch(struct packer *, const struct err *);
// 0, or the latched failure.
int packer_failed(struct packer *, struct err *);

// --- head.c ---

// Appends to the head, at most up to a frame's end; *out_taken may be 0 when the head turned out to be full.
int head_append(struct packer *, const uint8_t *bytes, size_t len, size_t *out_taken, struct err *);
uint64_t head_held_bytes(const struct packer *);
int head_rewrite(struct packer *, uint64_t off, const uint8_t *bytes, size_t len, struct err *);
int head_read(struct packer *, uint64_t off, uint8_t *out, size_t len, struct err *);
// Cuts the head to its first `len` bytes; undoes head_close. Nothing was submitted yet.
void head_truncate(struct packer *, uint64_t len);
// The head is full and more bytes come: measures it and fixes reserve and front, or finds that it goes on.
int head_close(struct packer *, struct err *);
// Packs the head's frames in place.
int head_pack(struct packer *, struct err *);
// Makes the packed head fill `reserve` but for 0 or at least 8 bytes: *out_gap.
int head_fit(struct packer *, uint64_t *out_gap, struct err *);

// --- flight.c ---

// Packs the frame's block in place, or only measures it. On a worker.
int frame_pack_block(struct frame *, const struct frame_params *, bool keep, struct err *);
// Room for one more frame in flight.
int flight_wait_room(struct packer *, struct err *);
// Takes the block, with the failure of an earlier frame at most latched.
void flight_submit(struct packer *, struct block *, size_t plain_len);
// Until nothing is in flight.
void flight_wait(struct packer *);
// Gives a block's first `len` bytes on, in pieces when they lie in the spool.
typedef int give_fn(struct packer *, const uint8_t *bytes, size_t len, struct err *);
int block_give(struct block *, size_t len, give_fn *, struct packer *, struct err *);
