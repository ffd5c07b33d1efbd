#include "fs/nodes.h"

#include "backend/base/crypto.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <search.h>
#include <string.h>

struct nodes {
    struct node root;
    pthread_mutex_t lock;
    void *by_ino; // tsearch trees; by_path has current nodes only
    void *by_path;
    uint64_t ino_base, ino_next;
};

// Something a node was before; kept as long as the node, others may still read it.
struct node_past {
    struct node_past *next;
    char *path;
    char etag[STORE_ETAG_BYTES]; // "": only the path is past
};

static int compare_ino(const void *a, const void *b)
{
    uint64_t x = ((const struct node *)a)->ino, y = ((const struct node *)b)->ino;
    return x < y ? -1 : x > y;
}

static int compare_path(const void *a, const void *b)
{
    return strcmp(((const struct node *)a)->path, ((const struct node *)b)->path);
}

int nodes_new(struct nodes **out, struct err *err)
{
    struct nodes *nodes = calloc(1, sizeof(*nodes));
    if (!nodes)
        return err_errno(err, ENOMEM, "make the inode table");
    pthread_mutex_init(&nodes->lock, NULL);
    uint32_t upper;
    crypto_random(&upper, sizeof(upper));
    nodes->ino_base = (uint64_t)((upper & 0x7fffffff) | 0x40000000) << 32;
    nodes->root = (struct node){
        .ino = NODE_ROOT_INO,
        .kind = NODE_DIR,
        .path = (char[]){""},
        .stat = {.kind = TREE_DIR},
        .current = true,
    };
    nodes->root.path = strdup("");
    if (!nodes->root.path) {
        free(nodes);
        return err_errno(err, ENOMEM, "make the inode table");
    }
    *out = nodes;
    return 0;
}

static void free_node(void *p)
{
    struct node *node = p;
    while (node->past) {
        struct node_past *past = node->past;
        node->past = past->next;
        free(past->path);
        free(past);
    }
    free(node->path);
    free(node);
}

static void keep_node(void *p)
{
    (void)p; // by_ino frees it
}

void nodes_free(struct nodes *nodes)
{
    if (!nodes)
        return;
    tdestroy(nodes->by_path, keep_node);
    tdestroy(nodes->by_ino, free_node);
    free(nodes->root.path);
    pthread_mutex_destroy(&nodes->lock);
    free(nodes);
}

struct node *nodes_by_ino(struct nodes *nodes, uint64_t ino)
{
    if (ino == NODE_ROOT_INO)
        return &nodes->root;
    struct node key = {.ino = ino};
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    struct node **found = tfind(&key, &nodes->by_ino, compare_ino);
    return found ? *found : NULL;
}

static struct node *find_path(struct nodes *nodes, const char *path)
{
    struct node key;
    memcpy(&key.path, &path, sizeof(path)); // the key is only compared
    struct node **found = tfind(&key, &nodes->by_path, compare_path);
    return found ? *found : NULL;
}

static void detach(struct nodes *nodes, struct node *node)
{
    tdelete(node, &nodes->by_path, compare_path);
    node->current = false;
}

static struct node *add_node(struct nodes *nodes, const char *path, enum node_kind kind)
{
    struct node *node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    node->ino = nodes->ino_base | ++nodes->ino_next;
    node->kind = kind;
    node->current = true;
    node->path = strdup(path);
    if (!node->path || !tsearch(node, &nodes->by_ino, compare_ino)) {
        free_node(node);
        return NULL;
    }
    if (!tsearch(node, &nodes->by_path, compare_path)) {
        tdelete(node, &nodes->by_ino, compare_ino);
        free_node(node);
        return NULL;
    }
    return node;
}

struct node *nodes_found(struct nodes *nodes, const char *path, enum node_kind kind,
                         const struct tree_stat *stat)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    struct node *node = find_path(nodes, path);
    if (node &&
        (node->kind != kind || strcmp(node->stat.info.stat.etag, stat->info.stat.etag) != 0)) {
        detach(nodes, node);
        node = NULL;
    }
    if (!node)
        node = add_node(nodes, path, kind);
    if (node) {
        node->stat = *stat;
        node->lookups++;
    }
    return node;
}

bool nodes_update(struct nodes *nodes, struct node *node, const char *etag,
                  const struct tree_stat *stat)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    if (strcmp(node->stat.info.stat.etag, etag) != 0)
        return false;
    if (*etag)
        node->before = node->stat;
    if (strcmp(etag, stat->info.stat.etag) != 0) // another payload
        for (struct node_past *past = node->past; past; past = past->next)
            past->etag[0] = '\0';
    node->stat = *stat;
    return true;
}

// Calls `end` for the nodes that stand for what is being written: the path's own, and those of the inodes.
static void end_writing(struct nodes *nodes, const char *path, const uint64_t *inos, size_t count,
                        void (*end)(struct nodes *, struct node *, const struct tree_stat *),
                        const struct tree_stat *stat)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    struct node *node = find_path(nodes, path);
    if (node && node->kind == NODE_FILE && !*node->stat.info.stat.etag)
        end(nodes, node, stat);
    for (size_t i = 0; i < count; i++) {
        struct node key = {.ino = inos[i]};
        struct node **found = tfind(&key, &nodes->by_ino, compare_ino);
        if (found && !*(*found)->stat.info.stat.etag)
            end(nodes, *found, stat);
    }
}

static void end_committed(struct nodes *nodes, struct node *node, const struct tree_stat *stat)
{
    (void)nodes;
    node->stat = *stat;
}

void nodes_committed(struct nodes *nodes, const char *path, const uint64_t *inos, size_t count,
                     const struct tree_stat *stat)
{
    end_writing(nodes, path, inos, count, end_committed, stat);
}

struct follow {
    const char *path, *etag;
    const struct tree_stat *stat;
};

static void follow_one(const void *at, VISIT visit, void *arg)
{
    const struct follow *f = arg;
    if (visit != postorder && visit != leaf)
        return;
    struct node *node = *(struct node *const *)at;
    if (node->kind == NODE_FILE && node->changed && !node->cached &&
        strcmp(node->stat.info.stat.etag, f->etag) == 0 && strcmp(node->path, f->path) == 0)
        node->stat = *f->stat;
}

void nodes_follow(struct nodes *nodes, const char *path, const char *etag,
                  const struct tree_stat *stat)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    struct follow f = {.path = path, .etag = etag, .stat = stat};
    twalk_r(nodes->by_ino, follow_one, &f);
}

static void end_given_up(struct nodes *nodes, struct node *node, const struct tree_stat *stat)
{
    (void)stat;
    if (*node->before.info.stat.etag)
        node->stat = node->before;
    else if (node->current)
        detach(nodes, node);
}

void nodes_given_up(struct nodes *nodes, const char *path, const uint64_t *inos, size_t count)
{
    end_writing(nodes, path, inos, count, end_given_up, NULL);
}

bool nodes_open_reading(struct nodes *nodes, struct node *node)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    bool keep = !node->changed;
    node->changed = false;
    node->cached = true;
    return keep;
}

bool nodes_open_writing(struct nodes *nodes, struct node *node, bool is_cut)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    node->cached &= !is_cut;
    if (!node->cached)
        node->changed = true;
    return !node->cached;
}

struct tree_stat nodes_stat(struct nodes *nodes, const struct node *node)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    return node->stat;
}

bool nodes_is_current(struct nodes *nodes, const struct node *node)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    return node->current;
}

void nodes_detach(struct nodes *nodes, const char *path, const char *etag)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    struct node *node = find_path(nodes, path);
    if (node && (!etag || strcmp(node->stat.info.stat.etag, etag) == 0))
        detach(nodes, node);
}

void nodes_forget(struct nodes *nodes, uint64_t ino, uint64_t lookups)
{
    struct node *node = nodes_by_ino(nodes, ino);
    if (!node || node == &nodes->root)
        return;
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    node->lookups -= lookups < node->lookups ? lookups : node->lookups;
    if (node->lookups > 0)
        return;
    if (node->current)
        detach(nodes, node);
    tdelete(node, &nodes->by_ino, compare_ino);
    free_node(node);
}

// --- Renamed and rewritten ---

struct gathering {
    const char *dir;
    struct node *first;
};

static void gather(const void *at, VISIT visit, void *ctx)
{
    struct gathering *g = ctx;
    struct node *node = *(struct node *const *)at;
    const char *path = node->path;
    size_t len = strlen(g->dir);
    if ((visit != postorder && visit != leaf) || strncmp(path, g->dir, len) != 0 ||
        (path[len] != '/' && path[len] != '\0'))
        return;
    node->next = g->first;
    g->first = node;
}

// The current nodes of `dir` and of what is below it, chained.
static struct node *at_and_below(const struct nodes *nodes, const char *dir)
{
    struct gathering g = {.dir = dir};
    twalk_r(nodes->by_path, gather, &g);
    return g.first;
}

// Without memory the node is let go: it is looked up anew.
static void rename_node(struct nodes *nodes, struct node *node, size_t from_len, const char *to)
{
    detach(nodes, node);
    size_t room = strlen(to) + strlen(node->path + from_len) + 1;
    char *path = malloc(room);
    struct node_past *past = calloc(1, sizeof(*past));
    if (!path || !past) {
        free(path);
        free(past);
        return;
    }
    stpcpy(stpcpy(path, to), node->path + from_len);
    past->path = node->path;
    past->next = node->past;
    node->past = past;
    node->path = path;
    node->current = tsearch(node, &nodes->by_path, compare_path) != NULL;
}

void nodes_renamed(struct nodes *nodes, const char *from, const char *to)
{
    size_t from_len = strlen(from);
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    for (struct node *node = at_and_below(nodes, to); node; node = node->next)
        detach(nodes, node);
    for (struct node *node = at_and_below(nodes, from); node; node = node->next)
        rename_node(nodes, node, from_len, to);
}

void nodes_rewritten(struct nodes *nodes, const char *path, const char *etag,
                     const struct tree_stat *stat)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    struct follow f = {.path = path, .etag = etag, .stat = stat};
    twalk_r(nodes->by_ino, follow_one, &f);
    struct node *node = find_path(nodes, path);
    if (!node || strcmp(node->stat.info.stat.etag, etag) != 0)
        return;
    struct node_past *past = calloc(1, sizeof(*past));
    if (!past) {
        detach(nodes, node);
        return;
    }
    memcpy(past->etag, node->stat.info.stat.etag, sizeof(past->etag));
    past->next = node->past;
    node->past = past;
    node->stat = *stat;
}

bool nodes_is_payload(struct nodes *nodes, const struct node *node, const char *etag)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&nodes->lock);
    bool is_it = strcmp(node->stat.info.stat.etag, etag) == 0;
    for (const struct node_past *past = node->past; past && !is_it; past = past->next)
        is_it = *past->etag && strcmp(past->etag, etag) == 0;
    return is_it;
}
