// Protection: what may still be changed. Until grace has passed since its commit a file may be overwritten, renamed,
// removed; a directory below DATE may be renamed until grace has passed since the newest commit in it, files that were
// begun after that (late) not counted. HOST and DATE are never renamed. Grace is by the store's clock, and judged when the
// change begins. A refusal is EPERM, its sentence names the rule.
//
// Threads: any.
#pragma once

#include "backend/base/err.h"
#include "fs/below.h"
#include "fs/tree.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct stack;
struct protect; // what is remembered of directories

int protect_new(struct protect **out, struct err *err);
void protect_free(struct protect *);

// A moment by which a file's grace is over; {0,0} where nothing is protected.
struct timespec protect_until(const struct stack *, const struct object_info *);
bool protect_is_young(struct stack *, const struct object_info *);
// EPERM once grace has passed since its commit.
int protect_check_file(struct stack *, const char *path, const struct object_info *,
                       struct err *err);
// May the directory, with all these files in it (headers known), be renamed?
int protect_check_dir(struct stack *, const char *dir, const struct below *, struct err *err);

// The record's flags of a file that is begun under `path` now: late, if the grace of its PARTITION's directory has passed;
// tool, if its directory was marked. May ask the store, at most once in a while for each PARTITION.
int protect_flags(struct stack *, const char *path, uint32_t *out, struct err *err);

#define XATTR_TOOL "user.bakfs.tool"
// What is begun in this directory from now on is written by a tool of ours, that of thread `tid` (0: not to be seen).
// Remembered by this mount only.
int protect_mark_tool(struct protect *, const char *dir, pid_t tid, struct err *err);
// Does a tool that marked a directory above it live, so that it sees itself what becomes of the file?
bool protect_tool_watches(struct protect *, const char *path);
