// What verify and drill found of one backup after the other: lines for people, rows for programs, notices for who is not
// there. One notice a partition and run. One thread.
#pragma once

#include "conf/conf.h"
#include "tools/catalog/backups.h"
#include "tools/verify/judge.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct report {
    const struct conf *conf;
    const char *verb, *program; // "verify", "bakfs verify"
    bool json;
    size_t passed, failed, unknown;
    // report.c's own
    bool first_row;
    char **bad; // paths of backups that failed
    size_t bad_count;
    struct {
        char what[600];
        char summary[LOOK_TEXT_BYTES + 600];
        size_t passed, failed, unknown;
        FILE *body;
        char *text;
        size_t len;
    } group;
};

struct report_row {
    const char *name;             // of the configuration, or NULL
    const struct backup *backup;  // NULL: there is none
    const char *host, *partition; // where `backup` is NULL
    enum judge_level level;
    const struct verdict *verdict;
    uint64_t duration_ms, restore_ms, compare_ms;
};

void report_begin(struct report *, const struct conf *, const char *verb, const char *program,
                  bool json);
// `what` of the notice: rows of the same one belong together.
void report_add(struct report *, const char *what, const struct report_row *);
// What ends the run before its time: said, and told to who is not there.
void report_trouble(struct report *, const struct err *);
// Sends the notice of the rows that were not told yet, writes what is left of the output. Returns the exit code.
int report_end(struct report *);
