// The end of the daemon has an end: a take-down that hangs, since the store answers never, becomes an exit. What it leaves in
// the store is known from the journal and cleaned up by the next mount, as after a kill.
// One for the process. Threads: the session's, which takes down.
#pragma once

#include <stdint.h>

// From now on it may take that long; then `last` (may be NULL) is called, and the process exits with 1. Once.
void takedown_begin(uint64_t within_ms, void (*last)(void *ctx), void *ctx);
// What `last` needs is there no more; it is not called from now on.
void takedown_forget(void);
// All is down. Nothing to do if it never began.
void takedown_done(void);
