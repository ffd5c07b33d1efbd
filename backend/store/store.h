// The store contract: objects under keys. dir.c and s3.c fulfil it; one suite (tests/contract) runs over both, and over
// the fault-injecting store of tests/support.
//
// Keys are UTF-8, at most 1,024 bytes, as the caller wants them in the store: a store adds its PREFIX (which ends in
// '/') and takes it off again; keys outside PREFIX do not exist. Every function may be called from any thread, blocks,
// and has done its own retries (s3/retry.c) when it returns. All members are required; what a store does not offer
// returns -EOPNOTSUPP.
//
// Errors: ENOENT no such object (or bucket, at check), EACCES refused by credentials, ESTALE the object is not the one
// of `if_match`, EEXIST a condition did not hold, EFBIG, ENOSPC, ETIMEDOUT deadline without progress, EUCLEAN an answer
// that makes no sense, EIO.
#pragma once

#include "backend/base/err.h"
#include "backend/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define STORE_KEY_BYTES 1024
#define STORE_ETAG_BYTES 128
#define STORE_UPLOAD_ID_BYTES 512

struct store;

struct store_stat {
    uint64_t size;
    struct timespec last_modified; // S3: of a multipart object the time of its start
    char etag[STORE_ETAG_BYTES];   // without quotes; changes whenever the bytes may have
    bool cold; // archived (Glacier, Deep Archive): a GET is refused until it is thawed
};

// One entry of a listing: an object, or with a delimiter a common prefix (is_prefix; `key` ends in '/').
struct store_entry {
    const char *key; // borrowed for the call
    bool is_prefix;
    struct store_stat stat;
};

// Conditions of a put or complete. NULL: none. Honoured where the store can (see store_limits).
struct store_cond {
    bool if_absent;       // If-None-Match: *
    const char *if_match; // ETag of the generation being replaced, or NULL
};

struct store_limits {
    uint64_t part_min;                        // 5 MiB; the last part may be smaller. 1 for dir:
    unsigned parts_max;                       // 10,000
    uint64_t put_max;                         // largest single put
    bool put_conditions, complete_conditions; // put, and complete, honour store_cond
    // these two are a cautious guess, which probe.h can replace by what the store does
    bool conditions_unsure;
};

struct store_upload { // of list_uploads
    const char *key;
    const char *id;
    struct timespec initiated;
};

struct store_part {  // what put_part answered, in the order of numbers
    unsigned number; // from 1
    uint64_t size;
    char etag[STORE_ETAG_BYTES];
};

// What is told of the place as a whole.
enum store_fact {
    STORE_FACT_NOT_OFFERED, // the store has no such thing
    STORE_FACT_NO,
    STORE_FACT_YES,
    STORE_FACT_REFUSED, // the credentials may not ask
};
struct store_facts {
    // old uploads that nobody completed are aborted by the store (S3: lifecycle rule)
    enum store_fact abort_rule;
    unsigned abort_days;        // of it, the earliest
    enum store_fact versioning; // what is overwritten or removed stays as an older version
    enum store_fact lock;       // object lock
};

// One version of an object, of list_versions: what an overwriting or removal left behind is there too. A store without
// versions has one of each object.
#define STORE_VERSION_ID_BYTES 256
struct store_version {
    const char *key, *id; // borrowed for the call
    bool latest;          // the one that readers see, or the marker that says it was removed
    bool delete_marker;
    uint64_t size;
    struct timespec last_modified;
};

// What an object lock still forbids.
struct store_hold {
    bool legal_hold;       // until somebody ends it
    struct timespec until; // retention; zero: none. It may have passed.
};

struct store_ops {
    // Before a mount says it is mounted: credentials, bucket, and if `writable` a write that leaves nothing
    // (an upload begun and aborted). One sentence says what to do.
    int (*check)(struct store *, bool writable, struct err *);

    int (*head)(struct store *, const char *key, struct store_stat *out, struct err *);

    // Reads bytes [off, off+len), cut at the end of the object (off >= size gives 0 bytes). With `if_match`, -ESTALE when
    // another object stands there. `out` (may be NULL) is the whole object's stat.
    int (*get)(struct store *, const char *key, const char *if_match, uint64_t off, size_t len,
               void *buf, size_t *out_len, struct store_stat *out, struct err *);

    // Reads the last `len` bytes (the whole object if shorter) and where they start.
    int (*get_tail)(struct store *, const char *key, const char *if_match, size_t len, void *buf,
                    size_t *out_len, struct store_stat *out, struct err *);

    // One page: keys that start with `prefix`, after `after` (NULL or "": from the start), in byte order, at most `max`
    // (up to 1,000) entries, folded at the first '/' behind the prefix if `fold`. `each` returning non-zero ends the
    // page with that error. *out_more: there are further entries; go on with after = the last key (for a folded prefix
    // the prefix itself: everything below it is passed).
    int (*list)(struct store *, const char *prefix, const char *after, bool fold, unsigned max,
                int (*each)(void *ctx, const struct store_entry *), void *ctx, bool *out_more,
                struct err *);

    // The body is read once or, for retries, several times.
    int (*put)(struct store *, const char *key, struct source *body, const struct store_cond *,
               struct store_stat *out, struct err *);

    // Multipart. Nothing is visible under the key before complete. Parts may be put in any order and at the same time.
    // `off` is where the part will stand in the object (dir: writes it there; S3 has no use for it).
    int (*upload_begin)(struct store *, const char *key, char out_id[STORE_UPLOAD_ID_BYTES],
                        struct err *);
    int (*put_part)(struct store *, const char *key, const char *id, unsigned number, uint64_t off,
                    struct source *body, struct store_part *out, struct err *);
    int (*upload_complete)(struct store *, const char *key, const char *id,
                           const struct store_part *parts, unsigned count,
                           const struct store_cond *, struct store_stat *out, struct err *);
    // Aborts, and looks until no part of it is left. Aborting what is gone already is success.
    int (*upload_abort)(struct store *, const char *key, const char *id, struct err *);
    int (*list_uploads)(struct store *, const char *prefix,
                        int (*each)(void *ctx, const struct store_upload *), void *ctx,
                        struct err *);

    // When the newest part of an upload was put: zero when it has none. -ENOENT: there is no such upload.
    int (*upload_touched)(struct store *, const char *key, const char *id, struct timespec *out,
                          struct err *err);

    int (*copy)(struct store *, const char *from, const char *if_match, const char *to,
                struct store_stat *out, struct err *);
    // One part of an upload of `key` from bytes [from_off, from_off+len) of the object `from`, which must have them all, on
    // the store's side; otherwise as put_part, and the sizes are the same: at least limits.part_min but for the last, at
    // most limits.put_max. -ESTALE when another object than `if_match` (never NULL) stands under `from`. It may take
    // minutes. -EOPNOTSUPP: not offered for this key.
    int (*copy_part)(struct store *, const char *key, const char *id, unsigned number, uint64_t off,
                     const char *from, const char *if_match, uint64_t from_off, uint64_t len,
                     struct store_part *out, struct err *err);
    // Removing what is absent is success. `if_match` (may be NULL) is honoured where the store can.
    int (*remove)(struct store *, const char *key, const char *if_match, struct err *);

    // All versions of all keys that start with `prefix`: by key in byte order, of a key the newest first. `each` returning
    // non-zero ends it with that error.
    int (*list_versions)(struct store *, const char *prefix,
                         int (*each)(void *ctx, const struct store_version *), void *ctx,
                         struct err *err);
    // Removes that version for good; one that is gone already is success. -EACCES: a lock holds it, or the credentials may not. A
    // store without versions: -ESTALE when another object stands there by now, where it can tell.
    int (*remove_version)(struct store *, const char *key, const char *id, struct err *);
    // Zero when nothing holds it, or it is gone. Not for delete markers: no lock holds them.
    int (*ask_hold)(struct store *, const char *key, const char *id, struct store_hold *out,
                    struct err *err);

    // How the place is set up, by a few requests. What may not be asked is STORE_FACT_REFUSED, no failure.
    int (*facts)(struct store *, struct store_facts *out, struct err *);

    // Now, by the store's clock, as last seen in an answer's Date (the local clock for dir:).
    struct timespec (*now)(struct store *);
    // How far the store's clock is ahead of the local one, in milliseconds.
    int64_t (*clock_offset_ms)(struct store *);
    void (*free)(struct store *);
};

struct store { // embedded first in the instance
    const struct store_ops *ops;
    struct store_limits limits;
    char id
        [512]; // what and where, without secrets ("s3://bucket/prefix/ at http://127.0.0.1:7480"): journal, cache, log
};

// The directory store: `path` must exist.
int store_dir_new(const char *path, struct store **out, struct err *err);

struct store_s3_conf { // strings are copied; NULL or "" where not set
    const char *bucket, *prefix, *endpoint, *region;
    const char *access_key, *secret_key, *session_token;
    const char *ca_bundle;
    enum { STORE_S3_AUTO, STORE_S3_PATH, STORE_S3_VIRTUAL } addressing;
    unsigned deadline_ms; // without progress
    unsigned connections; // bound of the pool
    bool ignore_clock;
};
// No request is sent before the first call: threads and curl start after the fork.
int store_s3_new(const struct store_s3_conf *, struct store **out, struct err *err);

static inline void store_free(struct store *s)
{
    if (s)
        s->ops->free(s);
}

// A source over one object, pinned to `stat->etag`: -ESTALE once another stands there. Bytes that were already fetched
// (the header, the tail) may be handed over: reads inside them cost no request.
struct store_window {
    uint64_t off;
    size_t len;
    uint8_t *bytes; // malloc'ed, owned by the source afterwards
};
int store_source_new(struct store *, const char *key, const struct store_stat *stat,
                     const struct store_window *windows, unsigned count, struct source **out,
                     struct err *err);
