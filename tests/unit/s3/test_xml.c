#include "backend/s3/xml.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static int parse_list(const char *text, struct xml_list *out, struct err *err)
{
    return xml_parse_list(text, strlen(text), out, err);
}

static void test_list(void **state)
{
    (void)state;
    static const char text[] =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult" NS ">"
        "<Name>b</Name><Prefix>p/</Prefix><IsTruncated>true</IsTruncated>"
        "<EncodingType>url</EncodingType><NextContinuationToken>t&amp;k</NextContinuationToken>"
        "<Contents><Key>p/z+%2B</Key><LastModified>2026-11-22T10:41:17.000Z</LastModified>"
        "<ETag>&quot;abc-2&quot;</ETag><Size>18446744073709551615</Size>"
        "<StorageClass>DEEP_ARCHIVE</StorageClass><Owner><ID>x</ID></Owner></Contents>"
        "<Contents><Key>p/a</Key><Size>0</Size><StorageClass>STANDARD</StorageClass></Contents>"
        "<Contents><Key>p/nul%00</Key><Size>1</Size></Contents>"
        "<CommonPrefixes><Prefix>p/m/</Prefix></CommonPrefixes></ListBucketResult>";
    struct xml_list list;
    assert_int_equal(parse_list(text, &list, NULL), 0);
    assert_int_equal(list.count, 3);
    assert_true(list.truncated);
    assert_string_equal(list.token, "t&k");
    assert_string_equal(list.entries[0].key, "p/a");
    assert_false(list.entries[0].cold);
    assert_string_equal(list.entries[1].key, "p/m/");
    assert_true(list.entries[1].is_prefix);
    assert_string_equal(list.entries[2].key, "p/z +");
    assert_string_equal(list.entries[2].etag, "abc-2");
    assert_true(list.entries[2].size == UINT64_MAX);
    assert_int_equal(list.entries[2].last_modified.tv_sec, 1795344077);
    assert_true(list.entries[2].cold);
    xml_list_done(&list);
}

// Without <EncodingType> a '%' is a '%'.
static void test_list_plain(void **state)
{
    (void)state;
    struct xml_list list;
    assert_int_equal(parse_list("<ListBucketResult><Contents><Key>a%20+</Key><Size>1</Size>"
                                "</Contents></ListBucketResult>",
                                &list, NULL),
                     0);
    assert_string_equal(list.entries[0].key, "a%20+");
    assert_false(list.truncated);
    xml_list_done(&list);
}

static void test_list_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "<",
        "no XML",
        "<html></html>",
        "<Error><Code>AccessDenied</Code></Error>",
        "<ListBucketResult>",
        "<ListBucketResult><Contents></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size>1x</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size></Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><Size>18446744073709551616</Size></Contents>"
        "</ListBucketResult>",
        "<ListBucketResult><Contents><Key>k</Key><LastModified>then</LastModified></Contents>"
        "</ListBucketResult>",
        "<!DOCTYPE a [<!ENTITY e \"x\">]><ListBucketResult></ListBucketResult>",
        "<a><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></a>",
        "<ListBucketResult></ListBucketResult><more/>",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct xml_list list = {.count = 99};
        struct err err = {0};
        if (parse_list(bad[i], &list, &err) != -EUCLEAN || list.count != 99 || !err.text[0])
            fail_msg("taken: %s", bad[i]);
    }
}

static void test_long_text(void **state)
{
    (void)state;
    static char text[20000];
    struct xml_list list;
    int used = snprintf(text, sizeof(text), "<ListBucketResult><Contents><Key>");
    memset(text + used, 'k', 9000);
    strcpy(text + used + 9000, "</Key></Contents></ListBucketResult>");
    assert_int_equal(parse_list(text, &list, NULL), -EUCLEAN);
}

static void test_uploads(void **state)
{
    (void)state;
    static const char text[] =
        "<ListMultipartUploadsResult" NS "><NextKeyMarker>m%20</NextKeyMarker>"
        "<NextUploadIdMarker>i2</NextUploadIdMarker><IsTruncated>true</IsTruncated>"
        "<Upload><Key>a%20b</Key><UploadId>i1</UploadId><Initiator><ID>u</ID></Initiator>"
        "<Initiated>2026-11-22T10:41:17.000Z</Initiated></Upload>"
        "<Upload><Key>c</Key><UploadId>i2</UploadId></Upload></ListMultipartUploadsResult>";
    struct xml_uploads list;
    assert_int_equal(xml_parse_uploads(text, strlen(text), true, &list, NULL), 0);
    assert_int_equal(list.count, 2);
    assert_true(list.truncated);
    assert_string_equal(list.uploads[0].key, "a b");
    assert_string_equal(list.uploads[0].id, "i1");
    assert_int_equal(list.uploads[0].initiated.tv_sec, 1795344077);
    assert_string_equal(list.next_key, "m%20"); // as Ceph: keys encoded, markers not
    assert_string_equal(list.next_id, "i2");
    xml_uploads_done(&list);
    assert_int_equal(xml_parse_uploads(text, strlen(text), false, &list, NULL), 0);
    assert_string_equal(list.uploads[0].key, "a%20b");
    xml_uploads_done(&list);
    static const char no_id[] = "<ListMultipartUploadsResult><Upload><Key>c</Key></Upload>"
                                "</ListMultipartUploadsResult>";
    assert_int_equal(xml_parse_uploads(no_id, strlen(no_id), false, &list, NULL), -EUCLEAN);
}

static int parse_versions(const char *text, struct xml_versions *out)
{
    struct err err = {0};
    int rc = xml_parse_versions(text, strlen(text), out, &err);
    assert_int_equal(rc, -err.code);
    return rc;
}

static void test_versions(void **state)
{
    (void)state;
    // as Ceph: keys encoded, markers not; as AWS: both
    for (int aws = 0; aws < 2; aws++) {
        char text[1024];
        snprintf(text, sizeof(text),
                 "<ListVersionsResult" NS "><EncodingType>url</EncodingType>"
                 "<IsTruncated>true</IsTruncated><NextKeyMarker>%s</NextKeyMarker>"
                 "<NextVersionIdMarker>v1</NextVersionIdMarker>"
                 "<DeleteMarker><Key>a%%2520b</Key><VersionId>v2</VersionId><IsLatest>true"
                 "</IsLatest><LastModified>2026-11-22T10:41:17.000Z</LastModified></DeleteMarker>"
                 "<Version><Key>a%%2520b</Key><VersionId>v1</VersionId><IsLatest>false</IsLatest>"
                 "<Size>12</Size><Owner><ID>u</ID></Owner></Version></ListVersionsResult>",
                 aws ? "a%2520b" : "a%20b");
        struct xml_versions list;
        assert_int_equal(parse_versions(text, &list), 0);
        assert_int_equal(list.count, 2);
        assert_true(list.truncated);
        assert_string_equal(list.versions[0].key, "a%20b");
        assert_string_equal(list.versions[0].id, "v2");
        assert_true(list.versions[0].latest && list.versions[0].delete_marker);
        assert_int_equal(list.versions[0].last_modified.tv_sec, 1795344077);
        assert_false(list.versions[1].latest || list.versions[1].delete_marker);
        assert_int_equal(list.versions[1].size, 12);
        assert_string_equal(list.next_key, "a%20b");
        assert_string_equal(list.next_id, "v1");
        xml_versions_done(&list);
    }
    static const char *const bad[] = {
        "<ListBucketResult></ListBucketResult>",
        "<ListVersionsResult><Version><Key>k</Key></Version></ListVersionsResult>",
        "<ListVersionsResult><Version><VersionId>v</VersionId></Version></ListVersionsResult>",
        "<ListVersionsResult><IsTruncated>true</IsTruncated></ListVersionsResult>",
        "<ListVersionsResult><Version><Size>-1</Size></Version></ListVersionsResult>",
        ("<ListVersionsResult><Version><LastModified>x</LastModified></Version>"
         "</ListVersionsResult>"),
        "<ListVersionsResult><Version>",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct xml_versions list = {.count = 99};
        if (parse_versions(bad[i], &list) != -EUCLEAN || list.count != 99)
            fail_msg("taken: %s", bad[i]);
    }
}

static void test_small(void **state)
{
    (void)state;
    char id[XML_ID_BYTES] = "before";
    static const char begun[] = "<InitiateMultipartUploadResult><Bucket>b</Bucket>"
                                "<UploadId>2~x</UploadId></InitiateMultipartUploadResult>";
    assert_int_equal(xml_parse_begun(begun, strlen(begun), id, NULL), 0);
    assert_string_equal(id, "2~x");
    assert_int_equal(xml_parse_begun("<x/>", 4, id, NULL), -EUCLEAN);
    assert_string_equal(id, "2~x");
    struct xml_result result;
    static const char copied[] = "\n  <CopyObjectResult><LastModified>2026-11-22T10:41:17Z"
                                 "</LastModified><ETag>\"e\"</ETag></CopyObjectResult>";
    assert_int_equal(xml_parse_result(copied, strlen(copied), &result, NULL), 0);
    assert_string_equal(result.etag, "e");
    assert_int_equal(result.last_modified.tv_sec, 1795344077);
    static const char part[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><CopyPartResult" NS
                               "><ETag>&quot;p&quot;</ETag><LastModified>2026-11-22T10:41:17.000Z"
                               "</LastModified></CopyPartResult>";
    assert_int_equal(xml_parse_result(part, strlen(part), &result, NULL), 0);
    assert_string_equal(result.etag, "p");
    static const char other[] = "<html><ETag>e</ETag></html>";
    assert_int_equal(xml_parse_result(other, strlen(other), &result, NULL), -EUCLEAN);
}

static void test_error(void **state)
{
    (void)state;
    struct xml_error error;
    static const char text[] = "<Error><Code>SlowDown</Code><Message>a &lt; b</Message>"
                               "<Region>eu-west-1</Region><Details><Code>inner</Code></Details>"
                               "</Error>";
    assert_int_equal(xml_parse_error(text, strlen(text), &error, NULL), 0);
    assert_string_equal(error.code, "SlowDown");
    assert_string_equal(error.message, "a < b");
    assert_string_equal(error.region, "eu-west-1");
    static const char fine[] = "<CopyObjectResult><ETag>e</ETag></CopyObjectResult>";
    assert_int_equal(xml_parse_error(fine, strlen(fine), &error, NULL), 0);
    assert_string_equal(error.code, "");
    static const char bare[] = "<Error/>";
    assert_int_equal(xml_parse_error(bare, strlen(bare), &error, NULL), 0);
    assert_string_equal(error.code, "UnknownError"); // never taken for a success
    assert_int_equal(xml_parse_error("Bad Gateway", 11, &error, NULL), -EUCLEAN);
}

static void test_make_complete(void **state)
{
    (void)state;
    const struct xml_part parts[] = {{1, "abc"}, {10000, "a<&>\"b"}};
    char *text;
    size_t len;
    assert_int_equal(xml_make_complete(parts, 2, &text, &len, NULL), 0);
    assert_int_equal(strlen(text), len);
    assert_string_equal(
        text, "<CompleteMultipartUpload" NS ">"
              "<Part><PartNumber>1</PartNumber><ETag>&quot;abc&quot;</ETag></Part>"
              "<Part><PartNumber>10000</PartNumber><ETag>&quot;a&lt;&amp;&gt;&quot;b&quot;</ETag>"
              "</Part></CompleteMultipartUpload>");
    free(text);
}

static void test_parts(void **state)
{
    (void)state;
    struct xml_parts parts;
    static const char text[] =
        "<ListPartsResult" NS "><IsTruncated>true</IsTruncated>"
        "<NextPartNumberMarker>7</NextPartNumberMarker>"
        "<Part><PartNumber>6</PartNumber><LastModified>2026-11-22T10:41:17.000Z</LastModified>"
        "</Part><Part><LastModified>2026-11-21T10:41:17.000Z</LastModified></Part>"
        "</ListPartsResult>";
    assert_int_equal(xml_parse_parts(text, strlen(text), &parts, NULL), 0);
    assert_int_equal(parts.newest.tv_sec, 1795344077);
    assert_int_equal(parts.next, 7);
    static const char last[] = "<ListPartsResult><NextPartNumberMarker>7</NextPartNumberMarker>"
                               "<IsTruncated>false</IsTruncated></ListPartsResult>";
    assert_int_equal(xml_parse_parts(last, strlen(last), &parts, NULL), 0);
    assert_int_equal(parts.newest.tv_sec, 0);
    assert_int_equal(parts.next, 0);
    static const char *const bad[] = {
        "<Error/>",
        "<ListPartsResult><IsTruncated>true</IsTruncated></ListPartsResult>",
        "<ListPartsResult><Part><LastModified>soon</LastModified></Part></ListPartsResult>",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(xml_parse_parts(bad[i], strlen(bad[i]), &parts, NULL), -EUCLEAN);
}

static unsigned abort_days(const char *rules, const char *prefix)
{
    char text[2048];
    snprintf(text, sizeof(text), "<LifecycleConfiguration" NS ">%s</LifecycleConfiguration>",
             rules);
    unsigned days = 99;
    assert_int_equal(xml_parse_abort_days(text, strlen(text), prefix, &days, NULL), 0);
    return days;
}

#define RULE(filter, days)                                                                         \
    "<Rule><ID>x</ID>" filter "<Status>Enabled</Status><AbortIncompleteMultipartUpload>"           \
    "<DaysAfterInitiation>" days "</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>"

static void test_lifecycle(void **state)
{
    (void)state;
    assert_int_equal(abort_days("", "p/"), 0);
    assert_int_equal(abort_days(RULE("", "7"), "p/"), 7);
    assert_int_equal(abort_days(RULE("<Prefix></Prefix>", "7"), "p/"), 7);
    assert_int_equal(abort_days(RULE("<Filter><Prefix>p</Prefix></Filter>", "7"), "p/"), 7);
    assert_int_equal(abort_days(RULE("<Filter><Prefix>p/q</Prefix></Filter>", "7"), "p/"), 0);
    assert_int_equal(abort_days(RULE("<Filter><Prefix>x</Prefix></Filter>", "7"), "p/"), 0);
    assert_int_equal(abort_days(RULE("<Filter><And><Prefix>p</Prefix><Tag><Key>a</Key>"
                                     "<Value>b</Value></Tag></And></Filter>",
                                     "7"),
                                "p/"),
                     0);
    assert_int_equal(abort_days(RULE("", "9") RULE("", "3") RULE("<Prefix>x</Prefix>", "1"), "p/"),
                     3);
    assert_int_equal(abort_days("<Rule><Status>Disabled</Status><AbortIncompleteMultipartUpload>"
                                "<DaysAfterInitiation>7</DaysAfterInitiation>"
                                "</AbortIncompleteMultipartUpload></Rule>",
                                ""),
                     0);
    assert_int_equal(abort_days("<Rule><Status>Enabled</Status><Expiration><Days>7</Days>"
                                "</Expiration></Rule>",
                                ""),
                     0);
    unsigned days = 0;
    assert_int_equal(xml_parse_abort_days("<x/>", 4, "", &days, NULL), -EUCLEAN);
}

static void test_word(void **state)
{
    (void)state;
    char word[XML_WORD_BYTES];
    static const char on[] = "<V" NS "><Status>Enabled</Status><b><Status>no</Status></b></V>";
    assert_int_equal(xml_parse_word(on, strlen(on), "V", "Status", word, NULL), 0);
    assert_string_equal(word, "Enabled");
    assert_int_equal(xml_parse_word("<V/>", 4, "V", "Status", word, NULL), 0);
    assert_string_equal(word, "");
    assert_int_equal(xml_parse_word("<V/>", 4, "W", "Status", word, NULL), -EUCLEAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),          cmocka_unit_test(test_list_plain),
        cmocka_unit_test(test_list_refused),  cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_uploads),       cmocka_unit_test(test_versions),
        cmocka_unit_test(test_small),         cmocka_unit_test(test_error),
        cmocka_unit_test(test_make_complete), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_lifecycle),     cmocka_unit_test(test_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
