// Listing in the byte order of whole keys. Names of directories are compared with their '/' at the end: then the order of
// the names of each directory, taken depth first, is the order of the keys ("a-b" < "a/b" < "a0").
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct listing {
    struct dir_store *d;
    const char *prefix, *after;
    bool fold;
    unsigned left; // entries that may still be given
    bool more;
    int (*each)(void *ctx, const struct store_entry *);
    void *ctx;
    struct err *err;
    char key[STORE_KEY_BYTES + 2]; // of the directory being read, then of the entry
};

struct names {
    char **list; // directories end in '/'
    size_t count, room;
};

static void names_done(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
}

static int names_add(struct names *names, const char *name, bool is_dir)
{
    if (names->count == names->room) {
        size_t room = names->room ? 2 * names->room : 16;
        char **list = reallocarray(names->list, room, sizeof(list[0]));
        if (!list)
            return -ENOMEM;
        names->list = list;
        names->room = room;
    }
    size_t len = strlen(name);
    char *copy = malloc(len + 2);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, name, len);
    memcpy(copy + len, is_dir ? "/" : "", is_dir ? 2 : 1);
    names->list[names->count++] = copy;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool starts_with(const char *s, const char *start)
{
    return strncmp(s, start, strlen(start)) == 0;
}

// May `key` (of an object, or of a directory with its '/') be or hold anything that is asked for?
static bool wanted(const struct listing *l, const char *key)
{
    bool is_dir = key[strlen(key) - 1] == '/';
    if (!starts_with(key, l->prefix) && !(is_dir && starts_with(l->prefix, key)))
        return false;
    if (strcmp(key, l->after) > 0)
        return true;
    // of a directory that `after` lies in, the rest is still to come, unless it is folded into one entry
    bool folded = l->fold && starts_with(key, l->prefix);
    return is_dir && !folded && starts_with(l->after, key);
}

// d_type where it is known; links and the like are not objects
static bool kind_of(int fd, const struct dirent *e, bool *out_is_dir)
{
    unsigned char type = e->d_type;
    if (type == DT_UNKNOWN) {
        struct stat st;
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return false;
        type = S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_LNK;
    }
    *out_is_dir = type == DT_DIR;
    return type == DT_DIR || type == DT_REG;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool add_to_key(struct listing *l, size_t dir_len, const char *name)
{
    size_t len = strlen(name);
    if (dir_len + len > STORE_KEY_BYTES)
        return false; // no key can be so long
    memcpy(l->key + dir_len, name, len + 1);
    return true;
}

// Opens the directory whose key is the first `len` bytes of l->key. *out_dir stays NULL when it is gone.
static int open_dir(struct listing *l, size_t len, DIR **out_dir)
{
    l->key[len] = '\0';
    int fd;
    const char *name;
    int rc = dir_open_parent(l->d, l->key, false, &fd, &name, l->err);
    if (dir_absent(rc))
        return 0;
    // every ext4 has it, for root alone, when it is mounted to hold the store
    if (rc == -EACCES && strcmp(l->key, "lost+found/") == 0)
        return 0;
    if (rc < 0)
        return rc;
    *out_dir = fdopendir(fd);
    if (*out_dir)
        return 0;
    rc = dir_fail(l->err, errno, "list", l->key);
    close(fd);
    return rc;
}

static int read_names(struct listing *l, DIR *dir, size_t len, struct names *out)
{
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (!e && errno == 0)
            break;
        bool is_dir;
        if (!e) {
            l->key[len] = '\0';
            return dir_fail(l->err, errno, "list", l->key);
        }
        if (is_dot(e->d_name) || (len == 0 && strcmp(e->d_name, DIR_TMP) == 0) ||
            !kind_of(dirfd(dir), e, &is_dir) || !add_to_key(l, len, e->d_name))
            continue;
        if (is_dir && !add_to_key(l, strlen(l->key), "/"))
            continue;
        if (!wanted(l, l->key))
            continue;
        if (names_add(out, e->d_name, is_dir) < 0)
            return err_set(l->err, ENOMEM, "list '%s': out of memory", l->prefix);
    }
    if (out->count > 0)
        qsort(out->list, out->count, sizeof(out->list[0]), compare_names);
    return 0;
}

// Is there any object below the directory in l->key? (Empty ones are no prefixes.)
static int holds_object(struct listing *l, size_t len, bool *out)
{
    auto_dir DIR *dir = NULL;
    __attribute__((cleanup(names_done))) struct names deeper = {NULL, 0, 0};
    int rc = open_dir(l, len, &dir);
    if (rc < 0 || !dir)
        return rc;
    const struct dirent *e;
    while ((errno = 0, e = readdir(dir))) {
        bool is_dir;
        if (is_dot(e->d_name) || !kind_of(dirfd(dir), e, &is_dir) ||
            !add_to_key(l, len, e->d_name) || (is_dir && !add_to_key(l, strlen(l->key), "/")))
            continue;
        if (!is_dir) {
            *out = true;
            return 0;
        }
        if (names_add(&deeper, e->d_name, true) < 0)
            return err_set(l->err, ENOMEM, "list '%s': out of memory", l->prefix);
    }
    if (errno != 0)
        return dir_fail(l->err, errno, "list", l->prefix);
    // not held open while deeper ones are read: a deep tree must not use up the descriptors
    dir_scope_closedir(&dir);
    dir = NULL;
    for (size_t i = 0; rc == 0 && !*out && i < deeper.count; i++) {
        add_to_key(l, len, deeper.list[i]);
        rc = holds_object(l, strlen(l->key), out);
    }
    return rc;
}

static int give(struct listing *l, const struct store_entry *entry)
{
    if (l->left == 0) {
        l->more = true;
        return 0;
    }
    l->left--;
    return l->each(l->ctx, entry);
}

static int list_dir(struct listing *l, size_t len);

// The directory in l->key, `len` bytes with its '/'.
static int give_dir(struct listing *l, size_t len)
{
    if (!l->fold || !starts_with(l->key, l->prefix))
        return list_dir(l, len);
    bool any = false;
    int rc = holds_object(l, len, &any);
    l->key[len] = '\0';
    if (rc < 0 || !any)
        return rc;
    return give(l, &(struct store_entry){.key = l->key, .is_prefix = true});
}

static int list_dir(struct listing *l, size_t len)
{
    auto_dir DIR *dir = NULL;
    __attribute__((cleanup(names_done))) struct names names = {NULL, 0, 0};
    int rc = open_dir(l, len, &dir);
    if (rc < 0 || !dir)
        return rc;
    rc = read_names(l, dir, len, &names);
    for (size_t i = 0; rc == 0 && !l->more && i < names.count; i++) {
        add_to_key(l, len, names.list[i]);
        size_t key_len = strlen(l->key);
        if (l->key[key_len - 1] == '/') {
            // as in holds_object: not held open meanwhile
            dir_scope_closedir(&dir);
            dir = NULL;
            rc = give_dir(l, key_len);
            continue;
        }
        if (!dir) {
            rc = open_dir(l, len, &dir);
            if (rc < 0 || !dir)
                return rc;
            add_to_key(l, len, names.list[i]);
        }
        struct store_entry entry = {.key = l->key};
        struct stat st;
        if (fstatat(dirfd(dir), names.list[i], &st, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno != ENOENT)
                return dir_fail(l->err, errno, "list", l->key);
            continue;
        }
        if (!S_ISREG(st.st_mode))
            continue;
        dir_stat_fill(&st, &entry.stat);
        rc = give(l, &entry);
    }
    return rc;
}

int dir_list(struct store *store, const char *prefix, const char *after, bool fold, unsigned max,
             int (*each)(void *ctx, const struct store_entry *), void *ctx, bool *out_more,
             struct err *err)
{
    struct listing l = {
        .d = dir_of(store),
        .prefix = prefix,
        .after = after ? after : "",
        .fold = fold,
        .left = max,
        .each = each,
        .ctx = ctx,
        .err = err,
    };
    // start in the directory that the prefix names
    const char *slash = strrchr(prefix, '/');
    size_t len = slash ? (size_t)(slash - prefix) + 1 : 0;
    int rc = 0;
    if (strlen(prefix) <= STORE_KEY_BYTES) {
        memcpy(l.key, prefix, len);
        rc = list_dir(&l, len);
    }
    if (rc == 0)
        *out_more = l.more;
    return rc;
}
