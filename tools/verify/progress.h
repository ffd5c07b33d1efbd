// What verify and drill show on a terminal while they work: one line, written over itself. One thread.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool on_terminal;    // standard error is one; else nothing is shown
    const char *showing; // the backup that is looked at; borrowed
};

// `ctx` is a struct progress.
void progress_bytes(void *ctx, uint64_t done, uint64_t total);
void progress_stage(void *ctx, const char *stage, uint64_t done,
                    uint64_t total); // total 0: not known
void progress_clear(const struct progress *);
