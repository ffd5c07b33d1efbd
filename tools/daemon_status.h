// What a mounted bakfs says of itself in .bakfs/status.json.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon_status {
    char store[512];
    bool read_only, has_identity;
    bool blind;             // cannot see how other programs ended
    uint64_t pid_namespace; // 0: not said
    int64_t clock_offset_ms;
    uint64_t files_failed;
};

// `point`: where it is mounted. EUCLEAN: what stands there is no status.
int daemon_status_read(const char *point, struct daemon_status *out, struct err *err);
