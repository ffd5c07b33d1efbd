// Directories that init makes.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>

// mkdir -p; `mode` for the last one, if it was not there.
int place_make(const char *path, unsigned mode, struct err *err);
// The directory of the mount, empty and not a mount yet (else EBUSY, ENOTEMPTY). For root: made so that nothing can be
// put into it while nothing is mounted; *out_locked says whether the file system could (chattr +i).
int place_make_mount_point(const char *path, bool *out_locked, struct err *err);
