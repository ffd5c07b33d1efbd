// Open files: what a handle of the kernel stands for, and what the calls on it share. Only fs/ops*.c know it.
//
// An inode has readers or writers, never both: the kernel keeps pages and a size for each inode, and those of the old bytes
// must never be taken for the new ones'. Who comes second is sent to another inode of the same file: the path's node is
// detached and ESTALE answered, upon which the kernel looks the name up anew.
#pragma once

#include "fs/ops.h"

#include <pthread.h>

// What a handle is done with; calls that still use it may be under way.
struct past {
    struct past *older;
    struct writer *writer;
    struct read_handle *reader;
};

// An open file.
//     writer   what is written through it; NULL: opened on a stored file, and nothing was changed yet. Once that is stored
//              the next change begins another one, over what stands there then.
//     reader   made at open for reading, or at the first read
//     text     of status.json
struct handle {
    struct handle *next, **link; // of all open handles
    const struct node *node;     // the kernel keeps it as long as the handle
    char *path;                  // it was opened by; a rename changes the node's
    uint64_t ino;
    bool direct;    // O_DIRECT: nothing from the cache
    bool may_write; // opened for writing
    bool entered;   // under the list's lock
    pid_t opener;   // the thread group, if it may write
    char *text;
    size_t text_len;

    pthread_mutex_t lock; // calls come in parallel; under it:
    struct writer *writer;
    char etag[STORE_ETAG_BYTES]; // the object it was opened on; "" while that was being written
    struct read_handle *reader;
    struct past *past;
    struct err failure; // latched: a change that could not begin, and by now perhaps could
};

static inline struct handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct handle *)(uintptr_t)fi->fh;
}

// In the list of open handles until it is freed.
struct handle *handle_new(const struct node *, const struct fuse_file_info *);
void handle_free(struct handle *);
// Its writer, which lives as long as the handle; NULL: there is none.
struct writer *handle_writer(struct handle *);
// The change through it that could not begin, or 0.
int handle_failed(struct handle *, struct err *err);
// What the handle has is done with, and stays until it is closed: calls may be using it. With its lock.
int handle_put_past(struct handle *, struct err *err);

// The handle becomes one of its inode's readers or writers; false: the inode has others already.
bool handle_enter(struct handle *);
bool handles_reading(const struct node *); // any that entered

// Does the object `etag`, for which the inode stands, stand under its path still, as far as this mount knows?
bool handle_is_there(struct stack *, const struct node *, const char *etag);
// What ops_open.c, ops_read.c and ops_write.c share; -ESTALE: the kernel looks the name up anew and opens what stands there.
int handle_stale(struct stack *, const struct node *, const char *etag, struct err *err);
int handle_other_inode(struct stack *, const struct node *, struct err *err);
int handle_open_reader(struct stack *, const struct node *, struct handle *, struct err *err);
// What is written under the node's path, if it changes or replaces what the node stands for: an inode whose name was removed
// or replaced has no part in what somebody writes under that name now. `ino` 0: not by an inode of it.
struct writer *handle_join_own(struct stack *, const struct node *, uint64_t ino, pid_t tid,
                               pid_t opener);
// The same for a change, or NULL: *old is what the node stands for then.
struct writer *handle_join_writing(struct stack *, struct node *, pid_t tid, pid_t opener,
                                   struct tree_stat *old);
