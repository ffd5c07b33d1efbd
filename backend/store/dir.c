#include "backend/store/dir.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define VERSIONS_PAGE 1000

// Puts that a killed process left: a living one holds a lock on its file.
static void remove_dead_puts(int tmp)
{
    int fd = openat(tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    auto_dir DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    const struct dirent *e;
    while ((e = readdir(dir))) {
        if (strlen(e->d_name) != DIR_ID_CHARS + 4 || strcmp(e->d_name + DIR_ID_CHARS, ".put") != 0)
            continue;
        auto_fd int put = openat(tmp, e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (put >= 0 && flock(put, LOCK_EX | LOCK_NB) == 0)
            unlinkat(tmp, e->d_name, 0);
    }
}

static int check(struct store *store, bool writable, struct err *err)
{
    struct dir_store *d = dir_of(store);
    int fd = openat(d->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, EACCES, "the store's directory '%s' cannot be read: %s", d->path,
                       strerrordesc_np(errno));
    close(fd);
    if (!writable)
        return 0;
    auto_fd int tmp = -1;
    char id[STORE_UPLOAD_ID_BYTES];
    int rc = dir_open_tmp(d, &tmp, err);
    if (rc == 0)
        rc = dir_upload_begin(store, "check", id, err);
    if (rc == 0)
        rc = dir_upload_abort(store, "check", id, err);
    if (rc < 0) {
        (void)err_prefix(err,
                         "the store's directory '%s' cannot be written (let the daemon's user "
                         "write there, or mount with -o ro)",
                         d->path);
        return rc;
    }
    remove_dead_puts(tmp);
    return 0;
}

static int head(struct store *store, const char *key, struct store_stat *out, struct err *err)
{
    auto_fd int fd = -1;
    struct stat st = {0};
    int rc = dir_open_object(dir_of(store), key, &fd, &st, err);
    if (rc == 0)
        dir_stat_fill(&st, out);
    return rc;
}

static int read_range(int fd, const char *key, uint64_t off, size_t len, uint8_t *buf,
                      struct err *err)
{
    while (len > 0) {
        ssize_t n = pread(fd, buf, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dir_fail(err, errno, "get", key);
        if (n == 0) // files are never changed in place by us
            return err_set(err, EUCLEAN, "get '%s': somebody cut it while it was read", key);
        buf += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int get(struct store *store, const char *key, const char *if_match, uint64_t off, size_t len,
               void *buf, size_t *out_len, struct store_stat *out, struct err *err)
{
    auto_fd int fd = -1;
    struct store_stat now = {0};
    int rc = dir_open_match(dir_of(store), "get", key, if_match, &fd, &now, err);
    if (rc < 0)
        return rc;
    size_t n = off < now.size ? (size_t)min_u64(len, now.size - off) : 0;
    rc = read_range(fd, key, off, n, buf, err);
    if (rc < 0)
        return rc;
    *out_len = n;
    if (out)
        *out = now;
    return 0;
}

static int get_tail(struct store *store, const char *key, const char *if_match, size_t len,
                    void *buf, size_t *out_len, struct store_stat *out, struct err *err)
{
    auto_fd int fd = -1;
    struct store_stat now = {0};
    int rc = dir_open_match(dir_of(store), "get", key, if_match, &fd, &now, err);
    if (rc < 0)
        return rc;
    size_t n = (size_t)min_u64(len, now.size);
    rc = read_range(fd, key, now.size - n, n, buf, err);
    if (rc < 0)
        return rc;
    *out_len = n;
    if (out)
        *out = now;
    return 0;
}

// Removes the directories above `key` as long as they are empty. With the lock held, so no put of ours is between
// making one and renaming into it.
static void remove_empty_parents(struct dir_store *d, const char *key)
{
    char path[STORE_KEY_BYTES + 1];
    snprintf(path, sizeof(path), "%s", key);
    for (char *slash; (slash = strrchr(path, '/'));) {
        *slash = '\0';
        auto_fd int parent = -1;
        const char *name;
        if (dir_open_parent(d, path, false, &parent, &name, NULL) < 0 ||
            unlinkat(parent, name, AT_REMOVEDIR) < 0)
            return;
    }
}

static int remove_object(struct store *store, const char *key, const char *if_match,
                         struct err *err)
{
    struct dir_store *d = dir_of(store);
    auto_fd int lock = -1;
    auto_fd int parent = -1;
    const char *name = key;
    int rc = dir_key_check(key, NULL);
    if (rc == 0)
        rc = dir_open_parent(d, key, false, &parent, &name, err);
    if (dir_absent(rc))
        return 0;
    if (rc == 0)
        rc = dir_lock(d, &lock, err);
    if (rc < 0)
        return rc;
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : dir_fail(err, errno, "remove", key);
    if (!S_ISREG(st.st_mode))
        return 0;
    struct store_stat now;
    dir_stat_fill(&st, &now);
    if (if_match && strcmp(now.etag, if_match) != 0)
        return err_set(err, ESTALE, "remove '%s': another object stands there now", key);
    if (unlinkat(parent, name, 0) < 0)
        return errno == ENOENT ? 0 : dir_fail(err, errno, "remove", key);
    if (fsync(parent) < 0)
        return dir_fail(err, errno, "remove", key);
    remove_empty_parents(d, key);
    return 0;
}

// --- versions: an object is its own only one, told apart by its ETag ---

struct versions {
    int (*each)(void *ctx, const struct store_version *);
    void *ctx;
    char last[STORE_KEY_BYTES + 1]; // key seen
};

static int give_version(void *ctx, const struct store_entry *entry)
{
    struct versions *v = ctx;
    snprintf(v->last, sizeof(v->last), "%s", entry->key);
    return v->each(v->ctx, &(struct store_version){.key = entry->key,
                                                   .id = entry->stat.etag,
                                                   .latest = true,
                                                   .size = entry->stat.size,
                                                   .last_modified = entry->stat.last_modified});
}

static int list_versions(struct store *store, const char *prefix,
                         int (*each)(void *ctx, const struct store_version *), void *ctx,
                         struct err *err)
{
    struct versions v = {.each = each, .ctx = ctx};
    bool more = true;
    int rc = 0;
    while (rc == 0 && more) {
        char after[STORE_KEY_BYTES + 1];
        memcpy(after, v.last, sizeof(after));
        rc = dir_list(store, prefix, after, false, VERSIONS_PAGE, give_version, &v, &more, err);
    }
    return rc;
}

static int remove_version(struct store *store, const char *key, const char *id, struct err *err)
{
    return remove_object(store, key, id, err);
}

static int ask_hold(struct store *store, const char *key, const char *id, struct store_hold *out,
                    struct err *err)
{
    (void)store, (void)key, (void)id, (void)err;
    *out = (struct store_hold){0};
    return 0;
}

static int facts(struct store *store, struct store_facts *out, struct err *err)
{
    (void)store, (void)err;
    *out = (struct store_facts){0};
    return 0;
}

static struct timespec now_local(struct store *store)
{
    (void)store;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now;
}

static int64_t clock_offset_ms(struct store *store)
{
    (void)store;
    return 0;
}

static void free_store(struct store *store)
{
    struct dir_store *d = dir_of(store);
    close(d->root);
    free(d->path);
    free(d);
}

static const struct store_ops ops = {
    .check = check,
    .head = head,
    .get = get,
    .get_tail = get_tail,
    .list = dir_list,
    .put = dir_put,
    .upload_begin = dir_upload_begin,
    .put_part = dir_put_part,
    .upload_complete = dir_upload_complete,
    .upload_abort = dir_upload_abort,
    .list_uploads = dir_list_uploads,
    .upload_touched = dir_upload_touched,
    .copy = dir_copy,
    .copy_part = dir_copy_part,
    .remove = remove_object,
    .list_versions = list_versions,
    .remove_version = remove_version,
    .ask_hold = ask_hold,
    .facts = facts,
    .now = now_local,
    .clock_offset_ms = clock_offset_ms,
    .free = free_store,
};

int store_dir_new(const char *path, struct store **out, struct err *err)
{
    auto_free char *real = realpath(path, NULL);
    if (!real && errno == ENOENT)
        return err_set(err, ENOENT,
                       "the store's directory '%s' does not exist: make it (mkdir -p), or correct "
                       "[store] url",
                       path);
    auto_fd int root = real ? open(real, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (root < 0)
        return dir_fail(err, errno, "open the store's directory", path);
    struct dir_store *d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(err, ENOMEM, "open the store's directory '%s': out of memory", path);
    int n = snprintf(d->store.id, sizeof(d->store.id), "dir:%s", real);
    if (n < 0 || (size_t)n >= sizeof(d->store.id)) {
        free(d);
        return err_set(err, ENAMETOOLONG, "the store's directory '%s' has too long a path", path);
    }
    d->store.ops = &ops;
    d->store.limits = (struct store_limits){.part_min = 1,
                                            .parts_max = 10000,
                                            .put_max = INT64_MAX,
                                            .put_conditions = true,
                                            .complete_conditions = true};
    d->root = root;
    root = -1;
    d->path = take(real);
    *out = &d->store;
    return 0;
}
