// Inside the writers: what writer.c (one file's life), writer_bytes.c (its bytes) and writers.c (the table) share.
#pragma once

#include "backend/base/cancel.h"
#include "backend/complete.h"
#include "fs/draft.h"
#include "fs/writer.h"

#include <pthread.h>
#include <stdatomic.h>

// What a dump ends with lies in these.
#define WRITER_LAST_BYTES COMPLETE_LAST_BYTES

enum state { WRITING, COMMITTED, FAILED };

struct writer {
    struct writers *all;
    char *path;
    struct store_cond cond;
    char if_match[STORE_ETAG_BYTES];
    uint32_t flags;
    bool may_read_base;
    // read without a lock
    _Atomic uint64_t size, acked_bytes;
    _Atomic int64_t mtime_ns;
    atomic_bool stored;
    atomic_bool closed_clean; // nothing was written, and its last holder closed it alive
    struct cancel cancel;     // of the object's commit
    // 0, or the member that is being killed, whatever /proc shows of it by the time it is looked at
    _Atomic pid_t doomed_group;
    _Atomic int doomed_signal;
    // under all->lock
    unsigned handles;
    struct writer *next;
    bool listed;
    // changed under both locks
    uint64_t *inos; // that its handles' descriptors show
    size_t ino_count;
    pid_t *groups; // thread groups that opened or wrote it
    size_t group_count;

    pthread_mutex_t lock; // what follows is under it
    enum state state;
    struct object_writer *object;    // while WRITING one of the two: a stream,
    struct draft *draft;             // or a draft
    uint8_t last[WRITER_LAST_BYTES]; // of a stream: byte `off` is at last[off % WRITER_LAST_BYTES]
    bool last_lost;                  // they are not known
    bool written;                    // any byte or length was given since it was opened
    bool joined;                     // it was opened once more since it was begun
    bool holder_died;                // some holder failed while the file was empty
    bool mtime_set;                  // by utimens: a later write does not change it
    pid_t last_tid;                  // whose group is known to be in `groups`
    struct err failure;
    struct object_info info;
};

struct writers {
    struct writers_conf conf;
    pthread_mutex_t lock;
    pthread_cond_t fewer;
    struct writer *first; // those in state WRITING
    unsigned count;
    atomic_bool met_unseen;
};

// --- writers.c ---

void writers_unlist(struct writer *);
struct writer_look writer_look(const struct writer *);

// --- writer.c ---

void writer_set_mtime_now(struct writer *);
// Whoever opens or writes becomes a member. One that cannot be seen does not: its flush is judged as blind. With the lock,
// or before anybody else knows the writer.
void writer_add_member(struct writer *, pid_t tid);
void writer_add_group(struct writer *, pid_t group);       // 0: nobody
bool writer_is_member(const struct writer *, pid_t group); // with either lock
void writer_destroy(struct writer *);
// The session ended before the kernel released it: stores it only if nothing can be missing.
void writer_end_unreleased(struct writer *);

// --- writer_bytes.c: with the lock, in state WRITING; nothing is latched here ---

int bytes_begin(struct writer *, const struct writer_begin *, struct err *err);
int bytes_put(struct writer *, uint64_t off, const uint8_t *bytes, size_t len, struct err *err);
int bytes_get(struct writer *, uint64_t off, void *out, size_t len, struct err *err);
int bytes_truncate(struct writer *, uint64_t size, struct err *err);
// Whatever it was, it is a stream of its whole size afterwards, ready for object_writer_commit.
int bytes_finish(struct writer *, struct err *err);
enum seal_complete bytes_complete(struct writer *);
void bytes_drop(struct writer *);
