#include "backend/s3/http.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_MAX ((size_t)8 << 20)       // a listing of 1,000 keys is 4 MiB at worst
#define UPLOAD_BUFFER ((long)512 * 1024) // curl's own 64 KiB halve the speed of an upload

struct http_pool {
    unsigned bound;
    char *ca_bundle; // NULL: the system's
    pthread_mutex_t lock;
    pthread_cond_t returned;
    CURL **idle; // the last used on top: its connection is the warmest
    unsigned idle_count;
    unsigned in_use;
};

// What the callbacks of one request share.
struct transfer {
    const struct http_request *request;
    struct http_response *response;
    uint64_t body_off;    // of the body, the next byte to send
    struct err body_err;  // the body could not be read
    bool excess, no_room; // more than was asked; no memory
};

int http_pool_new(unsigned connections, const char *ca_bundle, struct http_pool **out,
                  struct err *err)
{
    struct http_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return err_set(err, ENOMEM, "no memory for a connection pool");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->returned, NULL);
    pool->bound = connections ? connections : 1;
    pool->idle = calloc(pool->bound, sizeof(*pool->idle));
    bool ca = ca_bundle && *ca_bundle;
    if (ca)
        pool->ca_bundle = strdup(ca_bundle);
    if (!pool->idle || (ca && !pool->ca_bundle)) {
        http_pool_free(pool);
        return err_set(err, ENOMEM, "no memory for a connection pool");
    }
    *out = pool;
    return 0;
}

void http_pool_free(struct http_pool *pool)
{
    if (!pool)
        return;
    int saved = errno;
    for (unsigned i = 0; pool->idle && i < pool->idle_count; i++)
        curl_easy_cleanup(pool->idle[i]);
    pthread_cond_destroy(&pool->returned);
    pthread_mutex_destroy(&pool->lock);
    free(pool->idle);
    free(pool->ca_bundle);
    free(pool);
    errno = saved;
}

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static CURL *acquire(struct http_pool *pool)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&pool->lock);
        // no deadline: whoever holds a handle has one
        while (pool->in_use == pool->bound)
            pthread_cond_wait(&pool->returned, &pool->lock);
        pool->in_use++;
        if (pool->idle_count)
            return pool->idle[--pool->idle_count];
    }
    return curl_easy_init();
}

static void release(struct http_pool *pool, CURL *handle)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&pool->lock);
    if (handle)
        pool->idle[pool->idle_count++] = handle;
    pool->in_use--;
    pthread_cond_signal(&pool->returned);
}

static size_t send_body(char *to, size_t size, size_t count, void *ctx)
{
    struct transfer *transfer = ctx;
    struct source *body = transfer->request->body;
    if (!body)
        return 0;
    size_t len = (size_t)min_u64(size * count, body->size - transfer->body_off);
    if (source_read_at(body, transfer->body_off, to, len, &transfer->body_err) < 0)
        return CURL_READFUNC_ABORT;
    transfer->body_off += len;
    return len;
}

// curl goes back when a kept connection turns out to be dead.
static int seek_body(void *ctx, curl_off_t off, int origin)
{
    struct transfer *transfer = ctx;
    uint64_t size = transfer->request->body ? transfer->request->body->size : 0;
    if (origin != SEEK_SET || off < 0 || (uint64_t)off > size)
        return CURL_SEEKFUNC_FAIL;
    transfer->body_off = (uint64_t)off;
    return CURL_SEEKFUNC_OK;
}

static size_t take_text(struct transfer *transfer, const char *bytes, size_t len)
{
    struct http_response *response = transfer->response;
    if (len > TEXT_MAX - response->text_len) {
        transfer->excess = true;
        return 0;
    }
    // room doubles: the power of two at or above what is used, its end included
    size_t need = response->text_len + len + 1, room = 4096;
    while (room < need)
        room *= 2;
    char *text = realloc(response->text, room);
    if (!text) {
        transfer->no_room = true;
        return 0;
    }
    memcpy(text + response->text_len, bytes, len);
    response->text_len += len;
    text[response->text_len] = '\0';
    response->text = text;
    return len;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *ctx)
{
    struct transfer *transfer = ctx;
    struct http_response *response = transfer->response;
    const struct http_request *request = transfer->request;
    size_t len = size * count;
    if (!request->into || response->status < 200 || response->status > 299)
        return take_text(transfer, bytes, len);
    if (len > request->into_len - response->into_len) {
        transfer->excess = true;
        return 0;
    }
    memcpy((char *)request->into + response->into_len, bytes, len);
    response->into_len += len;
    return len;
}

static int count_sent(void *ctx, char *to, char *from, int to_port, int from_port)
{
    (void)to, (void)from, (void)to_port, (void)from_port;
    ((struct transfer *)ctx)->response->sent++;
    return CURL_PREREQFUNC_OK;
}

static size_t take_header(char *bytes, size_t size, size_t count, void *ctx)
{
    struct transfer *transfer = ctx;
    struct http_response *response = transfer->response;
    size_t len = size * count, end = len;
    while (end > 0 && (bytes[end - 1] == '\r' || bytes[end - 1] == '\n' || bytes[end - 1] == ' '))
        end--;
    if (end > 5 && memcmp(bytes, "HTTP/", 5) == 0) { // a 100 Continue may come before the answer
        const char *space = memchr(bytes, ' ', end);
        response->status = space ? (int)strtol(space + 1, NULL, 10) : 0;
        response->headers_len = 0;
        response->into_len = 0;
        response->text_len = 0;
        clock_gettime(CLOCK_REALTIME, &response->answered);
        return len;
    }
    const char *colon = memchr(bytes, ':', end);
    if (!colon)
        return len;
    size_t name = (size_t)(colon - bytes), value = name + 1;
    while (value < end && (bytes[value] == ' ' || bytes[value] == '\t'))
        value++;
    // what does not fit is left out: a server with 8 KiB of headers says nothing we ask for there
    size_t need = name + 1 + (end - value) + 1;
    if (need > sizeof(response->headers) - response->headers_len || memchr(bytes, '\0', end))
        return len;
    char *to = response->headers + response->headers_len;
    for (size_t i = 0; i < name; i++)
        to[i] = (char)(bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] + 32 : bytes[i]);
    to[name] = '\0';
    memcpy(to + name + 1, bytes + value, end - value);
    to[need - 1] = '\0';
    response->headers_len += need;
    return len;
}

const char *http_header(const struct http_response *response, const char *name)
{
    const char *p = response->headers, *end = p + response->headers_len;
    while (p < end) {
        const char *value = p + strlen(p) + 1;
        if (strcmp(p, name) == 0)
            return value;
        p = value + strlen(value) + 1;
    }
    return NULL;
}

void http_response_done(struct http_response *response)
{
    free(response->text);
    response->text = NULL;
    response->text_len = 0;
}

// A proxy from the environment must not get what is meant for this very machine.
static bool is_loopback(const char *url)
{
    static const char *const hosts[] = {"://127.", "://localhost:", "://localhost/", "://[::1]"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        if (strstr(url, hosts[i]))
            return true;
    return false;
}

static void set_method(CURL *curl, const struct http_request *request)
{
    if (strcmp(request->method, "GET") == 0) {
        curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
    } else if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (strcmp(request->method, "DELETE") == 0) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    } else {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
                         (curl_off_t)(request->body ? request->body->size : 0));
    }
}

static void set_options(CURL *curl, const struct http_pool *pool, struct transfer *transfer,
                        struct curl_slist *headers, char *error)
{
    const struct http_request *request = transfer->request;
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L); // "a//b" and "a/../b" are keys like others
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "bakfs/" BAKFS_VERSION);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
    // whole seconds, at least 2: curl looks once a second
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)max_u64(2, request->stall_ms / 1000));
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER);
    curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, count_sent);
    curl_easy_setopt(curl, CURLOPT_PREREQDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, send_body);
    curl_easy_setopt(curl, CURLOPT_READDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, seek_body);
    curl_easy_setopt(curl, CURLOPT_SEEKDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
    if (pool->ca_bundle)
        curl_easy_setopt(curl, CURLOPT_CAINFO, pool->ca_bundle);
    if (is_loopback(request->url))
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (request->fresh) {
        curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(curl, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    }
    set_method(curl, request);
}

static struct curl_slist *make_headers(const struct http_request *request)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    for (unsigned i = 0; list && i < request->header_count; i++) {
        struct curl_slist *longer = curl_slist_append(list, request->headers[i]);
        if (!longer)
            curl_slist_free_all(list);
        list = longer;
    }
    return list;
}

// A peer that goes away while OpenSSL writes raises SIGPIPE: not in this thread, and not left behind.
static CURLcode perform(CURL *curl)
{
    sigset_t pipe_only, before, pending;
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    CURLcode code = curl_easy_perform(curl);
    if (!sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe_only, NULL, &(struct timespec){0}) == -1 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static enum http_failure judge(CURLcode code)
{
    static const struct {
        CURLcode code;
        enum http_failure failure;
    } table[] = {
        {CURLE_COULDNT_RESOLVE_HOST, HTTP_UNREACHABLE},
        {CURLE_COULDNT_RESOLVE_PROXY, HTTP_UNREACHABLE},
        {CURLE_COULDNT_CONNECT, HTTP_UNREACHABLE},
        {CURLE_SSL_CONNECT_ERROR, HTTP_UNREACHABLE},
        {CURLE_OPERATION_TIMEDOUT, HTTP_STALLED},
        {CURLE_PEER_FAILED_VERIFICATION, HTTP_UNTRUSTED},
        {CURLE_SSL_CACERT_BADFILE, HTTP_UNTRUSTED},
        {CURLE_SSL_ISSUER_ERROR, HTTP_UNTRUSTED},
        {CURLE_SSL_INVALIDCERTSTATUS, HTTP_UNTRUSTED},
        {CURLE_URL_MALFORMAT, HTTP_LOCAL},
        {CURLE_UNSUPPORTED_PROTOCOL, HTTP_LOCAL},
        {CURLE_OUT_OF_MEMORY, HTTP_LOCAL},
        {CURLE_FAILED_INIT, HTTP_LOCAL},
        {CURLE_ABORTED_BY_CALLBACK, HTTP_LOCAL},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (table[i].code == code)
            return table[i].failure;
    return HTTP_BROKEN;
}

static int report(CURL *curl, CURLcode code, const char *error, struct transfer *transfer,
                  struct err *err)
{
    struct http_response *response = transfer->response;
    if (code == CURLE_OK && response->status > 0)
        return 0;
    // A server that refuses early may close while the body is still being sent: the refusal counts.
    if (response->status >= 400 && (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR))
        return 0;
    response->failure = judge(code);
    if (transfer->excess) {
        response->failure = HTTP_EXCESS;
        return err_set(err, EUCLEAN, "the server sent more than was asked for");
    }
    if (transfer->body_err.code || transfer->no_room) {
        response->failure = HTTP_LOCAL;
        return transfer->no_room ? err_set(err, ENOMEM, "no memory for an answer")
                                 : err_copy(err, &transfer->body_err);
    }
    curl_off_t ready_us = 0; // stays 0 until there is a connection and its TLS
    curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    if (code == CURLE_OPERATION_TIMEDOUT && ready_us == 0)
        response->failure = HTTP_UNREACHABLE;
    if (code == CURLE_UNSUPPORTED_PROTOCOL && ready_us != 0)
        response->failure = HTTP_BROKEN; // sent, and what came back is no HTTP
    return err_set(err, response->failure == HTTP_STALLED ? ETIMEDOUT : EIO, "%s",
                   error[0] ? error : curl_easy_strerror(code));
}

int http_send(struct http_pool *pool, const struct http_request *request,
              struct http_response *response, struct err *err)
{
    memset(response, 0, sizeof(*response));
    struct transfer transfer = {.request = request, .response = response};
    CURL *curl = acquire(pool);
    struct curl_slist *headers = curl ? make_headers(request) : NULL;
    int result;
    if (!headers) {
        response->failure = HTTP_LOCAL;
        result = err_set(err, ENOMEM, "no memory for a request");
    } else {
        char error[CURL_ERROR_SIZE] = "";
        set_options(curl, pool, &transfer, headers, error);
        CURLcode code = perform(curl);
        curl_off_t sent = 0, received = 0;
        curl_easy_getinfo(curl, CURLINFO_SIZE_UPLOAD_T, &sent);
        curl_easy_getinfo(curl, CURLINFO_SIZE_DOWNLOAD_T, &received);
        response->moved_bytes = (uint64_t)sent + (uint64_t)received;
        result = report(curl, code, error, &transfer, err);
        curl_easy_reset(curl); // keeps the connection, forgets all that pointed here
        curl_slist_free_all(headers);
    }
    release(pool, curl);
    return result;
}
