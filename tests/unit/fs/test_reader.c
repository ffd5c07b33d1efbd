// Readers over a directory store, with objects made by object_create. Between them stands a store that counts GETs, holds
// them back, fails them or changes a byte.
#include "fs/reader.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/object.h"
#include "backend/store/plan.h"

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FRAME ((uint64_t)PACK_FRAME_BYTES)
#define READ ((size_t)128 << 10)
#define PATH "db1/2026-11-22/orders.sql"
#define BIG (40 * FRAME + 12345)

// --- The store in between ---

struct between {
    struct store base;
    struct store *inner;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned gets; // begun
    unsigned held; // waiting at the gate
    bool closed;   // the gate
    int fail_code; // of the next `fail_count` GETs
    unsigned fail_count;
    uint64_t flip_at; // this byte of the object comes changed, when not 0
};

static int between_get(struct store *s, const char *key, const char *if_match, uint64_t off,
                       size_t len, void *buf, size_t *out_len, struct store_stat *out,
                       struct err *err)
{
    struct between *b = (struct between *)s;
    pthread_mutex_lock(&b->lock);
    b->gets++;
    b->held++;
    pthread_cond_broadcast(&b->changed);
    while (b->closed)
        pthread_cond_wait(&b->changed, &b->lock);
    b->held--;
    bool fails = b->fail_count > 0;
    b->fail_count -= fails;
    uint64_t flip_at = b->flip_at;
    pthread_mutex_unlock(&b->lock);
    if (fails)
        return err_set(err, b->fail_code, "get '%s': the test says no", key);
    int rc = b->inner->ops->get(b->inner, key, if_match, off, len, buf, out_len, out, err);
    if (!rc && flip_at > 0 && flip_at >= off && flip_at < off + *out_len)
        ((uint8_t *)buf)[flip_at - off] ^= 1;
    return rc;
}

static int between_get_tail(struct store *s, const char *key, const char *if_match, size_t len,
                            void *buf, size_t *out_len, struct store_stat *out, struct err *err)
{
    struct between *b = (struct between *)s;
    return b->inner->ops->get_tail(b->inner, key, if_match, len, buf, out_len, out, err);
}

static int between_head(struct store *s, const char *key, struct store_stat *out, struct err *err)
{
    struct between *b = (struct between *)s;
    return b->inner->ops->head(b->inner, key, out, err);
}

static const struct store_ops between_ops = {
    .head = between_head,
    .get = between_get,
    .get_tail = between_get_tail,
};

// --- Fixture ---

struct fixture {
    char dir[64];
    struct between store;
    struct identities identities;
    struct recipient recipient;
    struct blocks *blocks;
    struct readers *readers;
};

static struct fixture fix;

// Plain bytes follow from their place; `salt` tells files apart. Packs to about half.
static uint64_t word_at(uint64_t off, unsigned salt)
{
    uint64_t word = (off / 8 + salt) * 0x9e3779b97f4a7c15u;
    word ^= word >> 29;
    return word * 0xbf58476d1ce4e5b9u & 0x0f0f0f0f0f0f0f0fu;
}

static void fill(uint8_t *out, uint64_t off, size_t len, unsigned salt)
{
    for (size_t done = 0, step; done < len; done += step) {
        uint64_t word = word_at(off + done, salt);
        size_t at = (off + done) % 8;
        step = (size_t)min_u64(8 - at, len - done);
        memcpy(out + done, (uint8_t *)&word + at, step);
    }
}

static void check(const uint8_t *bytes, uint64_t off, size_t len, unsigned salt)
{
    auto_free uint8_t *expected = malloc(len + 1);
    assert_non_null(expected);
    fill(expected, off, len, salt);
    assert_memory_equal(bytes, expected, len);
}

static void store_file(const char *path, uint64_t size, unsigned salt)
{
    struct blocks *blocks;
    struct workers *packers, *uploaders;
    struct err err = {0};
    const struct blocks_conf conf = {.memory_bytes = 32 * MIB, .spool_dir = fix.dir};
    assert_int_equal(blocks_new(&conf, &blocks, &err), 0);
    assert_int_equal(workers_new("pack", 2, 16, &packers, &err), 0);
    assert_int_equal(workers_new("upload", 2, 16, &uploaders, &err), 0);
    const struct object_env env = {
        .upload = {.store = fix.store.inner,
                   .blocks = blocks,
                   .uploaders = uploaders,
                   .part_max = plan_part_max(32 * MIB)},
        .pack = {.blocks = blocks, .packers = packers, .packer_count = 2, .level = 1},
        .recipients = &fix.recipient,
        .recipient_count = 1,
    };
    struct object_writer *w;
    if (object_create(&env, path, NULL, NULL, &w, &err))
        fail_msg("%s", err.text);
    static uint8_t piece[1 << 20];
    for (uint64_t off = 0; off < size; off += sizeof(piece)) {
        size_t len = (size_t)min_u64(sizeof(piece), size - off);
        fill(piece, off, len, salt);
        if (packer_write(object_writer_packer(w), piece, len, &err))
            fail_msg("%s", err.text);
    }
    struct object_info info;
    const struct object_times times = {.mtime.tv_sec = 1000, .committed.tv_sec = 2000};
    if (object_writer_commit(w, &times, &info, &err))
        fail_msg("%s", err.text);
    object_writer_free(w);
    workers_free(packers);
    workers_free(uploaders);
    blocks_free(blocks);
}

static int start_fixture(uint64_t memory_bytes, unsigned downloads)
{
    fix = (struct fixture){.dir = "/tmp/bakfs-test-reader-XXXXXX"};
    if (!mkdtemp(fix.dir) || store_dir_new(fix.dir, &fix.store.inner, NULL))
        return -1;
    fix.store.base.ops = &between_ops;
    pthread_mutex_init(&fix.store.lock, NULL);
    pthread_cond_init(&fix.store.changed, NULL);
    static struct identity *identity;
    if (identity_generate(&identity, NULL))
        return -1;
    identity_recipient(identity, &fix.recipient);
    fix.identities = (struct identities){.list = &identity, .count = 1};
    const struct blocks_conf conf = {.memory_bytes = memory_bytes, .spool_dir = fix.dir};
    if (blocks_new(&conf, &fix.blocks, NULL))
        return -1;
    const struct readers_conf readers = {
        .store = &fix.store.base,
        .identities = &fix.identities,
        .blocks = fix.blocks,
        .downloads = downloads,
        .memory_bytes = memory_bytes,
    };
    return readers_new(&readers, &fix.readers, NULL);
}

static int set_up(void **state)
{
    (void)state;
    return start_fixture(256 * MIB, 4);
}

static int set_up_small(void **state)
{
    (void)state;
    return start_fixture(16 * MIB, 4);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    readers_free(fix.readers);
    assert_int_equal(blocks_usage(fix.blocks).memory_bytes, 0);
    blocks_free(fix.blocks);
    identity_free(fix.identities.list[0]);
    store_free(fix.store.inner);
    pthread_cond_destroy(&fix.store.changed);
    pthread_mutex_destroy(&fix.store.lock);
    return nftw(fix.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct read_handle *open_path(const char *path)
{
    struct read_handle *h;
    struct err err = {0};
    if (reader_open(fix.readers, path, NULL, &h, &err))
        fail_msg("%s", err.text);
    return h;
}

static unsigned gets(void)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&fix.store.lock);
    return fix.store.gets;
}

static void gate(bool closed)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&fix.store.lock);
    fix.store.closed = closed;
    pthread_cond_broadcast(&fix.store.changed);
}

static void wait_held(unsigned count)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&fix.store.lock);
    while (fix.store.held < count)
        pthread_cond_wait(&fix.store.changed, &fix.store.lock);
}

static void fail_gets(unsigned count, int code)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&fix.store.lock);
    fix.store.fail_count = count;
    fix.store.fail_code = code;
}

static void flip(uint64_t at)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&fix.store.lock);
    fix.store.flip_at = at;
}

// Copies what reader_get lends.
static int read_at(struct read_handle *h, uint64_t off, void *out, size_t len, bool direct,
                   size_t *out_len, struct err *err)
{
    size_t done = 0, got;
    do {
        struct read_pieces pieces;
        size_t want = (size_t)min_u64(len - done, READ_BYTES_MAX);
        int rc = reader_get(h, off + done, want, direct, &pieces, err);
        if (rc)
            return rc;
        got = 0;
        for (unsigned i = 0; i < pieces.count; i++) {
            memcpy((uint8_t *)out + done + got, pieces.bytes[i].iov_base, pieces.bytes[i].iov_len);
            got += pieces.bytes[i].iov_len;
        }
        reader_put(&pieces);
        done += got;
    } while (got > 0 && done < len);
    *out_len = done;
    return 0;
}

static void read_right(struct read_handle *h, uint64_t off, size_t len, bool direct)
{
    auto_free uint8_t *buf = malloc(len);
    assert_non_null(buf);
    size_t got = 0;
    struct err err = {0};
    if (read_at(h, off, buf, len, direct, &got, &err))
        fail_msg("%s", err.text);
    assert_int_equal(got, len);
    check(buf, off, len, 0);
}

// --- Tests ---

static void read_through(uint64_t size, size_t piece, bool direct)
{
    struct read_handle *h = open_path(PATH);
    auto_free uint8_t *buf = malloc(piece);
    assert_non_null(buf);
    uint64_t off = 0;
    for (;;) {
        size_t got = 77;
        struct err err = {0};
        if (read_at(h, off, buf, piece, direct, &got, &err))
            fail_msg("%s", err.text);
        check(buf, off, got, 0);
        off += got;
        if (got < piece)
            break;
    }
    assert_int_equal(off, size);
    size_t got = 77;
    assert_int_equal(read_at(h, size + 5, buf, piece, direct, &got, NULL), 0);
    assert_int_equal(got, 0);
    reader_close(h);
}

static void every_size_reads_back_in_every_piece(void **state)
{
    (void)state;
    const uint64_t sizes[] = {0, 1, FRAME - 1, FRAME, FRAME + 1, 7 * FRAME / 2};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        store_file(PATH, sizes[i], 0);
        read_through(sizes[i], 100003, false);
        read_through(sizes[i], READ, true);
        read_through(sizes[i], (size_t)FRAME, false);
        read_through(sizes[i], (size_t)(5 * FRAME), false);
    }
}

static void reading_in_order_fetches_groups_of_frames_once(void **state)
{
    (void)state;
    store_file(PATH, BIG, 0);
    struct read_handle *h = open_path(PATH);
    unsigned before = gets();
    uint64_t fetched = readers_fetched(fix.readers);
    for (uint64_t off = 0; off + READ <= BIG; off += READ)
        read_right(h, off, READ, false);
    assert_true(gets() - before < 25);
    fetched = readers_fetched(fix.readers) - fetched;
    const struct object_info *info = object_reader_info(reader_object(h));
    assert_true(fetched <= info->stat.size);
    reader_close(h);
}

static void a_random_read_fetches_one_frame(void **state)
{
    (void)state;
    store_file(PATH, BIG, 0);
    struct read_handle *h = open_path(PATH);
    for (uint64_t i = 1; i < 39; i++) {
        unsigned before = gets();
        uint64_t frame = i * 17 % 39;
        read_right(h, frame * FRAME + 1000 * i, 65536, false);
        assert_true(gets() - before <= 1);
    }
    unsigned before = gets();
    read_right(h, 5 * FRAME, 65536, false); // cached
    assert_int_equal(gets(), before);
    reader_close(h);
}

struct run {
    pthread_t thread;
    struct read_handle *handle;
    uint64_t from, to;
    int wrong;
};

static void *run_reads(void *arg)
{
    struct run *run = arg;
    uint8_t *buf = malloc(2 * READ);
    for (uint64_t off = run->from; buf && off < run->to; off += READ) {
        size_t want = (size_t)min_u64(READ, run->to - off), got = 0;
        if (read_at(run->handle, off, buf, want, false, &got, NULL) || got != want)
            run->wrong++;
        fill(buf + READ, off, want, 0);
        run->wrong += memcmp(buf, buf + READ, want) != 0;
    }
    run->wrong += !buf;
    free(buf);
    return NULL;
}

static void start_runs(struct run *runs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(pthread_create(&runs[i].thread, NULL, run_reads, &runs[i]), 0);
}

static void end_runs(struct run *runs, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pthread_join(runs[i].thread, NULL);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(runs[i].wrong, 0);
}

static void who_wants_the_same_frame_waits_for_one_get(void **state)
{
    (void)state;
    store_file(PATH, 8 * FRAME, 0);
    struct read_handle *handles[2] = {open_path(PATH), open_path(PATH)};
    unsigned before = gets();
    gate(true);
    struct run runs[4];
    for (unsigned i = 0; i < 4; i++)
        runs[i] = (struct run){.handle = handles[i % 2], .from = 4 * FRAME, .to = 4 * FRAME + READ};
    start_runs(runs, 4);
    wait_held(1);
    gate(false);
    end_runs(runs, 4);
    assert_int_equal(gets(), before + 1);
    reader_close(handles[0]);
    reader_close(handles[1]);
}

static void many_at_once(bool one_handle)
{
    store_file(PATH, BIG, 0);
    struct read_handle *shared = open_path(PATH);
    struct run runs[6];
    for (unsigned i = 0; i < 6; i++)
        runs[i] = (struct run){
            .handle = one_handle ? shared : open_path(PATH),
            .from = i % 3 * 9 * FRAME,
            .to = min_u64(BIG, (i % 3 * 9 + 14) * FRAME),
        };
    start_runs(runs, 6);
    end_runs(runs, 6);
    for (unsigned i = 0; i < 6 && !one_handle; i++)
        reader_close(runs[i].handle);
    reader_close(shared);
}

static void many_read_at_once(void **state)
{
    (void)state;
    many_at_once(false);
    many_at_once(true);
}

static void a_failed_get_fails_its_read_and_is_forgotten(void **state)
{
    (void)state;
    store_file(PATH, 8 * FRAME, 0);
    struct read_handle *h = open_path(PATH);
    fail_gets(1, EIO);
    uint8_t buf[10];
    size_t got;
    struct err err = {0};
    assert_int_equal(read_at(h, 3 * FRAME + 7, buf, 10, false, &got, &err), -EIO);
    assert_non_null(strstr(err.text, "read '" PATH "' at byte 3145735: "));
    assert_non_null(strstr(err.text, "the test says no"));
    read_right(h, 3 * FRAME + 7, 10, false);
    reader_close(h);
}

// Reads in order up to the first bytes of `frame`, in such a way that GETs that run ahead of it stand at the closed gate.
static struct read_handle *run_to_gate(uint64_t frame)
{
    struct read_handle *h = open_path(PATH), *other = open_path(PATH);
    for (uint64_t off = 0; off < frame * FRAME; off += READ)
        read_right(h, off, READ, false);
    read_right(other, frame * FRAME, 10, false); // it is there
    reader_close(other);
    gate(true);
    read_right(h, frame * FRAME, READ, false);
    wait_held(1);
    return h;
}

static void a_failure_ahead_is_not_the_readers(void **state)
{
    (void)state;
    store_file(PATH, BIG, 0);
    struct read_handle *h = run_to_gate(3);
    fail_gets(1, EIO); // one of those at the gate
    gate(false);
    for (uint64_t off = 3 * FRAME; off < 30 * FRAME; off += READ)
        read_right(h, off, READ, false);
    reader_close(h);
}

static void a_changed_byte_fails_only_its_frame(void **state)
{
    (void)state;
    store_file(PATH, BIG, 0);
    struct read_handle *h = open_path(PATH);
    const uint64_t bad = 21;
    struct pack_span span = pack_index_span(object_reader_index(reader_object(h)), bad);
    uint64_t packed_off = span.packed_off + span.packed_len / 2;
    uint64_t header = object_reader_info(reader_object(h))->header.len;
    flip(header + SEAL_NONCE_BYTES +
         packed_off / SEAL_CHUNK_BYTES * (SEAL_CHUNK_BYTES + SEAL_TAG_BYTES) +
         packed_off % SEAL_CHUNK_BYTES);
    for (uint64_t off = 0; off + READ <= BIG; off += READ) {
        if (off / FRAME != bad) {
            read_right(h, off, READ, false);
            continue;
        }
        static uint8_t buf[READ];
        size_t got = 77;
        struct err err = {0};
        assert_int_equal(read_at(h, off, buf, READ, false, &got, &err), -EBADMSG);
        assert_int_equal(got, 77);
        assert_non_null(strstr(err.text, PATH));
    }
    flip(0);
    read_right(h, bad * FRAME, READ, false);
    reader_close(h);
}

static void an_object_replaced_in_mid_read_is_an_error(void **state)
{
    (void)state;
    store_file(PATH, BIG, 0);
    struct read_handle *h = open_path(PATH);
    read_right(h, 0, READ, false);
    store_file(PATH, BIG, 1);
    uint8_t buf[10];
    size_t got;
    struct err err = {0};
    assert_int_equal(read_at(h, 20 * FRAME, buf, 10, false, &got, &err), -EIO);
    assert_int_equal(err.code, EIO);
    assert_non_null(strstr(err.text, "replaced"));
    reader_close(h);
    h = open_path(PATH);
    assert_int_equal(read_at(h, 20 * FRAME, buf, 10, false, &got, NULL), 0);
    check(buf, 20 * FRAME, 10, 1);
    reader_close(h);
}

static void close_does_not_wait_for_what_runs_ahead(void **state)
{
    (void)state;
    store_file(PATH, BIG, 0);
    struct read_handle *h = run_to_gate(2);
    reader_close(h); // with the gate closed
    gate(false);
}

static void what_was_lent_outlives_its_handle(void **state)
{
    (void)state;
    store_file(PATH, 3 * FRAME, 0);
    for (int direct = 0; direct < 2; direct++) {
        struct read_handle *h = open_path(PATH);
        struct read_pieces pieces;
        uint64_t off = FRAME - 1000;
        assert_int_equal(reader_get(h, off, 3000, direct, &pieces, NULL), 0);
        reader_close(h);
        assert_int_equal(pieces.count, 2);
        check(pieces.bytes[0].iov_base, off, 1000, 0);
        check(pieces.bytes[1].iov_base, FRAME, 2000, 0);
        reader_put(&pieces);

        h = open_path(PATH);
        assert_int_equal(reader_get(h, 3 * FRAME, 1, direct, &pieces, NULL), 0);
        reader_close(h);
        assert_int_equal(pieces.count, 0);
        reader_put(&pieces);
    }
}

static void writers_get_the_memory_of_cached_frames(void **state)
{
    (void)state;
    store_file(PATH, BIG, 0);
    struct read_handle *h = open_path(PATH);
    for (uint64_t i = 0; i < 20; i++)
        read_right(h, 2 * i * FRAME, 100, false);
    struct block *blocks[256];
    uint64_t budget = 16 * MIB / BLOCK_BYTES * BLOCK_BYTES;
    uint64_t downloaders = FRAME + BLOCK_BYTES; // one, with so little memory
    unsigned count = 0;
    // the downloader's own room is all that stays
    while (count < (budget - downloaders) / BLOCK_BYTES) {
        assert_int_equal(block_get(fix.blocks, BLOCK_WRITER, &blocks[count], NULL), 0);
        if (!block_memory(blocks[count++]))
            break;
    }
    assert_non_null(block_memory(blocks[count - 1]));
    assert_int_equal(count, 13);
    // and reading goes on without any
    for (uint64_t off = 0; off < 6 * FRAME; off += READ)
        read_right(h, off, READ, false);
    struct run runs[4];
    for (unsigned i = 0; i < 4; i++)
        runs[i] = (struct run){.handle = h, .from = i % 2 * FRAME, .to = (i % 2 + 4) * FRAME};
    start_runs(runs, 4);
    end_runs(runs, 4);
    while (count > 0)
        block_put(blocks[--count]);
    reader_close(h);
}

static void a_direct_read_asks_the_store(void **state)
{
    (void)state;
    store_file(PATH, 8 * FRAME, 0);
    struct read_handle *h = open_path(PATH);
    read_right(h, 4 * FRAME, FRAME, false);
    for (int i = 0; i < 3; i++) {
        unsigned before = gets();
        read_right(h, 4 * FRAME, FRAME, true);
        assert_int_equal(gets(), before + 1);
    }
    // in pieces, each frame is still fetched once
    unsigned before = gets();
    for (uint64_t off = 0; off < 3 * FRAME; off += READ)
        read_right(h, off, READ, true);
    assert_true(gets() - before < 8);
    reader_close(h);
}

static void what_was_closed_opens_again_without_fetching(void **state)
{
    (void)state;
    store_file(PATH, 8 * FRAME, 0);
    struct read_handle *h = open_path(PATH);
    char etag[STORE_ETAG_BYTES];
    strcpy(etag, object_reader_info(reader_object(h))->stat.etag);
    read_right(h, 4 * FRAME, 100, false);
    reader_close(h);
    unsigned before = gets();
    assert_int_equal(reader_open(fix.readers, PATH, etag, &h, NULL), 0);
    read_right(h, 4 * FRAME, 100, false);
    assert_int_equal(gets(), before);
    fail_gets(1, EIO);
    uint8_t buf[10];
    size_t got;
    assert_int_equal(read_at(h, FRAME, buf, 10, false, &got, NULL), -EIO);
    reader_close(h);
    // something was wrong: from the start next time
    before = gets();
    assert_int_equal(reader_open(fix.readers, PATH, etag, &h, NULL), 0);
    assert_true(gets() > before);
    reader_close(h);
    store_file(PATH, 8 * FRAME, 1);
    assert_int_equal(reader_open(fix.readers, PATH, etag, &h, NULL), -ESTALE);
}

static void few_closed_objects_stay_open(void **state)
{
    (void)state;
    char path[64];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(path, sizeof(path), "db1/2026-11-22/t%u.sql", i);
        store_file(path, 100000, 0);
        struct read_handle *h = open_path(path);
        read_right(h, 5, 1000, false);
        reader_close(h);
    }
    assert_true(blocks_usage(fix.blocks).memory_bytes <
                (8 + 1) * BLOCK_BYTES + 4 * (FRAME + BLOCK_BYTES));
}

static void a_wrong_etag_does_not_open(void **state)
{
    (void)state;
    store_file(PATH, 100, 0);
    struct read_handle *h;
    assert_int_equal(reader_open(fix.readers, PATH, "other", &h, NULL), -ESTALE);
    assert_int_equal(reader_open(fix.readers, "db1/2026-11-22/no.sql", NULL, &h, NULL), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_SMALL(name) cmocka_unit_test_setup_teardown(name, set_up_small, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_size_reads_back_in_every_piece),
        TEST(reading_in_order_fetches_groups_of_frames_once),
        TEST(a_random_read_fetches_one_frame),
        TEST(who_wants_the_same_frame_waits_for_one_get),
        TEST(many_read_at_once),
        TEST_SMALL(many_read_at_once),
        TEST(a_failed_get_fails_its_read_and_is_forgotten),
        TEST(a_failure_ahead_is_not_the_readers),
        TEST(a_changed_byte_fails_only_its_frame),
        TEST(an_object_replaced_in_mid_read_is_an_error),
        TEST(close_does_not_wait_for_what_runs_ahead),
        TEST(what_was_lent_outlives_its_handle),
        TEST_SMALL(writers_get_the_memory_of_cached_frames),
        TEST(a_direct_read_asks_the_store),
        TEST(what_was_closed_opens_again_without_fetching),
        TEST(few_closed_objects_stay_open),
        TEST(a_wrong_etag_does_not_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
