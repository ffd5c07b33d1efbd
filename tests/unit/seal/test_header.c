// The header: what FORMAT.md 2.1 accepts and refuses, the MAC, and every way to cut it.
#include "backend/seal/header.h"
#include "backend/seal/record.h"
#include "tests/unit/seal/seal_fixture.h"

#include <errno.h>

#define VERSION "age-encryption.org/v1\n"
#define SIZE "00000000000000000005"
#define TIME "20261122T031500.000000001Z"
#define FLAGS "40000000"
#define TAG "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define RECORD "-> bakfs/v1 " SIZE " " TIME " " TIME " " FLAGS " " TAG "\n\n"
#define B32 "TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc"
#define X25519 "-> X25519 " B32 "\n" B32 "\n"
#define OTHER "-> example.com/x a b\nAAAA\n"
#define MAC "--- " B32 "\n"

static int parse(const char *text, struct seal_header *out, struct err *err)
{
    return seal_header_parse((const uint8_t *)text, strlen(text), out, err);
}

static void test_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum seal_state state;
        unsigned x25519, other;
    } cases[] = {
        {VERSION RECORD X25519 MAC, SEAL_OURS, 1, 0},
        {VERSION RECORD X25519 X25519 OTHER MAC, SEAL_OURS, 2, 1},
        {VERSION RECORD MAC, SEAL_OURS, 0, 0},
        {VERSION X25519 MAC, SEAL_FOREIGN, 1, 0},
        {VERSION OTHER MAC "payload", SEAL_FOREIGN, 0, 1},
        {VERSION "-> scrypt AAAA 18\nAAAA\n" MAC, SEAL_FOREIGN, 0, 1},
        {VERSION "-> bakfs/v2\n\n" X25519 MAC, SEAL_NEWER, 1, 0},
        {VERSION "-> bakfs/v123 x\nAAAA\n" X25519 MAC, SEAL_NEWER, 1, 0},
        {VERSION X25519 "-> bakfs/v2\n\n" MAC, SEAL_FOREIGN, 1, 0},
        {VERSION RECORD "-> bakfs/v2\n\n" X25519 MAC, SEAL_OURS, 1, 0},
        {VERSION "-> bakfs/v02\n\n" MAC, SEAL_FOREIGN, 0, 0},
        {VERSION "-> bakfs/v2x\n\n" MAC, SEAL_FOREIGN, 0, 0},
        {VERSION "-> bakfs/v\n\n" MAC, SEAL_FOREIGN, 0, 0},
        {VERSION "-> bakfs/v0\n\n" MAC, SEAL_FOREIGN, 0, 0},
        {VERSION RECORD "-> bakfs/sig1 x\nAAAA\n" X25519 MAC, SEAL_OURS, 1, 0},
        // further arguments, a body
        {VERSION "-> bakfs/v1 " SIZE " " TIME " " TIME " " FLAGS " " TAG " more args\n" B32
                 "\n" MAC,
         SEAL_OURS, 0, 0},
        {VERSION "-> bakfs/v1 " SIZE " " TIME " " TIME " 0000ffff " TAG "\n\n" MAC, SEAL_NEWER, 0,
         0},
        {VERSION "-> bakfs/v1 " SIZE " " TIME " " TIME " ffff0000 " TAG "\n\n" MAC, SEAL_OURS, 0,
         0},
        {VERSION "-> bakfs/v1 09223372036854775807 20240229T235959.999999999Z "
                 "00010101T000000.000000000Z 00000000 " TAG "\n\n" MAC,
         SEAL_OURS, 0, 0},
        // a full line, and the empty one that must follow
        {VERSION "-> x\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\n" MAC,
         SEAL_FOREIGN, 0, 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seal_header h;
        struct err err = {0};
        if (parse(cases[i].text, &h, &err) < 0)
            fail_msg("case %zu: %s", i, err.text);
        assert_int_equal(h.state, cases[i].state);
        assert_int_equal(h.x25519_count, cases[i].x25519);
        assert_int_equal(h.other_count, cases[i].other);
        assert_int_equal(h.len, strstr(cases[i].text, "\n--- ") + 5 + 43 + 1 - cases[i].text);
        // however it is cut: never wrong, only too short
        for (size_t len = 0; len < h.len; len++) {
            struct seal_header before = {.len = 77};
            assert_int_equal(seal_header_parse((const uint8_t *)cases[i].text, len, &before, NULL),
                             -EAGAIN);
            assert_int_equal(before.len, 77);
        }
    }
}

#define ARGS(size, mtime, committed, flags, tag)                                                   \
    VERSION "-> bakfs/v1 " size " " mtime " " committed " " flags " " tag "\n\n" MAC

static void test_refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"age-encryption.org/v2\n" X25519 MAC, "version 1"},
        {"-----BEGIN AGE ENCRYPTED FILE-----\n", "version 1"},
        {"x", "version 1"},
        {VERSION MAC, "no stanza"},
        {VERSION "hello\n", "no stanza"},
        {VERSION X25519 "hello\n", "MAC line"},
        {VERSION X25519 "--- " B32 " \n", "MAC line"},
        {VERSION X25519 "--- " B32 "=\n", "MAC line"},
        {VERSION X25519 "---  " B32 "\n", "MAC line"},
        {VERSION X25519 "---\n", "MAC line"},
        {VERSION "-> \n\n" MAC, "arguments"},
        {VERSION "->  a\n\n" MAC, "arguments"},
        {VERSION "-> a  b\n\n" MAC, "arguments"},
        {VERSION "-> a \n\n" MAC, "arguments"},
        {VERSION "-> a\tb\n\n" MAC, "arguments"},
        {VERSION "-> a\xc3\xa9\n\n" MAC, "arguments"},
        {VERSION "-> a\r\n\n" MAC, "arguments"},
        {VERSION "-> a\nA\n" MAC, "body"},
        {VERSION "-> a\nAA==\n" MAC, "body"},
        {VERSION "-> a\nAB\n" MAC, "body"},
        {VERSION "-> a\n\r\n" MAC, "body"},
        {VERSION "-> a\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" MAC,
         "body"},
        {VERSION "-> X25519\n" B32 "\n" MAC, "X25519"},
        {VERSION "-> X25519 " B32 " x\n" B32 "\n" MAC, "X25519"},
        {VERSION "-> X25519 " B32 "\nAAAA\n" MAC, "X25519"},
        {VERSION "-> X25519 AAAA\n" B32 "\n" MAC, "X25519"},
        {VERSION "-> scrypt AAAA 18\nAAAA\n" X25519 MAC, "alone"},
        {VERSION X25519 "-> scrypt AAAA 18\nAAAA\n" MAC, "alone"},
        {VERSION RECORD "-> scrypt AAAA 18\nAAAA\n" MAC, "alone"},
        {VERSION X25519 RECORD MAC, "stand first"},
        {VERSION "-> bakfs/sig1\n\n" RECORD MAC, "stand first"},
        {VERSION RECORD RECORD MAC, "second"},
        {VERSION RECORD X25519 "-> bakfs/v1\n\n" MAC, "second"},
        {VERSION "-> bakfs/v1\n\n" MAC, "too few"},
        {VERSION "-> bakfs/v1 " SIZE " " TIME " " TIME " " FLAGS "\n\n" MAC, "too few"},
        {ARGS("5", TIME, TIME, FLAGS, TAG), "SIZE"},
        {ARGS("000000000000000000005", TIME, TIME, FLAGS, TAG), "SIZE"},
        {ARGS("+0000000000000000005", TIME, TIME, FLAGS, TAG), "SIZE"},
        {ARGS("09223372036854775808", TIME, TIME, FLAGS, TAG), "SIZE"},
        {ARGS("99999999999999999999", TIME, TIME, FLAGS, TAG), "SIZE"},
        {ARGS(SIZE, "20260229T000000.000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "21000229T000000.000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "20260431T000000.000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "20260001T000000.000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "20261301T000000.000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "20260100T000000.000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "20260101T240000.000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "20260101T006000.000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "20260101T000060.000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "00000101T000000.000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "20260101t000000.000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "20260101T000000,000000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "20260101T000000.000000000z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, "20260101T000000.00000000Z", TIME, FLAGS, TAG), "MTIME"},
        {ARGS(SIZE, TIME, "20260229T000000.000000000Z", FLAGS, TAG), "COMMITTED"},
        {ARGS(SIZE, TIME, TIME, "4000000", TAG), "FLAGS"},
        {ARGS(SIZE, TIME, TIME, "4000000A", TAG), "FLAGS"},
        {ARGS(SIZE, TIME, TIME, "0x400000", TAG), "FLAGS"},
        {ARGS(SIZE, TIME, TIME, FLAGS, TAG "="), "PATHTAG"},
        {ARGS(SIZE, TIME, TIME, FLAGS, "AAAA"), "PATHTAG"},
        {ARGS(SIZE, TIME, TIME, FLAGS, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"), "PATHTAG"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seal_header h = {.len = 77};
        struct err err = {0};
        int rc = parse(cases[i][0], &h, &err);
        if (rc != -EUCLEAN || !strstr(err.text, cases[i][1]))
            fail_msg("case %zu (%s): %d %s", i, cases[i][1], rc, err.text);
        assert_int_equal(h.len, 77);
    }
}

// A header of 65,536 bytes is the longest.
static void test_longest(void **state)
{
    (void)state;
    static char text[SEAL_HEADER_MAX + 100];
    for (size_t over = 0; over < 2; over++) {
        size_t want = SEAL_HEADER_MAX + over;
        static const char lead[] = VERSION "-> ", tail[] = "\n\n" MAC;
        const size_t lead_len = sizeof(lead) - 1, fill = want - lead_len - (sizeof(tail) - 1);
        memcpy(text, lead, lead_len);
        memset(text + lead_len, 'x', fill);
        memcpy(text + lead_len + fill, tail, sizeof(tail));
        assert_int_equal(strlen(text), want);
        struct seal_header h;
        struct err err = {0};
        assert_int_equal(parse(text, &h, &err), over ? -EUCLEAN : 0);
        assert_int_equal(seal_header_parse((uint8_t *)text, SEAL_HEADER_MAX - 1, &h, &err),
                         -EAGAIN);
    }
}

static void encode(uint8_t *out, unsigned recipients, const struct seal_record *record,
                   struct seal_randoms *randoms)
{
    struct recipient list[SEAL_RECIPIENTS_MAX];
    for (unsigned i = 0; i < recipients; i++)
        list[i] = fixed_recipient();
    seal_randoms_fill(randoms);
    assert_int_equal(header_encode(record, list, recipients, randoms, out, NULL), 0);
}

static void test_encoded(void **state)
{
    (void)state;
    static uint8_t bytes[SEAL_HEADER_MAX];
    static const unsigned counts[] = {1, 2, SEAL_RECIPIENTS_MAX};
    struct identity *identity = fixed_identity();
    struct identities identities = {&identity, 1};
    for (size_t i = 0; i < 3; i++) {
        struct seal_record record = fixed_record(INT64_MAX);
        fill_pattern(record.pathtag, sizeof(record.pathtag));
        struct seal_randoms randoms;
        encode(bytes, counts[i], &record, &randoms);
        struct seal_header h;
        struct err err = {0};
        assert_int_equal(seal_header_parse(bytes, sizeof(bytes), &h, &err), 0);
        assert_int_equal(h.len, seal_header_length(counts[i]));
        assert_int_equal(h.state, SEAL_OURS);
        assert_int_equal(h.x25519_count, counts[i]);
        assert_int_equal(h.record.size, record.size);
        assert_int_equal(h.record.mtime.tv_sec, record.mtime.tv_sec);
        assert_int_equal(h.record.mtime.tv_nsec, record.mtime.tv_nsec);
        assert_int_equal(h.record.committed.tv_sec, record.committed.tv_sec);
        assert_int_equal(h.record.flags, record.flags);
        assert_memory_equal(h.record.pathtag, record.pathtag, sizeof(record.pathtag));
        struct seal_opened opened;
        assert_int_equal(seal_header_open(bytes, h.len, &identities, &opened, &err), 0);
        assert_int_equal(err.code, 0);
        assert_memory_equal(opened.file_key, randoms.file_key, sizeof(opened.file_key));
        assert_int_equal(seal_header_check(bytes, h.len, randoms.file_key, &err), 0);
    }
    identity_free(identity);
}

// No byte of the header can be changed: what still parses does not open.
static void test_mac(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct seal_record record = fixed_record(5);
    struct seal_randoms randoms;
    encode(bytes, 2, &record, &randoms);
    size_t len = seal_header_length(2);
    struct identity *identity = fixed_identity();
    struct identities identities = {&identity, 1};
    struct seal_opened opened;
    unsigned macs = 0;
    for (size_t i = 0; i < len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1u << bit);
            int rc = seal_header_open(bytes, len, &identities, &opened, NULL);
            assert_true(rc == -EBADMSG || rc == -EUCLEAN || rc == -EACCES || rc == -EAGAIN);
            macs += rc == -EBADMSG;
            assert_int_not_equal(seal_header_check(bytes, len, randoms.file_key, NULL), 0);
            bytes[i] ^= (uint8_t)(1u << bit);
        }
    }
    assert_true(macs > 100);
    assert_int_equal(seal_header_open(bytes, len, &identities, &opened, NULL), 0);
    identity_free(identity);
}

static void test_no_match(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct seal_record record = fixed_record(5);
    struct seal_randoms randoms;
    encode(bytes, 3, &record, &randoms);
    struct identity *list[2] = {NULL, fixed_identity()};
    assert_int_equal(identity_generate(&list[0], NULL), 0);
    struct seal_opened opened;
    struct err err = {0};
    size_t len = seal_header_length(3);
    assert_int_equal(seal_header_open(bytes, len, &(struct identities){0}, &opened, &err), -EACCES);
    assert_non_null(strstr(err.text, "no identity here"));
    assert_int_equal(seal_header_open(bytes, len, &(struct identities){list, 1}, &opened, &err),
                     -EACCES);
    assert_non_null(strstr(err.text, "3 X25519 recipients"));
    assert_int_equal(seal_header_open(bytes, len, &(struct identities){list, 2}, &opened, &err), 0);
    uint8_t other[16] = {0};
    assert_int_equal(seal_header_check(bytes, len, other, &err), -EBADMSG);
    identity_free(list[0]);
    identity_free(list[1]);
}

// Times that cannot be written become the nearest ones that can.
static void test_time_range(void **state)
{
    (void)state;
    static const struct {
        int64_t sec;
        const char *text;
    } cases[] = {{-62135596800, "00010101T000000.000000005Z"},
                 {-62135596801, "00010101T000000.000000000Z"},
                 {INT64_MIN, "00010101T000000.000000000Z"},
                 {253402300799, "99991231T235959.000000005Z"},
                 {253402300800, "99991231T235959.999999999Z"},
                 {INT64_MAX, "99991231T235959.999999999Z"},
                 {-1, "19691231T235959.000000005Z"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seal_record record = fixed_record(0);
        record.mtime = (struct timespec){cases[i].sec, 5};
        char text[RECORD_CHARS];
        record_format(&record, text);
        assert_memory_equal(text + 21, cases[i].text, 26);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_longest),    cmocka_unit_test(test_encoded),
        cmocka_unit_test(test_mac),        cmocka_unit_test(test_no_match),
        cmocka_unit_test(test_time_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
