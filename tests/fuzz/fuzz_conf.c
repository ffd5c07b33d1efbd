// The configuration's parser: any file is a configuration or a sentence.
#include "conf/conf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_setting(const uint8_t *data, size_t size)
{
    char text[512];
    size_t len = size < sizeof(text) - 1 ? size : sizeof(text) - 1;
    memcpy(text, data, len);
    text[len] = '\0';
    struct conf *conf = NULL;
    struct err err = {0};
    int rc = conf_load("/dev/null", &conf, &err);
    assert(rc == 0);
    rc = conf_set(conf, text, &err);
    assert(rc == 0 || rc == -err.code);
    conf_free(conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("conf", MFD_CLOEXEC);
    assert(fd >= 0);
    ssize_t put = write(fd, data, size);
    assert(put == (ssize_t)size);
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct conf *conf = NULL;
    struct err err = {0};
    int rc = conf_load(path, &conf, &err);
    if (rc == 0) {
        rc = conf_check(conf, &err);
        assert(rc == 0 || (rc == -err.code && err.text[0]));
        conf_free(conf);
    } else {
        // What is wrong with a line names the line.
        assert(rc == -err.code && strncmp(err.text, path, strlen(path)) == 0 && !conf);
    }
    close(fd);
    one_setting(data, size);
    return 0;
}
