// Readers of an object whose header is rewritten go on; of one that is replaced they do not.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/seal/header.h"
#include "tests/unit/backend/rig.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define SIZE (6 * MIB + 12345)
#define FRAMES 7

static struct object_reader *open_file(struct rig *r)
{
    struct object_reader *reader;
    OK(object_open(r->store, PATH, NULL, &r->identities, NULL, &reader, &err));
    return reader;
}

static void read_all(struct object_reader *reader, uint64_t seed)
{
    for (uint64_t i = 0; i < FRAMES; i++)
        OK(rig_read(reader, seed, i, 1, &err));
}

static void new_time(struct rig *r, const struct object_key *key, int64_t sec)
{
    struct object_info info;
    const struct timespec mtime = {sec, 0};
    const struct object_change change = {.to = PATH, .mtime = &mtime};
    OK(object_rewrite(&r->env, PATH, rig_stat(r, PATH).etag, key, &change, &info, &err));
}

// The payload again, under a header for so many recipients, as a rekey makes it; `cut` bytes of it are missing.
static void rekey(struct rig *r, const struct object_key *key, size_t recipients, size_t cut)
{
    struct object_info info;
    struct seal_randoms randoms;
    OK(object_probe(r->files, PATH OBJECT_SUFFIX, NULL, &info, &err));
    seal_randoms_fill(&randoms);
    memcpy(randoms.file_key, key->file_key, sizeof(key->file_key));
    size_t len, header_len = seal_header_length(recipients), old_len = info.header.len;
    auto_free uint8_t *old = rig_bytes(r, PATH, &len);
    auto_free uint8_t *changed = malloc(len + header_len);
    assert_non_null(changed);
    OK(header_encode(&info.header.record, r->recipients, recipients, &randoms, changed, &err));
    memcpy(changed + header_len, old + old_len, len - old_len - cut);
    rig_put(r, PATH, changed, header_len + len - old_len - cut);
}

static void test_rewritten(void **state)
{
    struct rig *r = *state;
    struct object_key key;
    rig_write(r, PATH, 1, SIZE, &key);
    struct object_reader *reader = open_file(r);
    OK(rig_read(reader, 1, 2, 2, &err));
    for (int i = 0; i < 3; i++) {
        new_time(r, &key, i);
        unsigned before = fault_store_calls(r->store, FAULT_ANY);
        OK(rig_read(reader, 1, 3, 1, &err));
        assert_int_equal(fault_store_calls(r->store, FAULT_ANY) - before, 3); // refused, look, read
        OK(rig_read(reader, 1, 1, 1, &err));
        assert_int_equal(fault_store_calls(r->store, FAULT_ANY) - before, 4);
        read_all(reader, 1);
    }
    object_reader_free(reader);
}

// Headers of other lengths: longer, longer than what is looked at first, shorter.
static void test_shifted(void **state)
{
    struct rig *r = *state;
    struct object_key key;
    r->env.recipient_count = 3;
    rig_write(r, PATH, 1, SIZE, &key);
    struct object_reader *reader = open_file(r);
    const size_t recipients[] = {5, SEAL_RECIPIENTS_MAX, 1, 3};
    for (size_t i = 0; i < sizeof(recipients) / sizeof(recipients[0]); i++) {
        rekey(r, &key, recipients[i], 0);
        read_all(reader, 1);
        struct object_reader *other = open_file(r);
        read_all(other, 1);
        object_reader_free(other);
    }
    new_time(r, &key, 5);
    read_all(reader, 1);
    object_reader_free(reader);
}

// The header and the nonce end where the first look ends, or a few bytes before or behind.
static void test_nonce_at_the_edge(void **state)
{
    struct rig *r = *state;
    struct object_key key;
    struct object_info info = rig_write(r, PATH, 1, SIZE, &key);
    struct object_reader *reader = open_file(r);
    size_t len;
    auto_free uint8_t *old = rig_bytes(r, PATH, &len);
    auto_free uint8_t *changed = malloc(len + SEAL_HEADER_PROBE);
    assert_non_null(changed);
    for (size_t header_len = SEAL_HEADER_PROBE - 18; header_len <= SEAL_HEADER_PROBE + 1;
         header_len++) {
        // further arguments of the record fill it up; the reader does not look at the MAC again
        size_t more = header_len - info.header.len;
        const uint8_t *line_end = memchr(old + 30, '\n', 200);
        assert_non_null(line_end);
        size_t at = (size_t)(line_end - old);
        memcpy(changed, old, at);
        memset(changed + at, 'x', more);
        changed[at] = ' ';
        memcpy(changed + at + more, old + at, len - at);
        rig_put(r, PATH, changed, len + more);
        OK(rig_read(reader, 1, header_len % FRAMES, 1, &err));
    }
    object_reader_free(reader);
}

static void test_replaced(void **state)
{
    struct rig *r = *state;
    struct object_key key;
    rig_write(r, PATH, 1, SIZE, &key);
    struct object_reader *reader = open_file(r);
    rig_write(r, PATH, 2, SIZE, NULL);
    FAILS(ESTALE, "another file", rig_read(reader, 1, 1, 1, &err));
    rig_write(r, PATH, 1, SIZE, NULL); // the same plain bytes, but sealed anew
    FAILS(ESTALE, "another file", rig_read(reader, 1, 1, 1, &err));
    rig_put(r, PATH, (const uint8_t *)"no age file", 11);
    FAILS(ESTALE, "another file", rig_read(reader, 1, 1, 1, &err));
    OK(r->files->ops->remove(r->files, PATH OBJECT_SUFFIX, NULL, &err));
    FAILS(ENOENT, "", rig_read(reader, 1, 1, 1, &err));
    object_reader_free(reader);

    // the same nonce over something shorter is not the same payload
    rig_write(r, PATH, 1, SIZE, &key);
    reader = open_file(r);
    rekey(r, &key, 4, 1);
    FAILS(ESTALE, "another file", rig_read(reader, 1, 1, 1, &err));
    object_reader_free(reader);

    // moved away, and back
    rig_write(r, PATH, 1, SIZE, &key);
    reader = open_file(r);
    const struct object_change there = {.to = OTHER}, back = {.to = PATH};
    struct object_info info;
    OK(object_rewrite(&r->env, PATH, rig_stat(r, PATH).etag, &key, &there, &info, &err));
    OK(r->files->ops->remove(r->files, PATH OBJECT_SUFFIX, NULL, &err));
    FAILS(ENOENT, "", rig_read(reader, 1, 1, 1, &err));
    OK(object_rewrite(&r->env, OTHER, info.stat.etag, &key, &back, &info, &err));
    read_all(reader, 1);
    object_reader_free(reader);
}

// A changed byte in the object that reading goes on in is noticed as ever.
static void test_damaged(void **state)
{
    struct rig *r = *state;
    rig_write(r, PATH, 1, SIZE, NULL);
    struct object_reader *reader = open_file(r);
    size_t len;
    auto_free uint8_t *bytes = rig_bytes(r, PATH, &len);
    bytes[MIB + MIB / 2] ^= 1;
    rig_put(r, PATH, bytes, len);
    FAILS(EBADMSG, "chunk", rig_read(reader, 1, 1, 1, &err));
    OK(rig_read(reader, 1, 4, 1, &err));
    object_reader_free(reader);
}

// Each of the three requests fails once; the next read goes on.
static void test_look_fails(void **state)
{
    struct rig *r = *state;
    struct object_key key;
    rig_write(r, PATH, 1, SIZE, &key);
    struct object_reader *reader = open_file(r);
    for (unsigned nth = 1; nth <= 3; nth++) {
        new_time(r, &key, nth);
        fault_store_set(r->store, &(struct fault){.op = FAULT_GET, .nth = nth, .code = ETIMEDOUT});
        FAILS(ETIMEDOUT, "as ordered", rig_read(reader, 1, 1, 1, &err));
        fault_store_set(r->store, &(struct fault){0});
        read_all(reader, 1);
    }
    object_reader_free(reader);
}

struct readers {
    struct object_reader *reader;
    atomic_bool stop;
    atomic_uint reads, failed;
};

static void *read_thread(void *ctx)
{
    struct readers *p = ctx;
    for (uint64_t i = 0; !p->stop; i++) {
        p->failed += rig_read(p->reader, 1, i % FRAMES, 1, NULL) != 0;
        p->reads++;
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    enum { THREADS = 6 };
    struct rig *r = *state;
    struct object_key key;
    rig_write(r, PATH, 1, SIZE, &key);
    struct readers p = {.reader = open_file(r)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_thread, &p), 0);
    for (int i = 0; i < 12; i++) {
        unsigned before = p.reads;
        if (i % 3 == 2)
            rekey(r, &key, (size_t)i, 0);
        else
            new_time(r, &key, i);
        while (p.reads < before + THREADS) // everybody has seen it
            sched_yield();
    }
    p.stop = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(p.failed, 0);
    object_reader_free(p.reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1 && !rig_use_s3())
        return 77;
    const struct CMUnitTest tests[] = {
        TEST(test_rewritten),    TEST(test_shifted), TEST(test_nonce_at_the_edge),
        TEST(test_replaced),     TEST(test_damaged), TEST(test_look_fails),
        TEST(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
