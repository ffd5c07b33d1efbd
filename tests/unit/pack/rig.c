#include "tests/unit/pack/rig.h"

#include "backend/base/crypto.h"
#include "backend/base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void rig_init(struct rig *r, const struct rig_conf *conf)
{
    *r = (struct rig){0};
    struct err err = {0};
    struct blocks_conf blocks = {
        .memory_bytes = conf->memory_bytes ? conf->memory_bytes : 64 * MIB,
        .spool_dir = "/tmp",
        .spool_max_bytes = conf->spool_bytes ? conf->spool_bytes : 128 * MIB,
    };
    if (blocks_new(&blocks, &r->env.blocks, &err) < 0 ||
        workers_new("pack", RIG_THREADS, 4, &r->env.packers, &err) < 0)
        fail_msg("%s", err.text);
    r->env.packer_count = RIG_THREADS;
    r->env.level = conf->level ? conf->level : 1;
    r->env.head_bytes = conf->head_bytes;
    r->store.front_align = conf->front_align ? conf->front_align : 1;
    r->store.front_min = conf->front_min;
    r->store.fail_at = conf->fail_at;
    if (packer_new(&r->env, check_sink_new(&r->store), &r->packer, &err) < 0)
        fail_msg("%s", err.text);
}

void rig_done(struct rig *r)
{
    packer_free(r->packer);
    assert_true(r->store.freed);
    check_store_done(&r->store);
    workers_free(r->env.packers);
    blocks_free(r->env.blocks);
}

uint8_t *make_bytes(enum kind kind, size_t len)
{
    static const char *const words[] = {"INSERT INTO ", "orders ",  "VALUES (",    "customer",
                                        "2026-11-22 ",  "03:15:00", "NULL, TRUE)", ";\n"};
    uint8_t *bytes = calloc(1, len + 16);
    assert_non_null(bytes);
    uint64_t x = 88172645463325252u;
    for (size_t i = 0; kind != KIND_ZEROS && i < len;) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        if (kind == KIND_RANDOM) {
            put_le64(bytes + i, x);
            i += 8;
            continue;
        }
        const char *word = words[x % 8];
        for (size_t k = 0; word[k] && i < len; k++)
            bytes[i++] = (uint8_t)word[k];
    }
    return bytes;
}

void rig_write(struct rig *r, const uint8_t *bytes, size_t len, size_t piece)
{
    struct err err = {0};
    for (size_t off = 0; off < len; off += piece)
        if (packer_write(r->packer, bytes + off, min_u64(piece, len - off), &err) < 0)
            fail_msg("packer_write: %s", err.text);
    assert_true(packer_size(r->packer) >= len);
}

void rig_rewrite(struct rig *r, uint64_t off, const void *bytes, size_t len)
{
    struct err err = {0};
    if (packer_rewrite(r->packer, off, bytes, len, &err) < 0)
        fail_msg("packer_rewrite: %s", err.text);
}

// FORMAT.md 3.4 said in another way than in digest.c.
static void digest_of(const uint8_t *plain, size_t len, uint8_t out[32])
{
    struct sha256 *whole = sha256_new(), *gib = sha256_new();
    uint8_t sha[32];
    for (size_t off = 0; off < len; off += MIB) {
        sha256(plain + off, min_u64(MIB, len - off), sha);
        sha256_update(gib, sha, 32);
        if ((off + MIB) % GIB == 0 || off + MIB >= len) {
            sha256_final(gib, sha);
            sha256_update(whole, sha, 32);
        }
    }
    sha256_final(whole, out);
    sha256_free(whole);
    sha256_free(gib);
}

static void read_frames(const struct pack_index *index, const uint8_t *object, const uint8_t *plain,
                        size_t len)
{
    struct err err = {0};
    struct pack_decoder *decoder = NULL;
    uint8_t *out = malloc(PACK_FRAME_BYTES);
    assert_int_equal(pack_decoder_new(&decoder, &err), 0);
    uint64_t frames = pack_index_frames(index);
    assert_int_equal(frames, div_up_u64(len, PACK_FRAME_BYTES));
    size_t at = 0;
    for (uint64_t i = 0; i < frames; i++) {
        struct pack_span span = pack_index_span(index, i);
        assert_true(span.plain_len == min_u64(PACK_FRAME_BYTES, len - at));
        if (pack_decode(decoder, object + span.packed_off, &span, out, &err) < 0)
            fail_msg("frame %u: %s", (unsigned)i, err.text);
        assert_memory_equal(out, plain + at, span.plain_len);
        at += span.plain_len;
    }
    assert_int_equal(at, len);
    pack_decoder_free(decoder);
    free(out);
}

void rig_commit(struct rig *r, const uint8_t *plain, size_t len)
{
    struct err err = {0};
    struct pack_trailer trailer = {
        .complete = 1, .path = (char[]){"db1/2026-11-22/orders.sql"}, .version = (char[]){"test"}};
    memset(trailer.salt, 0x5a, sizeof(trailer.salt));
    if (packer_commit(r->packer, &trailer, &err) < 0)
        fail_msg("packer_commit: %s", err.text);
    assert_true(r->store.committed);
    uint8_t digest[32];
    digest_of(plain, len, digest);
    assert_memory_equal(trailer.digest, digest, 32);
    assert_int_equal(trailer.size, len);
    assert_int_equal(packer_packed(r->packer), len);

    struct source *source = bytes_source_new(r->store.object, r->store.object_len);
    struct pack_index *index = NULL;
    if (pack_index_read(source, &index, &err) < 0)
        fail_msg("pack_index_read: %s", err.text);
    const struct pack_trailer *read = pack_index_trailer(index);
    assert_memory_equal(read->digest, digest, 32);
    assert_memory_equal(read->salt, trailer.salt, 32);
    assert_int_equal(read->size, len);
    assert_int_equal(read->complete, 1);
    assert_string_equal(read->path, trailer.path);
    assert_string_equal(read->version, trailer.version);
    read_frames(index, r->store.object, plain, len);
    pack_index_free(index);
    source_free(source);
}

void rig_check_zstd(struct rig *r, const uint8_t *plain, size_t len)
{
    char dir[] = "/tmp/bakfs-pack-XXXXXX", object[64], command[128];
    assert_non_null(mkdtemp(dir));
    snprintf(object, sizeof(object), "%s/o.zst", dir);
    FILE *f = fopen(object, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(r->store.object, 1, r->store.object_len, f), r->store.object_len);
    assert_int_equal(fclose(f), 0);
    snprintf(command, sizeof(command), "zstd -q -d -c %s", object);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    uint8_t *out = malloc(len + 1);
    assert_non_null(out);
    assert_int_equal(fread(out, 1, len + 1, pipe), len);
    assert_int_equal(pclose(pipe), 0);
    assert_memory_equal(out, plain, len);
    free(out);
    unlink(object);
    rmdir(dir);
}
