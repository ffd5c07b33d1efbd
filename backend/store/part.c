#include "backend/store/part.h"

#include "backend/base/num.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void part_free(struct part *part)
{
    if (!part)
        return;
    for (size_t i = 0; i < part->count; i++)
        block_put(part->blocks[i]);
    free(part->blocks);
    free(part);
}

static int part_read_at(struct source *source, uint64_t off, void *out, size_t len, struct err *err)
{
    const struct part *part = (const struct part *)source;
    uint8_t *to = out;
    while (len > 0) {
        struct block *block = part->blocks[off / BLOCK_BYTES];
        size_t at = (size_t)(off % BLOCK_BYTES);
        size_t n = min_u64(len, BLOCK_BYTES - at);
        const uint8_t *memory = block_memory(block);
        if (memory) {
            memcpy(to, memory + at, n);
        } else {
            int rc = block_read(block, at, to, n, err);
            if (rc < 0)
                return rc;
        }
        to += n;
        off += n;
        len -= n;
    }
    return 0;
}

static void part_source_free(struct source *source)
{
    part_free((struct part *)source);
}

static const struct source_ops part_ops = {.read_at = part_read_at, .free = part_source_free};

struct part *part_new(struct blocks *pool, struct upload *owner, unsigned number, uint64_t off)
{
    struct part *part = calloc(1, sizeof(*part));
    if (!part)
        return NULL;
    part->source.ops = &part_ops;
    part->owner = owner;
    part->pool = pool;
    part->number = number;
    part->off = off;
    return part;
}

static int part_add_block(struct part *part, struct err *err)
{
    if (part->count == part->room) {
        size_t room = part->room ? 2 * part->room : 16;
        struct block **blocks = reallocarray(part->blocks, room, sizeof(struct block *));
        if (!blocks)
            return err_set(err, ENOMEM, "out of memory");
        part->blocks = blocks;
        part->room = room;
    }
    struct block *block;
    int rc = block_get(part->pool, BLOCK_WORKER, &block, err);
    if (rc < 0)
        return rc;
    part->blocks[part->count++] = block;
    return 0;
}

int part_append(struct part *part, const uint8_t *bytes, size_t len, struct err *err)
{
    while (len > 0) {
        size_t at = (size_t)(part->source.size % BLOCK_BYTES);
        int rc = part->source.size == part->count * BLOCK_BYTES ? part_add_block(part, err) : 0;
        if (rc < 0)
            return rc;
        struct block *block = part->blocks[part->count - 1];
        size_t n = min_u64(len, BLOCK_BYTES - at);
        uint8_t *memory = block_memory(block);
        if (memory)
            memcpy(memory + at, bytes, n);
        else
            rc = block_write(block, at, bytes, n, err);
        if (rc < 0)
            return rc;
        part->source.size += n;
        bytes += n;
        len -= n;
    }
    return 0;
}

void part_leaves(struct part *part)
{
    for (size_t i = 0; i < part->count; i++)
        block_set_phase(part->blocks[i], BLOCK_UPLOADING);
}

uint64_t part_size(const struct part *part)
{
    return part ? part->source.size : 0;
}

static int pair_read_at(struct source *source, uint64_t off, void *out, size_t len, struct err *err)
{
    struct part_pair *pair = (struct part_pair *)source;
    uint8_t *to = out;
    for (int i = 0; i < 2; i++) {
        uint64_t size = part_size(pair->parts[i]);
        if (off >= size) {
            off -= size;
            continue;
        }
        size_t n = min_u64(len, size - off);
        int rc = source_read_at(&pair->parts[i]->source, off, to, n, err);
        if (rc < 0)
            return rc;
        to += n;
        len -= n;
        off = 0;
    }
    return 0;
}

static void pair_free(struct source *source)
{
    (void)source; // no memory of its own
}

static const struct source_ops pair_ops = {.read_at = pair_read_at, .free = pair_free};

struct part_pair part_pair_of(struct part *first, struct part *second)
{
    return (struct part_pair){
        .source = {.ops = &pair_ops, .size = part_size(first) + part_size(second)},
        .parts = {first, second},
    };
}
