#include "backend/store/upload.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/part.h"
#include "backend/store/plan.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define COPIES 4 // of one upload, at the same time
#define BEGUN_ANEW_MAX 5

struct upload {
    struct sink sink;
    struct upload_env env;
    char key[STORE_KEY_BYTES + 1];
    struct store_cond cond;
    struct cancel *cancel; // may be NULL
    char if_match[STORE_ETAG_BYTES];
    unsigned parts_max;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    // the caller's, one at a time
    struct part *front, *tail; // being filled; NULL: none
    unsigned next;             // number of the tail's next part
    uint64_t tail_off;         // where that will stand
    bool begun, committed;
    struct store_stat stat; // if committed

    _Atomic uint64_t acked;

    // below: under the lock
    struct err failure; // the first; no part is sent afterwards
    bool stop;
    unsigned in_flight;
    unsigned kept; // parts that the upload has
    unsigned begun_anew;
    bool beginning;                 // an uploader begins anew: the others wait
    char id[STORE_UPLOAD_ID_BYTES]; // if begun
    struct journal_entry *entry;    // of the upload `id`; the uploader's while it is beginning
    struct store_part *parts;       // by number - 1
    unsigned parts_room;
};

static struct upload *upload_of(struct sink *sink)
{
    return (struct upload *)sink;
}

// --- Failures ---

static bool stopped(struct upload *u)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    return u->stop || u->failure.code != 0 || cancel_is_asked(u->cancel);
}

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

// --- Sending ---

// A part is stored, or `err` says why not; after this the upload may be gone.
static void part_ended(struct upload *u, const struct store_part *done, const struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    if (done) {
        u->parts[done->number - 1] = *done;
        u->acked += done->size;
    } else if (err->code != 0 && u->failure.code == 0) {
        u->failure = *err;
    }
    u->in_flight--;
    pthread_cond_broadcast(&u->changed);
}

// The upload's id, once nobody is about to change it.
static void current_id(struct upload *u, char out[STORE_UPLOAD_ID_BYTES])
{
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    while (u->beginning)
        pthread_cond_wait(&u->changed, &u->lock);
    memcpy(out, u->id, sizeof(u->id));
}

static int begin(struct upload *u, struct journal_entry **out_entry,
                 char out_id[STORE_UPLOAD_ID_BYTES], struct err *err)
{
    struct store *store = u->env.store;
    struct journal_entry *entry = NULL;
    int rc = 0;
    if (u->env.journal)
        rc = journal_begin(u->env.journal, store, u->key, &entry, err);
    if (rc < 0)
        return rc;
    rc = store->ops->upload_begin(store, u->key, out_id, err);
    if (rc == 0) {
        *out_entry = entry;
        return entry ? journal_set_id(entry, out_id, err) : 0;
    }
    // after these it may have been begun all the same, and only the answer was lost
    if (rc == -EIO || rc == -ETIMEDOUT || rc == -EUCLEAN)
        journal_leave(entry);
    else
        journal_end(entry);
    return rc;
}

// Somebody aborted upload `id` before it had a part: a recovering daemon may, which takes it for another one's (journal.h).
// Nothing was lost with it: another one is begun. 0: there is one to try again with.
static int begin_anew(struct upload *u, const char *id, struct err *err)
{
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
        while (u->beginning)
            pthread_cond_wait(&u->changed, &u->lock);
        if (strcmp(u->id, id) != 0)
            return 0; // another uploader was faster
        if (u->kept > 0 || u->begun_anew == BEGUN_ANEW_MAX)
            return -ENOENT;
        u->begun_anew++;
        u->beginning = true;
    }
    char next[STORE_UPLOAD_ID_BYTES] = "";
    struct journal_entry *entry = NULL;
    struct store *store = u->env.store;
    struct journal_entry *before = take(u->entry);
    if (store->ops->upload_abort(store, u->key, id, NULL) == 0) // or it is only out of sight
        journal_end(before);
    else
        journal_leave(before);
    int rc = begin(u, &entry, next, err);
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    if (next[0] != '\0') {
        u->entry = entry;
        memcpy(u->id, next, sizeof(u->id));
    }
    u->beginning = false;
    pthread_cond_broadcast(&u->changed);
    return rc;
}

// Whether a part that was put into upload `id` is still in the upload.
static bool is_kept(struct upload *u, const char *id)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    if (u->beginning || strcmp(u->id, id) != 0)
        return false;
    u->kept++;
    return true;
}

static int put_part(struct upload *u, struct part *part, struct store_part *out, struct err *err)
{
    struct store *store = u->env.store;
    for (;;) {
        char id[STORE_UPLOAD_ID_BYTES];
        current_id(u, id);
        int rc = store->ops->put_part(store, u->key, id, part->number, part->off, &part->source,
                                      out, err);
        if (rc == 0 && is_kept(u, id))
            return 0;
        if (rc < 0 && (rc != -ENOENT || begin_anew(u, id, err) < 0))
            return rc;
    }
}

static void put_part_job(void *ctx)
{
    struct part *part = ctx;
    struct upload *u = part->owner;
    struct store_part done;
    struct err err = {0};
    int rc = -ECANCELED;
    if (!stopped(u)) {
        rc = put_part(u, part, &done, &err);
        if (rc < 0)
            (void)err_prefix(&err, "part %u", part->number);
    }
    part_free(part); // before anyone is told: the pool may be freed after that
    part_ended(u, rc == 0 ? &done : NULL, &err);
}

struct copy_job {
    struct upload *owner;
    unsigned number;
    uint64_t off;
    char from[STORE_KEY_BYTES + 1], if_match[STORE_ETAG_BYTES];
    uint64_t from_off, len;
};

static void copy_part_job(void *ctx)
{
    struct copy_job *job = ctx;
    struct upload *u = job->owner;
    struct store_part done;
    struct err err = {0};
    int rc = -ECANCELED;
    if (!stopped(u)) {
        struct store *store = u->env.store;
        char id[STORE_UPLOAD_ID_BYTES];
        do {
            current_id(u, id);
            rc = store->ops->copy_part(store, u->key, id, job->number, job->off, job->from,
                                       job->if_match, job->from_off, job->len, &done, &err);
        } while (rc == 0 && !is_kept(u, id));
        if (rc < 0)
            (void)err_prefix(&err, "part %u", job->number);
    }
    free(job);
    part_ended(u, rc == 0 ? &done : NULL, &err);
}

static int begin_first(struct upload *u, struct err *err)
{
    u->id[0] = '\0';
    int rc = begin(u, &u->entry, u->id, err);
    u->begun = u->id[0] != '\0';
    return rc;
}

static int make_room(struct upload *u, unsigned number, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    if (number <= u->parts_room)
        return 0;
    unsigned room = number < 8 ? 16 : 2 * number;
    struct store_part *parts = reallocarray(u->parts, room, sizeof(parts[0]));
    if (!parts)
        return err_set(err, ENOMEM, "out of memory");
    u->parts = parts;
    u->parts_room = room;
    return 0;
}

// What a part needs before it can be sent.
static int make_ready(struct upload *u, unsigned number, struct err *err)
{
    int rc = u->begun ? 0 : begin_first(u, err);
    return rc < 0 ? rc : make_room(u, number, err);
}

static void submit(struct upload *u, void (*run)(void *ctx), void *job)
{
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
        u->in_flight++;
    }
    workers_submit(u->env.uploaders, run, job);
}

// Takes the part over, also when it fails.
static int send_part(struct upload *u, struct part *part, struct err *err)
{
    int rc = make_ready(u, part->number, err);
    if (rc < 0) {
        part_free(part);
        return rc;
    }
    part_leaves(part);
    submit(u, put_part_job, part);
    return 0;
}

// Until at most `rest` parts are under way.
static void wait_sent(struct upload *u, unsigned rest)
{
    // every part has the store's deadline, so this ends
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    while (u->in_flight > rest)
        pthread_cond_wait(&u->changed, &u->lock);
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
        int rc = send_part(u, take(u->tail), err);
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
        rc = send_part(u, take(u->tail), err);
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

static int copy_range(struct upload *u, const char *from, const char *if_match, uint64_t from_off,
                      uint64_t len, struct err *err)
{
    int rc = make_ready(u, u->next, err);
    if (rc < 0)
        return rc;
    struct copy_job *job = malloc(sizeof(*job));
    if (!job)
        return err_set(err, ENOMEM, "out of memory");
    *job = (struct copy_job){
        .owner = u, .number = u->next, .off = u->tail_off, .from_off = from_off, .len = len};
    assert(strlen(from) < sizeof(job->from) && strlen(if_match) < sizeof(job->if_match));
    strcpy(job->from, from);
    strcpy(job->if_match, if_match);
    u->tail_off += len;
    u->next++;
    u->sink.written += len;
    submit(u, copy_part_job, job);
    return 0;
}

int upload_sink_copy(struct sink *sink, const char *from, const char *if_match, uint64_t from_off,
                     uint64_t len, struct err *err)
{
    struct upload *u = upload_of(sink);
    struct err own = {0};
    assert(sink->state == SINK_FRONTED && !u->tail && len > 0 && u->next <= u->parts_max);
    wait_sent(u, COPIES - 1); // other uploads need uploaders too
    int rc = failure_so_far(u, err);
    if (rc < 0)
        return rc;
    rc = copy_range(u, from, if_match, from_off, len, &own);
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
        rc = send_part(u, take(u->tail), err);
    }
    if (rc == 0 && u->front)
        rc = send_part(u, take(u->front), err);
    wait_sent(u, 0);
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
    wait_sent(u, 0);
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
    wait_sent(upload_of(sink), 0);
    return failure_so_far(upload_of(sink), err);
}
