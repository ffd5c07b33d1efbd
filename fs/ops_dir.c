#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "fs/ops.h"
#include "fs/path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

// An open directory: its names as they were when it was opened.
struct dir_name {
    char *name;
    mode_t type; // S_IFDIR, S_IFREG, S_IFLNK
};

struct dir_handle {
    struct dir_handle *next,
        **link; // of all open ones, so that a session that ends early frees them
    struct dir_name *names;
    size_t count, room;
};

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dir_handle *open_dirs;

static struct dir_handle *new_handle(void)
{
    struct dir_handle *dir = calloc(1, sizeof(*dir));
    if (!dir)
        return NULL;
    auto_unlock pthread_mutex_t *held = scope_lock(&open_lock);
    dir->next = open_dirs;
    dir->link = &open_dirs;
    if (dir->next)
        dir->next->link = &dir->next;
    open_dirs = dir;
    return dir;
}

static void free_handle(struct dir_handle *dir)
{
    pthread_mutex_lock(&open_lock);
    *dir->link = dir->next;
    if (dir->next)
        dir->next->link = dir->link;
    pthread_mutex_unlock(&open_lock);
    for (size_t i = 0; i < dir->count; i++)
        free(dir->names[i].name);
    free(dir->names);
    free(dir);
}

void ops_close_left_dirs(void)
{
    while (open_dirs)
        free_handle(open_dirs);
}

static int add_name(struct dir_handle *dir, const char *name, mode_t type)
{
    if (dir->count == dir->room) {
        size_t room = dir->room ? dir->room * 2 : 64;
        struct dir_name *more = reallocarray(dir->names, room, sizeof(*more));
        if (!more)
            return -ENOMEM;
        dir->names = more;
        dir->room = room;
    }
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    dir->names[dir->count++] = (struct dir_name){.name = copy, .type = type};
    return 0;
}

static bool has_name(const struct dir_handle *dir, const char *name)
{
    for (size_t i = 0; i < dir->count; i++)
        if (strcmp(dir->names[i].name, name) == 0)
            return true;
    return false;
}

// --- latest ---

// The file, or anything below the directory.
static bool is_writing(void *ctx, const char *path)
{
    return writers_is_writing(ctx, path) || writers_is_writing_below(ctx, path);
}

static int read_latest(struct stack *stack, const char *path, struct tree_latest **out,
                       size_t *out_count, struct err *err)
{
    auto_free char *host = strndup(path, strcspn(path, "/"));
    if (!host)
        return err_errno(err, ENOMEM, "list '%s'", path);
    return tree_latest(stack->tree, host, is_writing, stack->writers, out, out_count, err);
}

int ops_latest_target(struct stack *stack, const char *link_path, char out[OPS_PATH_BYTES],
                      struct err *err)
{
    struct tree_latest *links;
    size_t count;
    int rc = read_latest(stack, link_path, &links, &count, err);
    if (rc)
        return rc;
    const char *name = strrchr(link_path, '/') + 1;
    rc = -ENOENT;
    for (size_t i = 0; i < count && rc; i++) {
        if (strcmp(links[i].partition, name) != 0)
            continue;
        snprintf(out, OPS_PATH_BYTES, "../%s", links[i].target);
        rc = 0;
    }
    tree_latest_free(links, count);
    return rc ? err_set(err, ENOENT, "no good backup of it") : 0;
}

static int fill_latest(struct stack *stack, const char *path, struct dir_handle *dir,
                       struct err *err)
{
    struct tree_latest *links;
    size_t count;
    int rc = read_latest(stack, path, &links, &count, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < count && !rc; i++)
        rc = add_name(dir, links[i].partition, S_IFLNK);
    tree_latest_free(links, count);
    return rc;
}

// --- Stored and being written ---

struct fill {
    struct dir_handle *dir;
    const char *path;
    size_t len;
    int rc;
};

// Adds the names of what is being written directly in the directory.
static void fill_writing(void *ctx, const char *path, const struct writer_look *look)
{
    (void)look;
    struct fill *fill = ctx;
    if (strncmp(path, fill->path, fill->len) != 0 || path[fill->len] != '/')
        return;
    const char *name = path + fill->len + 1;
    if (!fill->rc && !strchr(name, '/') && !has_name(fill->dir, name))
        fill->rc = add_name(fill->dir, name, S_IFREG);
}

static int fill_stored(struct stack *stack, const char *path, struct dir_handle *dir,
                       struct err *err)
{
    struct tree_list *list;
    int rc = tree_read_dir(stack->tree, path, &list, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < list->count && !rc; i++)
        rc =
            add_name(dir, list->names[i].name, list->names[i].kind == TREE_DIR ? S_IFDIR : S_IFREG);
    tree_list_free(list);
    if (!rc && path_depth(path) == 1)
        rc = add_name(dir, PATH_LATEST, S_IFDIR);
    struct fill fill = {.dir = dir, .path = path, .len = strlen(path), .rc = rc};
    if (!rc && *path)
        writers_each(stack->writers, fill_writing, &fill);
    return fill.rc;
}

static int fill_dir(struct stack *stack, const struct node *node, struct dir_handle *dir,
                    struct err *err)
{
    int rc = add_name(dir, ".", S_IFDIR);
    if (!rc)
        rc = add_name(dir, "..", S_IFDIR);
    if (!rc && node->kind == NODE_DIR)
        rc = fill_stored(stack, node->path, dir, err);
    else if (!rc && node->kind == NODE_LATEST)
        rc = fill_latest(stack, node->path, dir, err);
    else if (!rc)
        rc = add_name(dir, strchr(PATH_STATUS_FILE, '/') + 1, S_IFREG);
    return rc;
}

void on_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct node *node = ops_node(req, ino);
    struct dir_handle *dir = new_handle();
    if (!dir) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    struct err err;
    err_set(&err, ENOMEM, "not enough memory");
    int rc = fill_dir(ops_stack(req), node, dir, &err);
    if (rc) {
        free_handle(dir);
        ops_refuse(req, "list", node->path, rc, rc == -ENOENT ? NULL : &err);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)dir;
    if (fuse_reply_open(req, fi) != 0)
        free_handle(dir);
}

void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)ino;
    const struct dir_handle *dir = (const struct dir_handle *)(uintptr_t)fi->fh;
    auto_free char *buf = malloc(size);
    if (!buf) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    size_t used = 0;
    for (size_t i = (size_t)off; i < dir->count; i++) {
        struct stat attr = {.st_ino = UINT32_MAX, .st_mode = dir->names[i].type};
        size_t need = fuse_add_direntry(req, buf + used, size - used, dir->names[i].name, &attr,
                                        (off_t)i + 1);
        if (need > size - used)
            break;
        used += need;
    }
    fuse_reply_buf(req, buf, used);
}

void on_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    free_handle((struct dir_handle *)(uintptr_t)fi->fh);
    fuse_reply_err(req, 0);
}
