#include "backend/s3/sign.h"

#include "backend/s3/uri.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAIRS_MAX 16 // more than any request of ours has

void sign_hex(const uint8_t digest[SHA256_BYTES], char out[SIGN_HASH_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[SIGN_HASH_BYTES - 1] = '\0';
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int sign_query(const struct sign_pair *pairs, size_t count, char *out, size_t room, struct err *err)
{
    // sorted by encoded name, then value: no name of ours is the beginning of another followed by a byte below '=',
    // so the joined text sorts the same
    char *joined[PAIRS_MAX] = {NULL};
    int result = count > PAIRS_MAX ? err_set(err, EINVAL, "too many query parameters") : 0;
    size_t made = 0, used = 0;
    for (; result == 0 && made < count; made++) {
        char name[256], value[3 * 2048 + 1];
        if (!uri_encode(pairs[made].name, false, name, sizeof(name)) ||
            !uri_encode(pairs[made].value, false, value, sizeof(value)))
            result = err_set(err, EINVAL, "query parameter '%s' is too long", pairs[made].name);
        else if (asprintf(&joined[made], "%s=%s", name, value) < 0) {
            joined[made] = NULL;
            result = err_set(err, ENOMEM, "no memory for a query");
        }
    }
    if (result == 0) {
        qsort(joined, made, sizeof(joined[0]), compare_text);
        if (room > 0)
            out[0] = '\0';
        for (size_t i = 0; result == 0 && i < made; i++) {
            int n = snprintf(out + used, room - used, "%s%s", i ? "&" : "", joined[i]);
            if (n < 0 || (size_t)n >= room - used)
                result = err_set(err, EINVAL, "the query is too long");
            else
                used += (size_t)n;
        }
    }
    for (size_t i = 0; i < PAIRS_MAX; i++)
        free(joined[i]);
    return result;
}

static void add(struct sha256 *hash, const char *text)
{
    sha256_update(hash, text, strlen(text));
}

// A header's value: trimmed, runs of spaces are one.
static void add_value(struct sha256 *hash, const char *value)
{
    while (*value == ' ')
        value++;
    while (*value) {
        size_t run = strcspn(value, " ");
        sha256_update(hash, value, run);
        value += run;
        while (*value == ' ')
            value++;
        if (*value)
            add(hash, " ");
    }
}

static int compare_pairs(const void *a, const void *b)
{
    return strcmp(((const struct sign_pair *)a)->name, ((const struct sign_pair *)b)->name);
}

// The hash of the canonical request, and the list of signed names.
static int hash_request(const struct sign_request *request, char hex[SIGN_HASH_BYTES], char *names,
                        size_t room, struct err *err)
{
    struct sign_pair headers[PAIRS_MAX];
    if (request->header_count > PAIRS_MAX)
        return err_set(err, EINVAL, "too many headers to sign");
    for (size_t i = 0; i < request->header_count; i++)
        headers[i] = request->headers[i];
    qsort(headers, request->header_count, sizeof(headers[0]), compare_pairs);
    size_t used = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        int n = snprintf(names + used, room - used, "%s%s", i ? ";" : "", headers[i].name);
        if (n < 0 || (size_t)n >= room - used)
            return err_set(err, EINVAL, "too many headers to sign");
        used += (size_t)n;
    }
    struct sha256 *hash = sha256_new();
    if (!hash)
        return err_set(err, ENOMEM, "no memory for a signature");
    add(hash, request->method);
    add(hash, "\n");
    add(hash, request->path);
    add(hash, "\n");
    add(hash, request->query);
    add(hash, "\n");
    for (size_t i = 0; i < request->header_count; i++) {
        add(hash, headers[i].name);
        add(hash, ":");
        add_value(hash, headers[i].value);
        add(hash, "\n");
    }
    add(hash, "\n");
    add(hash, names);
    add(hash, "\n");
    add(hash, request->payload_hash);
    uint8_t digest[SHA256_BYTES];
    sha256_final(hash, digest);
    sha256_free(hash);
    sign_hex(digest, hex);
    return 0;
}

static void chain(uint8_t key[SHA256_BYTES], const char *text)
{
    uint8_t next[SHA256_BYTES];
    hmac_sha256(key, SHA256_BYTES, text, strlen(text), next);
    memcpy(key, next, SHA256_BYTES);
    secret_wipe(next, sizeof(next));
}

// The signing key of the day, then the signature of `text`.
static int sign_text(const struct sign_identity *identity, const char *day, const char *text,
                     char hex[SIGN_HASH_BYTES], struct err *err)
{
    char first[512] = "AWS4";
    if (identity->secret_key->len + 4 > sizeof(first))
        return err_set(err, EINVAL, "the secret key is too long (%zu bytes)",
                       identity->secret_key->len);
    memcpy(first + 4, identity->secret_key->bytes, identity->secret_key->len);
    uint8_t key[SHA256_BYTES];
    hmac_sha256(first, 4 + identity->secret_key->len, day, strlen(day), key);
    secret_wipe(first, sizeof(first));
    chain(key, identity->region);
    chain(key, "s3");
    chain(key, "aws4_request");
    chain(key, text);
    sign_hex(key, hex);
    secret_wipe(key, sizeof(key));
    return 0;
}

int sign_authorization(const struct sign_identity *identity, const struct sign_request *request,
                       const char *amz_date, char out[SIGN_AUTHORIZATION_BYTES], struct err *err)
{
    char hash[SIGN_HASH_BYTES], names[512], scope[160], text[512], signature[SIGN_HASH_BYTES];
    int result = hash_request(request, hash, names, sizeof(names), err);
    if (result < 0)
        return result;
    char day[9];
    snprintf(day, sizeof(day), "%.8s", amz_date);
    int n = snprintf(scope, sizeof(scope), "%s/%s/s3/aws4_request", day, identity->region);
    if (n < 0 || (size_t)n >= sizeof(scope))
        return err_set(err, EINVAL, "the region name is too long: '%s'", identity->region);
    snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", amz_date, scope, hash);
    result = sign_text(identity, day, text, signature, err);
    if (result < 0)
        return result;
    n = snprintf(out, SIGN_AUTHORIZATION_BYTES,
                 "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=%s,Signature=%s",
                 identity->access_key, scope, names, signature);
    if (n < 0 || n >= SIGN_AUTHORIZATION_BYTES)
        return err_set(err, EINVAL, "the access key is too long");
    return 0;
}
