// Making one backup: the dump, what stands beside it, META last. What `bakfs backup` and `bakfs migrate` share. One thread.
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct make_job { // borrowed
    const char *verb;
    const struct conf *conf;
    const struct conf_database *db;
    // Something that the backup is good without, but somebody should know.
    void (*warn)(void *ctx, const char *text);
    void (*progress)(void *ctx, const char *stage, uint64_t bytes); // may be NULL
    void *ctx;
};

struct backup_made {   // owned
    char *dump, *meta; // paths below the mount
    time_t when;       // of STEM
    char stamp[20];
    uint64_t size, stored, rows_left_out;
    uint64_t duration_ms;
};

// A failure leaves nothing that could be taken for a backup; what it could not remove is in the sentence.
int make_backup(const struct make_job *, struct backup_made *out, struct err *err);
void backup_made_done(struct backup_made *);
// What to type after such a failure.
void make_hint(const struct make_job *, const struct err *, char out[512]);
