#include "backend/s3/client.h"

#include "backend/base/clock.h"
#include "backend/base/crypto.h"
#include "backend/base/log.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/s3/answer.h"
#include "backend/s3/retry.h"
#include "backend/s3/times.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 10000
#define STALL_MS 30000
#define HEADER_BYTES 4096 // a session token is 1 to 2 KiB

struct s3_client {
    struct endpoint endpoint;
    char *region, *access_key;
    struct secret *secret_key;
    struct secret *session_token; // NULL: none
    unsigned deadline_ms;
    struct http_pool *pool;
    pthread_mutex_t lock;
    bool clock_known;
    int64_t clock_offset_ms;
};

int s3_client_new(const struct s3_client_conf *conf, struct s3_client **out, struct err *err)
{
    struct s3_client *client = calloc(1, sizeof(*client));
    if (!client)
        return err_set(err, ENOMEM, "no memory for an S3 client");
    client->endpoint = *conf->endpoint;
    client->deadline_ms = conf->deadline_ms;
    pthread_mutex_init(&client->lock, NULL);
    client->region = strdup(conf->region);
    client->access_key = strdup(conf->access_key);
    client->secret_key = secret_new(conf->secret_key, strlen(conf->secret_key));
    const char *token = conf->session_token;
    if (token[0])
        client->session_token = secret_new(token, strlen(token));
    int result = 0;
    if (!client->region || !client->access_key || !client->secret_key ||
        (token[0] && !client->session_token))
        result = err_set(err, ENOMEM, "no memory for an S3 client");
    else if (strlen(token) > HEADER_BYTES - 64)
        result = err_set(err, EINVAL, "the session token is too long");
    else
        result = http_pool_new(conf->connections, conf->ca_bundle, &client->pool, err);
    if (result < 0)
        s3_client_free(client);
    else
        *out = client;
    return result;
}

void s3_client_free(struct s3_client *client)
{
    if (!client)
        return;
    http_pool_free(client->pool);
    secret_free(client->secret_key);
    secret_free(client->session_token);
    free(client->region);
    free(client->access_key);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

static int64_t to_ms(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t s3_client_clock_offset_ms(struct s3_client *client)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&client->lock);
    return client->clock_offset_ms;
}

struct timespec s3_client_now(struct s3_client *client)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t ms = to_ms(now) + s3_client_clock_offset_ms(client);
    return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

// Every answer's Date, a whole second, against the moment it came. Differences below two seconds are what that
// resolution and the way of the answer make: the offset stays steady then.
static void note_clock(struct s3_client *client, const struct http_response *response)
{
    const char *date = http_header(response, "date");
    time_t seconds;
    if (!date || !times_parse_http(date, &seconds))
        return;
    int64_t offset = (int64_t)seconds * 1000 + 500 - to_ms(response->answered);
    auto_unlock pthread_mutex_t *held = scope_lock(&client->lock);
    int64_t change = offset - client->clock_offset_ms;
    if (change <= -2000 || change >= 2000)
        client->clock_offset_ms = offset;
    client->clock_known = true;
}

static void sleep_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        ;
}

static uint64_t random_u64(void)
{
    uint64_t random;
    crypto_random(&random, sizeof(random));
    return random;
}

bool s3_client_pause(unsigned failed, uint64_t since_ms, uint64_t deadline_ms)
{
    struct retry retry = {
        .deadline_ms = deadline_ms, .since_ms = since_ms, .failed = failed ? failed - 1 : 0};
    uint64_t delay;
    if (!retry_delay(&retry, clock_ms(), 0, 0, random_u64(), &delay))
        return false;
    sleep_ms(delay);
    return true;
}

// --- one try ---

struct text_source {
    struct source base;
    const char *text;
};

static int text_read_at(struct source *source, uint64_t off, void *out, size_t len, struct err *err)
{
    (void)err;
    memcpy(out, ((struct text_source *)source)->text + off, len);
    return 0;
}

static void text_free(struct source *source)
{
    (void)source; // lives on the caller's stack
}

static const struct source_ops text_ops = {.read_at = text_read_at, .free = text_free};

// Once for a call, not for each try: 64 KiB at a time.
static int hash_body(struct source *body, char out[SIGN_HASH_BYTES], struct err *err)
{
    if (!body || body->size == 0) {
        memcpy(out, SIGN_EMPTY_HASH, SIGN_HASH_BYTES);
        return 0;
    }
    size_t room = (size_t)min_u64(body->size, 64 * KIB);
    uint8_t *piece = malloc(room);
    struct sha256 *hash = sha256_new();
    int result = piece && hash ? 0 : err_set(err, ENOMEM, "no memory to hash a body");
    for (uint64_t off = 0; result == 0 && off < body->size; off += room) {
        size_t len = (size_t)min_u64(room, body->size - off);
        result = source_read_at(body, off, piece, len, err);
        if (result == 0)
            sha256_update(hash, piece, len);
    }
    if (result == 0) {
        uint8_t digest[SHA256_BYTES];
        sha256_final(hash, digest);
        sign_hex(digest, out);
    }
    sha256_free(hash);
    free(piece);
    return result;
}

// The request of one try: headers with the time of now, and the signature over them. The texts it points to live here.
struct attempt {
    struct http_request http;
    char path[ENDPOINT_PATH_BYTES];
    char query[8192];
    char url[sizeof((struct endpoint *)0)->url + ENDPOINT_PATH_BYTES + 8192];
    char date[TIMES_AMZ_BYTES];
    char authorization[SIGN_AUTHORIZATION_BYTES];
    struct sign_pair pairs[S3_CALL_PAIRS + 4];
    size_t pair_count;
    char lines[S3_CALL_PAIRS + 4][HEADER_BYTES];
};

static void attempt_pair(struct attempt *attempt, const char *name, const char *value)
{
    attempt->pairs[attempt->pair_count++] = (struct sign_pair){name, value};
}

static int attempt_line(struct attempt *attempt, const char *name, const char *value,
                        struct err *err)
{
    assert(attempt->http.header_count < S3_CALL_PAIRS + 4);
    char *line = attempt->lines[attempt->http.header_count];
    int n = snprintf(line, HEADER_BYTES, "%s: %s", name, value);
    if (n < 0 || n >= HEADER_BYTES)
        return err_set(err, EINVAL, "the header %s is too long", name);
    attempt->http.headers[attempt->http.header_count++] = line;
    return 0;
}

static int attempt_sign(struct s3_client *client, const struct s3_call *call, const char *body_hash,
                        struct attempt *attempt, struct err *err)
{
    times_format_amz(s3_client_now(client).tv_sec, attempt->date);
    attempt->pair_count = 0;
    attempt->http.header_count = 0;
    attempt_pair(attempt, "host", client->endpoint.host);
    attempt_pair(attempt, "x-amz-content-sha256", body_hash);
    attempt_pair(attempt, "x-amz-date", attempt->date);
    if (client->session_token)
        attempt_pair(attempt, "x-amz-security-token", (const char *)client->session_token->bytes);
    for (size_t i = 0; i < call->header_count; i++)
        attempt_pair(attempt, call->headers[i].name, call->headers[i].value);
    struct sign_identity identity = {client->access_key, client->secret_key, client->region};
    struct sign_request request = {
        .method = call->method,
        .path = attempt->path,
        .query = attempt->query,
        .headers = attempt->pairs,
        .header_count = attempt->pair_count,
        .payload_hash = body_hash,
    };
    int result =
        sign_authorization(&identity, &request, attempt->date, attempt->authorization, err);
    for (size_t i = 1; result == 0 && i < attempt->pair_count; i++) // curl makes Host itself
        result = attempt_line(attempt, attempt->pairs[i].name, attempt->pairs[i].value, err);
    if (result == 0)
        result = attempt_line(attempt, "Authorization", attempt->authorization, err);
    return result;
}

static int attempt_begin(struct s3_client *client, const struct s3_call *call,
                         struct attempt *attempt, struct err *err)
{
    int result = endpoint_path(&client->endpoint, call->key, attempt->path, err);
    if (result == 0)
        result =
            sign_query(call->query, call->query_count, attempt->query, sizeof(attempt->query), err);
    if (result < 0)
        return result;
    snprintf(attempt->url, sizeof(attempt->url), "%s%s%s%s", client->endpoint.url, attempt->path,
             attempt->query[0] ? "?" : "", attempt->query);
    attempt->http.method = call->method;
    attempt->http.url = attempt->url;
    attempt->http.into = call->into;
    attempt->http.into_len = call->into_len;
    return 0;
}

// What S3 says beyond the status. A late answer that is no XML at all was cut: as if the line had broken.
static void read_error(struct s3_call *call)
{
    struct http_response *response = &call->response;
    bool success = response->status >= 200 && response->status < 300;
    if (success && !call->late_error)
        return;
    int result = response->text
                     ? xml_parse_error(response->text, response->text_len, &call->error, NULL)
                     : -EUCLEAN;
    if (result < 0 && success)
        response->failure = HTTP_BROKEN;
}

// --- the call ---

static int give_up(const struct s3_client *client, const struct s3_call *call,
                   const struct retry *retry, const struct err *last, struct err *err)
{
    unsigned long long seconds = (retry->deadline_ms + 999) / 1000;
    if (call->response.failure == HTTP_UNREACHABLE)
        return err_set(err, ETIMEDOUT,
                       "%s is unreachable (%s), %u tries in %llu s: is the endpoint right, the "
                       "server up, the network there?",
                       client->endpoint.base, last->text, call->tries, seconds);
    return err_set(err, ETIMEDOUT, "%s, no progress within %llu s", last->text, seconds);
}

static unsigned retry_after(const struct http_response *response)
{
    const char *text = http_header(response, "retry-after");
    unsigned long value = text ? strtoul(text, NULL, 10)
                               : 0; // a date there is read as its day: small
    return value > 3600 ? 3600 : (unsigned)value;
}

static int outcome_error(const struct s3_client *client, const struct s3_call *call, int sent,
                         struct err *err)
{
    switch (call->response.failure) {
    case HTTP_ANSWERED:
        return answer_error(call, err);
    case HTTP_UNTRUSTED:
        return err_prefix(err,
                          "the certificate of %s cannot be trusted (a private CA belongs into "
                          "ca_bundle or AWS_CA_BUNDLE)",
                          client->endpoint.base);
    case HTTP_BROKEN:
        if (sent == 0)
            return err_set(err, EIO, "HTTP %d with an answer cut short", call->response.status);
        return sent;
    case HTTP_UNREACHABLE:
    case HTTP_STALLED:
    case HTTP_EXCESS:
    case HTTP_LOCAL:
        break;
    }
    return sent;
}

static int run(struct s3_client *client, struct s3_call *call, struct attempt *attempt,
               struct err *err)
{
    struct text_source text = {.base = {.ops = &text_ops, .size = call->text_len},
                               .text = call->text};
    attempt->http.body = call->text ? &text.base : call->body;
    char body_hash[SIGN_HASH_BYTES];
    int result = hash_body(attempt->http.body, body_hash, err);
    if (result < 0)
        return result;
    struct retry retry;
    unsigned deadline = call->deadline_ms ? call->deadline_ms : client->deadline_ms;
    retry_begin(&retry, deadline, clock_ms());
    bool clock_mended = false;
    for (;;) {
        uint64_t left = retry_left_ms(&retry, clock_ms());
        attempt->http.connect_ms = (unsigned)min_u64(left, CONNECT_MS);
        attempt->http.stall_ms = (unsigned)(call->late_error ? left : min_u64(left, STALL_MS));
        result = attempt_sign(client, call, body_hash, attempt, err);
        if (result < 0)
            return result;
        s3_call_done(call);
        call->error = (struct xml_error){0};
        call->tries++;
        struct err last = {0};
        int sent = http_send(client->pool, &attempt->http, &call->response, &last);
        note_clock(client, &call->response);
        if (sent == 0)
            read_error(call);
        struct retry_outcome outcome = {call->response.failure, call->response.status,
                                        call->error.code};
        enum retry_verdict verdict = retry_judge(&outcome);
        call->maybe_done |= call->response.sent > 1;
        if (verdict == RETRY_DONE)
            return 0;
        call->maybe_done |= retry_maybe_done(&outcome);
        (void)outcome_error(client, call, sent, &last);
        log_debug("s3: %s '%s': try %u: %s", call->method, call->key ? call->key : "", call->tries,
                  last.text);
        if (verdict == RETRY_CLOCK && !clock_mended) {
            clock_mended = true;
            continue;
        }
        call->transient = verdict == RETRY_AGAIN;
        if (verdict != RETRY_AGAIN || call->once)
            return err_copy(err, &last);
        uint64_t delay;
        if (!retry_delay(&retry, clock_ms(), call->response.moved_bytes,
                         retry_after(&call->response), random_u64(), &delay))
            return give_up(client, call, &retry, &last, err);
        sleep_ms(delay);
        attempt->http.fresh = true; // perhaps another server answers
    }
}

int s3_client_call(struct s3_client *client, struct s3_call *call, struct err *err)
{
    auto_free struct attempt *attempt = calloc(1, sizeof(*attempt)); // 80 KiB: not on a stack
    if (!attempt)
        return err_set(err, ENOMEM, "no memory for a request");
    int result = attempt_begin(client, call, attempt, err);
    if (result == 0)
        result = run(client, call, attempt, err);
    if (client->session_token)
        secret_wipe(attempt->lines, sizeof(attempt->lines));
    return result;
}

void s3_call_done(struct s3_call *call)
{
    http_response_done(&call->response);
}
