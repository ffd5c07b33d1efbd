// user.bakfs.names of HOST/DATE: what a walk over its PARTITIONs would find, in one answer. For the tools, which look at
// years of backups: opening and reading each directory costs the kernel and this daemon seven requests.
#include "backend/base/scope.h"
#include "fs/ops.h"
#include "fs/path.h"
#include "fs/xattr.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

SCOPE_TYPE(tree_list)

struct names {
    FILE *out;
    struct stack *stack;
    const char *date; // HOST/DATE
};

// NAME, and what is known of it without asking: SIZE, STORED, COMMITTED, COMPLETE. A name has no control characters.
static void put_file(struct names *n, const char *path)
{
    struct tree_stat known = {.kind = TREE_FILE};
    fputs(path + strlen(n->date) + 1, n->out);
    if (tree_known(n->stack->tree, path, &known.info)) {
        struct node node = {.kind = NODE_FILE, .path = (char *)(uintptr_t)path};
        struct xattr_facts facts = {.path = path, .is_file = true, .info = known.info};
        struct stat attr;
        char complete[XATTR_VALUE_BYTES] = "unknown";
        ops_attr(n->stack, &node, &known, &attr);
        (void)xattr_value(XATTR_COMPLETE, &facts, complete);
        fprintf(n->out, "\t%" PRIu64 "\t%" PRIu64 "\t%" PRId64 "\t%s", (uint64_t)attr.st_size,
                known.info.stat.size, (int64_t)attr.st_ctim.tv_sec, complete);
    }
    fputc('\n', n->out);
}

static int put_dir(struct names *n, const char *path, unsigned depth, struct err *err)
{
    auto_type(tree_list) struct tree_list *list = NULL;
    int rc = tree_read_dir(n->stack->tree, path, &list, err);
    if (rc)
        return rc == -ENOENT && depth ? 0 : rc;
    for (size_t i = 0; i < list->count && rc == 0; i++) {
        auto_free char *below = NULL;
        if (ftell(n->out) > XATTR_SIZE_MAX)
            return -E2BIG;
        if (asprintf(&below, "%s/%s", path, list->names[i].name) < 0) {
            below = NULL;
            return err_errno(err, ENOMEM, "list '%s'", path);
        }
        if (list->names[i].kind == TREE_FILE) {
            put_file(n, below);
            continue;
        }
        fprintf(n->out, "%s/\n", below + strlen(n->date) + 1);
        if (depth == 0)
            rc = put_dir(n, below, 1, err);
    }
    return rc;
}

void ops_names(fuse_req_t req, const struct node *node, size_t size)
{
    struct stack *stack = ops_stack(req);
    char *text = NULL;
    size_t len = 0;
    struct err err;
    // names that are not stored yet are not in it: who asks walks
    if (node->kind != NODE_DIR || path_depth(node->path) != 2 ||
        writers_is_writing_below(stack->writers, node->path)) {
        fuse_reply_err(req, ENODATA);
        return;
    }
    struct names n = {.out = open_memstream(&text, &len), .stack = stack, .date = node->path};
    int rc = n.out ? put_dir(&n, node->path, 0, &err) : err_errno(&err, ENOMEM, "list");
    if (n.out && fclose(n.out) != 0 && rc == 0)
        rc = err_errno(&err, ENOMEM, "list '%s'", node->path);
    auto_free char *held = text;
    if (rc == -E2BIG || (rc == 0 && len > XATTR_SIZE_MAX))
        fuse_reply_err(req, E2BIG);
    else if (rc)
        ops_refuse(req, "getxattr", node->path, rc, rc == -ENOENT ? NULL : &err);
    else if (size == 0)
        fuse_reply_xattr(req, len);
    else if (size < len)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, held, len);
}
