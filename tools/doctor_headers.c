// What only an object's first bytes tell: can it be read at all, and is its payload there twice, as a rename that was cut
// leaves it (the same nonce under two keys, the same stored size). And what a key opens.
#include "tools/doctor.h"

#include "backend/base/scope.h"
#include "backend/base/workers.h"
#include "backend/object.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOADS_MAX 500000 // some 60 MB
#define UNREADABLE_MAX 10000
#define READERS 16 // a store far away answers each after some time

struct payload {
    uint64_t size;
    uint8_t nonce[SEAL_NONCE_BYTES];
    char *key;
};

struct unreadable {
    char *key, *why;
};

struct headers_seen {
    struct workers *readers;

    pthread_mutex_t lock; // members below are under it
    struct payload *list;
    size_t count, room;
    struct unreadable *bad;
    size_t bad_count, bad_room;
    bool full;
};

struct look { // a job: one object
    struct headers_seen *seen;
    struct store *store;
    uint64_t size;
    char key[];
};

struct headers_seen *doctor_headers_new(void)
{
    struct headers_seen *h = calloc(1, sizeof(*h));
    if (!h || workers_new("headers", READERS, 4 * READERS, &h->readers, NULL) != 0) {
        free(h);
        return NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

// Room for one more; NULL when there is none, or no more than `max` are to be kept.
static void *grown(void *list, size_t count, size_t *room, size_t size, size_t max)
{
    if (count == max)
        return NULL;
    if (count < *room)
        return list;
    size_t more = *room ? 2 * *room : 256;
    void *out = reallocarray(list, more, size);
    if (out)
        *room = more;
    return out;
}

// With the lock held.
static bool keep(struct headers_seen *h, const struct look *look, const uint8_t *nonce)
{
    struct payload *list = grown(h->list, h->count, &h->room, sizeof(*list), PAYLOADS_MAX);
    char *key = list ? strdup(look->key) : NULL;
    if (list)
        h->list = list;
    if (!key)
        return false;
    struct payload *p = &h->list[h->count++];
    *p = (struct payload){.size = look->size, .key = key};
    memcpy(p->nonce, nonce, sizeof(p->nonce));
    return true;
}

// With the lock held.
static bool keep_unreadable(struct headers_seen *h, const char *key, const char *why)
{
    struct unreadable *list =
        grown(h->bad, h->bad_count, &h->bad_room, sizeof(*list), UNREADABLE_MAX);
    struct unreadable u = {.key = list ? strdup(key) : NULL, .why = list ? strdup(why) : NULL};
    if (list)
        h->bad = list;
    if (!u.key || !u.why) {
        free(u.key);
        free(u.why);
        return false;
    }
    h->bad[h->bad_count++] = u;
    return true;
}

// Header and nonce into `bytes`. -EAGAIN: they are longer than `room`; -EUCLEAN: no header of age.
static int read_header(const struct look *look, uint8_t *bytes, size_t room,
                       struct seal_header *out, struct err *err)
{
    size_t len = 0;
    int rc = look->store->ops->get(look->store, look->key, NULL, 0, room, bytes, &len, NULL, err);
    if (rc == 0)
        rc = seal_header_parse(bytes, len, out, err);
    if (rc == 0 && out->len + SEAL_NONCE_BYTES > len)
        rc = -EAGAIN;
    if (rc == -EAGAIN && len < room) // there is no more of it
        rc = err_set(err, EUCLEAN, "it ends before its payload begins");
    return rc;
}

static const char *why_unreadable(const struct seal_header *header)
{
    if (header->state == SEAL_NEWER)
        return "made by a newer bakfs";
    return header->state == SEAL_FOREIGN ? "an age file that bakfs did not make" : NULL;
}

static void look_at(void *ctx)
{
    auto_free struct look *look = ctx;
    struct headers_seen *h = look->seen;
    struct seal_header header = {0};
    struct err err;
    uint8_t probe[SEAL_HEADER_PROBE];
    size_t whole_len = SEAL_HEADER_MAX + SEAL_NONCE_BYTES;
    auto_free uint8_t *whole = NULL;
    int rc = read_header(look, probe, sizeof(probe), &header, &err);
    if (rc == -EAGAIN) {
        whole = malloc(whole_len);
        rc = whole ? read_header(look, whole, whole_len, &header, &err) : -ENOMEM;
    }
    if (rc == -EAGAIN)
        rc = err_set(&err, EUCLEAN, "its header has no end");
    auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
    const char *why = rc == 0         ? why_unreadable(&header)
                      : rc == -ENOMEM ? "out of memory"
                                      : err.text;
    bool kept = true;
    if (why && rc != -ENOENT) // that was removed meanwhile
        kept = keep_unreadable(h, look->key, why);
    else if (rc == 0)
        kept = keep(h, look, (whole ? whole : probe) + header.len);
    h->full |= !kept;
}

void doctor_headers_look(struct doctor *d, struct headers_seen *h, const struct store_entry *entry)
{
    size_t len = strlen(entry->key);
    struct look *look = malloc(sizeof(*look) + len + 1);
    if (!look) {
        auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
        h->full = true;
        return;
    }
    *look = (struct look){.seen = h, .store = d->store, .size = entry->stat.size};
    memcpy(look->key, entry->key, len + 1);
    workers_submit(h->readers, look_at, look);
}

static bool same_payload(const struct payload *p, const struct payload *q)
{
    return p->size == q->size && memcmp(p->nonce, q->nonce, sizeof(p->nonce)) == 0;
}

static int compare(const void *a, const void *b)
{
    const struct payload *p = a, *q = b;
    if (p->size != q->size)
        return p->size < q->size ? -1 : 1;
    int order = memcmp(p->nonce, q->nonce, sizeof(p->nonce));
    return order ? order : strcmp(p->key, q->key);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct unreadable *)a)->key, ((const struct unreadable *)b)->key);
}

static void tell_unreadable(struct doctor *d, const struct headers_seen *h)
{
    uint64_t count = 0;
    if (h->bad_count > 0)
        qsort(h->bad, h->bad_count, sizeof(h->bad[0]), compare_keys);
    for (size_t i = 0; i < h->bad_count; i++)
        if (doctor_shows(d, &count))
            doctor_tell(d, DOCTOR_PROBLEM, h->bad[i].why, NULL, "cannot be read: %s",
                        h->bad[i].key);
    doctor_more(d, count, "objects that cannot be read");
}

static void tell_twice(struct doctor *d, const struct headers_seen *h)
{
    uint64_t count = 0;
    if (h->count > 0)
        qsort(h->list, h->count, sizeof(h->list[0]), compare);
    for (size_t i = 1; i < h->count; i++)
        if (same_payload(&h->list[i - 1], &h->list[i]) && doctor_shows(d, &count))
            doctor_tell(d, DOCTOR_PROBLEM,
                        "a rename was cut, or somebody copied it; only under the path it was "
                        "sealed for can it be opened",
                        "bakfs confirm each, and remove the one that is not wanted",
                        "one payload under two keys: %s and %s", h->list[i - 1].key,
                        h->list[i].key);
    doctor_more(d, count, "objects that are there twice");
}

void doctor_headers_end(struct doctor *d, struct headers_seen *h)
{
    if (!h)
        return;
    workers_free(h->readers); // all have been read
    tell_unreadable(d, h);
    tell_twice(d, h);
    if (h->full)
        doctor_tell(d, DOCTOR_NOTE, NULL, NULL,
                    "there are more objects than could be remembered: not all were compared");
    for (size_t i = 0; i < h->bad_count; i++) {
        free(h->bad[i].key);
        free(h->bad[i].why);
    }
    for (size_t i = 0; i < h->count; i++)
        free(h->list[i].key);
    free(h->bad);
    free(h->list);
    pthread_mutex_destroy(&h->lock);
    free(h);
}
