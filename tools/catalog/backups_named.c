// What BACKUP on a command line means: a configured NAME, HOST PARTITION, or a path on the mount.
#include "tools/catalog/backups_impl.h"

#include "backend/base/scope.h"
#include "tools/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int backups_host(const struct conf_database *db, char out[BACKUPS_HOST_BYTES], struct err *err)
{
    if (db && *db->host) {
        snprintf(out, BACKUPS_HOST_BYTES, "%s", db->host);
        return 0;
    }
    if (gethostname(out, BACKUPS_HOST_BYTES) != 0)
        return err_errno(err, errno, "this host's name");
    out[BACKUPS_HOST_BYTES - 1] = '\0';
    return 0;
}

const char *backups_partition(const struct conf_database *db)
{
    return *db->partition ? db->partition : db->name;
}

const struct conf_database *backup_database(const struct conf *conf, const struct backup *b)
{
    for (size_t i = 0; i < conf->database_count; i++) {
        const struct conf_database *db = &conf->databases[i];
        char host[BACKUPS_HOST_BYTES];
        if (backups_host(db, host, NULL) == 0 && strcmp(host, b->host) == 0 &&
            strcmp(backups_partition(db), b->partition) == 0)
            return db;
    }
    return NULL;
}

static bool is_dir(const char *point, const char *below)
{
    char path[BACKUPS_PATH_BYTES];
    struct stat st;
    snprintf(path, sizeof(path), "%s/%s", point, below);
    return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

// --- What may have been meant ---

struct words {
    const char **list; // borrowed, NULL at the end
    size_t count;
};

static void add_word(struct words *words, const char *word)
{
    const char **more = reallocarray(words->list, words->count + 2, sizeof(*more));
    if (!more)
        return; // a suggestion less
    words->list = more;
    words->list[words->count++] = word;
    words->list[words->count] = NULL;
}

static const char *nearest_of(const struct words *words, const char *given)
{
    return words->list ? cli_nearest(given, words->list) : NULL;
}

// " (did you mean X?)", or what there is, or "".
static void suggest(const struct words *words, const char *given, char out[256])
{
    const char *near = nearest_of(words, given);
    size_t len = 0;
    *out = '\0';
    if (near) {
        snprintf(out, 256, "; did you mean %s?", near);
        return;
    }
    for (size_t i = 0; i < words->count && len < 160; i++)
        len += (size_t)snprintf(out + len, 256 - len, "%s%.60s", i ? ", " : "; there is ",
                                words->list[i]);
}

static void suggest_in(const char *dir, const char *given, char out[256])
{
    struct dir_names names;
    struct words words = {.list = NULL};
    *out = '\0';
    if (dir_names_read(AT_FDCWD, dir, dir, &names, NULL) == 0)
        for (size_t i = 0; i < names.count; i++)
            add_word(&words, names.list[i].name);
    suggest(&words, given, out);
    free(words.list);
    dir_names_done(&names);
}

static int no_such_word(const struct conf *conf, const char *word, struct err *err)
{
    struct dir_names hosts;
    struct words words = {.list = NULL};
    for (size_t i = 0; i < conf->database_count; i++)
        add_word(&words, conf->databases[i].name);
    if (dir_names_read(AT_FDCWD, conf->mount.point, conf->mount.point, &hosts, NULL) == 0)
        for (size_t i = 0; i < hosts.count; i++)
            add_word(&words, hosts.list[i].name);
    char more[256];
    suggest(&words, word, more);
    free(words.list);
    dir_names_done(&hosts);
    return err_set(
        err, ENOENT,
        "'%.200s' is no [database] of the configuration, no HOST in %.200s, and no path on it%s",
        word, conf->mount.point, more);
}

// --- HOST PARTITION ---

static void partitions_of(const struct backups *all, struct words *out)
{
    for (size_t i = 0; i < all->count; i++)
        if (i == 0 || strcmp(all->list[i].partition, all->list[i - 1].partition) != 0)
            add_word(out, all->list[i].partition);
}

static int no_partition(const char *point, const char *host, const char *partition, struct err *err)
{
    struct backups all = {.list = NULL};
    struct words words = {.list = NULL};
    char more[256] = "";
    if (backups_walk(&(struct backups_wanted){.point = point, .host = host}, &all, NULL) == 0)
        partitions_of(&all, &words);
    suggest(&words, partition ? partition : "", more);
    int rc = partition ? err_set(err, ENOENT, "no backup of %.200s on host %.200s in %.200s%s",
                                 partition, host, point, more)
                       : err_set(err, ENOENT, "of host %.200s: which PARTITION?%s", host, more);
    free(words.list);
    backups_done(&all);
    return rc;
}

static int load_partition(const char *point, const char *host, const char *partition,
                          struct backups *out, struct err *err)
{
    int rc = backups_walk(
        &(struct backups_wanted){
            .point = point, .host = host, .partition = partition, .flags = BACKUPS_SIZES},
        out, err);
    if (rc || out->count)
        return rc;
    if (is_dir(point, host))
        return no_partition(point, host, partition, err);
    char more[256];
    suggest_in(point, host, more);
    return err_set(err, ENOENT, "no backup of host %.200s in %.200s%s", host, point, more);
}

// --- Paths ---

// The path below the mount of `word`: as it stands, or as if it began at the mount. NULL: there is no such.
static char *below_point(const char *point, const char *word)
{
    auto_free char *top = realpath(point, NULL);
    auto_free char *inside = NULL;
    if (asprintf(&inside, "%s/%s", point, word) < 0)
        inside = NULL;
    const char *candidates[] = {word, inside};
    size_t len = top ? strlen(top) : 0;
    for (size_t i = 0; top && i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        auto_free char *real = candidates[i] ? realpath(candidates[i], NULL) : NULL;
        if (real && strncmp(real, top, len) == 0 && real[len] == '/')
            return strdup(real + len + 1);
    }
    return NULL;
}

static bool is_under(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

// Does `path` name this backup: one of its files, something in its directory, or a directory that it is in?
static bool is_named(const struct backup *b, const char *path)
{
    const char *own[] = {b->dump, b->meta, b->globals, b->schema, b->verified_path};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (own[i] && (is_under(path, own[i]) || is_under(own[i], path)))
            return true;
    size_t len = b->stem ? strlen(b->stem) : 0; // an older VERIFIED file
    return len && strncmp(path, b->stem, len) == 0 && path[len] == '.';
}

static void keep_named(struct backups *all, const char *path)
{
    size_t kept = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (is_named(&all->list[i], path))
            all->list[kept++] = all->list[i];
        else
            backup_free_members(&all->list[i]);
    }
    all->count = kept;
}

// The sentence for a path that is not there: how far it goes, and what stands there.
static int no_such_path(const char *point, const char *word, struct err *err)
{
    char path[BACKUPS_PATH_BYTES], more[256] = "";
    bool absolute = *word == '/';
    snprintf(path, sizeof(path), "%s%s%s", absolute ? "" : point, absolute ? "" : "/", word);
    struct stat st;
    if (lstat(path, &st) == 0)
        return err_set(err, ENOENT, "'%.300s' is not on the mount %.200s", word, point);
    for (char *slash = strrchr(path, '/'); slash && slash > path; slash = strrchr(path, '/')) {
        *slash = '\0';
        if (stat(path, &st) == 0) {
            suggest_in(path, slash + 1, more);
            break;
        }
    }
    return err_set(err, ENOENT, "'%.300s' is not there; %.200s is%s", word, path, more);
}

static int load_path(const char *point, const char *word, struct backups *out, struct err *err)
{
    auto_free char *path = below_point(point, word);
    if (!path)
        return no_such_path(point, word, err);
    char host[NAME_MAX + 1] = "", date[NAME_MAX + 1] = "";
    size_t host_len = strcspn(path, "/");
    const char *rest = path[host_len] ? path + host_len + 1 : "";
    snprintf(host, sizeof(host), "%.*s", (int)host_len, path);
    snprintf(date, sizeof(date), "%.*s", (int)strcspn(rest, "/"), rest);
    if (strcmp(date, "latest") == 0)
        return err_set(err, EINVAL,
                       "%.300s/latest shows one link for each PARTITION: name one of them", host);
    struct backups all = {.list = NULL};
    int rc = backups_walk(
        &(struct backups_wanted){
            .point = point, .host = host, .date = *date ? date : NULL, .flags = BACKUPS_SIZES},
        &all, err);
    if (rc)
        return rc;
    keep_named(&all, path);
    if (all.count == 0) {
        backups_done(&all);
        return err_set(err, ENOENT, "%.300s belongs to no backup; bakfs list shows what there is",
                       path);
    }
    *out = all;
    return 0;
}

// --- All of it ---

int backups_named_in(const struct conf *conf, char *const *argv, int argc, int *out_used,
                     struct backups *out, struct err *err)
{
    const char *point = conf->mount.point, *word = argc > 0 ? argv[0] : "";
    if (!*word)
        return err_set(err, EINVAL,
                       "no backup named: a NAME of the configuration, HOST PARTITION, or a path");
    const struct conf_database *db = conf_database_find(conf, word, NULL);
    int used = 1, rc;
    char host[BACKUPS_HOST_BYTES];
    struct backups all = {.list = NULL};
    auto_free char *path = NULL;
    if (db) {
        rc = backups_host(db, host, err);
        if (rc == 0)
            rc = load_partition(point, host, backups_partition(db), &all, err);
    } else if (strchr(word, '/')) {
        rc = load_path(point, word, &all, err);
    } else if (argc > 1 && !strchr(argv[1], '/') && is_dir(point, word)) {
        used = 2;
        rc = load_partition(point, word, argv[1], &all, err);
    } else if (is_dir(point, word)) {
        rc = no_partition(point, word, NULL, err);
    } else {
        path = below_point(point, word); // a name in the directory that somebody went to
        rc = path ? load_path(point, word, &all, err) : no_such_word(conf, word, err);
    }
    if (rc)
        return rc;
    *out_used = used;
    *out = all;
    return 0;
}

int backups_named(const struct conf *conf, char *const *argv, int argc, int *out_used,
                  struct backups *out, struct err *err)
{
    int rc = backups_check_mount(conf->mount.point, err);
    return rc ? rc : backups_named_in(conf, argv, argc, out_used, out, err);
}
