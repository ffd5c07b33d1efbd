#include "conf/keys.h"

#include "backend/base/crypto.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define KEY_FILE_MAX 65536

static int read_all(int fd, uint8_t *out, size_t room, size_t *out_len)
{
    size_t have = 0;
    while (have < room) {
        ssize_t n = read(fd, out + have, room - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    *out_len = have;
    return 0;
}

// Only the mode is judged: root may own a key that it gives to nobody, and so may a user.
static int check_private(const struct stat *st, const char *path, struct err *err)
{
    if (st->st_mode & 077)
        return err_set(
            err, EACCES,
            "identity file %s: group or others may use it (mode %04o), so it may be known "
            "already; if it is not, chmod 600 %s",
            path, st->st_mode & 07777, path);
    return 0;
}

// The whole file in a secret: recipients are no secret, but one way of reading is enough.
static int read_key_file(const char *what, const char *path, bool must_be_private,
                         struct secret **out, struct err *err)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO must not hang a mount
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_errno(err, errno, "%s file %s", what, path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, EINVAL, "%s file %s: not a regular file", what, path);
    int rc = must_be_private ? check_private(&st, path, err) : 0;
    if (rc != 0)
        return rc;
    uint8_t *bytes = malloc(KEY_FILE_MAX + 1);
    if (!bytes)
        return err_errno(err, ENOMEM, "%s file %s", what, path);
    size_t len = 0;
    struct secret *text = NULL;
    rc = read_all(fd, bytes, KEY_FILE_MAX + 1, &len);
    if (rc != 0)
        rc = err_errno(err, -rc, "%s file %s", what, path);
    else if (len > KEY_FILE_MAX)
        rc = err_set(err, EFBIG, "%s file %s: longer than a key file can be", what, path);
    else if (!(text = secret_new(bytes, len)))
        rc = err_errno(err, ENOMEM, "%s file %s", what, path);
    secret_wipe(bytes, KEY_FILE_MAX + 1);
    free(bytes);
    if (rc == 0)
        *out = text;
    return rc;
}

// "age1...,age1...", blanks allowed.
static int parse_list(const char *list, struct recipient **out, size_t *out_count, struct err *err)
{
    auto_free char *copy = strdup(list);
    auto_free struct recipient *found = calloc(SEAL_RECIPIENTS_MAX, sizeof(*found));
    if (!copy || !found)
        return err_errno(err, ENOMEM, "[seal] recipients");
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(copy, ", \t", &rest); word; word = strtok_r(NULL, ", \t", &rest)) {
        if (count == SEAL_RECIPIENTS_MAX)
            return err_set(err, EINVAL, "[seal] recipients: more than %d", SEAL_RECIPIENTS_MAX);
        if (recipient_parse(word, &found[count], err) != 0)
            return err_prefix(err, "[seal] recipients");
        count++;
    }
    *out = take(found);
    *out_count = count;
    return 0;
}

static int parse_file(const char *path, struct recipient **out, size_t *out_count, struct err *err)
{
    struct secret *text = NULL;
    int rc = read_key_file("recipients", path, false, &text, err);
    if (rc != 0 || !text)
        return rc;
    rc = recipients_parse((const char *)text->bytes, text->len, out, out_count, err);
    secret_free(text);
    return rc == 0 ? 0 : err_prefix(err, "recipients file %s", path);
}

int keys_load_recipients(const struct conf *conf, struct recipient **out, size_t *out_count,
                         struct err *err)
{
    const char *given = conf->seal.recipients;
    struct err local;
    if (!err)
        err = &local;
    if (!*given)
        return err_set(err, EINVAL,
                       "no recipients: set [seal] recipients to age1... or a file of them");
    struct recipient *found = NULL;
    size_t count = 0;
    int rc = *given == '/' ? parse_file(given, &found, &count, err)
                           : parse_list(given, &found, &count, err);
    if (rc != 0)
        return rc;
    if (count == 0 || count > SEAL_RECIPIENTS_MAX) {
        free(found);
        return err_set(err, EINVAL, "[seal] recipients: %s holds %zu; 1 to %d are needed", given,
                       count, SEAL_RECIPIENTS_MAX);
    }
    *out = found;
    *out_count = count;
    return 0;
}

int keys_load_identities(const struct conf *conf, struct identities *out, struct err *err)
{
    const char *path = conf->seal.identity;
    struct err local;
    if (!err)
        err = &local;
    if (!*path) {
        *out = (struct identities){.list = NULL};
        return 0;
    }
    struct secret *text = NULL;
    int rc = read_key_file("identity", path, true, &text, err);
    if (rc != 0 || !text)
        return rc;
    struct identities found = {.list = NULL};
    rc = identities_parse((const char *)text->bytes, text->len, &found, err);
    secret_free(text);
    if (rc != 0)
        return err_prefix(err, "identity file %s", path);
    if (found.count == 0) {
        identities_done(&found);
        return err_set(err, EINVAL, "identity file %s: holds no AGE-SECRET-KEY-1...", path);
    }
    *out = found;
    return 0;
}

bool keys_fit(const struct identities *identities, const struct recipient *recipients, size_t count)
{
    for (size_t i = 0; i < identities->count; i++) {
        struct recipient own;
        identity_recipient(identities->list[i], &own);
        for (size_t j = 0; j < count; j++)
            if (crypto_equal(own.point, recipients[j].point, sizeof(own.point)))
                return true;
    }
    return false;
}
