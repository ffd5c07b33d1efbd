// Writes objects of every edge size into a directory store, for test_written.py to read with other tools.
//     write_objects STORE RECIPIENT...
// A line for each: path, size, SHA-256 of the plain bytes.
#include "backend/base/crypto.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/object.h"
#include "backend/store/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECIPIENTS_MAX 4
#define MEMORY (64 * MIB)

struct room {
    struct store *store;
    struct blocks *blocks;
    struct workers *packers, *uploaders;
    struct recipient recipients[RECIPIENTS_MAX];
    size_t recipient_count;
};

enum content { ZEROS, TEXT, NOISE };
static const char *const content_names[] = {"zeros", "text", "noise"};

static void check(int rc, const struct err *err)
{
    if (rc) {
        fprintf(stderr, "write_objects: %s\n", err->text);
        exit(1);
    }
}

static void open_room(struct room *room, const char *path)
{
    struct err err;
    const struct blocks_conf conf = {.memory_bytes = MEMORY,
                                     .spool_dir = path,
                                     .spool_max_bytes = 256 * MIB,
                                     .spool_keep_free_percent = 0};
    check(store_dir_new(path, &room->store, &err), &err);
    check(blocks_new(&conf, &room->blocks, &err), &err);
    check(workers_new("pack", 2, 64, &room->packers, &err), &err);
    check(workers_new("upload", 2, 64, &room->uploaders, &err), &err);
}

static void close_room(struct room *room)
{
    workers_free(room->packers);
    workers_free(room->uploaders);
    blocks_free(room->blocks);
    store_free(room->store);
}

static uint8_t *make(enum content content, uint64_t size)
{
    static const char text[] = "INSERT INTO orders VALUES (17, 'three', NULL);\n";
    uint8_t *bytes = malloc(size + 1);
    if (!bytes)
        abort();
    uint64_t x = size * 2 + 1; // xorshift
    for (uint64_t i = 0; i < size; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        bytes[i] = content == ZEROS  ? 0
                   : content == TEXT ? (uint8_t)text[i % (sizeof(text) - 1)]
                                     : (uint8_t)x;
    }
    return bytes;
}

static void tell(const char *path, const uint8_t *plain, uint64_t size)
{
    uint8_t sum[SHA256_BYTES];
    sha256(plain, size, sum);
    printf("%s %llu ", path, (unsigned long long)size);
    for (size_t i = 0; i < sizeof(sum); i++)
        printf("%02x", sum[i]);
    printf("\n");
}

static void write_one(const struct room *room, enum content content, uint64_t size, uint64_t head,
                      size_t step, bool rewrite)
{
    const struct object_env env = {
        .upload = {.store = room->store,
                   .blocks = room->blocks,
                   .uploaders = room->uploaders,
                   .part_max = plan_part_max(MEMORY)},
        .pack = {.blocks = room->blocks,
                 .packers = room->packers,
                 .packer_count = 2,
                 .level = 3,
                 .head_bytes = head},
        .recipients = room->recipients,
        .recipient_count = room->recipient_count,
    };
    char path[256];
    struct err err;
    struct object_writer *w;
    snprintf(path, sizeof(path), "db1/2026-11-22/%s/%llu-%llu-%zu-%d", content_names[content],
             (unsigned long long)size, (unsigned long long)head, step, rewrite);
    check(object_create(&env, path, NULL, NULL, &w, &err), &err);
    auto_free uint8_t *plain = make(content, size);
    for (uint64_t off = 0; off < size;) {
        size_t len = (size_t)min_u64(step, size - off);
        check(packer_write(object_writer_packer(w), plain + off, len, &err), &err);
        off += len;
    }
    if (rewrite) { // as pg_dump does with its table of contents
        memcpy(plain + 131, "REWRITTEN", 9);
        check(packer_rewrite(object_writer_packer(w), 131, plain + 131, 9, &err), &err);
    }
    const struct object_times times = {.mtime = {.tv_sec = 1795317300, .tv_nsec = 123456789},
                                       .committed = {.tv_sec = 1795317402, .tv_nsec = 1},
                                       .complete = SEAL_COMPLETE_YES};
    struct object_info info;
    check(object_writer_commit(w, &times, &info, &err), &err);
    object_writer_free(w);
    tell(path, plain, size);
}

int main(int argc, char **argv)
{
    static const uint64_t sizes[] = {
        0,           1,           7,           64 * KIB - 1, 64 * KIB,    64 * KIB + 1,
        MIB - 1,     MIB,         MIB + 1,     2 * MIB,      4 * MIB - 1, 4 * MIB,
        4 * MIB + 1, 5 * MIB,     8 * MIB + 1, 16 * MIB - 1, 16 * MIB,    16 * MIB + 1,
        17 * MIB,    20 * MIB + 5};
    struct room room = {0};
    struct err err;
    if (argc < 3 || argc > 2 + RECIPIENTS_MAX) {
        fprintf(stderr, "usage: write_objects STORE RECIPIENT...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++)
        check(recipient_parse(argv[i], &room.recipients[room.recipient_count++], &err), &err);
    open_room(&room, argv[1]);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (enum content c = ZEROS; c <= NOISE; c++)
            write_one(&room, c, sizes[i], 16 * MIB, MIB, false);
    // small heads leave gaps; odd steps cross every edge
    for (enum content c = ZEROS; c <= NOISE; c++) {
        write_one(&room, c, 3 * MIB + 17, MIB, 4093, false);
        write_one(&room, c, 3 * MIB + 17, MIB, 4093, true);
        write_one(&room, c, 9 * MIB, 2 * MIB, 65537, true);
        write_one(&room, c, 5000, MIB, 1, true);
        write_one(&room, c, 3 * MIB, 0, MIB, false);
    }
    close_room(&room);
    return 0;
}
