// Files being written. All handles of a path on one mount are one file: one writer, until it is stored.
//
//     state       write, truncate    flush of the last holder     last release        leaves the table
//     WRITING     taken              commits                      commits             -
//     COMMITTED   -ESTALE            0                            -                   at the commit
//     FAILED      the first failure  the first failure            -                   at the failure
//
// Before the commit nobody else sees the file, afterwards everybody sees all of it. The first failure is latched and
// nothing is stored. A writer (a process that opened or wrote the file) that dies of a signal or exits non-zero with the
// file open is a failure. What is written through a handle after the commit is the next writer's: a new one over the
// stored object.
//
// Two ways, chosen when it begins. A stream packs, seals and sends while it is written: bytes in order, rewrites in the
// held-back head only. A draft (draft.h) is kept in the spool, takes any pattern, and is streamed up at its commit; one that
// was written in order goes on as a stream when the spool is full.
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

struct writer_end { // what became of one; borrowed
    const char *path;
    const uint64_t *inos; // that its handles were opened by
    size_t ino_count;
    const char *replaced;           // ETag of what stood there when it began, or NULL
    const struct object_info *info; // stored
    const struct object_key *key;
    const struct err *failure; // or not stored
};

struct writers_conf {
    const struct object_env *object; // outlives the table
    struct store *store;
    bool publish_failed; // a dying writer's file is stored all the same
    // The outcome, once for each writer; called with the writer's lock held: do not call back.
    void (*committed)(void *ctx, const struct writer_end *);
    void (*failed)(void *ctx, const struct writer_end *);
    void *ctx;
};

int writers_new(const struct writers_conf *, struct writers **out, struct err *err);
// What is still being written is aborted. All handles must have been released or abandoned.
void writers_free(struct writers *);

struct writer_begin {
    const char *path;
    uint64_t ino; // what its first handle's descriptors show
    pid_t tid;    // the thread that opens or changes it
    pid_t opener; // the thread group that opened the handle before, or 0
    bool changed; // begun by a change: to be stored even if nothing follows
    struct store_cond cond;
    uint32_t flags; // of the record, without completeness
    bool as_draft;
    // of a draft: what stands there now, or NULL; taken over, also on failure
    struct object_reader *base;
    bool may_read_base; // readers of the draft may see the base's bytes
};
// Starts a file and its first handle. -EBUSY: it is being written already (then writers_join).
int writers_begin(struct writers *, const struct writer_begin *, struct writer **out,
                  struct err *err);
// One more handle of the file that is being written under `path`, or NULL. `ino` 0: of no inode (setattr without a handle).
// `opener` as above.
struct writer *writers_join(struct writers *, const char *path, uint64_t ino, pid_t tid,
                            pid_t opener);
// What the file that is being written under `path` replaces, "" for a new one. False: nothing is being written.
bool writers_base(struct writers *, const char *path, char out_etag[STORE_ETAG_BYTES]);
// writers_join, if that is what it replaces still.
struct writer *writers_join_over(struct writers *, const char *path, const char *base, uint64_t ino,
                                 pid_t tid, pid_t opener);
bool writers_is_writing(struct writers *, const char *path);
bool writers_is_writing_below(struct writers *, const char *dir);
// An empty file is stored by its release, which comes a moment after the close that its program saw return. Waits for those
// at `path` and below it, not long.
void writers_settle(struct writers *, const char *path);
// A process is about to die of `signal` in the middle of a call on the file `ino`, whose result it will not hear. If it is a
// writer, or the call is a write (`writes`), nothing is stored, unless the request that stores it was sent already. Does not
// wait; the failure is latched by whoever looks next.
void writers_doom(struct writers *, uint64_t ino, pid_t group, int signal, bool writes);

struct writer_look { // of a file being written
    uint64_t size, acked_bytes;
    struct timespec mtime;
};
bool writers_look(struct writers *, const char *path, struct writer_look *out);
// Calls `each` for every file being written; for listings and status.
void writers_each(struct writers *,
                  void (*each)(void *ctx, const char *path, const struct writer_look *), void *ctx);
unsigned writers_count(struct writers *);
// Did anybody close a file who could not be seen (another PID namespace, no CAP_SYS_PTRACE)?
bool writers_met_unseen(struct writers *);
// Waits until no file is being written, at most `deadline_ms`. Returns how many still are.
unsigned writers_drain(struct writers *, uint64_t deadline_ms);

// It was stored: what is written from now on needs a new writer. Never false again.
bool writer_is_stored(const struct writer *);
// -ESTALE, nothing done: it was stored meanwhile. WRITER_APPEND as `off`: at the end, wherever that is.
#define WRITER_APPEND UINT64_MAX
int writer_write(struct writer *, pid_t tid, uint64_t off, const void *bytes, size_t len,
                 struct err *err);
// What is not stored yet: up to `len` bytes, fewer at the end. -EBUSY: a stream, and they were sent already; -EACCES: they
// are the base's; -ESTALE: it was stored meanwhile. `as_member` unless the handle may write: only for a process that
// opened it for writing or wrote it, else -EBUSY.
int writer_read(struct writer *, pid_t tid, bool as_member, uint64_t off, void *out, size_t len,
                size_t *out_len, struct err *err);
int writer_truncate(struct writer *, uint64_t size, struct err *err); // -ESTALE as above
void writer_set_mtime(struct writer *, struct timespec mtime);
int writer_flush(struct writer *, pid_t tid, struct err *err);
// For a change without a handle (truncate by name): commits, unless somebody else has joined meanwhile. What that one writes
// is not whole yet; its close commits both.
int writer_commit(struct writer *, struct err *err);
// Waits until what was written in full parts is stored; it does not promise what is not committed.
int writer_sync(struct writer *, struct err *err);
// One handle less; the last one commits what is left, and frees.
void writer_release(struct writer *);
// One handle less that never reached who opened it: does not make an empty file.
void writer_drop(struct writer *);
// One handle less of a session that ended: nothing is committed here, writers_free judges what is left.
void writer_abandon(struct writer *);
