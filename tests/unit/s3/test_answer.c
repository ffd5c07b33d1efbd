#include "backend/s3/answer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_meanings(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *code;
        int error;
        const char *word;
    } table[] = {
        {404, "NoSuchKey", ENOENT, "HTTP 404 NoSuchKey"},
        {404, "", ENOENT, "HTTP 404"},
        {404, "NoSuchBucket", EIO, "create it"}, // a bucket that went away is no absent file
        {404, "NoSuchUpload", ENOENT, "upload is gone"},
        {403, "", EACCES, "HTTP 403"},
        {403, "AccessDenied", EACCES, "policy"},
        {403, "InvalidAccessKeyId", EACCES, "AWS_ACCESS_KEY_ID"},
        {403, "SignatureDoesNotMatch", EACCES, "AWS_SECRET_ACCESS_KEY"},
        {403, "InvalidObjectState", EACCES, "thaw"},
        {403, "QuotaExceeded", ENOSPC, "quota"},
        {403, "RequestTimeTooSkewed", EACCES, "clock"},
        {400, "ExpiredToken", EACCES, "expired"},
        {400, "EntityTooLarge", EFBIG, ""},
        {412, "PreconditionFailed", ESTALE, ""},
        {507, "", ENOSPC, ""},
        {501, "NotImplemented", EOPNOTSUPP, ""},
        {400, "InvalidRequest", EIO, "what the server says"},
        {503, "SlowDown", EIO, "3 tries"},
        {301, "PermanentRedirect", EIO, "endpoint"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct s3_call call = {.response.status = table[i].status, .tries = 3};
        snprintf(call.error.code, sizeof(call.error.code), "%s", table[i].code);
        snprintf(call.error.message, sizeof(call.error.message), "what the server says");
        struct err err = {0};
        int result = answer_error(&call, &err);
        if (result != -table[i].error || !strstr(err.text, table[i].word))
            fail_msg("HTTP %d %s: %d, %s", table[i].status, table[i].code, result, err.text);
    }
}

static void test_region(void **state)
{
    (void)state;
    struct s3_call call = {.response.status = 400};
    strcpy(call.error.code, "AuthorizationHeaderMalformed");
    strcpy(call.error.region, "eu-west-3");
    struct err err = {0};
    assert_int_equal(answer_error(&call, &err), -EIO);
    assert_non_null(strstr(err.text, "set region = eu-west-3"));
}

// A server's words do not break a log line.
static void test_tidy(void **state)
{
    (void)state;
    struct s3_call call = {.response.status = 400};
    strcpy(call.error.code, "Odd\nCode");
    strcpy(call.error.message, "two\nlines\x1b[31m");
    struct err err = {0};
    assert_int_equal(answer_error(&call, &err), -EIO);
    assert_string_equal(err.text, "HTTP 400 Odd Code: two lines [31m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meanings),
        cmocka_unit_test(test_region),
        cmocka_unit_test(test_tidy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
