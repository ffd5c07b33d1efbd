#include "tests/support/fault_store.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <string.h>

struct fault_store {
    struct store store;
    struct store *next;

    pthread_mutex_t lock; // members below are under it
    pthread_cond_t changed;
    struct fault fault;
    unsigned seen; // calls of fault.op since it was set
    unsigned calls[FAULT_ANY + 1];
    enum fault_op held_op;
    bool holding;
    unsigned held;
};

static struct fault_store *fault_of(struct store *store)
{
    return (struct fault_store *)store;
}

// Counts, waits while held. True: this call goes wrong, *out says how.
static bool enter(struct store *store, enum fault_op op, struct fault *out)
{
    struct fault_store *f = fault_of(store);
    auto_unlock pthread_mutex_t *held = scope_lock(&f->lock);
    f->calls[op]++;
    f->calls[FAULT_ANY]++;
    if (f->holding && (f->held_op == op || f->held_op == FAULT_ANY)) {
        f->held++;
        pthread_cond_broadcast(&f->changed);
        while (f->holding)
            pthread_cond_wait(&f->changed, &f->lock);
        f->held--;
    }
    *out = f->fault;
    if (f->fault.nth == 0 || (f->fault.op != op && f->fault.op != FAULT_ANY))
        return false;
    f->seen++;
    return f->seen == f->fault.nth || (f->fault.forever && f->seen > f->fault.nth);
}

static int say(const struct fault *fault, struct err *err)
{
    return err_errno(err, fault->code, "a fault as ordered");
}

// Around a call that fails as a whole.
#define WITH_FAULT(op, call)                                                                       \
    struct store *next = fault_of(store)->next;                                                    \
    struct fault fault;                                                                            \
    if (!enter(store, op, &fault))                                                                 \
        return call;                                                                               \
    if (fault.kind == FAULT_LOST)                                                                  \
        (void)(call);                                                                              \
    return say(&fault, err)

static int check(struct store *store, bool writable, struct err *err)
{
    WITH_FAULT(FAULT_CHECK, next->ops->check(next, writable, err));
}

static int head(struct store *store, const char *key, struct store_stat *out, struct err *err)
{
    WITH_FAULT(FAULT_HEAD, next->ops->head(next, key, out, err));
}

static int spoil(const struct fault *fault, int rc, uint8_t *bytes, size_t *len, struct err *err)
{
    if (fault->kind == FAULT_FAIL || fault->kind == FAULT_LOST)
        return say(fault, err);
    if (rc == 0 && fault->kind == FAULT_SHORT)
        *len /= 2;
    else if (rc == 0 && *len > 0)
        bytes[*len - 1] ^= 0x10;
    return rc;
}

static int get(struct store *store, const char *key, const char *if_match, uint64_t off, size_t len,
               void *buf, size_t *out_len, struct store_stat *out, struct err *err)
{
    struct store *next = fault_of(store)->next;
    struct fault fault;
    bool wrong = enter(store, FAULT_GET, &fault);
    if (wrong && fault.kind == FAULT_FAIL)
        return say(&fault, err);
    int rc = next->ops->get(next, key, if_match, off, len, buf, out_len, out, err);
    return wrong ? spoil(&fault, rc, buf, out_len, err) : rc;
}

static int get_tail(struct store *store, const char *key, const char *if_match, size_t len,
                    void *buf, size_t *out_len, struct store_stat *out, struct err *err)
{
    struct store *next = fault_of(store)->next;
    struct fault fault;
    bool wrong = enter(store, FAULT_GET, &fault);
    if (wrong && fault.kind == FAULT_FAIL)
        return say(&fault, err);
    int rc = next->ops->get_tail(next, key, if_match, len, buf, out_len, out, err);
    return wrong ? spoil(&fault, rc, buf, out_len, err) : rc;
}

static int list(struct store *store, const char *prefix, const char *after, bool fold, unsigned max,
                int (*each)(void *ctx, const struct store_entry *), void *ctx, bool *out_more,
                struct err *err)
{
    WITH_FAULT(FAULT_LIST,
               next->ops->list(next, prefix, after, fold, max, each, ctx, out_more, err));
}

static int put(struct store *store, const char *key, struct source *body,
               const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    WITH_FAULT(FAULT_PUT, next->ops->put(next, key, body, cond, out, err));
}

static int upload_begin(struct store *store, const char *key, char out_id[STORE_UPLOAD_ID_BYTES],
                        struct err *err)
{
    WITH_FAULT(FAULT_UPLOAD_BEGIN, next->ops->upload_begin(next, key, out_id, err));
}

static int put_part(struct store *store, const char *key, const char *id, unsigned number,
                    uint64_t off, struct source *body, struct store_part *out, struct err *err)
{
    WITH_FAULT(FAULT_PUT_PART, next->ops->put_part(next, key, id, number, off, body, out, err));
}

static int upload_complete(struct store *store, const char *key, const char *id,
                           const struct store_part *parts, unsigned count,
                           const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    WITH_FAULT(FAULT_UPLOAD_COMPLETE,
               next->ops->upload_complete(next, key, id, parts, count, cond, out, err));
}

static int upload_abort(struct store *store, const char *key, const char *id, struct err *err)
{
    WITH_FAULT(FAULT_UPLOAD_ABORT, next->ops->upload_abort(next, key, id, err));
}

static int list_uploads(struct store *store, const char *prefix,
                        int (*each)(void *ctx, const struct store_upload *), void *ctx,
                        struct err *err)
{
    WITH_FAULT(FAULT_LIST_UPLOADS, next->ops->list_uploads(next, prefix, each, ctx, err));
}

static int upload_touched(struct store *store, const char *key, const char *id,
                          struct timespec *out, struct err *err)
{
    WITH_FAULT(FAULT_UPLOAD_TOUCHED, next->ops->upload_touched(next, key, id, out, err));
}

static int facts(struct store *store, struct store_facts *out, struct err *err)
{
    WITH_FAULT(FAULT_FACTS, next->ops->facts(next, out, err));
}

static int copy(struct store *store, const char *from, const char *if_match, const char *to,
                struct store_stat *out, struct err *err)
{
    WITH_FAULT(FAULT_COPY, next->ops->copy(next, from, if_match, to, out, err));
}

static int copy_part(struct store *store, const char *key, const char *id, unsigned number,
                     uint64_t off, const char *from, const char *if_match, uint64_t from_off,
                     uint64_t len, struct store_part *out, struct err *err)
{
    WITH_FAULT(FAULT_COPY_PART, next->ops->copy_part(next, key, id, number, off, from, if_match,
                                                     from_off, len, out, err));
}

static int remove_object(struct store *store, const char *key, const char *if_match,
                         struct err *err)
{
    WITH_FAULT(FAULT_REMOVE, next->ops->remove(next, key, if_match, err));
}

static int list_versions(struct store *store, const char *prefix,
                         int (*each)(void *ctx, const struct store_version *), void *ctx,
                         struct err *err)
{
    WITH_FAULT(FAULT_LIST_VERSIONS, next->ops->list_versions(next, prefix, each, ctx, err));
}

static int remove_version(struct store *store, const char *key, const char *id, struct err *err)
{
    WITH_FAULT(FAULT_REMOVE_VERSION, next->ops->remove_version(next, key, id, err));
}

static int ask_hold(struct store *store, const char *key, const char *id, struct store_hold *out,
                    struct err *err)
{
    WITH_FAULT(FAULT_ASK_HOLD, next->ops->ask_hold(next, key, id, out, err));
}

static struct timespec now(struct store *store)
{
    struct store *next = fault_of(store)->next;
    return next->ops->now(next);
}

static int64_t clock_offset_ms(struct store *store)
{
    struct store *next = fault_of(store)->next;
    return next->ops->clock_offset_ms(next);
}

static void free_store(struct store *store)
{
    struct fault_store *f = fault_of(store);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

static const struct store_ops ops = {
    .check = check,
    .head = head,
    .get = get,
    .get_tail = get_tail,
    .list = list,
    .put = put,
    .upload_begin = upload_begin,
    .put_part = put_part,
    .upload_complete = upload_complete,
    .upload_abort = upload_abort,
    .list_uploads = list_uploads,
    .upload_touched = upload_touched,
    .copy = copy,
    .copy_part = copy_part,
    .remove = remove_object,
    .list_versions = list_versions,
    .remove_version = remove_version,
    .ask_hold = ask_hold,
    .facts = facts,
    .now = now,
    .clock_offset_ms = clock_offset_ms,
    .free = free_store,
};

int fault_store_new(struct store *next, struct store **out)
{
    struct fault_store *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->store.ops = &ops;
    f->store.limits = next->limits;
    memcpy(f->store.id, next->id, sizeof(f->store.id));
    f->next = next;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    *out = &f->store;
    return 0;
}

void fault_store_set(struct store *store, const struct fault *fault)
{
    struct fault_store *f = fault_of(store);
    auto_unlock pthread_mutex_t *held = scope_lock(&f->lock);
    f->fault = *fault;
    f->seen = 0;
}

unsigned fault_store_calls(struct store *store, enum fault_op op)
{
    struct fault_store *f = fault_of(store);
    auto_unlock pthread_mutex_t *held = scope_lock(&f->lock);
    return f->calls[op];
}

void fault_store_hold(struct store *store, enum fault_op op)
{
    struct fault_store *f = fault_of(store);
    auto_unlock pthread_mutex_t *held = scope_lock(&f->lock);
    f->holding = true;
    f->held_op = op;
}

void fault_store_wait_held(struct store *store, unsigned count)
{
    struct fault_store *f = fault_of(store);
    auto_unlock pthread_mutex_t *held = scope_lock(&f->lock);
    while (f->held < count)
        pthread_cond_wait(&f->changed, &f->lock);
}

void fault_store_release(struct store *store)
{
    struct fault_store *f = fault_of(store);
    auto_unlock pthread_mutex_t *held = scope_lock(&f->lock);
    f->holding = false;
    pthread_cond_broadcast(&f->changed);
}
