// The META file beside a backup, and the VERIFIED file: INI, written last, read by restore, verify, drill and status.
// The format stands in tools/catalog/META.md.
#pragma once

#include "backend/base/err.h"
#include "tools/pg/facts.h"

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define META_VERSION 1

struct meta_file {
    char *name;    // below the PARTITION directory: "STEM.dump", "STEM.dir/toc.dat"
    uint64_t size; // plain bytes
    char *digest;  // as user.bakfs.digest tells it
};

struct meta {                               // owned strings, never NULL: "" where it does not apply
    char *name, *host, *partition;          // of the configuration and the tree
    char *engine;                           // "postgresql", or "command"
    char *format;                           // "custom", "directory", "plain", "command"
    char *database;                         // dumped from
    char *system_identifier;                // of the cluster
    int server_version;                     // 150019; 0: another engine
    char *tool;                             // "bakfs 0.1.0"
    char *dump_tool;                        // "pg_dump (PostgreSQL) 15.20"
    char *dump_options;                     // of the configuration: they may leave out something
    struct timespec begun, snapshot, ended; // by the host's clock, UTC
    int64_t clock_offset_ms;                // the store's clock against it
    char *dump; // name of the dump: a file, or the directory; below the PARTITION directory
    char *globals, *schema;  // names, or ""
    char *globals_lack;      // what they had to leave out: "passwords of roles", or ""
    struct meta_file *files; // every file of the backup but META itself
    size_t file_count;
    struct facts facts; // sorted
};

int meta_add_file(struct meta *, const char *name, uint64_t size, const char *digest,
                  struct err *err);
int meta_write(FILE *out, const struct meta *, struct err *err);
// EUCLEAN: what is wrong, with its line. A `meta` version above ours: EOPNOTSUPP, "made by a newer bakfs".
int meta_read(const char *path, struct meta **out, struct err *err);
// POINT/BELOW, as struct backup has it.
int meta_read_below(const char *point, const char *below, struct meta **out, struct err *err);
void meta_free(struct meta *);

struct verified { // owned strings
    char *how;    // "quick", "full", "restore"
    char *by;     // host that looked
    bool pass;
    struct timespec at;
    uint64_t duration_ms, restore_ms; // of all; of the restore alone, 0: none
    uint64_t bytes;                   // plain bytes read
    char *reason;                     // of a FAIL, one line; "" else
};
int verified_write(FILE *out, const struct verified *, struct err *err);
int verified_read(const char *path, struct verified **out, struct err *err);
int verified_read_below(const char *point, const char *below, struct verified **out,
                        struct err *err);
void verified_free(struct verified *);
