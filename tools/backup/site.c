#include "tools/backup/site.h"

#include "backend/base/scope.h"
#include "tools/catalog/backups.h"
#include "tools/catalog/when.h"
#include "tools/confirm.h"
#include "tools/mounted.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

// What is added to STEM later: ".VERIFIED.YYYYMMDDThhmmssZ.PASS"
#define SUFFIX_BYTES 32

// --- The place ---

static int check_host(const struct conf_database *db, const char *host, struct err *err)
{
    bool good = isalnum((unsigned char)*host);
    for (const char *p = host; good && *p; p++)
        good = isalnum((unsigned char)*p) || strchr(".-_", *p);
    if (good)
        return 0;
    return err_set(err, EINVAL,
                   "'%s' cannot be a HOST of the tree (letters, digits, '.', '-', '_'): set "
                   "[database %s] host",
                   host, db->name);
}

static int set_names(const struct conf_database *db, time_t when, struct site *s, struct err *err)
{
    char host[BACKUPS_HOST_BYTES], stamp[20];
    int rc = backups_host(db, host, err);
    if (rc == 0)
        rc = check_host(db, host, err);
    if (rc != 0)
        return rc;
    struct tm tm;
    when_stamp(when, stamp);
    if (!*stamp || !gmtime_r(&when, &tm) || !strftime(s->date, sizeof(s->date), "%Y-%m-%d", &tm))
        return err_set(err, EOVERFLOW, "the clock says a time that has no date");
    const char *partition = backups_partition(db);
    if (strchr(partition, '/') || *partition == '.' || !*partition)
        return err_set(err, EINVAL,
                       "'%s' cannot be a PARTITION of the tree: set [database %s] partition",
                       partition, db->name);
    auto_free char *stem = NULL;
    if (asprintf(&stem, "%s.%s.%s", host, stamp, partition) < 0) {
        stem = NULL;
        return err_errno(err, ENOMEM, "name the backup");
    }
    if (strlen(stem) + SUFFIX_BYTES >= sizeof(s->stem))
        return err_set(err, ENAMETOOLONG,
                       "the name %s is too long for the tree: set a shorter host or partition in "
                       "[database %s]",
                       stem, db->name);
    memcpy(s->stem, stem, strlen(stem) + 1);
    memcpy(s->host, host, strlen(host) + 1);
    memcpy(s->partition, partition, strlen(partition) + 1);
    return 0;
}

static int make_dir(const char *path, struct err *err)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return 0;
    if (errno == EROFS)
        return err_set(err, EROFS, "mkdir %s: the mount is read-only (-o ro)", path);
    return err_errno(err, errno, "mkdir %s", path);
}

static int open_dir(struct site *s, struct err *err)
{
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/%s", s->point, s->host);
    if (len + 2 * SITE_NAME_BYTES >= (int)sizeof(path))
        return err_errno(err, ENAMETOOLONG, "%s", s->point);
    int rc = make_dir(path, err);
    if (rc == 0) {
        len += sprintf(path + len, "/%s", s->date);
        rc = make_dir(path, err);
    }
    if (rc == 0) {
        sprintf(path + len, "/%s", s->partition);
        rc = make_dir(path, err);
    }
    if (rc != 0)
        return rc;
    s->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir < 0)
        return err_errno(err, errno, "%s", path);
    snprintf(s->here, sizeof(s->here), "/proc/self/fd/%d", s->dir);
    struct stat st;
    bool bakfs = false;
    if (fstat(s->dir, &st) != 0)
        return err_errno(err, errno, "%s", path);
    rc = mounted_device(st.st_dev, &bakfs, err);
    if (rc == 0 && !bakfs)
        rc = err_set(err, ENOENT, "%s: nothing is mounted there", s->point);
    if (rc == 0 && fsetxattr(s->dir, "user.bakfs.tool", "backup", 6, 0) != 0)
        rc = err_errno(err, errno, "mark %s", path);
    return rc;
}

// A name of this STEM, or NULL. The entries of `dir` are read anew.
static DIR *open_names(const struct site *s)
{
    int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

static const struct dirent *next_name(const struct site *s, DIR *dir)
{
    size_t len = strlen(s->stem);
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (strncmp(entry->d_name, s->stem, len) == 0 && entry->d_name[len] == '.')
            return entry;
    return NULL;
}

static int check_unused(const struct site *s, struct err *err)
{
    DIR *dir = open_names(s);
    if (!dir)
        return err_errno(err, errno, "list %s/%s/%s", s->host, s->date, s->partition);
    const struct dirent *entry = next_name(s, dir);
    int rc = entry ? err_set(err, EEXIST, "%s is there already", entry->d_name) : 0;
    closedir(dir);
    return rc;
}

int site_open(const struct conf *conf, const struct conf_database *db, time_t when,
              struct site *out, struct err *err)
{
    struct site s = {.point = conf->mount.point, .dir = -1};
    int rc = set_names(db, when, &s, err);
    if (rc == 0)
        rc = mounted_check(s.point, err);
    if (rc == 0)
        rc = open_dir(&s, err);
    if (rc == 0)
        rc = check_unused(&s, err);
    if (rc != 0)
        site_close(&s);
    else
        *out = s;
    return rc;
}

void site_close(struct site *s)
{
    if (s->dir >= 0)
        close(s->dir);
    s->dir = -1;
}

bool site_is_lost(const struct site *s)
{
    struct stat held, now;
    return mounted_check(s->point, NULL) != 0 || fstat(s->dir, &held) != 0 ||
           stat(s->point, &now) != 0 || held.st_dev != now.st_dev;
}

// --- Files ---

void site_name(const struct site *s, const char *suffix, char out[SITE_NAME_BYTES])
{
    size_t len = strlen(s->stem), more = strlen(suffix);
    memcpy(out, s->stem, len);
    memcpy(out + len, suffix, more + 1); // set_names has left room
}

int site_create(const struct site *s, const char *name, struct err *err)
{
    int fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return fd < 0 ? err_errno(err, errno, "create %s", name) : fd;
}

int site_commit(int fd, const char *name, struct err *err)
{
    return close(fd) == 0 ? 0 : err_errno(err, errno, "store %s", name);
}

// By its path through the held directory. The daemon's word on this file.
static int ask(const char *path, const char *what, char *out, size_t room)
{
    char name[64];
    snprintf(name, sizeof(name), "user.bakfs.%s", what);
    ssize_t len = getxattr(path, name, out, room - 1);
    out[len < 0 ? 0 : len] = '\0';
    return len < 0 ? -errno : 0;
}

static int check_file(const char *path, const char *name, struct meta *meta, uint64_t *stored,
                      struct err *err)
{
    int rc = confirm_path(path, err);
    if (rc != 0)
        return rc;
    struct stat st;
    if (stat(path, &st) != 0)
        return err_errno(err, errno, "%s", name);
    char complete[32], size[32], digest[128];
    if (ask(path, "complete", complete, sizeof(complete)) == 0 && strcmp(complete, "no") == 0 &&
        (st.st_size > 0 || !strchr(name, '/')))
        return err_set(err, EUCLEAN, "%s: %s", name,
                       st.st_size ? "the dump stopped short" : "the dump is empty");
    if (ask(path, "stored_size", size, sizeof(size)) == 0)
        *stored += strtoull(size, NULL, 10);
    ask(path, "digest", digest, sizeof(digest)); // "": a host that cannot open it
    return meta ? meta_add_file(meta, name, (uint64_t)st.st_size, digest, err) : 0;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int check_tree(const char *path, size_t above, struct meta *meta, uint64_t *stored,
                      struct err *err)
{
    char *starts[] = {(char[]){""}, NULL};
    auto_free char *start = strdup(path);
    starts[0] = start;
    FTS *walk = start ? fts_open(starts, FTS_PHYSICAL | FTS_NOCHDIR, by_name) : NULL;
    if (!walk)
        return err_errno(err, errno, "%s", path + above);
    int rc = 0;
    size_t files = 0;
    errno = 0;
    for (FTSENT *entry; rc == 0 && (entry = fts_read(walk)); errno = 0) {
        if (entry->fts_info == FTS_F) {
            files++;
            rc = check_file(entry->fts_path, entry->fts_path + above, meta, stored, err);
        } else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR ||
                   entry->fts_info == FTS_NS) {
            rc = err_errno(err, entry->fts_errno, "%s", entry->fts_path + above);
        }
    }
    if (rc == 0 && errno != 0)
        rc = err_errno(err, errno, "%s", path + above);
    fts_close(walk);
    if (rc == 0 && files == 0)
        rc = err_set(err, ENOENT, "%s: no file of it is in the store", path + above);
    return rc;
}

int site_check(const struct site *s, const char *name, struct meta *meta, uint64_t *stored,
               struct err *err)
{
    char path[sizeof(s->here) + SITE_NAME_BYTES];
    snprintf(path, sizeof(path), "%s/%s", s->here, name);
    struct stat st;
    if (stat(path, &st) != 0)
        return err_errno(err, errno, "%s", name);
    size_t above = strlen(s->here) + 1;
    return S_ISDIR(st.st_mode) ? check_tree(path, above, meta, stored, err)
                               : check_file(path, name, meta, stored, err);
}

// --- Taking it back ---

static bool is_meta(const char *name)
{
    size_t len = strlen(name);
    return len > 5 && strcmp(name + len - 5, ".META") == 0;
}

static int remove_tree(const char *path)
{
    auto_free char *start = strdup(path);
    char *starts[] = {start, NULL};
    FTS *walk = start ? fts_open(starts, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
    if (!walk)
        return -errno;
    int rc = 0;
    for (FTSENT *entry; (entry = fts_read(walk));) {
        int done = 0;
        if (entry->fts_info == FTS_DP)
            done = rmdir(entry->fts_accpath);
        else if (entry->fts_info != FTS_D)
            done = unlink(entry->fts_accpath);
        if (done != 0 && errno != ENOENT && rc == 0)
            rc = -errno;
    }
    fts_close(walk);
    return rc;
}

static int remove_name(const struct site *s, const char *name)
{
    if (unlinkat(s->dir, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    struct stat st;
    if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode))
        return -EPERM;
    char path[sizeof(s->here) + SITE_NAME_BYTES];
    snprintf(path, sizeof(path), "%s/%s", s->here, name);
    return remove_tree(path);
}

// Directories that we made and nobody else uses. The kernel removes none that has something in it.
static void remove_empty(const struct site *s)
{
    char path[4096];
    if (site_is_lost(s))
        return;
    snprintf(path, sizeof(path), "%s/%s/%s/%s", s->point, s->host, s->date, s->partition);
    for (int i = 0; i < 3 && rmdir(path) == 0; i++)
        *strrchr(path, '/') = '\0';
}

// META first: from then on it is no backup.
int site_remove(const struct site *s, struct err *err)
{
    char name[SITE_NAME_BYTES];
    site_name(s, ".META", name);
    int rc = remove_name(s, name);
    if (rc != 0)
        return err_errno(err, -rc, "remove %s/%s/%s/%s", s->host, s->date, s->partition, name);
    DIR *dir = open_names(s);
    if (!dir)
        return err_errno(err, errno, "list %s/%s/%s", s->host, s->date, s->partition);
    for (const struct dirent *entry; (entry = next_name(s, dir));) {
        int failed = is_meta(entry->d_name) ? 0 : remove_name(s, entry->d_name);
        if (failed != 0 && rc == 0)
            rc = err_errno(err, -failed, "remove %s/%s/%s/%s", s->host, s->date, s->partition,
                           entry->d_name);
    }
    closedir(dir);
    remove_empty(s);
    return rc;
}
