#include "backend/base/log.h"
#include "backend/base/scope.h"
#include "fs/ops.h"
#include "fs/path.h"
#include "fs/protect.h"
#include "fs/xattr.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// The digest stands behind the seal: only an identity reads it.
static int read_digest(struct stack *stack, const struct node *node, const struct tree_stat *stat,
                       uint8_t out[PACK_DIGEST_BYTES], struct err *err)
{
    struct read_handle *reader;
    int rc = reader_open(stack->readers, node->path, stat->info.stat.etag, &reader, err);
    if (rc)
        return rc;
    const struct pack_trailer *trailer =
        pack_index_trailer(object_reader_index(reader_object(reader)));
    memcpy(out, trailer->digest, PACK_DIGEST_BYTES);
    reader_close(reader);
    return 0;
}

// Header, both ends, table and path against each other. Without a fitting identity nobody here can say.
static bool is_damaged(struct stack *stack, const struct node *node, const struct tree_stat *stat)
{
    if (stat->info.header.state != SEAL_OURS || stack->identities.count == 0)
        return false;
    struct read_handle *reader;
    struct err err;
    int rc = reader_open(stack->readers, node->path, stat->info.stat.etag, &reader, &err);
    if (rc == 0)
        reader_close(reader);
    bool damaged = rc == -EBADMSG || rc == -EUCLEAN;
    if (damaged)
        log_error("damaged: %s path=%s", err.text, node->path);
    return damaged;
}

static int gather(struct stack *stack, struct node *node, enum xattr_name name,
                  struct xattr_facts *facts, struct err *err)
{
    facts->pid = getpid();
    facts->path = node->path;
    struct tree_stat stat;
    if (node->kind != NODE_FILE)
        return 0;
    facts->is_file = true;
    facts->is_failed = status_is_failed(stack->status, node->path);
    facts->is_writing = ops_look_writing(stack, node, &stat);
    if (!facts->is_writing) {
        // confirm asks for the state: the store answers, not what is remembered
        int rc = name == XATTR_STATE ? tree_lookup_now(stack->tree, node->path, &stat, err)
                                     : tree_lookup(stack->tree, node->path, &stat, err);
        if (rc)
            return rc;
    }
    facts->info = stat.info;
    facts->grace_until = protect_until(stack, &stat.info);
    if (name == XATTR_STATE && !facts->is_writing)
        facts->is_damaged = is_damaged(stack, node, &stat);
    if (name == XATTR_DIGEST && !facts->is_writing)
        return read_digest(stack, node, &stat, facts->digest, err);
    return 0;
}

void on_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    enum xattr_name which = xattr_find(name);
    if (which == XATTR_NONE) {
        fuse_reply_err(req, ENODATA);
        return;
    }
    struct node *node = ops_node(req, ino);
    struct xattr_facts facts = {0};
    struct err err;
    int rc = gather(ops_stack(req), node, which, &facts, &err);
    char value[XATTR_VALUE_BYTES];
    if (!rc && !xattr_value(which, &facts, value))
        rc = -ENODATA;
    size_t len = rc ? 0 : strlen(value);
    if (rc)
        ops_refuse(req, "getxattr", node->path, rc, rc == -ENODATA ? NULL : &err);
    else if (size == 0)
        fuse_reply_xattr(req, len);
    else if (size < len)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, value, len);
}

void on_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
                 int flags)
{
    (void)value;
    (void)size;
    (void)flags;
    struct stack *stack = ops_stack(req);
    const struct node *node = ops_node(req, ino);
    if (strcmp(name, XATTR_TOOL) == 0 && node->kind == NODE_DIR && path_depth(node->path) >= 2) {
        struct err err;
        int rc = protect_mark_tool(stack->protect, node->path, &err);
        if (rc)
            ops_refuse(req, "setxattr", node->path, rc, &err);
        else
            fuse_reply_err(req, 0);
        return;
    }
    // cp -a carries ACLs over: taken, not kept
    fuse_reply_err(req, strncmp(name, "system.posix_acl_", 17) == 0 ? 0 : EOPNOTSUPP);
}

// Ours are there for who asks by name; not listed, cp -a does not carry them away.
void on_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    (void)ino;
    if (size == 0)
        fuse_reply_xattr(req, 0);
    else
        fuse_reply_buf(req, NULL, 0);
}

void on_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    (void)ino;
    fuse_reply_err(req, strncmp(name, "system.posix_acl_", 17) == 0 ? 0 : EOPNOTSUPP);
}
