// What the names do not say: sizes, completeness, the time of the commit.
#include "tools/catalog/backups_impl.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define JUDGED_MAX                                                                                 \
    256 // files of one directory that are asked whether they are complete, as HOST/latest does
#define DEPTH_MAX 128 // a key has at most 1,024 bytes; more is no bakfs

static bool ask_attribute(int at, const char *name, const char *attribute, char *out, size_t room)
{
    char path[BACKUPS_PATH_BYTES];
    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", at, name);
    ssize_t len = lgetxattr(path, attribute, out, room - 1);
    if (len >= 0)
        out[len] = '\0';
    return len >= 0;
}

static enum backup_complete ask_complete(int at, const char *name)
{
    char said[16];
    if (!ask_attribute(at, name, "user.bakfs.complete", said, sizeof(said)))
        return BACKUP_COMPLETE_UNKNOWN;
    return strcmp(said, "yes") == 0  ? BACKUP_COMPLETE_YES
           : strcmp(said, "no") == 0 ? BACKUP_COMPLETE_NO
                                     : BACKUP_COMPLETE_UNKNOWN;
}

struct sum {
    uint64_t size, stored;
    time_t committed;
    enum backup_complete complete;
    unsigned judged; // files asked so far
    bool all_yes;
};

static int sum_file(int at, const char *name, bool judge, struct sum *sum, struct err *err)
{
    struct stat st;
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "look at %s", name);
    sum->size += (uint64_t)st.st_size;
    sum->stored += (uint64_t)st.st_blocks * 512;
    if (st.st_ctim.tv_sec > sum->committed)
        sum->committed = st.st_ctim.tv_sec;
    if (!judge || sum->judged++ >= JUDGED_MAX)
        return 0;
    enum backup_complete said = ask_complete(at, name);
    sum->all_yes = sum->all_yes && said == BACKUP_COMPLETE_YES;
    if (said == BACKUP_COMPLETE_NO)
        sum->complete = BACKUP_COMPLETE_NO;
    return 0;
}

// Only the files directly in the directory are judged: further down lie those of a data directory, many of them empty.
static int sum_dir(int at, const char *name, bool judge, unsigned depth, struct sum *sum,
                   struct err *err)
{
    if (depth > DEPTH_MAX)
        return err_set(err, ELOOP, "%s: too deep", name);
    struct dir_names names;
    int rc = dir_names_read(at, name, name, &names, err);
    for (size_t i = 0; i < names.count && rc == 0; i++) {
        const struct dir_name *n = &names.list[i];
        rc = n->is_dir ? sum_dir(names.fd, n->name, false, depth + 1, sum, err)
                       : sum_file(names.fd, n->name, judge, sum, err);
    }
    dir_names_done(&names);
    return rc == -ENOENT ? 0 : rc;
}

int backups_ask_at(int at, const char *name, struct backup *b, struct err *err)
{
    struct sum sum = {.all_yes = true};
    // in a directory that pg_dump -Fd made no file says how it should end
    int rc = b->dump_is_dir ? sum_dir(at, name, !b->ours, 0, &sum, err)
                            : sum_file(at, name, true, &sum, err);
    if (rc)
        return rc;
    if (sum.judged && sum.all_yes && !b->dump_is_dir)
        sum.complete = BACKUP_COMPLETE_YES;
    char stored[32]; // st_blocks has it in blocks only
    if (!b->dump_is_dir &&
        ask_attribute(at, name, "user.bakfs.stored_size", stored, sizeof(stored)))
        sum.stored = strtoull(stored, NULL, 10);
    b->size = sum.size;
    b->stored = sum.stored;
    b->committed = sum.committed;
    b->complete = sum.complete;
    if (!b->ours && sum.committed)
        b->when = sum.committed;
    return 0;
}

// Each file of a directory costs a request where its header is not known, and there may be thousands, in each of hundreds
// of backups: of a directory only what decides whether it is good is asked, as HOST/latest asks it.
int backups_judge_dir(int at, const struct dir_names *in, struct backup *b, struct err *err)
{
    struct sum sum = {.all_yes = true};
    const char *dir = strrchr(b->dump, '/') + 1;
    for (size_t i = 0; i < in->count && sum.judged < JUDGED_MAX; i++) {
        const struct dir_name *n = &in->list[i];
        char path[BACKUPS_PATH_BYTES];
        snprintf(path, sizeof(path), "%s/%s", dir, n->name);
        int rc = 0;
        if (n->known) {
            sum.judged++;
            sum.committed = n->committed > sum.committed ? n->committed : sum.committed;
            sum.complete = n->complete == 'n' ? BACKUP_COMPLETE_NO : sum.complete;
        } else if (!n->is_dir) {
            rc = sum_file(at, path, true, &sum, err);
        }
        if (rc)
            return rc;
    }
    b->complete = sum.complete;
    if (sum.committed)
        b->when = sum.committed;
    return 0;
}

void backups_take_known(struct backup *b, const struct dir_name *known)
{
    b->size = known->size;
    b->stored = known->stored;
    b->committed = known->committed;
    b->complete = known->complete == 'y'   ? BACKUP_COMPLETE_YES
                  : known->complete == 'n' ? BACKUP_COMPLETE_NO
                                           : BACKUP_COMPLETE_UNKNOWN;
    if (!b->ours && known->committed)
        b->when = known->committed;
}

int backup_ask_sizes(const char *point, struct backup *b, struct err *err)
{
    if (!b->dump)
        return 0;
    const char *name = strrchr(b->dump, '/') + 1;
    auto_free char *dir = NULL;
    if (asprintf(&dir, "%s/%.*s", point, (int)(name - b->dump), b->dump) < 0) {
        dir = NULL;
        return err_errno(err, ENOMEM, "look at %s", b->dump);
    }
    auto_fd int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "%s", dir);
    return backups_ask_at(at, name, b, err);
}
