// Another header for a payload that stays: renames and new times.
//
// One GET brings what has to pass through here: the header and, because a part of an upload must not be smaller, part_min
// of what follows. If that is the whole object it is put again; else it is the first part of an upload whose other parts
// the store copies. Everything is held against the key before the first byte is written.
#include "backend/object_head.h"

#include "backend/base/crypto.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COPY_BYTES GIB // some stores take a second for each, and say nothing meanwhile
#define RELAY_BYTES ((size_t)64 * SEAL_CHUNK_SEALED_BYTES)

static int check_path(const struct object_head *head, const uint8_t file_key[SEAL_FILE_KEY_BYTES],
                      const char *path, struct err *err)
{
    uint8_t tag[SEAL_PATHTAG_BYTES];
    seal_pathtag(file_key, path, tag);
    if (!crypto_equal(tag, head->header.record.pathtag, sizeof(tag)))
        return err_set(err, EBADMSG,
                       "it is another file's object: it was moved or exchanged in the bucket");
    return 0;
}

int object_unlock(struct store *store, const char *path, const char *etag,
                  const struct identities *identities, struct object_key *out, struct err *err)
{
    char key[STORE_KEY_BYTES + 1];
    struct object_head head = {0};
    struct seal_opened opened = {0};
    int rc = object_store_key(path, key, err);
    if (rc == 0)
        rc = object_head_fetch(store, key, etag, SEAL_HEADER_PROBE, &head, err);
    if (rc == 0)
        rc = object_head_parse(store, key, &head, err);
    if (rc == 0)
        rc = object_head_unlock(&head, identities, NULL, &opened, err);
    if (rc == 0)
        rc = check_path(&head, opened.file_key, path, err);
    const uint8_t *nonce = object_head_nonce(&head);
    if (rc == 0 && !nonce)
        rc = err_set(err, EUCLEAN, "the object ends behind its header: it was cut");
    if (rc == 0) {
        memcpy(out->file_key, opened.file_key, sizeof(out->file_key));
        memcpy(out->nonce, nonce, sizeof(out->nonce));
    }
    seal_opened_done(&opened);
    object_head_done(&head);
    return rc;
}

struct rewrite {
    const struct object_env *env;
    const struct object_key *key;
    const struct object_change *change;
    const char *from; // in the tree
    char from_key[STORE_KEY_BYTES + 1], to_key[STORE_KEY_BYTES + 1];
    struct store_cond cond;
    struct object_head head; // all that was fetched, with the new header
};

// The object is `from`'s, its payload is the key's, and we know all that its record says.
static int verify(const struct rewrite *w, struct err *err)
{
    struct seal_opened opened = {0};
    int rc = object_head_unlock(&w->head, NULL, w->key, &opened, err);
    seal_opened_done(&opened);
    return rc ? rc : check_path(&w->head, w->key->file_key, w->from, err);
}

// Of an object that goes on, whole chunks are taken: they can be checked.
static int take_chunks(struct rewrite *w, struct err *err)
{
    struct object_head *head = &w->head;
    size_t front = head->header.len + SEAL_NONCE_BYTES;
    bool whole = head->len == head->stat.size;
    if (!whole)
        head->len -= (head->len - front) % SEAL_CHUNK_SEALED_BYTES;
    return seal_chunks_check(w->key->file_key, w->key->nonce, 0, head->bytes + front,
                             head->len - front, whole, err);
}

static int new_header(struct rewrite *w, struct err *err)
{
    struct object_head *head = &w->head;
    struct seal_record record = head->header.record;
    if (w->change->mtime)
        record.mtime = *w->change->mtime;
    record.flags |= w->change->flags;
    int rc =
        seal_header_rewrite(head->bytes, head->len, w->key->file_key, &record, w->change->to, err);
    // what it says from now on, times rounded as they were written
    return rc ? rc : seal_header_parse(head->bytes, head->len, &head->header, err);
}

static int fetch(struct rewrite *w, const char *etag, struct err *err)
{
    struct store *store = w->env->upload.store;
    // however long the header is, part_min stays when it ends with a whole chunk
    size_t len = (size_t)store->limits.part_min + SEAL_HEADER_MAX + SEAL_NONCE_BYTES +
                 SEAL_CHUNK_SEALED_BYTES;
    int rc = object_head_fetch(store, w->from_key, etag, len, &w->head, err);
    if (rc == 0)
        rc = object_head_parse(store, w->from_key, &w->head, err);
    if (rc == 0)
        rc = verify(w, err);
    if (rc == 0)
        rc = take_chunks(w, err);
    return rc ? rc : new_header(w, err);
}

// As large as they must be for all to fit into an upload.
static int copy_bytes(const struct store_limits *limits, uint64_t rest, uint64_t *out,
                      struct err *err)
{
    uint64_t part = max_u64(COPY_BYTES, div_up_u64(rest, (uint64_t)limits->parts_max - 1));
    part = min_u64(part, limits->put_max);
    if (div_up_u64(rest, part) > limits->parts_max - 1)
        return err_set(err, EFBIG, "%llu bytes are more than %u parts of the store hold",
                       (unsigned long long)rest, limits->parts_max);
    *out = part;
    return 0;
}

// What lies behind the fetched bytes, on the store's side.
static int copy_rest(const struct rewrite *w, struct sink *sink, struct err *err)
{
    uint64_t size = w->head.stat.size, part = 0;
    int rc = copy_bytes(&w->env->upload.store->limits, size - w->head.len, &part, err);
    for (uint64_t off = w->head.len, len; off < size && rc == 0; off += len) {
        len = min_u64(part, size - off);
        rc = upload_sink_copy(sink, w->from_key, w->head.stat.etag, off, len, err);
    }
    return rc;
}

// The same for a store that does not copy parts: through here.
static int relay_rest(const struct rewrite *w, struct sink *sink, struct err *err)
{
    uint64_t size = w->head.stat.size, payload = w->head.header.len + SEAL_NONCE_BYTES;
    struct source *source = NULL;
    auto_free uint8_t *bytes = malloc(RELAY_BYTES);
    if (!bytes)
        return err_errno(err, ENOMEM, "copy '%s'", w->from);
    int rc =
        store_source_new(w->env->upload.store, w->from_key, &w->head.stat, NULL, 0, &source, err);
    for (uint64_t off = w->head.len, len; off < size && rc == 0; off += len) {
        len = min_u64(RELAY_BYTES, size - off);
        rc = source_read_at(source, off, bytes, (size_t)len, err);
        if (rc == 0)
            rc = seal_chunks_check(w->key->file_key, w->key->nonce,
                                   (off - payload) / SEAL_CHUNK_SEALED_BYTES, bytes, (size_t)len,
                                   off + len == size, err);
        if (rc == 0)
            rc = sink_write(sink, bytes, (size_t)len, err);
    }
    source_free(source);
    return rc;
}

static int store_again(const struct rewrite *w, bool relay, struct store_stat *out, struct err *err)
{
    struct sink *sink = NULL;
    int rc = upload_sink_new(&w->env->upload, w->to_key, &w->cond, NULL, &sink, err);
    if (rc)
        return rc;
    if (w->head.len == w->head.stat.size) {
        rc = sink_write(sink, w->head.bytes, w->head.len, err);
    } else {
        rc = sink_open_front(sink, w->head.len, err);
        if (rc == 0)
            rc = relay ? relay_rest(w, sink, err) : copy_rest(w, sink, err);
        if (rc == 0)
            rc = sink_write_front(sink, w->head.bytes, w->head.len, err);
    }
    if (rc == 0)
        rc = sink_commit(sink, err);
    if (rc == 0)
        *out = *upload_sink_stat(sink);
    sink_free(sink);
    return rc;
}

int object_rewrite(const struct object_env *env, const char *from, const char *etag,
                   const struct object_key *key, const struct object_change *change,
                   struct object_info *out, struct err *err)
{
    struct rewrite w = {
        .env = env, .key = key, .change = change, .from = from, .cond = change->cond};
    struct store_stat stat = {0};
    struct err own = {0};
    int rc = object_store_key(from, w.from_key, &own);
    if (rc == 0)
        rc = object_store_key(change->to, w.to_key, &own);
    if (rc == 0)
        rc = fetch(&w, etag, &own);
    // counted while it is there; where there is no room others wait or spill, not this
    uint64_t counted = rc == 0 ? w.head.len : 0;
    if (!blocks_reserve(env->upload.blocks, counted))
        counted = 0;
    if (rc == 0 && strcmp(w.from_key, w.to_key) == 0)
        w.cond = (struct store_cond){.if_match = w.head.stat.etag}; // nothing else may go
    if (rc == 0)
        rc = store_again(&w, false, &stat, &own);
    if (rc == -EOPNOTSUPP && w.head.len < w.head.stat.size)
        rc = store_again(&w, true, &stat, &own);
    if (rc == 0)
        *out = (struct object_info){.stat = stat, .header = w.head.header};
    object_head_done(&w.head);
    blocks_unreserve(env->upload.blocks, counted);
    return rc ? err_copy(err, &own) : 0;
}
