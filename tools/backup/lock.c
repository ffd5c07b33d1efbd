#include "tools/backup/lock.h"

#include "backend/base/crypto.h"
#include "backend/base/scope.h"
#include "tools/catalog/backups.h"
#include "tools/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define WAIT_NS 100000000 // while another backup of the same place is made

// NAME may hold anything, and another mount's NAME is another one. `sort` tells a NAME from a place.
static void lock_name(const struct conf *conf, const char *sort, const char *name, char out[64])
{
    uint8_t sum[SHA256_BYTES];
    struct sha256 *s = sha256_new();
    if (s) {
        sha256_update(s, conf->mount.point, strlen(conf->mount.point) + 1);
        sha256_update(s, name, strlen(name));
        sha256_final(s, sum);
        sha256_free(s);
    } else {
        sha256(name, strlen(name), sum);
    }
    int len = snprintf(out, 64, "bakfs-%s-%u-", sort, (unsigned)geteuid());
    for (size_t i = 0; i < 8; i++)
        len += snprintf(out + len, 64 - (size_t)len, "%02x", sum[i]);
}

// The daemon's directory may not be ours to write to (a host where it runs as another user).
static int open_file(const struct conf *conf, const char *name, struct err *err)
{
    const char *const dirs[] = {conf->mount.state, "/run/lock", "/tmp"};
    int why = ENOENT;
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        char path[4200];
        if (!*dirs[i])
            continue;
        snprintf(path, sizeof(path), "%.4096s/%s", dirs[i], name);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0)
            return fd;
        why = errno;
    }
    return err_errno(err, why, "no lock file in [mount] state, /run/lock or /tmp");
}

int backup_lock(const struct conf *conf, const struct conf_database *db, struct err *err)
{
    char name[64], holder[32] = "";
    lock_name(conf, "backup", db->name, name);
    int opened = open_file(conf, name, err);
    if (opened < 0)
        return opened;
    auto_fd int fd = opened;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int why = errno;
        if (why != EWOULDBLOCK)
            return err_errno(err, why, "lock");
        ssize_t len = pread(fd, holder, sizeof(holder) - 1, 0);
        long pid = len > 0 ? strtol(holder, NULL, 10) : 0;
        return err_set(
            err, EBUSY,
            "another backup of %s is running (pid %ld): wait for it, or end it with kill "
            "%ld",
            db->name, pid, pid);
    }
    int len = snprintf(holder, sizeof(holder), "%ld\n", (long)getpid());
    // who reads half of it reads another number: it is for people
    if (ftruncate(fd, 0) != 0 || pwrite(fd, holder, (size_t)len, 0) != len)
        return err_errno(err, errno ? errno : EIO, "write the lock file");
    int held = fd;
    fd = -1;
    return held;
}

int backup_lock_place(const struct conf *conf, const struct conf_database *db, struct err *err)
{
    char host[BACKUPS_HOST_BYTES], name[64];
    int rc = backups_host(db, host, err);
    if (rc != 0)
        return rc;
    auto_free char *place = NULL;
    if (asprintf(&place, "%s/%s", host, backups_partition(db)) < 0) {
        place = NULL;
        return err_errno(err, ENOMEM, "lock");
    }
    lock_name(conf, "place", place, name);
    int opened = open_file(conf, name, err);
    if (opened < 0)
        return opened;
    auto_fd int fd = opened;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_errno(err, errno, "lock");
        if (process_stop_asked())
            return err_set(err, EINTR, "stopped by signal %d", process_stop_signal());
        nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
    }
    int held = fd;
    fd = -1;
    return held;
}
