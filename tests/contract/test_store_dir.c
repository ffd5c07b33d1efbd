#include "tests/contract/store_suite.h"
#include "tests/support/temp_dir.h"

#include <stdio.h>

int main(void)
{
    struct temp_dir dir;
    struct store *store;
    struct err err;
    if (temp_dir_make(&dir) < 0) {
        perror(dir.path);
        return 1;
    }
    if (store_dir_new(dir.path, &store, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int failed = store_suite_run("dir", store);
    store_free(store);
    temp_dir_remove(&dir);
    return failed > 0;
}
