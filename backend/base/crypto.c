#include "backend/base/crypto.h"

#include <assert.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Looking an algorithm up takes locks and allocates; a 64 KiB chunk must do neither. So algorithms are fetched once for
// the process and contexts once for each thread; a thread's contexts are freed when it ends.
static struct {
    EVP_MD *sha256;
    EVP_CIPHER *chacha;
    EVP_MAC *hmac;
    EVP_KDF *hkdf;
    pthread_key_t contexts;
} algorithms;
static pthread_once_t algorithms_once = PTHREAD_ONCE_INIT;

struct contexts {
    EVP_MD_CTX *sha256;
    EVP_CIPHER_CTX *seal, *open;
};

static void need(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bakfs: OpenSSL cannot do %s: ", what);
    ERR_print_errors_fp(stderr);
    fputc('\n', stderr);
    abort();
}

static void contexts_free(void *p)
{
    struct contexts *c = p;
    EVP_MD_CTX_free(c->sha256);
    EVP_CIPHER_CTX_free(c->seal);
    EVP_CIPHER_CTX_free(c->open);
    free(c);
}

static void algorithms_fetch(void)
{
    algorithms.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    algorithms.chacha = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    algorithms.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    algorithms.hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    need(algorithms.sha256 && algorithms.chacha && algorithms.hmac && algorithms.hkdf,
         "SHA-256, ChaCha20-Poly1305, HMAC and HKDF");
    need(pthread_key_create(&algorithms.contexts, contexts_free) == 0, "thread contexts");
}

static const uint8_t zero_key[CHACHA_KEY_BYTES];
static const uint8_t zero_nonce[CHACHA_NONCE_BYTES];

static struct contexts *contexts_get(void)
{
    pthread_once(&algorithms_once, algorithms_fetch);
    struct contexts *c = pthread_getspecific(algorithms.contexts);
    if (c)
        return c;
    c = calloc(1, sizeof(*c));
    need(c != NULL, "thread contexts");
    c->sha256 = EVP_MD_CTX_new();
    c->seal = EVP_CIPHER_CTX_new();
    c->open = EVP_CIPHER_CTX_new();
    need(c->sha256 && c->seal && c->open &&
             EVP_DigestInit_ex2(c->sha256, algorithms.sha256, NULL) == 1 &&
             EVP_EncryptInit_ex2(c->seal, algorithms.chacha, zero_key, zero_nonce, NULL) == 1 &&
             EVP_DecryptInit_ex2(c->open, algorithms.chacha, zero_key, zero_nonce, NULL) == 1,
         "thread contexts");
    need(pthread_setspecific(algorithms.contexts, c) == 0, "thread contexts");
    return c;
}

void sha256(const void *data, size_t len, uint8_t out[SHA256_BYTES])
{
    EVP_MD_CTX *ctx = contexts_get()->sha256;
    // no type: the context keeps the one it has, and its memory
    need(EVP_DigestInit_ex2(ctx, NULL, NULL) == 1 && EVP_DigestUpdate(ctx, data, len) == 1 &&
             EVP_DigestFinal_ex(ctx, out, NULL) == 1,
         "SHA-256");
}

struct sha256 {
    EVP_MD_CTX *ctx;
};

struct sha256 *sha256_new(void)
{
    pthread_once(&algorithms_once, algorithms_fetch);
    struct sha256 *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->ctx = EVP_MD_CTX_new();
    if (!s->ctx || EVP_DigestInit_ex2(s->ctx, algorithms.sha256, NULL) != 1) {
        ERR_clear_error();
        sha256_free(s);
        return NULL;
    }
    return s;
}

void sha256_update(struct sha256 *s, const void *data, size_t len)
{
    need(EVP_DigestUpdate(s->ctx, data, len) == 1, "SHA-256");
}

void sha256_final(struct sha256 *s, uint8_t out[SHA256_BYTES])
{
    need(EVP_DigestFinal_ex(s->ctx, out, NULL) == 1 && EVP_DigestInit_ex2(s->ctx, NULL, NULL) == 1,
         "SHA-256");
}

void sha256_free(struct sha256 *s)
{
    if (!s)
        return;
    EVP_MD_CTX_free(s->ctx);
    free(s);
}

// OSSL_PARAM has no const: one description serves reading and writing. Nothing here is written to.
static void *unconst(const void *p)
{
    union {
        const void *c;
        void *v;
    } u = {.c = p};
    return u.v;
}

void hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
                 uint8_t out[SHA256_BYTES])
{
    pthread_once(&algorithms_once, algorithms_fetch);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(algorithms.hmac);
    size_t made = 0;
    // a NULL key would mean "the key you have"; an empty one is allowed
    need(ctx && EVP_MAC_init(ctx, key_len ? key : zero_key, key_len, params) == 1 &&
             EVP_MAC_update(ctx, data, len) == 1 &&
             EVP_MAC_final(ctx, out, &made, SHA256_BYTES) == 1 && made == SHA256_BYTES,
         "HMAC-SHA-256");
    EVP_MAC_CTX_free(ctx);
}

void hkdf_sha256(const void *ikm, size_t ikm_len, const void *salt, size_t salt_len,
                 const char *info, uint8_t out[32])
{
    pthread_once(&algorithms_once, algorithms_fetch);
    char digest[] = "SHA256";
    OSSL_PARAM params[5], *p = params;
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, unconst(ikm), ikm_len);
    if (salt_len)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, unconst(salt), salt_len);
    *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, unconst(info), strlen(info));
    *p = OSSL_PARAM_construct_end();
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(algorithms.hkdf);
    need(ctx && EVP_KDF_derive(ctx, out, 32, params) == 1, "HKDF-SHA-256");
    EVP_KDF_CTX_free(ctx); // wipes what it holds
}

void chacha20poly1305_seal(const uint8_t key[CHACHA_KEY_BYTES],
                           const uint8_t nonce[CHACHA_NONCE_BYTES], const void *in, size_t len,
                           void *out)
{
    assert(len <= INT_MAX - CHACHA_TAG_BYTES);
    EVP_CIPHER_CTX *ctx = contexts_get()->seal;
    uint8_t *to = out;
    int made = 0, rest = 0;
    need(EVP_EncryptInit_ex2(ctx, NULL, key, nonce, NULL) == 1, "ChaCha20-Poly1305");
    if (len)
        need(EVP_EncryptUpdate(ctx, to, &made, in, (int)len) == 1 && (size_t)made == len,
             "ChaCha20-Poly1305");
    // nothing is left for Final, but it takes no NULL
    need(EVP_EncryptFinal_ex(ctx, to + made, &rest) == 1 && rest == 0 &&
             EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, CHACHA_TAG_BYTES, to + len) == 1,
         "ChaCha20-Poly1305");
    // the thread's context outlives the key's owner: do not keep the key
    need(EVP_EncryptInit_ex2(ctx, NULL, zero_key, zero_nonce, NULL) == 1, "ChaCha20-Poly1305");
}

bool chacha20poly1305_open(const uint8_t key[CHACHA_KEY_BYTES],
                           const uint8_t nonce[CHACHA_NONCE_BYTES], const void *in, size_t len,
                           void *out)
{
    assert(len >= CHACHA_TAG_BYTES && len <= INT_MAX);
    EVP_CIPHER_CTX *ctx = contexts_get()->open;
    size_t plain = len - CHACHA_TAG_BYTES;
    uint8_t tag[CHACHA_TAG_BYTES], none[1];
    memcpy(tag, (const uint8_t *)in + plain, sizeof(tag));
    int made = 0, rest = 0;
    need(EVP_DecryptInit_ex2(ctx, NULL, key, nonce, NULL) == 1 &&
             EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, CHACHA_TAG_BYTES, tag) == 1,
         "ChaCha20-Poly1305");
    if (plain)
        need(EVP_DecryptUpdate(ctx, out, &made, in, (int)plain) == 1 && (size_t)made == plain,
             "ChaCha20-Poly1305");
    bool good = EVP_DecryptFinal_ex(ctx, none, &rest) == 1;
    if (!good) {
        if (plain)
            OPENSSL_cleanse(out, plain);
        ERR_clear_error();
    }
    need(EVP_DecryptInit_ex2(ctx, NULL, zero_key, zero_nonce, NULL) == 1, "ChaCha20-Poly1305");
    return good;
}

static EVP_PKEY *x25519_key(const uint8_t scalar[X25519_BYTES])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, scalar, X25519_BYTES);
    need(key != NULL, "X25519");
    return key;
}

void x25519_public(const uint8_t scalar[X25519_BYTES], uint8_t out[X25519_BYTES])
{
    EVP_PKEY *key = x25519_key(scalar);
    size_t made = X25519_BYTES;
    need(EVP_PKEY_get_raw_public_key(key, out, &made) == 1 && made == X25519_BYTES, "X25519");
    EVP_PKEY_free(key);
}

bool x25519_shared(const uint8_t scalar[X25519_BYTES], const uint8_t point[X25519_BYTES],
                   uint8_t out[X25519_BYTES])
{
    EVP_PKEY *key = x25519_key(scalar);
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, point, X25519_BYTES);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    need(peer && ctx && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1,
         "X25519");
    size_t made = X25519_BYTES;
    uint8_t shared[X25519_BYTES] = {0};
    // OpenSSL refuses the all-zero result itself; the comparison is for those who would not
    bool good = EVP_PKEY_derive(ctx, shared, &made) == 1 && made == X25519_BYTES &&
                !crypto_equal(shared, zero_key, X25519_BYTES);
    if (good)
        memcpy(out, shared, X25519_BYTES);
    else
        ERR_clear_error();
    OPENSSL_cleanse(shared, sizeof(shared));
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(key);
    return good;
}

void crypto_random(void *out, size_t len)
{
    assert(len <= INT_MAX);
    need(RAND_priv_bytes(out, (int)len) == 1, "random numbers");
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
