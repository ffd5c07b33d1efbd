#include "backend/object_head.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int object_store_key(const char *path, char out[STORE_KEY_BYTES + 1], struct err *err)
{
    size_t len = strlen(path);
    if (len + sizeof(OBJECT_SUFFIX) > STORE_KEY_BYTES + 1)
        return err_set(err, ENAMETOOLONG, "the key of '%s' is longer than %d bytes", path,
                       STORE_KEY_BYTES);
    memcpy(out, path, len);
    memcpy(out + len, OBJECT_SUFFIX, sizeof(OBJECT_SUFFIX));
    return 0;
}

int object_head_fetch(struct store *store, const char *key, const char *etag, size_t len,
                      struct object_head *out, struct err *err)
{
    auto_free uint8_t *bytes = malloc(len);
    if (!bytes)
        return err_errno(err, ENOMEM, "read the header of '%s'", key);
    struct object_head head = {0};
    int rc = store->ops->get(store, key, etag, 0, len, bytes, &head.len, &head.stat, err);
    if (rc)
        return rc;
    if (head.len != min_u64(len, head.stat.size))
        return err_set(err, EUCLEAN, "get '%s': %zu bytes came for %zu of an object of %llu", key,
                       head.len, len, (unsigned long long)head.stat.size);
    head.bytes = take(bytes);
    *out = head;
    return 0;
}

// As far as the bytes reach: the header, and behind it the nonce.
static int parse(struct object_head *head, struct err *err)
{
    int rc = seal_header_parse(head->bytes, head->len, &head->header, err);
    if (rc == 0 && !object_head_nonce(head) && head->len < head->stat.size)
        return err_set(err, EAGAIN, "the object goes on behind byte %zu", head->len);
    return rc;
}

int object_head_parse(struct store *store, const char *key, struct object_head *head,
                      struct err *err)
{
    const size_t most = SEAL_HEADER_MAX + SEAL_NONCE_BYTES;
    int rc = parse(head, err);
    if (rc == -EAGAIN && head->len < min_u64(most, head->stat.size)) {
        struct object_head longer = {0};
        rc = object_head_fetch(store, key, head->stat.etag, most, &longer, err);
        if (rc)
            return rc;
        object_head_done(head);
        *head = longer;
        rc = parse(head, err);
    }
    return rc == -EAGAIN ? err_set(err, EUCLEAN, "the age header does not end") : rc;
}

const uint8_t *object_head_nonce(const struct object_head *head)
{
    bool has = head->len >= head->header.len && head->len - head->header.len >= SEAL_NONCE_BYTES;
    return has ? head->bytes + head->header.len : NULL;
}

static int unlock(const struct object_head *head, const struct identities *identities,
                  const struct object_key *known, struct seal_opened *out, struct err *err)
{
    if (!known)
        return seal_header_open(head->bytes, head->len, identities, out, err);
    int rc = seal_header_check(head->bytes, head->len, known->file_key, err);
    if (rc)
        return rc;
    const uint8_t *nonce = object_head_nonce(head);
    if (!nonce || memcmp(nonce, known->nonce, SEAL_NONCE_BYTES) != 0)
        return err_set(err, EBADMSG, "it is not the payload that this key is for");
    memcpy(out->file_key, known->file_key, sizeof(out->file_key));
    return 0;
}

int object_head_unlock(const struct object_head *head, const struct identities *identities,
                       const struct object_key *known, struct seal_opened *out, struct err *err)
{
    if (head->header.state == SEAL_FOREIGN)
        return err_set(err, EUCLEAN,
                       "not written by bakfs (no bakfs/v1 record in its header); "
                       "open it with: age -d -i KEY | zstd -d");
    int rc = unlock(head, identities, known, out, err);
    // a flipped bit is not taken for a newer format: the MAC comes first
    if (head->header.state == SEAL_NEWER && rc != -EBADMSG) {
        seal_opened_done(out);
        return err_set(err, EOPNOTSUPP, "made by a newer bakfs: update this one");
    }
    return rc;
}

void object_head_done(struct object_head *head)
{
    free(take(head->bytes));
}

// --- What there is ---

// The header cannot be had (archived, or GetObject is not allowed): what a HEAD knows.
static int probe_unreadable(struct store *store, const char *key, struct object_info *out,
                            struct err *err)
{
    struct err head_err;
    struct object_info info = {.header = {.state = SEAL_FOREIGN}};
    int rc = store->ops->head(store, key, &info.stat, &head_err);
    if (rc)
        return err_copy(err, &head_err);
    *out = info;
    return 0;
}

int object_probe(struct store *store, const char *key, const char *etag, struct object_info *out,
                 struct err *err)
{
    struct err own;
    if (!err)
        err = &own;
    struct object_head head = {0};
    int rc = object_head_fetch(store, key, etag, SEAL_HEADER_PROBE, &head, err);
    if (rc == -EACCES)
        return probe_unreadable(store, key, out, err);
    if (rc)
        return rc;
    rc = object_head_parse(store, key, &head, err);
    struct object_info info = {.stat = head.stat, .header = head.header};
    object_head_done(&head);
    if (rc == -EUCLEAN)
        info.header = (struct seal_header){.state = SEAL_FOREIGN};
    else if (rc)
        return rc;
    *out = info;
    return 0;
}
