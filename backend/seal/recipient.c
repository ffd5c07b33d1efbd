#include "backend/seal/recipient.h"

#include "backend/seal/bech32.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECIPIENT_PREFIX "age"
#define IDENTITY_PREFIX "age-secret-key-"

struct identity {
    struct secret *scalar;
    struct recipient recipient; // part of every wrap key
};

static const uint8_t zero_nonce[CHACHA_NONCE_BYTES];

static void wrap_key(const uint8_t shared[X25519_BYTES], const uint8_t share[X25519_BYTES],
                     const struct recipient *recipient, uint8_t out[CHACHA_KEY_BYTES])
{
    uint8_t salt[2 * X25519_BYTES];
    memcpy(salt, share, X25519_BYTES);
    memcpy(salt + X25519_BYTES, recipient->point, X25519_BYTES);
    hkdf_sha256(shared, X25519_BYTES, salt, sizeof(salt), "age-encryption.org/v1/X25519", out);
}

int recipient_wrap(const struct recipient *recipient, const uint8_t ephemeral[X25519_BYTES],
                   const uint8_t file_key[SEAL_FILE_KEY_BYTES], uint8_t out_share[X25519_BYTES],
                   uint8_t out_wrapped[WRAPPED_BYTES], struct err *err)
{
    uint8_t shared[X25519_BYTES], key[CHACHA_KEY_BYTES];
    if (!x25519_shared(ephemeral, recipient->point, shared))
        return err_set(err, EUCLEAN, "the recipient's key is a point of low order: use another");
    x25519_public(ephemeral, out_share);
    wrap_key(shared, out_share, recipient, key);
    chacha20poly1305_seal(key, zero_nonce, file_key, SEAL_FILE_KEY_BYTES, out_wrapped);
    secret_wipe(shared, sizeof(shared));
    secret_wipe(key, sizeof(key));
    return 0;
}

int identity_unwrap(const struct identity *identity, const uint8_t share[X25519_BYTES],
                    const uint8_t wrapped[WRAPPED_BYTES], uint8_t out_file_key[SEAL_FILE_KEY_BYTES],
                    struct err *err)
{
    uint8_t shared[X25519_BYTES], key[CHACHA_KEY_BYTES], plain[SEAL_FILE_KEY_BYTES];
    if (!x25519_shared(identity->scalar->bytes, share, shared))
        return err_set(err, EUCLEAN, "the share of an X25519 stanza is a point of low order");
    wrap_key(shared, share, &identity->recipient, key);
    bool good = chacha20poly1305_open(key, zero_nonce, wrapped, WRAPPED_BYTES, plain);
    if (good)
        memcpy(out_file_key, plain, sizeof(plain));
    secret_wipe(shared, sizeof(shared));
    secret_wipe(key, sizeof(key));
    secret_wipe(plain, sizeof(plain));
    return good ? 0 : err_set(err, EACCES, "the X25519 stanza is for another identity");
}

// --- Keys as text ---

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

int recipient_parse(const char *text, struct recipient *out, struct err *err)
{
    struct recipient r;
    if (starts(text, "AGE-SECRET-KEY-"))
        return err_set(err, EUCLEAN,
                       "this is a secret identity, not a recipient; 'age-keygen -y' prints the "
                       "recipient (age1...) that belongs to it");
    if (starts(text, "age1pq1") || starts(text, "age1tag") || starts(text, "ssh-"))
        return err_set(err, EUCLEAN,
                       "recipients of this kind are not supported, only age1... of "
                       "X25519 (as age-keygen makes them)");
    // like age: recipients in lower case only
    if (!starts(text, RECIPIENT_PREFIX "1") ||
        !bech32_decode(text, RECIPIENT_PREFIX, r.point, sizeof(r.point)))
        return err_set(err, EUCLEAN,
                       "not a recipient: 62 characters are expected that start with age1, and "
                       "their checksum must hold");
    uint8_t probe[X25519_BYTES] = {8}, shared[X25519_BYTES];
    if (!x25519_shared(probe, r.point, shared))
        return err_set(err, EUCLEAN, "the recipient's key is a point of low order: use another");
    *out = r;
    return 0;
}

void recipient_format(const struct recipient *recipient, char out[64])
{
    static_assert(BECH32_CHARS(sizeof(RECIPIENT_PREFIX) - 1, X25519_BYTES) < 64, "fits");
    bech32_encode(RECIPIENT_PREFIX, recipient->point, sizeof(recipient->point), out);
}

static int identity_new(const uint8_t scalar[X25519_BYTES], struct identity **out, struct err *err)
{
    struct identity *identity = calloc(1, sizeof(*identity));
    if (identity)
        identity->scalar = secret_new(scalar, X25519_BYTES);
    if (!identity || !identity->scalar) {
        identity_free(identity);
        return err_set(err, ENOMEM, "no memory for an identity");
    }
    x25519_public(scalar, identity->recipient.point);
    *out = identity;
    return 0;
}

int identity_parse(const char *text, struct identity **out, struct err *err)
{
    if (starts(text, "age1"))
        return err_set(err, EUCLEAN,
                       "this is a recipient (public), not an identity; the identity "
                       "starts with AGE-SECRET-KEY-1");
    if (starts(text, "AGE-PLUGIN-") || starts(text, "AGE-SECRET-KEY-PQ-"))
        return err_set(err, EUCLEAN,
                       "identities of this kind are not supported, only "
                       "AGE-SECRET-KEY-1... of X25519 (as age-keygen makes them)");
    uint8_t scalar[X25519_BYTES];
    int rc;
    // like age: identities in upper case only
    if (starts(text, "AGE-SECRET-KEY-1") &&
        bech32_decode(text, IDENTITY_PREFIX, scalar, sizeof(scalar)))
        rc = identity_new(scalar, out, err);
    else
        rc = err_set(err, EUCLEAN,
                     "not an identity: 74 characters are expected that start with "
                     "AGE-SECRET-KEY-1, and their checksum must hold");
    secret_wipe(scalar, sizeof(scalar));
    return rc;
}

int identity_generate(struct identity **out, struct err *err)
{
    uint8_t scalar[X25519_BYTES];
    crypto_random(scalar, sizeof(scalar));
    int rc = identity_new(scalar, out, err);
    secret_wipe(scalar, sizeof(scalar));
    return rc;
}

struct secret *identity_format(const struct identity *identity)
{
    char text[BECH32_CHARS(sizeof(IDENTITY_PREFIX) - 1, X25519_BYTES) + 1];
    bech32_encode(IDENTITY_PREFIX, identity->scalar->bytes, X25519_BYTES, text);
    for (char *p = text; *p; p++)
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    struct secret *secret = secret_new(text, sizeof(text) - 1);
    secret_wipe(text, sizeof(text));
    return secret;
}

void identity_recipient(const struct identity *identity, struct recipient *out)
{
    *out = identity->recipient;
}

void identity_free(struct identity *identity)
{
    if (!identity)
        return;
    secret_free(identity->scalar);
    free(identity);
}
