// The worked examples that AWS publishes for Signature V4 in S3's API reference.
#include "backend/s3/sign.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DATE "20130524T000000Z"

static struct secret *secret_key;

static void signs(const char *method, const char *path, const struct sign_pair *query,
                  size_t query_count, const struct sign_pair *headers, size_t count,
                  const char *hash, const char *names, const char *signature)
{
    char encoded[512], out[SIGN_AUTHORIZATION_BYTES], expected[SIGN_AUTHORIZATION_BYTES];
    assert_int_equal(sign_query(query, query_count, encoded, sizeof(encoded), NULL), 0);
    struct sign_identity identity = {"AKIAIOSFODNN7EXAMPLE", secret_key, "us-east-1"};
    struct sign_request request = {.method = method,
                                   .path = path,
                                   .query = encoded,
                                   .headers = headers,
                                   .header_count = count,
                                   .payload_hash = hash};
    assert_int_equal(sign_authorization(&identity, &request, DATE, out, NULL), 0);
    snprintf(expected, sizeof(expected),
             "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
             "SignedHeaders=%s,Signature=%s",
             names, signature);
    assert_string_equal(out, expected);
}

#define HOST                                                                                       \
    {                                                                                              \
        "host", "examplebucket.s3.amazonaws.com"                                                   \
    }
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_get_range(void **state)
{
    (void)state;
    const struct sign_pair headers[] = {{"x-amz-date", DATE},
                                        {"range", "bytes=0-9"},
                                        HOST,
                                        {"x-amz-content-sha256", SIGN_EMPTY_HASH}};
    signs("GET", "/test.txt", NULL, 0, headers, COUNT(headers), SIGN_EMPTY_HASH,
          "host;range;x-amz-content-sha256;x-amz-date",
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

static void test_put(void **state)
{
    (void)state;
    static const char body[] = "Welcome to Amazon S3.";
    uint8_t digest[SHA256_BYTES];
    char hash[SIGN_HASH_BYTES];
    sha256(body, sizeof(body) - 1, digest);
    sign_hex(digest, hash);
    assert_string_equal(hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    const struct sign_pair headers[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                        HOST,
                                        {"x-amz-content-sha256", hash},
                                        {"x-amz-date", DATE},
                                        {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    signs("PUT", "/test%24file.text", NULL, 0, headers, COUNT(headers), hash,
          "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
          "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

static void test_query(void **state)
{
    (void)state;
    const struct sign_pair headers[] = {
        HOST, {"x-amz-content-sha256", SIGN_EMPTY_HASH}, {"x-amz-date", DATE}};
    const struct sign_pair lifecycle[] = {{"lifecycle", ""}};
    signs("GET", "/", lifecycle, 1, headers, COUNT(headers), SIGN_EMPTY_HASH,
          "host;x-amz-content-sha256;x-amz-date",
          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    const struct sign_pair list[] = {{"prefix", "J"}, {"max-keys", "2"}}; // not yet sorted
    signs("GET", "/", list, 2, headers, COUNT(headers), SIGN_EMPTY_HASH,
          "host;x-amz-content-sha256;x-amz-date",
          "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

// A value's outer spaces are not signed, inner runs are one.
static void test_spaces(void **state)
{
    (void)state;
    const struct sign_pair headers[] = {{"x-amz-date", DATE},
                                        {"range", "  bytes=0-9 "},
                                        HOST,
                                        {"x-amz-content-sha256", SIGN_EMPTY_HASH}};
    signs("GET", "/test.txt", NULL, 0, headers, COUNT(headers), SIGN_EMPTY_HASH,
          "host;range;x-amz-content-sha256;x-amz-date",
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    struct sign_identity identity = {"AKIAIOSFODNN7EXAMPLE", secret_key, "us-east-1"};
    char one[SIGN_AUTHORIZATION_BYTES], two[SIGN_AUTHORIZATION_BYTES];
    struct sign_pair value = {"x-amz-meta-a", "a b"};
    struct sign_request request = {"GET", "/", "", &value, 1, SIGN_EMPTY_HASH};
    assert_int_equal(sign_authorization(&identity, &request, DATE, one, NULL), 0);
    value.value = "a   b";
    assert_int_equal(sign_authorization(&identity, &request, DATE, two, NULL), 0);
    assert_string_equal(one, two);
    value.value = "ab";
    assert_int_equal(sign_authorization(&identity, &request, DATE, two, NULL), 0);
    assert_string_not_equal(one, two);
}

static void test_query_encoding(void **state)
{
    (void)state;
    char out[128];
    const struct sign_pair pairs[] = {
        {"uploads", ""}, {"prefix", "a/b c+d=e"}, {"delimiter", "/"}, {"list-type", "2"}};
    assert_int_equal(sign_query(pairs, COUNT(pairs), out, sizeof(out), NULL), 0);
    assert_string_equal(out, "delimiter=%2F&list-type=2&prefix=a%2Fb%20c%2Bd%3De&uploads=");
    assert_int_equal(sign_query(pairs, COUNT(pairs), out, 20, NULL), -EINVAL);
    assert_int_equal(sign_query(NULL, 0, out, sizeof(out), NULL), 0);
    assert_string_equal(out, "");
}

static void test_bounds(void **state)
{
    (void)state;
    char out[SIGN_AUTHORIZATION_BYTES], region[300];
    memset(region, 'r', sizeof(region) - 1);
    region[sizeof(region) - 1] = '\0';
    struct sign_identity identity = {"key", secret_key, region};
    struct sign_request request = {"GET", "/", "", NULL, 0, SIGN_EMPTY_HASH};
    assert_int_equal(sign_authorization(&identity, &request, DATE, out, NULL), -EINVAL);
}

static int setup(void **state)
{
    (void)state;
    static const char key[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    secret_key = secret_new(key, sizeof(key) - 1);
    return secret_key ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    secret_free(secret_key);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_range),      cmocka_unit_test(test_put),
        cmocka_unit_test(test_query),          cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_query_encoding), cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
