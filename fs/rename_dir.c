// A directory is renamed: first all of it is copied, then all of it removed.
#include "fs/path.h"
#include "fs/rename_impl.h"
#include "fs/stack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_PER_FILE 1024 // of memory, while a directory is renamed
#define MEMORY_SHARE 4      // of the budget for all of them

enum place { NOT_COPIED, COPIED, UNSURE, REMOVED };

struct moving { // one file
    char *to;
    enum place place; // where it stands: old only, both, old and perhaps new, new only
    struct object_info now;
    bool has_mtime; // a pending time that went along
    struct timespec mtime;
};

struct dir_change {
    struct stack *stack;
    const char *from, *to;
    bool was_there; // an empty directory
    uint32_t flags;
    struct below files;
    struct moving *moving; // one for each of files
};

// --- Checks ---

static int check_names(const struct dir_change *c, struct err *err)
{
    struct stack *stack = c->stack;
    if (path_depth(c->from) < 3 || path_depth(c->to) < 3)
        return protect_check_dir(stack, path_depth(c->from) < 3 ? c->from : c->to, &c->files, err);
    if (writers_is_writing_below(stack->writers, c->from))
        return err_set(err, EBUSY, "a file in it is being written: rename it when that is stored");
    if (writers_is_writing_below(stack->writers, c->to))
        return err_set(err, EBUSY, "a file in '%s' is being written", c->to);
    return path_check_create(c->to, true, stack->prefix_len, stack->store->ops->now(stack->store),
                             err);
}

// An empty one is taken away, and made again if the rename fails.
static int clear_target(struct dir_change *c, unsigned flags, struct err *err)
{
    struct tree_stat stat;
    int rc = rename_find_target(c->stack, c->to, flags, &stat, err);
    if (rc)
        return rc == -ENOENT ? 0 : rc;
    if (stat.kind == TREE_FILE)
        return err_set(err, ENOTDIR, "'%s' is a file", c->to);
    rc = tree_remove_dir(c->stack->tree, c->to, err);
    c->was_there = !rc;
    return rc;
}

static int list_files(struct dir_change *c, struct err *err)
{
    size_t most = c->stack->conf->limits.memory_bytes / MEMORY_SHARE / BYTES_PER_FILE;
    c->files.more = true;
    int rc = 0;
    while (!rc && c->files.more) {
        rc = below_page(c->stack->store, c->from, &c->files, err);
        if (!rc && c->files.count > most)
            rc = err_set(err, EFBIG,
                         "'%s' has more than %zu files, too many for [limits] memory: rename "
                         "the directories in it one by one",
                         c->from, most);
    }
    if (!rc)
        rc = below_headers(c->stack, &c->files, err);
    return rc;
}

static int plan_files(struct dir_change *c, struct err *err)
{
    struct stack *stack = c->stack;
    c->moving = calloc(c->files.count + 1, sizeof(*c->moving));
    if (!c->moving)
        return err_errno(err, ENOMEM, "rename '%s'", c->from);
    size_t from_len = strlen(c->from);
    for (size_t i = 0; i < c->files.count; i++) {
        const struct below_file *file = &c->files.list[i];
        if (asprintf(&c->moving[i].to, "%s%s", c->to, file->path + from_len) < 0) {
            c->moving[i].to = NULL;
            return err_errno(err, ENOMEM, "rename '%s'", c->from);
        }
        if (!*file->info.stat.etag)
            return err_set(err, EBUSY, "'%s' was removed just now by another mount", file->path);
        int rc = path_check_create(c->moving[i].to, false, stack->prefix_len,
                                   stack->store->ops->now(stack->store), err);
        if (!rc)
            rc = rewrite_check(stack, file->path, &file->info, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int check(struct dir_change *c, unsigned flags, struct err *err)
{
    int rc = check_names(c, err);
    if (!rc)
        rc = list_files(c, err);
    if (!rc)
        rc = protect_check_dir(c->stack, c->from, &c->files, err);
    if (!rc)
        rc = plan_files(c, err);
    if (!rc)
        rc = rename_flags(c->stack, c->to, &c->flags, err);
    return rc ? rc : clear_target(c, flags, err);
}

// --- The two phases ---

static int copy_one(void *ctx, size_t i, struct err *err)
{
    struct dir_change *c = ctx;
    const struct below_file *file = &c->files.list[i];
    struct moving *m = &c->moving[i];
    m->has_mtime = mtimes_take(c->stack->mtimes, file->path, file->info.stat.etag, &m->mtime);
    struct rewrite r = {
        .from = file->path,
        .to = m->to,
        .info = &file->info,
        .cond = {.if_absent = true},
        .mtime = m->has_mtime ? &m->mtime : NULL,
        .flags = c->flags,
    };
    bool unsure = false;
    int rc = rewrite_object(c->stack, &r, &m->now, &unsure, err);
    m->place = !rc ? COPIED : unsure ? UNSURE : NOT_COPIED;
    return rc;
}

static int undo_one(void *ctx, size_t i, struct err *err)
{
    struct dir_change *c = ctx;
    const struct below_file *file = &c->files.list[i];
    struct moving *m = &c->moving[i];
    (void)err;
    if (m->place == COPIED && rename_undo(c->stack, file->path, file->info.stat.etag, m->to,
                                          m->now.stat.etag) == RENAME_UNDONE)
        m->place = NOT_COPIED;
    if (m->has_mtime)
        mtimes_set(c->stack->mtimes, file->path, &file->info, m->mtime);
    return 0;
}

static int remove_one(void *ctx, size_t i, struct err *err)
{
    struct dir_change *c = ctx;
    const struct below_file *file = &c->files.list[i];
    struct moving *m = &c->moving[i];
    if (m->place == REMOVED)
        return 0;
    int rc = rewrite_remove(c->stack->store, file->path, file->info.stat.etag, err);
    if (rc && rename_is_gone(c->stack->store, file->path))
        rc = 0; // only the answer was lost
    if (!rc)
        m->place = REMOVED;
    return rc;
}

static size_t count_in(const struct dir_change *c, enum place place)
{
    size_t count = 0;
    for (size_t i = 0; i < c->files.count; i++)
        count += c->moving[i].place == place;
    return count;
}

// --- What this mount knows ---

static void note(const struct dir_change *c)
{
    struct stack *stack = c->stack;
    nodes_renamed(stack->nodes, c->from, c->to);
    struct tree_moved *moved = calloc(c->files.count + 1, sizeof(*moved));
    for (size_t i = 0; i < c->files.count; i++) {
        const struct below_file *file = &c->files.list[i];
        const struct moving *m = &c->moving[i];
        struct tree_stat stat = {.kind = TREE_FILE, .info = m->now};
        nodes_rewritten(stack->nodes, m->to, file->info.stat.etag, &stat);
        recents_drop(stack->recents, file->path);
        mtimes_drop(stack->mtimes, file->path);
        status_forget(stack->status, file->path);
        status_forget(stack->status, m->to);
        if (moved)
            moved[i] = (struct tree_moved){.from = file->path, .to = m->to, .info = &m->now};
    }
    // without memory the store is asked
    tree_dir_renamed(stack->tree, c->from, c->to, moved, moved ? c->files.count : 0);
    if (!moved) {
        tree_forget_below(stack->tree, c->from);
        tree_forget_below(stack->tree, c->to);
    }
    free(moved);
}

static void note_failure(const struct dir_change *c)
{
    tree_forget_below(c->stack->tree, c->from);
    tree_forget_below(c->stack->tree, c->to);
    if (c->was_there && count_in(c, NOT_COPIED) == c->files.count)
        (void)tree_make_dir(c->stack->tree, c->to, NULL);
}

// --- All of it ---

// All is copied. One is removed first: where removing is not allowed, all can still be undone.
static int remove_all(struct dir_change *c, struct err *err)
{
    int rc = c->files.count > 0 ? remove_one(c, 0, err) : 0;
    if (rc)
        return rc;
    rc = below_each(c->files.count, remove_one, c, err);
    return rc ? below_each(c->files.count, remove_one, c, err) : 0;
}

static int fail(struct dir_change *c, struct journal_entry *entry, struct err *err)
{
    if (count_in(c, REMOVED) == 0)
        below_each(c->files.count, undo_one, c, NULL);
    bool clean = count_in(c, NOT_COPIED) == c->files.count;
    if (clean)
        journal_end(entry);
    else
        journal_leave(entry);
    note_failure(c);
    if (clean)
        return -err->code;
    return err_prefix(err,
                      "%zu of %zu files stand under both names, %zu under the new one only; the "
                      "next mount puts it right",
                      count_in(c, COPIED) + count_in(c, UNSURE), c->files.count,
                      count_in(c, REMOVED));
}

static int move_dir(struct dir_change *c, struct err *err)
{
    struct stack *stack = c->stack;
    struct journal_move move = {.kind = JOURNAL_MOVE_DIR, .from = c->from, .to = c->to};
    struct journal_entry *entry = NULL;
    struct err why = {0};
    int rc = 0;
    if (c->files.count > 0 && stack->journal)
        rc = journal_move(stack->journal, stack->store, &move, &entry, &why);
    if (!rc)
        rc = below_each(c->files.count, copy_one, c, &why);
    if (!rc && entry)
        rc = journal_move_copied(entry, &why);
    if (!rc)
        rc = remove_all(c, &why);
    if (rc) {
        rc = fail(c, entry, &why);
        err_copy(err, &why);
        return rc;
    }
    journal_end(entry);
    note(c);
    return 0;
}

int rename_dir(struct stack *stack, const char *from, const char *to, unsigned flags,
               struct err *err)
{
    struct dir_change c = {.stack = stack, .from = from, .to = to};
    struct claim claim = {.path = from, .other = to, .is_long = true};
    int rc = claims_take(stack->claims, &claim, err);
    if (rc)
        return rc;
    rc = check(&c, flags, err);
    if (!rc)
        rc = move_dir(&c, err);
    for (size_t i = 0; c.moving && i < c.files.count; i++)
        free(c.moving[i].to);
    free(c.moving);
    below_done(&c.files);
    claims_drop(stack->claims, &claim);
    return rc;
}
