// Is what lies under a path in the store, whole? The daemon is asked, which asks the store, not a cache. Any thread.
#pragma once

#include "backend/base/err.h"

// A file, or a directory: all files below it, at least one. EXDEV: not on a bakfs; ENOENT: not there.
int confirm_path(const char *path, struct err *err);
