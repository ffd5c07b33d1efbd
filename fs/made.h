// Directories that this mount made and the store does not hold yet: a sorted set of paths. Whatever lies above one of
// them is a directory as well. Plain data: no lock.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct made_dir {
    char *path;
    struct timespec when;
};

struct made {
    struct made_dir *list;
    size_t count, room;
};

void made_done(struct made *);
// False: no memory. What is there already stays.
bool made_add(struct made *, const char *path, struct timespec when);
void made_remove(struct made *, const char *path);
// `path` itself or something below it was made; NULL: neither.
const struct made_dir *made_at(const struct made *, const char *path);
bool made_below(const struct made *, const char *path);
// Goes through what was made below `dir` ("": everywhere): start with *at = 0; NULL at the end.
const struct made_dir *made_next(const struct made *, const char *dir, size_t *at);
