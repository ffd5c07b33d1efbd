#include "fs/headers.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/test_headers.XXXXXX";
static char file[64];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir + sizeof(dir) - 7, "XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(file, sizeof(file), "%s/" HEADERS_FILE, dir);
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    unlink(file);
    return rmdir(dir);
}

static struct headers *open_cache(const char *store, unsigned max)
{
    struct headers *h = NULL;
    assert_int_equal(headers_new(dir, store, max, &h, NULL), 0);
    return h;
}

static struct object_info info_of(unsigned n)
{
    struct object_info info = {
        .stat = {.size = 1000 + n},
        .header = {.state = SEAL_OURS, .len = 300 + n % 7, .x25519_count = 2, .other_count = 1},
    };
    snprintf(info.stat.etag, sizeof(info.stat.etag), "etag-%u", n);
    info.header.record.size = ((uint64_t)1 << 40) + n;
    info.header.record.mtime = (struct timespec){-5 + (time_t)n, 123456789};
    info.header.record.committed = (struct timespec){1795348800 + (time_t)n, 999999999};
    info.header.record.flags = SEAL_FLAG_TOOL | n;
    memset(info.header.record.pathtag, (int)(n & 0xff), SEAL_PATHTAG_BYTES);
    return info;
}

static void put(struct headers *h, unsigned n)
{
    char key[32];
    snprintf(key, sizeof(key), "key-%u", n);
    struct object_info info = info_of(n);
    headers_put(h, key, &info);
}

static bool has(struct headers *h, unsigned n)
{
    char key[32];
    snprintf(key, sizeof(key), "key-%u", n);
    struct object_info want = info_of(n);
    struct seal_header got;
    if (!headers_get(h, key, &want.stat, &got))
        return false;
    const struct seal_record *a = &got.record, *b = &want.header.record;
    assert_int_equal(got.state, want.header.state);
    assert_int_equal(got.len, want.header.len);
    assert_int_equal(got.x25519_count, 2);
    assert_int_equal(got.other_count, 1);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->mtime.tv_sec, b->mtime.tv_sec);
    assert_int_equal(a->mtime.tv_nsec, b->mtime.tv_nsec);
    assert_int_equal(a->committed.tv_sec, b->committed.tv_sec);
    assert_int_equal(a->committed.tv_nsec, b->committed.tv_nsec);
    assert_memory_equal(a->pathtag, b->pathtag, SEAL_PATHTAG_BYTES);
    return true;
}

static off_t file_size(void)
{
    struct stat st;
    return stat(file, &st) ? -1 : st.st_size;
}

static void write_at(off_t off, const void *bytes, size_t len)
{
    int fd = open(file, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, off), (ssize_t)len);
    close(fd);
}

static void remembers_across_mounts(void **state)
{
    (void)state;
    struct headers *h = open_cache("store", 1000);
    for (unsigned n = 0; n < 600; n++)
        put(h, n);
    for (unsigned n = 0; n < 600; n++)
        assert_true(has(h, n));
    assert_false(has(h, 600));
    headers_free(h);
    assert_int_equal(file_size(), 600 * HEADERS_RECORD_BYTES);
    h = open_cache("store", 1000);
    for (unsigned n = 0; n < 600; n++)
        assert_true(has(h, n));
    put(h, 5); // known already: nothing to write
    headers_free(h);
    assert_int_equal(file_size(), 600 * HEADERS_RECORD_BYTES);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void tells_objects_apart(void **state)
{
    (void)state;
    struct headers *h = open_cache("store", 1000);
    put(h, 1);
    struct seal_header got;
    struct store_stat stat = info_of(1).stat;
    assert_true(headers_get(h, "key-1", &stat, &got));
    assert_false(headers_get(h, "key-2", &stat, &got));
    stat.size++;
    assert_false(headers_get(h, "key-1", &stat, &got));
    stat.size--;
    strcpy(stat.etag, "another");
    assert_false(headers_get(h, "key-1", &stat, &got));
    headers_free(h);
    h = open_cache("another store", 1000);
    assert_false(has(h, 1));
    headers_free(h);
}

static void forgets_what_could_not_be_read(void **state)
{
    (void)state;
    struct headers *h = open_cache("store", 1000);
    struct object_info info = info_of(1);
    info.header = (struct seal_header){.state = SEAL_FOREIGN};
    headers_put(h, "key-1", &info);
    assert_false(headers_get(h, "key-1", &info.stat, &info.header));
    headers_free(h);
    assert_int_equal(file_size(), 0);
}

static void skips_damage(void **state)
{
    (void)state;
    struct headers *h = open_cache("store", 1000);
    for (unsigned n = 0; n < 10; n++)
        put(h, n);
    headers_free(h);
    for (off_t at = 0; at < HEADERS_RECORD_BYTES; at += 13) { // any byte of record 4
        uint8_t byte = 0;
        int fd = open(file, O_RDONLY);
        assert_int_equal(pread(fd, &byte, 1, 4 * HEADERS_RECORD_BYTES + at), 1);
        close(fd);
        uint8_t flipped = byte ^ 0x10;
        write_at(4 * HEADERS_RECORD_BYTES + at, &flipped, 1);
        h = open_cache("store", 1000);
        for (unsigned n = 0; n < 10; n++)
            assert_int_equal(has(h, n), n != 4);
        headers_free(h);
        write_at(4 * HEADERS_RECORD_BYTES + at, &byte, 1);
    }
}

static void cuts_a_torn_tail(void **state)
{
    (void)state;
    struct headers *h = open_cache("store", 1000);
    put(h, 0);
    put(h, 1);
    headers_free(h);
    assert_int_equal(truncate(file, 2 * HEADERS_RECORD_BYTES - 1), 0);
    h = open_cache("store", 1000);
    assert_true(has(h, 0));
    assert_false(has(h, 1));
    put(h, 2);
    headers_free(h);
    assert_int_equal(file_size(), 2 * HEADERS_RECORD_BYTES);
    h = open_cache("store", 1000);
    assert_true(has(h, 0));
    assert_true(has(h, 2));
    headers_free(h);
}

static void stays_bounded(void **state)
{
    (void)state;
    struct headers *h = open_cache("store", 100);
    for (unsigned n = 0; n < 2000; n++) {
        put(h, n);
        if (n % 50 == 0)
            headers_flush(h);
        assert_true(file_size() <= 200 * HEADERS_RECORD_BYTES);
    }
    for (unsigned n = 0; n < 2000; n++)
        assert_int_equal(has(h, n), n >= 1900);
    headers_free(h);
    h = open_cache("store", 100);
    assert_true(has(h, 1999));
    assert_true(has(h, 1960));
    assert_false(has(h, 1000));
    headers_free(h);
}

static void is_shared(void **state)
{
    (void)state;
    struct headers *a = open_cache("store", 100), *b = open_cache("store", 100);
    for (unsigned n = 0; n < 400;
         n++) { // both go past the bound, so each puts a new file in the other's place
        put(n % 2 ? a : b, n);
        if (n % 10 == 0) {
            headers_flush(a);
            headers_flush(b);
        }
    }
    headers_free(a);
    headers_free(b);
    a = open_cache("store", 100);
    for (unsigned n = 370; n < 400; n++)
        assert_true(has(a, n));
    headers_free(a);
}

static void works_without_a_file(void **state)
{
    (void)state;
    struct headers *h = NULL;
    assert_int_equal(headers_new(NULL, "store", 100, &h, NULL), 0);
    put(h, 1);
    assert_true(has(h, 1));
    headers_free(h);
    assert_int_equal(headers_new("", "store", 100, &h, NULL), 0);
    put(h, 1);
    headers_free(h);
    assert_int_not_equal(access("/" HEADERS_FILE, F_OK), 0);
    assert_int_equal(headers_new("/nonexistent/dir", "store", 100, &h, NULL), 0);
    put(h, 1);
    assert_true(has(h, 1));
    headers_free(h);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)
    const struct CMUnitTest tests[] = {
        TEST(remembers_across_mounts),
        TEST(tells_objects_apart),
        TEST(forgets_what_could_not_be_read),
        TEST(skips_damage),
        TEST(cuts_a_torn_tail),
        TEST(stays_bounded),
        TEST(is_shared),
        TEST(works_without_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
