// What a mounted bakfs says of itself in .bakfs/status.json.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define DAEMON_FAILURES 32 // as many as it tells
#define DAEMON_WRITING 64  // of what is being written just now; more are not looked at

struct daemon_failure {
    char path[512], reason[256]; // cut where longer
    time_t at;
};

struct daemon_status {
    char store[512];
    bool read_only, has_identity;
    bool blind;             // cannot see how other programs ended
    uint64_t pid_namespace; // 0: not said
    int64_t clock_offset_ms;
    uint64_t files_failed;
    struct daemon_failure failures[DAEMON_FAILURES]; // the newest first
    unsigned failure_count;
    char writing[DAEMON_WRITING][512];
    unsigned writing_count;
};

// `point`: where it is mounted. EUCLEAN: what stands there is no status.
int daemon_status_read(const char *point, struct daemon_status *out, struct err *err);
