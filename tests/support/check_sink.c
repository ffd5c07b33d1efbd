#include "tests/support/check_sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct check_sink {
    struct sink sink;
    struct check_store *store;
};

static void *need(void *p)
{
    if (!p)
        abort();
    return p;
}

static struct check_store *enter(struct sink *s)
{
    struct check_store *store = ((struct check_sink *)s)->store;
    bool was_busy = atomic_exchange(&store->busy, true);
    assert(!was_busy);
    assert(!store->failed && !store->committed && !store->freed);
    return store;
}

static int leave(struct check_store *store, struct err *err)
{
    store->calls++;
    store->failed = store->calls == store->fail_at;
    store->busy = false;
    return store->failed ? err_set(err, EIO, "call %u fails, as the test wants", store->calls) : 0;
}

static int open_front(struct sink *s, uint64_t len, struct err *err)
{
    struct check_store *store = enter(s);
    store->front = need(malloc(len + 1));
    store->front_len = len;
    return leave(store, err);
}

static int write_behind(struct sink *s, const void *bytes, size_t len, struct err *err)
{
    struct check_store *store = enter(s);
    while (store->behind_room - store->behind_len < len || !store->behind) {
        store->behind_room = store->behind_room ? store->behind_room * 2 : 4096;
        store->behind = need(realloc(store->behind, store->behind_room));
    }
    memcpy(store->behind + store->behind_len, bytes, len);
    store->behind_len += len;
    return leave(store, err);
}

static int write_front(struct sink *s, const void *bytes, size_t len, struct err *err)
{
    struct check_store *store = enter(s);
    assert(len <= store->front_len - store->front_given);
    memcpy(store->front + store->front_given, bytes, len);
    store->front_given += len;
    return leave(store, err);
}

static int commit(struct sink *s, struct err *err)
{
    struct check_store *store = enter(s);
    assert(store->front_given == store->front_len);
    int rc = leave(store, err);
    if (rc < 0)
        return rc;
    store->object_len = store->front_len + store->behind_len;
    store->object = need(malloc(store->object_len + 1));
    if (store->front_len > 0)
        memcpy(store->object, store->front, store->front_len);
    if (store->behind_len > 0)
        memcpy(store->object + store->front_len, store->behind, store->behind_len);
    store->committed = true;
    return 0;
}

static void free_sink(struct sink *s)
{
    struct check_store *store = ((struct check_sink *)s)->store;
    assert(!store->busy && !store->freed);
    store->freed = true;
    free(s);
}

static const struct sink_ops ops = {open_front, write_behind, write_front, commit, free_sink};

struct sink *check_sink_new(struct check_store *store)
{
    struct check_sink *s = need(calloc(1, sizeof(*s)));
    s->sink.ops = &ops;
    s->sink.front_align = store->front_align;
    s->sink.front_min = store->front_min;
    s->store = store;
    return &s->sink;
}

void check_store_done(struct check_store *store)
{
    free(store->front);
    free(store->behind);
    free(store->object);
}

struct bytes_source {
    struct source source;
    const uint8_t *bytes;
};

static int read_bytes(struct source *s, uint64_t off, void *out, size_t len, struct err *err)
{
    (void)err;
    memcpy(out, ((struct bytes_source *)s)->bytes + off, len);
    return 0;
}

static void free_source(struct source *s)
{
    free(s);
}

static const struct source_ops source_ops = {read_bytes, free_source};

struct source *bytes_source_new(const uint8_t *bytes, size_t len)
{
    struct bytes_source *s = need(calloc(1, sizeof(*s)));
    s->source.ops = &source_ops;
    s->source.size = len;
    s->bytes = bytes;
    return &s->source;
}
