// One FUSE session: mounted, served, drained, unmounted.
#pragma once

#include "fs/stack.h"

// The signals a session waits for are blocked in every thread: call it before any thread starts.
void session_block_signals(void);

// Until session_run takes over, SIGTERM and SIGINT end the process at once: nothing is mounted yet. Guards come in pairs.
int session_guard_begin(struct err *err);
void session_guard_end(void);

// Mounts at `point` and serves until it is unmounted, or SIGTERM or SIGINT came and what was being written ended (at most
// [mount] drain_deadline). The take-down has begun when it returns (fs/takedown.h). `ready` is called once, from another
// thread, when the kernel has taken the mount up.
int session_run(struct stack *, const char *point, void (*ready)(void *ctx), void *ctx,
                struct err *err);
