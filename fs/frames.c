#include "fs/frames.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct frames {
    size_t capacity;
    size_t blocks;
    size_t bucket_count; // a power of two
    struct frame **buckets;
    struct frame lru; // the ring's head: .hotter is the coldest frame, .colder the hottest
};

static void ring_out(struct frame *f)
{
    if (!f->hotter)
        return;
    f->hotter->colder = f->colder;
    f->colder->hotter = f->hotter;
    f->hotter = f->colder = NULL;
}

static void ring_in_cold(struct frames *fs, struct frame *f)
{
    f->colder = &fs->lru;
    f->hotter = fs->lru.hotter;
    f->hotter->colder = f;
    fs->lru.hotter = f;
}

static void ring_in_hot(struct frames *fs, struct frame *f)
{
    f->hotter = &fs->lru;
    f->colder = fs->lru.colder;
    f->colder->hotter = f;
    fs->lru.colder = f;
}

static struct frame **bucket_of(struct frames *fs, uint64_t owner, uint64_t number)
{
    uint64_t hash = (owner * 0x9e3779b97f4a7c15u + number) * 0xbf58476d1ce4e5b9u;
    return &fs->buckets[(hash >> 32) & (fs->bucket_count - 1)];
}

int frames_new(size_t capacity, struct frames **out, struct err *err)
{
    struct frames *fs = calloc(1, sizeof(*fs));
    if (!fs)
        return err_errno(err, ENOMEM, "make the cache of frames");
    fs->capacity = capacity;
    fs->bucket_count = 64;
    while (fs->bucket_count < 2 * capacity)
        fs->bucket_count *= 2;
    fs->lru.hotter = fs->lru.colder = &fs->lru;
    fs->buckets = calloc(fs->bucket_count, sizeof(struct frame *));
    if (!fs->buckets) {
        frames_free(fs);
        return err_errno(err, ENOMEM, "make the cache of frames");
    }
    *out = fs;
    return 0;
}

void frames_free(struct frames *fs)
{
    if (!fs)
        return;
    while (fs->lru.hotter != &fs->lru) {
        assert(fs->lru.hotter->pins == 0);
        frames_drop(fs, fs->lru.hotter);
    }
    for (size_t i = 0; fs->buckets && i < fs->bucket_count; i++)
        assert(!fs->buckets[i]); // nothing loads
    assert(fs->blocks == 0);
    free(fs->buckets);
    free(fs);
}

size_t frames_capacity(const struct frames *fs)
{
    return fs->capacity;
}

size_t frames_blocks(const struct frames *fs)
{
    return fs->blocks;
}

struct frame *frames_find(struct frames *fs, uint64_t owner, uint64_t number)
{
    struct frame *f = *bucket_of(fs, owner, number);
    while (f && (f->owner != owner || f->number != number))
        f = f->next_in_bucket;
    return f;
}

struct frame *frames_add(struct frames *fs, uint64_t owner, uint64_t number, uint32_t len,
                         void *loader)
{
    assert(!frames_find(fs, owner, number));
    struct frame *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->owner = owner;
    f->number = number;
    f->state = FRAME_LOADING;
    f->len = len;
    f->pins = 1;
    f->loader = loader;
    pthread_cond_init(&f->settled, NULL);
    struct frame **bucket = bucket_of(fs, owner, number);
    f->next_in_bucket = *bucket;
    *bucket = f;
    f->in_table = true;
    return f;
}

static void table_out(struct frames *fs, struct frame *f)
{
    if (!f->in_table)
        return;
    struct frame **link = bucket_of(fs, f->owner, f->number);
    while (*link != f)
        link = &(*link)->next_in_bucket;
    *link = f->next_in_bucket;
    f->in_table = false;
    ring_out(f);
}

static void free_if_done(struct frames *fs, struct frame *f)
{
    if (f->in_table || f->pins > 0)
        return;
    if (f->block) {
        fs->blocks--;
        block_put(f->block);
    }
    pthread_cond_destroy(&f->settled);
    free(f);
}

struct block *frames_reuse(struct frames *fs, bool coldest)
{
    struct frame *f = fs->lru.hotter;
    while (f != &fs->lru && f->pins > 0 && (coldest || f->spent))
        f = f->hotter;
    if (f == &fs->lru || f->pins > 0 || (!coldest && !f->spent))
        return NULL;
    struct block *block = f->block;
    f->block = NULL;
    frames_drop(fs, f);
    return block;
}

bool frames_grant(struct frames *fs)
{
    if (fs->blocks >= fs->capacity)
        return false;
    fs->blocks++;
    return true;
}

void frames_ungrant(struct frames *fs)
{
    assert(fs->blocks > 0);
    fs->blocks--;
}

struct block *frames_reclaim(struct frames *fs)
{
    struct block *block = frames_reuse(fs, true);
    if (block)
        frames_ungrant(fs);
    return block;
}

void frames_ready(struct frames *fs, struct frame *f, struct block *block)
{
    assert(f->state == FRAME_LOADING);
    f->state = FRAME_READY;
    f->loader = NULL;
    f->block = block;
    f->bytes = block_memory(block);
    assert(f->bytes);
    ring_in_hot(fs, f);
    pthread_cond_broadcast(&f->settled);
    frames_unpin(fs, f);
}

void frames_failed(struct frames *fs, struct frame *f, const struct err *err)
{
    assert(f->state == FRAME_LOADING);
    f->state = FRAME_FAILED;
    f->loader = NULL;
    f->again = !err;
    if (err)
        f->err = *err;
    table_out(fs, f);
    pthread_cond_broadcast(&f->settled);
    frames_unpin(fs, f);
}

void frames_lend(struct frames *fs, struct frame *f, const uint8_t *bytes)
{
    assert(f->state == FRAME_LOADING);
    f->state = FRAME_READY;
    f->loader = NULL;
    f->bytes = bytes;
    table_out(fs, f);
    pthread_cond_broadcast(&f->settled);
}

void frames_pin(struct frame *f)
{
    f->pins++;
}

void frames_unpin(struct frames *fs, struct frame *f)
{
    assert(f->pins > 0);
    f->pins--;
    if (frames_is_lent(f) && f->pins == 1)
        pthread_cond_broadcast(&f->settled); // its lender waits for this
    free_if_done(fs, f);
}

void frames_read(struct frames *fs, struct frame *f, size_t len, bool in_order)
{
    f->read_bytes += len;
    f->spent = in_order && f->read_bytes >= f->len;
    if (!f->in_table || f->state != FRAME_READY)
        return;
    ring_out(f);
    if (f->spent)
        ring_in_cold(fs, f);
    else
        ring_in_hot(fs, f);
}

bool frames_is_lent(const struct frame *f)
{
    return f->state == FRAME_READY && !f->block;
}

bool frames_spent(const struct frame *f)
{
    return f->spent;
}

void frames_drop(struct frames *fs, struct frame *f)
{
    table_out(fs, f);
    free_if_done(fs, f);
}

void frames_purge(struct frames *fs, uint64_t owner)
{
    struct frame *f = fs->lru.hotter;
    while (f != &fs->lru) {
        struct frame *next = f->hotter;
        if (f->owner == owner)
            frames_drop(fs, f);
        f = next;
    }
}
