#include "backend/s3/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_judge(void **state)
{
    (void)state;
    static const struct {
        struct retry_outcome outcome;
        enum retry_verdict verdict;
        bool maybe_done;
    } table[] = {
        {{HTTP_ANSWERED, 200, ""}, RETRY_DONE, true},
        {{HTTP_ANSWERED, 204, ""}, RETRY_DONE, true},
        {{HTTP_ANSWERED, 206, ""}, RETRY_DONE, true},
        {{HTTP_ANSWERED, 200, "InternalError"}, RETRY_AGAIN, true},
        {{HTTP_ANSWERED, 200, "SlowDown"}, RETRY_AGAIN, true},
        {{HTTP_ANSWERED, 200, "InvalidPart"}, RETRY_FINAL, true},
        {{HTTP_ANSWERED, 500, "InternalError"}, RETRY_AGAIN, true},
        {{HTTP_ANSWERED, 502, ""}, RETRY_AGAIN, true},
        {{HTTP_ANSWERED, 503, "SlowDown"}, RETRY_AGAIN, true},
        {{HTTP_ANSWERED, 504, ""}, RETRY_AGAIN, true},
        {{HTTP_ANSWERED, 501, "NotImplemented"}, RETRY_FINAL, true},
        {{HTTP_ANSWERED, 507, ""}, RETRY_FINAL, true},
        {{HTTP_ANSWERED, 408, ""}, RETRY_AGAIN, false},
        {{HTTP_ANSWERED, 429, ""}, RETRY_AGAIN, false},
        {{HTTP_ANSWERED, 400, "RequestTimeout"}, RETRY_AGAIN, false},
        {{HTTP_ANSWERED, 400, "BadDigest"}, RETRY_AGAIN, false},
        {{HTTP_ANSWERED, 400, "XAmzContentSHA256Mismatch"}, RETRY_AGAIN, false},
        {{HTTP_ANSWERED, 400, "InvalidRequest"}, RETRY_FINAL, false},
        {{HTTP_ANSWERED, 400, "ExpiredToken"}, RETRY_FINAL, false},
        {{HTTP_ANSWERED, 301, "PermanentRedirect"}, RETRY_FINAL, false},
        {{HTTP_ANSWERED, 403, "AccessDenied"}, RETRY_FINAL, false},
        {{HTTP_ANSWERED, 403, "RequestTimeTooSkewed"}, RETRY_CLOCK, false},
        {{HTTP_ANSWERED, 404, "NoSuchKey"}, RETRY_FINAL, false},
        {{HTTP_ANSWERED, 404, ""}, RETRY_FINAL, false},
        {{HTTP_ANSWERED, 409, "ConditionalRequestConflict"}, RETRY_FINAL, false},
        {{HTTP_ANSWERED, 409, "OperationAborted"}, RETRY_AGAIN, false},
        {{HTTP_ANSWERED, 412, "PreconditionFailed"}, RETRY_FINAL, false},
        {{HTTP_ANSWERED, 416, "InvalidRange"}, RETRY_FINAL, false},
        {{HTTP_UNREACHABLE, 0, ""}, RETRY_AGAIN, false},
        {{HTTP_BROKEN, 0, ""}, RETRY_AGAIN, true},
        {{HTTP_BROKEN, 200, ""}, RETRY_AGAIN, true},
        {{HTTP_STALLED, 0, ""}, RETRY_AGAIN, true},
        {{HTTP_UNTRUSTED, 0, ""}, RETRY_FINAL, false},
        {{HTTP_EXCESS, 206, ""}, RETRY_FINAL, true},
        {{HTTP_LOCAL, 0, ""}, RETRY_FINAL, false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct retry_outcome *outcome = &table[i].outcome;
        if (retry_judge(outcome) != table[i].verdict ||
            retry_maybe_done(outcome) != table[i].maybe_done)
            fail_msg("failure %d, HTTP %d %s", (int)outcome->failure, outcome->status,
                     outcome->code);
    }
}

static void test_delays(void **state)
{
    (void)state;
    struct retry retry;
    uint64_t delay, bound = 100;
    retry_begin(&retry, 1000000, 5000);
    for (int i = 0; i < 12; i++) {
        // the largest there can be, and the smallest
        struct retry copy = retry;
        assert_true(retry_delay(&copy, 5000, 0, 0, bound, &delay));
        assert_int_equal(delay, bound);
        copy = retry;
        assert_true(retry_delay(&copy, 5000, 0, 0, bound + 1, &delay));
        assert_int_equal(delay, 0);
        assert_true(retry_delay(&retry, 5000, 0, 0, 0, &delay));
        assert_int_equal(delay, 0);
        bound = bound * 2 > 20000 ? 20000 : bound * 2;
    }
    assert_int_equal(retry.failed, 12);
}

static void test_deadline(void **state)
{
    (void)state;
    struct retry retry;
    uint64_t delay;
    retry_begin(&retry, 1000, 50000);
    assert_int_equal(retry_left_ms(&retry, 50400), 600);
    assert_true(retry_delay(&retry, 50990, 0, 0, 100, &delay));
    assert_int_equal(delay, 10); // never beyond it: one last try there
    assert_false(retry_delay(&retry, 51000, 0, 0, 100, &delay));
    assert_int_equal(retry_left_ms(&retry, 52000), 1);
}

static void test_retry_after(void **state)
{
    (void)state;
    struct retry retry;
    uint64_t delay;
    retry_begin(&retry, 300000, 0);
    assert_true(retry_delay(&retry, 0, 0, 7, 0, &delay));
    assert_int_equal(delay, 7000);
    assert_true(retry_delay(&retry, 0, 0, 4000000000u, 0, &delay));
    assert_int_equal(delay, 300000);
}

// Only getting further than any try before counts, and so it ends.
static void test_progress(void **state)
{
    (void)state;
    struct retry retry;
    uint64_t delay;
    retry_begin(&retry, 1000, 0);
    assert_true(retry_delay(&retry, 900, 500, 0, 0, &delay));
    assert_true(retry_delay(&retry, 1800, 501, 0, 0, &delay));
    assert_true(retry_delay(&retry, 2700, 501, 0, 0, &delay));
    assert_false(retry_delay(&retry, 2800, 400, 0, 0, &delay));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge),    cmocka_unit_test(test_delays),
        cmocka_unit_test(test_deadline), cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
