// What only an object's first bytes tell: can it be read at all, and is its payload there twice, as a rename that was cut
// leaves it (the same nonce under two keys, the same stored size). And what a key opens.
#include "tools/doctor.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/object.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAYLOADS_MAX 500000 // some 60 MB

struct payload {
    uint64_t size;
    uint8_t nonce[SEAL_NONCE_BYTES];
    char *key;
};

struct headers_seen {
    struct payload *list;
    size_t count, room;
    bool full;
    uint64_t looked, unreadable, twice;
    uint8_t bytes[SEAL_HEADER_MAX + SEAL_NONCE_BYTES];
};

struct headers_seen *doctor_headers_new(void)
{
    return calloc(1, sizeof(struct headers_seen));
}

static void unreadable(struct doctor *d, struct headers_seen *h, const char *key, const char *why)
{
    if (doctor_shows(d, &h->unreadable))
        doctor_tell(d, DOCTOR_PROBLEM, why, NULL, "cannot be read: %s", key);
}

// Header and nonce, with a second request only where the first was too small. -EUCLEAN: no header of age.
static int read_header(struct store *store, struct headers_seen *h, const struct store_entry *entry,
                       struct seal_header *out, struct err *err)
{
    size_t wanted[] = {SEAL_HEADER_PROBE, sizeof(h->bytes)}, len = 0;
    int rc = -EAGAIN;
    for (size_t i = 0; i < 2 && rc == -EAGAIN; i++) {
        rc = store->ops->get(store, entry->key, NULL, 0, wanted[i], h->bytes, &len, NULL, err);
        if (rc == 0)
            rc = seal_header_parse(h->bytes, len, out, err);
        if (rc == 0 && out->len + SEAL_NONCE_BYTES > len)
            rc = -EAGAIN;
        if (rc == -EAGAIN && len < wanted[i])
            break; // there is no more of it
    }
    return rc == -EAGAIN ? err_set(err, EUCLEAN, "it ends before its header does") : rc;
}

static bool keep(struct headers_seen *h, const struct store_entry *entry, size_t nonce_at)
{
    if (h->count == PAYLOADS_MAX)
        return false;
    if (h->count == h->room) {
        size_t room = h->room ? 2 * h->room : 256;
        struct payload *list = reallocarray(h->list, room, sizeof(*list));
        if (!list)
            return false;
        h->list = list;
        h->room = room;
    }
    struct payload *p = &h->list[h->count];
    *p = (struct payload){.size = entry->stat.size, .key = strdup(entry->key)};
    memcpy(p->nonce, h->bytes + nonce_at, sizeof(p->nonce));
    if (!p->key)
        return false;
    h->count++;
    return true;
}

void doctor_headers_look(struct doctor *d, struct headers_seen *h, const struct store_entry *entry)
{
    struct seal_header header;
    struct err err;
    if (++h->looked % 100 == 0)
        doctor_progress(d, "headers read", h->looked);
    int rc = read_header(d->store, h, entry, &header, &err);
    if (rc == -ENOENT)
        return; // removed meanwhile
    if (rc != 0)
        unreadable(d, h, entry->key, err.text);
    else if (header.state == SEAL_NEWER)
        unreadable(d, h, entry->key, "made by a newer bakfs");
    else if (header.state == SEAL_FOREIGN)
        unreadable(d, h, entry->key, "an age file that bakfs did not make");
    else if (!keep(h, entry, header.len))
        h->full = true;
}

static int compare(const void *a, const void *b)
{
    const struct payload *p = a, *q = b;
    if (p->size != q->size)
        return p->size < q->size ? -1 : 1;
    return memcmp(p->nonce, q->nonce, sizeof(p->nonce));
}

void doctor_headers_end(struct doctor *d, struct headers_seen *h)
{
    if (!h)
        return;
    if (h->count > 0)
        qsort(h->list, h->count, sizeof(h->list[0]), compare);
    for (size_t i = 1; i < h->count; i++)
        if (compare(&h->list[i - 1], &h->list[i]) == 0 && doctor_shows(d, &h->twice))
            doctor_tell(d, DOCTOR_PROBLEM,
                        "a rename was cut, or somebody copied it; only under the path it was "
                        "sealed for can it be opened",
                        "bakfs confirm each, and remove the one that is not wanted",
                        "one payload under two keys: %s and %s", h->list[i - 1].key,
                        h->list[i].key);
    doctor_more(d, h->unreadable, "objects that cannot be read");
    doctor_more(d, h->twice, "objects that are there twice");
    if (h->full)
        doctor_tell(d, DOCTOR_NOTE, NULL, NULL, "only the first %zu objects were compared",
                    h->count);
    for (size_t i = 0; i < h->count; i++)
        free(h->list[i].key);
    free(h->list);
    free(h);
}

void doctor_prove(struct doctor *d, const char *path, const char *etag)
{
    struct object_reader *reader = NULL;
    struct err err;
    int host = (int)strcspn(path, "/");
    int rc = object_open(d->store, path, etag, &d->identities, NULL, &reader, &err);
    if (rc == 0)
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "host %.*s: the key opens %s (%" PRIu64 " bytes)",
                    host, path, path, object_reader_info(reader)->header.record.size);
    else if (rc == -EACCES)
        doctor_tell(d, DOCTOR_PROBLEM, err.text, NULL, "host %.*s: the key does not open %s", host,
                    path, path);
    else
        doctor_tell(d, DOCTOR_PROBLEM, err.text, NULL, "host %.*s: %s could not be opened", host,
                    path, path);
    object_reader_free(reader);
}
