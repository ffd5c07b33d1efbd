#include "fs/stack.h"

#include "backend/base/log.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/plan.h"
#include "conf/keys.h"
#include "conf/stores.h"
#include "fs/holders.h"
#include "fs/rename.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define FUSE_THREADS 64
#define HEADER_FETCHERS 32
#define TREE_MEMORY_SHARE 16 // of the budget: listings and headers

// A quarter of the memory budget is for the requests the kernel hands over, one buffer a thread.
static void plan_requests(struct stack *stack)
{
    uint64_t each = stack->conf->limits.memory_bytes / 4 / FUSE_THREADS;
    size_t bytes = 128 * KIB;
    while (bytes < MIB && bytes * 2 <= each)
        bytes *= 2;
    stack->max_write_bytes = bytes;
    stack->fuse_threads = FUSE_THREADS;
}

static uint64_t pool_bytes(const struct stack *stack)
{
    uint64_t memory = stack->conf->limits.memory_bytes;
    return memory - (uint64_t)FUSE_THREADS * stack->max_write_bytes - memory / TREE_MEMORY_SHARE;
}

static int open_store(struct stack *stack, struct err *err)
{
    struct opened_store opened;
    int rc = stores_open(stack->conf, &opened, err);
    if (rc)
        return rc;
    stack->store = opened.store;
    stack->store_path = opened.dir_path;
    stack->prefix_len = opened.prefix_len;
    return 0;
}

static int load_keys(struct stack *stack, struct err *err)
{
    int rc = keys_load_identities(stack->conf, &stack->identities, err);
    if (!rc && !stack->conf->mount.read_only)
        rc = keys_load_recipients(stack->conf, &stack->recipients, &stack->recipient_count, err);
    return rc;
}

static int settle_move(void *ctx, const struct journal_move *move, struct err *err)
{
    const struct stack *stack = ctx;
    return rename_recover(stack->store, move, err);
}

static int recover(struct stack *stack, struct err *err)
{
    const char *dir = stack->conf->mount.state;
    unsigned aborted = 0;
    int rc = journal_open(dir, &stack->journal, err);
    if (!rc)
        rc = journal_recover(dir, stack->store, &aborted, err);
    if (aborted > 0)
        log_warn("aborted %u uploads that a daemon left when it was killed; "
                 "their files were not stored store=%s",
                 aborted, stack->store->id);
    if (rc)
        return rc;
    struct err why;
    if (journal_recover_moves(dir, stack->store, settle_move, stack, &why) != 0)
        log_error("a rename that a daemon left when it was killed stays half done: %s; "
                  "the next mount tries again",
                  why.text);
    return 0;
}

// What cannot be found out is no reason not to mount: conditions are then looked after before each request.
static void ask_conditions(struct stack *stack)
{
    struct err err;
    if (probe_conditions(stack->store, stack->conf->mount.state, &stack->conditions, &err) != 0)
        log_warn("%s", err.text);
    if (stack->conditions.complete != PROBE_HONOURED)
        log_info("the store %s conditions of a complete: of two hosts that store one file at the "
                 "same moment the later one may win",
                 stack->conditions.complete == PROBE_IGNORED ? "ignores" : "may ignore");
}

static int start_pools(struct stack *stack, struct err *err)
{
    const struct conf *conf = stack->conf;
    struct blocks_conf blocks = {
        .memory_bytes = pool_bytes(stack),
        .spool_dir = conf->write.spool,
        .spool_max_bytes = conf->write.spool_max_bytes,
        .spool_keep_free_percent = conf->write.spool_keep_free_percent,
    };
    int rc = blocks_new(&blocks, &stack->blocks, err);
    if (!rc)
        rc = workers_new("pack", conf->limits.workers, conf->limits.workers * 4, &stack->packers,
                         err);
    if (!rc)
        rc = workers_new("upload", conf->limits.uploads, conf->limits.uploads, &stack->uploaders,
                         err);
    return rc;
}

void stack_tell(struct stack *stack, enum notices_kind kind, const char *path, const char *reason)
{
    if (stack->notices && !protect_tool_watches(stack->protect, path))
        notices_add(stack->notices, kind, path, reason);
}

static void committed(void *ctx, const struct writer_end *end)
{
    struct stack *stack = ctx;
    const struct object_info *info = end->info;
    recents_put(stack->recents, end->path, info->stat.etag, end->key, protect_until(stack, info),
                stack->store->ops->now(stack->store));
    struct tree_stat stat = {.kind = TREE_FILE, .info = *info};
    tree_committed(stack->tree, end->path, info);
    nodes_committed(stack->nodes, end->path, end->inos, end->ino_count, &stat);
    if (end->replaced)
        nodes_follow(stack->nodes, end->path, end->replaced, &stat);
    status_stored(stack->status, end->path, info->header.record.size, info->stat.size);
    log_info("stored path=%s bytes=%" PRIu64 " stored_bytes=%" PRIu64, end->path,
             info->header.record.size, info->stat.size);
    if (info->header.record.flags >> SEAL_FLAG_COMPLETE_SHIFT == SEAL_COMPLETE_NO) {
        const char *why = info->header.record.size == 0
                              ? "empty"
                              : "stops short of its end: whatever made it did not finish";
        log_warn("it is stored, but %s path=%s", why, end->path);
        stack_tell(stack, NOTICES_STOPS_SHORT, end->path, why);
    }
}

static void failed(void *ctx, const struct writer_end *end)
{
    struct stack *stack = ctx;
    nodes_given_up(stack->nodes, end->path, end->inos, end->ino_count);
    status_failed(stack->status, end->path, end->failure->text);
    log_error("not stored: %s path=%s", end->failure->text, end->path);
    stack_tell(stack, NOTICES_NOT_STORED, end->path, end->failure->text);
}

static int build_upper(struct stack *stack, struct err *err)
{
    const struct conf *conf = stack->conf;
    uint64_t part_max = plan_part_max(conf->limits.memory_bytes);
    stack->object_max_bytes = plan_object_max(part_max);
    stack->object_env = (struct object_env){
        .upload = {.store = stack->store,
                   .blocks = stack->blocks,
                   .uploaders = stack->uploaders,
                   .journal = stack->journal,
                   .part_max = part_max},
        .pack = {.blocks = stack->blocks,
                 .packers = stack->packers,
                 .packer_count = conf->limits.workers,
                 .level = conf->write.level,
                 .head_bytes = conf->write.head_bytes},
        .recipients = stack->recipients,
        .recipient_count = stack->recipient_count,
    };
    struct tree_conf tree = {
        .store = stack->store,
        .state_dir = conf->mount.state,
        .fetchers = HEADER_FETCHERS,
        .refresh_ms = conf->mount.refresh_ms,
        .memory_bytes = conf->limits.memory_bytes / TREE_MEMORY_SHARE,
    };
    struct readers_conf readers = {
        .store = stack->store,
        .identities = &stack->identities,
        .blocks = stack->blocks,
        .downloads = conf->limits.downloads,
        .memory_bytes = conf->limits.memory_bytes,
    };
    struct writers_conf writers = {
        .object = &stack->object_env,
        .store = stack->store,
        .publish_failed = conf->write.publish_failed,
        .committed = committed,
        .failed = failed,
        .ctx = stack,
    };
    int rc = tree_new(&tree, &stack->tree, err);
    if (!rc)
        rc = readers_new(&readers, &stack->readers, err);
    if (!rc)
        rc = writers_new(&writers, &stack->writers, err);
    return rc;
}

static void say_what_holds(const struct stack *stack)
{
    if (!stack->conf->mount.read_only && stack->identities.count > 0 &&
        !keys_fit(&stack->identities, stack->recipients, stack->recipient_count))
        log_warn("no identity of this host is among the recipients: "
                 "it will not be able to read what it writes");
    int64_t offset_ms = stack->store->ops->clock_offset_ms(stack->store);
    if (offset_ms > 30000 || offset_ms < -30000)
        log_warn("this machine's clock is %" PRId64 " s %s the store's: set it",
                 (offset_ms > 0 ? offset_ms : -offset_ms) / 1000,
                 offset_ms > 0 ? "behind" : "ahead of");
    if (!stack->conf->mount.read_only && !holders_can_see())
        log_warn("exit codes of writers cannot be seen without CAP_SYS_PTRACE: "
                 "a dump whose program failed may be stored as whole");
    log_info("store=%s largest_object=%" PRIu64 "GiB memory=%" PRIu64 "MiB identity=%s",
             stack->store->id, stack->object_max_bytes / GIB,
             stack->conf->limits.memory_bytes / MIB, stack->identities.count ? "yes" : "no");
}

static int build(struct stack *stack, struct err *err)
{
    bool writable = !stack->conf->mount.read_only;
    plan_requests(stack);
    int rc = load_keys(stack, err);
    if (!rc)
        rc = open_store(stack, err);
    if (!rc)
        rc = stack->store->ops->check(stack->store, writable, err);
    if (!rc && writable)
        rc = recover(stack, err);
    if (!rc && writable)
        ask_conditions(stack);
    if (!rc)
        rc = start_pools(stack, err);
    if (!rc)
        rc = nodes_new(&stack->nodes, err);
    if (!rc)
        rc = recents_new(&stack->recents, err);
    if (!rc)
        rc = protect_new(&stack->protect, err);
    if (!rc)
        rc = claims_new(&stack->claims, err);
    if (!rc)
        rc = status_new(&stack->status, err);
    if (!rc)
        rc = build_upper(stack, err);
    if (!rc)
        rc = mtimes_new(stack, MTIMES_DELAY_MS, &stack->mtimes, err);
    return rc;
}

int stack_new(const struct conf *conf, struct notices *notices, struct stack **out, struct err *err)
{
    struct stack *stack = calloc(1, sizeof(*stack));
    if (!stack)
        return err_errno(err, ENOMEM, "start");
    stack->conf = conf;
    stack->notices = notices;
    int rc = build(stack, err);
    if (rc) {
        stack_free(stack);
        return rc;
    }
    status_set_sources(stack->status, &(struct status_sources){
                                          .store = stack->store,
                                          .conditions = stack->conditions,
                                          .blocks = stack->blocks,
                                          .writers = stack->writers,
                                          .readers = stack->readers,
                                          .object_max_bytes = stack->object_max_bytes,
                                          .has_identity = stack->identities.count > 0,
                                          .read_only = conf->mount.read_only,
                                      });
    say_what_holds(stack);
    *out = stack;
    return 0;
}

void stack_free(struct stack *stack)
{
    if (!stack)
        return;
    mtimes_free(stack->mtimes,
                stack->conf->mount.drain_deadline_ms); // it asks what is being written
    writers_free(stack->writers);
    readers_free(stack->readers);
    tree_free(stack->tree);
    status_free(stack->status);
    nodes_free(stack->nodes);
    recents_free(stack->recents);
    protect_free(stack->protect);
    claims_free(stack->claims);
    workers_free(stack->packers);
    workers_free(stack->uploaders);
    blocks_free(stack->blocks);
    journal_close(stack->journal);
    store_free(stack->store);
    identities_done(&stack->identities);
    free(stack->recipients);
    free(stack->store_path);
    free(stack);
}
