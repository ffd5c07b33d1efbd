#include "tests/contract/s3_versions.h"

#include "backend/base/crypto.h"
#include "backend/store/s3_store.h"
#include "tests/contract/store_suite_versions.h"
#include "tests/support/pattern.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define UNTIL 4102444800 // 2100-01-01T00:00:00Z

static struct store *versioned, *locked;
static const char *server;

#define OK(call)                                                                                   \
    do {                                                                                           \
        struct err err = {0};                                                                      \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

static int ask(struct store *store, struct s3_call *call, struct err *err)
{
    int rc = s3_client_call(((struct s3_store *)store)->client, call, err);
    s3_call_done(call);
    return rc;
}

static struct store *make_bucket(const char *what, uint32_t random, bool lock)
{
    struct store *store = NULL;
    char name[64];
    snprintf(name, sizeof(name), "%s-%08x", what, random);
    struct store_s3_conf conf = {
        .endpoint = server, .bucket = name, .prefix = "p/", .deadline_ms = 60000};
    OK(store_s3_new(&conf, &store, &err));
    struct s3_call call = {.method = "PUT"};
    if (lock)
        s3_call_header(&call, "x-amz-bucket-object-lock-enabled", "true");
    OK(ask(store, &call, &err));
    return store;
}

static int setup(void **state)
{
    (void)state;
    uint32_t random;
    crypto_random(&random, sizeof(random));
    versioned = make_bucket("versioned", random, false);
    locked = make_bucket("locked", random, true);
    static const char enabled[] = "<VersioningConfiguration "
                                  "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                                  "<Status>Enabled</Status></VersioningConfiguration>";
    struct s3_call call = {.method = "PUT", .text = enabled, .text_len = strlen(enabled)};
    s3_call_query(&call, "versioning", "");
    OK(ask(versioned, &call, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct store *const both[] = {versioned, locked};
    for (size_t i = 0; i < 2; i++) {
        struct s3_call call = {.method = "DELETE"};
        OK(ask(both[i], &call, &err)); // refused when anything were left
        store_free(both[i]);
    }
    return 0;
}

static void test_suites(void **state)
{
    (void)state;
    assert_int_equal(store_suite_versions_run("versioned bucket", versioned, true), 0);
    assert_int_equal(store_suite_versions_run("locked bucket", locked, false), 0);
}

static char id[STORE_VERSION_ID_BYTES];

static int see(void *ctx, const struct store_version *version)
{
    unsigned *count = ctx;
    if (!version->delete_marker)
        snprintf(id, sizeof(id), "%s", version->id);
    (*count)++;
    return 0;
}

static unsigned look(void)
{
    unsigned count = 0;
    OK(locked->ops->list_versions(locked, "", see, &count, &err));
    return count;
}

static void set(const char *what, const char *text)
{
    struct s3_call call = {.method = "PUT", .key = "p/k", .text = text, .text_len = strlen(text)};
    s3_call_query(&call, what, "");
    s3_call_query(&call, "versionId", id);
    OK(ask(locked, &call, &err));
}

static void is_refused(void)
{
    struct err err = {0};
    assert_int_equal(locked->ops->remove_version(locked, "k", id, &err), -EACCES);
    assert_true(strlen(err.text) > 0);
}

static void test_locks(void **state)
{
    (void)state;
    struct pattern_source body = pattern_source(1, 0, 100);
    struct store_hold hold = {0};
    OK(locked->ops->put(locked, "k", &body.source, NULL, NULL, &err));
    assert_int_equal(look(), 1);
    OK(locked->ops->ask_hold(locked, "k", id, &hold, &err));
    assert_false(hold.legal_hold);
    assert_int_equal(hold.until.tv_sec, 0);

    set("retention", "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>GOVERNANCE"
                     "</Mode><RetainUntilDate>2100-01-01T00:00:00Z</RetainUntilDate></Retention>");
    OK(locked->ops->ask_hold(locked, "k", id, &hold, &err));
    assert_false(hold.legal_hold);
    assert_int_equal(hold.until.tv_sec, UNTIL);
    is_refused();
    set("legal-hold", "<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                      "<Status>ON</Status></LegalHold>");
    OK(locked->ops->ask_hold(locked, "k", id, &hold, &err));
    assert_true(hold.legal_hold);
    assert_int_equal(hold.until.tv_sec, UNTIL);
    is_refused();

    // hidden by a removal, it is held all the same; the marker is not
    OK(locked->ops->remove(locked, "k", NULL, &err));
    assert_int_equal(look(), 2);
    OK(locked->ops->ask_hold(locked, "k", id, &hold, &err));
    assert_true(hold.legal_hold);

    set("legal-hold", "<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                      "<Status>OFF</Status></LegalHold>");
    OK(locked->ops->ask_hold(locked, "k", id, &hold, &err));
    assert_false(hold.legal_hold);
    is_refused();
    struct s3_call call = {.method = "DELETE", .key = "p/k"};
    s3_call_query(&call, "versionId", id);
    s3_call_header(&call, "x-amz-bypass-governance-retention", "true");
    OK(ask(locked, &call, &err));
    assert_int_equal(look(), 1);
    struct s3_call listed = {.method = "GET"};
    s3_call_query(&listed, "versions", "");
    OK(s3_client_call(((struct s3_store *)locked)->client, &listed, &err));
    struct xml_versions versions;
    OK(xml_parse_versions(listed.response.text, listed.response.text_len, &versions, &err));
    assert_int_equal(versions.count, 1);
    assert_true(versions.versions[0].delete_marker);
    OK(locked->ops->remove_version(locked, "k", versions.versions[0].id, &err));
    xml_versions_done(&versions);
    s3_call_done(&listed);
    assert_int_equal(look(), 0);
}

int s3_versions_run(const char *endpoint)
{
    server = endpoint;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suites),
        cmocka_unit_test(test_locks),
    };
    return cmocka_run_group_tests_name("s3 versions", tests, setup, teardown);
}
