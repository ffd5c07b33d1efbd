// The journals as they stand, for who only looks: doctor.
#include "backend/base/scope.h"
#include "backend/store/dir.h"
#include "backend/store/journal.h"
#include "backend/store/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

// A shared lock, and at once given back: a daemon that recovers must not take a dead one's file for a living one's.
static int look_at(int dir, const char *name,
                   int (*each)(void *ctx, const struct journal_line *, bool alive), void *ctx,
                   struct err *err)
{
    auto_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0; // recovered just now
    if (fd < 0)
        return err_errno(err, errno, "read the journal '%s'", name);
    bool alive = flock(fd, LOCK_SH | LOCK_NB) < 0;
    if (!alive)
        (void)flock(fd, LOCK_UN);
    auto_lines struct journal_lines lines = {0};
    int rc = journal_read(fd, &lines, err);
    for (size_t i = 0; rc == 0 && i < lines.count; i++)
        rc = each(ctx, &lines.list[i], alive);
    return rc;
}

int journal_look(const char *path, int (*each)(void *ctx, const struct journal_line *, bool alive),
                 void *ctx, struct err *err)
{
    auto_dir DIR *dir = opendir(path);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return err_errno(err, errno, "open the directory of state '%s' ([mount] state)", path);
    int rc = 0;
    const struct dirent *e;
    while (rc == 0 && (e = readdir(dir)))
        if (journal_is_name(e->d_name))
            rc = look_at(dirfd(dir), e->d_name, each, ctx, err);
    return rc;
}
