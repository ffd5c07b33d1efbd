// The stack: everything the daemon stands on, built bottom-up from the configuration and taken down in reverse.
// Build it after the fork: it starts threads.
#pragma once

#include "backend/base/blocks.h"
#include "backend/base/workers.h"
#include "backend/object.h"
#include "backend/store/journal.h"
#include "backend/store/probe.h"
#include "conf/conf.h"
#include "fs/claims.h"
#include "fs/mtimes.h"
#include "fs/nodes.h"
#include "fs/notices.h"
#include "fs/protect.h"
#include "fs/reader.h"
#include "fs/recent.h"
#include "fs/status.h"
#include "fs/tree.h"
#include "fs/writer.h"

#include <stdatomic.h>

struct stack {               // fixed after stack_new
    const struct conf *conf; // borrowed
    struct store *store;
    char *store_path; // of a dir: store, for statfs; NULL otherwise
    size_t prefix_len;
    struct probe conditions; // unknown when read-only
    struct identities identities;
    struct recipient *recipients;
    size_t recipient_count;
    struct blocks *blocks;
    struct workers *packers, *uploaders;
    struct journal *journal; // NULL when read-only
    struct object_env object_env;
    struct tree *tree;
    struct readers *readers;
    struct writers *writers;
    struct recents *recents;
    struct protect *protect;
    struct claims *claims;
    struct mtimes *mtimes;
    struct nodes *nodes;
    struct status *status;
    struct notices *notices; // borrowed; NULL: nobody is told
    uint64_t object_max_bytes;
    unsigned fuse_threads;
    size_t max_write_bytes;
    atomic_bool draining; // no new writers: the mount is going away
};

// Builds, checks the store (credentials, bucket, clock, writing), and ends what dead daemons left in it.
// One sentence says what is wrong.
int stack_new(const struct conf *, struct notices *, struct stack **out, struct err *err);
// Tells people of a file, unless a tool of ours writes it and lives: that tells more, and itself.
void stack_tell(struct stack *, enum notices_kind, const char *path, const char *reason);
// Commits or aborts what is still being written (writers_free), then takes all down.
void stack_free(struct stack *);
