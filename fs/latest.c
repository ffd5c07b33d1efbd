// HOST/latest: which backup of each partition is the newest good one.
#include "backend/base/clock.h"
#include "backend/base/scope.h"
#include "fs/path.h"
#include "fs/tree_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JUDGED_MAX 256 // files of one directory whose headers are looked at

SCOPE_TYPE(tree_list)

struct found { // one partition
    char *partition;
    char *target;   // DATE/NAME of the best so far
    char *fallback; // of a schema or globals file, if there is nothing else
    struct timespec committed;
    bool settled; // in a newer DATE
};

struct search {
    struct tree *tree;
    bool (*is_writing)(void *ctx, const char *path);
    void *ctx;
    struct found *list;
    size_t count, room;
};

static bool ends_in(const char *name, const char *suffix)
{
    size_t len = strlen(name), n = strlen(suffix);
    return len >= n && strcmp(name + len - n, suffix) == 0;
}

static bool is_meta(const char *name)
{
    return ends_in(name, ".META");
}

static bool is_companion(const char *name)
{
    return ends_in(name, ".schema.sql") || ends_in(name, ".globals.sql");
}

static int join(const char *dir, const char *name, char out[STORE_KEY_BYTES + 1])
{
    int len = snprintf(out, STORE_KEY_BYTES + 1, "%s/%s", dir, name);
    return len > STORE_KEY_BYTES ? -ENAMETOOLONG : 0;
}

static int no_memory(struct err *err)
{
    return err_set(err, ENOMEM, "no memory to look for the latest backups");
}

static struct found *find(struct search *s, const char *partition)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->list[i].partition, partition) == 0)
            return &s->list[i];
    if (s->count == s->room) {
        size_t room = s->room ? s->room * 2 : 16;
        struct found *list = reallocarray(s->list, room, sizeof(*list));
        if (!list)
            return NULL;
        s->list = list;
        s->room = room;
    }
    struct found *f = &s->list[s->count];
    *f = (struct found){.partition = strdup(partition)};
    if (!f->partition)
        return NULL;
    s->count++;
    return f;
}

// The headers of these files are wanted soon.
static void fetch_ahead(struct tree *t, const char *dir, const struct tree_list *names,
                        bool (*wanted)(void *ctx, const struct tree_name *), void *ctx)
{
    char path[STORE_KEY_BYTES + 1];
    auto_unlock pthread_mutex_t *held = scope_lock(&t->lock);
    for (size_t i = 0; i < names->count; i++) {
        if (names->names[i].kind != TREE_FILE || join(dir, names->names[i].name, path) ||
            !wanted(ctx, &names->names[i]))
            continue;
        struct dir *d = dirs_find(&t->dirs, dir);
        struct entry *e = d ? dirs_entry(d, names->names[i].name) : NULL;
        if (e && e->kind == TREE_FILE && !tree_has_header(t, d, path, e))
            tree_fetch_ahead(t, path);
    }
}

// A good file's COMMITTED. *out_good false: incomplete, not ours, vanished, or being written.
static int judge_file(struct search *s, const char *path, bool *out_good, struct seal_record *out,
                      struct err *err)
{
    struct tree_stat stat;
    *out_good = false;
    if (s->is_writing(s->ctx, path))
        return 0;
    int rc = tree_ask_path(s->tree, path, false, &stat, err);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    const struct seal_header *h = &stat.info.header;
    if (stat.kind != TREE_FILE || h->len == 0 || h->state != SEAL_OURS)
        return 0;
    *out = h->record;
    *out_good = h->record.flags >> SEAL_FLAG_COMPLETE_SHIFT != SEAL_COMPLETE_NO;
    return 0;
}

static bool any_file(void *ctx, const struct tree_name *name)
{
    size_t *left = ctx;
    if (*left == 0 || name->name[0] == '.')
        return false;
    --*left;
    return true;
}

struct verdict {
    bool good;
    struct timespec committed;
};

static int judge_files(struct search *s, const char *dir, const struct tree_list *names,
                       struct verdict *out, struct err *err)
{
    bool tool = false, meta = false, ours = false;
    size_t files = 0;
    for (size_t i = 0; i < names->count; i++) {
        const struct tree_name *n = &names->names[i];
        char path[STORE_KEY_BYTES + 1];
        meta = meta || (n->kind == TREE_FILE && is_meta(n->name));
        if (n->kind != TREE_FILE || n->name[0] == '.' || join(dir, n->name, path) ||
            files++ >= JUDGED_MAX)
            continue;
        bool good = false;
        struct seal_record record = {0};
        int rc = judge_file(s, path, &good, &record, err);
        if (rc)
            return rc;
        if (record.flags & SEAL_FLAG_LATE)
            continue;
        if (record.flags >> SEAL_FLAG_COMPLETE_SHIFT == SEAL_COMPLETE_NO)
            return 0;
        ours = ours || good;
        tool = tool || record.flags & SEAL_FLAG_TOOL;
        if (good && clock_is_newer(record.committed, out->committed))
            out->committed = record.committed;
    }
    out->good = (ours || files == 0) && (meta || !tool);
    return 0;
}

static int judge_dir(struct search *s, const char *path, struct verdict *out, struct err *err)
{
    auto_type(tree_list) struct tree_list *names = NULL;
    if (s->is_writing(s->ctx, path))
        return 0;
    int rc = tree_names(s->tree, path, false, &names, err);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    if (names->count == 0)
        return 0; // only made, so far
    size_t left = JUDGED_MAX;
    fetch_ahead(s->tree, path, names, any_file, &left);
    rc = judge_files(s, path, names, out, err);
    if (rc || !out->good || out->committed.tv_sec)
        return rc;
    struct tree_stat stat; // only directories in it
    rc = tree_ask_path(s->tree, path, false, &stat, err);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    out->committed = stat.mtime;
    return 0;
}

static int judge(struct search *s, const char *path, enum tree_kind kind, struct verdict *out,
                 struct err *err)
{
    if (kind == TREE_DIR)
        return judge_dir(s, path, out, err);
    struct seal_record record = {0};
    int rc = judge_file(s, path, &out->good, &record, err);
    out->good = out->good && !(record.flags & SEAL_FLAG_LATE);
    out->committed = record.committed;
    return rc;
}

struct in_date {
    struct search *search;
    const char *path; // HOST/DATE
    bool failed;
};

// The partition of a name in DATE that may still be its latest, else NULL.
static struct found *partition_of(struct in_date *d, const struct tree_name *name)
{
    char path[STORE_KEY_BYTES + 1], partition[PATH_COMPONENT_BYTES + 1];
    bool is_file = name->kind == TREE_FILE;
    if (join(d->path, name->name, path) || !path_partition(path, is_file, partition))
        return NULL;
    if (is_file && (is_meta(name->name) || strstr(name->name, ".VERIFIED.")))
        return NULL;
    struct found *f = find(d->search, partition);
    d->failed = d->failed || !f;
    return f && !f->settled ? f : NULL;
}

static bool is_candidate(void *ctx, const struct tree_name *name)
{
    return partition_of(ctx, name) != NULL;
}

static int consider(struct in_date *d, const struct tree_name *name, struct err *err)
{
    struct found *f = partition_of(d, name);
    char path[STORE_KEY_BYTES + 1];
    if (!f || join(d->path, name->name, path))
        return d->failed ? no_memory(err) : 0;
    bool companion = name->kind == TREE_FILE && is_companion(name->name);
    if (companion && f->fallback)
        return 0;
    struct verdict v = {0};
    int rc = judge(d->search, path, name->kind, &v, err);
    if (rc || !v.good || (!companion && f->target && !clock_is_newer(v.committed, f->committed)))
        return rc;
    char *target = strdup(strchr(path, '/') + 1);
    if (!target)
        return no_memory(err);
    char **place = companion ? &f->fallback : &f->target;
    free(*place);
    *place = target;
    if (!companion)
        f->committed = v.committed;
    return 0;
}

static int search_date(struct search *s, const char *path, struct err *err)
{
    auto_type(tree_list) struct tree_list *names = NULL;
    int rc = tree_names(s->tree, path, false, &names, err);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    struct in_date d = {.search = s, .path = path};
    fetch_ahead(s->tree, path, names, is_candidate, &d);
    for (size_t i = 0; i < names->count; i++) {
        rc = consider(&d, &names->names[i], err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < s->count; i++)
        s->list[i].settled = s->list[i].target != NULL;
    return 0;
}

static int search_host(struct search *s, const char *host, struct err *err)
{
    auto_type(tree_list) struct tree_list *dates = NULL;
    int rc = tree_names(s->tree, host, false, &dates, err);
    if (rc)
        return rc;
    time_t tomorrow = s->tree->conf.store->ops->now(s->tree->conf.store).tv_sec + 24 * 60 * 60;
    struct tm tm;
    char last[32] = "";
    if (gmtime_r(&tomorrow, &tm))
        strftime(last, sizeof(last), "%Y-%m-%d", &tm);
    for (size_t i = dates->count; i-- > 0;) {
        char path[STORE_KEY_BYTES + 1];
        if (strcmp(dates->names[i].name, last) > 0 || join(host, dates->names[i].name, path))
            continue;
        rc = search_date(s, path, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct tree_latest *)a)->partition,
                  ((const struct tree_latest *)b)->partition);
}

int tree_latest(struct tree *t, const char *host, bool (*is_writing)(void *ctx, const char *path),
                void *ctx, struct tree_latest **out, size_t *out_count, struct err *err)
{
    struct search s = {.tree = t, .is_writing = is_writing, .ctx = ctx};
    struct err why = {0}; // also of what vanished while it was looked at: that is no failure
    int rc = path_depth(host) == 1 ? search_host(&s, host, &why) : tree_no_entry(host, &why);
    struct tree_latest *list = rc ? NULL : calloc(s.count + 1, sizeof(*list));
    if (!rc && !list)
        rc = no_memory(&why);
    size_t count = 0;
    for (size_t i = 0; i < s.count; i++) {
        struct found *f = &s.list[i];
        if (!f->target)
            f->target = take(f->fallback);
        if (list && f->target)
            list[count++] = (struct tree_latest){take(f->partition), take(f->target)};
        free(f->partition);
        free(f->target);
        free(f->fallback);
    }
    free(s.list);
    if (rc)
        return err_copy(err, &why);
    qsort(list, count, sizeof(*list), compare);
    *out = list;
    *out_count = count;
    return 0;
}

void tree_latest_free(struct tree_latest *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].partition);
        free(list[i].target);
    }
    free(list);
}
