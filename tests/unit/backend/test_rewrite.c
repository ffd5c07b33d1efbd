// Renames and new times: what is stored afterwards, what it costs, and every way to fail.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "tests/support/pattern.h"
#include "tests/unit/backend/rig.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

// What is fetched of an object.
#define FIRST(part_min) ((part_min) + SEAL_HEADER_MAX + SEAL_NONCE_BYTES + SEAL_CHUNK_SEALED_BYTES)

static uint64_t large = 3 * MIB + 12345; // more than is fetched
static const struct timespec new_time = {1234567890, 987654321};

static int rename_to(struct rig *r, const struct object_key *key, const char *etag, const char *to,
                     struct object_info *out, struct err *err)
{
    const struct object_change change = {.to = to};
    return object_rewrite(&r->env, PATH, etag, key, &change, out, err);
}

static void same_header(const struct seal_header *a, const struct seal_header *b)
{
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->len, b->len);
    assert_int_equal(a->x25519_count, b->x25519_count);
    assert_int_equal(a->other_count, b->other_count);
    assert_int_equal(a->record.size, b->record.size);
    assert_int_equal(a->record.flags, b->record.flags);
    assert_memory_equal(&a->record.mtime, &b->record.mtime, sizeof(a->record.mtime));
    assert_memory_equal(&a->record.committed, &b->record.committed, sizeof(a->record.committed));
    assert_memory_equal(a->record.pathtag, b->record.pathtag, SEAL_PATHTAG_BYTES);
}

// Renamed, and what is there is whole: as `info` says, and by stat, key and identity.
static void check_renamed(struct rig *r, const struct object_info *old,
                          const struct object_info *info, const struct object_key *key,
                          uint64_t seed, uint64_t size)
{
    rig_holds(r, OTHER, NULL, seed, size);
    rig_holds(r, OTHER, key, seed, size);
    rig_holds(r, PATH, NULL, seed, size); // it stays until the caller removes it
    struct store_stat stat = rig_stat(r, OTHER);
    assert_int_equal(stat.size, old->stat.size);
    assert_string_equal(stat.etag, info->stat.etag);
    assert_int_equal(info->stat.size, stat.size);
    struct object_info seen;
    OK(object_probe(r->files, OTHER OBJECT_SUFFIX, NULL, &seen, &err));
    struct object_info listed = *info;
    same_header(&seen.header, &listed.header);
    listed.header.record.mtime = old->header.record.mtime;
    memcpy(listed.header.record.pathtag, old->header.record.pathtag, SEAL_PATHTAG_BYTES);
    same_header(&listed.header, &old->header);
    // not one byte of the payload
    size_t len[2];
    auto_free uint8_t *before = rig_bytes(r, PATH, &len[0]);
    auto_free uint8_t *after = rig_bytes(r, OTHER, &len[1]);
    assert_memory_equal(before + old->header.len, after + old->header.len,
                        len[0] - old->header.len);
    assert_int_equal(rig_uploads(r), 0);
}

struct calls {
    unsigned all, gets, puts, parts, copies;
};

static struct calls calls(const struct rig *r)
{
    return (struct calls){
        fault_store_calls(r->store, FAULT_ANY), fault_store_calls(r->store, FAULT_GET),
        fault_store_calls(r->store, FAULT_PUT), fault_store_calls(r->store, FAULT_PUT_PART),
        fault_store_calls(r->store, FAULT_COPY_PART)};
}

static void test_small(void **state)
{
    struct rig *r = *state;
    const uint64_t sizes[] = {0, 1, 50000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct object_key key;
        struct object_info info, old = rig_write(r, PATH, i, sizes[i], &key);
        struct calls before = calls(r);
        OK(rename_to(r, &key, old.stat.etag, OTHER, &info, &err));
        struct calls now = calls(r);
        assert_int_equal(now.all - before.all, 2);
        assert_int_equal(now.gets - before.gets, 1);
        assert_int_equal(now.puts - before.puts, 1);
        check_renamed(r, &old, &info, &key, i, sizes[i]);
    }
}

static void renamed_by_copies(struct rig *r, const struct object_info *old,
                              const struct object_key *key, uint64_t size, unsigned copies)
{
    struct object_info info;
    struct calls before = calls(r);
    OK(rename_to(r, key, old->stat.etag, OTHER, &info, &err));
    struct calls now = calls(r);
    assert_int_equal(now.gets - before.gets, 1);
    assert_int_equal(now.parts - before.parts, 1);
    assert_int_equal(now.copies - before.copies, copies);
    assert_int_equal(now.all - before.all, 4 + copies); // and begin, and complete
    check_renamed(r, old, &info, key, 1, size);
}

static void test_large(void **state)
{
    struct rig *r = *state;
    struct object_key key;
    uint64_t size = 11 * MIB;
    struct object_info old = rig_write(r, PATH, 1, size, &key);
    renamed_by_copies(r, &old, &key, size, 1);
}

static void test_copies(void **state)
{
    struct rig *r = *state;
    struct object_key key;
    struct object_info old = rig_write(r, PATH, 1, large, &key);
    // of what was fetched, a chunk is left over
    uint64_t front = old.header.len + SEAL_NONCE_BYTES;
    uint64_t rest = old.stat.size - (FIRST(1) - (FIRST(1) - front) % SEAL_CHUNK_SEALED_BYTES);
    const struct {
        uint64_t put_max;
        unsigned copies;
    } cases[] = {{5 * GIB, 1}, {MIB, 3}, {MIB / 4, 12}, {rest, 1}, {rest - 1, 2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        r->store->limits.put_max = cases[i].put_max;
        renamed_by_copies(r, &old, &key, large, cases[i].copies);
    }
}

// Around the size that is just fetched whole.
static void test_edges(void **state)
{
    struct rig *r = *state;
    struct object_key key;
    struct object_info info, old = rig_write(r, PATH, 1, 300000, &key);
    for (int more = -1; more <= 1; more++) {
        r->store->limits.part_min = (uint64_t)((int64_t)(old.stat.size - FIRST(0)) + more);
        struct calls before = calls(r);
        OK(rename_to(r, &key, old.stat.etag, OTHER, &info, &err));
        struct calls now = calls(r);
        assert_int_equal(now.copies - before.copies, more < 0);
        assert_int_equal(now.puts - before.puts, more >= 0);
        check_renamed(r, &old, &info, &key, 1, 300000);
    }
}

static void test_new_time(void **state)
{
    struct rig *r = *state;
    const uint64_t sizes[] = {1000, large};
    for (size_t i = 0; i < 2; i++) {
        struct object_key key;
        struct object_info info, old = rig_write(r, PATH, i, sizes[i], &key);
        const struct object_change change = {.to = PATH, .mtime = &new_time};
        OK(object_rewrite(&r->env, PATH, old.stat.etag, &key, &change, &info, &err));
        assert_string_not_equal(info.stat.etag, old.stat.etag);
        assert_string_equal(rig_stat(r, PATH).etag, info.stat.etag);
        assert_memory_equal(&info.header.record.mtime, &new_time, sizeof(new_time));
        rig_holds(r, PATH, NULL, i, sizes[i]);
        struct object_info seen;
        OK(object_probe(r->files, PATH OBJECT_SUFFIX, NULL, &seen, &err));
        same_header(&seen.header, &info.header);
        seen.header.record.mtime = old.header.record.mtime;
        same_header(&seen.header, &old.header);
        // with a name of its own at the same time
        old.header.record.flags |= SEAL_FLAG_LATE;
        info.header.record.flags |= SEAL_FLAG_LATE;
        const struct object_change both = {
            .to = OTHER, .mtime = &old.header.record.mtime, .flags = SEAL_FLAG_LATE};
        OK(object_rewrite(&r->env, PATH, info.stat.etag, &key, &both, &seen, &err));
        check_renamed(r, &info, &seen, &key, i, sizes[i]);
    }
}

static void test_many_recipients(void **state)
{
    struct rig *r = *state;
    struct object_key key, unlocked;
    r->env.recipient_count = SEAL_RECIPIENTS_MAX;
    struct object_info info, old = rig_write(r, PATH, 5, 20000, &key);
    assert_true(old.header.len > SEAL_HEADER_PROBE);
    OK(object_unlock(r->store, PATH, old.stat.etag, &r->identities, &unlocked, &err));
    assert_memory_equal(&unlocked, &key, sizeof(key));
    OK(rename_to(r, &key, old.stat.etag, OTHER, &info, &err));
    check_renamed(r, &old, &info, &key, 5, 20000);
}

static void test_unlock(void **state)
{
    struct rig *r = *state;
    struct object_key key, unlocked = {.file_key = "untouched"};
    struct object_info old = rig_write(r, PATH, 5, large, &key);
    struct identities none = {0}, others = {.list = &r->stranger, .count = 1};
    FAILS(EACCES, "no identity", object_unlock(r->store, PATH, NULL, &none, &unlocked, &err));
    FAILS(EACCES, "none of", object_unlock(r->store, PATH, NULL, &others, &unlocked, &err));
    FAILS(ESTALE, "another",
          object_unlock(r->store, PATH, "other", &r->identities, &unlocked, &err));
    FAILS(ENOENT, "", object_unlock(r->store, OTHER, NULL, &r->identities, &unlocked, &err));
    rig_put(r, OTHER, (const uint8_t *)"no age file", 11);
    FAILS(EUCLEAN, "age", object_unlock(r->store, OTHER, NULL, &r->identities, &unlocked, &err));
    // moved in the bucket: it opens, but not as that file
    size_t len;
    auto_free uint8_t *bytes = rig_bytes(r, PATH, &len);
    rig_put(r, OTHER, bytes, len);
    FAILS(EBADMSG, "another file",
          object_unlock(r->store, OTHER, NULL, &r->identities, &unlocked, &err));
    rig_put(r, OTHER, bytes, old.header.len + 3); // cut inside of the nonce
    assert_true(object_unlock(r->store, OTHER, NULL, &r->identities, &unlocked, NULL) < 0);
    assert_string_equal((const char *)unlocked.file_key, "untouched");
    struct calls before = calls(r);
    OK(object_unlock(r->store, PATH, old.stat.etag, &r->identities, &unlocked, &err));
    assert_int_equal(calls(r).all - before.all, 1);
    assert_memory_equal(&unlocked, &key, sizeof(key));
}

// Nothing is asked of the store but the look, and nothing changed.
static void refused(struct rig *r, int code, const char *word, const char *from, const char *etag,
                    const struct object_key *key)
{
    struct calls before = calls(r);
    struct object_info info;
    const struct object_change change = {.to = "db1/2026-11-22/no", .mtime = &new_time};
    FAILS(code, word, object_rewrite(&r->env, from, etag, key, &change, &info, &err));
    struct calls now = calls(r);
    assert_int_equal(now.all - before.all, now.gets - before.gets);
    assert_true(rig_absent(r, change.to));
}

static void test_refusals(void **state)
{
    struct rig *r = *state;
    const uint64_t sizes[] = {1000, large};
    for (size_t i = 0; i < 2; i++) {
        struct object_key key, wrong;
        struct object_info old = rig_write(r, PATH, i, sizes[i], &key);
        wrong = key;
        wrong.file_key[3] ^= 1;
        refused(r, EBADMSG, "MAC", PATH, old.stat.etag, &wrong);
        wrong = key;
        wrong.nonce[3] ^= 1;
        refused(r, EBADMSG, "not the payload", PATH, old.stat.etag, &wrong);
        refused(r, ESTALE, "another", PATH, "other", &key);
        refused(r, ENOENT, "", "db1/2026-11-22/absent", old.stat.etag, &key);
        size_t len;
        auto_free uint8_t *bytes = rig_bytes(r, PATH, &len);
        rig_put(r, OTHER, bytes, len);
        refused(r, EBADMSG, "another file", OTHER, rig_stat(r, OTHER).etag, &key);
        bytes[old.header.len - 60] ^= 1;
        rig_put(r, OTHER, bytes, len);
        assert_true(object_rewrite(&r->env, OTHER, rig_stat(r, OTHER).etag, &key,
                                   &(struct object_change){.to = PATH}, &old, NULL) < 0);
        rig_put(r, OTHER, bytes + old.header.len, 1000);
        refused(r, EUCLEAN, "age", OTHER, rig_stat(r, OTHER).etag, &key);
        rig_holds(r, PATH, NULL, i, sizes[i]);
    }
}

static void test_conditions(void **state)
{
    struct rig *r = *state;
    const uint64_t sizes[] = {1000, large};
    for (size_t i = 0; i < 2; i++) {
        struct object_key key;
        struct object_info info, old = rig_write(r, PATH, i, sizes[i], &key);
        struct object_info other = rig_write(r, OTHER, 77, 10, NULL);
        struct object_change change = {.to = OTHER, .cond.if_absent = true};
        FAILS(EEXIST, "", object_rewrite(&r->env, PATH, old.stat.etag, &key, &change, &info, &err));
        change.cond = (struct store_cond){.if_match = "elsewhere"};
        FAILS(EEXIST, "", object_rewrite(&r->env, PATH, old.stat.etag, &key, &change, &info, &err));
        rig_holds(r, OTHER, NULL, 77, 10);
        assert_int_equal(rig_uploads(r), 0);
        change.cond = (struct store_cond){.if_match = other.stat.etag};
        OK(object_rewrite(&r->env, PATH, old.stat.etag, &key, &change, &info, &err));
        check_renamed(r, &old, &info, &key, i, sizes[i]);
    }
}

struct replacing {
    struct rig *rig;
    struct object_key key;
    struct object_info old;
    int rc;
};

static void *rewrite_thread(void *ctx)
{
    struct replacing *p = ctx;
    struct object_info info;
    const struct object_change change = {.to = PATH, .mtime = &new_time};
    p->rc = object_rewrite(&p->rig->env, PATH, p->old.stat.etag, &p->key, &change, &info, NULL);
    return NULL;
}

// Somebody replaces the file while its time is changed: what he wrote stays.
static void test_replaced_meanwhile(void **state)
{
    struct rig *r = *state;
    const struct {
        uint64_t size;
        enum fault_op held;
        int code;
    } cases[] = {{1000, FAULT_PUT, EEXIST},
                 {large, FAULT_UPLOAD_COMPLETE, EEXIST},
                 {large, FAULT_COPY_PART, ESTALE}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct replacing p = {.rig = r};
        p.old = rig_write(r, PATH, 1, cases[i].size, &p.key);
        fault_store_hold(r->store, cases[i].held);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, rewrite_thread, &p), 0);
        fault_store_wait_held(r->store, 1);
        rig_write(r, PATH, 2, 5000, NULL);
        fault_store_release(r->store);
        pthread_join(thread, NULL);
        assert_int_equal(p.rc, -cases[i].code);
        rig_holds(r, PATH, NULL, 2, 5000);
        assert_int_equal(rig_uploads(r), 0);
    }
}

struct found {
    char key[STORE_KEY_BYTES + 1], id[STORE_UPLOAD_ID_BYTES];
};

static int see_upload(void *ctx, const struct store_upload *upload)
{
    struct found *found = ctx;
    snprintf(found->key, sizeof(found->key), "%s", upload->key);
    snprintf(found->id, sizeof(found->id), "%s", upload->id);
    return 0;
}

// Somebody takes the upload for dead before it has a part: it is begun anew.
static void test_aborted_by_another(void **state)
{
    struct rig *r = *state;
    struct replacing p = {.rig = r};
    struct workers *one; // so that nothing is put while the copy is held
    assert_int_equal(workers_new("one", 1, 8, &one, NULL), 0);
    r->env.upload.uploaders = one;
    p.old = rig_write(r, PATH, 1, large, &p.key);
    fault_store_hold(r->store, FAULT_COPY_PART);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, rewrite_thread, &p), 0);
    fault_store_wait_held(r->store, 1);
    struct found found = {0};
    OK(r->files->ops->list_uploads(r->files, "", see_upload, &found, &err));
    OK(r->files->ops->upload_abort(r->files, found.key, found.id, &err));
    fault_store_release(r->store);
    pthread_join(thread, NULL);
    assert_int_equal(p.rc, 0);
    rig_holds(r, PATH, NULL, 1, large);
    assert_int_equal(rig_uploads(r), 0);

    // but a source that is gone is gone
    struct object_info info;
    OK(object_probe(r->files, PATH OBJECT_SUFFIX, NULL, &info, &err));
    p.old = info;
    fault_store_hold(r->store, FAULT_UPLOAD_BEGIN);
    assert_int_equal(pthread_create(&thread, NULL, rewrite_thread, &p), 0);
    fault_store_wait_held(r->store, 1);
    OK(r->files->ops->remove(r->files, PATH OBJECT_SUFFIX, NULL, &err));
    fault_store_release(r->store);
    pthread_join(thread, NULL);
    assert_int_equal(p.rc, -ENOENT);
    assert_true(rig_absent(r, PATH));
    assert_int_equal(rig_uploads(r), 0);
    r->env.upload.uploaders = r->uploaders;
    workers_free(one);
}

// A store that does not copy parts: the same object, by another way.
static void test_relayed(void **state)
{
    struct rig *r = *state;
    struct object_key key;
    const uint64_t size = 11 * MIB; // more than a part, more than is relayed at once
    struct object_info info, old = rig_write(r, PATH, 3, size, &key);
    fault_store_set(
        r->store,
        &(struct fault){.op = FAULT_COPY_PART, .nth = 1, .forever = true, .code = EOPNOTSUPP});
    OK(rename_to(r, &key, old.stat.etag, OTHER, &info, &err));
    check_renamed(r, &old, &info, &key, 3, size);
}

static void test_too_large(void **state)
{
    struct rig *r = *state;
    struct object_key key;
    struct object_info info, old = rig_write(r, PATH, 3, large, &key);
    r->store->limits.put_max = MIB;
    r->store->limits.parts_max = 3;
    FAILS(EFBIG, "parts", rename_to(r, &key, old.stat.etag, OTHER, &info, &err));
    assert_true(rig_absent(r, OTHER));
    assert_int_equal(rig_uploads(r), 0);
    r->store->limits.parts_max = 4;
    OK(rename_to(r, &key, old.stat.etag, OTHER, &info, &err));
    check_renamed(r, &old, &info, &key, 3, large);
}

// Every call of the store fails once, with and without having been done: under both names is what was there, or the whole
// file, and what the upload left is aborted at once or by the next mount.
static void every_call(struct rig *r, uint64_t size, bool onto_itself, enum fault_kind kind)
{
    int rc = -1;
    for (unsigned nth = 1; rc != 0; nth++) {
        struct object_key key;
        struct object_info info = {0}, old = rig_write(r, PATH, nth, size, &key);
        struct object_info other = rig_write(r, OTHER, 1000 + nth, 10, NULL);
        struct object_change change = {.to = onto_itself ? PATH : OTHER, .mtime = &new_time};
        if (!onto_itself)
            change.cond.if_match = other.stat.etag;
        fault_store_set(r->store,
                        &(struct fault){.op = FAULT_ANY, .kind = kind, .nth = nth, .code = EIO});
        rc = object_rewrite(&r->env, PATH, old.stat.etag, &key, &change, &info, NULL);
        fault_store_set(r->store, &(struct fault){0});
        assert_true(rc == 0 || rc == -EIO);
        if (rig_uploads(r) > 0)
            rig_remount(r);
        assert_int_equal(rig_uploads(r), 0);
        rig_holds(r, PATH, NULL, nth, size);
        struct store_stat there = rig_stat(r, OTHER);
        if (onto_itself || strcmp(there.etag, other.stat.etag) == 0)
            rig_holds(r, OTHER, NULL, 1000 + nth, 10);
        else
            rig_holds(r, OTHER, NULL, nth, size);
        if (rc == 0)
            assert_string_equal(rig_stat(r, change.to).etag, info.stat.etag);
        assert_true(nth < 50);
    }
}

static void test_every_call_fails(void **state)
{
    struct rig *r = *state;
    r->store->limits.put_max = MIB;
    const uint64_t sizes[] = {1000, large};
    for (size_t i = 0; i < 2; i++)
        for (int onto_itself = 0; onto_itself < 2; onto_itself++) {
            every_call(r, sizes[i], onto_itself, FAULT_FAIL);
            every_call(r, sizes[i], onto_itself, FAULT_LOST);
        }
}

// Bytes of the payload that pass through here and were damaged on the way, or in the store, do not become the file.
static void test_damage(void **state)
{
    struct rig *r = *state;
    struct object_key key;
    struct object_info info, old = rig_write(r, PATH, 3, 1000, &key);
    for (int kind = FAULT_SHORT; kind <= FAULT_FLIP; kind++) {
        fault_store_set(r->store,
                        &(struct fault){.op = FAULT_GET, .kind = (enum fault_kind)kind, .nth = 1});
        int rc = rename_to(r, &key, old.stat.etag, OTHER, &info, NULL);
        assert_true(rc == -EUCLEAN || rc == -EBADMSG);
        assert_true(rig_absent(r, OTHER));
    }
    old = rig_write(r, PATH, 3, large, &key);
    size_t len;
    auto_free uint8_t *bytes = rig_bytes(r, PATH, &len);
    bytes[old.header.len + 100] ^= 1;
    rig_put(r, PATH, bytes, len);
    FAILS(EBADMSG, "chunk 1 ", rename_to(r, &key, rig_stat(r, PATH).etag, OTHER, &info, &err));
    bytes[old.header.len + 100] ^= 1;
    bytes[len - 10] ^= 1;
    rig_put(r, PATH, bytes, len);
    fault_store_set(
        r->store,
        &(struct fault){.op = FAULT_COPY_PART, .nth = 1, .forever = true, .code = EOPNOTSUPP});
    FAILS(EBADMSG, "chunk", rename_to(r, &key, rig_stat(r, PATH).etag, OTHER, &info, &err));
    assert_true(rig_absent(r, OTHER));
    assert_int_equal(rig_uploads(r), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(int argc, char **argv)
{
    (void)argv;
    const struct CMUnitTest any[] = {
        TEST(test_small),
        TEST(test_large),
        TEST(test_new_time),
        TEST(test_unlock),
        TEST(test_refusals),
        TEST(test_many_recipients),
        TEST(test_conditions),
        TEST(test_relayed),
        TEST(test_aborted_by_another),
        TEST(test_replaced_meanwhile),
        TEST(test_damage),
    };
    // these say what the limits of the store are
    const struct CMUnitTest dir[] = {
        TEST(test_copies),
        TEST(test_edges),
        TEST(test_too_large),
        TEST(test_every_call_fails),
    };
    if (argc > 1 && !rig_use_s3())
        return 77;
    if (argc > 1)
        large += 5 * MIB;
    int failed = cmocka_run_group_tests(any, NULL, NULL);
    return argc > 1 ? failed : failed + cmocka_run_group_tests(dir, NULL, NULL);
}
