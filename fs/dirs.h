// What is known of directories, in memory: for each its entries, sorted by name, and how long they may be believed.
// Bounded: the directories that were used longest ago are forgotten first.
//
// Plain data: no lock, no store. The caller (fs/tree.c) holds its lock around every call.
#pragma once

#include "backend/object.h"
#include "fs/tree.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct entry {
    enum tree_kind kind;
    bool cold;
    uint64_t size;              // of the object
    struct timespec time;       // last modified; of a directory the newest known in it, or 0
    uint64_t fresh_until_ms;    // until then it is believed without asking
    uint64_t header_ms;         // when the header was read
    struct seal_header *header; // NULL: not read yet
    const char *etag;           // behind the name
    char name[];
};

struct entry *entry_new_file(const char *name, const struct store_stat *);
struct entry *entry_new_dir(const char *name, struct timespec newest);
void entry_stat(const struct entry *, struct store_stat *out);
bool entry_same_object(const struct entry *, const struct entry *);
bool entry_set_header(struct entry *, const struct seal_header *, uint64_t now_ms);

struct entries {
    struct entry **list;
    size_t count, room;
};
// Takes over `entry` (also on failure).
bool entries_add(struct entries *, struct entry *);
// Sorts by name; of a directory and a file of one name the directory stays.
void entries_settle(struct entries *);
void entries_done(struct entries *);

struct dir {
    struct entries entries;
    bool complete; // all of the store's names in it are in entries
    uint64_t fresh_until_ms;
    uint64_t walked_ms; // somebody reads it name by name (ls -l): the last step, 0 never
    size_t walked_at;   // index of that step
    size_t fetched_to;  // headers before this index were asked for in this walk
    struct timespec newest;
    size_t bytes;
    struct dir *next;          // of the same bucket
    struct dir *newer, *older; // by last use
    char path[];
};

struct dirs {
    struct dir **buckets;
    size_t bucket_count, count;
    struct dir *newest, *oldest;
    uint64_t bytes, max_bytes;
};

bool dirs_init(struct dirs *, uint64_t max_bytes);
void dirs_done(struct dirs *);
// Both count as a use.
struct dir *dirs_find(struct dirs *, const char *path);
struct dir *dirs_make(struct dirs *, const char *path); // found or made; NULL: no memory
void dirs_drop(struct dirs *, struct dir *);
// Forgets the least used but `keep` until the bound holds.
void dirs_trim(struct dirs *, const struct dir *keep);

// Index of `name`, or where it would stand.
bool dirs_index(const struct dir *, const char *name, size_t *out);
struct entry *dirs_entry(const struct dir *, const char *name); // NULL: not there
// Puts `entry` in the place of what has its name; keeps the header of the same object. Takes over `entry`. False: no
// memory.
bool dirs_put(struct dirs *, struct dir *, struct entry *);
void dirs_remove(struct dirs *, struct dir *, const char *name);
// A listing's result becomes the directory's entries (settled); headers of unchanged objects are kept.
void dirs_replace(struct dirs *, struct dir *, struct entries *);
bool dirs_set_header(struct dirs *, struct dir *, struct entry *, const struct seal_header *,
                     uint64_t now_ms);

// The directory of `path` ("" for a HOST) and the name in it.
const char *path_split(const char *path, char out_dir[STORE_KEY_BYTES + 1]);
