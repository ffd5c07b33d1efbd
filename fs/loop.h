// The loop of a FUSE session: a bounded set of threads that read the kernel's requests and handle them. In place of libfuse's
// own, so that a call can be answered while its handler is still busy (fs/interrupts.h).
#pragma once

#include "backend/base/err.h"
#include "fs/interrupts.h"

struct fuse_session;

struct loop_conf {
    struct fuse_session *fuse; // mounted
    unsigned threads; // at most; started as they are needed, each has a buffer for one request
    // as interrupts_conf has it
    void (*killed)(void *ctx, uint32_t opcode, uint64_t ino, pid_t group, int signal);
    void *ctx;
};

struct loop;
int loop_new(const struct loop_conf *, struct loop **out, struct err *err);
void loop_free(struct loop *); // not running, or joined

// Serves until the file system is unmounted, its connection is aborted, or loop_stop. Handlers may still be busy then.
int loop_run(struct loop *, struct err *err);
// Waits until all handlers are through.
void loop_join(struct loop *);
// Once for all; any thread.
void loop_stop(struct loop *);
