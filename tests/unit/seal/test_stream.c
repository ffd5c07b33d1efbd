// Sink and source: what goes in comes out, at every edge of a chunk, with and without a front.
#include "tests/unit/seal/seal_fixture.h"

#include <errno.h>
#include <pthread.h>

#define CHUNK ((size_t)SEAL_CHUNK_BYTES)
#define NO_FRONT SIZE_MAX

static const size_t edges[] = {0,         1,         100,           CHUNK - 1,     CHUNK,
                               CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK - 1, 5 * CHUNK + 7};
#define EDGES (sizeof(edges) / sizeof(edges[0]))
#define MOST (8 * CHUNK)

static uint8_t plain[MOST], back[MOST];

static struct sink *new_sink(struct memory *memory, uint64_t front_min, unsigned recipients)
{
    struct seal_randoms randoms;
    seal_randoms_fill(&randoms);
    struct recipient list[SEAL_RECIPIENTS_MAX];
    for (unsigned i = 0; i < recipients; i++)
        list[i] = fixed_recipient();
    struct sink *next = memory_sink_new(memory, 1, front_min);
    assert_non_null(next);
    struct sink *sink;
    assert_int_equal(seal_sink_new(next, list, recipients, &randoms, &sink, NULL), 0);
    return sink;
}

static int write_pieces(int (*put)(struct sink *, const void *, size_t, struct err *),
                        struct sink *sink, const uint8_t *bytes, size_t len, size_t piece,
                        struct err *err)
{
    do {
        size_t n = len < piece ? len : piece;
        int rc = put(sink, bytes, n, err);
        if (rc < 0)
            return rc;
        bytes += n;
        len -= n;
    } while (len > 0);
    return 0;
}

// Seals `len` bytes of `plain`, the first `front` of them last.
static int seal(struct sink *sink, size_t len, size_t front, size_t piece, struct err *err)
{
    int rc = 0;
    struct seal_record record = fixed_record(len);
    size_t before = front == NO_FRONT ? 0 : front;
    if (front != NO_FRONT)
        rc = sink_open_front(sink, front, err);
    if (front == NO_FRONT) // nothing may reach next before the record is there
        seal_sink_set_record(sink, &record, PATH);
    if (rc == 0)
        rc = write_pieces(sink_write, sink, plain + before, len - before, piece, err);
    if (rc == 0 && front != NO_FRONT) {
        seal_sink_set_record(sink, &record, PATH);
        rc = write_pieces(sink_write_front, sink, plain, front, piece, err);
    }
    return rc < 0 ? rc : sink_commit(sink, err);
}

static struct source *open_memory(struct memory *memory, struct seal_header *header)
{
    struct identity *identity = fixed_identity();
    struct seal_opened opened;
    struct err err = {0};
    assert_int_equal(seal_header_parse(memory->bytes, memory->len, header, &err), 0);
    assert_int_equal(seal_header_open(memory->bytes, memory->len,
                                      &(struct identities){&identity, 1}, &opened, &err),
                     0);
    uint8_t tag[SEAL_PATHTAG_BYTES];
    seal_pathtag(opened.file_key, PATH, tag);
    assert_memory_equal(tag, header->record.pathtag, sizeof(tag));
    struct source *source;
    int rc =
        seal_source_new(memory_source_new(memory), header->len, opened.file_key, &source, &err);
    seal_opened_done(&opened);
    identity_free(identity);
    return rc < 0 ? NULL : source;
}

static void check_sealed(struct memory *memory, size_t len)
{
    struct seal_header header;
    struct source *source = open_memory(memory, &header);
    assert_non_null(source);
    assert_int_equal(header.state, SEAL_OURS);
    assert_int_equal(header.record.size, len);
    assert_int_equal(source->size, len);
    memset(back, 0, sizeof(back));
    assert_int_equal(source_read_at(source, 0, back, len, NULL), 0);
    assert_memory_equal(back, plain, len);
    source_free(source);
}

static void round_trip(size_t len, size_t front, size_t piece)
{
    struct memory memory = {0};
    struct sink *sink = new_sink(&memory, 0, 1);
    struct err err = {0};
    if (seal(sink, len, front, piece, &err) < 0)
        fail_msg("%zu bytes, front %zu, pieces of %zu: %s", len, front, piece, err.text);
    sink_free(sink);
    assert_true(memory.committed);
    size_t chunks = len ? (len + CHUNK - 1) / CHUNK : 1;
    assert_int_equal(memory.len, seal_header_length(1) + SEAL_NONCE_BYTES + len + chunks * 16);
    check_sealed(&memory, len);
    memory_done(&memory);
}

static void test_without_front(void **state)
{
    (void)state;
    for (size_t i = 0; i < EDGES; i++) {
        round_trip(edges[i], NO_FRONT, MOST);
        round_trip(edges[i], NO_FRONT, CHUNK);
        round_trip(edges[i], NO_FRONT, 60000);
    }
    round_trip(CHUNK + 1, NO_FRONT, 1);
}

static void test_with_front(void **state)
{
    (void)state;
    for (size_t front = 0; front <= 2 * CHUNK; front += CHUNK) {
        for (size_t i = 0; i < EDGES; i++) {
            round_trip(front + edges[i], front, MOST);
            round_trip(front + edges[i], front, 60000);
        }
    }
    round_trip(2 * CHUNK + 1, CHUNK, 1);
    round_trip(CHUNK, CHUNK, 1);
}

// The least front of whole chunks that, sealed, reaches what the next sink wants; not a chunk more.
static void test_front_min(void **state)
{
    (void)state;
    static const uint64_t mins[] = {0, 1, 1000, 65536, 65536 + 500, 5 << 20, (5 << 20) + 1};
    for (size_t i = 0; i < sizeof(mins) / sizeof(mins[0]); i++) {
        struct memory memory = {0};
        struct sink *sink = new_sink(&memory, mins[i], 2);
        uint64_t lead = seal_header_length(2) + SEAL_NONCE_BYTES;
        uint64_t chunks = sink->front_min / CHUNK;
        assert_int_equal(sink->front_align, CHUNK);
        assert_int_equal(sink->front_min % CHUNK, 0);
        assert_true(lead + chunks * (CHUNK + 16) >= mins[i]);
        assert_true(chunks == 0 || lead + (chunks - 1) * (CHUNK + 16) < mins[i]);
        sink_free(sink);
        assert_true(memory.aborted);
    }
}

// Whichever call of the sink below fails: the failure comes out, stays, and nothing is stored.
static void fail_each(size_t len, size_t front)
{
    for (unsigned call = 1;; call++) {
        struct memory memory = {.fail_call = call};
        struct sink *sink = new_sink(&memory, 0, 1);
        struct err err = {0};
        int rc = seal(sink, len, front, MOST, &err);
        if (rc == 0) {
            sink_free(sink);
            assert_true(memory.committed);
            assert_true(call > 2);
            memory_done(&memory);
            return;
        }
        assert_int_equal(rc, -EIO);
        assert_int_equal(err.code, EIO);
        unsigned calls = memory.calls;
        if (sink->state == SINK_PLAIN || sink->state == SINK_FRONTED) {
            assert_int_equal(sink_write(sink, plain, CHUNK, &err), -EIO);
            assert_int_equal(memory.calls, calls); // nothing more reached the next sink
        }
        sink_free(sink);
        assert_false(memory.committed);
        assert_true(memory.aborted);
        assert_int_equal(memory.free_count, 1);
    }
}

static void test_failures(void **state)
{
    (void)state;
    fail_each(3 * CHUNK, NO_FRONT);
    fail_each(0, NO_FRONT);
    fail_each(4 * CHUNK + 1, 2 * CHUNK);
    fail_each(2 * CHUNK, 2 * CHUNK);
}

static void test_free_without_commit(void **state)
{
    (void)state;
    struct memory memory = {0};
    struct sink *sink = new_sink(&memory, 0, 1);
    assert_int_equal(sink_write(sink, plain, 10, NULL), 0);
    sink_free(sink);
    assert_true(memory.aborted);
    sink_free(NULL);
}

// Any range, with one read of the source below.
static void test_ranges(void **state)
{
    (void)state;
    size_t len = 3 * CHUNK + 100;
    struct memory memory = {0};
    struct sink *sink = new_sink(&memory, 0, 1);
    assert_int_equal(seal(sink, len, CHUNK, MOST, NULL), 0);
    sink_free(sink);
    struct seal_header header;
    struct source *source = open_memory(&memory, &header);
    assert_non_null(source);
    static const size_t offs[] = {0,         1,         CHUNK - 1, CHUNK,
                                  CHUNK + 1, 2 * CHUNK, 3 * CHUNK, 3 * CHUNK + 99};
    static const size_t lens[] = {1,     2,         99,        CHUNK - 1,
                                  CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 100};
    for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
        for (size_t j = 0; j < sizeof(lens) / sizeof(lens[0]); j++) {
            if (lens[j] > len - offs[i])
                continue;
            memset(back, 0xee, sizeof(back));
            unsigned reads = memory.reads;
            assert_int_equal(source_read_at(source, offs[i], back, lens[j], NULL), 0);
            assert_int_equal(memory.reads, reads + 1);
            assert_memory_equal(back, plain + offs[i], lens[j]);
            assert_int_equal(back[lens[j]], 0xee);
        }
    }
    memory.piece_bytes = 1; // a failure below comes through
    assert_int_equal(source_read_at(source, 0, back, 10, NULL), -EIO);
    source_free(source);
    memory_done(&memory);
}

// A flipped bit is found by whoever reads its chunk, in the last chunk by whoever opens the object.
static void test_flipped(void **state)
{
    (void)state;
    size_t len = 2 * CHUNK + 50;
    struct memory memory = {0};
    struct sink *sink = new_sink(&memory, 0, 1);
    assert_int_equal(seal(sink, len, NO_FRONT, MOST, NULL), 0);
    sink_free(sink);
    struct seal_header header;
    size_t payload = seal_header_length(1) + SEAL_NONCE_BYTES;
    for (size_t at = payload; at < memory.len; at += 4099) {
        memory.bytes[at] ^= 0x10;
        size_t chunk = (at - payload) / (CHUNK + 16);
        struct source *source = open_memory(&memory, &header);
        assert_int_equal(source == NULL, chunk == 2);
        struct err err = {0};
        if (source) {
            assert_int_equal(source_read_at(source, 0, back, len, &err), -EBADMSG);
            assert_int_equal(source_read_at(source, chunk * CHUNK + 5, back, 1, &err), -EBADMSG);
            assert_non_null(strstr(err.text, chunk ? "chunk 2 of 3" : "chunk 1 of 3"));
            assert_int_equal(source_read_at(source, (1 - chunk) * CHUNK, back, CHUNK, &err), 0);
        }
        source_free(source);
        memory.bytes[at] ^= 0x10;
    }
    memory_done(&memory);
}

// However much is cut off: it does not open, and what was handed over is freed.
static void test_cut(void **state)
{
    (void)state;
    struct memory memory = {0};
    struct sink *sink = new_sink(&memory, 0, 1);
    assert_int_equal(seal(sink, 2 * CHUNK + 50, NO_FRONT, MOST, NULL), 0);
    sink_free(sink);
    struct seal_header header;
    size_t len = memory.len, payload = seal_header_length(1) + SEAL_NONCE_BYTES;
    unsigned opened = 0;
    for (size_t cut = payload - SEAL_NONCE_BYTES; cut < len; cut += cut < payload + 40 ? 1 : 3277) {
        memory.len = cut;
        memory.free_count = 0;
        assert_null(open_memory(&memory, &header));
        assert_int_equal(memory.free_count, 1);
        opened++;
    }
    assert_true(opened > 50);
    memory.len = payload + CHUNK + 16; // exactly at a chunk's end
    assert_null(open_memory(&memory, &header));
    memory.len = payload + 2 * (CHUNK + 16);
    assert_null(open_memory(&memory, &header));
    memory_done(&memory);
}

static void *read_all(void *arg)
{
    struct source *source = arg;
    uint8_t *own = malloc(source->size);
    if (!own)
        return NULL;
    void *result = arg;
    for (int i = 0; i < 20; i++)
        if (source_read_at(source, 0, own, source->size, NULL) != 0 ||
            memcmp(own, plain, source->size) != 0)
            result = NULL;
    free(own);
    return result;
}

// Sealed chunks that are passed on as they are: right where they stand, wrong anywhere else.
static void test_chunks_check(void **state)
{
    (void)state;
    const size_t sealed = SEAL_CHUNK_SEALED_BYTES;
    for (size_t i = 0; i < EDGES; i++) {
        struct memory memory = {0};
        struct seal_header header;
        struct seal_opened opened;
        struct identity *identity = fixed_identity();
        struct sink *sink = new_sink(&memory, 0, 1);
        assert_int_equal(seal(sink, edges[i], NO_FRONT, CHUNK, NULL), 0);
        sink_free(sink);
        assert_int_equal(seal_header_parse(memory.bytes, memory.len, &header, NULL), 0);
        assert_int_equal(seal_header_open(memory.bytes, memory.len,
                                          &(struct identities){&identity, 1}, &opened, NULL),
                         0);
        identity_free(identity);
        const uint8_t *key = opened.file_key, *nonce = memory.bytes + header.len;
        uint8_t *payload = memory.bytes + header.len + SEAL_NONCE_BYTES;
        size_t len = memory.len - header.len - SEAL_NONCE_BYTES;
        size_t before_last = (len - 1) / sealed * sealed;

        assert_int_equal(seal_chunks_check(key, nonce, 0, payload, len, true, NULL), 0);
        assert_int_equal(seal_chunks_check(key, nonce, 0, payload, before_last, false, NULL), 0);
        assert_int_equal(seal_chunks_check(key, nonce, before_last / sealed, payload + before_last,
                                           len - before_last, true, NULL),
                         0);
        assert_int_equal(seal_chunks_check(key, nonce, 0, payload, len, false, NULL), -EBADMSG);
        assert_int_equal(seal_chunks_check(key, nonce, 0, payload, before_last, true, NULL),
                         -EBADMSG);
        assert_int_equal(seal_chunks_check(key, nonce, 0, payload, len - 1, true, NULL), -EBADMSG);
        assert_int_equal(seal_chunks_check(key, nonce, 1, payload, len, true, NULL), -EBADMSG);
        assert_int_equal(seal_chunks_check(key, payload, 0, payload, len, true, NULL), -EBADMSG);
        for (size_t at = 0; at < len; at += len < 4096 ? 1 : 30011) {
            struct err err = {0};
            payload[at] ^= 4;
            assert_int_equal(seal_chunks_check(key, nonce, 0, payload, len, true, &err), -EBADMSG);
            char word[32];
            snprintf(word, sizeof(word), "chunk %zu ", at / sealed + 1);
            assert_non_null(strstr(err.text, word));
            payload[at] ^= 4;
        }
        seal_opened_done(&opened);
        memory_done(&memory);
    }
}

static void test_threads(void **state)
{
    (void)state;
    struct memory memory = {0};
    struct sink *sink = new_sink(&memory, 0, 1);
    assert_int_equal(seal(sink, 5 * CHUNK + 7, NO_FRONT, MOST, NULL), 0);
    sink_free(sink);
    struct seal_header header;
    struct source *source = open_memory(&memory, &header);
    assert_non_null(source);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, source), 0);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, source);
    }
    source_free(source);
    memory_done(&memory);
}

static int setup(void **state)
{
    (void)state;
    fill_pattern(plain, sizeof(plain));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_front),
        cmocka_unit_test(test_with_front),
        cmocka_unit_test(test_front_min),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_free_without_commit),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_chunks_check),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
