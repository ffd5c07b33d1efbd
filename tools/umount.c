// bakfs umount: unmounts, and returns when the daemon has stored what was being written and is gone.
#include "backend/base/scope.h"
#include "conf/conf.h"
#include "tools/cli.h"
#include "tools/holders.h"
#include "tools/mounted.h"
#include "tools/verb.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static const char help[] =
    "Usage: bakfs umount [DIR] [-l] [-c CONF]\n"
    "\n"
    "Unmounts DIR (default: the configuration's [mount] point) and waits until the daemon has\n"
    "stored what was closed and is gone. Says who still uses it when it is busy.\n"
    "\n"
    "  -l, --lazy    take it away at once, even when it is busy or its daemon died; open files\n"
    "                fail from then; nothing mounted is no error\n"
    "  -c, --conf    the configuration, for the mount point\n"
    "\n"
    "Example:\n"
    "  bakfs umount /mnt/bak\n";

// The daemon may take all of drain_deadline; beyond that and a minute something is wrong.
#define GRACE_MS 60000

// The daemon's pidfd, or -1 when it does not say who it is (it died).
static int daemon_pidfd(const char *dir)
{
    char text[32];
    for (int pidfd = -1;;) {
        ssize_t len = getxattr(dir, "user.bakfs.pid", text, sizeof(text) - 1);
        if (len <= 0)
            return pidfd;
        if (pidfd >= 0) // answered while we held it: the number is not a later process's
            return pidfd;
        text[len] = '\0';
        long pid = strtol(text, NULL, 10);
        pidfd = pid > 1 ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
        if (pidfd < 0)
            return -1;
    }
}

// Who is no root may unmount what is his through fuse's own helper.
static int unmount_as_user(const char *dir, const char *how, struct err *err)
{
    pid_t pid = fork();
    if (pid < 0)
        return err_errno(err, errno, "start fusermount3");
    if (pid == 0) {
        execlp("fusermount3", "fusermount3", how, "--", dir, (char *)NULL);
        _exit(127);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return err_errno(err, errno, "fusermount3");
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(err, ENOENT, "fusermount3 is not installed (package fuse3)");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(err, EBUSY, "%s: fusermount3 did not unmount it", dir);
    return 0;
}

static int unmount(const char *dir, struct err *err)
{
    if (geteuid() != 0)
        return unmount_as_user(dir, "-u", err);
    if (umount2(dir, UMOUNT_NOFOLLOW) == 0)
        return 0;
    if (errno == EBUSY)
        return err_set(err, EBUSY, "%s is busy", dir);
    return err_errno(err, errno, "unmount %s", dir);
}

static int wait_gone(int pidfd, uint64_t limit_ms, struct err *err)
{
    struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
    int quick = poll(&poll_fd, 1, 1000);
    if (quick == 0) {
        fprintf(stderr, "bakfs umount: waiting until everything is stored\n");
        quick = poll(&poll_fd, 1, limit_ms > INT32_MAX ? INT32_MAX : (int)limit_ms);
    }
    if (quick < 0)
        return err_errno(err, errno, "wait for the daemon");
    if (quick == 0)
        return err_set(
            err, ETIMEDOUT,
            "unmounted, but the daemon still runs after its drain_deadline; its log says "
            "what it waits for");
    return 0;
}

static int umount_lazily(const char *dir)
{
    struct err err;
    int rc = mounted_check(dir, &err);
    if (rc == -ENOENT)
        return CLI_DONE;
    if (rc != 0)
        return cli_fail("bakfs umount", &err, NULL);
    auto_free char *point = mounted_path(dir, &err);
    if (!point)
        return cli_fail("bakfs umount", &err, NULL);
    if (geteuid() != 0)
        rc = unmount_as_user(point, "-uz", &err);
    else if (umount2(point, UMOUNT_NOFOLLOW | MNT_DETACH) != 0)
        rc = err_errno(&err, errno, "unmount %s", point);
    return rc == 0 ? CLI_DONE : cli_fail("bakfs umount", &err, NULL);
}

static int umount_dir(const char *dir, uint64_t drain_ms)
{
    struct err err;
    if (mounted_check(dir, &err) != 0)
        return cli_fail("bakfs umount", &err, NULL);
    auto_free char *point = mounted_path(dir, &err);
    if (!point)
        return cli_fail("bakfs umount", &err, NULL);
    auto_fd int pidfd = daemon_pidfd(point);
    struct stat st;
    bool known = stat(point, &st) == 0;
    bool is_dead = !known && errno == ENOTCONN;
    if (unmount(point, &err) != 0) {
        cli_fail("bakfs umount", &err,
                 is_dead ? "its daemon died while files were open: bakfs umount --lazy" : NULL);
        if (err.code == EBUSY && known && holders_print(stderr, st.st_dev) == 0)
            fprintf(stderr,
                    "hint: nobody visible holds it; try as root, or look for mounts below it\n");
        return CLI_FAILED;
    }
    if (pidfd >= 0 && wait_gone(pidfd, drain_ms + GRACE_MS, &err) != 0)
        return cli_fail("bakfs umount", &err, NULL);
    return CLI_DONE;
}

int verb_umount(int argc, char **argv)
{
    static const struct option options[] = {{"lazy", no_argument, NULL, 'l'},
                                            {"conf", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *conf_path = NULL;
    bool lazy = false;
    for (int c; (c = getopt_long(argc, argv, "lc:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (c == 'c')
            conf_path = optarg;
        else if (c == 'l')
            lazy = true;
        else
            return cli_usage("bakfs umount", "wrong usage");
    }
    if (argc - optind > 1)
        return cli_usage("bakfs umount", "one DIR");
    struct conf *conf = NULL;
    struct err err;
    if (conf_load(conf_path, &conf, &err) != 0 && (conf_path || optind == argc))
        return cli_fail("bakfs umount", &err, NULL);
    const char *dir = optind < argc ? argv[optind] : conf->mount.point;
    // With DIR given, a configuration that cannot be read is no reason to stay mounted.
    uint64_t drain_ms = conf ? conf->mount.drain_deadline_ms : 600000;
    int code = CLI_DONE;
    if (!*dir)
        code = cli_usage("bakfs umount", "which DIR? the configuration has no [mount] point");
    else
        code = lazy ? umount_lazily(dir) : umount_dir(dir, drain_ms);
    conf_free(conf);
    return code;
}
