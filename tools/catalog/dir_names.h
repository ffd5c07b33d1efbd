// The names in one directory. One thread.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct dir_names {
    struct dir_name {
        char *name; // owned
        bool is_dir;
        // of dir_names_ask: what is in the directory (owned), and what is known of the file
        struct dir_names *inside;
        bool known;
        uint64_t size, stored;
        time_t committed;
        char complete; // 'y'es, 'n'o, 'u'nknown
    } * list; // files and directories, in the order of their names; none that begins with a dot
    size_t count, room;
    int fd; // the directory, for the *at functions
};

// `dir` below the directory `at`. -ENOENT: it is not there, or no directory. `path` is for the sentence. dir_names_done in
// any case.
int dir_names_read(int at, const char *dir, const char *path, struct dir_names *out,
                   struct err *err);
// Asks the daemon for the names in HOST/DATE and in the directories there at once (user.bakfs.names), with what it knows of
// the files. False: it does not say, dir_names_read has to be used. dir_names_done in any case.
bool dir_names_ask(int at, const char *dir, struct dir_names *out);
void dir_names_done(struct dir_names *);
