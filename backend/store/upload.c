#include "backend/store/upload_impl.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define COPIES 4 // of one upload, at the same time

static struct upload *upload_of(struct sink *sink)
{
    return (struct upload *)sink;
}

// --- Failures ---

// Drops what is held once nothing of it will be sent: other writers wait for memory.
static void drop_parts(struct upload *u)
{
    part_free(take(u->tail));
    part_free(take(u->front));
}

static int failure_so_far(struct upload *u, struct err *err)
{
    int rc = 0;
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
        if (u->failure.code != 0)
            rc = err_copy(err, &u->failure);
    }
    if (rc < 0)
        drop_parts(u);
    return rc;
}

// Latches `own` unless something failed before; gives the caller what is latched.
static int latch(struct upload *u, const struct err *own, struct err *err)
{
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
        assert(own->code > 0);
        if (u->failure.code == 0)
            u->failure = *own;
    }
    return failure_so_far(u, err);
}

// --- The sink ---

static int open_front(struct sink *sink, uint64_t len, struct err *err)
{
    struct upload *u = upload_of(sink);
    if (len > u->env.store->limits.put_max) {
        struct err own = {0};
        (void)err_set(&own, EFBIG, "'%s': its first part would be %llu bytes, the store takes %llu",
                      u->key, (unsigned long long)len,
                      (unsigned long long)u->env.store->limits.put_max);
        return latch(u, &own, err);
    }
    u->next = 2;
    u->tail_off = len;
    return 0;
}

static int too_big(const struct upload *u, struct err *err)
{
    uint64_t sum = u->sink.front_len;
    for (unsigned n = sum > 0 ? 2 : 1; n <= u->parts_max; n++)
        sum += plan_part_bytes(u->env.part_max, n);
    bool in_gib = sum >= 10 * GIB;
    return err_set(
        err, EFBIG,
        "'%s' would be larger than %llu %s as stored, the most that %u parts hold: raise "
        "[limits] memory (a part is at most a quarter of it) or split the file",
        u->key, (unsigned long long)(sum / (in_gib ? GIB : MIB)), in_gib ? "GiB" : "MiB",
        u->parts_max);
}

static int next_part(struct upload *u, struct err *err)
{
    if (u->tail) {
        u->tail_off += u->tail->source.size;
        u->next++;
        int rc = upload_send_part(u, take(u->tail), err);
        if (rc < 0)
            return rc;
    }
    if (u->next > u->parts_max)
        return too_big(u, err);
    u->tail = part_new(u->env.blocks, u, u->next, u->tail_off);
    return u->tail ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int write_tail(struct upload *u, const uint8_t *bytes, size_t len, struct err *err)
{
    while (len > 0) {
        int rc = 0;
        if (!u->tail || u->tail->source.size == plan_part_bytes(u->env.part_max, u->next))
            rc = next_part(u, err);
        if (rc < 0)
            return rc;
        assert(u->tail);
        uint64_t full = plan_part_bytes(u->env.part_max, u->next);
        size_t n = min_u64(len, full - u->tail->source.size);
        rc = part_append(u->tail, bytes, n, err);
        if (rc < 0)
            return rc;
        bytes += n;
        len -= n;
        // part 1 waits for the next byte: without one it is a single put
        if (u->tail->source.size < full || u->next == 1)
            continue;
        u->tail_off += full;
        u->next++;
        rc = upload_send_part(u, take(u->tail), err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int write_(struct sink *sink, const void *bytes, size_t len, struct err *err)
{
    struct upload *u = upload_of(sink);
    struct err own = {0};
    int rc = failure_so_far(u, err);
    if (rc < 0)
        return rc;
    rc = write_tail(u, bytes, len, &own);
    return rc < 0 ? latch(u, &own, err) : 0;
}

static int write_front(struct sink *sink, const void *bytes, size_t len, struct err *err)
{
    struct upload *u = upload_of(sink);
    struct err own = {0};
    int rc = failure_so_far(u, err);
    if (rc < 0)
        return rc;
    if (!u->front)
        u->front = part_new(u->env.blocks, u, 1, 0);
    rc = u->front ? part_append(u->front, bytes, len, &own)
                  : err_set(&own, ENOMEM, "out of memory");
    return rc < 0 ? latch(u, &own, err) : 0;
}

int upload_sink_copy(struct sink *sink, const char *from, const char *if_match, uint64_t from_off,
                     uint64_t len, struct err *err)
{
    struct upload *u = upload_of(sink);
    struct err own = {0};
    assert(sink->state == SINK_FRONTED && !u->tail && len > 0 && u->next <= u->parts_max);
    upload_wait_sent(u, COPIES - 1); // other uploads need uploaders too
    int rc = failure_so_far(u, err);
    if (rc < 0)
        return rc;
    rc = upload_copy_part(u, from, if_match, from_off, len, &own);
    return rc < 0 ? latch(u, &own, err) : 0;
}

// --- Commit ---

// From here on the store may show it, whatever anybody wants.
static int pass(struct upload *u, struct err *err)
{
    if (!u->cancel || cancel_pass(u->cancel))
        return 0;
    return err_set(err, ECANCELED, "'%s' was called off before it was stored", u->key);
}

static int put_whole(struct upload *u, struct err *err)
{
    struct store *store = u->env.store;
    struct part_pair body = part_pair_of(u->front, u->tail);
    for (int i = 0; i < 2; i++)
        if (body.parts[i])
            part_leaves(body.parts[i]);
    int rc = pass(u, err);
    if (rc == 0)
        rc = store->ops->put(store, u->key, &body.source, &u->cond, &u->stat, err);
    drop_parts(u); // whatever came of it, nobody may wait for these any longer
    if (rc == 0)
        u->acked += body.source.size;
    return rc;
}

static int complete(struct upload *u, struct err *err)
{
    struct store *store = u->env.store;
    int rc = 0;
    unsigned count = u->next - 1;
    if (u->tail) {
        count = u->next;
        rc = upload_send_part(u, take(u->tail), err);
    }
    if (rc == 0 && u->front)
        rc = upload_send_part(u, take(u->front), err);
    upload_wait_sent(u, 0);
    if (rc == 0)
        rc = failure_so_far(u, err);
    if (rc == 0)
        rc = pass(u, err);
    if (rc == 0)
        rc = store->ops->upload_complete(store, u->key, u->id, u->parts, count, &u->cond, &u->stat,
                                         err);
    if (rc == 0)
        journal_end(take(u->entry));
    return rc;
}

static int commit(struct sink *sink, struct err *err)
{
    struct upload *u = upload_of(sink);
    struct err own = {0};
    int rc = failure_so_far(u, err);
    if (rc < 0)
        return rc;
    uint64_t total = part_size(u->front) + part_size(u->tail);
    uint64_t whole_max = min_u64(u->env.part_max, u->env.store->limits.put_max);
    if (!u->begun && total <= whole_max)
        rc = put_whole(u, &own);
    else
        rc = complete(u, &own);
    if (rc < 0)
        return latch(u, &own, err);
    u->committed = true;
    return 0;
}

static void free_sink(struct sink *sink)
{
    struct upload *u = upload_of(sink);
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
        u->stop = true;
    }
    upload_wait_sent(u, 0);
    drop_parts(u);
    if (u->begun && !u->committed) {
        struct store *store = u->env.store;
        // what cannot be aborted now stays in the journal, for the next mount
        if (store->ops->upload_abort(store, u->key, u->id, NULL) == 0)
            journal_end(take(u->entry));
        else
            journal_leave(take(u->entry));
    }
    free(u->parts);
    pthread_cond_destroy(&u->changed);
    pthread_mutex_destroy(&u->lock);
    free(u);
}

static const struct sink_ops ops = {
    .open_front = open_front,
    .write = write_,
    .write_front = write_front,
    .commit = commit,
    .free = free_sink,
};

int upload_sink_new(const struct upload_env *env, const char *key, const struct store_cond *cond,
                    struct cancel *cancel, struct sink **out, struct err *err)
{
    const struct store_limits *limits = &env->store->limits;
    assert(limits->part_min <= PLAN_PART_FIRST && limits->parts_max >= 1);
    if (strlen(key) > STORE_KEY_BYTES)
        return err_set(err, ENAMETOOLONG, "a key of %zu bytes: at most %d are allowed", strlen(key),
                       STORE_KEY_BYTES);
    struct upload *u = calloc(1, sizeof(*u));
    if (!u)
        return err_set(err, ENOMEM, "upload of '%s': out of memory", key);
    u->sink = (struct sink){.ops = &ops, .front_align = 1, .front_min = limits->part_min};
    u->env = *env;
    u->cancel = cancel;
    snprintf(u->key, sizeof(u->key), "%s", key);
    if (cond) {
        u->cond = *cond;
        if (cond->if_match) {
            assert(strlen(cond->if_match) < sizeof(u->if_match));
            snprintf(u->if_match, sizeof(u->if_match), "%s", cond->if_match);
            u->cond.if_match = u->if_match;
        }
    }
    u->parts_max = limits->parts_max < PLAN_PARTS ? limits->parts_max : PLAN_PARTS;
    u->next = 1;
    pthread_mutex_init(&u->lock, NULL);
    pthread_cond_init(&u->changed, NULL);
    *out = &u->sink;
    return 0;
}

const struct store_stat *upload_sink_stat(const struct sink *sink)
{
    const struct upload *u = (const struct upload *)sink;
    assert(u->committed);
    return &u->stat;
}

uint64_t upload_sink_acked(const struct sink *sink)
{
    const struct upload *u = (const struct upload *)sink;
    return atomic_load(&u->acked);
}

int upload_sink_sync(struct sink *sink, struct err *err)
{
    upload_wait_sent(upload_of(sink), 0);
    return failure_so_far(upload_of(sink), err);
}
