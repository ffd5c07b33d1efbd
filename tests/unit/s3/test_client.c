#include "backend/s3/client.h"
#include "backend/s3/times.h"
#include "tests/support/fault_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define BUSY "HTTP/1.1 503 Slow\r\nContent-Length: 36\r\n\r\n<Error><Code>SlowDown</Code></Error>"

static struct fault_peer *peer;
static struct s3_client *client;

static void start(const struct fault_step *steps, size_t count, unsigned deadline_ms)
{
    char text[64];
    struct endpoint endpoint;
    peer = fault_peer_new(steps, count, 0, NULL);
    snprintf(text, sizeof(text), "http://127.0.0.1:%u", fault_peer_port(peer));
    assert_int_equal(endpoint_parse(text, "r", "bucket", ENDPOINT_AUTO, &endpoint, NULL), 0);
    struct s3_client_conf conf = {.endpoint = &endpoint,
                                  .region = "r",
                                  .access_key = "ak",
                                  .secret_key = "sk",
                                  .session_token = "a/session+token",
                                  .ca_bundle = "",
                                  .deadline_ms = deadline_ms,
                                  .connections = 2};
    assert_int_equal(s3_client_new(&conf, &client, NULL), 0);
}

static void stop(void)
{
    s3_client_free(client);
    fault_peer_free(peer);
}

// Tries again until it works, each time with a signature of its own.
static void test_again(void **state)
{
    (void)state;
    static const struct fault_step steps[] = {
        {FAULT_ANSWER, BUSY}, {FAULT_CLOSE, NULL}, {FAULT_ANSWER, OK_EMPTY}};
    start(steps, 3, 60000);
    struct s3_call call = {.method = "GET", .key = "a b/c"};
    s3_call_query(&call, "uploads", "");
    assert_int_equal(s3_client_call(client, &call, NULL), 0);
    assert_int_equal(call.tries, 3);
    assert_int_equal(fault_peer_requests(peer), 3);
    const char *head = fault_peer_head(peer, 2);
    assert_non_null(strstr(head, "GET /bucket/a%20b/c?uploads= HTTP/1.1"));
    assert_non_null(strstr(head, "x-amz-security-token: a/session+token"));
    assert_non_null(strstr(head, "SignedHeaders=host;x-amz-content-sha256;x-amz-date;"
                                 "x-amz-security-token,Signature="));
    assert_null(strstr(head, "Expect:"));
    s3_call_done(&call);
    stop();
}

static void test_final(void **state)
{
    (void)state;
    static const struct fault_step step = {
        FAULT_ANSWER,
        "HTTP/1.1 403 No\r\nContent-Length: 40\r\n\r\n<Error><Code>AccessDenied</Code></Error>"};
    start(&step, 1, 60000);
    struct s3_call call = {.method = "GET", .key = "k"};
    struct err err = {0};
    assert_int_equal(s3_client_call(client, &call, &err), -EACCES);
    assert_int_equal(fault_peer_requests(peer), 1);
    assert_string_equal(call.error.code, "AccessDenied");
    s3_call_done(&call);
    stop();
}

static void test_deadline(void **state)
{
    (void)state;
    static const struct fault_step step = {FAULT_ANSWER, BUSY};
    start(&step, 1, 300);
    struct s3_call call = {.method = "GET", .key = "k"};
    struct err err = {0};
    assert_int_equal(s3_client_call(client, &call, &err), -ETIMEDOUT);
    assert_non_null(strstr(err.text, "SlowDown"));
    assert_non_null(strstr(err.text, "no progress"));
    assert_true(call.maybe_done);
    s3_call_done(&call);
    call = (struct s3_call){.method = "GET", .key = "k", .once = true};
    assert_int_equal(s3_client_call(client, &call, &err), -EIO);
    assert_int_equal(call.tries, 1);
    assert_true(call.transient);
    s3_call_done(&call);
    stop();
}

static void test_late_error(void **state)
{
    (void)state;
    static const char done[] = "HTTP/1.1 200 OK\r\nContent-Length: 52\r\n\r\n"
                               "<CopyObjectResult><ETag>e</ETag></CopyObjectResult> ";
    static const struct fault_step steps[] = {
        {FAULT_ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n"
                       "  <Error><Code>InternalError</Code></Error>"},
        {FAULT_ANSWER, OK_EMPTY}, // cut before it began
        {FAULT_ANSWER, done},
    };
    start(steps, 3, 60000);
    struct s3_call call = {.method = "PUT", .key = "k", .late_error = true};
    assert_int_equal(s3_client_call(client, &call, NULL), 0);
    assert_int_equal(call.tries, 3);
    assert_true(call.maybe_done);
    struct xml_result result;
    assert_int_equal(xml_parse_result(call.response.text, call.response.text_len, &result, NULL),
                     0);
    s3_call_done(&call);
    stop();
}

// The server's clock is two hours ahead: once refused, then signed with its time. And then it is kept.
static void test_clock(void **state)
{
    (void)state;
    static char skewed[512];
    char date[64];
    time_t ahead = time(NULL) + 7200;
    struct tm parts;
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&ahead, &parts));
    snprintf(skewed, sizeof(skewed),
             "HTTP/1.1 403 No\r\nDate: %s\r\nContent-Length: 48\r\n\r\n"
             "<Error><Code>RequestTimeTooSkewed</Code></Error>",
             date);
    const struct fault_step steps[] = {
        {FAULT_ANSWER, skewed}, {FAULT_ANSWER, OK_EMPTY}, {FAULT_ANSWER, skewed}};
    start(steps, 3, 60000);
    struct s3_call call = {.method = "GET", .key = "k"};
    assert_int_equal(s3_client_call(client, &call, NULL), 0);
    assert_int_equal(call.tries, 2);
    int64_t offset = s3_client_clock_offset_ms(client);
    assert_true(offset > 7100000 && offset < 7300000);
    char stamp[TIMES_AMZ_BYTES], line[64];
    times_format_amz(ahead, stamp);
    snprintf(line, sizeof(line), "x-amz-date: %.11s", stamp); // to the hour
    char next[64];
    times_format_amz(ahead + 60, stamp); // the hour may have turned meanwhile
    snprintf(next, sizeof(next), "x-amz-date: %.11s", stamp);
    const char *head = fault_peer_head(peer, 1);
    assert_true(strstr(head, line) || strstr(head, next));
    s3_call_done(&call);
    call = (struct s3_call){.method = "GET", .key = "k"};
    struct err err = {0};
    assert_int_equal(s3_client_call(client, &call, &err), -EACCES); // twice in a row is final
    assert_int_equal(call.tries, 2);
    s3_call_done(&call);
    stop();
}

static void test_text_body(void **state)
{
    (void)state;
    static const struct fault_step steps[] = {{FAULT_CLOSE, NULL}, {FAULT_ANSWER, OK_EMPTY}};
    start(steps, 2, 60000);
    struct s3_call call = {.method = "POST", .key = "k", .text = "hello", .text_len = 5};
    assert_int_equal(s3_client_call(client, &call, NULL), 0);
    const char *head = fault_peer_head(peer, 1);
    assert_non_null(strstr(head, "Content-Length: 5"));
    assert_non_null(strstr(
        head,
        "x-amz-content-sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"));
    s3_call_done(&call);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_again),    cmocka_unit_test(test_final),
        cmocka_unit_test(test_deadline), cmocka_unit_test(test_late_error),
        cmocka_unit_test(test_clock),    cmocka_unit_test(test_text_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
