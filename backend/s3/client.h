// One S3 call, as often as it takes: signs, sends, judges (retry.c), waits, tries again. What a call means belongs to
// store/s3.c.
//
// Threads: any number of calls at once. A call holds no lock while it is sent or waits.
#pragma once

#include "backend/base/err.h"
#include "backend/base/secret.h"
#include "backend/s3/endpoint.h"
#include "backend/s3/http.h"
#include "backend/s3/sign.h"
#include "backend/s3/xml.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct s3_client;

struct s3_client_conf { // copied, the secret keys too
    const struct endpoint *endpoint;
    const char *region, *access_key, *secret_key, *session_token; // token "" when there is none
    const char *ca_bundle;                                        // "" the system's
    unsigned deadline_ms, connections;
};

int s3_client_new(const struct s3_client_conf *, struct s3_client **out, struct err *err);
void s3_client_free(struct s3_client *); // no call may be under way

#define S3_CALL_PAIRS 8

struct s3_call {
    // asked
    const char *method;
    const char *key; // NULL: the bucket itself
    struct sign_pair query[S3_CALL_PAIRS];
    size_t query_count;
    struct sign_pair headers[S3_CALL_PAIRS]; // names in lower case; Range, If-Match, x-amz-...
    size_t header_count;
    struct source *body; // or
    const char *text;    // a small body
    size_t text_len;
    void *into; // as in http_request
    size_t into_len;
    bool late_error;      // the server may take minutes, and say <Error> in a 200
    unsigned deadline_ms; // 0: the client's
    bool once;            // one try only: the caller looks around before he tries again
    // answered
    struct http_response response;
    struct xml_error error; // of S3's <Error>; code "" if there was none
    unsigned tries;
    bool maybe_done; // one of the tries that failed may have been carried out
    bool transient;  // of a call with `once`: failed in a way that another try may mend
};

static inline void s3_call_query(struct s3_call *call, const char *name, const char *value)
{
    assert(call->query_count < S3_CALL_PAIRS);
    call->query[call->query_count++] = (struct sign_pair){name, value};
}

static inline void s3_call_header(struct s3_call *call, const char *name, const char *value)
{
    assert(call->header_count < S3_CALL_PAIRS);
    call->headers[call->header_count++] = (struct sign_pair){name, value};
}

// 0 for a 2xx without <Error>. Else -errno and a sentence ("HTTP 503 SlowDown, 5 tries"); call->response.status (0: no
// answer) and call->error.code tell the caller which cases are his. Done with s3_call_done in both cases.
int s3_client_call(struct s3_client *, struct s3_call *, struct err *err);
void s3_call_done(struct s3_call *);

// How far the server's clock is ahead; 0 before the first answer.
int64_t s3_client_clock_offset_ms(struct s3_client *);
struct timespec s3_client_now(struct s3_client *);
// Sleeps as a retry does, with jitter, before attempt number `failed` + 1 of something that is repeated above a call.
// False once `deadline_ms` have passed since `since_ms` (clock_ms).
bool s3_client_pause(unsigned failed, uint64_t since_ms, uint64_t deadline_ms);
