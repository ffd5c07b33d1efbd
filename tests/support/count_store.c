#include "tests/support/count_store.h"

#include <stdio.h>
#include <stdlib.h>

static struct count_store *self(struct store *s)
{
    return (struct count_store *)s;
}

static struct store *other(struct store *s)
{
    self(s)->others++;
    return self(s)->inner;
}

static void answered(struct store *s, const char *call, const char *key)
{
    if (self(s)->after)
        self(s)->after(self(s)->ctx, call, key);
}

static int check(struct store *s, bool writable, struct err *err)
{
    return other(s)->ops->check(self(s)->inner, writable, err);
}

static int head(struct store *s, const char *key, struct store_stat *out, struct err *err)
{
    self(s)->heads++;
    if (self(s)->fail)
        return err_set(err, self(s)->fail, "head '%s': told to fail", key);
    int rc = self(s)->inner->ops->head(self(s)->inner, key, out, err);
    answered(s, "head", key);
    return rc;
}

static int get(struct store *s, const char *key, const char *if_match, uint64_t off, size_t len,
               void *buf, size_t *out_len, struct store_stat *out, struct err *err)
{
    self(s)->gets++;
    if (self(s)->fail)
        return err_set(err, self(s)->fail, "get '%s': told to fail", key);
    struct store *inner = self(s)->inner;
    int rc = inner->ops->get(inner, key, if_match, off, len, buf, out_len, out, err);
    answered(s, "get", key);
    return rc;
}

static int get_tail(struct store *s, const char *key, const char *if_match, size_t len, void *buf,
                    size_t *out_len, struct store_stat *out, struct err *err)
{
    return other(s)->ops->get_tail(self(s)->inner, key, if_match, len, buf, out_len, out, err);
}

static int list(struct store *s, const char *prefix, const char *after, bool fold, unsigned max,
                int (*each)(void *ctx, const struct store_entry *), void *ctx, bool *out_more,
                struct err *err)
{
    self(s)->lists++;
    if (self(s)->fail)
        return err_set(err, self(s)->fail, "list '%s': told to fail", prefix);
    struct store *inner = self(s)->inner;
    int rc = inner->ops->list(inner, prefix, after, fold, max, each, ctx, out_more, err);
    answered(s, "list", prefix);
    return rc;
}

static int put(struct store *s, const char *key, struct source *body, const struct store_cond *cond,
               struct store_stat *out, struct err *err)
{
    return other(s)->ops->put(self(s)->inner, key, body, cond, out, err);
}

static int upload_begin(struct store *s, const char *key, char out_id[STORE_UPLOAD_ID_BYTES],
                        struct err *err)
{
    return other(s)->ops->upload_begin(self(s)->inner, key, out_id, err);
}

static int put_part(struct store *s, const char *key, const char *id, unsigned number, uint64_t off,
                    struct source *body, struct store_part *out, struct err *err)
{
    return other(s)->ops->put_part(self(s)->inner, key, id, number, off, body, out, err);
}

static int upload_complete(struct store *s, const char *key, const char *id,
                           const struct store_part *parts, unsigned count,
                           const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    return other(s)->ops->upload_complete(self(s)->inner, key, id, parts, count, cond, out, err);
}

static int upload_abort(struct store *s, const char *key, const char *id, struct err *err)
{
    return other(s)->ops->upload_abort(self(s)->inner, key, id, err);
}

static int list_uploads(struct store *s, const char *prefix,
                        int (*each)(void *ctx, const struct store_upload *), void *ctx,
                        struct err *err)
{
    return other(s)->ops->list_uploads(self(s)->inner, prefix, each, ctx, err);
}

static int upload_touched(struct store *s, const char *key, const char *id, struct timespec *out,
                          struct err *err)
{
    return other(s)->ops->upload_touched(self(s)->inner, key, id, out, err);
}

static int facts(struct store *s, struct store_facts *out, struct err *err)
{
    return other(s)->ops->facts(self(s)->inner, out, err);
}

static int copy(struct store *s, const char *from, const char *if_match, const char *to,
                struct store_stat *out, struct err *err)
{
    return other(s)->ops->copy(self(s)->inner, from, if_match, to, out, err);
}

static int copy_part(struct store *s, const char *key, const char *id, unsigned number,
                     uint64_t off, const char *from, const char *if_match, uint64_t from_off,
                     uint64_t len, struct store_part *out, struct err *err)
{
    self(s)->part_copies++;
    return self(s)->inner->ops->copy_part(self(s)->inner, key, id, number, off, from, if_match,
                                          from_off, len, out, err);
}

static int remove_key(struct store *s, const char *key, const char *if_match, struct err *err)
{
    return other(s)->ops->remove(self(s)->inner, key, if_match, err);
}

static int list_versions(struct store *s, const char *prefix,
                         int (*each)(void *ctx, const struct store_version *), void *ctx,
                         struct err *err)
{
    self(s)->lists++;
    if (self(s)->fail)
        return err_set(err, self(s)->fail, "list '%s': told to fail", prefix);
    struct store *inner = self(s)->inner;
    int rc = inner->ops->list_versions(inner, prefix, each, ctx, err);
    answered(s, "list_versions", prefix);
    return rc;
}

static int remove_version(struct store *s, const char *key, const char *id, struct err *err)
{
    return other(s)->ops->remove_version(self(s)->inner, key, id, err);
}

static int ask_hold(struct store *s, const char *key, const char *id, struct store_hold *out,
                    struct err *err)
{
    return other(s)->ops->ask_hold(self(s)->inner, key, id, out, err);
}

static struct timespec now(struct store *s)
{
    return self(s)->inner->ops->now(self(s)->inner);
}

static int64_t clock_offset_ms(struct store *s)
{
    return self(s)->inner->ops->clock_offset_ms(self(s)->inner);
}

static void free_both(struct store *s)
{
    store_free(self(s)->inner);
    free(s);
}

struct count_store *count_store_new(struct store *inner)
{
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
        .remove = remove_key,
        .list_versions = list_versions,
        .remove_version = remove_version,
        .ask_hold = ask_hold,
        .facts = facts,
        .now = now,
        .clock_offset_ms = clock_offset_ms,
        .free = free_both,
    };
    struct count_store *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->store = (struct store){.ops = &ops, .limits = inner->limits};
    snprintf(c->store.id, sizeof(c->store.id), "%s", inner->id);
    c->inner = inner;
    return c;
}

unsigned count_store_all(const struct count_store *c)
{
    return c->heads + c->gets + c->lists + c->part_copies + c->others;
}
