// A source over one stored object, pinned to an ETag. Nothing changes after construction, so any number of threads may
// read at once.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/store.h"

#include <errno.h>
#include <string.h>

struct store_source {
    struct source source;
    struct store *store;
    char key[STORE_KEY_BYTES + 1];
    char etag[STORE_ETAG_BYTES];
    unsigned window_count;
    struct store_window windows[];
};

static int fetch(struct store_source *s, uint64_t off, uint8_t *out, size_t len, struct err *err)
{
    size_t got = 0;
    int rc = s->store->ops->get(s->store, s->key, s->etag, off, len, out, &got, NULL, err);
    if (rc < 0)
        return rc;
    if (got != len)
        return err_set(err, EUCLEAN,
                       "get '%s': %zu bytes came for %zu at %llu of an object of %llu", s->key, got,
                       len, (unsigned long long)off, (unsigned long long)s->source.size);
    return 0;
}

static int read_at(struct source *source, uint64_t off, void *out, size_t len, struct err *err)
{
    struct store_source *s = (struct store_source *)source;
    uint8_t *to = out;
    while (len > 0) {
        const struct store_window *inside = NULL;
        uint64_t gap = len; // bytes up to the next window
        for (unsigned i = 0; i < s->window_count; i++) {
            const struct store_window *w = &s->windows[i];
            if (off >= w->off && off - w->off < w->len)
                inside = w;
            else if (w->off > off && w->len > 0)
                gap = min_u64(gap, w->off - off);
        }
        size_t step;
        if (inside) {
            size_t at = (size_t)(off - inside->off);
            step = min_u64(len, inside->len - at);
            memcpy(to, inside->bytes + at, step);
        } else {
            step = (size_t)gap;
            int rc = fetch(s, off, to, step, err);
            if (rc < 0)
                return rc;
        }
        to += step;
        off += step;
        len -= step;
    }
    return 0;
}

static void source_free_(struct source *source)
{
    struct store_source *s = (struct store_source *)source;
    for (unsigned i = 0; i < s->window_count; i++)
        free(s->windows[i].bytes);
    free(s);
}

static const struct source_ops ops = {.read_at = read_at, .free = source_free_};

int store_source_new(struct store *store, const char *key, const struct store_stat *stat,
                     const struct store_window *windows, unsigned count, struct source **out,
                     struct err *err)
{
    size_t key_len = strlen(key);
    assert(key_len <= STORE_KEY_BYTES);
    struct store_source *s = calloc(1, sizeof(*s) + count * sizeof(s->windows[0]));
    if (!s) {
        for (unsigned i = 0; i < count; i++)
            free(windows[i].bytes);
        return err_set(err, ENOMEM, "read '%s': out of memory", key);
    }
    s->source = (struct source){.ops = &ops, .size = stat->size};
    s->store = store;
    memcpy(s->key, key, key_len + 1);
    memcpy(s->etag, stat->etag, sizeof(s->etag));
    s->window_count = count;
    for (unsigned i = 0; i < count; i++) {
        assert(windows[i].off <= stat->size && windows[i].len <= stat->size - windows[i].off);
        s->windows[i] = windows[i];
    }
    *out = &s->source;
    return 0;
}
