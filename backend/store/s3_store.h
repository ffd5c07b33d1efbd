// The parts of the S3 store among themselves: s3.c makes it and holds its table, s3_object.c reads, lists and puts,
// s3_upload.c is multipart, s3_copy.c copies, s3_check.c is what a mount asks first, s3_facts.c what doctor asks besides, s3_versions.c is for prune.
#pragma once

#include "backend/base/err.h"
#include "backend/s3/client.h"
#include "backend/store/store.h"

#include <pthread.h>
#include <stdbool.h>

#define S3_TOKEN_BYTES 33 // 16 random bytes in hex, and the end
#define S3_KEY_BYTES (2 * STORE_KEY_BYTES)
// Stands with an object as long as it does: who asks "was that put, whose answer was lost, mine?" looks here.
// Ends the sentence of a commit that failed and may have been carried out: nobody can know while the store is silent.
#define S3_MAYBE_DONE                                                                              \
    "; the store may have done it all the same: ask 'bakfs confirm' when it answers again"
#define S3_TOKEN_HEADER "x-amz-meta-bakfs-upload"
#define S3_LOOK_DEADLINE_MS 10000 // of a look around after a failure
#define S3_COPY_PART_BYTES ((uint64_t)1 << 30)

// An upload begun here, and the token its object will carry.
struct s3_begun {
    struct s3_begun *next;
    char token[S3_TOKEN_BYTES];
    char id[]; // the upload's
};

struct s3_store {
    struct store base;
    struct s3_client *client;
    char *bucket, *prefix;
    char endpoint[512]; // for sentences
    unsigned deadline_ms;
    bool ignore_clock;
    bool aws; // others may ignore conditions of a copied part or a removal, in silence
    pthread_mutex_t lock;
    struct s3_begun *begun;
};

static inline struct s3_store *s3_of(struct store *store)
{
    return (struct s3_store *)store;
}

// PREFIX + key; ENAMETOOLONG beyond S3's 1,024 bytes.
int s3_key(const struct s3_store *, const char *key, char out[S3_KEY_BYTES], struct err *err);
void s3_make_token(char out[S3_TOKEN_BYTES]);
// `"etag"` for a header. EINVAL when it cannot be one.
#define S3_QUOTED_BYTES (STORE_ETAG_BYTES + 3)
int s3_quote(const char *etag, char out[S3_QUOTED_BYTES], struct err *err);
// The same for If-Match of a put, complete or remove: AWS takes the ETag with its quotes, as HTTP has it; Ceph compares
// byte by byte with the bare one, and others take either.
int s3_quote_write(const struct s3_store *, const char *etag, char out[S3_QUOTED_BYTES],
                   struct err *err);
// The ETag header without its quotes.
int s3_etag(const struct http_response *, char out[STORE_ETAG_BYTES], struct err *err);
// Size, time, ETag and temperature from an answer's headers; of a ranged answer the whole object's. EUCLEAN without them.
int s3_stat(const struct s3_call *, struct store_stat *out, struct err *err);
// Looks at what stands under a full key, within `deadline_ms` (0: the store's own). `token` may be NULL.
int s3_look(struct s3_store *, const char *full, unsigned deadline_ms, struct store_stat *out,
            char token[S3_TOKEN_BYTES], struct err *err);
// For requests whose conditions are not `honoured`: -EEXIST when what stands there contradicts `cond`.
int s3_precheck(struct s3_store *, const char *full, const struct store_cond *, bool honoured,
                struct err *err);
// The answer to a put or complete was lost, or says that a condition does not hold: true, and `out`, when what stands
// there carries our token and has that size.
bool s3_is_mine(struct s3_store *, const char *full, const char *token, uint64_t size,
                struct store_stat *out);

int s3_check(struct store *, bool writable, struct err *err);

int s3_head(struct store *, const char *key, struct store_stat *out, struct err *err);
int s3_get(struct store *, const char *key, const char *if_match, uint64_t off, size_t len,
           void *buf, size_t *out_len, struct store_stat *out, struct err *err);
int s3_get_tail(struct store *, const char *key, const char *if_match, size_t len, void *buf,
                size_t *out_len, struct store_stat *out, struct err *err);
int s3_list(struct store *, const char *prefix, const char *after, bool fold, unsigned max,
            int (*each)(void *ctx, const struct store_entry *), void *ctx, bool *out_more,
            struct err *err);
int s3_put(struct store *, const char *key, struct source *body, const struct store_cond *,
           struct store_stat *out, struct err *err);
int s3_remove(struct store *, const char *key, const char *if_match, struct err *err);

int s3_list_versions(struct store *, const char *prefix,
                     int (*each)(void *ctx, const struct store_version *), void *ctx,
                     struct err *err);
int s3_remove_version(struct store *, const char *key, const char *id, struct err *err);
int s3_ask_hold(struct store *, const char *key, const char *id, struct store_hold *out,
                struct err *err);

int s3_upload_begin(struct store *, const char *key, char out_id[STORE_UPLOAD_ID_BYTES],
                    struct err *err);
int s3_put_part(struct store *, const char *key, const char *id, unsigned number, uint64_t off,
                struct source *body, struct store_part *out, struct err *err);
int s3_upload_complete(struct store *, const char *key, const char *id,
                       const struct store_part *parts, unsigned count, const struct store_cond *,
                       struct store_stat *out, struct err *err);
int s3_upload_abort(struct store *, const char *key, const char *id, struct err *err);
int s3_list_uploads(struct store *, const char *prefix,
                    int (*each)(void *ctx, const struct store_upload *), void *ctx,
                    struct err *err);
int s3_upload_touched(struct store *, const char *key, const char *id, struct timespec *out,
                      struct err *err);
int s3_facts(struct store *, struct store_facts *out, struct err *err);
int s3_copy(struct store *, const char *from, const char *if_match, const char *to,
            struct store_stat *out, struct err *err);
int s3_copy_part(struct store *, const char *key, const char *id, unsigned number, uint64_t off,
                 const char *from, const char *if_match, uint64_t from_off, uint64_t len,
                 struct store_part *out, struct err *err);
// The way of objects too large for one CopyObject: a multipart upload whose parts are copied.
int s3_copy_parts(struct s3_store *, const char *from, const struct store_stat *from_stat,
                  const char *to, uint64_t part_bytes, struct store_stat *out, struct err *err);
