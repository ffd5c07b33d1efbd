// The tree: what the store holds, as directories and files, and what this mount knows of it without asking.
//
// Threads: any. No lock is held across the store. Own changes are known at once; others' within `refresh_ms`, or ten
// times what a directory's last listing took.
#pragma once

#include "backend/base/err.h"
#include "backend/object.h"

#include <stdbool.h>
#include <stdint.h>

struct tree;

struct tree_conf {
    struct store *store;   // borrowed
    const char *state_dir; // for the header cache; NULL: none kept
    unsigned fetchers;     // headers fetched at a time (32)
    uint64_t refresh_ms;
    uint64_t memory_bytes; // bound of what is remembered of listings and headers
    // The clock of freshness, in milliseconds; NULL: CLOCK_BOOTTIME. For tests.
    uint64_t (*clock_ms)(void *ctx);
    void *clock_ctx;
};

enum tree_kind { TREE_DIR, TREE_FILE };

struct tree_stat {
    enum tree_kind kind;
    struct object_info info; // of a file
    // of a directory: the newest commit or last-modified known in it, else when it was made
    struct timespec mtime;
};

struct tree_name {
    char *name;
    enum tree_kind kind;
};

struct tree_list { // sorted by name; hidden keys are not in it
    struct tree_name *names;
    size_t count;
};

// Threads start here: after the fork.
int tree_new(const struct tree_conf *, struct tree **out, struct err *err);
void tree_free(struct tree *);

// One path. From what is known and fresh, else by asking the store: at most a HEAD or one small GET for a file, one LIST
// for what may be a directory. When its directory was listed a moment ago (ls -l), the headers of the names behind it are
// fetched with it, `fetchers` at a time. ENOENT when neither.
int tree_lookup(struct tree *, const char *path, struct tree_stat *out, struct err *err);
// A file of which all that a lookup tells is known and fresh. Asks nobody.
bool tree_known(struct tree *, const char *path, struct object_info *out);
// The same as tree_lookup, always asking the store (open, confirm).
int tree_lookup_now(struct tree *, const char *path, struct tree_stat *out, struct err *err);
// Names and kinds; fetches no headers. ENOENT.
int tree_read_dir(struct tree *, const char *path, struct tree_list **out, struct err *err);
void tree_list_free(struct tree_list *);

// mkdir: remembered by this mount, not stored; parents must be there. EEXIST. The rules (path.h) are the caller's.
int tree_make_dir(struct tree *, const char *path, struct err *err);
// ENOTEMPTY, asking the store. ENOENT.
int tree_remove_dir(struct tree *, const char *path, struct err *err);

// Own changes, after the store took them.
void tree_committed(struct tree *, const char *path, const struct object_info *);
void tree_removed(struct tree *, const char *path);
// A directory and all files in it, which stand there in the store already; with it goes what was only made in it.
struct tree_moved {
    const char *from, *to;
    const struct object_info *info; // of `to`
};
void tree_dir_renamed(struct tree *, const char *from, const char *to,
                      const struct tree_moved *files, size_t count);
// Something else than known was found under this path (ESTALE): forget it.
void tree_forget(struct tree *, const char *path);
// Nor is anything believed of what is below it.
void tree_forget_below(struct tree *, const char *path);

// HOST/latest: PARTITION -> its newest good backup, "DATE/NAME" (NAME: the partition's directory, or a file in DATE).
// Not: incomplete files (FLAGS) and directories with one in them, directories of bakfs's own tools without a META, what
// `is_writing` says is being written on this mount (asked for the file, or for the directory: anything below it; it is
// called without locks of the tree), META and VERIFIED files, objects that are not ours, names that begin with a dot,
// dates past tomorrow. A newer DATE wins; in one DATE the newer COMMITTED (fetches headers of the newest candidates only).
// `….schema.sql` and `….globals.sql` are taken only for a partition that has nothing else. ENOENT: no such host.
struct tree_latest {
    char *partition;
    char *target;
};
int tree_latest(struct tree *, const char *host, bool (*is_writing)(void *ctx, const char *path),
                void *ctx, struct tree_latest **out, size_t *out_count, struct err *err);
void tree_latest_free(struct tree_latest *, size_t count);
