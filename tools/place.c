#include "tools/place.h"

#include "backend/base/scope.h"
#include "tools/mounted.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

int place_make(const char *path, unsigned mode, struct err *err)
{
    auto_free char *copy = strdup(path);
    if (!copy)
        return err_errno(err, ENOMEM, "make %s", path);
    size_t len = strlen(copy);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    for (char *p = copy + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(copy, 0755) != 0 && errno != EEXIST)
            return err_errno(err, errno, "make %s", copy);
        *p = '/';
    }
    if (mkdir(copy, mode) != 0 && errno != EEXIST)
        return err_errno(err, errno, "make %s", copy);
    struct stat st;
    if (stat(copy, &st) != 0)
        return err_errno(err, errno, "%s", copy);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ENOTDIR, "%s is not a directory", copy);
    return 0;
}

static int check_empty(const char *path, struct err *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return err_errno(err, errno, "%s", path);
    bool empty = true;
    for (const struct dirent *entry; empty && (entry = readdir(dir));)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(dir);
    if (!empty)
        return err_set(err, ENOTEMPTY,
                       "%s is not empty: choose another mount point, or move away what is in it",
                       path);
    return 0;
}

// Not every file system has this flag.
static bool make_immutable(int fd)
{
    int flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0)
        return false;
    flags |= FS_IMMUTABLE_FL;
    return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

enum place_lock place_locked(int fd)
{
    int flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0)
        return PLACE_NO_LOCK;
    return flags & FS_IMMUTABLE_FL ? PLACE_LOCKED : PLACE_UNLOCKED;
}

int place_guard(int fd, const char *path, bool lock, bool *out_locked, struct err *err)
{
    struct stat st;
    bool closed = fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0;
    if (!closed && fchmod(fd, 0) != 0)
        return err_errno(err, errno, "chmod 000 %s", path);
    *out_locked = lock && make_immutable(fd);
    return 0;
}

int place_make_mount_point(const char *path, bool lock, bool *out_locked, struct err *err)
{
    int rc = place_make(path, 0700, err);
    if (rc != 0)
        return rc;
    bool mounted = false;
    rc = mounted_any(path, &mounted, err);
    if (rc != 0)
        return rc;
    if (mounted)
        return err_set(err, EBUSY,
                       "something is mounted at %s already: unmount it, or choose another mount "
                       "point",
                       path);
    rc = check_empty(path, err);
    if (rc != 0)
        return rc;
    *out_locked = false;
    if (geteuid() != 0) // a user needs to own and write it: fusermount3 asks for that
        return 0;
    auto_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    return place_guard(fd, path, lock, out_locked, err);
}
