// Inodes: what the kernel holds by number. One inode per payload: a name that is found with an ETag that is not known to be
// another header of the same payload (nodes_rewritten) gets a new inode, so that no cached page or size of the old object is
// ever taken for the new one's. Inode numbers have random upper bits:
// /proc/PID/fdinfo is searched by them, and /dev/null is inode 3.
//
// Threads: any. A node lives while the kernel holds it; its kind and number never change. Its path changes
// when it, or a directory above it, is renamed; a path that was read stays valid as long as the node.
#pragma once

#include "fs/tree.h"

#include <stdbool.h>
#include <stdint.h>

#define NODE_ROOT_INO 1

struct nodes;

enum node_kind {
    NODE_DIR,
    NODE_FILE,
    NODE_LATEST,      // HOST/latest
    NODE_LATEST_LINK, // HOST/latest/PARTITION
    NODE_STATUS_DIR,  // .bakfs
    NODE_STATUS_FILE,
};

struct node {
    uint64_t ino;
    enum node_kind kind;
    char *_Atomic path; // "" for the root
    // below: by the functions of this page only
    struct tree_stat stat;
    struct tree_stat before; // what it stood for when the file began to be overwritten
    bool current;            // the path still leads here
    bool cached;             // the kernel may hold pages of it
    // it was opened for writing since: what pages there are are not of what stands there
    bool changed;
    uint64_t lookups;
    struct node_past *past; // what it was called, and other ETags of the same payload
    struct node *next;      // while it is being renamed
};

int nodes_new(struct nodes **out, struct err *err);
void nodes_free(struct nodes *);

// The node of a number the kernel gave. The kernel's own references keep it alive during the request.
struct node *nodes_by_ino(struct nodes *, uint64_t ino);
// The node for `path` as `stat` shows it, with one more lookup: the current one if kind and ETag agree, else a new one.
// NULL: no memory.
struct node *nodes_found(struct nodes *, const char *path, enum node_kind kind,
                         const struct tree_stat *stat);
// A new stat for a node that still stands for the object `etag` ("": what is being written). False: it went on, nothing was
// done. An update to what is being written (no ETag) is undone by nodes_given_up.
bool nodes_update(struct nodes *, struct node *, const char *etag, const struct tree_stat *stat);
struct tree_stat nodes_stat(struct nodes *, const struct node *);
bool nodes_is_current(struct nodes *, const struct node *);
// The file under `path` was stored: its node, and those of the inodes that it was written by, go on with the new object's
// stat.
void nodes_committed(struct nodes *, const char *path, const uint64_t *inos, size_t count,
                     const struct tree_stat *stat);
// The object `etag` of the file was replaced by what was written through another inode: those that are only written by, and
// so have no pages, go on with the new one.
void nodes_follow(struct nodes *, const char *path, const char *etag, const struct tree_stat *stat);
// What was written was given up: they stand again for what they stood before, or for nothing.
void nodes_given_up(struct nodes *, const char *path, const uint64_t *inos, size_t count);
// An inode has readers or writers, never both, so that no page of the old bytes is ever taken for the new ones'. Opened for
// reading: may the kernel keep the pages it has?
bool nodes_open_reading(struct nodes *, struct node *);
// Opened to be changed in place; false: the kernel may have pages of it, another inode must do (nodes_detach, ESTALE).
// `is_cut`: with O_TRUNC, which drops them.
bool nodes_open_writing(struct nodes *, struct node *, bool is_cut);
// The path leads elsewhere, or nowhere: the next lookup makes a new node.
// Only if its node stands for the object `etag`; NULL: whatever it stands for.
void nodes_detach(struct nodes *, const char *path, const char *etag);
void nodes_forget(struct nodes *, uint64_t ino, uint64_t lookups);

// What stood under `from`, and below it, stands under `to` now, by the same inodes; what stood there does no longer.
void nodes_renamed(struct nodes *, const char *from, const char *to);
// The object `etag` of the file under `path` has another header now, its payload is the same: the inode goes on.
void nodes_rewritten(struct nodes *, const char *path, const char *etag,
                     const struct tree_stat *stat);
// Does the object `etag` have the payload for which the node stands: is it its object, or was it before a rewrite?
bool nodes_is_payload(struct nodes *, const struct node *, const char *etag);
