// The directory that is mounted on.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>

// A directory, empty, and no mount point yet: one sentence says what is wrong and what to do. Writes its absolute path
// (malloc'ed).
int mountpoint_check(const char *point, char **out_absolute, struct err *err);

// "MAJOR:MINOR" of the file system mounted there, from /proc/self/mountinfo (proc(5)), without asking it.
bool mountpoint_device(const char *absolute, char out[32]);
