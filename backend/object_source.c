// A stored object that goes on being the same although its header is rewritten.
//
// The addresses are those of the object that was opened. Each object that was found under the key since then with the same
// nonce is a generation; the newest one is read. Old ones stay until the end, since somebody may still read them: there are
// as many as there were renames and rekeys.
#include "backend/object_head.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 8 // somebody rewrites it all the time

struct generation { // nothing changes after construction
    struct generation *older;
    struct source *source;
    size_t header_len;
    char etag[STORE_ETAG_BYTES];
};

struct object_source {
    struct source source;
    struct store *store;
    char key[STORE_KEY_BYTES + 1];
    size_t header_len; // of the first generation
    uint8_t nonce[SEAL_NONCE_BYTES];
    pthread_mutex_t lock;

    // below: under the lock
    struct generation *newest;
};

static struct generation *newest(struct object_source *s)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    return s->newest;
}

static void generation_free(struct generation *g)
{
    if (g)
        source_free(g->source);
    free(g);
}

static int generation_new(struct object_source *s, const struct object_head *head,
                          const struct store_window *windows, unsigned count,
                          struct generation **out, struct err *err)
{
    struct generation *g = calloc(1, sizeof(*g));
    if (!g) {
        for (unsigned i = 0; i < count; i++)
            free(windows[i].bytes);
        return err_errno(err, ENOMEM, "read '%s'", s->key);
    }
    g->header_len = head->header.len;
    memcpy(g->etag, head->stat.etag, sizeof(g->etag));
    int rc = store_source_new(s->store, s->key, &head->stat, windows, count, &g->source, err);
    if (rc) {
        free(g);
        return rc;
    }
    *out = g;
    return 0;
}

// What stands there now carries the payload that was opened.
static bool same_payload(const struct object_source *s, const struct object_head *head)
{
    const uint8_t *nonce = object_head_nonce(head);
    return nonce && memcmp(nonce, s->nonce, sizeof(s->nonce)) == 0 &&
           head->stat.size - head->header.len == s->source.size - s->header_len;
}

// Unless another thread was faster with the same one.
static struct generation *add(struct object_source *s, struct generation *found)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&s->lock);
    if (strcmp(s->newest->etag, found->etag) == 0) {
        generation_free(found);
    } else {
        found->older = s->newest;
        s->newest = found;
    }
    return s->newest;
}

// `stale` was refused: what is there now? *out becomes a newer generation. -ESTALE: another file.
static int look_again(struct object_source *s, const struct generation *stale,
                      struct generation **out, struct err *err)
{
    struct generation *now = newest(s), *found = NULL;
    if (now != stale) {
        *out = now;
        return 0;
    }
    struct object_head head = {0};
    int rc = object_head_fetch(s->store, s->key, NULL, SEAL_HEADER_PROBE, &head, err);
    if (rc == 0)
        rc = object_head_parse(s->store, s->key, &head, err);
    if (rc == -EUCLEAN || (rc == 0 && !same_payload(s, &head)))
        rc = err_set(err, ESTALE, "read '%s': another file stands there now", s->key);
    if (rc == 0)
        rc = generation_new(s, &head, NULL, 0, &found, err);
    if (rc == 0)
        *out = add(s, found);
    object_head_done(&head);
    return rc;
}

static int read_at(struct source *source, uint64_t off, void *out, size_t len, struct err *err)
{
    struct object_source *s = (struct object_source *)source;
    struct generation *g = newest(s);
    int rc = -ESTALE;
    for (int i = 0; i < TRIES && rc == -ESTALE; i++) {
        if (i > 0)
            rc = look_again(s, g, &g, err);
        if (i > 0 && rc)
            return rc;
        // the header's own bytes are the first generation's alone
        uint64_t at = off < s->header_len ? off : off - s->header_len + g->header_len;
        if (off < s->header_len && g->older)
            return err_set(err, ESTALE, "read '%s': its header was rewritten", s->key);
        rc = source_read_at(g->source, at, out, len, err);
    }
    return rc;
}

static void free_source(struct source *source)
{
    struct object_source *s = (struct object_source *)source;
    for (struct generation *g = s->newest, *older; g; g = older) {
        older = g->older;
        generation_free(g);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int object_source_new(struct store *store, const char *key, const struct object_head *head,
                      const struct store_window *windows, unsigned count, struct source **out,
                      struct err *err)
{
    static const struct source_ops ops = {.read_at = read_at, .free = free_source};
    struct object_source *s = calloc(1, sizeof(*s));
    if (!s) {
        for (unsigned i = 0; i < count; i++)
            free(windows[i].bytes);
        return err_errno(err, ENOMEM, "read '%s'", key);
    }
    s->source = (struct source){.ops = &ops, .size = head->stat.size};
    s->store = store;
    assert(strlen(key) < sizeof(s->key));
    strcpy(s->key, key);
    s->header_len = head->header.len;
    const uint8_t *nonce = object_head_nonce(head);
    if (nonce) // without one nothing is ever the same
        memcpy(s->nonce, nonce, sizeof(s->nonce));
    pthread_mutex_init(&s->lock, NULL);
    int rc = generation_new(s, head, windows, count, &s->newest, err);
    if (rc) {
        free_source(&s->source);
        return rc;
    }
    *out = &s->source;
    return 0;
}
