// The directory store from the inside: objects are files `path/KEY`, what is being written stands in `path/.bakfs-tmp/`
// until it is renamed. dir.c is reading, removing and the table; dir_path.c finds files without ever leaving the
// directory; dir_write.c puts; dir_upload.c is multipart; dir_list.c lists.
//
// What a kill -9 may leave in .bakfs-tmp:
//     ID.key    a symbolic link to "key:KEY" that nobody follows: made and removed in one step, so it is never half
//     ID.part   the bytes of upload ID; there only while ID.key is, so that every upload can be listed and aborted
//     ID.put    the bytes of a put, locked while its writer lives; check() removes those that are not
//     lock      its flock is held from looking at the old generation until the new one stands
// Threads: nothing changes after construction; all state is in the directory.
#pragma once

#include "backend/base/err.h"
#include "backend/store/store.h"

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>

#define DIR_TMP ".bakfs-tmp"
#define DIR_ID_CHARS 32
#define DIR_NAME_CHARS 255 // a component

struct dir_store {
    struct store store;
    int root;
    char *path; // for sentences
};

static inline struct dir_store *dir_of(struct store *store)
{
    return (struct dir_store *)store;
}

static inline void dir_scope_closedir(DIR *const *dir)
{
    if (*dir)
        closedir(*dir);
}
#define auto_dir __attribute__((cleanup(dir_scope_closedir)))

// --- dir_path.c ---

// "what 'key': reason", with the errno put into the words of the store contract.
int dir_fail(struct err *err, int code, const char *what, const char *key);
// -EINVAL, -ENAMETOOLONG: no file can stand for this key.
int dir_key_check(const char *key, struct err *err);
// True for the codes that say there is no file under a key: absent, or something other than directories on the way.
bool dir_absent(int rc);
// Opens the directory that `key`'s last component is in; *out_name points to that component in `key` ("" for a key that
// ends in '/'). `make` makes what is missing; -EAGAIN: somebody removed it at the same time, do it again.
int dir_open_parent(struct dir_store *d, const char *key, bool make, int *out_fd,
                    const char **out_name, struct err *err);
// -ENOENT for all that is not a regular file.
int dir_open_object(struct dir_store *d, const char *key, int *out_fd, struct stat *out,
                    struct err *err);
void dir_stat_fill(const struct stat *st, struct store_stat *out);
// The same, and -ESTALE when its ETag is not `if_match` (which may be NULL). `what` ("get") is for the sentence.
int dir_open_match(struct dir_store *d, const char *what, const char *key, const char *if_match,
                   int *out_fd, struct store_stat *out, struct err *err);
int dir_open_tmp(struct dir_store *d, int *out_fd, struct err *err);
// Closing *out_fd unlocks.
int dir_lock(struct dir_store *d, int *out_fd, struct err *err);

// --- dir_write.c ---

int dir_new_id(char out[DIR_ID_CHARS + 1], struct err *err);
int dir_write_body(int fd, uint64_t off, struct source *body, const char *key, struct err *err);
// Makes the file `tmp_name` of .bakfs-tmp, open as `fd`, the object: synced, renamed, the directory synced.
int dir_publish(struct dir_store *d, int tmp, int fd, const char *tmp_name, const char *key,
                const struct store_cond *cond, struct store_stat *out, struct err *err);
int dir_put(struct store *, const char *key, struct source *body, const struct store_cond *,
            struct store_stat *out, struct err *);
int dir_copy(struct store *, const char *from, const char *if_match, const char *to,
             struct store_stat *out, struct err *);

// Copies `len` bytes; -EUCLEAN when `from` ends before. `key` is for the sentence.
int dir_copy_bytes(int from, uint64_t from_off, int to, uint64_t to_off, uint64_t len,
                   const char *key, struct err *err);

// --- dir_upload.c ---

int dir_upload_begin(struct store *, const char *key, char out_id[STORE_UPLOAD_ID_BYTES],
                     struct err *);
int dir_put_part(struct store *, const char *key, const char *id, unsigned number, uint64_t off,
                 struct source *body, struct store_part *out, struct err *);
int dir_copy_part(struct store *, const char *key, const char *id, unsigned number, uint64_t off,
                  const char *from, const char *if_match, uint64_t from_off, uint64_t len,
                  struct store_part *out, struct err *);
int dir_upload_complete(struct store *, const char *key, const char *id,
                        const struct store_part *parts, unsigned count, const struct store_cond *,
                        struct store_stat *out, struct err *);
int dir_upload_abort(struct store *, const char *key, const char *id, struct err *);
int dir_list_uploads(struct store *, const char *prefix,
                     int (*each)(void *ctx, const struct store_upload *), void *ctx, struct err *);
int dir_upload_touched(struct store *, const char *key, const char *id, struct timespec *out,
                       struct err *);

// --- dir_list.c ---

int dir_list(struct store *, const char *prefix, const char *after, bool fold, unsigned max,
             int (*each)(void *ctx, const struct store_entry *), void *ctx, bool *out_more,
             struct err *);
