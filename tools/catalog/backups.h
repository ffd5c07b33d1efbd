// What backups there are on the mount, by names alone: one walk of HOST/DATE/PARTITION, no file is read. Sizes are asked
// for where wanted. One thread.
//
// A backup that bakfs made is a group of names in one PARTITION directory with one STEM, HOST.TIMESTAMP.PARTITION:
//   STEM.dump | STEM.dir/ | STEM.sql          the dump (custom or another engine's, directory, plain)
//   STEM.globals.sql, STEM.schema.sql          beside it
//   STEM.META                                  last: without it the backup is unfinished
//   STEM.VERIFIED.TIMESTAMP.PASS (or .FAIL)    added later, any number
// What people copied in is a backup too: each file directly in DATE, or a PARTITION directory as a whole when no STEM
// is in it. A schema or globals file, META or VERIFIED beside a file in DATE (orders.schema.sql, orders.sql.META) goes with
// it; a schema or globals file alone is a backup by itself. Names that begin with a dot never count.
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum backup_verified { BACKUP_NOT_VERIFIED, BACKUP_VERIFIED_PASS, BACKUP_VERIFIED_FAIL };
enum backup_complete { BACKUP_COMPLETE_UNKNOWN, BACKUP_COMPLETE_YES, BACKUP_COMPLETE_NO };

struct backup { // owned strings
    char *host, *date, *partition;
    char *stem; // of a backup of bakfs: path below the mount up to STEM; else NULL
    char *dump; // path below the mount of the dump, a file or a directory; NULL: a META without one
    bool dump_is_dir;
    char *meta, *globals, *schema; // paths below the mount, NULL: not there
    // of STEM's TIMESTAMP; what people copied in: the file's commit, asked with its size, else the beginning of DATE
    time_t when;
    bool ours;                     // has a STEM
    bool finished;                 // ours: META is there; others: true
    enum backup_verified verified; // by the newest VERIFIED name
    time_t verified_at;
    char *verified_path;
    // with BACKUPS_SIZES
    uint64_t size,
        stored; // of dump; of a directory 0 until backup_ask_sizes: that costs a look at each of its files
    time_t committed; // of the dump, by the store's clock; 0: not asked
    enum backup_complete complete;
};

struct backups {
    struct backup *list; // by host, partition, when: the oldest first
    size_t count, room;
};

enum { BACKUPS_SIZES = 1 };

// Is a bakfs there, and its daemon alive? The sentence says what to type.
int backups_check_mount(const char *point, struct err *err);
// `host`, `partition`: only these, or NULL. `point` must be a bakfs (mounted_check is done here, ENOTCONN and ENOENT say
// what to type).
int backups_load(const char *point, const char *host, const char *partition, unsigned flags,
                 struct backups *out, struct err *err);
void backups_done(struct backups *);
// Of a dump, when the list was loaded without BACKUPS_SIZES, or it is a directory: all files in it.
int backup_ask_sizes(const char *point, struct backup *, struct err *err);

// Its dump, or what else there is of it: for sentences. Borrowed, never NULL.
const char *backup_path(const struct backup *);

// HOST and PARTITION in the tree of a [database]; `db` NULL: of this host.
#define BACKUPS_HOST_BYTES 256
int backups_host(const struct conf_database *db, char out[BACKUPS_HOST_BYTES], struct err *err);
const char *backups_partition(const struct conf_database *);
// The [database] whose HOST and PARTITION these are, or NULL.
const struct conf_database *backup_database(const struct conf *, const struct backup *);

// Is it one that a restore may take without --force? finished, not "complete: no", newest VERIFIED not FAIL. `why` is set
// to the reason otherwise (a constant).
bool backup_is_good(const struct backup *, const char **why);

// BACKUP on a command line: a configured NAME, HOST PARTITION, or a path on the mount (a dump, a META, a PARTITION
// directory, HOST/latest/PARTITION; from the mount's root or from where one stands). argv[0..*out_used) was taken. The
// range of backups meant, oldest first, is loaded with sizes and never empty; a path that names one backup gives that
// one, HOST and HOST/DATE as a path (with a slash) give those of all partitions. ENOENT names what is nearest.
int backups_named(const struct conf *, char *const *argv, int argc, int *out_used,
                  struct backups *out, struct err *err);
// The newest that is good (or any with a dump with `force`) at or before `at` (0: now). -ENOENT says what there is
// instead, EINVAL that they are of more than one partition.
int backups_choose(const struct backups *, time_t at, bool force, const struct backup **out,
                   struct err *err);
