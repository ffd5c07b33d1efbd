// One backup, judged: its files against META and against themselves. Only the mount is seen. One thread calls; files are
// looked at by several.
#pragma once

#include "backend/base/err.h"
#include "tools/catalog/backups.h"
#include "tools/catalog/meta.h"
#include "tools/verify/look.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum judge_level {
    JUDGE_QUICK,   // each object's header, tail, tables, path; META's list
    JUDGE_FULL,    // and every byte, digests, what is inside
    JUDGE_RESTORE, // full for the files beside the dump; the dump is read by its restore
};
const char *judge_level_word(enum judge_level); // "quick", "full", "restore"

struct judge_conf { // borrowed
    const char *point;
    enum judge_level level;
    const char *bindir; // of pg_restore; "" : looked for
    unsigned readers;   // files at once
    bool (*stop)(void);
    void (*progress)(void *ctx, uint64_t done, uint64_t total); // a few times a second; may be NULL
    void *ctx;
};

struct verdict_line {
    enum look_outcome outcome; // LOOK_PASS: a note
    char *text;
};

struct verdict { // owned
    enum look_outcome outcome;
    char reason[LOOK_TEXT_BYTES]; // of the first that is not LOOK_PASS; the worst first
    struct verdict_line *lines;
    size_t count, room;
    size_t files;
    uint64_t bytes, size, stored; // read; of all files
    bool no_identity, stopped;
    struct meta *meta; // NULL: there is none, or it cannot be read
};

int judge_backup(const struct judge_conf *, const struct backup *, struct verdict *out,
                 struct err *err);
void verdict_done(struct verdict *);
// A line more; the outcome becomes the worse of both (FAIL before CANNOT before PASS).
int verdict_add(struct verdict *, enum look_outcome, struct err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
// Of one without META: is it being made? Some file of it is written through this mount, or was stored within an hour.
bool judge_is_writing(const char *point, const struct backup *);
