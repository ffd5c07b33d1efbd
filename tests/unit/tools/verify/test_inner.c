// What is inside: whole, cut at every place, damaged, of nothing, one in another; fed in pieces of every size.
#include "tools/verify/inner.h"

#include <lzma.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

struct bytes {
    uint8_t *data;
    size_t len;
};

static uint8_t no_byte;
static const struct bytes nothing = {&no_byte, 0};

static struct bytes copy_of(const void *data, size_t len)
{
    struct bytes b = {malloc(len + 1), len};
    assert_non_null(b.data);
    memcpy(b.data, data, len);
    return b;
}

static struct bytes gzip(struct bytes in)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, in.len) + 64;
    struct bytes out = {malloc(room), 0};
    z.next_in = in.data;
    z.avail_in = (uInt)in.len;
    z.next_out = out.data;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.len = room - z.avail_out;
    deflateEnd(&z);
    return out;
}

static struct bytes zst(struct bytes in)
{
    struct bytes out = {malloc(ZSTD_compressBound(in.len)), 0};
    out.len = ZSTD_compress(out.data, ZSTD_compressBound(in.len), in.data, in.len, 3);
    assert_false(ZSTD_isError(out.len));
    return out;
}

static struct bytes xz(struct bytes in)
{
    size_t room = lzma_stream_buffer_bound(in.len);
    struct bytes out = {malloc(room), 0};
    assert_int_equal(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, in.data, in.len, out.data,
                                             &out.len, room),
                     LZMA_OK);
    return out;
}

typedef struct bytes packer(struct bytes);
static const struct {
    packer *pack;
    const char *name;
} packers[] = {{gzip, "gzip"}, {zst, "zstd"}, {xz, "xz"}};
enum { PACKERS = 3 };

static struct inner_result judge(struct bytes b, size_t piece)
{
    struct inner *in = inner_new();
    assert_non_null(in);
    for (size_t at = 0; at < b.len; at += piece)
        inner_feed(in, b.data + at, b.len - at < piece ? b.len - at : piece);
    struct inner_result out;
    inner_end(in, &out);
    inner_free(in);
    return out;
}

// A plain dump of some size, whole.
static struct bytes dump(size_t size)
{
    static const char head[] = "--\n-- PostgreSQL database dump\n--\n\n";
    static const char tail[] = "--\n-- PostgreSQL database dump complete\n--\n\n";
    struct bytes b = {malloc(size + sizeof(head) + sizeof(tail) + 64), 0};
    memcpy(b.data, head, strlen(head));
    b.len = strlen(head);
    for (unsigned i = 0; b.len < size; i++)
        b.len += (size_t)sprintf((char *)b.data + b.len, "%u\trow\t%u\n", i, i * 2654435761u);
    memcpy(b.data + b.len, tail, strlen(tail));
    b.len += strlen(tail);
    return b;
}

static void plain(void **state)
{
    (void)state;
    struct bytes whole = dump(5000);
    for (size_t piece = 1; piece < 6000; piece += piece < 20 ? 1 : 977) {
        struct inner_result r = judge(whole, piece);
        assert_int_equal(r.verdict, INNER_GOOD);
        assert_string_equal(r.what, "a PostgreSQL dump");
        assert_int_equal(r.bytes, whole.len);
        assert_int_equal(judge((struct bytes){whole.data, whole.len - 60}, piece).verdict,
                         INNER_BAD);
    }
    free(whole.data);
    assert_int_equal(judge(nothing, 1).verdict, INNER_BAD);
    struct bytes other = copy_of("1,2,3\n", 6);
    assert_int_equal(judge(other, 1).verdict, INNER_UNKNOWN);
    free(other.data);
}

static void compressed(void **state)
{
    (void)state;
    struct bytes whole = dump(700000);
    for (size_t i = 0; i < PACKERS; i++) {
        struct bytes packed = packers[i].pack(whole);
        char what[64];
        snprintf(what, sizeof(what), "%s of a PostgreSQL dump", packers[i].name);
        for (size_t piece = 1; piece < 2 * packed.len; piece *= 7) {
            struct inner_result r = judge(packed, piece);
            assert_string_equal(r.why, "");
            assert_int_equal(r.verdict, INNER_GOOD);
            assert_string_equal(r.what, what);
            assert_int_equal(r.bytes, whole.len);
        }
        free(packed.data);
        struct bytes half = packers[i].pack((struct bytes){whole.data, whole.len / 2});
        struct inner_result r = judge(half, 4096); // a perfect stream of half a dump
        assert_int_equal(r.verdict, INNER_BAD);
        assert_non_null(strstr(r.why, "stops short"));
        free(half.data);
    }
    free(whole.data);
}

static void cut_anywhere(void **state)
{
    (void)state;
    struct bytes whole = dump(3000);
    for (size_t i = 0; i < PACKERS; i++) {
        struct bytes packed = packers[i].pack(whole);
        for (size_t len = 6; len < packed.len; len++) {
            struct inner_result r = judge((struct bytes){packed.data, len}, 333);
            if (r.verdict != INNER_BAD)
                fail_msg("%s cut at %zu of %zu: %d", packers[i].name, len, packed.len, r.verdict);
            assert_non_null(strstr(r.why, "cut"));
        }
        free(packed.data);
    }
    free(whole.data);
}

static void damaged(void **state)
{
    (void)state;
    struct bytes whole = dump(3000);
    for (size_t i = 0; i < PACKERS; i++) {
        struct bytes packed = packers[i].pack(whole);
        packed.data[packed.len / 2] ^= 0x40;
        struct inner_result r = judge(packed, 100);
        if (i != 1) // a frame of zstd as its library makes it by default has no checksum
            assert_int_equal(r.verdict, INNER_BAD);
        packed.data[packed.len / 2] ^= 0x40;
        struct bytes more = {malloc(packed.len + 9), packed.len + 9};
        memcpy(more.data, packed.data, packed.len);
        memcpy(more.data + packed.len, "something", 9);
        assert_int_equal(judge(more, 100).verdict, INNER_BAD);
        free(more.data);
        free(packed.data);
    }
    free(whole.data);
}

static void of_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < PACKERS; i++) {
        struct bytes packed = packers[i].pack(nothing);
        struct inner_result r = judge(packed, 5);
        assert_int_equal(r.verdict, INNER_BAD);
        assert_non_null(strstr(r.why, "nothing in it"));
        free(packed.data);
    }
}

static void members(void **state)
{
    (void)state;
    struct bytes whole = dump(9000);
    size_t half = whole.len / 2;
    for (size_t i = 0; i < PACKERS; i++) { // pigz, zstd -T, `cat a.gz b.gz`; tapes pad with zeros
        struct bytes a = packers[i].pack((struct bytes){whole.data, half});
        struct bytes b = packers[i].pack((struct bytes){whole.data + half, whole.len - half});
        struct bytes both = {calloc(1, a.len + b.len + 512), a.len + b.len};
        memcpy(both.data, a.data, a.len);
        memcpy(both.data + a.len, b.data, b.len);
        for (size_t piece = 1; piece < 3000; piece += 577)
            assert_int_equal(judge(both, piece).verdict, INNER_GOOD);
        assert_int_equal(judge((struct bytes){both.data, a.len}, 50).verdict, INNER_BAD);
        if (i == 0) {
            both.len += 512;
            assert_int_equal(judge(both, 100).verdict, INNER_GOOD);
        }
        free(a.data);
        free(b.data);
        free(both.data);
    }
    free(whole.data);
}

static void nested(void **state)
{
    (void)state;
    struct bytes whole = dump(20000);
    for (size_t i = 0; i < PACKERS; i++)
        for (size_t k = 0; k < PACKERS; k++) {
            struct bytes in = packers[i].pack(whole), out = packers[k].pack(in);
            struct inner_result r = judge(out, 700);
            assert_int_equal(r.verdict, INNER_GOOD);
            struct bytes cut = packers[k].pack((struct bytes){in.data, in.len - 5});
            assert_int_equal(judge(cut, 700).verdict, INNER_BAD);
            free(in.data);
            free(out.data);
            free(cut.data);
        }
    free(whole.data);
}

static void others(void **state)
{
    (void)state;
    struct bytes tar = {calloc(1, 3072), 3072};
    memcpy(tar.data + 257, "ustar", 5);
    assert_int_equal(judge(tar, 512).verdict, INNER_UNKNOWN);
    tar.data[2500] = 1;
    assert_int_equal(judge(tar, 512).verdict, INNER_BAD);
    free(tar.data);
    struct bytes lite = {calloc(1, 8192), 8192};
    memcpy(lite.data, "SQLite format 3", 16);
    lite.data[16] = 0x10; // pages of 4096
    lite.data[31] = 2;    // two of them
    assert_int_equal(judge(lite, 1000).verdict, INNER_UNKNOWN);
    lite.len = 4096;
    assert_int_equal(judge(lite, 1000).verdict, INNER_BAD);
    free(lite.data);
    struct bytes custom = copy_of("PGDMP\1\16\0\4\10", 10);
    assert_string_equal(judge(custom, 3).what, "a pg_dump archive (custom)");
    free(custom.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),   cmocka_unit_test(compressed), cmocka_unit_test(cut_anywhere),
        cmocka_unit_test(damaged), cmocka_unit_test(of_nothing), cmocka_unit_test(members),
        cmocka_unit_test(nested),  cmocka_unit_test(others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
