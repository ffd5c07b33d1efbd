#include "backend/s3/endpoint.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *text, *region, *bucket;
        enum endpoint_addressing addressing;
        const char *url, *host, *path;
    } table[] = {
        {"", "eu-central-1", "b1", ENDPOINT_AUTO, "https://b1.s3.eu-central-1.amazonaws.com",
         "b1.s3.eu-central-1.amazonaws.com", "/k/%20"},
        {NULL, "eu-central-1", "b.1", ENDPOINT_AUTO, "https://s3.eu-central-1.amazonaws.com",
         "s3.eu-central-1.amazonaws.com", "/b.1/k/%20"},
        {NULL, "cn-north-1", "b1", ENDPOINT_PATH, "https://s3.cn-north-1.amazonaws.com.cn",
         "s3.cn-north-1.amazonaws.com.cn", "/b1/k/%20"},
        {"http://127.0.0.1:7480", "x", "b1", ENDPOINT_AUTO, "http://127.0.0.1:7480",
         "127.0.0.1:7480", "/b1/k/%20"},
        {"HTTPS://S3.Example.COM:443///", "x", "b1", ENDPOINT_AUTO, "https://s3.example.com",
         "s3.example.com", "/b1/k/%20"},
        {"http://s3.example.com:80", "x", "b1", ENDPOINT_VIRTUAL, "http://b1.s3.example.com",
         "b1.s3.example.com", "/k/%20"},
        {"http://s3.example.com:443", "x", "b1", ENDPOINT_PATH, "http://s3.example.com:443",
         "s3.example.com:443", "/b1/k/%20"},
        {"http://[::1]:9000", "x", "b1", ENDPOINT_AUTO, "http://[::1]:9000", "[::1]:9000",
         "/b1/k/%20"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct endpoint endpoint;
        char path[ENDPOINT_PATH_BYTES];
        assert_int_equal(endpoint_parse(table[i].text, table[i].region, table[i].bucket,
                                        table[i].addressing, &endpoint, NULL),
                         0);
        assert_string_equal(endpoint.url, table[i].url);
        assert_string_equal(endpoint.host, table[i].host);
        assert_int_equal(endpoint_path(&endpoint, "k/ ", path, NULL), 0);
        assert_string_equal(path, table[i].path);
    }
}

static void test_bucket_path(void **state)
{
    (void)state;
    struct endpoint endpoint;
    char path[ENDPOINT_PATH_BYTES];
    assert_int_equal(endpoint_parse("http://h", "x", "b", ENDPOINT_PATH, &endpoint, NULL), 0);
    assert_int_equal(endpoint_path(&endpoint, NULL, path, NULL), 0);
    assert_string_equal(path, "/b");
    assert_int_equal(endpoint_parse("http://h", "x", "b", ENDPOINT_VIRTUAL, &endpoint, NULL), 0);
    assert_int_equal(endpoint_path(&endpoint, NULL, path, NULL), 0);
    assert_string_equal(path, "/");
    static char key[4096];
    memset(key, ' ', sizeof(key) - 1);
    assert_int_equal(endpoint_path(&endpoint, key, path, NULL), -ENAMETOOLONG);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *region, *bucket, *word;
    } table[] = {
        {"s3.example.com", "x", "b", "must begin with"},
        {"ftp://s3.example.com", "x", "b", "must begin with"},
        {"http://", "x", "b", "scheme, host"},
        {"http://h/base", "x", "b", "scheme, host"},
        {"http://user@h", "x", "b", "scheme, host"},
        {"http://h?x=y", "x", "b", "scheme, host"},
        {"http://h", "x", "", "bucket name"},
        {"http://h", "x", "a/b", "bucket name"},
        {"http://h", "", "b", "region"},
        {"http://h", "a/b", "b", "region"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct endpoint endpoint;
        struct err err = {0};
        assert_int_equal(endpoint_parse(table[i].text, table[i].region, table[i].bucket,
                                        ENDPOINT_AUTO, &endpoint, &err),
                         -EINVAL);
        if (!strstr(err.text, table[i].word))
            fail_msg("no '%s' in: %s", table[i].word, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_bucket_path),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
