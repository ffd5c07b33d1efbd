// Keys come in byte order, so those of one HOST/DATE come together; its backups are made when all of them are known.
#include "tools/prune/survey_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int prune_no_memory(struct err *err)
{
    return err_set(err, ENOMEM, "no memory for the list of backups");
}

static void piece_done(struct piece *p)
{
    free(p->key);
    free(p->id);
}

void prune_backup_done(struct prune_backup *b)
{
    for (size_t i = 0; i < b->count; i++)
        piece_done(&b->pieces[i]);
    free(b->pieces);
    free(b->host);
    free(b->date);
    free(b->partition);
    free(b->path);
    free(b->failure);
}

void prune_list_done(struct prune_list *all)
{
    for (size_t i = 0; i < all->count; i++)
        prune_backup_done(&all->list[i]);
    free(all->list);
    *all = (struct prune_list){.list = NULL};
}

void *prune_grown(void *list, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return list;
    size_t more = *room ? 2 * *room : 16;
    void *out = reallocarray(list, more, size);
    if (out)
        *room = more;
    return out;
}

// --- The listing ---

static int end_date(struct survey *s)
{
    int rc = prune_group(s);
    for (size_t i = 0; i < s->count; i++) {
        s->out->strays += s->found[i].piece.key && s->found[i].piece.seen;
        piece_done(&s->found[i].piece);
        free(s->found[i].path);
    }
    s->count = 0;
    return rc;
}

// By name alone: what a copied directory must have. (pg_dump -Fd, pg_basebackup -Ft and -Fp.)
static enum piece_rank rank_of(const char *path)
{
    static const char *const heads[] = {"toc.dat",    "toc.dat.gz",   "backup_manifest",
                                        "PG_VERSION", "backup_label", "pg_control"};
    const char *name = strrchr(path, '/') + 1;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        if (strcmp(name, heads[i]) == 0)
            return PIECE_HEAD;
    return PIECE_REST;
}

static bool is_wanted(const struct survey *s, const char *path)
{
    char partition[PATH_COMPONENT_BYTES + 1];
    if (!s->partition)
        return true;
    return path_partition(path, !strchr(prune_below_date(path), '/'), partition) &&
           strcmp(partition, s->partition) == 0;
}

static int begin_date(struct survey *s, const char *path)
{
    size_t host = strcspn(path, "/"), date = strcspn(path + host + 1, "/");
    if (strncmp(s->host, path, host) == 0 && !s->host[host] &&
        strncmp(s->date, path + host + 1, date) == 0 && !s->date[date])
        return 0;
    int rc = end_date(s);
    s->first = s->out->count;
    snprintf(s->host, sizeof(s->host), "%.*s", (int)host, path);
    snprintf(s->date, sizeof(s->date), "%.*s", (int)date, path + host + 1);
    return rc;
}

static int see(void *ctx, const struct store_version *version)
{
    struct survey *s = ctx;
    char path[STORE_KEY_BYTES + 1];
    if (!path_from_key(version->key, path) || path_depth(path) < 3 || !is_wanted(s, path))
        return 0;
    int rc = begin_date(s, path);
    if (rc)
        return rc;
    void *list = prune_grown(s->found, s->count, &s->room, sizeof(*s->found));
    if (!list)
        return prune_no_memory(s->err);
    s->found = list;
    struct found f = {.path = strdup(path),
                      .piece = {.key = strdup(version->key),
                                .id = strdup(version->id),
                                .rank = rank_of(path),
                                .marker = version->delete_marker,
                                .seen = version->latest && !version->delete_marker,
                                .size = version->size,
                                .modified = version->last_modified.tv_sec,
                                .order = s->out->order++}};
    s->found[s->count++] = f;
    return f.path && f.piece.key && f.piece.id ? 0 : prune_no_memory(s->err);
}

static int compare(const void *a, const void *b)
{
    const struct prune_backup *x = a, *y = b;
    int order = strcmp(x->host, y->host);
    if (order == 0)
        order = strcmp(x->partition, y->partition);
    if (order == 0)
        order = (x->item.when > y->item.when) - (x->item.when < y->item.when);
    return order ? order : strcmp(x->path, y->path);
}

int prune_survey(struct store *store, const char *host, const char *partition,
                 struct prune_list *out, struct err *err)
{
    struct prune_list all = {.list = NULL};
    struct survey s = {.out = &all, .partition = partition, .err = err};
    char prefix[PATH_COMPONENT_BYTES + 2] = "";
    if (host)
        snprintf(prefix, sizeof(prefix), "%.*s/", PATH_COMPONENT_BYTES, host);
    int rc = store->ops->list_versions(store, prefix, see, &s, err);
    int ended = end_date(&s);
    rc = rc ? rc : ended;
    free(s.found);
    if (rc) {
        prune_list_done(&all);
        return rc;
    }
    if (all.count)
        qsort(all.list, all.count, sizeof(*all.list), compare);
    *out = all;
    return 0;
}
