// The names in one directory. One thread.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct dir_names {
    struct dir_name {
        char *name; // owned
        bool is_dir;
    } * list; // files and directories, in the order of their names; none that begins with a dot
    size_t count, room;
    int fd; // the directory, for the *at functions
};

// `dir` below the directory `at`. -ENOENT: it is not there, or no directory. `path` is for the sentence. dir_names_done in
// any case.
int dir_names_read(int at, const char *dir, const char *path, struct dir_names *out,
                   struct err *err);
void dir_names_done(struct dir_names *);
