// HTTP over a bounded pool of curl handles with keep-alive: one request, one answer. It knows nothing of S3 and tries
// nothing twice; retry.c judges what it reports.
//
// Threads: any number at once; a request waits while all handles are in use. Nothing is started and curl is not touched
// before the first request, so a pool may be made before the daemon forks.
#pragma once

#include "backend/base/err.h"
#include "backend/stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct http_pool;

// `ca_bundle` NULL or "": the system's. `connections` at least 1.
int http_pool_new(unsigned connections, const char *ca_bundle, struct http_pool **out,
                  struct err *err);
void http_pool_free(struct http_pool *); // no request may be under way

// What went wrong below HTTP.
enum http_failure {
    HTTP_ANSWERED,    // nothing: there is a status
    HTTP_UNREACHABLE, // no connection: the request was not sent
    HTTP_BROKEN,      // the line broke; whether the request was carried out is not known
    HTTP_STALLED,     // no byte moved for stall_ms; as above
    HTTP_UNTRUSTED,   // TLS: the server's certificate does not hold
    HTTP_EXCESS,      // more bytes came than were asked for
    HTTP_LOCAL,       // our side: body not readable, no memory, URL malformed
};

#define HTTP_HEADERS_MAX 24

struct http_request {
    const char *method; // GET HEAD PUT POST DELETE
    const char *url;
    const char *headers[HTTP_HEADERS_MAX]; // "name: value"
    unsigned header_count;
    struct source *body; // of PUT and POST; NULL: empty
    void *into; // where a 2xx answer goes, exactly into_len bytes at most; NULL: into `text`
    size_t into_len;
    unsigned connect_ms, stall_ms;
    bool fresh; // on a new connection, after asking the DNS again
};

struct http_response {
    enum http_failure failure;
    int status;
    size_t into_len; // bytes in `into`
    char *text;      // malloc'ed, NUL-terminated, or NULL; http_response_done
    size_t text_len;
    uint64_t moved_bytes; // of bodies, both ways
    // how often: curl does it again by itself when a connection that was used before breaks
    unsigned sent;
    struct timespec answered; // CLOCK_REALTIME when the status line came
    char headers[8192];       // name NUL value NUL ..., names in lower case
    size_t headers_len;
};

// 0 when there is an answer, whatever its status; else -errno, and response->failure says more. The response is filled
// in both cases, and done with http_response_done.
int http_send(struct http_pool *, const struct http_request *, struct http_response *,
              struct err *err);
// NULL when there is none. `name` in lower case.
const char *http_header(const struct http_response *, const char *name);
void http_response_done(struct http_response *);
