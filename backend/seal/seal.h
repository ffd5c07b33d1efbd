// The seal: the age v1 format (https://age-encryption.org/v1, C2SP age.md) with X25519 recipients and, as first stanza,
// our record (backend/FORMAT.md section 2).
#pragma once

#include "backend/base/err.h"
#include "backend/base/secret.h"
#include "backend/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define SEAL_HEADER_MAX 65536 // a header longer than this is refused
#define SEAL_HEADER_PROBE 4096
#define SEAL_RECIPIENTS_MAX 64
#define SEAL_CHUNK_BYTES 65536
#define SEAL_TAG_BYTES 16
#define SEAL_CHUNK_SEALED_BYTES (SEAL_CHUNK_BYTES + SEAL_TAG_BYTES)
#define SEAL_NONCE_BYTES 16
#define SEAL_FILE_KEY_BYTES 16
#define SEAL_PATHTAG_BYTES 32

// --- Keys (recipient.c, bech32.c) ---

struct recipient {
    uint8_t point[32];
};
struct identity; // a secret X25519 scalar, in a struct secret

int recipient_parse(const char *text, struct recipient *out, struct err *err); // "age1..."
void recipient_format(const struct recipient *, char out[64]);
int identity_parse(const char *text, struct identity **out,
                   struct err *err); // "AGE-SECRET-KEY-1..."
int identity_generate(struct identity **out, struct err *err);
// The one way out for a secret: for keygen, which writes it to a file. A struct secret holding text.
struct secret *identity_format(const struct identity *);
void identity_recipient(const struct identity *, struct recipient *out);
void identity_free(struct identity *);

struct identities { // several; tried in order
    struct identity **list;
    size_t count;
};
// The text of a key file: lines, '#' comments, blank lines. EUCLEAN with the line number (never the line) otherwise.
int identities_parse(const char *text, size_t len, struct identities *out, struct err *err);
int recipients_parse(const char *text, size_t len, struct recipient **out, size_t *out_count,
                     struct err *err);
void identities_done(struct identities *);

// --- The header (header.c) ---

enum seal_complete { SEAL_COMPLETE_UNKNOWN = 0, SEAL_COMPLETE_YES = 1, SEAL_COMPLETE_NO = 2 };

#define SEAL_FLAG_COMPLETE_SHIFT 30
#define SEAL_FLAG_TOOL 0x20000000u
#define SEAL_FLAG_LATE 0x10000000u
#define SEAL_FLAGS_CRITICAL 0x0000ffffu // an unknown one of these: refuse

struct seal_record { // the arguments of the bakfs/v1 stanza
    uint64_t size;   // plain bytes, at most INT64_MAX
    struct timespec mtime, committed;
    uint32_t flags;
    uint8_t pathtag[SEAL_PATHTAG_BYTES];
};

enum seal_state {
    SEAL_OURS,    // a bakfs/v1 record stands first
    SEAL_FOREIGN, // a good age header without one: state unknown
    SEAL_NEWER,   // bakfs/v2 and up, or an unknown critical flag: "made by a newer bakfs"
};

struct seal_header { // what a header says without any key; the MAC is not checked
    enum seal_state state;
    struct seal_record record; // if SEAL_OURS
    size_t len; // of the header with its last newline: the payload's nonce starts here
    unsigned x25519_count, other_count; // recipient stanzas, by kind (bakfs/... not counted)
};

// Parses a header at the start of `bytes`. -EAGAIN: `len` bytes are not enough, fetch more (at most SEAL_HEADER_MAX);
// -EUCLEAN: not an age header, or one against the rules.
int seal_header_parse(const uint8_t *bytes, size_t len, struct seal_header *out, struct err *err);

struct seal_opened {
    uint8_t file_key[SEAL_FILE_KEY_BYTES]; // wipe with seal_opened_done
};
void seal_opened_done(struct seal_opened *);
// Unwraps the file key with the first identity that fits and checks the MAC. -EACCES: none fits, the sentence says how
// many recipients there are; -EBADMSG: MAC.
int seal_header_open(const uint8_t *bytes, size_t len, const struct identities *,
                     struct seal_opened *out, struct err *err);
// Checks the MAC with a file key that is known already.
int seal_header_check(const uint8_t *bytes, size_t len, const uint8_t file_key[16],
                      struct err *err);
// Gives the header at the start of `bytes` another record, in place: its length stays, and so do all other stanzas and
// further arguments of the record, byte for byte. The pathtag of `record` is ignored: it is made from `path`. The MAC is
// checked before and made anew. -EBADMSG: MAC, or another file key; -EUCLEAN: it has no record of ours; -EOPNOTSUPP: made by a
// newer bakfs. On failure nothing is changed.
int seal_header_rewrite(uint8_t *bytes, size_t len, const uint8_t file_key[16],
                        const struct seal_record *record, const char *path, struct err *err);
// Bytes of the header that seal_sink writes for `recipients` X25519 recipients: fixed, whatever the record says.
size_t seal_header_length(size_t recipients);
void seal_pathtag(const uint8_t file_key[16], const char *path, uint8_t out[SEAL_PATHTAG_BYTES]);

// --- Writing ---

struct seal_randoms { // what a header and payload take from chance; a test gives its own
    uint8_t file_key[SEAL_FILE_KEY_BYTES];
    uint8_t nonce[SEAL_NONCE_BYTES];
    uint8_t ephemeral[SEAL_RECIPIENTS_MAX][32];
};
void seal_randoms_fill(struct seal_randoms *);

// Wraps `next`, whose ownership it takes (also freed on failure). front_align is one chunk; front_min follows from
// next's. The header is written with the front, or first of all when there is none: the record must be set before that.
int seal_sink_new(struct sink *next, const struct recipient *recipients, size_t count,
                  const struct seal_randoms *, struct sink **out, struct err *err);
// The pathtag of `record` is ignored: it is made from `path`.
void seal_sink_set_record(struct sink *, const struct seal_record *, const char *path);

// --- Reading ---

// The payload of the object `sealed` (from byte 0) as a stream of packed bytes. Takes over `sealed` (also on failure).
// The last chunk was opened, with its final flag, before this returns: the size can be trusted. -EBADMSG when a chunk
// does not open; the sentence names the chunk and its place.
int seal_source_new(struct source *sealed, size_t header_len, const uint8_t file_key[16],
                    struct source **out, struct err *err);

// Sealed bytes of a payload that are passed on as they are: `len` bytes from chunk number `first` on, whole chunks and
// perhaps, if they end the payload, its last one. -EBADMSG when one of them does not open; -ENOMEM.
int seal_chunks_check(const uint8_t file_key[16], const uint8_t nonce[SEAL_NONCE_BYTES],
                      uint64_t first, const void *sealed, size_t len, bool ends, struct err *err);
