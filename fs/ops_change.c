#include "fs/ops.h"
#include "fs/path.h"

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
    if (!rc)
        rc = tree_make_dir(stack->tree, path, &err);
    if (rc) {
        ops_refuse(req, "mkdir", path, rc, rc == -EEXIST ? NULL : &err);
        return;
    }
    struct tree_stat stat = {.kind = TREE_DIR, .mtime = ops_now(stack)};
    ops_reply_entry(req, path, NODE_DIR, &stat);
}

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
    char key[OPS_PATH_BYTES + sizeof(OBJECT_SUFFIX)];
    snprintf(key, sizeof(key), "%s%s", path, OBJECT_SUFFIX);
    rc = stack->store->ops->remove(stack->store, key, stat.info.stat.etag, err);
    if (rc)
        return rc;
    tree_removed(stack->tree, path);
    nodes_detach(stack->nodes, path, NULL);
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
    if (!rc)
        rc = remove_file(stack, path, &err);
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
    if (!rc && writers_is_writing_below(stack->writers, path))
        rc = err_set(&err, ENOTEMPTY, "a file in it is being written");
    if (!rc)
        rc = tree_remove_dir(stack->tree, path, &err);
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
    (void)to_parent;
    (void)to_name;
    (void)flags;
    char path[OPS_PATH_BYTES];
    if (!ops_child(req, ops_node(req, parent), name, path))
        return;
    struct err err;
    int rc = err_set(&err, EOPNOTSUPP, "renaming is not there yet: write it under its final name");
    ops_refuse(req, "rename", path, rc, &err);
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
