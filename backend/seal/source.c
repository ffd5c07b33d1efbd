// The payload of a sealed object as a source of packed bytes.
#include "backend/base/crypto.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/base/secret.h"
#include "backend/seal/chunk.h"
#include "backend/seal/seal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct seal_source { // all fixed after construction: any thread reads
    struct source source;
    struct source *sealed;
    struct secret *key;
    uint64_t payload_at; // in `sealed`, behind the nonce
    uint64_t chunks;
};

// Chunks from..to (exclusive) as they stand in `sealed`.
struct run {
    uint64_t from, to;
    uint64_t at;
    size_t len;
};

static uint64_t chunk_at(const struct seal_source *s, uint64_t number)
{
    return s->payload_at + number * CHUNK_SEALED_BYTES;
}

static struct run run_of(const struct seal_source *s, uint64_t from, uint64_t to)
{
    uint64_t at = chunk_at(s, from);
    uint64_t end = to == s->chunks ? s->sealed->size : chunk_at(s, to);
    return (struct run){from, to, at, (size_t)(end - at)};
}

static int cannot_open(const struct seal_source *s, uint64_t number, size_t len, struct err *err)
{
    uint64_t at = chunk_at(s, number);
    return err_set(err, EBADMSG,
                   "chunk %llu of %llu does not open (bytes %llu to %llu of the object)%s",
                   (unsigned long long)number + 1, (unsigned long long)s->chunks,
                   (unsigned long long)at, (unsigned long long)(at + len - 1),
                   number + 1 == s->chunks ? " as the last one: the object was changed or cut"
                                           : ": the object was changed");
}

static int open_one(const struct seal_source *s, uint64_t number, const void *sealed, size_t len,
                    void *out, struct err *err)
{
    if (!chunk_open(s->key->bytes, number, number + 1 == s->chunks, sealed, len, out))
        return cannot_open(s, number, len, err);
    return 0;
}

// The part of [off, off + len) that lies in the run's chunks, opened straight into `out` where a whole chunk is wanted.
static int open_run(const struct seal_source *s, const struct run *run, uint8_t *sealed,
                    uint64_t off, uint8_t *out, size_t len, struct err *err)
{
    for (uint64_t number = run->from; number < run->to; number++) {
        uint8_t *chunk = sealed + (number - run->from) * CHUNK_SEALED_BYTES;
        size_t chunk_len = (size_t)min_u64(CHUNK_SEALED_BYTES, run->len - (size_t)(chunk - sealed));
        size_t plain_len = chunk_len - SEAL_TAG_BYTES;
        uint64_t plain_off = number * SEAL_CHUNK_BYTES;
        uint64_t from = max_u64(off, plain_off);
        uint64_t to = min_u64(off + len, plain_off + plain_len);
        bool whole = from == plain_off && to == plain_off + plain_len;
        int rc = open_one(s, number, chunk, chunk_len, whole ? out + (from - off) : chunk, err);
        if (rc < 0)
            return rc;
        if (!whole)
            memcpy(out + (from - off), chunk + (from - plain_off), (size_t)(to - from));
    }
    return 0;
}

static int seal_source_read_at(struct source *source, uint64_t off, void *out, size_t len,
                               struct err *err)
{
    struct seal_source *s = (struct seal_source *)source;
    // one read for the whole range: below, it is one ranged GET
    struct run run =
        run_of(s, off / SEAL_CHUNK_BYTES, div_up_u64(off + len, (uint64_t)SEAL_CHUNK_BYTES));
    auto_free uint8_t *sealed = malloc(run.len);
    if (!sealed)
        return err_set(err, ENOMEM, "no memory for %zu sealed bytes", run.len);
    int rc = source_read_at(s->sealed, run.at, sealed, run.len, err);
    return rc < 0 ? rc : open_run(s, &run, sealed, off, out, len, err);
}

static void seal_source_free(struct source *source)
{
    struct seal_source *s = (struct seal_source *)source;
    int saved = errno;
    source_free(s->sealed);
    secret_free(s->key);
    free(s);
    errno = saved;
}

// How many chunks there are follows from the sealed size alone; whether it is the true size, the last one's flag says.
static int measure(struct seal_source *s, size_t header_len, struct err *err)
{
    uint64_t size = s->sealed->size;
    if (size < header_len || size - header_len < SEAL_NONCE_BYTES)
        return err_set(err, EUCLEAN, "the object ends in or behind its header: it was cut");
    s->payload_at = header_len + SEAL_NONCE_BYTES;
    uint64_t payload = size - s->payload_at;
    s->chunks = div_up_u64(payload, (uint64_t)CHUNK_SEALED_BYTES);
    uint64_t last = s->chunks ? payload - (s->chunks - 1) * CHUNK_SEALED_BYTES : 0;
    if (last < SEAL_TAG_BYTES)
        return err_set(err, EBADMSG, "the object ends inside of a chunk: it was cut");
    if (last == SEAL_TAG_BYTES && s->chunks > 1)
        return err_set(err, EBADMSG, "the object's last chunk is empty: it was cut or changed");
    s->source.size = payload - s->chunks * SEAL_TAG_BYTES;
    return 0;
}

static int read_key(struct seal_source *s, const uint8_t *file_key, struct err *err)
{
    uint8_t nonce[SEAL_NONCE_BYTES], key[CHACHA_KEY_BYTES];
    int rc = source_read_at(s->sealed, s->payload_at - SEAL_NONCE_BYTES, nonce, sizeof(nonce), err);
    if (rc < 0)
        return rc;
    chunk_key(file_key, nonce, key);
    s->key = secret_new(key, sizeof(key));
    secret_wipe(key, sizeof(key));
    return s->key ? 0 : err_set(err, ENOMEM, "no memory for a payload key");
}

static int verify_last_chunk(struct seal_source *s, struct err *err)
{
    struct run run = run_of(s, s->chunks - 1, s->chunks);
    auto_free uint8_t *sealed = malloc(run.len);
    if (!sealed)
        return err_set(err, ENOMEM, "no memory for %zu sealed bytes", run.len);
    int rc = source_read_at(s->sealed, run.at, sealed, run.len, err);
    return rc < 0 ? rc : open_one(s, run.from, sealed, run.len, sealed, err);
}

int seal_source_new(struct source *sealed, size_t header_len, const uint8_t file_key[16],
                    struct source **out, struct err *err)
{
    static const struct source_ops ops = {seal_source_read_at, seal_source_free};
    struct seal_source *s = calloc(1, sizeof(*s));
    if (!s) {
        source_free(sealed);
        return err_set(err, ENOMEM, "no memory for a source");
    }
    s->source.ops = &ops;
    s->sealed = sealed;
    int rc = measure(s, header_len, err);
    if (rc == 0)
        rc = read_key(s, file_key, err);
    if (rc == 0)
        rc = verify_last_chunk(s, err);
    if (rc < 0) {
        seal_source_free(&s->source);
        return rc;
    }
    *out = &s->source;
    return 0;
}
