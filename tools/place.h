// Directories that init makes.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>

// mkdir -p; `mode` for the last one, if it was not there.
int place_make(const char *path, unsigned mode, struct err *err);
// Closes a directory, for root: mode 000 holds back everybody but root, and with `lock` the immutable flag (chattr +i) root
// too, where the file system has it: *out_locked. `path` is for sentences.
int place_guard(int fd, const char *path, bool lock, bool *out_locked, struct err *err);
enum place_lock {
    PLACE_LOCKED,
    PLACE_UNLOCKED,
    PLACE_NO_LOCK, // the file system has no such flag
};
enum place_lock place_locked(int fd);

// The directory of the mount, empty and not a mount yet (else EBUSY, ENOTEMPTY). For root: made so that nothing can be
// put into it while nothing is mounted. With `lock` not by root either (chattr +i), where the file system can: *out_locked.
int place_make_mount_point(const char *path, bool lock, bool *out_locked, struct err *err);
