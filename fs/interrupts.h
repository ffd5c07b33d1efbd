// Calls whose callers are dying: they are answered with EINTR within a second, whatever their handlers still wait for.
//
// Who waits for an answer of FUSE cannot be killed. So every call is registered while its handler runs, and the callers of
// those that take long are looked at twice a second in /proc/TID/status. The kernel's own INTERRUPT is not used: it comes
// once, for any signal (SIGALRM, SIGCHLD), not for a caller that waits in its last close, and is not read while all threads
// are busy. A handler goes on after its call was answered for it: its own answer is then ENOENT to the kernel, and what the
// call used (its handle, its inode) is let go only when it is through.
//
// Threads: any; one of its own looks.
#pragma once

#include "backend/base/err.h"

#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum caller_end {
    CALLER_STAYS, // nothing is pending that would end it
    CALLER_LEAVES, // its thread is ended by its own process (exit, exec): what it writes still counts
    CALLER_KILLED, // by a signal
};

// What /proc/TID/status says. Only for CALLER_KILLED: *out_signal. CALLER_LEAVES may still prove to be CALLER_KILLED: a
// signal to another thread of the process is not seen here.
enum caller_end caller_judge(const char *status, pid_t *out_group, int *out_signal);

struct interrupts_conf {
    int fd;         // the session's
    unsigned slots; // threads that handle calls
    // A caller is being killed, and its call is about to be answered. Called before, from the thread that looks.
    void (*killed)(void *ctx, uint32_t opcode, uint64_t ino, pid_t group, int signal);
    void *ctx;
};

struct interrupts;
int interrupts_new(const struct interrupts_conf *, struct interrupts **out, struct err *err);
void interrupts_free(struct interrupts *); // all slots are left

// A message of the kernel, as it stands in the buffer it was read into.
struct message {
    struct message *next;
    size_t len;
    struct fuse_in_header header; // and what follows it
};

// The thread `slot` begins to handle a call.
void interrupts_enter(struct interrupts *, unsigned slot, const struct fuse_in_header *);
// It is through. Returns messages that waited for that, to be handled now and freed; or NULL.
struct message *interrupts_leave(struct interrupts *, unsigned slot);
// A message that ends what a call still uses that was answered before it was through? Then it is kept (and copied).
bool interrupts_keep(struct interrupts *, const struct fuse_in_header *, size_t len);
