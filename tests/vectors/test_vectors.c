// The objects that generate.py made, through the C reader: every one is read, or refused by whom vectors.tsv says.
//     test_vectors DIR
#include "backend/base/crypto.h"
#include "backend/base/scope.h"
#include "backend/object.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *dir;

struct vector { // a line of vectors.tsv
    char path[512], outcome[16], rule[32], digest[65];
    unsigned long long size;
};

struct room {
    struct store *store;
    struct identities identities;
    struct pack_decoder *decoder;
    uint8_t *frame;
};

static void read_identities(struct identities *out)
{
    char text[512] = "";
    size_t len = 0;
    for (int i = 0; i < 2; i++) {
        char name[512];
        snprintf(name, sizeof(name), "%s/%s.key", dir, i ? "escrow" : "host");
        FILE *f = fopen(name, "re");
        assert_non_null(f);
        len += fread(text + len, 1, sizeof(text) - len, f);
        fclose(f);
    }
    struct err err;
    if (identities_parse(text, len, out, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    static struct room room;
    char path[512];
    struct err err;
    snprintf(path, sizeof(path), "%s/store", dir);
    if (store_dir_new(path, &room.store, &err) || pack_decoder_new(&room.decoder, &err))
        fail_msg("%s", err.text);
    read_identities(&room.identities);
    room.frame = malloc(PACK_FRAME_BYTES);
    assert_non_null(room.frame);
    *state = &room;
    return 0;
}

static int teardown(void **state)
{
    struct room *room = *state;
    free(room->frame);
    pack_decoder_free(room->decoder);
    identities_done(&room->identities);
    store_free(room->store);
    return 0;
}

static void hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++)
        sprintf(out + 2 * i, "%02x", bytes[i]);
}

// Reads every frame; the digest of what came out.
static int read_all(struct room *room, struct object_reader *reader, char out_hex[65],
                    struct err *err)
{
    const struct pack_index *index = object_reader_index(reader);
    struct pack_digest *digest = pack_digest_new();
    assert_non_null(digest);
    int rc = 0;
    for (uint64_t i = 0; i < pack_index_frames(index) && !rc; i++) {
        uint8_t sum[SHA256_BYTES];
        rc = object_read_frames(reader, room->decoder, i, 1, &room->frame, err);
        if (!rc) {
            sha256(room->frame, pack_index_span(index, i).plain_len, sum);
            pack_digest_frame(digest, sum);
        }
    }
    uint8_t all[PACK_DIGEST_BYTES];
    pack_digest_final(digest, all);
    pack_digest_free(digest);
    hex(all, sizeof(all), out_hex);
    return rc;
}

// Is `rc` what a caller is to learn of a broken `rule`?
static bool right_code(const char *rule, int rc)
{
    if (strcmp(rule, "no-identity") == 0)
        return rc == -EACCES;
    if (strcmp(rule, "newer") == 0)
        return rc == -EOPNOTSUPP || rc == -EUCLEAN;
    if (strcmp(rule, "mac") == 0 || strcmp(rule, "path") == 0 || strcmp(rule, "chunk") == 0)
        return rc == -EBADMSG || rc == -EUCLEAN;
    if (strcmp(rule, "foreign") == 0 || strcmp(rule, "record") == 0)
        return rc == -EUCLEAN;
    return rc == -EBADMSG || rc == -EUCLEAN;
}

// -> what is wrong, in `why`; empty when all is as expected.
static void check_vector(struct room *room, const struct vector *v, char why[1024])
{
    struct err err = {0};
    struct object_reader *reader = NULL;
    why[0] = 0;
    int rc = object_open(room->store, v->path, NULL, &room->identities, NULL, &reader, &err);
    if (strcmp(v->outcome, "open") == 0) {
        if (!rc)
            snprintf(why, 1024, "opened, although: %s", v->rule);
        else if (!right_code(v->rule, rc))
            snprintf(why, 1024, "refused with errno %d for %s: %s", -rc, v->rule, err.text);
        else if (err.code != -rc || !err.text[0])
            snprintf(why, 1024, "refused without a sentence");
        object_reader_free(reader);
        return;
    }
    char digest[65];
    if (rc) {
        snprintf(why, 1024, "not opened: %s", err.text);
        return;
    }
    uint64_t size = object_reader_info(reader)->header.record.size;
    bool stated = size == v->size;
    char stored[65];
    hex(pack_index_trailer(object_reader_index(reader))->digest, PACK_DIGEST_BYTES, stored);
    rc = read_all(room, reader, digest, &err);
    if (strcmp(v->outcome, "read") == 0) {
        if (!rc || !right_code(v->rule, rc))
            snprintf(why, 1024, "reading gave %d: %s", rc, rc ? err.text : "bytes");
    } else if (rc) {
        snprintf(why, 1024, "not read: %s", err.text);
    } else if (!stated || strcmp(digest, v->digest) != 0) {
        snprintf(why, 1024, "read as something else");
    } else if ((strcmp(stored, v->digest) == 0) != (strcmp(v->outcome, "good") == 0)) {
        snprintf(why, 1024, "the stored digest is not what it should be");
    }
    object_reader_free(reader);
}

static void test_every_vector(void **state)
{
    char name[512], line[1024], why[1024];
    snprintf(name, sizeof(name), "%s/vectors.tsv", dir);
    FILE *f = fopen(name, "re");
    assert_non_null(f);
    unsigned count = 0, failed = 0;
    while (fgets(line, sizeof(line), f)) {
        struct vector v;
        assert_int_equal(sscanf(line, "%511[^\t]\t%15[^\t]\t%31[^\t]\t%llu\t%64s", v.path,
                                v.outcome, v.rule, &v.size, v.digest),
                         5);
        check_vector(*state, &v, why);
        count++;
        if (why[0]) {
            failed++;
            print_error("%s: %s\n", v.path, why);
        }
    }
    fclose(f);
    assert_true(count > 10);
    assert_int_equal(failed, 0);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_vectors DIR\n");
        return 2;
    }
    dir = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_vector, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
