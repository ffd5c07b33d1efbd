// What a look leaves: the VERIFIED file beside the backup, and the words that tell people what to do about a bad one. One
// thread.
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"
#include "tools/catalog/backups.h"
#include "tools/verify/judge.h"

#include <stdint.h>
#include <stdio.h>
#include <time.h>

struct mark {
    enum judge_level level;
    struct timespec at; // when it began
    uint64_t duration_ms, restore_ms, bytes;
    bool pass;
    const char *reason;
};
// STEM.VERIFIED.TIMESTAMP.PASS|FAIL; beside what people copied in NAME.VERIFIED..., in a PARTITION directory of theirs
// PARTITION.VERIFIED.... -EROFS: the mount is read-only.
int mark_write(const char *point, const struct backup *, const struct mark *, struct err *err);

// When a look at this level (how of VERIFIED) passed last, 0: never, or not known.
time_t mark_passed(const char *point, const struct backup *, enum judge_level);
// Was the newest look at it a restore?
bool mark_was_restored(const char *point, const struct backup *);

// Lines: which backup is the newest good one instead, and what to type. `is_bad` knows those that just failed.
void mark_advise(FILE *out, const struct conf *, const struct backup *failed,
                 bool (*is_bad)(void *ctx, const struct backup *), void *ctx);
