// This host: the daemon, what it can see, the directory under the mount, and what crawls through file systems.
#include "tools/doctor.h"

#include "backend/base/scope.h"
#include "tools/mounted.h"
#include "tools/place.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define UPDATEDB_MAX ((size_t)1 << 20)

// --- The daemon ---

void doctor_daemon(struct doctor *d)
{
    const char *point = d->conf->mount.point;
    struct err err;
    if (mounted_check(point, &err) != 0) {
        doctor_tell(d, DOCTOR_NOTE, "what only the daemon knows could not be asked", "bakfs mount",
                    "%s", err.text);
        return;
    }
    if (daemon_status_read(point, &d->daemon, &err) != 0) {
        doctor_tell(d, DOCTOR_PROBLEM, "the daemon does not answer", "bakfs umount, bakfs mount",
                    "%s", err.text);
        return;
    }
    d->mounted = true;
    if (d->store && strcmp(d->daemon.store, d->store->id) != 0)
        doctor_tell(d, DOCTOR_PROBLEM, "what was looked at here is not what is mounted", NULL,
                    "at %s another store is mounted: %s", point, d->daemon.store);
    else
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "mounted at %s%s", point,
                    d->daemon.read_only ? ", read-only" : "");
    if (d->daemon.files_failed > 0)
        doctor_tell(d, DOCTOR_NOTE, "they are not in the store", "cat .bakfs/status.json there",
                    "%" PRIu64 " files could not be stored since it was mounted",
                    d->daemon.files_failed);
}

void doctor_exit_codes(struct doctor *d)
{
    struct stat own;
    if (!d->mounted || d->daemon.read_only)
        return;
    bool elsewhere = d->daemon.pid_namespace && stat("/proc/self/ns/pid", &own) == 0 &&
                     own.st_ino != d->daemon.pid_namespace;
    if (d->daemon.blind)
        doctor_tell(d, DOCTOR_PROBLEM,
                    "a dump whose program exits with an error may be stored as whole",
                    "give the daemon CAP_SYS_PTRACE (start it as root, or the unit "
                    "AmbientCapabilities=CAP_SYS_PTRACE), then bakfs umount, bakfs mount",
                    "the daemon cannot see how other programs end");
    else if (elsewhere)
        doctor_tell(d, DOCTOR_PROBLEM,
                    "how programs outside of its own end it cannot see: what they write is stored "
                    "at their last close, also when they fail",
                    "run the daemon where the programs run that write",
                    "the daemon is in another PID namespace");
    else
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "the daemon sees how programs end");
}

// --- The mount point ---

// The directory itself, also while something is mounted on it: its parent's file system is looked at without the mounts in
// it (open_tree(2)), which needs root.
static int open_bare(const char *point)
{
    auto_free char *first = strdup(point);
    auto_free char *second = strdup(point);
    if (!first || !second)
        return -1;
    auto_fd int tree = open_tree(AT_FDCWD, dirname(first), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return -1;
    return openat(tree, basename(second), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_empty(int fd)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir) {
        if (copy >= 0)
            close(copy);
        return true;
    }
    bool empty = true;
    for (const struct dirent *e; empty && (e = readdir(dir));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(dir);
    return empty;
}

static void judge_guard(struct doctor *d, const char *point, int fd)
{
    struct stat st;
    struct err err;
    enum place_lock lock = place_locked(fd);
    if (fstat(fd, &st) != 0)
        return;
    if (!is_empty(fd))
        doctor_tell(d, DOCTOR_PROBLEM, "they are no backups, and a mount hides them",
                    "bakfs umount, and move them away", "files lie in %s, under the mount", point);
    bool closed = (st.st_mode & 07777) == 0;
    bool lockable = lock == PLACE_UNLOCKED && !d->no_immutable;
    static const char why[] = "what is written there while nothing is mounted lands on this disk";
    if (closed && !lockable) {
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "nothing can be put under the mount at %s", point);
    } else if (d->fix) {
        bool locked = false;
        if (place_guard(fd, point, !d->no_immutable, &locked, &err) == 0)
            doctor_tell(d, DOCTOR_OK, NULL, NULL, "closed the directory under the mount, %s%s",
                        point, locked ? " (immutable; chattr -i before removing it)" : "");
        else
            doctor_tell(d, DOCTOR_PROBLEM, why, NULL, "%s", err.text);
    } else {
        doctor_tell(d, closed ? DOCTOR_NOTE : DOCTOR_PROBLEM, why, "bakfs doctor --fix",
                    "%s can be written %sunder the mount", point, closed ? "by root " : "");
    }
}

void doctor_guard(struct doctor *d)
{
    struct err err;
    auto_free char *point = mounted_path(d->conf->mount.point, &err);
    bool any = false;
    if (!point || mounted_any(point, &any, &err) != 0) {
        doctor_tell(d, DOCTOR_NOTE, NULL, NULL, "the mount point: %s", err.text);
        return;
    }
    if (geteuid() != 0) {
        doctor_tell(d, DOCTOR_NOTE, NULL, NULL,
                    "the directory under the mount is judged as root only");
        return;
    }
    auto_fd int fd = any ? open_bare(point)
                         : open(point, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        doctor_tell(d, DOCTOR_NOTE, NULL, NULL, "the directory under the mount cannot be seen: %s",
                    strerror(errno));
    else
        judge_guard(d, point, fd);
}

// --- updatedb ---

// The quoted value of NAME = "..." in one line, or NULL.
static const char *value_in(const char *line, const char *name, size_t *out_len)
{
    line += strspn(line, " \t");
    size_t len = strlen(name);
    if (strncmp(line, name, len) != 0)
        return NULL;
    line += len;
    line += strspn(line, " \t");
    if (*line++ != '=')
        return NULL;
    line += strspn(line, " \t");
    if (*line++ != '"')
        return NULL;
    *out_len = strcspn(line, "\"\n");
    return line[*out_len] == '"' ? line : NULL;
}

static bool has_word(const char *list, size_t len, const char *word)
{
    size_t word_len = strlen(word);
    for (size_t i = 0; i < len;) {
        size_t n = strcspn(list + i, " \t\"");
        if (n == word_len && strncasecmp(list + i, word, n) == 0)
            return true;
        i += n + 1;
    }
    return false;
}

char *doctor_updatedb_text(const char *text, const char *point, bool *out_had)
{
    const char *last = NULL; // end of the last PRUNEFS: it is the one that counts
    bool has = false, pruned = false;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        size_t len = 0;
        const char *types = value_in(line, "PRUNEFS", &len);
        if (types) {
            has = has_word(types, len, MOUNTED_TYPE);
            last = types + len;
        }
        const char *paths = value_in(line, "PRUNEPATHS", &len);
        if (paths)
            pruned = has_word(paths, len, point);
    }
    *out_had = has || pruned;
    char *out = NULL;
    size_t text_len = strlen(text);
    int rc;
    if (has || pruned)
        return strdup(text);
    if (last)
        rc = asprintf(&out, "%.*s " MOUNTED_TYPE "%s", (int)(last - text), text, last);
    else
        rc = asprintf(&out, "%s%sPRUNEFS = \"" MOUNTED_TYPE "\"\n", text,
                      text_len && text[text_len - 1] != '\n' ? "\n" : "");
    return rc < 0 ? NULL : out;
}

static char *read_text(const char *path, struct stat *st, struct err *err)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, st) != 0 || !S_ISREG(st->st_mode)) {
        err_errno(err, errno ? errno : EINVAL, "%s", path);
        return NULL;
    }
    char *text = calloc(1, UPDATEDB_MAX + 1);
    ssize_t len = text ? read(fd, text, UPDATEDB_MAX) : -1;
    if (len < 0 || (size_t)len == UPDATEDB_MAX || memchr(text, '\0', (size_t)len)) {
        err_set(err, EUCLEAN, "%s cannot be read", path);
        free(text);
        return NULL;
    }
    return text;
}

// A new file with the old one's mode and owner, in its place.
static int replace(const char *path, const char *text, const struct stat *old, struct err *err)
{
    auto_free char *temporary = NULL;
    if (asprintf(&temporary, "%s.bakfs-%d", path, (int)getpid()) < 0) {
        temporary = NULL;
        return err_set(err, ENOMEM, "%s: out of memory", path);
    }
    auto_fd int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "%s", temporary);
    size_t len = strlen(text);
    errno = EIO;
    if (write(fd, text, len) == (ssize_t)len && fchown(fd, old->st_uid, old->st_gid) == 0 &&
        fchmod(fd, old->st_mode & 07777) == 0 && fsync(fd) == 0 && rename(temporary, path) == 0)
        return 0;
    int code = errno;
    unlink(temporary);
    return err_errno(err, code, "write %s", path);
}

void doctor_updatedb(struct doctor *d)
{
    static const char why[] = "a nightly crawl through the mount costs requests";
    const char *path = d->updatedb_conf;
    struct stat st;
    struct err err = {0};
    bool had = false;
    errno = 0;
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "updatedb is not set up here (no %s)", path);
        return;
    }
    auto_free char *text = read_text(path, &st, &err);
    auto_free char *wanted = text ? doctor_updatedb_text(text, d->conf->mount.point, &had) : NULL;
    if (!wanted)
        doctor_tell(d, DOCTOR_NOTE, why, NULL, "%s", text ? "out of memory" : err.text);
    else if (had)
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "updatedb leaves the mount out");
    else if (!d->fix)
        doctor_tell(d, DOCTOR_PROBLEM, why, "bakfs doctor --fix",
                    "PRUNEFS of %s does not name " MOUNTED_TYPE, path);
    else if (replace(path, wanted, &st, &err) == 0)
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "added " MOUNTED_TYPE " to PRUNEFS of %s", path);
    else
        doctor_tell(d, DOCTOR_PROBLEM, why, NULL, "%s", err.text);
}
