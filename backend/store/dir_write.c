// Puts and copies: a temporary file, synced, then renamed to its key, then the directory synced.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

#define PIECE_BYTES ((size_t)256 << 10)
#define PUBLISH_TRIES 100

int dir_new_id(char out[DIR_ID_CHARS + 1], struct err *err)
{
    uint8_t bytes[DIR_ID_CHARS / 2];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return err_errno(err, EIO, "random bytes");
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

static int write_all(int fd, uint64_t off, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, bytes, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int dir_write_body(int fd, uint64_t off, struct source *body, const char *key, struct err *err)
{
    uint64_t end;
    if (!add_u64(off, body->size, &end) || end > INT64_MAX)
        return err_set(err, EFBIG, "put '%s': %llu bytes at %llu are beyond any file", key,
                       (unsigned long long)body->size, (unsigned long long)off);
    auto_free uint8_t *piece = malloc(PIECE_BYTES);
    if (!piece)
        return err_set(err, ENOMEM, "put '%s': out of memory", key);
    for (uint64_t at = 0; at < body->size;) {
        size_t len = min_u64(PIECE_BYTES, body->size - at);
        int rc = source_read_at(body, at, piece, len, err);
        if (rc < 0)
            return rc;
        rc = write_all(fd, off + at, piece, len);
        if (rc < 0)
            return dir_fail(err, -rc, "put", key);
        at += len;
    }
    return 0;
}

// With the lock held.
static int check_match(int parent, const char *name, const char *if_match, const char *key,
                       struct err *err)
{
    struct stat st;
    struct store_stat now;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT)
            return dir_fail(err, errno, "put", key);
        return err_set(err, EEXIST, "put '%s': the object to replace is gone", key);
    }
    dir_stat_fill(&st, &now);
    if (strcmp(now.etag, if_match) != 0)
        return err_set(err, EEXIST, "put '%s': somebody else replaced it meanwhile", key);
    return 0;
}

static int rename_absent(int tmp, const char *tmp_name, int parent, const char *name)
{
    if (renameat2(tmp, tmp_name, parent, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    // a file system without it (NFS): a link fails just so when the name is taken
    if (linkat(tmp, tmp_name, parent, name, 0) < 0)
        return -errno;
    if (unlinkat(tmp, tmp_name, 0) < 0)
        return -errno;
    return 0;
}

static int rename_failed(int code, int parent, const char *name, const char *key, struct err *err)
{
    struct stat st;
    if (code == EISDIR || (code == EEXIST && fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                           S_ISDIR(st.st_mode)))
        return err_set(err, EISDIR, "put '%s': a directory stands there", key);
    if (code == EEXIST)
        return err_set(err, EEXIST, "put '%s': it exists already", key);
    return dir_fail(err, code, "put", key);
}

// -EAGAIN: the directory was removed between opening and renaming.
static int publish_once(struct dir_store *d, int tmp, int fd, const char *tmp_name, const char *key,
                        const struct store_cond *cond, int *out_parent, struct err *err)
{
    auto_fd int lock = -1;
    auto_fd int parent = -1;
    const char *name = key;
    int rc = dir_lock(d, &lock, err);
    if (rc == 0)
        rc = dir_open_parent(d, key, true, &parent, &name, err);
    if (rc == 0 && cond && cond->if_match)
        rc = check_match(parent, name, cond->if_match, key, err);
    if (rc < 0)
        return rc;
    if (cond && cond->if_absent)
        rc = rename_absent(tmp, tmp_name, parent, name);
    else if (renameat(tmp, tmp_name, parent, name) < 0)
        rc = -errno;
    struct stat st;
    if (rc == -ENOENT && fstat(fd, &st) == 0 && st.st_nlink > 0)
        return err_set(err, EAGAIN, "put '%s': its directory is removed all the time", key);
    if (rc < 0)
        return rename_failed(-rc, parent, name, key, err);
    *out_parent = parent;
    parent = -1;
    return 0;
}

int dir_publish(struct dir_store *d, int tmp, int fd, const char *tmp_name, const char *key,
                const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    // The kernel stamps files by its tick: two generations within one that get the same inode number would have the
    // same ETag. The clock's nanoseconds tell them apart.
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (futimens(fd, (struct timespec[2]){now, now}) < 0 || fsync(fd) < 0)
        return dir_fail(err, errno, "put", key);
    auto_fd int parent = -1;
    int rc = -EAGAIN;
    for (int i = 0; i < PUBLISH_TRIES && rc == -EAGAIN; i++)
        rc = publish_once(d, tmp, fd, tmp_name, key, cond, &parent, err);
    if (rc == -EAGAIN)
        return err_set(err, EIO, "put '%s': its directory is removed all the time", key);
    if (rc < 0)
        return rc;
    struct stat st;
    // after the rename, which changes the ctime and so the ETag
    if (fsync(parent) < 0 || fstat(fd, &st) < 0)
        return dir_fail(err, errno, "put", key);
    if (out)
        dir_stat_fill(&st, out);
    return 0;
}

// The file is locked as long as it is written: who finds it unlocked knows that its writer is dead (dir.c). -EAGAIN: that
// was found in the moment before.
static int make_put(int tmp, const char *name, const char *key, int *out_fd, struct err *err)
{
    auto_fd int fd = openat(tmp, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return dir_fail(err, errno, "put", key);
    struct stat st;
    // where there are no locks nobody can lock it to remove it either
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return err_set(err, EAGAIN, "put '%s': its temporary file is taken for a dead one", key);
    if (fstat(fd, &st) < 0)
        return dir_fail(err, errno, "put", key);
    if (st.st_nlink == 0)
        return err_set(err, EAGAIN, "put '%s': its temporary file is removed all the time", key);
    *out_fd = fd;
    fd = -1;
    return 0;
}

static int open_put(struct dir_store *d, const char *key, int *out_tmp, int *out_fd,
                    char out_name[DIR_ID_CHARS + 8], struct err *err)
{
    char id[DIR_ID_CHARS + 1];
    int rc = dir_key_check(key, err);
    auto_fd int tmp = -1;
    if (rc == 0)
        rc = dir_open_tmp(d, &tmp, err);
    if (rc < 0)
        return rc;
    rc = -EAGAIN;
    for (int i = 0; i < PUBLISH_TRIES && rc == -EAGAIN; i++) {
        rc = dir_new_id(id, err);
        if (rc < 0)
            return rc;
        snprintf(out_name, DIR_ID_CHARS + 8, "%s.put", id);
        rc = make_put(tmp, out_name, key, out_fd, err);
    }
    if (rc == -EAGAIN)
        return err_set(err, EIO, "put '%s': its temporary file is removed all the time", key);
    if (rc < 0)
        return rc;
    *out_tmp = tmp;
    tmp = -1;
    return 0;
}

int dir_put(struct store *store, const char *key, struct source *body,
            const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    struct dir_store *d = dir_of(store);
    auto_fd int tmp = -1;
    auto_fd int fd = -1;
    char name[DIR_ID_CHARS + 8];
    int rc = open_put(d, key, &tmp, &fd, name, err);
    if (rc < 0)
        return rc;
    rc = dir_write_body(fd, 0, body, key, err);
    if (rc == 0)
        rc = dir_publish(d, tmp, fd, name, key, cond, out, err);
    if (rc < 0)
        unlinkat(tmp, name, 0);
    return rc;
}

int dir_copy_bytes(int from, uint64_t from_off, int to, uint64_t to_off, uint64_t len,
                   const char *key, struct err *err)
{
    uint64_t at = 0;
    while (at < len) {
        // shares the blocks where the file system can
        off_t in = (off_t)(from_off + at), out = (off_t)(to_off + at);
        ssize_t n = copy_file_range(from, &in, to, &out, min_u64(len - at, GIB), 0);
        if (n <= 0)
            break; // whatever it is, reading and writing say it better
        at += (uint64_t)n;
    }
    auto_free uint8_t *piece = malloc(PIECE_BYTES);
    if (!piece)
        return err_set(err, ENOMEM, "copy '%s': out of memory", key);
    while (at < len) {
        ssize_t n = pread(from, piece, min_u64(PIECE_BYTES, len - at), (off_t)(from_off + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dir_fail(err, errno, "copy", key);
        if (n == 0)
            return err_set(err, EUCLEAN, "copy '%s': it is shorter than it was", key);
        int rc = write_all(to, to_off + at, piece, (size_t)n);
        if (rc < 0)
            return dir_fail(err, -rc, "copy", key);
        at += (uint64_t)n;
    }
    return 0;
}

int dir_copy(struct store *store, const char *from, const char *if_match, const char *to,
             struct store_stat *out, struct err *err)
{
    struct dir_store *d = dir_of(store);
    auto_fd int source = -1;
    struct store_stat now = {0};
    int rc = dir_open_match(d, "copy", from, if_match, &source, &now, err);
    if (rc < 0)
        return rc;
    auto_fd int tmp = -1;
    auto_fd int fd = -1;
    char name[DIR_ID_CHARS + 8];
    rc = open_put(d, to, &tmp, &fd, name, err);
    if (rc < 0)
        return rc;
    rc = dir_copy_bytes(source, 0, fd, 0, now.size, from, err);
    if (rc == 0)
        rc = dir_publish(d, tmp, fd, name, to, NULL, out, err);
    if (rc < 0)
        unlinkat(tmp, name, 0);
    return rc;
}
