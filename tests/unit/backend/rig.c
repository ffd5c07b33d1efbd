#include "tests/unit/backend/rig.h"

#include "backend/base/crypto.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/plan.h"
#include "tests/support/pattern.h"
#include "tests/support/uploads.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PIECE ((size_t)1000003) // fits nowhere evenly
#define FRAME ((uint64_t)PACK_FRAME_BYTES)

static struct store_s3_conf s3; // .bucket: set

bool rig_use_s3(void)
{
    s3 = (struct store_s3_conf){.endpoint = getenv("RGW_ENDPOINT"),
                                .bucket = getenv("RGW_BUCKET"),
                                .access_key = getenv("RGW_ACCESS_KEY"),
                                .secret_key = getenv("RGW_SECRET_KEY"),
                                .deadline_ms = 60000};
    return s3.endpoint && s3.bucket && s3.access_key && s3.secret_key;
}

static int make_store(const char *objects, struct store **out)
{
    if (!s3.bucket)
        return store_dir_new(objects, out, NULL);
    char prefix[64];
    uint32_t random;
    crypto_random(&random, sizeof(random));
    snprintf(prefix, sizeof(prefix), "test-object/%08x/", random);
    s3.prefix = prefix;
    return store_s3_new(&s3, out, NULL);
}

static int remove_entry(void *ctx, const struct store_entry *entry)
{
    struct store *store = ctx;
    return store->ops->remove(store, entry->key, NULL, NULL);
}

int rig_setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    if (!r || temp_dir_make(&r->dir) < 0)
        return -1;
    char objects[300], spool[300];
    snprintf(objects, sizeof(objects), "%s/objects", r->dir.path);
    snprintf(spool, sizeof(spool), "%s/spool", r->dir.path);
    snprintf(r->state, sizeof(r->state), "%s/state", r->dir.path);
    if (mkdir(objects, 0700) < 0 || mkdir(spool, 0700) < 0)
        return -1;
    struct blocks_conf conf = {
        .memory_bytes = 16 * MIB, .spool_dir = spool, .spool_max_bytes = 64 * MIB};
    if (make_store(objects, &r->files) < 0 || fault_store_new(r->files, &r->store) < 0 ||
        blocks_new(&conf, &r->blocks, NULL) < 0 ||
        workers_new("upload", 3, 2, &r->uploaders, NULL) < 0 ||
        workers_new("pack", 2, 16, &r->packers, NULL) < 0 ||
        journal_open(r->state, &r->journal, NULL) < 0 ||
        identity_generate(&r->identity, NULL) < 0 || identity_generate(&r->stranger, NULL) < 0)
        return -1;
    for (size_t i = 0; i < SEAL_RECIPIENTS_MAX; i++)
        identity_recipient(i ? r->stranger : r->identity, &r->recipients[i]);
    r->identities = (struct identities){.list = &r->identity, .count = 1};
    r->env = (struct object_env){
        .upload = {.store = r->store,
                   .blocks = r->blocks,
                   .uploaders = r->uploaders,
                   .journal = r->journal,
                   .part_max = plan_part_max(0)},
        .pack = {.blocks = r->blocks, .packers = r->packers, .packer_count = 2, .level = 1},
        .recipients = r->recipients,
        .recipient_count = 1,
    };
    *state = r;
    return 0;
}

int rig_teardown(void **state)
{
    struct rig *r = *state;
    workers_free(r->uploaders);
    workers_free(r->packers);
    blocks_free(r->blocks); // asserts that every block came back
    journal_close(r->journal);
    identity_free(r->identity);
    identity_free(r->stranger);
    store_free(r->store);
    bool more;
    (void)r->files->ops->list(r->files, "", NULL, false, 1000, remove_entry, r->files, &more, NULL);
    store_free(r->files);
    temp_dir_remove(&r->dir);
    free(r);
    return 0;
}

static const char *key_of(const char *path)
{
    static _Thread_local char key[STORE_KEY_BYTES + 1];
    snprintf(key, sizeof(key), "%s" OBJECT_SUFFIX, path);
    return key;
}

struct object_info rig_write(struct rig *r, const char *path, uint64_t seed, uint64_t size,
                             struct object_key *out_key)
{
    struct object_env env = r->env;
    env.upload.store = r->files;
    struct object_writer *w;
    OK(object_create(&env, path, NULL, NULL, &w, &err));
    auto_free uint8_t *bytes = malloc(PIECE);
    assert_non_null(bytes);
    for (uint64_t at = 0, n; at < size; at += n) {
        n = min_u64(PIECE, size - at);
        pattern_fill(seed, at, bytes, (size_t)n);
        OK(packer_write(object_writer_packer(w), bytes, (size_t)n, &err));
    }
    struct object_info info;
    const struct object_times times = {.mtime = {1000000000, 7},
                                       .committed = {1795319700, 8},
                                       .flags = SEAL_FLAG_TOOL,
                                       .complete = SEAL_COMPLETE_YES};
    OK(object_writer_commit(w, &times, &info, &err));
    if (out_key)
        object_writer_key(w, out_key);
    object_writer_free(w);
    return info;
}

int rig_read(struct object_reader *reader, uint64_t seed, uint64_t first, unsigned count,
             struct err *err)
{
    uint64_t size = pack_index_trailer(object_reader_index(reader))->size;
    struct pack_decoder *decoder;
    uint8_t *outs[8];
    assert_true(count <= 8);
    assert_int_equal(pack_decoder_new(&decoder, NULL), 0);
    auto_free uint8_t *plain = malloc(count * FRAME);
    assert_non_null(plain);
    for (unsigned i = 0; i < count; i++)
        outs[i] = plain + i * FRAME;
    int rc = object_read_frames(reader, decoder, first, count, outs, err);
    pack_decoder_free(decoder);
    if (rc == 0)
        assert_true(pattern_holds(seed, first * FRAME, plain,
                                  (size_t)min_u64(count * FRAME, size - first * FRAME)));
    return rc;
}

void rig_holds(struct rig *r, const char *path, const struct object_key *key, uint64_t seed,
               uint64_t size)
{
    struct object_reader *reader;
    OK(object_open(r->files, path, NULL, key ? NULL : &r->identities, key, &reader, &err));
    assert_int_equal(object_reader_info(reader)->header.record.size, size);
    uint64_t frames = pack_index_frames(object_reader_index(reader));
    assert_int_equal(frames, div_up_u64(size, FRAME));
    for (uint64_t i = 0; i < frames; i++)
        OK(rig_read(reader, seed, i, 1, &err));
    object_reader_free(reader);
}

struct store_stat rig_stat(struct rig *r, const char *path)
{
    struct store_stat stat;
    OK(r->files->ops->head(r->files, key_of(path), &stat, &err));
    return stat;
}

bool rig_absent(struct rig *r, const char *path)
{
    struct store_stat stat;
    return r->files->ops->head(r->files, key_of(path), &stat, NULL) == -ENOENT;
}

unsigned rig_uploads(struct rig *r)
{
    return uploads_below(r->files, "");
}

uint8_t *rig_bytes(struct rig *r, const char *path, size_t *out_len)
{
    struct store_stat stat = rig_stat(r, path);
    uint8_t *bytes = malloc(stat.size);
    assert_non_null(bytes);
    OK(r->files->ops->get(r->files, key_of(path), stat.etag, 0, stat.size, bytes, out_len, NULL,
                          &err));
    assert_int_equal(*out_len, stat.size);
    return bytes;
}

struct memory_body {
    struct source source;
    const uint8_t *bytes;
};

static int body_read(struct source *source, uint64_t off, void *out, size_t len, struct err *err)
{
    (void)err;
    memcpy(out, ((struct memory_body *)source)->bytes + off, len);
    return 0;
}

void rig_put(struct rig *r, const char *path, const uint8_t *bytes, size_t len)
{
    static const struct source_ops ops = {.read_at = body_read};
    struct memory_body body = {.source = {.ops = &ops, .size = len}, .bytes = bytes};
    OK(r->files->ops->put(r->files, key_of(path), &body.source, NULL, NULL, &err));
}

void rig_remount(struct rig *r)
{
    unsigned aborted = 0;
    journal_close(r->journal);
    OK(journal_recover(r->state, r->files, &aborted, &err));
    OK(journal_open(r->state, &r->journal, &err));
    r->env.upload.journal = r->journal;
}
