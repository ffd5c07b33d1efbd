#include "tools/verify/files.h"

#include "backend/base/scope.h"
#include "backend/complete.h"
#include "tools/catalog/names.h"

#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void files_done(struct files *f)
{
    for (size_t i = 0; i < f->count; i++)
        look_done(&f->list[i]);
    free(f->list);
    free(f->dir);
    free(f->archive);
    *f = (struct files){.list = NULL};
}

struct look *files_named(const struct files *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->list[i].name, name) == 0)
            return &f->list[i];
    return NULL;
}

static int no_memory(struct err *err)
{
    return err_set(err, ENOMEM, "no memory for the files of a backup");
}

// `path` is below f->dir.
static int add(struct files *f, const char *path, bool belongs, struct err *err)
{
    if (f->count == f->room) {
        size_t room = f->room ? 2 * f->room : 16;
        struct look *more = reallocarray(f->list, room, sizeof(*more));
        if (!more)
            return no_memory(err);
        f->list = more;
        f->room = room;
    }
    struct look l = {
        .path = strdup(path), .name = strdup(path + strlen(f->dir) + 1), .belongs = belongs};
    if (!l.path || !l.name) {
        look_done(&l);
        return no_memory(err);
    }
    f->list[f->count++] = l;
    return 0;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static bool is_added(const char *name)
{
    struct name_base base;
    name_base(name, &base);
    return base.added != NAME_ADDED_NOTHING;
}

// All of a tree but temporary names, and what tools added at its top.
static int walk(struct files *f, const char *top, struct err *err)
{
    auto_free char *start = strdup(top);
    if (!start)
        return no_memory(err);
    char *starts[] = {start, NULL};
    FTS *walk = fts_open(starts, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    if (!walk)
        return err_errno(err, errno, "%s", top);
    int rc = 0;
    errno = 0;
    for (FTSENT *e; rc == 0 && (e = fts_read(walk)); errno = 0) {
        bool hidden = e->fts_level > 0 && e->fts_name[0] == '.';
        if (e->fts_info == FTS_D && hidden)
            fts_set(walk, e, FTS_SKIP);
        else if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
            rc = err_errno(err, e->fts_errno, "%s", e->fts_path);
        else if (e->fts_info == FTS_F && !hidden && !(e->fts_level == 1 && is_added(e->fts_name)))
            rc = add(f, e->fts_path, true, err);
    }
    if (rc == 0 && errno)
        rc = err_errno(err, errno, "%s", top);
    fts_close(walk);
    return rc;
}

// --- Of a STEM ---

static int add_of_stem(struct files *f, const struct backup *b, const char *name, bool is_dir,
                       struct err *err)
{
    struct name read;
    const char *stem = strrchr(b->stem, '/') + 1;
    size_t len = strlen(stem);
    if (!name_parse(b->partition, name, &read) || read.stem_len != len ||
        strncmp(name, stem, len) != 0 || read.kind == NAME_META || read.kind == NAME_VERIFIED)
        return 0;
    auto_free char *path = NULL;
    if (asprintf(&path, "%s/%s", f->dir, name) < 0) {
        path = NULL;
        return no_memory(err);
    }
    return is_dir ? walk(f, path, err) : add(f, path, read.kind != NAME_BESIDE, err);
}

static int find_of_stem(const char *point, const struct backup *b, struct files *f, struct err *err)
{
    if (asprintf(&f->dir, "%s/%.*s", point, (int)(strrchr(b->stem, '/') - b->stem), b->stem) < 0) {
        f->dir = NULL;
        return no_memory(err);
    }
    struct dirent **names = NULL;
    int count = scandir(f->dir, &names, NULL, alphasort);
    if (count < 0)
        return err_errno(err, errno, "%s", f->dir);
    int rc = 0;
    for (int i = 0; i < count; i++) {
        bool is_dir = names[i]->d_type == DT_DIR;
        if (rc == 0 && names[i]->d_name[0] != '.')
            rc = add_of_stem(f, b, names[i]->d_name, is_dir, err);
        free(names[i]);
    }
    free(names);
    return rc;
}

// --- Of what people copied in ---

static int add_beside(struct files *f, const char *point, const char *below, bool belongs,
                      struct err *err)
{
    auto_free char *path = NULL;
    if (!below)
        return 0;
    if (asprintf(&path, "%s/%s", point, below) < 0) {
        path = NULL;
        return no_memory(err);
    }
    return add(f, path, belongs, err);
}

static int find_of_others(const char *point, const struct backup *b, struct files *f,
                          struct err *err)
{
    const char *path = backup_path(b), *slash = strrchr(path, '/');
    bool is_dir = b->dump && b->dump_is_dir;
    size_t len = is_dir || !slash ? strlen(path) : (size_t)(slash - path);
    if (asprintf(&f->dir, "%s/%.*s", point, (int)len, path) < 0) {
        f->dir = NULL;
        return no_memory(err);
    }
    if (is_dir)
        return walk(f, f->dir, err);
    int rc = add_beside(f, point, b->dump, true, err);
    if (rc == 0)
        rc = add_beside(f, point, b->globals, false, err);
    return rc ? rc : add_beside(f, point, b->schema, false, err);
}

// --- What they are ---

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

static bool has_table(const struct files *f, const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return false;
    auto_free char *table = NULL;
    if (asprintf(&table, "%.*s/%s", (int)(slash - path), path, name) < 0) {
        table = NULL;
        return false;
    }
    return files_named(f, table) != NULL;
}

// In a dump of pg_dump -Fd, and in a copy of a data directory, an empty file is a good one.
static void find_parts(struct files *f, const char *point)
{
    bool cluster = files_named(f, "PG_VERSION") != NULL, top = files_named(f, "toc.dat") != NULL;
    for (size_t i = 0; i < f->count; i++) {
        struct look *l = &f->list[i];
        l->may_be_empty = cluster || top || complete_may_be_empty(l->path + strlen(point) + 1) ||
                          has_table(f, l->name, "toc.dat");
    }
}

static int find_archive(struct files *f, const char *point, const struct backup *b, struct err *err)
{
    for (size_t i = 0; i < f->count && !f->archive; i++) {
        const struct look *l = &f->list[i];
        bool table = strcmp(l->name, "toc.dat") == 0 || ends_in(l->name, "/toc.dat");
        size_t len = strlen(l->path) - (table ? strlen("/toc.dat") : 0);
        bool dump = b->dump && !b->dump_is_dir && strcmp(l->path + strlen(point) + 1, b->dump) == 0;
        if (!table && !dump)
            continue;
        f->archive = strndup(l->path, len);
        f->archive_is_dir = table;
        if (!f->archive)
            return no_memory(err);
    }
    return 0;
}

int files_find(const char *point, const struct backup *b, struct files *out, struct err *err)
{
    struct files f = {.list = NULL};
    int rc = b->stem ? find_of_stem(point, b, &f, err) : find_of_others(point, b, &f, err);
    if (rc == 0)
        rc = find_archive(&f, point, b, err);
    if (rc) {
        files_done(&f);
        return rc;
    }
    find_parts(&f, point);
    *out = f;
    return 0;
}
