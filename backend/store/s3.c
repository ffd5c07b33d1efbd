// The S3 store: settings, credentials, and what its other files share.
#include "backend/store/s3_store.h"

#include "backend/base/crypto.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/s3/times.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int s3_key(const struct s3_store *s3, const char *key, char out[S3_KEY_BYTES], struct err *err)
{
    int n = snprintf(out, S3_KEY_BYTES, "%s%s", s3->prefix, key);
    if (n < 0 || n > STORE_KEY_BYTES)
        return err_set(err, ENAMETOOLONG, "the key '%.80s...' is longer than 1,024 bytes", key);
    return 0;
}

void s3_make_token(char out[S3_TOKEN_BYTES])
{
    uint8_t random[16];
    crypto_random(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(out + 2 * i, 3, "%02x", random[i]);
}

int s3_quote(const char *etag, char out[S3_QUOTED_BYTES], struct err *err)
{
    size_t len = strlen(etag);
    if (len >= STORE_ETAG_BYTES || strpbrk(etag, "\"\r\n"))
        return err_set(err, EINVAL, "'%.100s' is no ETag", etag);
    snprintf(out, S3_QUOTED_BYTES, "\"%s\"", etag);
    return 0;
}

int s3_quote_write(const struct s3_store *s3, const char *etag, char out[S3_QUOTED_BYTES],
                   struct err *err)
{
    int result = s3_quote(etag, out, err);
    if (result == 0 && !s3->aws)
        snprintf(out, S3_QUOTED_BYTES, "%s", etag);
    return result;
}

static bool is_cold(const struct http_response *response)
{
    const char *class = http_header(response, "x-amz-storage-class");
    const char *restore = http_header(response, "x-amz-restore");
    if (http_header(response, "x-amz-archive-status"))
        return true;
    if (!class || (strcmp(class, "GLACIER") != 0 && strcmp(class, "DEEP_ARCHIVE") != 0))
        return false;
    return !restore || !strstr(restore, "ongoing-request=\"false\""); // thawed for some days
}

int s3_etag(const struct http_response *response, char out[STORE_ETAG_BYTES], struct err *err)
{
    const char *etag = http_header(response, "etag");
    size_t len = etag ? strlen(etag) : 0;
    if (len >= 2 && etag[0] == '"' && etag[len - 1] == '"') {
        etag++;
        len -= 2;
    }
    if (len == 0 || len >= STORE_ETAG_BYTES)
        return err_set(err, EUCLEAN, "the answer has no usable ETag");
    memcpy(out, etag, len);
    out[len] = '\0';
    return 0;
}

int s3_stat(const struct s3_call *call, struct store_stat *out, struct err *err)
{
    const struct http_response *response = &call->response;
    struct store_stat stat = {0};
    const char *range = http_header(response, "content-range");
    const char *size = range ? strrchr(range, '/') : http_header(response, "content-length");
    if (range && size)
        size++;
    char *end = NULL;
    errno = 0;
    if (size && *size >= '0' && *size <= '9')
        stat.size = strtoull(size, &end, 10);
    if (!end || *end || errno)
        return err_set(err, EUCLEAN, "the answer does not say how long the object is");
    int result = s3_etag(response, stat.etag, err);
    if (result < 0)
        return result;
    const char *modified = http_header(response, "last-modified");
    if (modified && !times_parse_http(modified, &stat.last_modified.tv_sec))
        return err_set(err, EUCLEAN, "the answer's Last-Modified is malformed");
    stat.cold = is_cold(response);
    *out = stat;
    return 0;
}

int s3_look(struct s3_store *s3, const char *full, unsigned deadline_ms, struct store_stat *out,
            char token[S3_TOKEN_BYTES], struct err *err)
{
    struct s3_call call = {.method = "HEAD", .key = full, .deadline_ms = deadline_ms};
    int result = s3_client_call(s3->client, &call, err);
    if (result == 0)
        result = s3_stat(&call, out, err);
    if (result == 0 && token) {
        const char *value = http_header(&call.response, S3_TOKEN_HEADER);
        snprintf(token, S3_TOKEN_BYTES, "%s", value ? value : "");
    }
    s3_call_done(&call);
    return result;
}

int s3_precheck(struct s3_store *s3, const char *full, const struct store_cond *cond, bool honoured,
                struct err *err)
{
    if (honoured || !cond || (!cond->if_absent && !cond->if_match))
        return 0;
    struct store_stat stat = {0};
    struct err look = {0};
    int result = s3_look(s3, full, 0, &stat, NULL, &look);
    // who may only write cannot look: the condition in the request is all there is then
    if (result == -EACCES)
        return 0;
    if (result < 0 && result != -ENOENT)
        return err_copy(err, &look);
    if (cond->if_absent && result == 0)
        return err_set(err, EEXIST, "it is there already");
    if (cond->if_match && (result == -ENOENT || strcmp(stat.etag, cond->if_match) != 0))
        return err_set(err, EEXIST, "somebody else has %s it", result ? "removed" : "replaced");
    return 0;
}

bool s3_is_mine(struct s3_store *s3, const char *full, const char *token, uint64_t size,
                struct store_stat *out)
{
    char found[S3_TOKEN_BYTES];
    struct store_stat stat = {0};
    if (!token[0] || s3_look(s3, full, S3_LOOK_DEADLINE_MS, &stat, found, NULL) < 0 ||
        strcmp(found, token) != 0 || stat.size != size)
        return false;
    *out = stat;
    return true;
}

static struct timespec s3_now(struct store *store)
{
    return s3_client_now(s3_of(store)->client);
}

static int64_t s3_clock_offset_ms(struct store *store)
{
    return s3_client_clock_offset_ms(s3_of(store)->client);
}

static void s3_free(struct store *store)
{
    struct s3_store *s3 = s3_of(store);
    int saved = errno;
    s3_client_free(s3->client);
    while (s3->begun) {
        struct s3_begun *next = s3->begun->next;
        free(s3->begun);
        s3->begun = next;
    }
    pthread_mutex_destroy(&s3->lock);
    free(s3->bucket);
    free(s3->prefix);
    free(s3);
    errno = saved;
}

static const struct store_ops s3_ops = {
    .check = s3_check,
    .head = s3_head,
    .get = s3_get,
    .get_tail = s3_get_tail,
    .list = s3_list,
    .put = s3_put,
    .upload_begin = s3_upload_begin,
    .put_part = s3_put_part,
    .upload_complete = s3_upload_complete,
    .upload_abort = s3_upload_abort,
    .list_uploads = s3_list_uploads,
    .upload_touched = s3_upload_touched,
    .copy = s3_copy,
    .copy_part = s3_copy_part,
    .remove = s3_remove,
    .list_versions = s3_list_versions,
    .remove_version = s3_remove_version,
    .ask_hold = s3_ask_hold,
    .facts = s3_facts,
    .now = s3_now,
    .clock_offset_ms = s3_clock_offset_ms,
    .free = s3_free,
};

// The setting, else the first of the environment's variables that is set, else "".
static const char *setting(const char *given, const char *first, const char *second)
{
    if (given && *given)
        return given;
    const char *value = getenv(first);
    if ((!value || !*value) && second)
        value = getenv(second);
    return value ? value : "";
}

// Key, secret and token belong together: all from the settings or all from the environment.
static int find_credentials(const struct store_s3_conf *conf, struct s3_client_conf *out,
                            struct err *err)
{
    bool given = conf->access_key && *conf->access_key;
    if (given) {
        out->access_key = conf->access_key;
        out->secret_key = conf->secret_key ? conf->secret_key : "";
        out->session_token = conf->session_token ? conf->session_token : "";
    } else {
        out->access_key = setting(NULL, "AWS_ACCESS_KEY_ID", NULL);
        out->secret_key = setting(NULL, "AWS_SECRET_ACCESS_KEY", NULL);
        out->session_token = setting(NULL, "AWS_SESSION_TOKEN", NULL);
    }
    if (!*out->access_key || !*out->secret_key)
        return err_set(err, EACCES,
                       "no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
                       "environment%s, or [store] profile",
                       *out->access_key ? " (the second one is missing)" : "");
    if (strlen(out->access_key) > 256 || strlen(out->secret_key) > 256)
        return err_set(err, EINVAL, "AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is too long");
    return 0;
}

static int check_prefix(const char *prefix, struct err *err)
{
    size_t len = strlen(prefix);
    if (len && (prefix[len - 1] != '/' || prefix[0] == '/' || strstr(prefix, "//")))
        return err_set(err, EINVAL, "prefix '%s' must end in '/' and have no empty component",
                       prefix);
    if (len > STORE_KEY_BYTES / 2)
        return err_set(err, ENAMETOOLONG, "the prefix is too long");
    return 0;
}

// AWS honours conditions (user guide, "conditional writes"). Others may ignore them in silence, as Ceph does with those of
// Complete: until they were asked they are looked after here.
static void set_limits(struct s3_store *s3, bool aws)
{
    s3->aws = aws;
    s3->base.limits = (struct store_limits){
        .part_min = 5 * MIB,
        .parts_max = 10000,
        .put_max = 5 * GIB,
        .put_conditions = aws,
        .complete_conditions = aws,
        .conditions_unsure = !aws,
    };
}

int store_s3_new(const struct store_s3_conf *conf, struct store **out, struct err *err)
{
    const char *region = setting(conf->region, "AWS_REGION", "AWS_DEFAULT_REGION");
    const char *url = setting(conf->endpoint, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
    const char *prefix = conf->prefix ? conf->prefix : "";
    static const enum endpoint_addressing modes[] = {
        [STORE_S3_AUTO] = ENDPOINT_AUTO,
        [STORE_S3_PATH] = ENDPOINT_PATH,
        [STORE_S3_VIRTUAL] = ENDPOINT_VIRTUAL,
    };
    if (!*region)
        region = "us-east-1";
    struct endpoint endpoint;
    struct s3_client_conf client = {
        .endpoint = &endpoint,
        .region = region,
        .ca_bundle = setting(conf->ca_bundle, "AWS_CA_BUNDLE", NULL),
        .deadline_ms = conf->deadline_ms ? conf->deadline_ms : 300000,
        .connections = conf->connections ? conf->connections : 16,
    };
    int result = endpoint_parse(url, region, conf->bucket ? conf->bucket : "",
                                modes[conf->addressing], &endpoint, err);
    if (result == 0)
        result = check_prefix(prefix, err);
    if (result == 0)
        result = find_credentials(conf, &client, err);
    if (result < 0)
        return result;
    struct s3_store *s3 = calloc(1, sizeof(*s3));
    if (!s3)
        return err_set(err, ENOMEM, "no memory for a store");
    s3->base.ops = &s3_ops;
    pthread_mutex_init(&s3->lock, NULL);
    set_limits(s3, !*url || strstr(endpoint.base, ".amazonaws.com"));
    s3->deadline_ms = client.deadline_ms;
    s3->ignore_clock = conf->ignore_clock;
    s3->bucket = strdup(endpoint.bucket);
    s3->prefix = strdup(prefix);
    snprintf(s3->endpoint, sizeof(s3->endpoint), "%s", endpoint.base);
    if (!s3->bucket || !s3->prefix)
        result = err_set(err, ENOMEM, "no memory for a store");
    if (result == 0) {
        int n = snprintf(s3->base.id, sizeof(s3->base.id), "s3://%s/%s at %s", s3->bucket,
                         s3->prefix, s3->endpoint);
        if (n < 0 || (size_t)n >= sizeof(s3->base.id))
            result = err_set(err, ENAMETOOLONG, "bucket, prefix and endpoint are too long");
    }
    if (result == 0)
        result = s3_client_new(&client, &s3->client, err);
    if (result < 0) {
        s3_free(&s3->base);
        return result;
    }
    *out = &s3->base;
    return 0;
}
