// Files being written. All handles of a path on one mount are one file: one writer.
//
//     state       write, truncate    flush of the last holder     last release        leaves the table
//     WRITING     taken              commits                      commits             -
//     COMMITTED   EPERM              0                            -                   at the commit
//     FAILED      the first failure  the first failure            -                   at the failure
//
// Before the commit nobody else sees the file, afterwards everybody sees all of it. The first failure is latched and
// nothing is stored. A writer (a process that opened or wrote the file) that dies of a signal or exits non-zero with the
// file open is a failure.
//
// Threads: any. One lock per writer, held while its data moves and its commit runs; what `ls` needs is atomic.
#pragma once

#include "backend/object.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct writers; // the table: files being written on this mount, by path
struct writer;

struct writers_conf {
    const struct object_env *object; // outlives the table
    struct store *store;
    bool publish_failed; // a dying writer's file is stored all the same
    // The outcome, once for each writer; called with the writer's lock held: do not call back.
    void (*committed)(void *ctx, const char *path, const struct object_info *,
                      const struct object_key *);
    void (*failed)(void *ctx, const char *path, const struct err *);
    void *ctx;
};

int writers_new(const struct writers_conf *, struct writers **out, struct err *err);
// What is still being written is aborted. All handles must have been released or abandoned.
void writers_free(struct writers *);

// Starts a file and its first handle, opened by thread `tid`. `ino` is what its descriptors show. -EBUSY: it is being
// written already (then writers_join).
int writers_begin(struct writers *, const char *path, uint64_t ino, const struct store_cond *,
                  pid_t tid, struct writer **out, struct err *err);
// One more handle of the file that is being written under `path`, or NULL.
struct writer *writers_join(struct writers *, const char *path, pid_t tid);
bool writers_is_writing(struct writers *, const char *path);
bool writers_is_writing_below(struct writers *, const char *dir);

// A member is about to die of `signal` in the middle of a call on the file `ino`, whose result it will not hear: nothing is
// stored, unless the request that stores it was sent already. Does not wait; the failure is latched by whoever looks next.
void writers_doom(struct writers *, uint64_t ino, pid_t group, int signal);

struct writer_look { // of a file being written
    uint64_t size, acked_bytes;
    struct timespec mtime;
};
bool writers_look(struct writers *, const char *path, struct writer_look *out);
// Calls `each` for every file being written; for listings and status.
void writers_each(struct writers *,
                  void (*each)(void *ctx, const char *path, const struct writer_look *), void *ctx);
unsigned writers_count(struct writers *);
// Waits until no file is being written, at most `deadline_ms`. Returns how many still are.
unsigned writers_drain(struct writers *, uint64_t deadline_ms);

int writer_write(struct writer *, pid_t tid, uint64_t off, const void *bytes, size_t len,
                 struct err *err);
int writer_truncate(struct writer *, uint64_t size, struct err *err);
void writer_set_mtime(struct writer *, struct timespec mtime);
int writer_flush(struct writer *, pid_t tid, struct err *err);
// Waits until what was written in full parts is stored; it does not promise what is not committed.
int writer_sync(struct writer *, struct err *err);
// One handle less; the last one commits what is left, and frees.
void writer_release(struct writer *);
// One handle less that never reached who opened it: does not make an empty file.
void writer_drop(struct writer *);
// One handle less of a session that ended: nothing is committed here, writers_free judges what is left.
void writer_abandon(struct writer *);
