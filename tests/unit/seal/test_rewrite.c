// A header with another record: what changes in it and what does not.
#include "backend/base/crypto.h"
#include "backend/base/num.h"
#include "backend/seal/header.h"
#include "backend/seal/record.h"
#include "tests/unit/seal/seal_fixture.h"

#include <errno.h>

#define NEW_PATH "db1/2026-11-22/renamed/orders.dump"
#define RECORD_AT (sizeof("age-encryption.org/v1\n-> bakfs/v1 ") - 1)
#define MAC_BYTES (4 + 43 + 1)
#define ROOM ((size_t)4096)

static const uint8_t file_key[SEAL_FILE_KEY_BYTES] = "0123456789abcde";
static const struct seal_record changed = {.size = 77,
                                           .mtime = {1234567890, 5},
                                           .committed = {1795319700, 1},
                                           .flags = SEAL_FLAG_LATE,
                                           .pathtag = "is ignored"};

// Makes the MAC of a header that was edited.
static void sign(uint8_t *header, size_t len)
{
    uint8_t key[32], mac[32];
    char text[45];
    hkdf_sha256(file_key, sizeof(file_key), NULL, 0, "header", key);
    hmac_sha256(key, sizeof(key), header, len - MAC_BYTES + 3, mac);
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < 43; i++) {
        uint32_t three = (uint32_t)mac[i / 4 * 3] << 16 | (uint32_t)mac[i / 4 * 3 + 1] << 8 |
                         (i / 4 * 3 + 2 < 32 ? mac[i / 4 * 3 + 2] : 0u);
        text[i] = digits[three >> (18 - 6 * (i % 4)) & 63];
    }
    memcpy(header + len - MAC_BYTES + 4, text, 43);
}

static void insert(uint8_t *header, size_t *len, size_t at, const char *text)
{
    size_t more = strlen(text);
    assert_true(*len + more <= ROOM);
    memmove(header + at + more, header + at, *len - at);
    memcpy(header + at, text, more);
    *len += more;
}

// A header for two recipients with what others may have added: arguments and a body of the record, stanzas in front of and
// behind the recipients'.
static size_t make_header(uint8_t out[ROOM])
{
    struct seal_randoms randoms;
    seal_randoms_fill(&randoms);
    memcpy(randoms.file_key, file_key, sizeof(file_key));
    struct recipient two[2] = {fixed_recipient(), fixed_recipient()};
    struct seal_record record = fixed_record(5);
    seal_pathtag(file_key, PATH, record.pathtag);
    assert_int_equal(header_encode(&record, two, 2, &randoms, out, NULL), 0);
    size_t len = seal_header_length(2);
    insert(out, &len, len - MAC_BYTES, "-> example.com/x a b\nAAAA\n");
    size_t record_end = RECORD_AT + RECORD_CHARS;
    insert(out, &len, record_end + 2, "-> bakfs/sig1 one two\nAAAAAAAA\n");
    insert(out, &len, record_end + 1, "AAAA");
    insert(out, &len, record_end, " more args");
    sign(out, len);
    return len;
}

static void test_only_the_record(void **state)
{
    (void)state;
    uint8_t before[ROOM], header[ROOM];
    size_t len = make_header(before);
    struct seal_header was, is;
    assert_int_equal(seal_header_parse(before, len, &was, NULL), 0);
    assert_int_equal(was.len, len);
    assert_int_equal(was.other_count, 1);
    memcpy(header, before, sizeof(header));
    memset(header + len, 0xaa, sizeof(header) - len); // the payload, in part
    struct err err = {0};
    if (seal_header_rewrite(header, len + 7, file_key, &changed, NEW_PATH, &err) < 0)
        fail_msg("%s", err.text);

    assert_int_equal(seal_header_check(header, len, file_key, NULL), 0);
    assert_int_equal(seal_header_parse(header, len, &is, NULL), 0);
    assert_int_equal(is.len, was.len);
    assert_int_equal(is.x25519_count, 2);
    assert_int_equal(is.other_count, 1);
    assert_int_equal(is.record.size, changed.size);
    assert_memory_equal(&is.record.mtime, &changed.mtime, sizeof(changed.mtime));
    assert_memory_equal(&is.record.committed, &changed.committed, sizeof(changed.committed));
    assert_int_equal(is.record.flags, changed.flags);
    uint8_t tag[SEAL_PATHTAG_BYTES];
    seal_pathtag(file_key, NEW_PATH, tag);
    assert_memory_equal(is.record.pathtag, tag, sizeof(tag));

    assert_memory_equal(header, before, RECORD_AT);
    size_t rest = RECORD_AT + RECORD_CHARS;
    assert_memory_equal(header + rest, before + rest, len - MAC_BYTES + 4 - rest);
    for (size_t i = len; i < sizeof(header); i++)
        assert_int_equal(header[i], 0xaa);

    // an identity opens it as before
    struct identity *identity = fixed_identity();
    struct seal_opened opened;
    assert_int_equal(
        seal_header_open(header, len, &(struct identities){&identity, 1}, &opened, NULL), 0);
    assert_memory_equal(opened.file_key, file_key, sizeof(file_key));
    seal_opened_done(&opened);
    identity_free(identity);
}

// Changed and changed back is the same, byte for byte.
static void test_back(void **state)
{
    (void)state;
    uint8_t before[ROOM], header[ROOM];
    size_t len = make_header(before);
    memcpy(header, before, sizeof(header));
    struct seal_record record = fixed_record(5);
    assert_int_equal(seal_header_rewrite(header, len, file_key, &changed, NEW_PATH, NULL), 0);
    assert_memory_not_equal(header, before, len);
    assert_int_equal(seal_header_rewrite(header, len, file_key, &record, PATH, NULL), 0);
    assert_memory_equal(header, before, len);
}

static void refuses(uint8_t *header, size_t len, const uint8_t *key, int code)
{
    uint8_t before[ROOM];
    struct err err = {0};
    memcpy(before, header, sizeof(before));
    assert_int_equal(seal_header_rewrite(header, len, key, &changed, NEW_PATH, &err), -code);
    assert_true(strlen(err.text) > 0);
    assert_memory_equal(header, before, sizeof(before));
}

static void test_refusals(void **state)
{
    (void)state;
    uint8_t header[ROOM] = {0};
    size_t len = make_header(header);
    refuses(header, len, (const uint8_t *)"another key 1234", EBADMSG);
    refuses(header, len - 1, file_key, EAGAIN);
    header[RECORD_AT + 19] ^= 1; // a digit of the size
    refuses(header, len, file_key, EBADMSG);
    header[RECORD_AT + 19] ^= 1;
    uint8_t *of_mac = &header[len - MAC_BYTES + 10], was = *of_mac;
    *of_mac = was == 'A' ? 'B' : 'A';
    refuses(header, len, file_key, EBADMSG);
    *of_mac = was;

    // a newer one, and one without a record
    size_t version_at = RECORD_AT - 2;
    header[version_at] = '2';
    sign(header, len);
    refuses(header, len, file_key, EOPNOTSUPP);
    header[version_at] = '1';
    header[RECORD_AT + 20 + 1 + 26 + 1 + 26 + 1 + 7] = '1'; // a critical flag
    sign(header, len);
    refuses(header, len, file_key, EOPNOTSUPP);
    header[version_at] = 'x';
    sign(header, len);
    refuses(header, len, file_key, EUCLEAN);
    memcpy(header, "no age file", 11);
    refuses(header, len, file_key, EUCLEAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_record),
        cmocka_unit_test(test_back),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
