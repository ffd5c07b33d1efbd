// Inside the tree: its state, and the questions it asks the store. Only fs/tree*.c and fs/latest.c include this.
//
//     tree.c       the interface: what is known and fresh is answered, the rest asked
//     tree_ask.c   one path, or one directory, asked of the store; callers with the same question share the answer
//     tree_note.c  what this mount changed itself
//     tree_rename.c  directories that it renamed
//     latest.c     HOST/latest
//
// A question (struct op) is put without the lock. What this mount changes meanwhile is newer than its answer: an answer
// about one path that changed is stale, and asked again; into a listing the changes are put once more when it is in.
#pragma once

#include "backend/base/workers.h"
#include "fs/dirs.h"
#include "fs/headers.h"
#include "fs/made.h"
#include "fs/tree.h"

#include <pthread.h>

#define WALK_MS 30000       // a directory that was read so lately is being walked
#define UNREADABLE_MS 60000 // a header that could not be had is asked for again
#define MADE_MAX 100000

enum op_kind { OP_PATH, OP_LIST };

struct op {
    struct op *next;
    struct tree *tree;
    enum op_kind kind;
    unsigned users;
    bool done;
    bool stale;   // this mount changed the path meanwhile
    uint64_t seq; // of the tree when it was asked
    // what was known when it was asked
    bool was_dir, was_file, was_fresh, has_header;
    struct object_info known;
    // the answer
    int rc;
    struct err err;
    struct tree_stat stat;
    char path[];
};

enum change_kind { CHANGE_COMMITTED, CHANGE_REMOVED, CHANGE_DIR_REMOVED };

struct change { // of this mount, while a listing is on its way
    struct change *next;
    enum change_kind kind;
    uint64_t seq;
    struct object_info info;
    char path[];
};

struct tree {
    struct tree_conf conf;
    struct headers *headers;
    struct workers *fetchers;
    struct timespec born;
    pthread_mutex_t lock;
    pthread_cond_t answered; // an op is done
    // below: under lock
    struct dirs dirs;
    struct made made;
    struct op *ops; // on their way
    struct change *changes, **changes_end;
    uint64_t seq;
    bool stopping;
};

uint64_t tree_now_ms(const struct tree *);
int tree_no_entry(const char *path, struct err *err);

// --- tree_ask.c; under lock, which they give up while they ask ---

// A question about `path` in which what is known of it stands. NULL: no memory.
struct op *op_begin(struct tree *, enum op_kind, const char *path);
struct op *op_find(struct tree *, enum op_kind, const char *path);
// Waits for the answer; the op is the caller's to release.
void op_wait(struct tree *, struct op *);
void op_release(struct op *);
// Asks and notes the answer (lock given up in between).
void op_run_path(struct tree *, struct op *);
// Fetches the header of `path` in the background if a fetcher has time.
void tree_fetch_ahead(struct tree *, const char *path);
// Lists `path` and what comes with it. ENOENT.
int tree_list_dir(struct tree *, const char *path, struct err *err);
// True when a header is known and good enough; looks into the cache.
bool tree_has_header(struct tree *, struct dir *, const char *path, struct entry *);

// --- tree_note.c; under lock ---

void note_committed(struct tree *, const char *path, const struct object_info *);
void note_removed(struct tree *, const char *path);
void note_dir_removed(struct tree *, const char *path);
void note_again(struct tree *, uint64_t seq); // puts the changes since `seq` once more
void note_prune(struct tree *);               // forgets the changes that no listing waits for
// `path` (a directory) and all above it are there now.
void note_dirs(struct tree *, const char *path, struct timespec newest);
void note_done(struct tree *);

// --- tree.c; takes the lock ---

int tree_ask_path(struct tree *, const char *path, bool now, struct tree_stat *out,
                  struct err *err);
int tree_names(struct tree *, const char *path, bool walk, struct tree_list **out, struct err *err);
