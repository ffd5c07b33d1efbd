// META's parser: any file is one or a sentence that names it, and what is read is written and read again as it was.
#include "tools/catalog/meta.h"

#include "backend/base/crypto.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int put(int fd, const void *data, size_t len)
{
    return write(fd, data, len) == (ssize_t)len ? 0 : -1;
}

// As it is, or with the end that fits, so that what stands before it is looked at too.
static int make(const uint8_t *data, size_t size, int ended, char path[64])
{
    int fd = memfd_create("meta", MFD_CLOEXEC);
    if (fd < 0 || put(fd, data, size) != 0)
        abort();
    if (ended) {
        static const char end[] = "\n[end]\n";
        char line[80];
        uint8_t digest[SHA256_BYTES];
        struct sha256 *sum = sha256_new();
        if (!sum)
            abort();
        sha256_update(sum, data, size);
        sha256_update(sum, end, strlen(end));
        sha256_final(sum, digest);
        sha256_free(sum);
        int len = snprintf(line, sizeof(line), "sha256 = ");
        for (size_t i = 0; i < sizeof(digest); i++)
            len += snprintf(line + len, sizeof(line) - (size_t)len, "%02x", digest[i]);
        line[len++] = '\n';
        if (put(fd, end, strlen(end)) != 0 || put(fd, line, (size_t)len) != 0)
            abort();
    }
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    return fd;
}

static void again(const struct meta *meta)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out || meta_write(out, meta, NULL) != 0)
        abort();
    fclose(out);
    char path[64];
    int fd = make((const uint8_t *)text, len, 0, path);
    struct meta *same = NULL;
    if (meta_read(path, &same, NULL) != 0 || same->facts.count != meta->facts.count ||
        same->file_count != meta->file_count || strcmp(same->name, meta->name) != 0)
        abort();
    for (size_t i = 0; i < meta->facts.count; i++)
        if (strcmp(same->facts.list[i].name, meta->facts.list[i].name) != 0)
            abort();
    meta_free(same);
    close(fd);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int ended = 0; ended < 2; ended++) {
        char path[64];
        int fd = make(data, size, ended, path);
        struct meta *meta = NULL;
        struct verified *verified = NULL;
        struct err err = {0};
        int rc = meta_read(path, &meta, &err);
        if (rc == 0)
            again(meta);
        else if (rc != -err.code || !strstr(err.text, path) || meta)
            abort();
        meta_free(meta);
        lseek(fd, 0, SEEK_SET);
        if (verified_read(path, &verified, &err) == 0)
            verified_free(verified);
        close(fd);
    }
    return 0;
}
