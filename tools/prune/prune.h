// bakfs prune: what is in the store, which of it goes, and its end. Unlike the other verbs it sees the store, under
// credentials of its own, since nobody may remove a backup through the mount.
//
//   survey.c   one listing of all versions; group.c makes backups of it as tools/catalog/backups.h has them, but for one thing: the
//              files of one PARTITION directly in one DATE are one backup here. They may be a dump for each table
//              (shop.items.sql, shop.orders.sql), and nobody could tell those from several dumps of the same.
//   plan.c     asks what only an object says (does a dump that was copied in stop short? does a lock hold it?) and has
//              keep.c decide
//   remove.c   removes what goes, the versions too
//   report.c   what it says; verb.c is the command line
// One thread, but remove.c's own.
#pragma once

#include "backend/base/err.h"
#include "backend/store/store.h"
#include "tools/prune/keep.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// In the order in which they are removed: what is left of a backup whose removal was cut must never look like a whole one.
enum piece_rank {
    PIECE_META, // without it a backup of ours is unfinished
    PIECE_PASS,
    PIECE_HEAD, // of a directory: without it no tool takes the rest
    PIECE_REST,
    PIECE_FAIL, // what a verdict warns of is warned of to the end
};

struct piece { // one version of one object
    char *key, *id;
    enum piece_rank rank;
    bool added; // META or VERIFIED: no part of the dump
    bool marker;
    bool seen; // by readers: the latest version, and not a marker
    uint64_t size;
    time_t modified;
    size_t order; // of the listing
};

struct prune_backup { // owned strings
    char *host, *date, *partition;
    // in the tree: up to STEM, or of the PARTITION directory; of files that stand directly in DATE "HOST/DATE/PARTITION.*"
    char *path;
    bool ours; // has a STEM
    struct piece *pieces;
    size_t count, room;
    uint64_t bytes; // of all pieces
    size_t objects; // that readers see
    // while it is put together
    bool has_dump, has_meta, is_dir;
    time_t verified_at, newest_seen, newest_hidden;
    bool passed, failed; // by the newest VERIFIED; of several files, by that of any

    struct keep_item item;
    // of what goes, once it was tried
    bool removed;
    char *failure; // NULL: none
};

struct prune_list {
    struct prune_backup *list; // by host, partition, when: the oldest first
    size_t count, room;
    uint64_t
        strays; // objects that belong to no backup: names with a dot, what stands beside a STEM
    size_t order;
};

// `host`, `partition`: only these, or NULL.
int prune_survey(struct store *, const char *host, const char *partition, struct prune_list *out,
                 struct err *err);
void prune_list_done(struct prune_list *);

struct prune_plan {
    size_t keep, go, future, locked;
    size_t unsure; // copied in, and the credentials may not read whether the dump is complete
    uint64_t go_bytes, go_pieces;
};
int prune_decide(struct store *, const struct keep_rules *, time_t now, struct prune_list *,
                 struct prune_plan *out, struct err *err);

// Removes one that goes; what failed stands in `failure`, and the rest of it is left for the next time. -ENOMEM alone is
// an error.
int prune_remove(struct store *, struct prune_backup *, struct err *err);

// --- What it says ---

const char *prune_ending(uint64_t n); // "s", or "" of one
void prune_print_decisions(const struct prune_list *);
void prune_print_sum(const struct prune_list *, const struct prune_plan *, bool dry_run);
void prune_print_json(const struct prune_list *, time_t now, bool dry_run);
void prune_warn(const struct prune_plan *); // on standard error
