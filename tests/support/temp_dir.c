#include "tests/support/temp_dir.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

int temp_dir_make(struct temp_dir *out)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(out->path, sizeof(out->path), "%s/bakfs-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    return mkdtemp(out->path) ? 0 : -errno;
}

void temp_dir_remove(const struct temp_dir *dir)
{
    nftw(dir->path, remove_one, 64, FTW_DEPTH | FTW_PHYS);
}
