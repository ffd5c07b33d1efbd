// What a dump is: META says it, or its first bytes.
#include "backend/base/scope.h"
#include "tools/restore/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define HEAD_BYTES 4096
#define TAR_MAGIC_AT 257

static int size_of(const char *path, uint64_t *out, struct err *err)
{
    auto_free char *start = strdup(path);
    if (!start)
        return err_errno(err, ENOMEM, "%s", path);
    char *starts[] = {start, NULL};
    FTS *walk = fts_open(starts, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return err_errno(err, errno, "%s", path);
    uint64_t total = 0;
    int rc = 0;
    errno = 0;
    for (FTSENT *entry; rc == 0 && (entry = fts_read(walk)); errno = 0) {
        if (entry->fts_info == FTS_F)
            total += (uint64_t)entry->fts_statp->st_size;
        else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR ||
                 entry->fts_info == FTS_NS)
            rc = err_errno(err, entry->fts_errno, "%s", entry->fts_path);
    }
    if (rc == 0 && errno != 0)
        rc = err_errno(err, errno, "%s", path);
    fts_close(walk);
    if (rc == 0)
        *out = total;
    return rc;
}

static int read_head(const char *path, char *out, size_t *out_len, struct err *err)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == EACCES)
        return err_set(
            err, EACCES,
            "%s cannot be opened: the mount has no identity that opens it, or belongs to "
            "another user",
            path);
    if (fd < 0 && errno == EIO)
        return err_set(err, EIO,
                       "%s is damaged, or the store does not answer (journalctl -t bakfs says "
                       "which); --at takes another backup, bakfs list shows them",
                       path);
    if (fd < 0)
        return err_errno(err, errno, "%s", path);
    size_t n = 0;
    for (ssize_t got = 1; got != 0 && n < HEAD_BYTES;) {
        got = read(fd, out + n, HEAD_BYTES - n);
        if (got < 0 && errno != EINTR)
            return err_errno(err, errno, "read %s (the log of bakfs mount says more)", path);
        n += got > 0 ? (size_t)got : 0;
    }
    *out_len = n;
    return 0;
}

static bool begins(const char *head, size_t len, const char *magic, size_t magic_len)
{
    return len >= magic_len && memcmp(head, magic, magic_len) == 0;
}

static bool has(const char *head, size_t len, const char *text)
{
    return memmem(head, len, text, strlen(text)) != NULL;
}

static const char *packer_of(const char *head, size_t len)
{
    return begins(head, len, "\x1f\x8b", 2)           ? "gzip -dc"
           : begins(head, len, "\x28\xb5\x2f\xfd", 4) ? "zstd -dc"
           : begins(head, len, "\xfd\x37zXZ", 5)      ? "xz -dc"
           : begins(head, len, "BZh", 3)              ? "bzip2 -dc"
                                                      : NULL;
}

// What the first bytes say of a file. -EOPNOTSUPP: what to do instead.
static int judge(const char *path, const char *head, size_t len, enum source_kind *out,
                 struct err *err)
{
    const char *packer = packer_of(head, len);
    if (begins(head, len, "PGDMP", 5)) {
        *out = SOURCE_CUSTOM;
        return 0;
    }
    if (len >= TAR_MAGIC_AT + 5 && memcmp(head + TAR_MAGIC_AT, "ustar", 5) == 0 &&
        begins(head, len, "toc.dat", 8)) {
        *out = SOURCE_TAR;
        return 0;
    }
    if (packer)
        return err_set(err, EOPNOTSUPP,
                       "%s is packed: unpack it (%s '%s' > FILE), createdb NEW, then psql -X -1 -v "
                       "ON_ERROR_STOP=1 -d NEW -f FILE, or pg_restore -e -d NEW FILE",
                       path, packer, path);
    if (len == 0)
        return err_set(err, EOPNOTSUPP, "%s is empty: there is nothing in it to restore", path);
    if (has(head, len, "PostgreSQL database cluster dump"))
        return err_set(
            err, EOPNOTSUPP,
            "%s is a dump of pg_dumpall, of a whole server and not of one database: type psql -X "
            "-v ON_ERROR_STOP=1 -f '%s' postgres, with a new server",
            path, path);
    if (has(head, len, "MySQL dump") || has(head, len, "MariaDB dump"))
        return err_set(
            err, EOPNOTSUPP,
            "%s is a dump of MySQL or MariaDB: set restore_command in the [database NAME] that it "
            "belongs to, or type mariadb NEW < '%s'",
            path, path);
    if (memchr(head, '\0', len))
        return err_set(
            err, EOPNOTSUPP,
            "%s is no dump that bakfs knows (pg_dump's formats and SQL): set restore_command in "
            "the [database NAME] that it belongs to",
            path);
    *out = SOURCE_PLAIN;
    return 0;
}

static int judge_directory(const char *path, enum source_kind *out, struct err *err)
{
    auto_free char *toc = NULL;
    if (asprintf(&toc, "%s/toc.dat", path) < 0) {
        toc = NULL;
        return err_errno(err, ENOMEM, "%s", path);
    }
    struct stat st;
    if (stat(toc, &st) == 0) {
        *out = SOURCE_DIRECTORY;
        return 0;
    }
    if (errno != ENOENT)
        return err_errno(err, errno, "%s", toc);
    return err_set(
        err, EOPNOTSUPP,
        "%s is no dump of one database (no toc.dat in it): name the file in it that is meant; a "
        "copy of pg_basebackup is copied back to a data directory",
        path);
}

static int find_kind(const struct restore_job *job, struct source *s, struct err *err)
{
    bool is_command = job->conf && *job->conf->restore_command;
    if (job->meta && strcmp(job->meta->format, "command") == 0) {
        if (!is_command)
            return err_set(
                err, EOPNOTSUPP,
                "%s was made by a dump_command: set restore_command in [database %s] of the "
                "configuration; it gets the dump on its standard input and the name of the new "
                "database in $BAKFS_INTO",
                s->path, job->meta->name);
        s->kind = SOURCE_COMMAND;
        return 0;
    }
    if (!job->meta && is_command && *job->conf->dump_command) {
        s->kind = SOURCE_COMMAND;
        return 0;
    }
    if (job->backup->dump_is_dir)
        return judge_directory(s->path, &s->kind, err);
    char head[HEAD_BYTES];
    size_t len = 0;
    int rc = read_head(s->path, head, &len, err);
    if (rc == 0)
        rc = judge(s->path, head, len, &s->kind, err);
    if (rc == -EOPNOTSUPP && is_command) {
        s->kind = SOURCE_COMMAND;
        rc = 0;
    }
    return rc;
}

int source_find(const struct restore_job *job, struct source *out, struct err *err)
{
    struct source s = {.kind = SOURCE_CUSTOM};
    if (!job->backup->dump)
        return err_set(err, ENOENT, "%s has no dump beside it: nothing to restore",
                       job->backup->stem ? job->backup->stem : job->backup->partition);
    if (asprintf(&s.path, "%s/%s", job->point, job->backup->dump) < 0) {
        s.path = NULL;
        return err_errno(err, ENOMEM, "restore");
    }
    int rc = size_of(s.path, &s.bytes, err);
    if (rc == 0)
        rc = find_kind(job, &s, err);
    if (rc != 0)
        source_done(&s);
    else
        *out = s;
    return rc;
}

void source_done(struct source *s)
{
    free(s->path);
    s->path = NULL;
}
