#include "tools/verify/mark.h"

#include "backend/base/scope.h"
#include "tools/catalog/when.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define SECONDS_TRIED 10 // names of the same second by somebody else

SCOPE_TYPE(verified)

// --- The VERIFIED file ---

// What ".VERIFIED..." is put behind: absolute.
static char *base_of(const char *point, const struct backup *b)
{
    char *base = NULL;
    int len = b->stem ? asprintf(&base, "%s/%s", point, b->stem)
              : b->dump && b->dump_is_dir
                  ? asprintf(&base, "%s/%s/%s", point, b->dump, b->partition)
                  : asprintf(&base, "%s/%s", point, backup_path(b));
    return len < 0 ? NULL : base;
}

// A name of the second it is now, or of one soon, that nobody has. The newest name counts: it is behind all others.
static int create(const char *base, time_t others, bool pass, char **out_path, struct err *err)
{
    time_t now = time(NULL), first = now > others ? now : others + 1;
    for (time_t t = first; t < first + SECONDS_TRIED; t++) {
        char stamp[20];
        when_stamp(t, stamp);
        auto_free char *path = NULL;
        if (asprintf(&path, "%s.VERIFIED.%s.%s", base, stamp, pass ? "PASS" : "FAIL") < 0) {
            path = NULL;
            return err_errno(err, ENOMEM, "write VERIFIED");
        }
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            *out_path = take(path);
            return fd;
        }
        if (errno != EEXIST)
            return err_errno(err, errno, "write %s", path);
    }
    return err_set(err, EEXIST, "write %s.VERIFIED...: others of these seconds are there", base);
}

static int put(int fd, const char *path, const struct verified *v, struct err *err)
{
    FILE *out = fdopen(fd, "w");
    if (!out) {
        int code = errno;
        close(fd);
        return err_errno(err, code, "write %s", path);
    }
    int rc = verified_write(out, v, err);
    if (fclose(out) != 0 && rc == 0)
        rc = err_errno(err, errno, "write %s", path);
    return rc;
}

int mark_write(const char *point, const struct backup *b, const struct mark *m, struct err *err)
{
    char host[256] = "";
    (void)gethostname(host, sizeof(host) - 1);
    auto_free char *base = base_of(point, b);
    auto_free char *how = strdup(judge_level_word(m->level)), *by = strdup(host);
    auto_free char *reason = strdup(m->reason ? m->reason : "");
    if (!base || !how || !by || !reason)
        return err_errno(err, ENOMEM, "write VERIFIED");
    struct verified v = {.how = how,
                         .by = by,
                         .pass = m->pass,
                         .at = m->at,
                         .duration_ms = m->duration_ms,
                         .restore_ms = m->restore_ms,
                         .bytes = m->bytes,
                         .reason = reason};
    if (b->ours) { // the mark of our tools is of the directory; where people's files are it stays theirs
        auto_free char *dir = strndup(base, (size_t)(strrchr(base, '/') - base));
        if (dir)
            (void)setxattr(dir, "user.bakfs.tool", "1", 1, 0);
    }
    auto_free char *path = NULL;
    int fd = create(base, b->verified_at, m->pass, &path, err);
    if (fd < 0)
        return fd;
    int rc = put(fd, path, &v, err);
    if (rc)
        (void)unlink(path); // what is there of it is not a VERIFIED
    return rc;
}

static struct verified *newest_of(const char *point, const struct backup *b)
{
    struct verified *v = NULL;
    if (!b->verified_path || verified_read_below(point, b->verified_path, &v, NULL) != 0)
        return NULL;
    return v;
}

time_t mark_passed(const char *point, const struct backup *b, enum judge_level level)
{
    if (b->verified != BACKUP_VERIFIED_PASS)
        return 0;
    auto_type(verified) struct verified *v = newest_of(point, b);
    return v && v->pass && strcmp(v->how, judge_level_word(level)) == 0 ? b->verified_at : 0;
}

bool mark_was_restored(const char *point, const struct backup *b)
{
    auto_type(verified) struct verified *v = newest_of(point, b);
    return v && strcmp(v->how, judge_level_word(JUDGE_RESTORE)) == 0;
}

// --- Advice ---

static const struct backup *newest_good(const struct backups *all,
                                        bool (*is_bad)(void *ctx, const struct backup *), void *ctx)
{
    const char *why;
    for (size_t i = all->count; i-- > 0;)
        if (all->list[i].dump && !is_bad(ctx, &all->list[i]) && backup_is_good(&all->list[i], &why))
            return &all->list[i];
    return NULL;
}

void mark_advise(FILE *out, const struct conf *conf, const struct backup *failed,
                 bool (*is_bad)(void *ctx, const struct backup *), void *ctx)
{
    struct backups all = {.list = NULL};
    const struct conf_database *db = backup_database(conf, failed);
    if (backups_load(conf->mount.point, failed->host, failed->partition, BACKUPS_SIZES, &all,
                     NULL) != 0)
        return;
    const struct backup *good = newest_good(&all, is_bad, ctx);
    if (good) {
        char stamp[20], text[WHEN_TEXT_BYTES];
        when_stamp(good->when, stamp);
        when_text(good->when, time(NULL), text);
        fprintf(out, "the newest good one is of %s, %s: bakfs restore ", text,
                good->verified == BACKUP_VERIFIED_PASS ? "verified" : "not verified yet");
        if (db)
            fprintf(out, "%s --at %s\n", db->name, stamp);
        else
            fprintf(out, "%s %s --at %s\n", failed->host, failed->partition, stamp);
    } else {
        fprintf(out, "no other backup of %s on %s is good\n", failed->partition, failed->host);
    }
    if (db)
        fprintf(out, "make a new one now: bakfs backup %s\n", db->name);
    backups_done(&all);
}
