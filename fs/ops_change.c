#include "backend/base/log.h"
#include "fs/ops.h"
#include "fs/path.h"
#include "fs/rename.h"
#include "fs/rewrite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)mode;
    struct stack *stack = ops_stack(req);
    char path[OPS_PATH_BYTES];
    if (!ops_child(req, ops_node(req, parent), name, path))
        return;
    struct err err;
    int rc = ops_check_writable(stack, &err);
    if (!rc)
        rc = path_check_create(path, true, stack->prefix_len, ops_now(stack), &err);
    struct claim claim = {.path = path};
    if (!rc)
        rc = claims_take(stack->claims, &claim, &err);
    if (!rc) {
        rc = tree_make_dir(stack->tree, path, &err);
        claims_drop(stack->claims, &claim);
    }
    if (rc) {
        ops_refuse(req, "mkdir", path, rc, rc == -EEXIST ? NULL : &err);
        return;
    }
    struct tree_stat stat = {.kind = TREE_DIR, .mtime = ops_now(stack)};
    ops_reply_entry(req, path, NODE_DIR, &stat);
}

static bool is_virtual(const char *path)
{
    const char *name = strrchr(path, '/');
    return strcmp(path, PATH_STATUS_DIR) == 0 ||
           (path_depth(path) == 2 && strcmp(name + 1, PATH_LATEST) == 0);
}

// With a claim on the path.
static int remove_file(struct stack *stack, const char *path, struct err *err)
{
    if (writers_is_writing(stack->writers, path))
        return err_set(err, EBUSY, "it is being written: end its writer first");
    struct tree_stat stat;
    int rc = tree_lookup_now(stack->tree, path, &stat, err);
    if (rc)
        return rc;
    if (stat.kind == TREE_DIR)
        return err_set(err, EISDIR, "it is a directory");
    rc = protect_check_file(stack, path, &stat.info, err);
    if (rc)
        return rc;
    rc = rewrite_remove(stack->store, path, stat.info.stat.etag, err);
    if (rc)
        return rc;
    tree_removed(stack->tree, path);
    nodes_detach(stack->nodes, path, NULL);
    recents_drop(stack->recents, path);
    mtimes_drop(stack->mtimes, path);
    status_forget(stack->status, path);
    return 0;
}

void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct stack *stack = ops_stack(req);
    char path[OPS_PATH_BYTES];
    if (!ops_child(req, ops_node(req, parent), name, path))
        return;
    struct err err;
    int rc = ops_check_writable(stack, &err);
    if (!rc && ops_node(req, parent)->kind != NODE_DIR)
        rc = err_set(&err, EPERM, "what stands here is made by the daemon");
    struct claim claim = {.path = path};
    writers_settle(stack->writers, path);
    if (!rc)
        rc = claims_take(stack->claims, &claim, &err);
    if (!rc) {
        rc = remove_file(stack, path, &err);
        claims_drop(stack->claims, &claim);
    }
    if (rc)
        ops_refuse(req, "unlink", path, rc, &err);
    else
        fuse_reply_err(req, 0);
}

void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct stack *stack = ops_stack(req);
    char path[OPS_PATH_BYTES];
    if (!ops_child(req, ops_node(req, parent), name, path))
        return;
    struct err err;
    int rc = ops_check_writable(stack, &err);
    struct claim claim = {.path = path};
    writers_settle(stack->writers, path);
    if (!rc)
        rc = claims_take(stack->claims, &claim, &err);
    if (!rc) {
        rc = writers_is_writing_below(stack->writers, path)
                 ? err_set(&err, ENOTEMPTY, "a file in it is being written")
                 : tree_remove_dir(stack->tree, path, &err);
        claims_drop(stack->claims, &claim);
    }
    if (rc) {
        ops_refuse(req, "rmdir", path, rc, rc == -ENOTEMPTY ? NULL : &err);
        return;
    }
    nodes_detach(stack->nodes, path, NULL);
    fuse_reply_err(req, 0);
}

void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to_parent,
               const char *to_name, unsigned flags)
{
    struct stack *stack = ops_stack(req);
    char path[OPS_PATH_BYTES], to[OPS_PATH_BYTES];
    if (!ops_child(req, ops_node(req, parent), name, path) ||
        !ops_child(req, ops_node(req, to_parent), to_name, to))
        return;
    struct err err;
    // what was written while the mount goes away may still get its name
    int rc = stack->conf->mount.read_only ? err_set(&err, EROFS, "mounted read-only") : 0;
    if (!rc && (ops_node(req, parent)->kind != NODE_DIR ||
                ops_node(req, to_parent)->kind != NODE_DIR || is_virtual(path) || is_virtual(to)))
        rc = err_set(&err, EPERM, "what stands here is made by the daemon");
    writers_settle(stack->writers, path);
    writers_settle(stack->writers, to);
    if (!rc)
        rc = rename_path(stack, path, to, flags, &err);
    if (rc)
        ops_refuse(req, "rename", path, rc, rc == -EEXIST || rc == -ENOTEMPTY ? NULL : &err);
    else
        fuse_reply_err(req, 0);
    if (!rc)
        log_info("renamed path=%s to=%s", path, to);
}

void on_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
    (void)parent;
    (void)name;
    (void)mode;
    (void)dev;
    fuse_reply_err(req, EPERM);
}

void on_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    (void)target;
    (void)parent;
    (void)name;
    fuse_reply_err(req, EPERM);
}

void on_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    (void)ino;
    (void)parent;
    (void)name;
    fuse_reply_err(req, EPERM);
}
