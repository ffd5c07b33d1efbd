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

static void take_digest(const struct object_reader *object, uint8_t out[PACK_DIGEST_BYTES])
{
    memcpy(out, pack_index_trailer(object_reader_index(object))->digest, PACK_DIGEST_BYTES);
}

// Of what this mount stored lately, by the key that it remembers: a host without an identity says what it wrote. -EACCES:
// no such key.
static int read_own(struct stack *stack, const char *path, const char *etag,
                    struct object_reader **out, struct err *err)
{
    struct object_key key;
    if (!recents_get(stack->recents, path, etag, &key))
        return -EACCES;
    int rc = object_open(stack->store, path, etag, &stack->identities, &key, out, err);
    secret_wipe(&key, sizeof(key));
    return rc;
}

// The digest stands behind the seal: only an identity reads it, or the key of a file of our own.
static int read_digest(struct stack *stack, const struct node *node, const struct tree_stat *stat,
                       uint8_t out[PACK_DIGEST_BYTES], struct err *err)
{
    struct read_handle *reader;
    int rc = reader_open(stack->readers, node->path, stat->info.stat.etag, &reader, err);
    if (rc == 0) {
        take_digest(reader_object(reader), out);
        reader_close(reader);
    }
    if (rc != -EACCES)
        return rc;
    struct object_reader *own = NULL;
    struct err why;
    int again = read_own(stack, node->path, stat->info.stat.etag, &own, &why);
    if (again == -EACCES)
        return rc; // the first sentence says which key is missing
    if (again)
        return err_copy(err, &why);
    take_digest(own, out);
    object_reader_free(own);
    return 0;
}

// Header, both ends, table and path against each other. Without a fitting identity, and of others' files, nobody here can say.
static bool is_damaged(struct stack *stack, const struct node *node, const struct tree_stat *stat)
{
    if (stat->info.header.state != SEAL_OURS)
        return false;
    struct read_handle *reader;
    struct object_reader *own = NULL;
    struct err err;
    int rc = -EACCES;
    if (stack->identities.count > 0)
        rc = reader_open(stack->readers, node->path, stat->info.stat.etag, &reader, &err);
    if (rc == 0)
        reader_close(reader);
    else if (rc == -EACCES)
        rc = read_own(stack, node->path, stat->info.stat.etag, &own, &err);
    object_reader_free(own);
    bool damaged = rc == -EBADMSG || rc == -EUCLEAN;
    if (damaged)
        log_error("damaged: %s path=%s", err.text, node->path);
    return damaged;
}

// What this mount stored, and neither removed nor renamed, is not in the store. Once more with a claim, so that it is none
// of our own changes that is half done.
static bool is_gone(struct stack *stack, const char *path)
{
    if (!recents_has(stack->recents, path))
        return false;
    struct claim claim = {.path = path};
    struct tree_stat stat;
    if (claims_take(stack->claims, &claim, NULL) != 0)
        return false;
    bool gone = recents_has(stack->recents, path) && !writers_is_writing(stack->writers, path) &&
                tree_lookup_now(stack->tree, path, &stat, NULL) == -ENOENT;
    claims_drop(stack->claims, &claim);
    return gone;
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
        if (rc == -ENOENT && name == XATTR_STATE && is_gone(stack, node->path))
            log_error("gone: it was stored, and is not in the store any more: somebody else "
                      "removed it, or a rule of the bucket did path=%s",
                      node->path);
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
    if (which == XATTR_NAMES) {
        ops_names(req, node, size);
        return;
    }
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
        int rc = protect_mark_tool(stack->protect, node->path, fuse_req_ctx(req)->pid, &err);
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
