// What object.c and its neighbours share: the first bytes of an object.
#pragma once

#include "backend/object.h"

// The first bytes, with a header in them once it was parsed.
struct object_head {
    uint8_t *bytes; // malloc'ed
    size_t len;
    struct store_stat stat; // of the whole object
    struct seal_header header;
};

// One ranged GET of at most `len` bytes. `etag` may be NULL.
int object_head_fetch(struct store *, const char *key, const char *etag, size_t len,
                      struct object_head *out, struct err *err);
// Fetches on, pinned to the ETag of the first bytes, until the header is whole and the nonce behind it is there too (if the
// object has one). -EUCLEAN: not an age file.
int object_head_parse(struct store *, const char *key, struct object_head *, struct err *err);
// The nonce of the payload; NULL when the object ends before.
const uint8_t *object_head_nonce(const struct object_head *);
// The file key of a parsed header, wherever it comes from: `known` if this is its payload, else what an identity unwraps.
// -EUCLEAN: foreign; -EOPNOTSUPP: made by a newer bakfs; -EBADMSG: MAC, or not the payload of `known`; -EACCES.
int object_head_unlock(const struct object_head *, const struct identities *,
                       const struct object_key *known, struct seal_opened *out, struct err *err);
void object_head_done(struct object_head *);

// The sealed bytes of an object as they were when it was opened, from byte 0. Windows as store_source_new has them. When
// the store has another object now whose payload has the same nonce (a rename back and forth, a rekey, new times), reading
// goes on in that one, wherever its header ends; a payload of anything else is -ESTALE.
int object_source_new(struct store *, const char *key, const struct object_head *,
                      const struct store_window *windows, unsigned count, struct source **out,
                      struct err *err);
