// The rules of the tree over any bytes: a key and the path it stands for say the same.
#include "backend/object.h"
#include "fs/path.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct timespec far = {.tv_sec = 253402300799 - 86400}; // 9999-12-30
    char path[4096], key[4096 + sizeof(OBJECT_SUFFIX)], back[sizeof(key)];
    if (size >= sizeof(path))
        return 0;
    memcpy(path, data, size);
    path[size] = '\0';
    strcpy(stpcpy(key, path), OBJECT_SUFFIX);

    struct err err = {0};
    bool file = path_is_file(path), dir = path_is_dir(path);
    int as_file = path_check_create(path, false, 0, far, &err);
    assert(as_file == 0 || (err.code == -as_file && err.text[0]));
    assert(as_file == 0 || as_file == -EINVAL || as_file == -EILSEQ || as_file == -ENAMETOOLONG);
    int as_dir = path_check_create(path, true, 0, far, &err);
    assert(file == (as_file == 0) && dir == (as_dir == 0)); // no date is past that tomorrow

    assert(path_from_key(key, back) == file);
    if (file) {
        assert(strcmp(back, path) == 0);
        assert(strlen(key) <= STORE_KEY_BYTES && path_depth(path) >= 3);
    }
    char partition[PATH_COMPONENT_BYTES + 1];
    if (path_partition(path, file, partition))
        assert(strlen(partition) <= PATH_COMPONENT_BYTES && path_depth(path) >= 3);
    path_from_key(path, back);
    return 0;
}
