// bakfs confirm: is it in the store, whole? Asks the daemon, which asks the store.
#include "tools/confirm.h"

#include "backend/base/scope.h"
#include "conf/conf.h"
#include "tools/cli.h"
#include "tools/mounted.h"
#include "tools/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static const char help[] =
    "Usage: bakfs confirm PATH...\n"
    "\n"
    "Asks the store, not a cache, whether each file is there, whole. A directory is confirmed "
    "when\n"
    "it has files and each of them is. Exit code 0: all of them are; 1: at least one is not, and\n"
    "the message says which and why.\n"
    "\n"
    "  -q, --quiet   no output when all is well\n"
    "  -c, --conf    the configuration, to say so when its mount is missing\n"
    "\n"
    "Example, for programs that do not look at the result of close:\n"
    "  pg_dump orders > /mnt/bak/db1/$(date +%F)/orders.sql &&\n"
    "      bakfs confirm /mnt/bak/db1/$(date +%F)/orders.sql\n";

// The file is held by O_PATH, so that what is judged and what is asked are one and the same.
static int judge_place(const char *path, int fd, struct stat *out_st, struct err *err)
{
    if (fstat(fd, out_st) != 0)
        return err_errno(err, errno, "%s", path);
    bool bakfs = false;
    int rc = mounted_device(out_st->st_dev, &bakfs, err);
    if (rc == 0 && !bakfs)
        rc = err_set(err, EXDEV, "%s: not on a bakfs mount: it is not in the store", path);
    return rc;
}

static int hold(const char *path, struct stat *out_st, struct err *err)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ENOENT, "%s: not in the store: no such file", path);
    if (fd < 0 && errno == ENOTCONN)
        return err_set(err, ENOTCONN,
                       "%s: the daemon of this mount is gone (bakfs umount --lazy && bakfs mount)",
                       path);
    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    int rc = judge_place(path, fd, out_st, err);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

static int confirm_file(const char *path, int fd, struct err *err)
{
    char link[64], state[32];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = getxattr(link, "user.bakfs.state", state, sizeof(state) - 1);
    if (len < 0 && errno == ENOENT)
        return err_set(err, ENOENT,
                       "%s: not in the store: the mount still showed it, but the store has nothing "
                       "under that name (the log says more)",
                       path);
    if (len < 0)
        return err_errno(err, errno, "%s: the daemon does not say", path);
    state[len] = '\0';
    if (strcmp(state, "sealed") == 0)
        return 0;
    if (strcmp(state, "writing") == 0)
        return err_set(err, EBUSY, "%s: not in the store yet: it is still being written", path);
    if (strcmp(state, "damaged") == 0)
        return err_set(err, EBADMSG,
                       "%s: damaged: what is stored under that name is not what was written (the "
                       "log says where)",
                       path);
    if (strcmp(state, "failed") == 0)
        return err_set(err, EIO,
                       "%s: the last write of it failed (see .bakfs/status.json); what is stored "
                       "under that name is older",
                       path);
    return err_set(err, EIO,
                   "%s: state %s: something is stored under that name, but bakfs did not "
                   "write it or cannot read its header",
                   path, state);
}

static int confirm_one(const char *path, struct err *err)
{
    struct stat st = {0};
    int held = hold(path, &st, err);
    if (held < 0)
        return held;
    auto_fd int fd = held;
    return confirm_file(path, fd, err);
}

// What was replaced in between is asked for again, once.
static int confirm_now(const char *path, struct err *err)
{
    int rc = confirm_one(path, err);
    return rc == -ESTALE ? confirm_one(path, err) : rc;
}

static int confirm_tree(const char *path, struct err *err)
{
    auto_free char *start = realpath(path, NULL); // fts would show a link to a directory as a link
    if (!start)
        return err_errno(err, errno, "%s", path);
    char *starts[] = {start, NULL};
    FTS *walk = fts_open(starts, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return err_errno(err, errno, "%s", path);
    int rc = 0;
    size_t files = 0;
    errno = 0;
    for (FTSENT *entry; rc == 0 && (entry = fts_read(walk)); errno = 0) {
        if (entry->fts_info == FTS_F) {
            files++;
            rc = confirm_now(entry->fts_path, err);
        } else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR ||
                   entry->fts_info == FTS_NS) {
            rc = err_errno(err, entry->fts_errno, "%s", entry->fts_path);
        }
    }
    if (rc == 0 && errno != 0)
        rc = err_errno(err, errno, "%s", path);
    fts_close(walk);
    if (rc == 0 && files == 0)
        rc = err_set(err, ENOENT, "%s: a directory without files: nothing of it is in the store",
                     path);
    return rc;
}

int confirm_path(const char *path, struct err *err)
{
    struct stat st = {0};
    int held = hold(path, &st, err);
    if (held < 0)
        return held;
    auto_fd int fd = held;
    return S_ISDIR(st.st_mode) ? confirm_tree(path, err) : confirm_file(path, fd, err);
}

// Under a missing mount nothing is found, and that is what should be said.
static bool mount_is_missing(const char *conf_path, char *hint, size_t room)
{
    struct conf *conf = NULL;
    if (conf_load(conf_path, &conf, NULL) != 0)
        return false;
    bool missing = *conf->mount.point && mounted_check(conf->mount.point, NULL) != 0;
    if (missing)
        snprintf(hint, room, "no bakfs is mounted at %s: bakfs mount", conf->mount.point);
    conf_free(conf);
    return missing;
}

int verb_confirm(int argc, char **argv)
{
    static const struct option options[] = {{"quiet", no_argument, NULL, 'q'},
                                            {"conf", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    bool quiet = false;
    const char *conf_path = NULL;
    for (int c; (c = getopt_long(argc, argv, "qc:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (c == 'q')
            quiet = true;
        else if (c == 'c')
            conf_path = optarg;
        else
            return cli_usage("bakfs confirm", "wrong usage");
    }
    if (optind == argc)
        return cli_usage("bakfs confirm", "which PATH?");
    int code = CLI_DONE;
    for (int i = optind; i < argc; i++) {
        struct err err = {0};
        if (confirm_path(argv[i], &err) != 0) {
            char hint[512];
            bool missing = (err.code == ENOENT || err.code == EXDEV) &&
                           mount_is_missing(conf_path, hint, sizeof(hint));
            code = cli_fail("bakfs confirm", &err, missing ? hint : NULL);
        } else if (!quiet) {
            cli_print_safe(stdout, argv[i]);
            puts(": in the store, whole");
        }
    }
    return cli_finish("bakfs confirm", code);
}
