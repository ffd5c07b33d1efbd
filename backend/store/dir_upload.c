// Multipart in a directory: one temporary file that every part is written into at its place. A part's ETag says where it
// was written and how long it is, so complete needs no state to see that the parts make one whole.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEY_MARK "key:" // so that the link can never lead anywhere
#define NAME_BYTES (DIR_ID_CHARS + 8)

static bool id_valid(const char *id)
{
    return strlen(id) == DIR_ID_CHARS && strspn(id, "0123456789abcdef") == DIR_ID_CHARS;
}

static void upload_name(const char *id, const char *suffix, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%.*s.%s", DIR_ID_CHARS, id, suffix);
}

// The key that upload `link_name` was begun for; false when there is no such upload.
static bool upload_key(int tmp, const char *link_name, char out_key[STORE_KEY_BYTES + 1])
{
    char target[sizeof(KEY_MARK) + STORE_KEY_BYTES + 1];
    ssize_t n = readlinkat(tmp, link_name, target, sizeof(target) - 1);
    size_t mark = strlen(KEY_MARK);
    if (n < (ssize_t)mark || (size_t)n > mark + STORE_KEY_BYTES ||
        memcmp(target, KEY_MARK, mark) != 0)
        return false;
    memcpy(out_key, target + mark, (size_t)n - mark);
    out_key[(size_t)n - mark] = '\0';
    return true;
}

static bool upload_is(int tmp, const char *key, const char *id)
{
    char name[NAME_BYTES], begun_for[STORE_KEY_BYTES + 1];
    if (!id_valid(id))
        return false;
    upload_name(id, "key", name);
    return upload_key(tmp, name, begun_for) && strcmp(begun_for, key) == 0;
}

int dir_upload_begin(struct store *store, const char *key, char out_id[STORE_UPLOAD_ID_BYTES],
                     struct err *err)
{
    auto_fd int tmp = -1;
    char id[DIR_ID_CHARS + 1], link_name[NAME_BYTES], part_name[NAME_BYTES];
    int rc = dir_key_check(key, err);
    if (rc == 0)
        rc = dir_new_id(id, err);
    if (rc == 0)
        rc = dir_open_tmp(dir_of(store), &tmp, err);
    if (rc < 0)
        return rc;
    upload_name(id, "key", link_name);
    upload_name(id, "part", part_name);
    char target[sizeof(KEY_MARK) + STORE_KEY_BYTES];
    snprintf(target, sizeof(target), KEY_MARK "%s", key);
    if (symlinkat(target, tmp, link_name) < 0)
        return dir_fail(err, errno, "begin an upload of", key);
    auto_fd int fd = openat(tmp, part_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        rc = dir_fail(err, errno, "begin an upload of", key);
        unlinkat(tmp, link_name, 0);
        return rc;
    }
    memcpy(out_id, id, sizeof(id));
    return 0;
}

static int open_upload(struct store *store, const char *key, const char *id, int *out_tmp,
                       int *out_fd, struct err *err)
{
    auto_fd int tmp = -1;
    int rc = dir_open_tmp(dir_of(store), &tmp, err);
    if (rc < 0)
        return rc;
    int fd = -1;
    errno = ENOENT;
    if (upload_is(tmp, key, id)) {
        char name[NAME_BYTES];
        upload_name(id, "part", name);
        fd = openat(tmp, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    } else {
        errno = ENOENT;
    }
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ENOENT, "upload of '%s': there is no upload '%s' (any more)", key, id);
    if (fd < 0)
        return dir_fail(err, errno, "upload of", key);
    *out_tmp = tmp;
    tmp = -1;
    *out_fd = fd;
    return 0;
}

// A part that was written is on the disk, or it is none.
static int end_part(int fd, const char *key, unsigned number, uint64_t off, uint64_t size,
                    struct store_part *out, struct err *err)
{
    // A write error of the disk is told to descriptors that were open then, not to the one that syncs at the end.
    if (fdatasync(fd) != 0)
        return err_errno(err, errno, "write part %u of '%s' to disk", number, key);
    *out = (struct store_part){.number = number, .size = size};
    snprintf(out->etag, sizeof(out->etag), "%" PRIx64 "-%" PRIx64, off, size);
    return 0;
}

static int check_number(const struct store *store, const char *key, unsigned number,
                        struct err *err)
{
    if (number < 1 || number > store->limits.parts_max)
        return err_set(err, EINVAL, "upload of '%s': there is no part %u", key, number);
    return 0;
}

int dir_put_part(struct store *store, const char *key, const char *id, unsigned number,
                 uint64_t off, struct source *body, struct store_part *out, struct err *err)
{
    auto_fd int tmp = -1;
    auto_fd int fd = -1;
    int rc = check_number(store, key, number, err);
    if (rc == 0)
        rc = open_upload(store, key, id, &tmp, &fd, err);
    if (rc == 0)
        rc = dir_write_body(fd, off, body, key, err);
    return rc < 0 ? rc : end_part(fd, key, number, off, body->size, out, err);
}

int dir_copy_part(struct store *store, const char *key, const char *id, unsigned number,
                  uint64_t off, const char *from, const char *if_match, uint64_t from_off,
                  uint64_t len, struct store_part *out, struct err *err)
{
    auto_fd int source = -1;
    auto_fd int tmp = -1;
    auto_fd int fd = -1;
    struct store_stat now = {0};
    uint64_t end, to_end;
    int rc = check_number(store, key, number, err);
    if (rc == 0)
        rc = open_upload(store, key, id, &tmp, &fd, err);
    if (rc == 0)
        rc = dir_open_match(dir_of(store), "copy", from, if_match, &source, &now, err);
    if (rc < 0)
        return rc;
    if (len == 0 || !add_u64(from_off, len, &end) || end > now.size)
        return err_set(err, EINVAL, "copy '%s': there is no such range in it", from);
    if (!add_u64(off, len, &to_end) || to_end > INT64_MAX)
        return err_set(err, EFBIG, "copy '%s' to '%s': beyond any file", from, key);
    rc = dir_copy_bytes(source, from_off, fd, off, len, from, err);
    return rc < 0 ? rc : end_part(fd, key, number, off, len, out, err);
}

// The parts must lie one behind the other and fill the file.
static int check_parts(int fd, const struct store_part *parts, unsigned count, const char *key,
                       struct err *err)
{
    uint64_t end = 0;
    unsigned last = 0;
    for (unsigned i = 0; i < count; i++) {
        char expected[STORE_ETAG_BYTES];
        snprintf(expected, sizeof(expected), "%" PRIx64 "-%" PRIx64, end, parts[i].size);
        if (parts[i].number <= last)
            return err_set(err, EINVAL, "upload of '%s': part %u follows part %u", key,
                           parts[i].number, last);
        if (strcmp(parts[i].etag, expected) != 0)
            return err_set(err, EINVAL, "upload of '%s': part %u does not lie at %llu", key,
                           parts[i].number, (unsigned long long)end);
        if (!add_u64(end, parts[i].size, &end))
            return err_set(err, EFBIG, "upload of '%s': it is beyond any file", key);
        last = parts[i].number;
    }
    struct stat st;
    if (fstat(fd, &st) < 0)
        return dir_fail(err, errno, "upload of", key);
    if (count == 0 || (uint64_t)st.st_size != end)
        return err_set(err, EINVAL, "upload of '%s': %u parts of %llu bytes for a file of %llu",
                       key, count, (unsigned long long)end, (unsigned long long)st.st_size);
    return 0;
}

int dir_upload_complete(struct store *store, const char *key, const char *id,
                        const struct store_part *parts, unsigned count,
                        const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    auto_fd int tmp = -1;
    auto_fd int fd = -1;
    int rc = open_upload(store, key, id, &tmp, &fd, err);
    if (rc == 0)
        rc = check_parts(fd, parts, count, key, err);
    if (rc < 0)
        return rc;
    char name[NAME_BYTES];
    upload_name(id, "part", name);
    rc = dir_publish(dir_of(store), tmp, fd, name, key, cond, out, err);
    if (rc < 0)
        return rc;
    upload_name(id, "key", name);
    unlinkat(tmp, name,
             0); // a link that stays is an upload without bytes: to be aborted, nothing lost
    return 0;
}

int dir_upload_abort(struct store *store, const char *key, const char *id, struct err *err)
{
    auto_fd int tmp = -1;
    int rc = dir_open_tmp(dir_of(store), &tmp, err);
    if (rc < 0)
        return rc;
    if (!upload_is(tmp, key, id))
        return 0;
    char name[NAME_BYTES];
    upload_name(id, "part", name); // first: while bytes are left the upload can be listed
    if (unlinkat(tmp, name, 0) < 0 && errno != ENOENT)
        return dir_fail(err, errno, "abort the upload of", key);
    upload_name(id, "key", name);
    if (unlinkat(tmp, name, 0) < 0 && errno != ENOENT)
        return dir_fail(err, errno, "abort the upload of", key);
    return 0;
}

int dir_upload_touched(struct store *store, const char *key, const char *id, struct timespec *out,
                       struct err *err)
{
    auto_fd int tmp = -1;
    auto_fd int fd = -1;
    int rc = open_upload(store, key, id, &tmp, &fd, err);
    struct stat st;
    if (rc < 0)
        return rc;
    if (fstat(fd, &st) < 0)
        return dir_fail(err, errno, "look at the upload of", key);
    *out = st.st_size > 0 ? st.st_mtim : (struct timespec){0};
    return 0;
}

int dir_list_uploads(struct store *store, const char *prefix,
                     int (*each)(void *ctx, const struct store_upload *), void *ctx,
                     struct err *err)
{
    struct dir_store *d = dir_of(store);
    int tmp = openat(d->root, DIR_TMP, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tmp < 0)
        return errno == ENOENT ? 0 : dir_fail(err, errno, "list uploads in", d->path);
    auto_dir DIR *dir = fdopendir(tmp);
    if (!dir) {
        int code = errno;
        close(tmp);
        return dir_fail(err, code, "list uploads in", d->path);
    }
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (!e)
            return errno == 0 ? 0 : dir_fail(err, errno, "list uploads in", d->path);
        char id[DIR_ID_CHARS + 1], key[STORE_KEY_BYTES + 1];
        struct stat st;
        if (strlen(e->d_name) != DIR_ID_CHARS + 4 || strcmp(e->d_name + DIR_ID_CHARS, ".key") != 0)
            continue;
        memcpy(id, e->d_name, DIR_ID_CHARS);
        id[DIR_ID_CHARS] = '\0';
        if (!id_valid(id) || !upload_key(tmp, e->d_name, key) ||
            strncmp(key, prefix, strlen(prefix)) != 0 ||
            fstatat(tmp, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; // not one of ours, or just ended
        int rc = each(ctx, &(struct store_upload){.key = key, .id = id, .initiated = st.st_mtim});
        if (rc != 0)
            return rc;
    }
}
