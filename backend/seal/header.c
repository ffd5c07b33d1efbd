#include "backend/seal/header.h"

#include "backend/base/crypto.h"
#include "backend/seal/base64.h"
#include "backend/seal/recipient.h"
#include "backend/seal/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define VERSION_LINE "age-encryption.org/v1\n"
#define VERSION_LEN (sizeof(VERSION_LINE) - 1)
#define RECORD_TYPE "bakfs/v1"
#define COLUMNS 64
#define SHARE_CHARS BASE64_CHARS(X25519_BYTES)
#define WRAPPED_CHARS BASE64_CHARS(WRAPPED_BYTES)
#define MAC_CHARS BASE64_CHARS(SHA256_BYTES)
#define ARGS_KEPT (1 + RECORD_ARGS) // the type and what we look at

struct stanza {
    struct text args[ARGS_KEPT]; // the first one is the type
    size_t arg_count;            // of all
    struct text last_line;       // of the body
    size_t full_lines;           // in front of it
};

struct scan { // over the bytes of a header
    const char *bytes;
    size_t len, at;
};

// A header taken apart; what parse, open and check start from.
struct parts {
    struct seal_header header;
    size_t mac_at; // of the "---" line
    uint8_t mac[SHA256_BYTES];
};

static int malformed(struct err *err, const char *what)
{
    return err_set(err, EUCLEAN, "malformed age header: %s", what);
}

// The next line, without its newline.
static int next_line(struct scan *scan, struct text *out, struct err *err)
{
    size_t end = scan->len < SEAL_HEADER_MAX ? scan->len : SEAL_HEADER_MAX;
    const char *from = scan->bytes + scan->at;
    const char *newline = memchr(from, '\n', end - scan->at);
    if (newline) {
        *out = (struct text){from, (size_t)(newline - from)};
        scan->at += out->len + 1;
        return 0;
    }
    if (end == SEAL_HEADER_MAX)
        return malformed(err, "longer than 65536 bytes");
    return err_set(err, EAGAIN, "the age header goes on behind byte %zu", scan->len);
}

static bool text_is(struct text text, const char *what)
{
    return text.len == strlen(what) && memcmp(text.at, what, text.len) == 0;
}

static bool text_starts(struct text text, const char *with)
{
    return text.len >= strlen(with) && memcmp(text.at, with, strlen(with)) == 0;
}

// "-> argument *(SP argument)"
static bool split_args(struct text line, struct stanza *out)
{
    const char *at = line.at + 3, *end = line.at + line.len;
    for (;;) {
        const char *from = at;
        while (at<end && * at> ' ' && *at < 0x7f)
            at++;
        if (at == from)
            return false;
        if (out->arg_count < ARGS_KEPT)
            out->args[out->arg_count] = (struct text){from, (size_t)(at - from)};
        out->arg_count++;
        if (at == end)
            return true;
        if (*at++ != ' ')
            return false;
    }
}

// A stanza: its line was read already, its body follows.
static int next_stanza(struct scan *scan, struct text line, struct stanza *out, struct err *err)
{
    *out = (struct stanza){0};
    if (!split_args(line, out))
        return malformed(err, "the arguments of a stanza");
    for (;;) {
        int rc = next_line(scan, &line, err);
        if (rc < 0)
            return rc;
        if (line.len > COLUMNS || !base64_decode(line.at, line.len, NULL))
            return malformed(err, "the body of a stanza");
        if (line.len < COLUMNS)
            break;
        out->full_lines++;
    }
    out->last_line = line;
    return 0;
}

static bool is_x25519(const struct stanza *s)
{
    return text_is(s->args[0], "X25519");
}

// The share and the wrapped key of an X25519 stanza, whatever is in them; false when their lengths or spelling are wrong.
static bool x25519_args(const struct stanza *s, uint8_t share[X25519_BYTES],
                        uint8_t wrapped[WRAPPED_BYTES])
{
    return s->arg_count == 2 && s->args[1].len == SHARE_CHARS &&
           base64_decode(s->args[1].at, SHARE_CHARS, share) && s->full_lines == 0 &&
           s->last_line.len == WRAPPED_CHARS &&
           base64_decode(s->last_line.at, WRAPPED_CHARS, wrapped);
}

// "bakfs/vN" with a decimal N above 1
static bool is_newer(struct text type)
{
    if (!text_starts(type, "bakfs/v") || type.len == 7 || text_is(type, RECORD_TYPE) ||
        type.at[7] == '0')
        return false;
    for (size_t i = 7; i < type.len; i++)
        if (type.at[i] < '0' || type.at[i] > '9')
            return false;
    return true;
}

static int judge_record(const struct stanza *s, bool first, struct seal_header *h, struct err *err)
{
    if (!first)
        return malformed(err, h->state == SEAL_FOREIGN ? "its bakfs record does not stand first"
                                                       : "it has a second bakfs record");
    if (s->arg_count < 1 + RECORD_ARGS)
        return malformed(err, "its bakfs record has too few arguments");
    int rc = record_parse(s->args + 1, &h->record, err);
    if (rc < 0)
        return rc;
    h->state = h->record.flags & SEAL_FLAGS_CRITICAL ? SEAL_NEWER : SEAL_OURS;
    return 0;
}

static int judge_stanza(const struct stanza *s, bool first, struct seal_header *h, struct err *err)
{
    uint8_t share[X25519_BYTES], wrapped[WRAPPED_BYTES];
    if (text_is(s->args[0], RECORD_TYPE))
        return judge_record(s, first, h, err);
    if (text_starts(s->args[0], "bakfs/")) {
        if (first && is_newer(s->args[0]))
            h->state = SEAL_NEWER;
    } else if (is_x25519(s)) {
        if (!x25519_args(s, share, wrapped))
            return malformed(err, "an X25519 stanza");
        h->x25519_count++;
    } else {
        h->other_count++;
    }
    return 0;
}

static int read_mac(struct text line, uint8_t mac[SHA256_BYTES], struct err *err)
{
    if (!text_starts(line, "--- ") || line.len != 4 + MAC_CHARS ||
        !base64_decode(line.at + 4, MAC_CHARS, mac))
        return malformed(err, "its MAC line");
    return 0;
}

static int check_version(struct scan *scan, struct err *err)
{
    size_t have = scan->len < VERSION_LEN ? scan->len : VERSION_LEN;
    if (memcmp(scan->bytes, VERSION_LINE, have) != 0)
        return err_set(err, EUCLEAN, "not a binary age file of version 1");
    if (have < VERSION_LEN)
        return err_set(err, EAGAIN, "the age header goes on behind byte %zu", scan->len);
    scan->at = VERSION_LEN;
    return 0;
}

static int take_apart(const uint8_t *bytes, size_t len, struct parts *out, struct err *err)
{
    struct parts parts = {.header.state = SEAL_FOREIGN};
    struct scan scan = {.bytes = (const char *)bytes, .len = len};
    int rc = check_version(&scan, err);
    if (rc < 0)
        return rc;
    bool has_scrypt = false;
    for (size_t stanzas = 0;; stanzas++) {
        struct text line = {0};
        size_t line_at = scan.at;
        rc = next_line(&scan, &line, err);
        if (rc < 0)
            return rc;
        if (!text_starts(line, "-> ")) {
            rc = stanzas ? read_mac(line, parts.mac, err) : malformed(err, "it has no stanza");
            if (rc < 0)
                return rc;
            parts.mac_at = line_at;
            parts.header.len = scan.at;
            *out = parts;
            return 0;
        }
        struct stanza stanza = {0};
        rc = next_stanza(&scan, line, &stanza, err);
        if (rc == 0)
            rc = judge_stanza(&stanza, stanzas == 0, &parts.header, err);
        if (rc < 0)
            return rc;
        has_scrypt |= text_is(stanza.args[0], "scrypt");
        if (has_scrypt && stanzas > 0)
            return malformed(err, "a scrypt stanza that does not stand alone");
    }
}

int seal_header_parse(const uint8_t *bytes, size_t len, struct seal_header *out, struct err *err)
{
    struct parts parts = {0};
    int rc = take_apart(bytes, len, &parts, err);
    if (rc == 0)
        *out = parts.header;
    return rc;
}

// --- With a key ---

static void header_mac(const uint8_t *file_key, const uint8_t *bytes, size_t len,
                       uint8_t out[SHA256_BYTES])
{
    uint8_t key[32];
    hkdf_sha256(file_key, SEAL_FILE_KEY_BYTES, NULL, 0, "header", key);
    hmac_sha256(key, sizeof(key), bytes, len, out);
    secret_wipe(key, sizeof(key));
}

static int check_mac(const uint8_t *bytes, const struct parts *parts, const uint8_t *file_key,
                     struct err *err)
{
    uint8_t mac[SHA256_BYTES];
    header_mac(file_key, bytes, parts->mac_at + 3, mac); // "---" is part of it
    if (!crypto_equal(mac, parts->mac, sizeof(mac)))
        return err_set(err, EBADMSG,
                       "the header's MAC does not hold: somebody or something changed the header");
    return 0;
}

// Tries the identities on one stanza after the other. -EACCES: none fits.
static int unwrap_any(const uint8_t *bytes, const struct parts *parts,
                      const struct identities *identities, uint8_t *out_file_key, struct err *err)
{
    struct scan scan = {(const char *)bytes, parts->header.len, VERSION_LEN};
    while (scan.at < parts->mac_at) {
        struct text line = {0};
        struct stanza stanza = {0};
        int rc = next_line(&scan, &line, err);
        if (rc == 0)
            rc = next_stanza(&scan, line, &stanza, err);
        if (rc < 0)
            return rc;
        uint8_t share[X25519_BYTES], wrapped[WRAPPED_BYTES];
        if (!is_x25519(&stanza) || !x25519_args(&stanza, share, wrapped))
            continue;
        for (size_t i = 0; i < identities->count; i++) {
            struct err own; // that one does not fit is no failure yet
            rc = identity_unwrap(identities->list[i], share, wrapped, out_file_key, &own);
            if (rc != -EACCES)
                return rc < 0 ? err_copy(err, &own) : 0;
        }
    }
    if (identities->count == 0)
        return err_set(err, EACCES,
                       "there is no identity here to open it; it is sealed for %u X25519 "
                       "recipients and %u of other kinds",
                       parts->header.x25519_count, parts->header.other_count);
    return err_set(err, EACCES,
                   "none of the %zu identities here opens it; it is sealed for %u X25519 "
                   "recipients and %u of other kinds",
                   identities->count, parts->header.x25519_count, parts->header.other_count);
}

int seal_header_open(const uint8_t *bytes, size_t len, const struct identities *identities,
                     struct seal_opened *out, struct err *err)
{
    struct parts parts = {0};
    struct seal_opened opened;
    int rc = take_apart(bytes, len, &parts, err);
    if (rc == 0)
        rc = unwrap_any(bytes, &parts, identities, opened.file_key, err);
    if (rc < 0)
        return rc;
    rc = check_mac(bytes, &parts, opened.file_key, err);
    if (rc == 0)
        *out = opened;
    seal_opened_done(&opened);
    return rc;
}

int seal_header_check(const uint8_t *bytes, size_t len, const uint8_t file_key[16], struct err *err)
{
    struct parts parts = {0};
    int rc = take_apart(bytes, len, &parts, err);
    return rc < 0 ? rc : check_mac(bytes, &parts, file_key, err);
}

void seal_opened_done(struct seal_opened *opened)
{
    secret_wipe(opened, sizeof(*opened));
}

void seal_pathtag(const uint8_t file_key[16], const char *path, uint8_t out[SEAL_PATHTAG_BYTES])
{
    uint8_t key[32];
    hkdf_sha256(file_key, SEAL_FILE_KEY_BYTES, NULL, 0, "bakfs path", key);
    hmac_sha256(key, sizeof(key), path, strlen(path), out);
    secret_wipe(key, sizeof(key));
}

// --- Writing ---

#define RECORD_LEAD "-> " RECORD_TYPE " "
#define X25519_LEAD "-> X25519 "
#define MAC_LEAD "--- "
#define LEN(literal) (sizeof(literal) - 1)

size_t seal_header_length(size_t recipients)
{
    return VERSION_LEN + LEN(RECORD_LEAD) + RECORD_CHARS + LEN("\n\n") +
           recipients * (LEN(X25519_LEAD) + SHARE_CHARS + 1 + WRAPPED_CHARS + 1) + LEN(MAC_LEAD) +
           MAC_CHARS + 1;
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t len)
{
    memcpy(at, bytes, len);
    return at + len;
}

static uint8_t *put_base64_line(uint8_t *at, const uint8_t bytes[32])
{
    base64_encode(bytes, 32, (char *)at);
    at += BASE64_CHARS(32);
    *at = '\n';
    return at + 1;
}

int header_encode(const struct seal_record *record, const struct recipient *recipients,
                  size_t count, const struct seal_randoms *randoms, uint8_t *out, struct err *err)
{
    assert(count > 0 && count <= SEAL_RECIPIENTS_MAX);
    static_assert(X25519_BYTES == 32 && WRAPPED_BYTES == 32 && SHA256_BYTES == 32, "one line each");
    uint8_t *at = put(out, VERSION_LINE, VERSION_LEN);
    at = put(at, RECORD_LEAD, LEN(RECORD_LEAD));
    record_format(record, (char *)at);
    at = put(at + RECORD_CHARS, "\n\n", 2);
    for (size_t i = 0; i < count; i++) {
        uint8_t share[X25519_BYTES], wrapped[WRAPPED_BYTES];
        int rc = recipient_wrap(&recipients[i], randoms->ephemeral[i], randoms->file_key, share,
                                wrapped, err);
        if (rc < 0)
            return rc;
        at = put(at, X25519_LEAD, LEN(X25519_LEAD));
        at = put_base64_line(at, share);
        at = put_base64_line(at, wrapped);
    }
    uint8_t mac[SHA256_BYTES];
    at = put(at, MAC_LEAD, LEN(MAC_LEAD));
    header_mac(randoms->file_key, out, (size_t)(at - 1 - out), mac); // without the space
    at = put_base64_line(at, mac);
    assert((size_t)(at - out) == seal_header_length(count));
    return 0;
}

int seal_header_rewrite(uint8_t *bytes, size_t len, const uint8_t file_key[16],
                        const struct seal_record *record, const char *path, struct err *err)
{
    struct parts parts = {0};
    int rc = take_apart(bytes, len, &parts, err);
    if (rc == 0)
        rc = check_mac(bytes, &parts, file_key, err);
    if (rc < 0)
        return rc;
    if (parts.header.state == SEAL_FOREIGN)
        return err_set(err, EUCLEAN, "it has no bakfs/v1 record that could be changed");
    if (parts.header.state == SEAL_NEWER)
        return err_set(err, EOPNOTSUPP, "made by a newer bakfs: update this one");
    struct seal_record changed = *record;
    seal_pathtag(file_key, path, changed.pathtag);
    // it stands first and all its fields are of fixed width: what is ours always has it right here
    record_format(&changed, (char *)bytes + VERSION_LEN + LEN(RECORD_LEAD));
    uint8_t mac[SHA256_BYTES];
    header_mac(file_key, bytes, parts.mac_at + 3, mac); // "---" is part of it
    put_base64_line(bytes + parts.mac_at + LEN(MAC_LEAD), mac);
    return 0;
}

void seal_randoms_fill(struct seal_randoms *randoms)
{
    crypto_random(randoms, sizeof(*randoms));
}
