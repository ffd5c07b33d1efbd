// Child processes of the verbs: pg_dump, pg_restore, psql, and commands of the configuration. One thread starts and waits;
// process_stop_asked is for any.
//
// A child dies with us (PR_SET_PDEATHSIG) and is its own process group, so that a whole pipeline ends with process_free.
// No secret belongs into argv; `env` is for the child alone. Core files are off for the program and its children
// (process_guard).
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PROCESS_ERRORS_BYTES 4096 // the end of what it wrote to standard error, kept for sentences

struct process;

struct process_conf {        // borrowed for the call
    const char *const *argv; // argv[0]: a path, or a name to look for in PATH; NULL at the end
    const char *const *
        env; // "NAME=VALUE" put over our environment, "NAME" takes one away; NULL at the end, or NULL
    const char *dir;     // working directory, NULL: ours
    int in, out;         // descriptors for 0 and 1; -1: /dev/null
    bool inherit_errors; // standard error is ours; else it is read by process_wait and its end kept
    bool
        stay_in_group; // not a group of its own (a command that uses the terminal): Ctrl-C reaches it
                       // anyhow, and process_wait goes on waiting for what it makes of that
};
int process_start(const struct process_conf *, struct process **out, struct err *err);

struct process_end {
    int exit_code; // -1: killed by `signal`
    int signal;    // 0: exited
};
// Waits, reading its standard error. When a stop is asked (process_stop_asked) the group gets SIGTERM, then SIGKILL, and
// the answer is -EINTR. Call once; process_free afterwards.
int process_wait(struct process *, struct process_end *out, struct err *err);
// The same for at most `ms`, or until a stop is asked, which ends nothing here. True: it has ended.
bool process_wait_for(struct process *, int ms, struct process_end *out);
// Has it ended? Does not block; what it wrote to standard error is read. For loops that do something else meanwhile.
bool process_poll(struct process *, struct process_end *out);
pid_t process_pid(const struct process *); // for /proc
// Ends what still runs, the whole group: SIGTERM, after some seconds SIGKILL; waits.
void process_free(struct process *);
// The last line of its standard error that says what went wrong ("pg_dump: error: ..."), else the last one, else "".
const char *process_error_line(const struct process *);
// "pg_dump exited with 1: ERROR LINE" or "pg_dump was killed by signal 9 (Killed)". 0 when it ended well.
int process_judge(const struct process *, const char *name, const struct process_end *,
                  struct err *err);

// What a child wrote to a memory file that was its standard output: all of it, with a zero byte behind; free() it. EFBIG:
// it is more than `most_bytes`.
int process_read_output(int fd, size_t most_bytes, char **out, struct err *err);

// Once, at the start of a verb: SIGINT, SIGTERM and SIGHUP ask for a stop instead of ending us at once (one that comes
// a second later ends us), SIGPIPE is ignored, core files are off (RLIMIT_CORE: passwords may be in memory).
void process_guard(void);
bool process_stop_asked(void);
int process_stop_signal(void); // 0: none
// Once it was asked: -EINTR, "stopped by signal 15 (Terminated)".
int process_stopped(struct err *err);
