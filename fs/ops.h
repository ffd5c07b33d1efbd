// The FUSE callbacks: unpack, call, answer errno, log once. ops*.c, handles.c, session.c and loop.c alone include libfuse.
//     ops.c         names: lookup, attributes
//     ops_change.c  making and removing names
//     ops_dir.c     listing
//     ops_open.c, ops_read.c, ops_write.c    open files; handles.h is what they share
//     ops_xattr.c   extended attributes
#pragma once

#define FUSE_USE_VERSION 312

#include "backend/base/err.h"
#include "fs/stack.h"

#include <fuse_lowlevel.h>

extern const struct fuse_lowlevel_ops mount_ops;

struct session;                        // session.c; the user data of every request
void session_served(struct session *); // the kernel's INIT was answered
struct stack *session_stack(struct session *);

static inline struct stack *ops_stack(fuse_req_t req)
{
    return session_stack(fuse_req_userdata(req));
}

// Answers with an errno, and logs the sentence unless there is none to log (err NULL) or too many were.
void ops_refuse(fuse_req_t req, const char *operation, const char *path, int rc,
                const struct err *err);

struct node *ops_node(fuse_req_t req, fuse_ino_t ino); // asserts that the kernel knows it
// parent/name; false, answered, when it is too long.
#define OPS_PATH_BYTES 4096
bool ops_child(fuse_req_t req, const struct node *parent, const char *name,
               char out[OPS_PATH_BYTES]);
void ops_attr(struct stack *, const struct node *, const struct tree_stat *, struct stat *out);
// Attributes of what is being written under the node's path, if so.
bool ops_look_writing(struct stack *, const struct node *, struct tree_stat *out);
int ops_check_writable(struct stack *, struct err *err);
struct timespec ops_now(struct stack *);

// Answers with the node of `path`, as `stat` shows it.
void ops_reply_entry(fuse_req_t, const char *path, enum node_kind, const struct tree_stat *);

// ops_change.c
void on_mkdir(fuse_req_t, fuse_ino_t parent, const char *name, mode_t);
void on_unlink(fuse_req_t, fuse_ino_t parent, const char *name);
void on_rmdir(fuse_req_t, fuse_ino_t parent, const char *name);
void on_rename(fuse_req_t, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
               const char *to_name, unsigned flags);
void on_mknod(fuse_req_t, fuse_ino_t parent, const char *name, mode_t, dev_t);
void on_symlink(fuse_req_t, const char *target, fuse_ino_t parent, const char *name);
void on_link(fuse_req_t, fuse_ino_t, fuse_ino_t parent, const char *name);
// ops_dir.c
void ops_close_left_dirs(void); // as ops_close_left
void on_opendir(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
void on_readdir(fuse_req_t, fuse_ino_t, size_t, off_t, struct fuse_file_info *);
void on_releasedir(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
// Where HOST/latest/PARTITION leads: "../DATE/NAME". ENOENT.
int ops_latest_target(struct stack *, const char *link_path, char out[OPS_PATH_BYTES],
                      struct err *err);
// ops_open.c, ops_read.c, ops_write.c, handles.c
void on_create(fuse_req_t, fuse_ino_t parent, const char *name, mode_t, struct fuse_file_info *);
void on_open(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
void on_read(fuse_req_t, fuse_ino_t, size_t, off_t, struct fuse_file_info *);
void on_write(fuse_req_t, fuse_ino_t, const char *, size_t, off_t, struct fuse_file_info *);
void on_flush(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
void on_fsync(fuse_req_t, fuse_ino_t, int datasync, struct fuse_file_info *);
void on_release(fuse_req_t, fuse_ino_t, struct fuse_file_info *);
// Sets the length of an open or closed file; for setattr.
int ops_truncate(struct stack *, struct node *, uint64_t handle, pid_t tid, uint64_t size,
                 struct err *err);
// Does anybody hold the node open?
bool ops_is_open(const struct node *);
// Does anybody hold the file open for writing, by any inode?
bool ops_is_changing(const char *path);
void ops_close_left(void); // handles the kernel never released (the session ended): frees them
// ops_xattr.c
void on_getxattr(fuse_req_t, fuse_ino_t, const char *name, size_t);
void on_setxattr(fuse_req_t, fuse_ino_t, const char *name, const char *, size_t, int);
void on_listxattr(fuse_req_t, fuse_ino_t, size_t);
void on_removexattr(fuse_req_t, fuse_ino_t, const char *name);
// ops_names.c
void ops_names(fuse_req_t, const struct node *, size_t); // answers user.bakfs.names
