#include "fs/tree_impl.h"

#include "backend/base/scope.h"

#include <string.h>

static bool is_at_or_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

// Directories in which there is no file yet. Without memory for one it is gone, as after a remount.
static void move_made(struct tree *t, const char *from, const char *to)
{
    char old[STORE_KEY_BYTES + 1], path[STORE_KEY_BYTES + 1];
    size_t from_len = strlen(from);
    const struct made_dir *made;
    while ((made = made_at(&t->made, from))) {
        struct timespec when = made->when;
        strcpy(old, made->path);
        made_remove(&t->made, old);
        if (strlen(to) + strlen(old + from_len) < sizeof(path)) {
            stpcpy(stpcpy(path, to), old + from_len);
            made_add(&t->made, path, when);
        }
    }
}

static void drop_below(struct tree *t, const char *path)
{
    struct dir *older;
    for (struct dir *d = t->dirs.newest; d; d = older) {
        older = d->older;
        if (is_at_or_below(d->path, path))
            dirs_drop(&t->dirs, d);
    }
}

void tree_dir_renamed(struct tree *t, const char *from, const char *to,
                      const struct tree_moved *files, size_t count)
{
    char key[STORE_KEY_BYTES + 1];
    for (size_t i = 0; i < count; i++)
        if (object_store_key(files[i].to, key, NULL) == 0)
            headers_put(t->headers, key, files[i].info);
    auto_unlock pthread_mutex_t *held = scope_lock(&t->lock);
    drop_below(t, to);
    move_made(t, from, to);
    for (size_t i = 0; i < count; i++) {
        note_committed(t, files[i].to, files[i].info);
        note_removed(t, files[i].from);
    }
    // emptied directories stay for their rmdir, but these went along
    const struct made_dir *made;
    while ((made = made_at(&t->made, from))) {
        strcpy(key, made->path);
        made_remove(&t->made, key);
    }
    drop_below(t, from);
    note_dir_removed(t, from);
}

void tree_forget_below(struct tree *t, const char *path)
{
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&t->lock);
        drop_below(t, path);
    }
    tree_forget(t, path);
}
