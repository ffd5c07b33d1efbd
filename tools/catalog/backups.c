// One walk over HOST/DATE/PARTITION, which makes groups of the names. backups_named.c finds what a command line means.
#include "tools/catalog/backups_impl.h"

#include "backend/base/scope.h"
#include "tools/catalog/names.h"
#include "tools/mounted.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int no_memory(struct err *err)
{
    return err_set(err, ENOMEM, "no memory for the list of backups");
}

void backup_free_members(struct backup *b)
{
    free(b->host);
    free(b->date);
    free(b->partition);
    free(b->stem);
    free(b->dump);
    free(b->meta);
    free(b->globals);
    free(b->schema);
    free(b->verified_path);
}

void backups_done(struct backups *all)
{
    for (size_t i = 0; i < all->count; i++)
        backup_free_members(&all->list[i]);
    free(all->list);
    *all = (struct backups){.list = NULL};
}

// --- Groups of names ---

struct walk {
    const struct backups_wanted *wanted;
    struct backups *out;
    const char *host, *date;
    time_t day; // the beginning of `date`
};

static struct backup *add(struct walk *w, const char *partition, size_t partition_len)
{
    struct backups *all = w->out;
    if (all->count == all->room) {
        size_t room = all->room ? 2 * all->room : 64;
        struct backup *more = reallocarray(all->list, room, sizeof(*more));
        if (!more)
            return NULL;
        all->list = more;
        all->room = room;
    }
    struct backup b = {.host = strdup(w->host),
                       .date = strdup(w->date),
                       .partition = strndup(partition, partition_len),
                       .when = w->day,
                       .finished = true};
    if (!b.host || !b.date || !b.partition) {
        backup_free_members(&b);
        return NULL;
    }
    all->list[all->count] = b;
    return &all->list[all->count++];
}

// HOST/DATE[/PARTITION]/NAME
static char *path_of(const struct walk *w, const char *partition, const char *name, size_t len)
{
    char *path = NULL;
    int n = asprintf(&path, "%s/%s%s%s/%.*s", w->host, w->date, partition ? "/" : "",
                     partition ? partition : "", (int)len, name);
    return n < 0 ? NULL : path;
}

static int set_path(char **out, const struct walk *w, const char *partition, const char *name)
{
    char *path = path_of(w, partition, name, strlen(name));
    if (!path)
        return -ENOMEM;
    free(*out);
    *out = path;
    return 0;
}

static int see_verified(struct backup *b, const struct walk *w, const char *partition,
                        const char *name, time_t at, bool pass)
{
    if (b->verified != BACKUP_NOT_VERIFIED && at < b->verified_at)
        return 0;
    b->verified = pass ? BACKUP_VERIFIED_PASS : BACKUP_VERIFIED_FAIL;
    b->verified_at = at;
    return set_path(&b->verified_path, w, partition, name);
}

// Of all that may be called a dump the first in this order is it.
static int see_dump(struct backup *b, const struct walk *w, const char *partition, const char *name,
                    bool is_dir)
{
    bool custom = !is_dir && strcmp(strrchr(name, '.'), ".dump") == 0;
    if (b->dump && !custom && (!is_dir || b->dump_is_dir))
        return 0;
    b->dump_is_dir = is_dir;
    return set_path(&b->dump, w, partition, name);
}

static int see_stem(struct backup *b, const struct walk *w, const char *partition,
                    const struct dir_name *name, const struct name *read)
{
    switch (read->kind) {
    case NAME_DUMP:
    case NAME_DIR:
    case NAME_SQL:
        return see_dump(b, w, partition, name->name, name->is_dir);
    case NAME_GLOBALS:
        return set_path(&b->globals, w, partition, name->name);
    case NAME_SCHEMA:
        return set_path(&b->schema, w, partition, name->name);
    case NAME_META:
        b->finished = true;
        return set_path(&b->meta, w, partition, name->name);
    case NAME_VERIFIED:
        return see_verified(b, w, partition, name->name, read->verified_at, read->pass);
    case NAME_BESIDE:
        break;
    }
    return 0;
}

static bool is_stem(const struct dir_name *name, const char *partition, struct name *out)
{
    return name_parse(partition, name->name, out) && name->is_dir == (out->kind == NAME_DIR);
}

// The group of this name among those of the directory, `first` on. Names come sorted, so that it is one of the last.
static struct backup *group_of(struct walk *w, size_t first, const char *partition,
                               const char *name, const struct name *read)
{
    auto_free char *stem = path_of(w, partition, name, read->stem_len);
    if (!stem)
        return NULL;
    for (size_t i = w->out->count; i-- > first;)
        if (strcmp(w->out->list[i].stem, stem) == 0)
            return &w->out->list[i];
    struct backup *b = add(w, partition, strlen(partition));
    if (b) {
        b->stem = take(stem);
        b->ours = true;
        b->finished = false;
        b->when = read->when;
    }
    return b;
}

// What is left of a backup that was removed (its VERIFIED files) is none.
static bool is_nothing(const struct backup *b)
{
    return !b->dump && !b->meta && !b->globals && !b->schema;
}

static void drop_nothings(struct backups *all, size_t first)
{
    size_t kept = first;
    for (size_t i = first; i < all->count; i++) {
        if (is_nothing(&all->list[i]))
            backup_free_members(&all->list[i]);
        else
            all->list[kept++] = all->list[i];
    }
    all->count = kept;
}

static int group_stems(struct walk *w, const char *partition, const struct dir_names *names,
                       struct err *err)
{
    size_t first = w->out->count;
    for (size_t i = 0; i < names->count; i++) {
        const struct dir_name *name = &names->list[i];
        struct name read;
        if (!is_stem(name, partition, &read))
            continue;
        struct backup *b = group_of(w, first, partition, name->name, &read);
        if (!b || see_stem(b, w, partition, name, &read) != 0)
            return no_memory(err);
    }
    drop_nothings(w->out, first);
    return 0;
}

// A PARTITION directory that people copied in, as a whole.
static int add_whole(struct walk *w, const char *partition, const struct dir_names *names,
                     struct err *err)
{
    if (names->count == 0)
        return 0; // only made, so far
    struct backup *b = add(w, partition, strlen(partition));
    if (!b || set_path(&b->dump, w, NULL, partition) != 0)
        return no_memory(err);
    b->dump_is_dir = true;
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->list[i].name;
        struct name_base base;
        name_base(name, &base);
        if (!names->list[i].is_dir && base.added == NAME_ADDED_VERIFIED &&
            see_verified(b, w, partition, name, base.verified_at, base.pass) != 0)
            return no_memory(err);
    }
    return 0;
}

static const struct dir_name *find_name(const struct dir_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->list[i].name, name) == 0)
            return &names->list[i];
    return NULL;
}

// Sizes of what was added, `first` on: from what came with the names, or by asking. `in`: the directory of their dumps.
static int ask_sizes(struct walk *w, size_t first, const struct dir_names *in, int date_fd,
                     struct err *err)
{
    if (!(w->wanted->flags & BACKUPS_SIZES))
        return 0;
    size_t above = strlen(w->host) + strlen(w->date) + 2;
    int rc = 0;
    for (size_t i = first; i < w->out->count && rc == 0; i++) {
        struct backup *b = &w->out->list[i];
        const struct dir_name *known =
            b->dump && !b->dump_is_dir ? find_name(in, strrchr(b->dump, '/') + 1) : NULL;
        if (known && known->known)
            backups_take_known(b, known);
        else if (b->dump && b->dump_is_dir)
            rc = b->ours ? 0 : backups_judge_dir(date_fd, in, b, err);
        else if (b->dump)
            rc = backups_ask_at(date_fd, b->dump + above, b, err);
    }
    return rc;
}

static int group(struct walk *w, int date_fd, const char *partition, const struct dir_names *names,
                 struct err *err)
{
    bool stems = false;
    struct name read;
    for (size_t i = 0; i < names->count && !stems; i++)
        stems = is_stem(&names->list[i], partition, &read);
    size_t first = w->out->count;
    int rc = stems ? group_stems(w, partition, names, err) : add_whole(w, partition, names, err);
    return rc ? rc : ask_sizes(w, first, names, date_fd, err);
}

static int walk_partition(struct walk *w, int date_fd, const struct dir_name *dir, struct err *err)
{
    if (dir->inside)
        return group(w, date_fd, dir->name, dir->inside, err);
    char path[BACKUPS_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s/%s/%s", w->wanted->point, w->host, w->date, dir->name);
    struct dir_names names;
    int rc = dir_names_read(date_fd, dir->name, path, &names, err);
    if (rc == 0)
        rc = group(w, date_fd, dir->name, &names, err);
    dir_names_done(&names);
    return rc == -ENOENT ? 0 : rc; // removed meanwhile
}

// --- Files in DATE ---

static bool ends_in(const char *name, const char *suffix)
{
    size_t len = strlen(name), n = strlen(suffix);
    return len > n && strcmp(name + len - n, suffix) == 0;
}

static bool is_partition(const char *name, const char *partition)
{
    size_t len = strcspn(name, ".");
    return strncmp(name, partition, len) == 0 && partition[len] == '\0';
}

// The one of this DATE that is called `name[0..len)`; unless `exact`, any file of that PARTITION.
static struct backup *beside(struct walk *w, size_t first, const char *name, size_t len, bool exact)
{
    struct backup *any = NULL;
    for (size_t i = w->out->count; i-- > first;) {
        struct backup *b = &w->out->list[i];
        const char *dump = b->ours || !b->dump ? "" : strrchr(b->dump, '/') + 1;
        if (strncmp(dump, name, len) == 0 && dump[len] == '\0')
            return b;
        if (!exact && *dump && !b->dump_is_dir && is_partition(name, b->partition))
            any = b;
    }
    return any;
}

static bool is_companion(const char *name)
{
    struct name_base base;
    name_base(name, &base);
    return base.added != NAME_ADDED_NOTHING || ends_in(name, ".schema.sql") ||
           ends_in(name, ".globals.sql");
}

// A schema or globals file goes with a dump of its PARTITION; without one it is a backup by itself.
static int see_companion(struct walk *w, size_t first, const char *name, struct err *err)
{
    struct name_base base;
    name_base(name, &base);
    bool added = base.added != NAME_ADDED_NOTHING;
    struct backup *b = beside(w, first, name, base.base_len, added);
    char **place = !b                              ? NULL
                   : base.added == NAME_ADDED_META ? &b->meta
                   : ends_in(name, ".schema.sql")  ? &b->schema
                                                   : &b->globals;
    int rc = 0;
    if (b && base.added == NAME_ADDED_VERIFIED) {
        rc = see_verified(b, w, NULL, name, base.verified_at, base.pass);
    } else if (place && !*place) {
        rc = set_path(place, w, NULL, name);
    } else if (!added) {
        b = add(w, name, strcspn(name, "."));
        rc = b ? set_path(&b->dump, w, NULL, name) : -ENOMEM;
    }
    return rc ? no_memory(err) : 0;
}

static bool wants_file(const struct walk *w, const char *name)
{
    return !w->wanted->partition || is_partition(name, w->wanted->partition);
}

static int walk_files(struct walk *w, const struct dir_names *names, size_t first, struct err *err)
{
    size_t files = w->out->count;
    for (size_t i = 0; i < names->count; i++) {
        const struct dir_name *name = &names->list[i];
        if (name->is_dir || !wants_file(w, name->name) || is_companion(name->name))
            continue;
        struct backup *b = add(w, name->name, strcspn(name->name, "."));
        if (!b || set_path(&b->dump, w, NULL, name->name) != 0)
            return no_memory(err);
    }
    int rc = 0;
    for (size_t i = 0; i < names->count && rc == 0; i++)
        if (!names->list[i].is_dir && wants_file(w, names->list[i].name) &&
            is_companion(names->list[i].name))
            rc = see_companion(w, first, names->list[i].name, err);
    return rc ? rc : ask_sizes(w, files, names, names->fd, err);
}

// --- The walk ---

static int walk_date(struct walk *w, int host_fd, struct err *err)
{
    char path[BACKUPS_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s/%s", w->wanted->point, w->host, w->date);
    struct dir_names names;
    size_t first = w->out->count;
    int rc = 0;
    if (!dir_names_ask(host_fd, w->date, &names)) {
        dir_names_done(&names);
        rc = dir_names_read(host_fd, w->date, path, &names, err);
    }
    for (size_t i = 0; i < names.count && rc == 0; i++) {
        const struct dir_name *name = &names.list[i];
        const char *wanted = w->wanted->partition;
        if (name->is_dir && (!wanted || strcmp(name->name, wanted) == 0))
            rc = walk_partition(w, names.fd, name, err);
    }
    if (rc == 0)
        rc = walk_files(w, &names, first, err);
    dir_names_done(&names);
    return rc == -ENOENT ? 0 : rc;
}

static int walk_host(struct walk *w, int point_fd, struct err *err)
{
    char path[BACKUPS_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s", w->wanted->point, w->host);
    struct dir_names names;
    int rc = dir_names_read(point_fd, w->host, path, &names, err);
    for (size_t i = 0; i < names.count && rc == 0; i++) {
        const struct dir_name *name = &names.list[i];
        const char *wanted = w->wanted->date;
        w->date = name->name;
        if (name->is_dir && name_date(name->name, &w->day) &&
            (!wanted || strcmp(name->name, wanted) == 0))
            rc = walk_date(w, names.fd, err);
    }
    dir_names_done(&names);
    return rc == -ENOENT ? 0 : rc;
}

static int compare(const void *a, const void *b)
{
    const struct backup *x = a, *y = b;
    int order = strcmp(x->host, y->host);
    if (order == 0)
        order = strcmp(x->partition, y->partition);
    if (order == 0)
        order = (x->when > y->when) - (x->when < y->when);
    // of one second: by name, so that the order is the same each time
    return order ? order : strcmp(x->stem ? x->stem : x->dump, y->stem ? y->stem : y->dump);
}

int backups_walk(const struct backups_wanted *wanted, struct backups *out, struct err *err)
{
    struct backups all = {.list = NULL};
    struct walk w = {.wanted = wanted, .out = &all};
    struct dir_names hosts;
    int rc = dir_names_read(AT_FDCWD, wanted->point, wanted->point, &hosts, err);
    for (size_t i = 0; i < hosts.count && rc == 0; i++) {
        w.host = hosts.list[i].name;
        if (hosts.list[i].is_dir && (!wanted->host || strcmp(w.host, wanted->host) == 0))
            rc = walk_host(&w, hosts.fd, err);
    }
    dir_names_done(&hosts);
    if (rc) {
        backups_done(&all);
        return rc;
    }
    if (all.count)
        qsort(all.list, all.count, sizeof(*all.list), compare);
    *out = all;
    return 0;
}

int backups_check_mount(const char *point, struct err *err)
{
    if (!*point)
        return err_set(
            err, ENOENT,
            "no mount point: set [mount] point in the configuration, or name it with -c");
    struct err why = {0};
    int rc = mounted_check(point, &why);
    if (rc == -ENOENT)
        return err_set(err, ENOENT, "%s; type: bakfs mount", why.text);
    if (rc)
        return err_copy(err, &why);
    auto_fd int fd = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOTCONN) // the mount is there, its daemon is not
        return err_set(
            err, ENOTCONN,
            "%s: the daemon of this mount is gone; type: bakfs umount --lazy && bakfs mount",
            point);
    return fd < 0 ? err_errno(err, errno, "%s", point) : 0;
}

int backups_load(const char *point, const char *host, const char *partition, unsigned flags,
                 struct backups *out, struct err *err)
{
    int rc = backups_check_mount(point, err);
    if (rc)
        return rc;
    return backups_walk(
        &(struct backups_wanted){
            .point = point, .host = host, .partition = partition, .flags = flags},
        out, err);
}
