// Is bakfs there? Judged by the kernel's table of mounts, never by a directory that exists: under a missing mount lies a
// bare directory. Any thread.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <sys/types.h>

#define MOUNTED_TYPE "fuse.bakfs"

// `dir` is the mount point of a bakfs, and what is seen there is that bakfs. -ENOENT: not so.
int mounted_check(const char *dir, struct err *err);
// Anything is mounted at `dir`.
int mounted_any(const char *dir, bool *out, struct err *err);
// The file system with this st_dev is a bakfs.
int mounted_device(dev_t device, bool *out, struct err *err);
// A mount point as the kernel writes it: absolute, without symbolic links, "." and "..". Works for a daemon that died
// as well. free() it.
char *mounted_path(const char *dir, struct err *err);
