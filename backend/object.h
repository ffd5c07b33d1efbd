// Objects: the one place that knows the order pack, seal, store.
//
// Threads: an object_writer has one caller at a time; an object_reader any number; object_probe any.
#pragma once

#include "backend/base/err.h"
#include "backend/pack/pack.h"
#include "backend/seal/seal.h"
#include "backend/store/store.h"
#include "backend/store/upload.h"

#include <stdint.h>
#include <time.h>

#define OBJECT_SUFFIX ".zst.age"
// What the seek table can index (FORMAT.md 3.5), less some entries for padding: nearly 128 TiB.
#define OBJECT_SIZE_MAX ((uint64_t)134217000 << 20)

// --- What there is, with no key ---

struct object_info {
    struct store_stat stat;
    struct seal_header header; // header.state says what of it holds
};

// Does a record of ours say when it was made and how long it is?
static inline bool object_is_ours(const struct object_info *info)
{
    return info->header.state == SEAL_OURS && info->header.len > 0;
}

// When it was committed; of what is not ours, when it was last changed.
static inline struct timespec object_commit_time(const struct object_info *info)
{
    return object_is_ours(info) ? info->header.record.committed : info->stat.last_modified;
}

// The key of the file under `path` (in the tree, no leading slash): path + OBJECT_SUFFIX. -ENAMETOOLONG.
int object_store_key(const char *path, char out[STORE_KEY_BYTES + 1], struct err *err);

// One ranged GET (more when the header goes on). 0 also for objects that are not ours: header.state says so. An object
// that is no age file at all, or archived, is SEAL_FOREIGN too, with len 0, and `err` says why.
int object_probe(struct store *, const char *key, const char *etag, struct object_info *out,
                 struct err *err);

// --- Writing ---

struct object_env {
    struct upload_env upload;
    struct pack_env pack;
    const struct recipient *recipients;
    size_t recipient_count;
};

struct object_times {
    struct timespec mtime, committed;
    uint32_t flags; // without completeness
    enum seal_complete complete;
};

struct object_writer;
// `path` as object_store_key has it, `cancel` as upload_sink_new.
int object_create(const struct object_env *, const char *path, const struct store_cond *,
                  struct cancel *cancel, struct object_writer **out, struct err *err);
struct packer *object_writer_packer(struct object_writer *);
// Waits until all full parts are stored.
int object_writer_sync(struct object_writer *, struct err *err);
int object_writer_commit(struct object_writer *, const struct object_times *,
                         struct object_info *out, struct err *err);
void object_writer_free(struct object_writer *); // aborts unless committed
uint64_t object_writer_acked(const struct object_writer *);

// --- Changing what is stored: the header alone, the payload never ---

// What opens one payload and proves that it is the same one: its file key and its nonce. A secret: wipe it.
struct object_key {
    uint8_t file_key[SEAL_FILE_KEY_BYTES];
    uint8_t nonce[SEAL_NONCE_BYTES];
};
void object_writer_key(const struct object_writer *, struct object_key *out);
// The key of a stored object, by an identity. Errors as of object_open.
int object_unlock(struct store *, const char *path, const char *etag, const struct identities *,
                  struct object_key *out, struct err *err);

// Stores the payload of `from` (whose ETag is `etag`) once more under `to`, which may be `from`, with a header of its own:
// PATHTAG of `to`, *mtime unless NULL, `flags` set besides those it has; the recipients' stanzas, COMMITTED and all else as
// they were. One GET; then, of a small object, a put; of others an upload whose first part (header and part_min bytes)
// passes through here, and whose rest the store copies (a store that does not gets it by way of this host, with as many
// GETs as it takes). What passes through here is held against the key before it is sent. `from` stays, unless it is `to`:
// then `cond` is not asked, another object than `etag` is never replaced. Else `cond` is for `to`. -ESTALE: another ETag;
// -EEXIST: `cond` (or, under one name, somebody was faster); -EBADMSG: the key is not this object's, it is not `from`'s, or
// damaged; -EUCLEAN, -EOPNOTSUPP as object_open; -EFBIG. On failure `to` is what it was, unless the answer to the last
// request was lost (-ETIMEDOUT, -EIO). The upload is in the journal as any other.
struct object_change {
    const char *to;
    const struct timespec *mtime;
    uint32_t flags;
    struct store_cond cond;
};
int object_rewrite(const struct object_env *, const char *from, const char *etag,
                   const struct object_key *, const struct object_change *, struct object_info *out,
                   struct err *err);

// --- Reading ---

struct object_reader;
// Opens the object under path + OBJECT_SUFFIX whose ETag is `etag` (NULL: whichever there is): header, tail, last chunk,
// seek table, trailer, PATHTAG, all held against each other. -ESTALE: another ETag; -EACCES: no identity fits;
// -EBADMSG, -EUCLEAN: not what was written, the sentence says which part.
// With `key` (may be NULL) no identity is asked: the payload must be the key's.
// An object that is rewritten (another header, the same payload nonce) while it is read goes on being read.
int object_open(struct store *, const char *path, const char *etag, const struct identities *,
                const struct object_key *key, struct object_reader **out, struct err *err);
const struct object_info *object_reader_info(const struct object_reader *);
const struct pack_index *object_reader_index(const struct object_reader *);
// Fetches and decodes `count` consecutive frames with one ranged GET; outs[i] has PACK_FRAME_BYTES of room. Allocates
// the packed bytes (at most count * BLOCK_BYTES) for the call.
int object_read_frames(struct object_reader *, struct pack_decoder *scratch, uint64_t first,
                       unsigned count, uint8_t *const *outs, struct err *err);
void object_reader_free(struct object_reader *);
