#include "tools/keyfile.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

int keyfile_write(FILE *out, const struct identity *identity, struct err *err)
{
    struct recipient recipient;
    char public_key[64], created[32] = "";
    identity_recipient(identity, &recipient);
    recipient_format(&recipient, public_key);
    time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm))
        strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm);
    struct secret *text = identity_format(identity);
    if (!text)
        return err_errno(err, ENOMEM, "write the key");
    // No buffer of stdio's may keep a copy.
    setvbuf(out, NULL, _IONBF, 0);
    errno = 0;
    fprintf(out, "# created: %s\n# public key: %s\n", created, public_key);
    fwrite(text->bytes, 1, text->len, out);
    fputc('\n', out);
    secret_free(text);
    return ferror(out) ? err_errno(err, errno ? errno : EIO, "write the key") : 0;
}

FILE *keyfile_open_new(const char *path, unsigned mode, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (file)
        return file;
    int why = errno;
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    if (why == EEXIST)
        err_set(err, why, "%s: there is a file already, which is never overwritten", path);
    else
        err_errno(err, why, "make %s", path);
    return NULL;
}

static int sync_directory_of(const char *path)
{
    auto_free char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    auto_fd int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
}

int keyfile_close_new(const char *path, FILE *file, struct err *err)
{
    errno = 0;
    int why = 0;
    if (fflush(file) != 0 || ferror(file) || fsync(fileno(file)) != 0)
        why = errno ? errno : EIO;
    if (fclose(file) != 0 && !why)
        why = errno;
    if (!why)
        why = -sync_directory_of(path);
    if (!why)
        return 0;
    unlink(path);
    return err_errno(err, why, "write %s", path);
}

int keyfile_create(const char *path, const struct identity *identity, struct err *err)
{
    FILE *file = keyfile_open_new(path, 0600, err);
    if (!file)
        return -(err ? err->code : EIO);
    int rc = keyfile_write(file, identity, err);
    if (rc != 0) {
        fclose(file);
        unlink(path);
        return rc;
    }
    return keyfile_close_new(path, file, err);
}
