// Reading trailer and seek table: every rule of backend/FORMAT.md that a packed stream can break is broken here.
#include "backend/base/num.h"
#include "backend/pack/frame.h"
#include "backend/pack/pack.h"
#include "backend/pack/seektable.h"
#include "backend/pack/trailer.h"
#include "tests/support/check_sink.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// A stream of frames that nobody decodes: entries, content of zeros, a trailer and the table.
struct stream {
    uint8_t *bytes;
    size_t len, trailer_at, trailer_len, table_at;
};

static void need(int rc)
{
    assert_int_equal(rc, 0);
}

static void append(struct stream *s, const void *bytes, size_t len)
{
    s->bytes = realloc(s->bytes, s->len + len + 1);
    assert_non_null(s->bytes);
    if (bytes)
        memcpy(s->bytes + s->len, bytes, len);
    else
        memset(s->bytes + s->len, 0, len);
    s->len += len;
}

// Bytes of the index that so many entries need, whose frames are all of `packed` and `plain` bytes.
static uint8_t *index_for(uint64_t entries, uint32_t packed, uint32_t plain, size_t *out_len)
{
    size_t n = (size_t)div_up_u64(entries, TRAILER_INDEX_STEP);
    uint8_t *bytes = calloc(n, 16);
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++) {
        put_le64(bytes + 16 * i, i * TRAILER_INDEX_STEP * packed);
        put_le64(bytes + 16 * i + 8, i * TRAILER_INDEX_STEP * plain);
    }
    *out_len = n * 16;
    return bytes;
}

static struct stream make_stream(const struct seektable_entry *entries, size_t count, uint64_t size,
                                 const struct trailer_index *index)
{
    struct stream s = {0};
    struct seektable t = {0};
    for (size_t i = 0; i < count; i++) {
        need(seektable_add(&t, &entries[i], NULL));
        append(&s, NULL, entries[i].packed_len);
    }
    struct pack_trailer trailer = {
        .size = size, .complete = 2, .path = (char[]){"a/b"}, .version = (char[]){"bakfs 0"}};
    uint8_t *frame = NULL, fixed[9];
    need(trailer_encode(&trailer, index, &frame, &s.trailer_len, NULL));
    s.trailer_at = s.len;
    append(&s, frame, s.trailer_len);
    struct seektable_entry last = {(uint32_t)s.trailer_len, 0, FRAME_CHECKSUM_EMPTY};
    need(seektable_add(&t, &last, NULL));
    s.table_at = s.len;
    seektable_put_header(fixed, (uint32_t)t.count);
    append(&s, fixed, 8);
    append(&s, t.bytes, t.count * SEEKTABLE_ENTRY_BYTES);
    seektable_put_footer(fixed, (uint32_t)t.count);
    append(&s, fixed, 9);
    seektable_done(&t);
    free(frame);
    return s;
}

static int read_stream(const struct stream *s, struct pack_index **out, struct err *err)
{
    struct source *source = bytes_source_new(s->bytes, s->len);
    int rc = pack_index_read(source, out, err);
    source_free(source);
    return rc;
}

static void refused(const struct stream *s, const char *why)
{
    struct pack_index *index = NULL;
    struct err err = {0};
    int rc = read_stream(s, &index, &err);
    if (rc != -EUCLEAN || !strstr(err.text, why))
        fail_msg("wanted '%s', got %d '%s'", why, rc, err.text);
    assert_null(index);
}

static const struct seektable_entry good[] = {
    {100, 1 << 20, 1}, {8, 0, FRAME_CHECKSUM_EMPTY},    {300, 1 << 20, 2},
    {40, 77, 3},       {4000, 0, FRAME_CHECKSUM_EMPTY},
};
#define GOOD_SIZE (2 * MIB + 77)

static struct stream good_stream(void)
{
    return make_stream(good, 5, GOOD_SIZE, &(struct trailer_index){0});
}

static void a_good_one(void **state)
{
    (void)state;
    struct stream s = good_stream();
    struct pack_index *index = NULL;
    struct err err = {0};
    assert_int_equal(read_stream(&s, &index, &err), 0);
    assert_int_equal(pack_index_frames(index), 3);
    static const struct pack_span want[] = {
        {0, 100, 1 << 20, 1}, {108, 300, 1 << 20, 2}, {408, 40, 77, 3}};
    for (unsigned i = 0; i < 3; i++) {
        struct pack_span span = pack_index_span(index, i);
        assert_int_equal(span.packed_off, want[i].packed_off);
        assert_int_equal(span.packed_len, want[i].packed_len);
        assert_int_equal(span.plain_len, want[i].plain_len);
        assert_int_equal(span.checksum, want[i].checksum);
    }
    assert_int_equal(pack_index_trailer(index)->complete, 2);
    assert_string_equal(pack_index_trailer(index)->version, "bakfs 0");
    pack_index_free(index);
    pack_index_free(NULL);
    free(s.bytes);
}

static void tables_that_break_a_rule(void **state)
{
    (void)state;
    static const struct {
        struct seektable_entry entries[3];
        size_t count;
        uint64_t size;
        const char *why;
    } rows[] = {
        {{{9, MIB + 1, 0}}, 1, MIB + 1, "a data frame of 1048577 plain bytes"},
        {{{9, 5, 0}, {9, 5, 0}}, 2, 10, "behind one that was the last"},
        {{{9, 5, 0}, {9, MIB, 0}}, 2, MIB + 5, "behind one that was the last"},
        {{{0, 5, 0}}, 1, 5, "0 packed bytes"},
        {{{BLOCK_BYTES + 1, 5, 0}}, 1, 5, "1052673 packed bytes"},
        {{{7, 0, FRAME_CHECKSUM_EMPTY}}, 1, 0, "skippable frame of 7 bytes"},
        {{{8, 0, 0}}, 1, 0, "checksum 00000000"},
        {{{9, 5, 0}}, 1, 6, "the trailer says 6 plain bytes, the seek table 5"},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct stream s =
            make_stream(rows[i].entries, rows[i].count, rows[i].size, &(struct trailer_index){0});
        refused(&s, rows[i].why);
        free(s.bytes);
    }
}

static void bytes_that_break_a_rule(void **state)
{
    (void)state;
    static const struct {
        int from; // 't': the trailer, 'h': the table's start, 'e': the end
        int at;
        uint8_t value;
        const char *why;
    } rows[] = {
        {'e', -1, 0, "does not end in a seek table"},
        {'e', -5, 0, "descriptor 0x00"},
        {'e', -5, 0x81, "descriptor 0x81"},
        {'e', -9, 7, "no frame of 93 bytes"},
        {'e', -9, 0, "0 entries"},
        {'e', -6, 1, "entries in a packed stream"},
        {'e', -6, 9, "150994950 entries"},
        {'h', 0, 0x5a, "no frame of 81 bytes"},
        {'h', 4, 0, "no frame of 81 bytes"},
        {'h', 8, 99, "its frames end at"},
        {'t', 0, 0x5a, "not a trailer"},
        {'t', 4, 1, "not a trailer"},
        {'t', 8, 'B', "not one of 'bakfs/v1'"},
        {'t', 16, 9, "made by a newer bakfs"},     // record 0x80000009
        {'t', 19, 0, "record 0x80000001 is miss"}, // record 0x00000001 is unknown and skipped
        {'t', 20, 7, "out of order"},              // a length cut by one: what follows is another
        {'t', 32, 1, "out of order"},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct stream s = good_stream();
        size_t base = rows[i].from == 't' ? s.trailer_at : rows[i].from == 'h' ? s.table_at : s.len;
        s.bytes[base + (size_t)(ptrdiff_t)rows[i].at] = rows[i].value;
        struct pack_index *index = NULL;
        struct err err = {0};
        int rc = read_stream(&s, &index, &err);
        if (rc != -EUCLEAN || (rows[i].at != 20 && !strstr(err.text, rows[i].why)))
            fail_msg("row %u: wanted '%s', got %d '%s'", i, rows[i].why, rc, err.text);
        free(s.bytes);
    }
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    struct stream s = good_stream();
    size_t len = s.len;
    for (s.len = 0; s.len < len; s.len++)
        refused(&s, "");
    // and what lacks its first bytes
    struct stream rest = s;
    for (size_t cut = 1; cut < len; cut += 13) {
        rest.bytes = s.bytes + cut;
        rest.len = len - cut;
        refused(&rest, "");
    }
    free(s.bytes);
}

// --- Trailers ---

struct record {
    uint32_t type, len;
};

static int parse_records(const struct record *records, size_t count, size_t extra, struct err *err)
{
    struct stream s = {0};
    uint8_t fixed[8];
    append(&s, NULL, 8);
    append(&s, "bakfs/v1", 8);
    for (size_t i = 0; i < count; i++) {
        put_le32(fixed, records[i].type);
        put_le32(fixed + 4, records[i].len);
        append(&s, fixed, 8);
        append(&s, NULL, records[i].len & 0xffff);
        if (records[i].type == 5 || records[i].type == 7)
            memset(s.bytes + s.len - records[i].len, 'p', records[i].len);
    }
    append(&s, NULL, extra);
    frame_put_skippable(s.bytes, FRAME_MAGIC_TRAILER, (uint32_t)s.len - 8);
    struct pack_trailer t = {0};
    struct trailer_index index;
    int rc = trailer_parse(s.bytes, s.len, &t, &index, err);
    trailer_done(&t);
    free(s.bytes);
    return rc;
}

#define REQUIRED                                                                                   \
    {0x80000001, 8}, {0x80000002, 32}, {3, 32},                                                    \
    {                                                                                              \
        4, 1                                                                                       \
    }

static void trailers(void **state)
{
    (void)state;
    static const struct {
        struct record records[8];
        size_t count, extra;
        const char *why; // NULL: good
    } rows[] = {
        {{REQUIRED}, 4, 0, NULL},
        {{REQUIRED, {5, 1024}, {7, 64}, {8, 0}, {0x7fffffff, 5}}, 8, 0, NULL},
        {{{0, 3}, REQUIRED}, 5, 0, NULL},
        {{REQUIRED}, 4, 1, "1 bytes behind"},
        {{REQUIRED}, 4, 7, "7 bytes behind"},
        {{REQUIRED}, 4, 8, "out of order"},
        {{REQUIRED}, 3, 0, "0x00000004 is missing"},
        {{{0x80000001, 8}, {0x80000002, 32}, {4, 1}}, 3, 0, "0x00000003 is missing"},
        {{{0x80000002, 32}, {3, 32}, {4, 1}}, 3, 0, "0x80000001 is missing"},
        {{{0x80000001, 8}, {3, 32}, {4, 1}}, 3, 0, "0x80000002 is missing"},
        {{REQUIRED, {4, 1}}, 5, 0, "out of order"},
        {{REQUIRED, {0x80000004, 1}}, 5, 0, "out of order"},
        {{REQUIRED, {7, 3}, {5, 3}}, 6, 0, "out of order"},
        {{REQUIRED, {0x80000005, 3}}, 5, 0, "newer bakfs"},
        {{REQUIRED, {0xffffffff, 3}}, 5, 0, "newer bakfs"},
        {{REQUIRED, {5, 0}}, 5, 0, "0x00000005 of 0 bytes"},
        {{REQUIRED, {5, 1025}}, 5, 0, "0x00000005 of 1025 bytes"},
        {{REQUIRED, {7, 65}}, 5, 0, "0x00000007 of 65 bytes"},
        {{REQUIRED, {8, 0x10000}}, 5, 0, "ends beyond it"},
        {{REQUIRED, {8, 0xffff0000}}, 5, 0, "ends beyond it"},
        {{{0x80000001, 7}, {0x80000002, 32}, {3, 32}, {4, 1}}, 4, 0, "of 7 bytes"},
        {{{0x80000001, 8}, {0x80000002, 33}, {3, 32}, {4, 1}}, 4, 0, "of 33 bytes"},
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct err err = {0};
        int rc = parse_records(rows[i].records, rows[i].count, rows[i].extra, &err);
        if (rc != (rows[i].why ? -EUCLEAN : 0) || (rows[i].why && !strstr(err.text, rows[i].why)))
            fail_msg("row %u: wanted '%s', got %d '%s'", i, rows[i].why ? rows[i].why : "good", rc,
                     err.text);
    }
}

static void values_that_are_none(void **state)
{
    (void)state;
    struct stream s = good_stream();
    // ... size 8+8, digest 8+32, salt 8+32, then completeness; path behind it
    size_t complete = s.trailer_at + 16 + 16 + 40 + 40 + 8, path = complete + 1 + 8;
    assert_int_equal(s.bytes[complete], 2);
    s.bytes[complete] = 4;
    refused(&s, "completeness 4");
    s.bytes[complete] = 3;
    s.bytes[path] = 0;
    struct pack_index *index = NULL;
    assert_int_equal(read_stream(&s, &index, NULL), 0);
    assert_int_equal(pack_index_trailer(index)->complete, 3);
    assert_string_equal(pack_index_trailer(index)->path, "?/b"); // told, whatever it is
    pack_index_free(index);
    free(s.bytes);
}

// --- Large tables ---

static struct stream large(size_t entries, struct trailer_index *index)
{
    struct seektable_entry *list = calloc(entries, sizeof(*list));
    assert_non_null(list);
    for (size_t i = 0; i < entries; i++)
        list[i] = (struct seektable_entry){8, 1 << 20, (uint32_t)i};
    struct stream s = make_stream(list, entries, entries * MIB, index);
    free(list);
    return s;
}

static void the_index_goes_with_the_table(void **state)
{
    (void)state;
    // with the trailer's own: 4,096 entries, 4,097, several reads
    static const size_t counts[] = {4095, 4096, 8191, 8192, 20000};
    for (unsigned i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        struct trailer_index index = {0};
        uint8_t *bytes = index_for(counts[i] + 1, 8, 1 << 20, &index.len);
        index.bytes = bytes;
        struct trailer_index none = {0};
        bool wanted = counts[i] + 1 > 4096;
        struct stream with = large(counts[i], &index), without = large(counts[i], &none);
        refused(wanted ? &without : &with, "the trailer's index has");
        struct pack_index *read = NULL;
        struct err err = {0};
        assert_int_equal(read_stream(wanted ? &with : &without, &read, &err), 0);
        assert_int_equal(pack_index_frames(read), counts[i]);
        struct pack_span last = pack_index_span(read, counts[i] - 1);
        assert_int_equal(last.packed_off, 8 * (counts[i] - 1));
        assert_int_equal(last.checksum, counts[i] - 1);
        pack_index_free(read);
        if (wanted) {
            index.len -= 16;
            struct stream shorter = large(counts[i], &index);
            refused(&shorter, "the trailer's index has");
            index.len += 16;
            bytes[index.len - 16] ^= 1;
            struct stream wrong = large(counts[i], &index);
            refused(&wrong, "index is wrong at entry");
            free(shorter.bytes);
            free(wrong.bytes);
        }
        free(with.bytes);
        free(without.bytes);
        free(bytes);
    }
}

// --- Frames ---

static void frames_that_do_not_decode(void **state)
{
    (void)state;
    struct frame_scratch *scratch = NULL;
    struct pack_decoder *decoder = NULL;
    need(frame_scratch_get(&scratch, NULL));
    need(pack_decoder_new(&decoder, NULL));
    uint8_t plain[5000], out[5001], two[12000];
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * i >> 3);
    size_t len = 0;
    struct frame_params params = {.level = 3};
    need(frame_pack(scratch, &params, plain, sizeof(plain), &len, NULL));
    struct pack_span span = {0, (uint32_t)len, sizeof(plain), frame_checksum(plain, sizeof(plain))};
    struct err err = {0};
    need(pack_decode(decoder, scratch->packed, &span, out, &err));
    assert_memory_equal(out, plain, sizeof(plain));

    struct pack_span bad = span;
    bad.checksum ^= 1;
    assert_int_equal(pack_decode(decoder, scratch->packed, &bad, out, &err), -EBADMSG);
    bad = span;
    bad.plain_len--;
    assert_int_equal(pack_decode(decoder, scratch->packed, &bad, out, &err), -EBADMSG);
    bad.plain_len += 2;
    assert_int_equal(pack_decode(decoder, scratch->packed, &bad, out, &err), -EBADMSG);
    for (bad = span; bad.packed_len > 0; bad.packed_len--)
        if (bad.packed_len < span.packed_len)
            assert_int_equal(pack_decode(decoder, scratch->packed, &bad, out, &err), -EBADMSG);
    // a skippable frame behind it, which zstd would pass over
    memcpy(two, scratch->packed, len);
    frame_put_skippable(two + len, FRAME_MAGIC_PADDING, 0);
    bad = span;
    bad.packed_len += 8;
    assert_int_equal(pack_decode(decoder, two, &bad, out, &err), -EBADMSG);
    pack_decoder_free(decoder);
    pack_decoder_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_one),
        cmocka_unit_test(tables_that_break_a_rule),
        cmocka_unit_test(bytes_that_break_a_rule),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(trailers),
        cmocka_unit_test(values_that_are_none),
        cmocka_unit_test(the_index_goes_with_the_table),
        cmocka_unit_test(frames_that_do_not_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
