#include "tests/support/sim_store.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAMES 16

struct sim_object {
    char key[STORE_KEY_BYTES + 1]; // "": free
    uint64_t size, generation;
};

struct sim_upload {
    char key[STORE_KEY_BYTES + 1]; // "": free
    struct timespec begun, touched;
    uint64_t generation; // its id
    uint64_t *sizes;     // by number - 1; UINT64_MAX: not put
};

struct sim_store {
    struct store store;

    pthread_mutex_t lock; // members below are under it
    uint64_t generation;
    struct sim_object objects[NAMES];
    struct sim_upload uploads[NAMES];
};

static struct sim_store *sim_of(struct store *store)
{
    return (struct sim_store *)store;
}

static void fill_stat(const struct sim_object *o, struct store_stat *out)
{
    if (!out)
        return;
    *out = (struct store_stat){.size = o->size};
    snprintf(out->etag, sizeof(out->etag), "sim-%llu", (unsigned long long)o->generation);
}

static struct sim_object *find_object(struct sim_store *s, const char *key)
{
    for (int i = 0; i < NAMES; i++)
        if (strcmp(s->objects[i].key, key) == 0)
            return &s->objects[i];
    return NULL;
}

static struct sim_upload *find_upload(struct sim_store *s, const char *key, const char *id)
{
    uint64_t generation = strtoull(id, NULL, 10);
    for (int i = 0; i < NAMES; i++)
        if (s->uploads[i].generation == generation && strcmp(s->uploads[i].key, key) == 0)
            return &s->uploads[i];
    return NULL;
}

static void free_upload(struct sim_upload *u)
{
    free(u->sizes);
    *u = (struct sim_upload){0};
}

static int not_offered(struct err *err)
{
    return err_set(err, EOPNOTSUPP, "the simulated store keeps no bytes");
}

static int check(struct store *store, bool writable, struct err *err)
{
    (void)store;
    (void)writable;
    (void)err;
    return 0;
}

static int head(struct store *store, const char *key, struct store_stat *out, struct err *err)
{
    struct sim_store *s = sim_of(store);
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    const struct sim_object *o = find_object(s, key);
    if (!o)
        return err_set(err, ENOENT, "head '%s': no such object", key);
    fill_stat(o, out);
    return 0;
}

static int get(struct store *store, const char *key, const char *if_match, uint64_t off, size_t len,
               void *buf, size_t *out_len, struct store_stat *out, struct err *err)
{
    (void)store, (void)key, (void)if_match, (void)off, (void)len, (void)buf, (void)out_len;
    (void)out;
    return not_offered(err);
}

static int get_tail(struct store *store, const char *key, const char *if_match, size_t len,
                    void *buf, size_t *out_len, struct store_stat *out, struct err *err)
{
    (void)store, (void)key, (void)if_match, (void)len, (void)buf, (void)out_len, (void)out;
    return not_offered(err);
}

static int list(struct store *store, const char *prefix, const char *after, bool fold, unsigned max,
                int (*each)(void *ctx, const struct store_entry *), void *ctx, bool *out_more,
                struct err *err)
{
    (void)store, (void)prefix, (void)after, (void)fold, (void)max, (void)each, (void)ctx;
    (void)out_more;
    return not_offered(err);
}

// With the lock held.
static int store_object(struct sim_store *s, const char *key, uint64_t size,
                        const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    struct sim_object *o = find_object(s, key);
    struct store_stat now;
    if (o)
        fill_stat(o, &now);
    if (cond && ((cond->if_absent && o) ||
                 (cond->if_match && (!o || strcmp(now.etag, cond->if_match) != 0))))
        return err_set(err, EEXIST, "put '%s': the condition does not hold", key);
    if (!o)
        o = find_object(s, "");
    if (!o)
        return err_set(err, ENOSPC, "put '%s': the simulated store is full", key);
    snprintf(o->key, sizeof(o->key), "%s", key);
    o->size = size;
    o->generation = ++s->generation;
    fill_stat(o, out);
    return 0;
}

static int put(struct store *store, const char *key, struct source *body,
               const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    struct sim_store *s = sim_of(store);
    if (body->size > store->limits.put_max)
        return err_set(err, EFBIG, "put '%s': more than 5 GiB", key);
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    return store_object(s, key, body->size, cond, out, err);
}

static int upload_begin(struct store *store, const char *key, char out_id[STORE_UPLOAD_ID_BYTES],
                        struct err *err)
{
    struct sim_store *s = sim_of(store);
    uint64_t *sizes = malloc(store->limits.parts_max * sizeof(sizes[0]));
    if (!sizes)
        return err_set(err, ENOMEM, "begin '%s': out of memory", key);
    memset(sizes, 0xff, store->limits.parts_max * sizeof(sizes[0]));
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    struct sim_upload *u = find_upload(s, "", "0");
    if (!u) {
        free(sizes);
        return err_set(err, ENOSPC, "begin '%s': the simulated store is full", key);
    }
    *u = (struct sim_upload){.generation = ++s->generation, .sizes = sizes};
    clock_gettime(CLOCK_REALTIME, &u->begun);
    snprintf(u->key, sizeof(u->key), "%s", key);
    snprintf(out_id, STORE_UPLOAD_ID_BYTES, "%llu", (unsigned long long)u->generation);
    return 0;
}

static int put_part(struct store *store, const char *key, const char *id, unsigned number,
                    uint64_t off, struct source *body, struct store_part *out, struct err *err)
{
    struct sim_store *s = sim_of(store);
    if (number < 1 || number > store->limits.parts_max)
        return err_set(err, EINVAL, "part %u: there is no such number", number);
    if (body->size > store->limits.put_max)
        return err_set(err, EFBIG, "part %u: more than 5 GiB", number);
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    struct sim_upload *u = find_upload(s, key, id);
    if (!u)
        return err_set(err, ENOENT, "part %u: no such upload", number);
    u->sizes[number - 1] = body->size;
    clock_gettime(CLOCK_REALTIME, &u->touched);
    *out = (struct store_part){.number = number, .size = body->size};
    snprintf(out->etag, sizeof(out->etag), "%llx-%llx", (unsigned long long)off,
             (unsigned long long)body->size);
    return 0;
}

static int copy_part(struct store *store, const char *key, const char *id, unsigned number,
                     uint64_t off, const char *from, const char *if_match, uint64_t from_off,
                     uint64_t len, struct store_part *out, struct err *err)
{
    struct sim_store *s = sim_of(store);
    if (number < 1 || number > store->limits.parts_max)
        return err_set(err, EINVAL, "part %u: there is no such number", number);
    if (len > store->limits.put_max)
        return err_set(err, EFBIG, "part %u: more than 5 GiB", number);
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    const struct sim_object *o = find_object(s, from);
    struct sim_upload *u = find_upload(s, key, id);
    struct store_stat now;
    if (!u || !o)
        return err_set(err, ENOENT, "part %u: no such upload or object", number);
    fill_stat(o, &now);
    if (if_match && strcmp(now.etag, if_match) != 0)
        return err_set(err, ESTALE, "copy '%s': another object stands there", from);
    if (len == 0 || from_off > o->size || len > o->size - from_off)
        return err_set(err, EINVAL, "copy '%s': there is no such range in it", from);
    u->sizes[number - 1] = len;
    clock_gettime(CLOCK_REALTIME, &u->touched);
    *out = (struct store_part){.number = number, .size = len};
    snprintf(out->etag, sizeof(out->etag), "%llx-%llx", (unsigned long long)off,
             (unsigned long long)len);
    return 0;
}

// With the lock held.
static int add_up(const struct store *store, const struct sim_upload *u,
                  const struct store_part *parts, unsigned count, uint64_t *out, struct err *err)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < count; i++) {
        char expected[STORE_ETAG_BYTES];
        snprintf(expected, sizeof(expected), "%llx-%llx", (unsigned long long)sum,
                 (unsigned long long)parts[i].size);
        if (parts[i].number > store->limits.parts_max ||
            (i > 0 && parts[i].number <= parts[i - 1].number))
            return err_set(err, EINVAL, "complete: part %u is out of order", parts[i].number);
        if (u->sizes[parts[i].number - 1] != parts[i].size || strcmp(parts[i].etag, expected) != 0)
            return err_set(err, EINVAL, "complete: part %u is not what was put", parts[i].number);
        if (i + 1 < count && parts[i].size < store->limits.part_min)
            return err_set(err, EINVAL, "complete: part %u is too small", parts[i].number);
        sum += parts[i].size;
    }
    if (count == 0)
        return err_set(err, EINVAL, "complete: no parts");
    *out = sum;
    return 0;
}

static int upload_complete(struct store *store, const char *key, const char *id,
                           const struct store_part *parts, unsigned count,
                           const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    struct sim_store *s = sim_of(store);
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    struct sim_upload *u = find_upload(s, key, id);
    if (!u)
        return err_set(err, ENOENT, "complete '%s': no such upload", key);
    uint64_t size = 0;
    int rc = add_up(store, u, parts, count, &size, err);
    if (rc == 0)
        rc = store_object(s, key, size, cond, out, err);
    if (rc == 0)
        free_upload(u);
    return rc;
}

static int upload_abort(struct store *store, const char *key, const char *id, struct err *err)
{
    struct sim_store *s = sim_of(store);
    (void)err;
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    struct sim_upload *u = find_upload(s, key, id);
    if (u)
        free_upload(u);
    return 0;
}

static int list_uploads(struct store *store, const char *prefix,
                        int (*each)(void *ctx, const struct store_upload *), void *ctx,
                        struct err *err)
{
    struct sim_store *s = sim_of(store);
    (void)err;
    for (int i = 0; i < NAMES; i++) {
        struct store_upload upload = {0};
        char key[STORE_KEY_BYTES + 1], id[STORE_UPLOAD_ID_BYTES];
        {
            auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
            snprintf(key, sizeof(key), "%s", s->uploads[i].key);
            snprintf(id, sizeof(id), "%llu", (unsigned long long)s->uploads[i].generation);
            upload.initiated = s->uploads[i].begun;
        }
        upload.key = key;
        upload.id = id;
        int rc = key[0] && strncmp(key, prefix, strlen(prefix)) == 0 ? each(ctx, &upload) : 0;
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int upload_touched(struct store *store, const char *key, const char *id,
                          struct timespec *out, struct err *err)
{
    struct sim_store *s = sim_of(store);
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    const struct sim_upload *u = find_upload(s, key, id);
    if (!u)
        return err_set(err, ENOENT, "look at the upload of '%s': no such upload", key);
    *out = u->touched;
    return 0;
}

static int facts(struct store *store, struct store_facts *out, struct err *err)
{
    (void)store, (void)err;
    *out = (struct store_facts){0};
    return 0;
}

static int copy(struct store *store, const char *from, const char *if_match, const char *to,
                struct store_stat *out, struct err *err)
{
    struct sim_store *s = sim_of(store);
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    const struct sim_object *o = find_object(s, from);
    struct store_stat now;
    if (!o)
        return err_set(err, ENOENT, "copy '%s': no such object", from);
    fill_stat(o, &now);
    if (if_match && strcmp(now.etag, if_match) != 0)
        return err_set(err, ESTALE, "copy '%s': another object stands there", from);
    return store_object(s, to, o->size, NULL, out, err);
}

static int remove_object(struct store *store, const char *key, const char *if_match,
                         struct err *err)
{
    struct sim_store *s = sim_of(store);
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    struct sim_object *o = find_object(s, key);
    struct store_stat now;
    if (!o)
        return 0;
    fill_stat(o, &now);
    if (if_match && strcmp(now.etag, if_match) != 0)
        return err_set(err, ESTALE, "remove '%s': another object stands there", key);
    *o = (struct sim_object){0};
    return 0;
}

static int list_versions(struct store *store, const char *prefix,
                         int (*each)(void *ctx, const struct store_version *), void *ctx,
                         struct err *err)
{
    (void)store, (void)prefix, (void)each, (void)ctx;
    return not_offered(err);
}

static int remove_version(struct store *store, const char *key, const char *id, struct err *err)
{
    (void)store, (void)key, (void)id;
    return not_offered(err);
}

static int ask_hold(struct store *store, const char *key, const char *id, struct store_hold *out,
                    struct err *err)
{
    (void)store, (void)key, (void)id, (void)out;
    return not_offered(err);
}

static struct timespec now(struct store *store)
{
    (void)store;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t;
}

static int64_t clock_offset_ms(struct store *store)
{
    (void)store;
    return 0;
}

static void free_store(struct store *store)
{
    struct sim_store *s = sim_of(store);
    for (int i = 0; i < NAMES; i++)
        free(s->uploads[i].sizes);
    pthread_mutex_destroy(&s->lock);
    free(s);
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

int sim_store_new(unsigned parts_max, struct store **out)
{
    struct sim_store *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->store.ops = &ops;
    s->store.limits = (struct store_limits){.part_min = 5 * MIB,
                                            .parts_max = parts_max,
                                            .put_max = 5 * GIB,
                                            .put_conditions = true,
                                            .complete_conditions = true};
    snprintf(s->store.id, sizeof(s->store.id), "sim:");
    pthread_mutex_init(&s->lock, NULL);
    *out = &s->store;
    return 0;
}
