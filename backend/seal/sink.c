// The sink that seals: packed bytes become chunks of an age payload, behind a header that is made when its place is
// written.
//
//     without a front                       with one of k chunks
//     next: header, nonce, chunks 0..n      next's front: header, nonce, chunks 0..k-1; behind it: chunks k..n
//
// There is one lane for what is written, and one for the front, which is written when the other has ended. In a lane a
// chunk is sealed only when it is full and more bytes follow it, or when the lane ends: before that nobody knows whether
// it is the object's last one, and a number must not be sealed twice. So one chunk is always held back.
#include "backend/base/num.h"
#include "backend/base/secret.h"
#include "backend/seal/chunk.h"
#include "backend/seal/header.h"
#include "backend/seal/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct keys { // in a struct secret
    struct seal_randoms randoms;
    uint8_t payload[CHACHA_KEY_BYTES];
};

struct lane {
    int (*put)(struct sink *, const void *, size_t, struct err *); // into next
    uint64_t first, end;                                           // numbers of its chunks
    uint64_t next; // the one that is sealed next; a number is taken from here, and nowhere else
    bool ended;
};

struct seal_sink {
    struct sink sink;
    struct sink *next;
    struct recipient *recipients;
    size_t recipient_count;
    struct secret *keys;
    struct lane front, behind;
    struct lane *lane; // the one being written
    uint8_t *held;     // the chunk that waits
    size_t held_len;
    uint8_t *sealed; // scratch for one chunk
    bool fronted, record_set, header_written;
    bool entered; // in the ledger
    struct seal_record record;
    struct err failure; // the first one
};

static struct keys *keys_of(const struct seal_sink *s)
{
    static_assert(_Alignof(struct keys) == 1, "struct secret promises no alignment");
    return (struct keys *)s->keys->bytes;
}

// Before the first chunk is sealed, and before the file key is wiped.
static void enter(struct seal_sink *s)
{
    if (!s->entered)
        ledger_enter(keys_of(s)->randoms.file_key);
    s->entered = true;
}

static int write_header(struct seal_sink *s)
{
    assert(s->record_set && !s->header_written);
    enter(s);
    s->header_written = true;
    size_t len = seal_header_length(s->recipient_count);
    uint8_t *bytes = malloc(len + SEAL_NONCE_BYTES);
    if (!bytes)
        return err_set(&s->failure, ENOMEM, "no memory for a header");
    struct seal_randoms *randoms = &keys_of(s)->randoms;
    int rc =
        header_encode(&s->record, s->recipients, s->recipient_count, randoms, bytes, &s->failure);
    if (rc == 0) {
        memcpy(bytes + len, randoms->nonce, SEAL_NONCE_BYTES);
        rc = s->lane->put(s->next, bytes, len + SEAL_NONCE_BYTES, &s->failure);
    }
    secret_wipe(randoms, sizeof(*randoms)); // not needed any more
    free(bytes);
    return rc;
}

static int put_chunk(struct seal_sink *s, const void *plain, size_t len, bool last)
{
    struct lane *lane = s->lane;
    assert(!lane->ended && lane->next >= lane->first && lane->next < lane->end);
    uint64_t number = lane->next++;
    enter(s);
    if (!s->fronted && !s->header_written) {
        int rc = write_header(s);
        if (rc < 0)
            return rc;
    }
    chunk_seal(keys_of(s)->payload, number, last, plain, len, s->sealed);
    return lane->put(s->next, s->sealed, len + SEAL_TAG_BYTES, &s->failure);
}

static int put_held(struct seal_sink *s, bool last)
{
    size_t len = s->held_len;
    s->held_len = 0;
    return put_chunk(s, s->held, len, last);
}

static int append(struct seal_sink *s, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        int rc = 0;
        size_t n = SEAL_CHUNK_BYTES;
        if (s->held_len == SEAL_CHUNK_BYTES)
            rc = put_held(s, false);
        if (rc == 0 && s->held_len == 0 && len > n) { // straight from the caller
            rc = put_chunk(s, bytes, n, false);
        } else if (rc == 0) {
            n = (size_t)min_u64(SEAL_CHUNK_BYTES - s->held_len, len);
            memcpy(s->held + s->held_len, bytes, n);
            s->held_len += n;
        }
        if (rc < 0)
            return rc;
        bytes += n;
        len -= n;
    }
    return 0;
}

// What was written has ended: its last chunk is the object's, unless it is empty and there is a front.
static int end_behind(struct seal_sink *s)
{
    assert(s->held_len > 0 || s->behind.next == s->behind.first);
    int rc = s->held_len > 0 || s->behind.first == 0 ? put_held(s, true) : 0;
    s->behind.ended = true;
    return rc;
}

static int begin_front(struct seal_sink *s)
{
    int rc = end_behind(s);
    s->lane = &s->front;
    return rc < 0 || s->header_written ? rc : write_header(s);
}

static int end_front(struct seal_sink *s)
{
    bool last = s->behind.next == s->behind.first; // nothing came behind it
    int rc = s->held_len > 0 ? put_held(s, last) : 0;
    assert(rc < 0 || s->front.next == s->front.end);
    s->front.ended = true;
    return rc;
}

// Hands the latched failure out.
static int result(struct seal_sink *s, int rc, struct err *err)
{
    return rc < 0 ? err_copy(err, &s->failure) : 0;
}

static int seal_sink_open_front(struct sink *sink, uint64_t len, struct err *err)
{
    struct seal_sink *s = (struct seal_sink *)sink;
    // The lanes part the numbers between them once, before any is taken.
    assert(!s->fronted && s->behind.next == 0 && s->front.next == 0 && s->held_len == 0);
    s->fronted = true;
    s->front.end = s->behind.first = s->behind.next = len / SEAL_CHUNK_BYTES;
    uint64_t sealed_len = seal_header_length(s->recipient_count) + SEAL_NONCE_BYTES +
                          s->front.end * CHUNK_SEALED_BYTES;
    return result(s, sink_open_front(s->next, sealed_len, &s->failure), err);
}

static int seal_sink_write(struct sink *sink, const void *bytes, size_t len, struct err *err)
{
    struct seal_sink *s = (struct seal_sink *)sink;
    return result(s, s->failure.code ? -1 : append(s, bytes, len), err);
}

static int seal_sink_write_front(struct sink *sink, const void *bytes, size_t len, struct err *err)
{
    struct seal_sink *s = (struct seal_sink *)sink;
    int rc = s->failure.code ? -1 : 0;
    if (rc == 0 && s->lane != &s->front)
        rc = begin_front(s);
    if (rc == 0)
        rc = append(s, bytes, len);
    if (rc == 0 && sink->front_given == sink->front_len && !s->front.ended)
        rc = end_front(s);
    return result(s, rc, err);
}

static int seal_sink_commit(struct sink *sink, struct err *err)
{
    struct seal_sink *s = (struct seal_sink *)sink;
    int rc = s->failure.code ? -1 : 0;
    if (rc == 0 && s->lane == &s->behind)
        rc = end_behind(s);
    if (rc == 0)
        rc = sink_commit(s->next, &s->failure);
    return result(s, rc, err);
}

static void seal_sink_free(struct sink *sink)
{
    struct seal_sink *s = (struct seal_sink *)sink;
    int saved = errno;
    sink_free(s->next);
    secret_free(s->keys);
    free(s->recipients);
    free(s->held);
    free(s->sealed);
    free(s);
    errno = saved;
}

static const struct sink_ops seal_sink_ops = {
    seal_sink_open_front, seal_sink_write, seal_sink_write_front, seal_sink_commit, seal_sink_free};

// The least front of whole chunks that makes next's front long enough.
static uint64_t least_front(const struct sink *next, size_t header)
{
    uint64_t without = header + SEAL_NONCE_BYTES;
    if (next->front_min <= without)
        return 0;
    return div_up_u64(next->front_min - without, (uint64_t)CHUNK_SEALED_BYTES) * SEAL_CHUNK_BYTES;
}

static struct secret *make_keys(const struct seal_randoms *randoms)
{
    struct keys keys = {.randoms = *randoms};
    chunk_key(randoms->file_key, randoms->nonce, keys.payload);
    struct secret *secret = secret_new(&keys, sizeof(keys));
    secret_wipe(&keys, sizeof(keys));
    return secret;
}

int seal_sink_new(struct sink *next, const struct recipient *recipients, size_t count,
                  const struct seal_randoms *randoms, struct sink **out, struct err *err)
{
    assert(count > 0 && count <= SEAL_RECIPIENTS_MAX && next->front_align == 1);
    struct seal_sink *s = calloc(1, sizeof(*s));
    if (!s) {
        sink_free(next);
        return err_set(err, ENOMEM, "no memory for a sealing sink");
    }
    s->next = next;
    s->sink.ops = &seal_sink_ops;
    s->sink.front_align = SEAL_CHUNK_BYTES;
    s->sink.front_min = least_front(next, seal_header_length(count));
    s->front.put = sink_write_front;
    s->behind = (struct lane){.put = sink_write, .end = UINT64_MAX};
    s->lane = &s->behind;
    s->recipients = calloc(count, sizeof(*recipients));
    s->recipient_count = count;
    s->held = malloc(SEAL_CHUNK_BYTES);
    s->sealed = malloc(CHUNK_SEALED_BYTES);
    s->keys = make_keys(randoms);
    if (!s->recipients || !s->held || !s->sealed || !s->keys) {
        seal_sink_free(&s->sink);
        return err_set(err, ENOMEM, "no memory for a sealing sink");
    }
    memcpy(s->recipients, recipients, count * sizeof(*recipients));
    *out = &s->sink;
    return 0;
}

void seal_sink_set_record(struct sink *sink, const struct seal_record *record, const char *path)
{
    assert(sink->ops == &seal_sink_ops);
    struct seal_sink *s = (struct seal_sink *)sink;
    assert(!s->header_written);
    s->record = *record;
    seal_pathtag(keys_of(s)->randoms.file_key, path, s->record.pathtag);
    s->record_set = true;
}
