#include "fs/rename.h"

#include "fs/path.h"
#include "fs/rename_impl.h"
#include "fs/stack.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// --- A file ---

struct change { // one file's rename
    struct stack *stack;
    const char *from, *to;
    struct object_info old;      // under `from`
    bool replaces;               // there is something under `to`
    struct object_info replaced; // and this is it
};

static int find_target(struct change *c, unsigned flags, struct err *err)
{
    struct tree_stat stat;
    int rc = rename_find_target(c->stack, c->to, flags, &stat, err);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    if (stat.kind == TREE_DIR)
        return err_set(err, EISDIR, "'%s' is a directory", c->to);
    c->replaces = true;
    c->replaced = stat.info;
    return protect_check_file(c->stack, c->to, &stat.info, err);
}

static int check_file(struct change *c, unsigned flags, struct err *err)
{
    struct stack *stack = c->stack;
    if (writers_is_writing(stack->writers, c->from))
        return err_set(err, EBUSY, "it is being written: rename it when it is stored");
    if (writers_is_writing(stack->writers, c->to))
        return err_set(err, EBUSY, "'%s' is being written", c->to);
    struct tree_stat stat;
    int rc = tree_lookup_now(stack->tree, c->from, &stat, err);
    if (!rc && stat.kind != TREE_FILE)
        rc = err_set(err, EBUSY, "it became a directory just now");
    if (rc)
        return rc;
    c->old = stat.info;
    rc = protect_check_file(stack, c->from, &c->old, err);
    if (!rc)
        rc = path_check_create(c->to, false, stack->prefix_len,
                               stack->store->ops->now(stack->store), err);
    if (!rc)
        rc = find_target(c, flags, err);
    return rc ? rc : rewrite_check(stack, c->from, &c->old, err);
}

// The copy is whole, the old one is still there: away with it. If that fails: away with the copy.
static int remove_old(const struct change *c, const struct object_info *now, bool *out_left,
                      struct err *err)
{
    struct store *store = c->stack->store;
    int rc = rewrite_remove(store, c->from, c->old.stat.etag, err);
    enum rename_undo undo = RENAME_KEPT;
    if (rc && !c->replaces)
        undo = rename_undo(c->stack, c->from, c->old.stat.etag, c->to, now->stat.etag);
    else if (rc && rename_is_gone(store, c->from))
        undo = RENAME_GONE;
    if (undo == RENAME_GONE)
        return 0; // it was removed, only the answer was lost
    if (rc && c->replaces)
        return err_prefix(err, "'%s' has the new content, but the old name could not be removed",
                          c->to);
    *out_left = rc && undo == RENAME_KEPT;
    return rc;
}

static void note_file(const struct change *c, const struct object_info *now)
{
    struct stack *stack = c->stack;
    struct tree_stat stat = {.kind = TREE_FILE, .info = *now};
    nodes_renamed(stack->nodes, c->from, c->to);
    nodes_rewritten(stack->nodes, c->to, c->old.stat.etag, &stat);
    tree_committed(stack->tree, c->to, now);
    tree_removed(stack->tree, c->from);
    recents_drop(stack->recents, c->from);
    mtimes_drop(stack->mtimes, c->to);
    status_forget(stack->status, c->from);
    status_forget(stack->status, c->to);
}

static int move_file(const struct change *c, struct err *err)
{
    struct stack *stack = c->stack;
    struct journal_move move = {
        .kind = c->replaces ? JOURNAL_MOVE_OVER : JOURNAL_MOVE_FILE,
        .from = c->from,
        .to = c->to,
    };
    struct journal_entry *entry = NULL;
    struct timespec mtime;
    struct rewrite r = {
        .from = c->from,
        .to = c->to,
        .info = &c->old,
        .cond = {.if_absent = !c->replaces, .if_match = c->replaces ? c->replaced.stat.etag : NULL},
    };
    int rc = rename_flags(stack, c->to, &r.flags, err);
    if (!rc && stack->journal)
        rc = journal_move(stack->journal, stack->store, &move, &entry, err);
    if (rc)
        return rc;
    if (mtimes_take(stack->mtimes, c->from, c->old.stat.etag, &mtime))
        r.mtime = &mtime;
    struct object_info now;
    bool left = false;
    rc = rewrite_object(stack, &r, &now, &left, err);
    bool copied = !rc;
    if (!rc && entry)
        rc = journal_move_copied(entry, err);
    if (copied && !rc)
        rc = remove_old(c, &now, &left, err);
    else if (copied && !c->replaces)
        left = rename_undo(stack, c->from, c->old.stat.etag, c->to, now.stat.etag) != RENAME_UNDONE;
    if (left)
        journal_leave(entry);
    else
        journal_end(entry);
    if (!rc) {
        note_file(c, &now);
        return 0;
    }
    if (r.mtime)
        mtimes_set(stack->mtimes, c->from, &c->old, mtime);
    tree_forget(stack->tree, c->from);
    tree_forget(stack->tree, c->to);
    return left ? err_prefix(err, "'%s' may be there now, too; the next mount puts it right", c->to)
                : rc;
}

static int rename_file(struct stack *stack, const char *from, const char *to, unsigned flags,
                       struct err *err)
{
    struct change c = {.stack = stack, .from = from, .to = to};
    struct claim claim = {.path = from, .other = to};
    int rc = claims_take(stack->claims, &claim, err);
    if (rc)
        return rc;
    rc = check_file(&c, flags, err);
    if (!rc)
        rc = move_file(&c, err);
    claims_drop(stack->claims, &claim);
    return rc;
}

// --- Either ---

int rename_flags(struct stack *stack, const char *to, uint32_t *out, struct err *err)
{
    uint32_t flags;
    int rc = protect_flags(stack, to, &flags, err);
    if (!rc)
        *out = flags & SEAL_FLAG_LATE; // who wrote it does not change
    return rc;
}

static int check_parent(struct stack *stack, const char *to, struct err *err)
{
    char dir[STORE_KEY_BYTES + 1];
    struct tree_stat stat;
    const char *name = strrchr(to, '/');
    size_t len = name ? (size_t)(name - to) : 0;
    if (len > STORE_KEY_BYTES)
        return err_set(err, ENAMETOOLONG, "'%.80s...' is too long for a key", to);
    memcpy(dir, to, len);
    dir[len] = '\0';
    int rc = tree_lookup(stack->tree, dir, &stat, err);
    if (rc == -ENOENT || (!rc && stat.kind != TREE_DIR))
        return err_set(err, ESTALE, "the directory '%s' is not there any more", dir);
    return rc;
}

static int look(struct store *store, const char *path, struct store_stat *out)
{
    char key[STORE_KEY_BYTES + 1];
    int rc = object_store_key(path, key, NULL);
    return rc ? rc : store->ops->head(store, key, out, NULL);
}

int rename_find_target(struct stack *stack, const char *to, unsigned flags, struct tree_stat *out,
                       struct err *err)
{
    int rc = check_parent(stack, to, err);
    if (!rc)
        rc = tree_lookup_now(stack->tree, to, out, err);
    if (!rc && flags & RENAME_NOREPLACE)
        rc = err_set(err, EEXIST, "'%s' is there already", to);
    return rc;
}

bool rename_is_gone(struct store *store, const char *path)
{
    struct store_stat stat;
    return look(store, path, &stat) == -ENOENT;
}

enum rename_undo rename_undo(struct stack *stack, const char *from, const char *from_etag,
                             const char *to, const char *to_etag)
{
    struct store_stat stat;
    int rc = look(stack->store, from, &stat);
    if (rc == -ENOENT)
        return RENAME_GONE;
    if (rc || strcmp(stat.etag, from_etag) != 0 ||
        rewrite_remove(stack->store, to, to_etag, NULL) != 0)
        return RENAME_KEPT;
    recents_drop(stack->recents, to);
    return RENAME_UNDONE;
}

int rename_path(struct stack *stack, const char *from, const char *to, unsigned flags,
                struct err *err)
{
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return err_set(err, EINVAL, "exchanging two names is not offered: rename one at a time");
    if (writers_is_writing(stack->writers, from)) // not in the tree yet
        return err_set(err, EBUSY, "it is being written: rename it when it is stored");
    struct tree_stat stat;
    int rc = tree_lookup(stack->tree, from, &stat, err);
    if (rc)
        return rc;
    return stat.kind == TREE_FILE ? rename_file(stack, from, to, flags, err)
                                  : rename_dir(stack, from, to, flags, err);
}
