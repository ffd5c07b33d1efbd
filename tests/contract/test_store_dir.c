#include "tests/contract/store_suite.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    char path[256];
    snprintf(path, sizeof(path), "%s/bakfs-store-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(path)) {
        perror(path);
        return 1;
    }
    struct store *store;
    struct err err;
    if (store_dir_new(path, &store, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int failed = store_suite_run("dir", store);
    store_free(store);
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return failed > 0;
}
