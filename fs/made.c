#include "fs/made.h"

#include <stdlib.h>
#include <string.h>

// Order of paths by their components: what lies below a directory follows it at once.
static int compare(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    unsigned char x = *a == '/' ? 1 : (unsigned char)*a, y = *b == '/' ? 1 : (unsigned char)*b;
    return (x > y) - (x < y);
}

static bool is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return len == 0 || (strncmp(path, dir, len) == 0 && path[len] == '/');
}

// Index of the first that is not before `path`.
static size_t place(const struct made *m, const char *path)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(m->list[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct made *m, size_t at, const char *path)
{
    return at < m->count && strcmp(m->list[at].path, path) == 0;
}

void made_done(struct made *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->list[i].path);
    free(m->list);
    *m = (struct made){0};
}

bool made_add(struct made *m, const char *path, struct timespec when)
{
    size_t at = place(m, path);
    if (is_at(m, at, path))
        return true;
    if (m->count == m->room) {
        size_t room = m->room ? m->room * 2 : 16;
        struct made_dir *list = reallocarray(m->list, room, sizeof(*list));
        if (!list)
            return false;
        m->list = list;
        m->room = room;
    }
    char *copy = strdup(path);
    if (!copy)
        return false;
    memmove(&m->list[at + 1], &m->list[at], (m->count - at) * sizeof(m->list[0]));
    m->list[at] = (struct made_dir){copy, when};
    m->count++;
    return true;
}

void made_remove(struct made *m, const char *path)
{
    size_t at = place(m, path);
    if (!is_at(m, at, path))
        return;
    free(m->list[at].path);
    m->count--;
    memmove(&m->list[at], &m->list[at + 1], (m->count - at) * sizeof(m->list[0]));
}

const struct made_dir *made_at(const struct made *m, const char *path)
{
    size_t at = place(m, path);
    if (is_at(m, at, path) || (at < m->count && is_below(m->list[at].path, path)))
        return &m->list[at];
    return NULL;
}

bool made_below(const struct made *m, const char *path)
{
    size_t at = place(m, path);
    at += is_at(m, at, path);
    return at < m->count && is_below(m->list[at].path, path);
}

const struct made_dir *made_next(const struct made *m, const char *dir, size_t *at)
{
    if (*at == 0) {
        *at = place(m, dir);
        *at += is_at(m, *at, dir);
    }
    if (*at >= m->count || !is_below(m->list[*at].path, dir))
        return NULL;
    return &m->list[(*at)++];
}
