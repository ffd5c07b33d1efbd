// A tree over a directory store whose requests are counted, with a clock that the test turns.
#pragma once

#include "fs/tree.h"
#include "tests/support/count_store.h"

struct fixture {
    char root[32], state[32];
    struct count_store *store;
    struct tree *tree;
    _Atomic uint64_t now_ms;
    struct tree_conf conf;
};

int fixture_begin(void **state);
int fixture_end(void **state);
void fixture_reopen(struct fixture *); // as the next mount
void fixture_counts_reset(struct fixture *);

// Puts an object with our header directly below the store's directory: nothing is counted.
void put_object(struct fixture *, const char *path, uint64_t size, uint32_t flags,
                time_t committed);
// The same object under another path, by a hard link: cheap, for names that are only listed.
void put_again(struct fixture *, const char *from, const char *path);
void put_raw(struct fixture *, const char *key, const char *bytes);
void drop_object(struct fixture *, const char *path);
// What tree_committed would be told of it.
struct object_info info_of(struct fixture *, const char *path);

int lookup(struct fixture *, const char *path, struct tree_stat *out);
// Names joined by spaces, directories with a '/' at their end; or "-ENOENT".
const char *names_in(struct fixture *, const char *path);
// Reads every directory, as `find` does; how many files there are.
unsigned find_all(struct fixture *, const char *path);
