// From keys to files. Every component is opened by itself with O_NOFOLLOW, below the one before: a symbolic link or ".."
// is never followed, whoever else changes the directory meanwhile.
#include "backend/base/scope.h"
#include "backend/store/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int dir_fail(struct err *err, int code, const char *what, const char *key)
{
    int as = EIO; // ESTALE too: of NFS, not of the contract
    switch (code) {
    case ENOENT:
    case EACCES:
    case EEXIST:
    case ENOSPC:
    case EFBIG:
    case EISDIR:
    case ENOTDIR:
    case EINVAL:
    case ENAMETOOLONG:
    case ENOMEM:
        as = code;
        break;
    case EPERM:
    case EROFS:
        as = EACCES;
        break;
    case EDQUOT:
        as = ENOSPC;
        break;
    case ELOOP:
        as = ENOTDIR;
        break;
    }
    const char *reason = strerrordesc_np(code);
    return err_set(err, as, "%s '%s': %s", what, key, reason ? reason : "unknown error");
}

static int component_check(const char *name, size_t len, const char *key, struct err *err)
{
    if (len == 0)
        return err_set(err, EINVAL, "'%s' cannot be a file: an empty name stands in it", key);
    if ((len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
        return err_set(err, EINVAL, "'%s' cannot be a file: '.' or '..' stands in it", key);
    if (len > DIR_NAME_CHARS)
        return err_set(err, ENAMETOOLONG,
                       "'%s' cannot be a file: a name in it is %zu bytes long, at most %d fit", key,
                       len, DIR_NAME_CHARS);
    if (name == key && len == strlen(DIR_TMP) && memcmp(name, DIR_TMP, len) == 0)
        return err_set(err, EINVAL, "'%s' cannot be a file: '%s' is the store's own", key, DIR_TMP);
    return 0;
}

int dir_key_check(const char *key, struct err *err)
{
    if (strlen(key) > STORE_KEY_BYTES)
        return err_set(err, ENAMETOOLONG, "a key of %zu bytes: at most %d are allowed", strlen(key),
                       STORE_KEY_BYTES);
    for (const char *name = key;; name++) {
        size_t len = strcspn(name, "/");
        int rc = component_check(name, len, key, err);
        if (rc < 0)
            return rc;
        name += len;
        if (*name == '\0')
            return 0;
    }
}

bool dir_absent(int rc)
{
    return rc == -ENOENT || rc == -ENOTDIR || rc == -EINVAL || rc == -ENAMETOOLONG;
}

static int open_child(int at, const char *name, bool make, int *out_fd)
{
    int fd = openat(at, name, OPEN_DIRECTORY);
    if (fd < 0 && errno == ENOENT && make) {
        if (mkdirat(at, name, 0700) == 0) {
            if (fsync(at) < 0)
                return -errno;
        } else if (errno != EEXIST) {
            // the directory we stand in was removed
            return errno == ENOENT ? -EAGAIN : -errno;
        }
        fd = openat(at, name, OPEN_DIRECTORY);
        if (fd < 0 && errno == ENOENT)
            return -EAGAIN;
    }
    if (fd < 0)
        return -errno;
    *out_fd = fd;
    return 0;
}

int dir_open_parent(struct dir_store *d, const char *key, bool make, int *out_fd,
                    const char **out_name, struct err *err)
{
    auto_fd int at = openat(d->root, ".", OPEN_DIRECTORY);
    if (at < 0)
        return dir_fail(err, errno, "open the store's directory", d->path);
    const char *name = key;
    for (const char *slash; (slash = strchr(name, '/')); name = slash + 1) {
        size_t len = (size_t)(slash - name);
        int rc = component_check(name, len, key, err);
        if (rc < 0)
            return rc;
        char component[DIR_NAME_CHARS + 1];
        memcpy(component, name, len);
        component[len] = '\0';
        int child = -1;
        rc = open_child(at, component, make, &child);
        if (rc == -EAGAIN)
            return err_set(err, EAGAIN, "'%s': its directory is removed all the time", key);
        if (rc == -ENOTDIR || rc == -ELOOP)
            return err_set(err, ENOTDIR, "'%s': '%.*s' is not a directory", key, (int)(slash - key),
                           key);
        if (rc < 0)
            return dir_fail(err, -rc, "open the directory of", key);
        close(at);
        at = child;
    }
    *out_fd = at;
    at = -1;
    *out_name = name;
    return 0;
}

int dir_open_object(struct dir_store *d, const char *key, int *out_fd, struct stat *out,
                    struct err *err)
{
    auto_fd int parent = -1;
    const char *name = key;
    int rc = dir_key_check(key, NULL);
    if (rc == 0)
        rc = dir_open_parent(d, key, false, &parent, &name, err);
    if (dir_absent(rc))
        return err_set(err, ENOENT, "get '%s': no such object", key);
    if (rc < 0)
        return rc;
    // a FIFO must not block
    auto_fd int fd =
        openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO))
        return err_set(err, ENOENT, "get '%s': no such object", key);
    if (fd < 0)
        return dir_fail(err, errno, "get", key);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return dir_fail(err, errno, "get", key);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ENOENT, "get '%s': no such object", key);
    *out_fd = fd;
    fd = -1;
    *out = st;
    return 0;
}

void dir_stat_fill(const struct stat *st, struct store_stat *out)
{
    *out = (struct store_stat){.size = (uint64_t)st->st_size, .last_modified = st->st_mtim};
    snprintf(out->etag, sizeof(out->etag),
             "%" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%" PRIx64 "-%" PRIx64 ".%" PRIx64,
             (uint64_t)st->st_dev, (uint64_t)st->st_ino, (uint64_t)st->st_size,
             (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
             (uint64_t)st->st_ctim.tv_sec, (uint64_t)st->st_ctim.tv_nsec);
}

int dir_open_match(struct dir_store *d, const char *what, const char *key, const char *if_match,
                   int *out_fd, struct store_stat *out, struct err *err)
{
    struct stat st = {0};
    auto_fd int fd = -1;
    int rc = dir_open_object(d, key, &fd, &st, err);
    if (rc < 0)
        return rc;
    struct store_stat now;
    dir_stat_fill(&st, &now);
    if (if_match && strcmp(now.etag, if_match) != 0)
        return err_set(err, ESTALE, "%s '%s': another object stands there now", what, key);
    *out = now;
    *out_fd = fd;
    fd = -1;
    return 0;
}

int dir_open_tmp(struct dir_store *d, int *out_fd, struct err *err)
{
    int rc = -EAGAIN;
    for (int i = 0; i < 100 && rc == -EAGAIN; i++)
        rc = open_child(d->root, DIR_TMP, true, out_fd);
    if (rc < 0)
        return dir_fail(err, -rc, "open " DIR_TMP " in", d->path);
    return 0;
}

int dir_lock(struct dir_store *d, int *out_fd, struct err *err)
{
    auto_fd int tmp = -1;
    int rc = dir_open_tmp(d, &tmp, err);
    if (rc < 0)
        return rc;
    // opened anew each time: flock excludes open files, so threads of one process exclude each other too
    auto_fd int fd = openat(tmp, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return dir_fail(err, errno, "open " DIR_TMP "/lock in", d->path);
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return dir_fail(err, errno, "lock " DIR_TMP "/lock in", d->path);
    *out_fd = fd;
    fd = -1;
    return 0;
}
