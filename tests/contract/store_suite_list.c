#include "tests/contract/store_suite_list.h"

#include "tests/support/pattern.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define SEEN_MAX 64

static struct store *store;

// In byte order. '-' and '.' come before '/', '0' after it: "a/b" stands between "a.b" and "a0".
static const char *const keys[] = {
    "list/ space",
    "list/%41",
    "list/+plus",
    "list/A",
    "list/a b/c d.zst.age",
    "list/a+b",
    "list/a-b",
    "list/a-b/c",
    "list/a.b",
    "list/a/b",
    "list/a/b-c",
    "list/a/b/c/d/e",
    "list/a/c",
    "list/a0",
    "list/a=b&c=d?e#f",
    "list/ab",
    "list/b:c",
    "list/tilde~",
    "list/with<xml>&amp;\"quotes'",
    "list/z\\back",
    "list/\xc3\xa4\xc3\xb6\xc3\xbc/\xe2\x82\xac",
    "list/\xf0\x9f\x98\x80",
};

// "a-b" and "a/b" are files and directories at once: S3 can, a file system cannot.
static bool fits(size_t i)
{
    static const char *const clashing[] = {"list/a-b/c", "list/a/b/c/d/e"};
    if (strncmp(store->id, "dir:", 4) != 0)
        return true;
    for (size_t k = 0; k < COUNT_OF(clashing); k++)
        if (strcmp(keys[i], clashing[k]) == 0)
            return false;
    return true;
}

struct seen {
    size_t count;
    char keys[SEEN_MAX][STORE_KEY_BYTES + 1];
    bool is_prefix[SEEN_MAX];
    uint64_t size[SEEN_MAX];
    char etag[SEEN_MAX][STORE_ETAG_BYTES];
};

static int see(void *ctx, const struct store_entry *entry)
{
    struct seen *s = ctx;
    assert_true(s->count < SEEN_MAX);
    snprintf(s->keys[s->count], sizeof(s->keys[0]), "%s", entry->key);
    snprintf(s->etag[s->count], sizeof(s->etag[0]), "%s", entry->stat.etag);
    s->is_prefix[s->count] = entry->is_prefix;
    s->size[s->count++] = entry->stat.size;
    return 0;
}

// All pages of `max` entries, one after the other.
static void list_all(const char *prefix, const char *after, bool fold, unsigned max,
                     struct seen *out)
{
    char last[STORE_KEY_BYTES + 1];
    snprintf(last, sizeof(last), "%s", after);
    *out = (struct seen){0};
    for (bool more = true; more;) {
        struct err err = {0};
        size_t before = out->count;
        int rc = store->ops->list(store, prefix, last[0] ? last : NULL, fold, max, see, out, &more,
                                  &err);
        if (rc != 0)
            fail_msg("list '%s' after '%s': %d, %s", prefix, last, rc, err.text);
        assert_true(out->count - before <= max);
        assert_true(!more || out->count - before == max);
        if (out->count > 0)
            snprintf(last, sizeof(last), "%s", out->keys[out->count - 1]);
    }
}

// What the contract says, made from the plain list of keys.
static void expect(const char *prefix, const char *after, bool fold, struct seen *out)
{
    *out = (struct seen){0};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        char entry[STORE_KEY_BYTES + 1];
        if (!fits(i) || strncmp(keys[i], prefix, strlen(prefix)) != 0)
            continue;
        snprintf(entry, sizeof(entry), "%s", keys[i]);
        char *slash = fold ? strchr(entry + strlen(prefix), '/') : NULL;
        if (slash)
            slash[1] = '\0';
        if (strcmp(entry, after) <= 0 ||
            (out->count > 0 && strcmp(out->keys[out->count - 1], entry) == 0))
            continue;
        strcpy(out->keys[out->count], entry);
        out->is_prefix[out->count] = slash != NULL;
        out->size[out->count++] = slash ? 0 : i;
    }
}

static void compare(const char *prefix, const char *after, bool fold, unsigned max)
{
    static struct seen got, expected;
    list_all(prefix, after, fold, max, &got);
    expect(prefix, after, fold, &expected);
    for (size_t i = 0; i < got.count && i < expected.count; i++) {
        assert_string_equal(got.keys[i], expected.keys[i]);
        assert_int_equal(got.is_prefix[i], expected.is_prefix[i]);
        if (!got.is_prefix[i]) {
            assert_int_equal(got.size[i], expected.size[i]);
            struct store_stat stat;
            assert_int_equal(store->ops->head(store, got.keys[i], &stat, NULL), 0);
            assert_string_equal(got.etag[i], stat.etag);
        }
    }
    assert_int_equal(got.count, expected.count);
}

static int put_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct pattern_source body = pattern_source(i, 0, i);
        struct store_stat stat;
        if (fits(i) && store->ops->put(store, keys[i], &body.source, NULL, &stat, NULL) != 0)
            return -1;
    }
    return 0;
}

static int remove_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (fits(i) && store->ops->remove(store, keys[i], NULL, NULL) != 0)
            return -1;
    return 0;
}

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        if (!fits(i))
            continue;
        uint8_t bytes[64];
        size_t len = 0;
        assert_int_equal(
            store->ops->get(store, keys[i], NULL, 0, sizeof(bytes), bytes, &len, NULL, NULL), 0);
        assert_int_equal(len, i);
        assert_true(pattern_holds(i, 0, bytes, len));
    }
}

static void test_pages(void **state)
{
    (void)state;
    const unsigned sizes[] = {1000, 1, 2, 3, 7};
    const char *const prefixes[] = {"",          "list/",     "list/a",   "list/a/", "list/a/b",
                                    "list/a b/", "list/none", "none/yet", "l",       "list/\xc3"};
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (size_t p = 0; p < COUNT_OF(prefixes); p++) {
            compare(prefixes[p], "", false, sizes[s]);
            compare(prefixes[p], "", true, sizes[s]);
        }
}

static void test_after(void **state)
{
    (void)state;
    const char *const afters[] = {"list/",   "list/a",   "list/a-b",   "list/a.b",
                                  "list/a/", "list/a/b", "list/a/b-d", "list/zzzz",
                                  "list/a0", "k",        "m",          "list/a b/"};
    for (size_t i = 0; i < COUNT_OF(afters); i++) {
        compare("list/", afters[i], false, 1000);
        compare("", afters[i], false, 4);
    }
    // folded, after a whole entry of such a listing
    const char *const folded[] = {"list/a b/", "list/a-b", "list/a/", "list/ab", "list/zzzz"};
    for (size_t i = 0; i < COUNT_OF(folded); i++)
        compare("list/", folded[i], true, 2);
}

static int stop_at_second(void *ctx, const struct store_entry *entry)
{
    (void)entry;
    unsigned *count = ctx;
    return ++*count == 2 ? -EINTR : 0;
}

static void test_stop(void **state)
{
    (void)state;
    unsigned count = 0;
    bool more = false;
    assert_int_equal(
        store->ops->list(store, "list/", NULL, false, 1000, stop_at_second, &count, &more, NULL),
        -EINTR);
    assert_int_equal(count, 2);
    assert_false(more); // outputs change only on success
}

static void test_empty(void **state)
{
    (void)state;
    static struct seen got;
    list_all("", "", false, 1000, &got);
    assert_int_equal(got.count, 0);
    list_all("", "", true, 1000, &got);
    assert_int_equal(got.count, 0);
}

int store_suite_list_run(const char *name, struct store *of)
{
    store = of;
    const struct CMUnitTest filled[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_after),
        cmocka_unit_test(test_stop),
    };
    // what the suite put is all removed: nothing may be left
    const struct CMUnitTest empty[] = {cmocka_unit_test(test_empty)};
    return _cmocka_run_group_tests(name, filled, COUNT_OF(filled), put_keys, remove_keys) +
           _cmocka_run_group_tests(name, empty, COUNT_OF(empty), NULL, NULL);
}
