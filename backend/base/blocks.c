#include "backend/base/blocks.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/base/spool.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BLOCKS_MIN 8
// Pages that an idle pool keeps; above that they go back to the system when the last block in memory comes back.
#define IDLE_BLOCKS 16

struct block {
    struct blocks *pool;
    uint8_t *memory; // NULL: in the spool
    uint32_t slot;
    enum block_user user;
    enum block_phase phase;
};

struct tally { // of the blocks in memory, or of those in the spool
    uint64_t used, packing, uploading;
};

struct pages { // stands in the first bytes of free memory
    struct pages *next;
};

struct blocks {
    uint64_t capacity_bytes;
    struct spool *spool;

    pthread_mutex_t lock; // members below are under it
    pthread_cond_t changed;
    bool (*reclaim)(void *ctx);
    void *reclaim_ctx;
    struct tally memory, spooled;
    uint64_t heads; // blocks in memory of BLOCK_HEAD
    uint64_t puts;  // blocks that came back, counted
    uint64_t reserved_bytes;
    uint64_t memory_peak_bytes, spool_peak_bytes;
    struct pages *free_pages;
    uint64_t free_count;
};

int blocks_new(const struct blocks_conf *conf, struct blocks **out, struct err *err)
{
    struct blocks *b = calloc(1, sizeof(*b));
    if (!b)
        return err_set(err, ENOMEM, "no memory for the block pool");
    int rc = spool_new(conf, &b->spool, err);
    if (rc < 0) {
        free(b);
        return rc;
    }
    b->capacity_bytes = max_u64(conf->memory_bytes / BLOCK_BYTES, (uint64_t)BLOCKS_MIN) *
                        BLOCK_BYTES;
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    *out = b;
    return 0;
}

static void free_pages(struct pages *list)
{
    while (list) {
        struct pages *next = list->next;
        munmap(list, BLOCK_BYTES);
        list = next;
    }
}

void blocks_free(struct blocks *b)
{
    if (!b)
        return;
    assert(b->memory.used == 0 && b->spooled.used == 0 && b->reserved_bytes == 0);
    free_pages(b->free_pages);
    spool_free(b->spool);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

struct blocks_usage blocks_usage(struct blocks *b)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&b->lock);
    return (struct blocks_usage){
        .memory_bytes = b->memory.used * BLOCK_BYTES + b->reserved_bytes,
        .memory_peak_bytes = b->memory_peak_bytes,
        .spool_bytes = b->spooled.used * BLOCK_BYTES,
        .spool_peak_bytes = b->spool_peak_bytes,
    };
}

void blocks_set_reclaim(struct blocks *b, bool (*reclaim)(void *ctx), void *ctx)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&b->lock);
    b->reclaim = reclaim;
    b->reclaim_ctx = ctx;
}

// --- Under the lock ---

static uint64_t memory_used_bytes(const struct blocks *b)
{
    return b->memory.used * BLOCK_BYTES + b->reserved_bytes;
}

static bool heads_may_grow(const struct blocks *b)
{
    return b->heads < b->capacity_bytes / BLOCK_BYTES / 2;
}

static bool memory_is_free(const struct blocks *b, enum block_user user)
{
    return user != BLOCK_DRAFT && b->capacity_bytes - memory_used_bytes(b) >= BLOCK_BYTES &&
           (user != BLOCK_HEAD || heads_may_grow(b));
}

// Blocks of this kind whose coming back `user` may wait for.
static uint64_t coming_back(const struct tally *t, enum block_user user)
{
    return user == BLOCK_WRITER ? t->uploading + t->packing : t->uploading;
}

// Is it worth waiting instead of taking a spool slot?
static bool waits_for_memory(const struct blocks *b, enum block_user user)
{
    return user != BLOCK_HEAD && user != BLOCK_DRAFT && coming_back(&b->memory, user) > 0;
}

// The spool is full as well: does anything come back by itself that this user could take?
static bool waits_for_anything(const struct blocks *b, enum block_user user)
{
    return coming_back(&b->spooled, user) > 0 ||
           (user != BLOCK_DRAFT && coming_back(&b->memory, user) > 0 &&
            (user != BLOCK_HEAD || heads_may_grow(b)));
}

static void count_phase(struct tally *t, enum block_phase phase, int by)
{
    if (phase == BLOCK_PACKING)
        t->packing += (uint64_t)by;
    else if (phase == BLOCK_UPLOADING)
        t->uploading += (uint64_t)by;
}

static struct tally *tally_of(const struct block *block)
{
    return block->memory ? &block->pool->memory : &block->pool->spooled;
}

static int take_memory(struct blocks *b, struct block *block, struct err *err)
{
    if (b->free_pages) {
        block->memory = (uint8_t *)b->free_pages;
        b->free_pages = b->free_pages->next;
        b->free_count--;
    } else {
        void *p =
            mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return err_errno(err, errno, "no memory for a block of 1 MiB");
        block->memory = p;
    }
    b->memory.used++;
    if (block->user == BLOCK_HEAD)
        b->heads++;
    b->memory_peak_bytes = max_u64(b->memory_peak_bytes, memory_used_bytes(b));
    return 0;
}

static int out_of_room(const struct blocks *b, enum block_user user, const struct err *why,
                       struct err *err)
{
    if (user == BLOCK_DRAFT)
        return err_set(err, ENOSPC, "no room for a file that is not written in order: %s",
                       why->text);
    return err_set(err, ENOSPC,
                   "no room for data on its way to the store: the %" PRIu64
                   " MiB of [limits] memory are in use, and %s",
                   b->capacity_bytes / MIB, why->text);
}

// Tries the spool, which is a disk: without the lock.
static int take_slot(struct blocks *b, struct block *block, struct err *err)
{
    pthread_mutex_unlock(&b->lock);
    int rc = spool_take(b->spool, &block->slot, err);
    pthread_mutex_lock(&b->lock);
    if (rc == 0) {
        b->spooled.used++;
        b->spool_peak_bytes = max_u64(b->spool_peak_bytes, b->spooled.used * BLOCK_BYTES);
    }
    return rc;
}

static bool ask_reclaim(struct blocks *b)
{
    bool (*reclaim)(void *ctx) = b->reclaim;
    void *ctx = b->reclaim_ctx;
    if (!reclaim)
        return false;
    pthread_mutex_unlock(&b->lock);
    bool freed = reclaim(ctx);
    pthread_mutex_lock(&b->lock);
    return freed;
}

// The table of blocks.h. Whatever was done without the lock, memory is looked at again before waiting.
static int place(struct blocks *b, struct block *block, struct err *err)
{
    bool reclaimed = false, spool_full = false;
    struct err why = {0};
    for (;;) {
        if (memory_is_free(b, block->user))
            return take_memory(b, block, err);
        if (block->user == BLOCK_CACHE)
            return err_set(err, ENOMEM, "no memory is free for a cached frame");
        // Dropping cached frames gives a head nothing when heads are at their bound.
        if (!reclaimed && block->user != BLOCK_DRAFT &&
            (block->user != BLOCK_HEAD || heads_may_grow(b))) {
            reclaimed = !ask_reclaim(b);
            continue;
        }
        bool wait = waits_for_memory(b, block->user);
        if (!wait && !spool_full) {
            uint64_t puts = b->puts;
            int rc = take_slot(b, block, &why);
            if (rc == 0)
                return 0;
            if (rc != -ENOSPC)
                return err_copy(err, &why);
            spool_full = b->puts == puts; // else one came back while the spool was asked
            continue;
        }
        if (!wait && !waits_for_anything(b, block->user))
            return out_of_room(b, block->user, &why, err);
        pthread_cond_wait(&b->changed, &b->lock);
        reclaimed = spool_full = false;
    }
}

// --- Blocks ---

int block_get(struct blocks *b, enum block_user user, struct block **out, struct err *err)
{
    struct block *block = calloc(1, sizeof(*block));
    if (!block)
        return err_set(err, ENOMEM, "no memory for a block");
    block->pool = b;
    block->user = user;
    block->phase = BLOCK_HELD;
    pthread_mutex_lock(&b->lock);
    int rc = place(b, block, err);
    pthread_mutex_unlock(&b->lock);
    if (rc < 0) {
        free(block);
        return rc;
    }
    *out = block;
    return 0;
}

// Returns pages to give back to the system once the lock is left.
static struct pages *put_memory(struct blocks *b, struct block *block)
{
    struct pages *pages = (struct pages *)(void *)block->memory;
    pages->next = b->free_pages;
    b->free_pages = pages;
    b->free_count++;
    b->memory.used--;
    if (block->user == BLOCK_HEAD)
        b->heads--;
    if (b->memory.used > 0 || b->free_count <= IDLE_BLOCKS)
        return NULL;
    for (uint64_t kept = 1; kept < IDLE_BLOCKS; kept++)
        pages = pages->next;
    struct pages *rest = take(pages->next);
    b->free_count = IDLE_BLOCKS;
    return rest;
}

void block_put(struct block *block)
{
    if (!block)
        return;
    int saved = errno;
    struct blocks *b = block->pool;
    if (!block->memory)
        spool_put(b->spool, block->slot); // before it counts as free: whoever waits may take it
    pthread_mutex_lock(&b->lock);
    b->puts++;
    count_phase(tally_of(block), block->phase, -1);
    struct pages *rest = NULL;
    if (block->memory)
        rest = put_memory(b, block);
    else
        b->spooled.used--;
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
    free_pages(rest);
    free(block);
    errno = saved;
}

void block_set_phase(struct block *block, enum block_phase phase)
{
    struct blocks *b = block->pool;
    auto_unlock pthread_mutex_t *held = scope_lock(&b->lock);
    count_phase(tally_of(block), block->phase, -1);
    count_phase(tally_of(block), phase, 1);
    block->phase = phase;
    // Whoever waited for it may have nothing left to wait for.
    pthread_cond_broadcast(&b->changed);
}

uint8_t *block_memory(struct block *block)
{
    return block->memory;
}

int block_read(struct block *block, size_t off, void *out, size_t len, struct err *err)
{
    assert(off <= BLOCK_BYTES && len <= BLOCK_BYTES - off);
    if (!block->memory)
        return spool_read(block->pool->spool, block->slot, off, out, len, err);
    memcpy(out, block->memory + off, len);
    return 0;
}

int block_write(struct block *block, size_t off, const void *bytes, size_t len, struct err *err)
{
    assert(off <= BLOCK_BYTES && len <= BLOCK_BYTES - off);
    if (!block->memory)
        return spool_write(block->pool->spool, block->slot, off, bytes, len, err);
    memcpy(block->memory + off, bytes, len);
    return 0;
}

bool blocks_reserve(struct blocks *b, uint64_t bytes)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&b->lock);
    if (bytes > b->capacity_bytes - memory_used_bytes(b))
        return false;
    b->reserved_bytes += bytes;
    b->memory_peak_bytes = max_u64(b->memory_peak_bytes, memory_used_bytes(b));
    return true;
}

void blocks_unreserve(struct blocks *b, uint64_t bytes)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&b->lock);
    assert(bytes <= b->reserved_bytes);
    b->reserved_bytes -= bytes;
    pthread_cond_broadcast(&b->changed);
}
