#include "backend/base/scope.h"
#include "backend/s3/http.h"
#include "tests/support/fault_peer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct http_pool *pool;
static char url[64];

// One request to a peer that does `step`.
static int ask(const struct fault_step *step, struct http_request *request,
               struct http_response *response, struct err *err)
{
    struct fault_peer *peer = fault_peer_new(step, 1, 0, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", fault_peer_port(peer));
    request->url = url;
    request->connect_ms = 5000;
    if (!request->stall_ms)
        request->stall_ms = 20000;
    int result = http_send(pool, request, response, err);
    fault_peer_free(peer);
    return result;
}

static void test_text(void **state)
{
    (void)state;
    struct fault_step step = {FAULT_ANSWER, "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n"
                                            "X-Amz-Thing:  a b \r\nEmpty:\r\n\r\nhello"};
    struct http_request request = {.method = "GET"};
    struct http_response response;
    assert_int_equal(ask(&step, &request, &response, NULL), 0);
    assert_int_equal(response.failure, HTTP_ANSWERED);
    assert_int_equal(response.status, 404);
    assert_string_equal(response.text, "hello");
    assert_string_equal(http_header(&response, "x-amz-thing"), "a b");
    assert_string_equal(http_header(&response, "empty"), "");
    assert_null(http_header(&response, "x-amz"));
    assert_true(response.answered.tv_sec > 0);
    http_response_done(&response);
}

static void test_into(void **state)
{
    (void)state;
    char buf[6] = "......";
    struct http_request request = {.method = "GET", .into = buf, .into_len = 5};
    struct http_response response;
    struct fault_step step = {FAULT_ANSWER,
                              "HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nhello"};
    assert_int_equal(ask(&step, &request, &response, NULL), 0);
    assert_int_equal(response.into_len, 5);
    assert_memory_equal(buf, "hello.", 6);
    assert_null(response.text);
    // an error's body never goes there
    memset(buf, '.', sizeof(buf));
    step.answer = "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nerror";
    assert_int_equal(ask(&step, &request, &response, NULL), 0);
    assert_memory_equal(buf, "......", 6);
    assert_string_equal(response.text, "error");
    http_response_done(&response);
    // one byte more than was asked
    step.answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!";
    struct err err = {0};
    assert_int_equal(ask(&step, &request, &response, &err), -EUCLEAN);
    assert_int_equal(response.failure, HTTP_EXCESS);
    assert_int_equal(buf[5], '.');
    http_response_done(&response);
}

static void test_broken(void **state)
{
    (void)state;
    static const struct fault_step steps[] = {
        {FAULT_CLOSE, NULL},
        {FAULT_ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"},
        {FAULT_ANSWER, "HTTP/1.1 200 O"},
        {FAULT_ANSWER, "no HTTP at all, ever\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct http_request request = {.method = "GET"};
        struct http_response response;
        struct err err = {0};
        int result = ask(&steps[i], &request, &response, &err);
        if (result != -EIO || response.failure != HTTP_BROKEN || !err.text[0])
            fail_msg("%zu: %d, failure %d, %s", i, result, (int)response.failure, err.text);
        http_response_done(&response);
    }
}

static void test_stalled(void **state)
{
    (void)state;
    struct fault_step step = {FAULT_HANG, NULL};
    struct http_request request = {.method = "GET", .stall_ms = 1000};
    struct http_response response;
    assert_int_equal(ask(&step, &request, &response, NULL), -ETIMEDOUT);
    assert_int_equal(response.failure, HTTP_STALLED);
    http_response_done(&response);
}

static void test_unreachable(void **state)
{
    (void)state;
    struct fault_step step = {FAULT_CLOSE, NULL};
    struct fault_peer *peer = fault_peer_new(&step, 1, 0, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", fault_peer_port(peer));
    fault_peer_free(peer); // nobody listens there now
    struct http_request request = {
        .method = "GET", .url = url, .connect_ms = 5000, .stall_ms = 5000};
    struct http_response response;
    assert_int_equal(http_send(pool, &request, &response, NULL), -EIO);
    assert_int_equal(response.failure, HTTP_UNREACHABLE);
    request.url = "gopher://127.0.0.1/";
    assert_int_equal(http_send(pool, &request, &response, NULL), -EIO);
    assert_int_equal(response.failure, HTTP_LOCAL);
}

static int fail_read(struct source *source, uint64_t off, void *out, size_t len, struct err *err)
{
    (void)source, (void)off, (void)out, (void)len;
    return err_set(err, EBADMSG, "the body is damaged");
}

static int zero_read(struct source *source, uint64_t off, void *out, size_t len, struct err *err)
{
    (void)source, (void)off, (void)err;
    memset(out, 'z', len);
    return 0;
}

static void no_free(struct source *source)
{
    (void)source;
}

static const struct source_ops fail_ops = {fail_read, no_free}, zero_ops = {zero_read, no_free};

static void test_body(void **state)
{
    (void)state;
    struct fault_step step = {FAULT_ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    struct source body = {.ops = &zero_ops, .size = 3000000};
    struct http_request request = {.method = "PUT", .body = &body};
    struct http_response response;
    assert_int_equal(ask(&step, &request, &response, NULL), 0);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.moved_bytes, 3000000);
    body = (struct source){.ops = &fail_ops, .size = 10};
    struct err err = {0};
    assert_int_equal(ask(&step, &request, &response, &err), -EBADMSG);
    assert_int_equal(response.failure, HTTP_LOCAL);
    assert_string_equal(err.text, "the body is damaged");
}

// Headers beyond the room there is are left out, not written past it.
static void test_many_headers(void **state)
{
    (void)state;
    static char answer[40000];
    size_t used = (size_t)snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nFirst: 1\r\n");
    for (int i = 0; i < 300; i++)
        used += (size_t)snprintf(answer + used, sizeof(answer) - used, "H%d: %0100d\r\n", i, i);
    snprintf(answer + used, sizeof(answer) - used, "Content-Length: 2\r\n\r\nok");
    struct fault_step step = {FAULT_ANSWER, answer};
    struct http_request request = {.method = "GET"};
    struct http_response response;
    assert_int_equal(ask(&step, &request, &response, NULL), 0);
    assert_string_equal(http_header(&response, "first"), "1");
    assert_string_equal(response.text, "ok");
    http_response_done(&response);
}

static void *ask_some(void *ctx)
{
    for (int i = 0; i < 5; i++) {
        struct http_request request = {
            .method = "GET", .url = url, .connect_ms = 20000, .stall_ms = 20000};
        struct http_response response;
        if (http_send(pool, &request, &response, NULL) != 0 || response.status != 200)
            *(int *)ctx = 1;
        http_response_done(&response);
    }
    return NULL;
}

// More threads than handles: all get their turn.
static void test_bound(void **state)
{
    (void)state;
    struct fault_step step = {FAULT_ANSWER, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    struct fault_peer *peer = fault_peer_new(&step, 1, 0, NULL);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", fault_peer_port(peer));
    pthread_t threads[8];
    int failed[8] = {0};
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_some, &failed[i]), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    unsigned requests = fault_peer_requests(peer);
    fault_peer_free(peer);
    for (int i = 0; i < 8; i++)
        assert_int_equal(failed[i], 0);
    assert_int_equal(requests, 40);
}

static int setup(void **state)
{
    (void)state;
    return http_pool_new(2, NULL, &pool, NULL);
}

static int teardown(void **state)
{
    (void)state;
    http_pool_free(pool);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),         cmocka_unit_test(test_into),
        cmocka_unit_test(test_broken),       cmocka_unit_test(test_stalled),
        cmocka_unit_test(test_unreachable),  cmocka_unit_test(test_body),
        cmocka_unit_test(test_many_headers), cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
