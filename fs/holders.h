// Who holds a file: from /proc. FUSE calls flush for every close of every duplicate of a descriptor; which of them is the
// last of the processes that opened or wrote the file stands only in /proc/PID/fdinfo.
//
// Reads /proc afresh at each call; no state. Threads: any. Nothing here waits for a caller that is inside execve, which may
// wait for us (but holders_ending_signal, which says so).
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// The thread group of a thread (FUSE gives thread ids). 0: not to be seen from here (another pid namespace, gone).
pid_t holders_group(pid_t tid);

enum holder_exit {
    HOLDER_ALIVE,  // or cannot be seen: nothing is held against it
    HOLDER_EXITED, // is exiting with code 0, or with a code that cannot be read
    HOLDER_FAILED, // is exiting with another code
    HOLDER_KILLED, // is dying of a signal
};

// How a thread that calls flush is doing: flags and exit code in /proc/TID/stat (proc(5), fields 9 and 52).
// *out_code: the exit code, or the signal.
enum holder_exit holders_exit(pid_t tid, int *out_code);

enum holders_seen {
    HOLDERS_NONE,
    HOLDERS_HELD,   // or it is exiting, and its last flush is on its way
    HOLDERS_FAILED, // it is exiting with another code than 0, and its last flush is on its way
    HOLDERS_KILLED, // it is dying of a signal, and its last flush is on its way
    HOLDERS_BLIND,  // it lives, and its fdinfo cannot be read (no CAP_SYS_PTRACE)
};

// Does the thread group hold a descriptor of inode `ino` that it could write through? *out_code as in holders_exit, for
// HOLDERS_FAILED and HOLDERS_KILLED.
enum holders_seen holders_has(pid_t group, uint64_t ino, int *out_code);

// A descriptor of the process (pidfd), for holders_lives; the caller's. -1: not to be seen from here, or gone.
int holders_watch(pid_t group);
// It is there still, and not on its way out. `pidfd` as holders_watch gave it: another process may get its number.
bool holders_lives(int pidfd, pid_t group);

// /proc/TID/status as text. False: not to be seen from here.
bool holders_read_status(pid_t tid, char *out, size_t size);
// The signal that ends the thread group of `tid`, none of which may have begun to exit. 0: none, or not to be seen. Not for a
// thread that may be inside execve: it blocks until that is through.
int holders_ending_signal(pid_t tid);

// Can this daemon judge exit codes and see others' descriptors at all? (CAP_SYS_PTRACE)
bool holders_can_see(void);
