// The S3 store against a real server: BAKFS_TEST_S3="ENDPOINT BUCKET" with credentials in AWS_*, or what
// start-rgw.sh says. First what only S3 has, then
// the suite of all stores.
#include "backend/base/crypto.h"
#include "backend/base/num.h"
#include "backend/store/probe.h"
#include "backend/store/s3_store.h"
#include "tests/contract/s3_versions.h"
#include "tests/contract/store_suite.h"
#include "tests/support/fault_peer.h"
#include "tests/support/pattern.h"
#include "tests/support/uploads.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char endpoint[256], bucket[128], prefix[64];
static struct store *store;

static int make_store(const struct store_s3_conf *changed, struct store **out, struct err *err)
{
    struct store_s3_conf conf = *changed;
    if (!conf.endpoint)
        conf.endpoint = endpoint;
    if (!conf.bucket)
        conf.bucket = bucket;
    if (!conf.prefix)
        conf.prefix = prefix;
    if (!conf.deadline_ms)
        conf.deadline_ms = 60000;
    return store_s3_new(&conf, out, err);
}

#define OK(call)                                                                                   \
    do {                                                                                           \
        struct err err = {0};                                                                      \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

// The call fails with that errno, and its sentence has that word in it.
#define FAILS(error, word, call)                                                                   \
    do {                                                                                           \
        struct err err = {0};                                                                      \
        assert_int_equal((call), -(error));                                                        \
        if (!strstr(err.text, word))                                                               \
            fail_msg("no '%s' in: %s", word, err.text);                                            \
    } while (0)

static void put(const char *key, uint64_t size, uint64_t seed, const struct store_cond *cond,
                struct store_stat *out)
{
    struct pattern_source body = pattern_source(seed, 0, size);
    OK(store->ops->put(store, key, &body.source, cond, out, &err));
}

static void test_check(void **state)
{
    (void)state;
    OK(store->ops->check(store, true, &err));
    OK(store->ops->check(store, false, &err));
    int64_t apart = store->ops->clock_offset_ms(store);
    assert_true(apart > -5000 && apart < 5000); // the server is this machine
    struct timespec now = store->ops->now(store);
    assert_true(now.tv_sec > 1700000000);
}

static void test_check_refusals(void **state)
{
    (void)state;
    struct store *other;
    OK(make_store(&(struct store_s3_conf){.bucket = "no-such-bucket-here"}, &other, &err));
    FAILS(ENOENT, "there is no bucket", other->ops->check(other, true, &err));
    store_free(other);
    OK(make_store(
        &(struct store_s3_conf){.access_key = getenv("AWS_ACCESS_KEY_ID"), .secret_key = "wrong"},
        &other, &err));
    FAILS(EACCES, "secret key", other->ops->check(other, true, &err));
    store_free(other);
    OK(make_store(&(struct store_s3_conf){.access_key = "nobody", .secret_key = "wrong"}, &other,
                  &err));
    FAILS(EACCES, "AWS_ACCESS_KEY_ID", other->ops->check(other, true, &err));
    store_free(other);
    OK(make_store(&(struct store_s3_conf){.endpoint = "http://127.0.0.1:1", .deadline_ms = 1},
                  &other, &err));
    FAILS(ETIMEDOUT, "http://127.0.0.1:1 is unreachable", other->ops->check(other, true, &err));
    store_free(other);
}

// As a part: the bytes of this object and no other one, or not at all.
static void copy_nasty(const char *key, const struct store_stat *from)
{
    char id[STORE_UPLOAD_ID_BYTES];
    struct store_part part;
    struct store_stat stat;
    OK(store->ops->upload_begin(store, "n2/part", id, &err));
    if (strchr(key, '%') && !((struct s3_store *)store)->aws) {
        FAILS(
            EOPNOTSUPP, "%",
            store->ops->copy_part(store, "n2/part", id, 1, 0, key, from->etag, 0, 1, &part, &err));
        OK(store->ops->upload_abort(store, "n2/part", id, &err));
        return;
    }
    OK(store->ops->copy_part(store, "n2/part", id, 1, 0, key, from->etag, 0, 1, &part, &err));
    OK(store->ops->upload_complete(store, "n2/part", id, &part, 1, NULL, &stat, &err));
    uint8_t bytes[2][1];
    size_t len;
    OK(store->ops->get(store, "n2/part", stat.etag, 0, 1, bytes[0], &len, NULL, &err));
    OK(store->ops->get(store, key, from->etag, 0, 1, bytes[1], &len, NULL, &err));
    assert_memory_equal(bytes[0], bytes[1], 1);
    OK(store->ops->remove(store, "n2/part", NULL, &err));
}

static void test_nasty_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "n/a b", "n/a+b", "n/a%20b", "n/a=b", "n/a:b",  "n/~x",  "n/\xc3\xa4\xe2\x82\xac", "n/a&b",
        "n/<x>", "n/'\"", "n/a?b",   "n/a#b", "n/a..b", "n/a*b", "n/a,b;c@d!e$f(g)",
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        uint8_t byte = 0;
        size_t len = 0;
        struct store_stat stat;
        put(keys[i], 1, i, NULL, NULL);
        OK(store->ops->get(store, keys[i], NULL, 0, 1, &byte, &len, &stat, &err));
        assert_int_equal(len, 1);
        assert_true(pattern_holds(i, 0, &byte, 1));
        OK(store->ops->copy(store, keys[i], stat.etag, "n2/copy", NULL, &err));
        copy_nasty(keys[i], &stat);
        OK(store->ops->remove(store, keys[i], stat.etag, &err));
        FAILS(ENOENT, "404", store->ops->head(store, keys[i], &stat, &err));
    }
    OK(store->ops->remove(store, "n2/copy", NULL, &err));
}

static void test_ranges(void **state)
{
    (void)state;
    struct store_stat put_stat, stat;
    put("r", 1000, 7, NULL, &put_stat);
    uint8_t buf[2000];
    size_t len;
    OK(store->ops->get(store, "r", put_stat.etag, 990, sizeof(buf), buf, &len, &stat, &err));
    assert_int_equal(len, 10);
    assert_int_equal(stat.size, 1000);
    assert_string_equal(stat.etag, put_stat.etag);
    assert_true(pattern_holds(7, 990, buf, 10));
    OK(store->ops->get(store, "r", put_stat.etag, 1000, 5, buf, &len, &stat, &err));
    assert_int_equal(len, 0);
    OK(store->ops->get_tail(store, "r", put_stat.etag, 3, buf, &len, &stat, &err));
    assert_int_equal(len, 3);
    assert_true(pattern_holds(7, 997, buf, 3));
    OK(store->ops->get_tail(store, "r", NULL, 2000, buf, &len, &stat, &err));
    assert_int_equal(len, 1000);
    FAILS(ESTALE, "another object",
          store->ops->get(store, "r", "0123456789abcdef0123456789abcdef", 0, 5, buf, &len, &stat,
                          &err));
    FAILS(ESTALE, "another object",
          store->ops->get(store, "r", "0123456789abcdef0123456789abcdef", 5000, 5, buf, &len, &stat,
                          &err));
    put("empty", 0, 0, NULL, &put_stat);
    OK(store->ops->get_tail(store, "empty", put_stat.etag, 10, buf, &len, &stat, &err));
    assert_int_equal(len, 0);
    assert_int_equal(stat.size, 0);
    OK(store->ops->get(store, "empty", NULL, 0, 10, buf, &len, &stat, &err));
    assert_int_equal(len, 0);
}

static void test_put_conditions(void **state)
{
    (void)state;
    struct store_stat first, second;
    struct pattern_source body = pattern_source(1, 0, 10);
    put("c", 10, 0, &(struct store_cond){.if_absent = true}, &first);
    FAILS(EEXIST, "there already",
          store->ops->put(store, "c", &body.source, &(struct store_cond){.if_absent = true},
                          &second, &err));
    FAILS(EEXIST, "somebody else",
          store->ops->put(store, "c", &body.source, &(struct store_cond){.if_match = "abc"},
                          &second, &err));
    put("c", 11, 1, &(struct store_cond){.if_match = first.etag}, &second);
    FAILS(ESTALE, "another object", store->ops->remove(store, "c", first.etag, &err));
    // the server's own answer, with the look before it left out
    store->limits.put_conditions = true;
    FAILS(EEXIST, "somebody else",
          store->ops->put(store, "c", &body.source, &(struct store_cond){.if_absent = true},
                          &second, &err));
    store->limits.put_conditions = false;
    OK(store->ops->remove(store, "c", second.etag, &err));
    OK(store->ops->remove(store, "c", NULL, &err)); // what is absent is removed
}

static int count_entry(void *ctx, const struct store_entry *entry)
{
    (void)entry;
    ++*(unsigned *)ctx;
    return 0;
}

// Ceph honours the conditions of a put and ignores those of a complete.
static void test_probe(void **state)
{
    (void)state;
    struct probe found;
    bool more = true;
    unsigned count = 0;
    assert_true(store->limits.conditions_unsure);
    OK(probe_ask(store, &found, &err));
    assert_int_equal(found.put, PROBE_HONOURED);
    assert_int_equal(found.complete, PROBE_IGNORED);
    OK(store->ops->list(store, PROBE_PREFIX, NULL, false, 10, count_entry, &count, &more, &err));
    assert_int_equal(count, 0);
    assert_int_equal(uploads_below(store, PROBE_PREFIX), 0);
}

static void test_facts(void **state)
{
    (void)state;
    struct store_facts facts;
    OK(store->ops->facts(store, &facts, &err));
    assert_int_equal(facts.abort_rule, STORE_FACT_NO);
    assert_int_equal(facts.versioning, STORE_FACT_NO);
    assert_int_equal(facts.lock, STORE_FACT_NO);
}

// 5 MiB + 5 MiB + 1000 bytes, parts out of order.
static void upload(const char *key, const char *id, struct store_part parts[3])
{
    static const unsigned order[] = {2, 0, 1};
    for (int i = 0; i < 3; i++) {
        unsigned n = order[i];
        struct pattern_source body = pattern_source(n, 0, n == 2 ? 1000 : 5 * MIB);
        OK(store->ops->put_part(store, key, id, n + 1, n * 5 * MIB, &body.source, &parts[n], &err));
    }
}

static void test_multipart(void **state)
{
    (void)state;
    char id[STORE_UPLOAD_ID_BYTES];
    struct store_part parts[3];
    struct store_stat stat, seen;
    OK(store->ops->upload_begin(store, "m", id, &err));
    assert_int_equal(uploads_below(store, "m"), 1);
    upload("m", id, parts);
    FAILS(ENOENT, "404", store->ops->head(store, "m", &stat, &err));
    OK(store->ops->upload_complete(store, "m", id, parts, 3,
                                   &(struct store_cond){.if_absent = true}, &stat, &err));
    OK(store->ops->head(store, "m", &seen, &err));
    assert_int_equal(stat.size, 10 * MIB + 1000);
    assert_int_equal(seen.size, stat.size);
    assert_string_equal(seen.etag, stat.etag);
    uint8_t edge[4];
    size_t len;
    OK(store->ops->get(store, "m", stat.etag, 5 * MIB - 2, 4, edge, &len, NULL, &err));
    assert_true(pattern_holds(0, 5 * MIB - 2, edge, 2));
    assert_true(pattern_holds(1, 0, edge + 2, 2));
    // a copy in parts is the same bytes
    OK(s3_copy_parts((struct s3_store *)store, "m", &stat, "m2", 5 * MIB, &seen, &err));
    assert_int_equal(seen.size, stat.size);
    OK(store->ops->get(store, "m2", seen.etag, 5 * MIB - 2, 4, edge, &len, NULL, &err));
    assert_true(pattern_holds(0, 5 * MIB - 2, edge, 2));
    assert_true(pattern_holds(1, 0, edge + 2, 2));
    struct pattern_source one = pattern_source(0, 0, 1);
    FAILS(ENOENT, "gone",
          store->ops->put_part(store, "m3", "nosuchid", 1, 0, &one.source, &parts[0], &err));
    OK(store->ops->remove(store, "m", NULL, &err));
    OK(store->ops->remove(store, "m2", NULL, &err));
}

// Complete carried out, its answer lost: what the store knows of an upload that somebody completed behind its back.
static void test_lost_complete(void **state)
{
    (void)state;
    char id[STORE_UPLOAD_ID_BYTES];
    struct store_part parts[3];
    struct store_stat stat, again;
    OK(store->ops->upload_begin(store, "l", id, &err));
    upload("l", id, parts);
    struct s3_store *s3 = (struct s3_store *)store;
    char token[S3_TOKEN_BYTES];
    memcpy(token, s3->begun->token, sizeof(token));
    OK(store->ops->upload_complete(store, "l", id, parts, 3, NULL, &stat, &err));
    char full[S3_KEY_BYTES];
    OK(s3_key(s3, "l", full, &err));
    assert_true(s3_is_mine(s3, full, token, stat.size, &again));
    assert_string_equal(again.etag, stat.etag);
    assert_false(s3_is_mine(s3, full, token, stat.size + 1, &again));
    token[0] = token[0] == '0' ? '1' : '0';
    assert_false(s3_is_mine(s3, full, token, stat.size, &again));
    assert_false(s3_is_mine(s3, full, "", stat.size, &again));
    assert_null(s3->begun);
    OK(store->ops->remove(store, "l", NULL, &err));
}

static void test_complete_conditions(void **state)
{
    (void)state;
    char id[STORE_UPLOAD_ID_BYTES];
    struct store_part parts[3];
    struct store_stat stat;
    OK(store->ops->upload_begin(store, "cc", id, &err));
    upload("cc", id, parts);
    put("cc", 3, 0, NULL, &stat);
    FAILS(EEXIST, "there already",
          store->ops->upload_complete(store, "cc", id, parts, 3,
                                      &(struct store_cond){.if_absent = true}, &stat, &err));
    FAILS(EEXIST, "somebody else",
          store->ops->upload_complete(store, "cc", id, parts, 3,
                                      &(struct store_cond){.if_match = "abc"}, &stat, &err));
    OK(store->ops->head(store, "cc", &stat, &err));
    assert_int_equal(stat.size, 3);
    OK(store->ops->upload_abort(store, "cc", id, &err));
    OK(store->ops->upload_abort(store, "cc", id, &err)); // gone already
    assert_int_equal(uploads_below(store, ""), 0);
    OK(store->ops->remove(store, "cc", NULL, &err));
}

struct names {
    char text[4096];
};

static int add_name(void *ctx, const struct store_entry *entry)
{
    struct names *names = ctx;
    strcat(names->text, entry->key);
    strcat(names->text, "\n");
    return 0;
}

static void test_list(void **state)
{
    (void)state;
    static const char *const keys[] = {"d/a/1", "d/a/2", "d/a/3 +%",     "d/a-b",
                                       "d/a.b", "d/a0",  "d/\xc3\xa4/x", "e"};
    size_t count = sizeof(keys) / sizeof(keys[0]);
    for (size_t i = 0; i < count; i++)
        put(keys[i], i, 0, NULL, NULL);
    struct names names = {""};
    bool more;
    OK(store->ops->list(store, "d/", NULL, true, 1000, add_name, &names, &more, &err));
    assert_string_equal(names.text, "d/a-b\nd/a.b\nd/a/\nd/a0\nd/\xc3\xa4/\n");
    assert_false(more);
    // one at a time, and the same again
    struct names single = {""};
    char after[STORE_KEY_BYTES + 1] = "";
    for (more = true; more;) {
        struct names page = {""};
        OK(store->ops->list(store, "d/", after, true, 1, add_name, &page, &more, &err));
        strcat(single.text, page.text);
        page.text[strlen(page.text) - 1] = '\0';
        strcpy(after, page.text);
    }
    assert_string_equal(single.text, names.text);
    struct names rest = {""};
    OK(store->ops->list(store, "d/", "d/a/1", false, 1000, add_name, &rest, &more, &err));
    assert_string_equal(rest.text, "d/a/2\nd/a/3 +%\nd/a0\nd/\xc3\xa4/x\n");
    for (size_t i = 0; i < count; i++)
        OK(store->ops->remove(store, keys[i], NULL, &err));
}

// The same store through a peer that does `steps` to requests in whose first line `needle` stands.
static struct store *faulty_store(const struct fault_step *steps, size_t count, const char *needle,
                                  struct fault_peer **out_peer)
{
    unsigned port;
    if (sscanf(endpoint, "http://127.0.0.1:%u", &port) != 1)
        skip(); // a peer of ours speaks no TLS
    char url[64];
    struct store *faulty;
    *out_peer = fault_peer_new(steps, count, port, needle);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", fault_peer_port(*out_peer));
    OK(make_store(&(struct store_s3_conf){.endpoint = url}, &faulty, &err));
    return faulty;
}

static const struct fault_step lose_first[] = {{.kind = FAULT_LOSE}, {.kind = FAULT_FORWARD}};
static const struct fault_step close_first[] = {{.kind = FAULT_CLOSE}, {.kind = FAULT_FORWARD}};

// Done, but the answer was lost: the second try meets what the first one made, and that is a success.
static void test_put_answer_lost(void **state)
{
    (void)state;
    struct fault_peer *peer;
    struct store *faulty = faulty_store(lose_first, 2, "PUT ", &peer);
    struct pattern_source body = pattern_source(3, 0, 1000);
    struct store_stat stat, seen;
    OK(faulty->ops->put(faulty, "lp", &body.source, &(struct store_cond){.if_absent = true}, &stat,
                        &err));
    OK(store->ops->head(store, "lp", &seen, &err));
    assert_string_equal(seen.etag, stat.etag);
    // but what somebody else made is his
    store_free(faulty);
    fault_peer_free(peer);
    faulty = faulty_store(close_first, 2, "PUT ", &peer);
    FAILS(EEXIST, "there already",
          faulty->ops->put(faulty, "lp", &body.source, &(struct store_cond){.if_absent = true},
                           &stat, &err));
    store_free(faulty);
    fault_peer_free(peer);
    OK(store->ops->remove(store, "lp", NULL, &err));
}

static void complete_through(const struct fault_step *steps)
{
    struct fault_peer *peer;
    struct store *faulty = faulty_store(steps, 2, "?uploadId=", &peer);
    char id[STORE_UPLOAD_ID_BYTES];
    struct store_part part;
    struct store_stat stat, seen;
    struct pattern_source body = pattern_source(4, 0, 1000);
    OK(faulty->ops->upload_begin(faulty, "lc", id, &err));
    OK(faulty->ops->put_part(faulty, "lc", id, 1, 0, &body.source, &part, &err));
    OK(faulty->ops->upload_complete(faulty, "lc", id, &part, 1,
                                    &(struct store_cond){.if_absent = true}, &stat, &err));
    OK(store->ops->head(store, "lc", &seen, &err));
    assert_string_equal(seen.etag, stat.etag);
    assert_int_equal(stat.size, 1000);
    store_free(faulty);
    fault_peer_free(peer);
    OK(store->ops->remove(store, "lc", NULL, &err));
}

static void test_complete_answer_lost(void **state)
{
    (void)state;
    complete_through(lose_first);
    complete_through(close_first);
}

static void test_abort_answer_lost(void **state)
{
    (void)state;
    struct fault_peer *peer;
    struct store *faulty = faulty_store(lose_first, 2, "DELETE ", &peer);
    char id[STORE_UPLOAD_ID_BYTES];
    OK(faulty->ops->upload_begin(faulty, "la", id, &err));
    OK(faulty->ops->upload_abort(faulty, "la", id, &err));
    assert_int_equal(uploads_below(store, "la"), 0);
    store_free(faulty);
    fault_peer_free(peer);
}

#define TEXT(status, body)                                                                         \
    "HTTP/1.1 " status "\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n" body

static int copy_part_answered(const char *answer, struct err *err)
{
    struct fault_peer *peer;
    const struct fault_step step = {.kind = FAULT_ANSWER, .answer = answer};
    struct store *faulty = faulty_store(&step, 1, "PUT ", &peer);
    struct store_part part;
    ((struct s3_store *)faulty)->aws = true; // its word is taken for it
    int rc = faulty->ops->copy_part(faulty, "cp", "id", 2, 0, "cp from", "etag", 7, 11, &part, err);
    const char *head = fault_peer_head(peer, 0);
    assert_non_null(strstr(head, "cp?partNumber=2&uploadId=id HTTP"));
    assert_non_null(strstr(head, "x-amz-copy-source-range: bytes=7-17\r\n"));
    assert_non_null(strstr(head, "x-amz-copy-source-if-match: \"etag\"\r\n"));
    assert_non_null(strstr(head, "cp%20from\r\n"));
    store_free(faulty);
    fault_peer_free(peer);
    return rc;
}

// The server says 200 at once, to keep the line, and what became of it later.
static void test_copy_part_answers(void **state)
{
    (void)state;
    FAILS(ESTALE, "another object",
          copy_part_answered(TEXT("200 OK", "  <Error><Code>PreconditionFailed</Code></Error>"),
                             &err));
    FAILS(ESTALE, "another object",
          copy_part_answered(
              TEXT("412 Precondition Failed", "<Error><Code>PreconditionFailed</Code></Error>"),
              &err));
    FAILS(ENOENT, "upload is gone",
          copy_part_answered(TEXT("404 Not Found", "<Error><Code>NoSuchUpload</Code></Error>"),
                             &err));
    FAILS(EACCES, "AccessDenied",
          copy_part_answered(TEXT("200 OK", "<Error><Code>AccessDenied</Code></Error>"), &err));
    FAILS(EUCLEAN, "ETag", copy_part_answered(TEXT("200 OK", "<CopyPartResult/>"), &err));
    OK(copy_part_answered(TEXT("200 OK", "<CopyPartResult><ETag>x</ETag></CopyPartResult>"), &err));
}

static void copy_part_through(const struct fault_step *steps)
{
    struct fault_peer *peer;
    struct store *faulty = faulty_store(steps, 2, "?partNumber=", &peer);
    char id[STORE_UPLOAD_ID_BYTES];
    struct store_part part;
    struct store_stat stat;
    uint8_t bytes[100];
    size_t len;
    put("cp", 1000, 3, NULL, &stat);
    OK(faulty->ops->upload_begin(faulty, "cp2", id, &err));
    OK(faulty->ops->copy_part(faulty, "cp2", id, 1, 0, "cp", stat.etag, 900, 100, &part, &err));
    OK(faulty->ops->upload_complete(faulty, "cp2", id, &part, 1, NULL, &stat, &err));
    OK(store->ops->get(store, "cp2", stat.etag, 0, 100, bytes, &len, NULL, &err));
    assert_int_equal(len, 100);
    assert_true(pattern_holds(3, 900, bytes, 100));
    store_free(faulty);
    fault_peer_free(peer);
    OK(store->ops->remove(store, "cp", NULL, &err));
    OK(store->ops->remove(store, "cp2", NULL, &err));
}

static void test_copy_part_answer_lost(void **state)
{
    (void)state;
    const struct fault_step error_first[] = {
        {.kind = FAULT_ANSWER,
         .answer = TEXT("200 OK", "<Error><Code>InternalError</Code></Error>")},
        {.kind = FAULT_FORWARD}};
    copy_part_through(lose_first);
    copy_part_through(close_first);
    copy_part_through(error_first);
}

static void test_read_broken(void **state)
{
    (void)state;
    struct fault_peer *peer;
    struct store *faulty = faulty_store(close_first, 2, NULL, &peer);
    struct store_stat stat;
    uint8_t buf[100];
    size_t len;
    put("rb", 100, 9, NULL, &stat);
    OK(faulty->ops->get(faulty, "rb", stat.etag, 0, 100, buf, &len, NULL, &err));
    assert_true(pattern_holds(9, 0, buf, 100));
    assert_int_equal(fault_peer_requests(peer), 2);
    store_free(faulty);
    fault_peer_free(peer);
    OK(store->ops->remove(store, "rb", NULL, &err));
}

static int setup(void **state)
{
    (void)state;
    struct err err = {0};
    uint32_t random;
    crypto_random(&random, sizeof(random));
    snprintf(prefix, sizeof(prefix), "test-s3/%08x/", random);
    if (make_store(&(struct store_s3_conf){0}, &store, &err) != 0)
        fail_msg("%s", err.text);
    return 0;
}

static int remove_entry(void *ctx, const struct store_entry *entry)
{
    (void)ctx;
    return store->ops->remove(store, entry->key, NULL, NULL);
}

static int teardown(void **state)
{
    (void)state;
    bool more;
    store->ops->list(store, "", NULL, false, 1000, remove_entry, NULL, &more, NULL);
    store_free(store);
    return 0;
}

static bool find_server(void)
{
    const char *where = getenv("BAKFS_TEST_S3");
    if (where)
        return sscanf(where, "%255s %127s", endpoint, bucket) == 2;
    // as tests/support/start-rgw.sh says them
    const char *const from[] = {"RGW_ENDPOINT", "RGW_BUCKET", "RGW_ACCESS_KEY", "RGW_SECRET_KEY"};
    for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++)
        if (!getenv(from[i]))
            return false;
    snprintf(endpoint, sizeof(endpoint), "%s", getenv(from[0]));
    snprintf(bucket, sizeof(bucket), "%s", getenv(from[1]));
    setenv("AWS_ACCESS_KEY_ID", getenv(from[2]), 1);
    setenv("AWS_SECRET_ACCESS_KEY", getenv(from[3]), 1);
    unsetenv("AWS_SESSION_TOKEN");
    return true;
}

int main(void)
{
    if (!find_server()) {
        fprintf(stderr,
                "neither BAKFS_TEST_S3=\"ENDPOINT BUCKET\" nor RGW_ENDPOINT, RGW_BUCKET: no S3 "
                "server to test with\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_check_refusals),
        cmocka_unit_test(test_nasty_keys),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_put_conditions),
        cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_lost_complete),
        cmocka_unit_test(test_complete_conditions),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_put_answer_lost),
        cmocka_unit_test(test_complete_answer_lost),
        cmocka_unit_test(test_abort_answer_lost),
        cmocka_unit_test(test_copy_part_answers),
        cmocka_unit_test(test_copy_part_answer_lost),
        cmocka_unit_test(test_read_broken),
    };
    int failed = cmocka_run_group_tests_name("s3", tests, setup, teardown);
    setup(NULL);
    failed += store_suite_run("s3", store);
    teardown(NULL);
    failed += s3_versions_run(endpoint);
    return failed > 0;
}
