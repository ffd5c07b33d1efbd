#include "backend/s3/endpoint.h"

#include "backend/s3/uri.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool made_of(const char *text, const char *allowed)
{
    return *text && text[strspn(text, allowed)] == '\0';
}

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static int check_names(const char *region, const char *bucket, struct err *err)
{
    // AWS allows less; other servers have older buckets
    if (strlen(bucket) > 255 || !made_of(bucket, LETTERS DIGITS ".-_"))
        return err_set(err, EINVAL,
                       "'%s' is no bucket name: letters, digits, '.', '-', '_' are allowed",
                       bucket);
    if (strlen(region) > 63 || !made_of(region, LETTERS DIGITS "-"))
        return err_set(err, EINVAL, "'%s' is no region name (eu-central-1 is one)", region);
    return 0;
}

// Scheme, host and port of "https://host:port/"; nothing else may stand there.
static int parse_base(const char *text, struct endpoint *out, struct err *err)
{
    size_t scheme = strncasecmp(text, "http://", 7) == 0    ? 7
                    : strncasecmp(text, "https://", 8) == 0 ? 8
                                                            : 0;
    if (!scheme)
        return err_set(err, EINVAL,
                       "endpoint '%s' must begin with https:// or http://, as in "
                       "https://s3.example.com",
                       text);
    size_t len = strlen(text);
    while (len > scheme && text[len - 1] == '/')
        len--;
    if (len - scheme > 255)
        return err_set(err, EINVAL, "endpoint '%.60s...' is too long", text);
    snprintf(out->base, sizeof(out->base), "%.*s", (int)len, text);
    for (char *p = out->base; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + 32);
    if (!made_of(out->base + scheme, LETTERS DIGITS ".-_:[]"))
        return err_set(err, EINVAL,
                       "endpoint '%s' must be scheme, host and port only, as in "
                       "https://s3.example.com:9000; the bucket belongs into the store's URL",
                       text);
    // clients leave the scheme's own port out of the Host header, and it is signed
    const char *port = scheme == 7 ? ":80" : ":443";
    size_t used = strlen(out->base), tail = strlen(port);
    if (used > scheme + tail && strcmp(out->base + used - tail, port) == 0)
        out->base[used - tail] = '\0';
    return 0;
}

int endpoint_parse(const char *text, const char *region, const char *bucket,
                   enum endpoint_addressing addressing, struct endpoint *out, struct err *err)
{
    struct endpoint made = {0};
    int result = check_names(region, bucket, err);
    if (result < 0)
        return result;
    bool given = text && *text;
    if (given) {
        result = parse_base(text, &made, err);
        if (result < 0)
            return result;
    } else {
        const char *tld = strncmp(region, "cn-", 3) == 0 ? ".cn" : "";
        snprintf(made.base, sizeof(made.base), "https://s3.%s.amazonaws.com%s", region, tld);
    }
    made.virtual_host = addressing == ENDPOINT_VIRTUAL ||
                        (addressing == ENDPOINT_AUTO && !given && !strchr(bucket, '.'));
    const char *host = strstr(made.base, "://") + 3;
    int n = snprintf(made.host, sizeof(made.host), "%s%s%s", made.virtual_host ? bucket : "",
                     made.virtual_host ? "." : "", host);
    if (n < 0 || (size_t)n >= sizeof(made.host))
        return err_set(err, EINVAL, "bucket and endpoint are too long for a host name");
    snprintf(made.url, sizeof(made.url), "%.*s%s", (int)(host - made.base), made.base, made.host);
    snprintf(made.bucket, sizeof(made.bucket), "%s", bucket);
    *out = made;
    return 0;
}

int endpoint_path(const struct endpoint *endpoint, const char *key, char out[ENDPOINT_PATH_BYTES],
                  struct err *err)
{
    size_t used = 0;
    if (!endpoint->virtual_host)
        used = (size_t)snprintf(out, ENDPOINT_PATH_BYTES, "/%s", endpoint->bucket);
    if (key || endpoint->virtual_host) {
        out[used++] = '/';
        if (!uri_encode(key ? key : "", true, out + used, ENDPOINT_PATH_BYTES - used))
            return err_set(err, ENAMETOOLONG, "the key is too long");
    }
    return 0;
}
