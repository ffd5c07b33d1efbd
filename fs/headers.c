#include "fs/headers.h"

#include "backend/base/crypto.h"
#include "backend/base/log.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

// A record: magic 8, id 32, then the header's fields, then zeros, then SHA-256 over all that.
#define MAGIC "bakfshd1"
#define ID_BYTES SHA256_BYTES
#define ID_OFF 8
#define FIELDS_OFF (ID_OFF + ID_BYTES)
#define SUM_OFF (HEADERS_RECORD_BYTES - SHA256_BYTES)
#define BATCH 256      // records in memory that are not in the file yet: then they are written
#define BATCH_MAX 8192 // the most that gathers behind a slow write (1.5 MiB)
#define READ_MANY 512  // records read at once

static_assert(FIELDS_OFF + 104 <= SUM_OFF, "a record has room for its fields");

#define NONE UINT32_MAX

struct slot {
    uint8_t id[ID_BYTES];
    uint64_t stored_size;
    struct seal_header header;
    uint32_t next; // of the same bucket
    bool used;
};

struct headers {
    char *path; // of the file, NULL: none
    char *store_id;
    unsigned max_entries;
    pthread_mutex_t lock;
    // below: under lock
    struct slot *slots; // a ring: the oldest is overwritten first; grows up to max_entries
    uint32_t slot_count, next_slot;
    uint32_t *buckets;
    uint32_t bucket_count; // a power of two
    uint8_t *batch;        // records not written yet
    unsigned batched, batch_room;
    bool writing; // somebody is at the file
};

// --- Records ---

static void put_time(uint8_t *p, struct timespec t)
{
    put_le64(p, (uint64_t)t.tv_sec);
    put_le32(p + 8, (uint32_t)t.tv_nsec);
}

static struct timespec get_time(const uint8_t *p)
{
    return (struct timespec){.tv_sec = (time_t)get_le64(p), .tv_nsec = (long)get_le32(p + 8)};
}

static void encode(const struct slot *slot, uint8_t out[HEADERS_RECORD_BYTES])
{
    const struct seal_header *h = &slot->header;
    memset(out, 0, HEADERS_RECORD_BYTES);
    memcpy(out, MAGIC, ID_OFF);
    memcpy(out + ID_OFF, slot->id, ID_BYTES);
    uint8_t *p = out + FIELDS_OFF;
    put_le64(p, slot->stored_size);
    put_le32(p + 8, (uint32_t)h->state);
    put_le32(p + 12, (uint32_t)h->len);
    put_le32(p + 16, h->x25519_count);
    put_le32(p + 20, h->other_count);
    put_le64(p + 24, h->record.size);
    put_le32(p + 32, h->record.flags);
    put_time(p + 36, h->record.mtime);
    put_time(p + 48, h->record.committed);
    memcpy(p + 60, h->record.pathtag, SEAL_PATHTAG_BYTES);
    sha256(out, SUM_OFF, out + SUM_OFF);
}

static bool decode(const uint8_t *record, struct slot *out)
{
    uint8_t sum[SHA256_BYTES];
    if (memcmp(record, MAGIC, ID_OFF) != 0)
        return false;
    sha256(record, SUM_OFF, sum);
    if (memcmp(sum, record + SUM_OFF, SHA256_BYTES) != 0)
        return false;
    const uint8_t *p = record + FIELDS_OFF;
    uint32_t state = get_le32(p + 8);
    struct slot slot = {.stored_size = get_le64(p), .next = NONE, .used = true};
    memcpy(slot.id, record + ID_OFF, ID_BYTES);
    slot.header = (struct seal_header){
        .state = (enum seal_state)state,
        .len = get_le32(p + 12),
        .x25519_count = get_le32(p + 16),
        .other_count = get_le32(p + 20),
        .record = {.size = get_le64(p + 24),
                   .flags = get_le32(p + 32),
                   .mtime = get_time(p + 36),
                   .committed = get_time(p + 48)},
    };
    memcpy(slot.header.record.pathtag, p + 60, SEAL_PATHTAG_BYTES);
    const struct seal_record *r = &slot.header.record;
    if (state > SEAL_NEWER || slot.header.len == 0 || slot.header.len > SEAL_HEADER_MAX ||
        r->size > OBJECT_SIZE_MAX || r->mtime.tv_nsec > 999999999 ||
        r->committed.tv_nsec > 999999999)
        return false;
    *out = slot;
    return true;
}

static void make_id(const char *store_id, const char *key, const char *etag, uint8_t out[ID_BYTES])
{
    // each with its 0 byte, so that no two triples run together to the same bytes
    char text[sizeof(((struct store *)0)->id) + STORE_KEY_BYTES + 1 + STORE_ETAG_BYTES];
    size_t len = 0;
    const char *const parts[] = {store_id, key, etag};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(parts[i]) + 1;
        assert(len + n <= sizeof(text));
        memcpy(text + len, parts[i], n);
        len += n;
    }
    sha256(text, len, out);
}

// --- In memory; all under lock ---

static uint32_t *bucket_of(struct headers *h, const uint8_t id[ID_BYTES])
{
    return &h->buckets[get_le32(id) & (h->bucket_count - 1)];
}

static struct slot *find(struct headers *h, const uint8_t id[ID_BYTES])
{
    for (uint32_t i = *bucket_of(h, id); i != NONE; i = h->slots[i].next)
        if (memcmp(h->slots[i].id, id, ID_BYTES) == 0)
            return &h->slots[i];
    return NULL;
}

static void unlink_slot(struct headers *h, uint32_t index)
{
    uint32_t *link = bucket_of(h, h->slots[index].id);
    while (*link != index)
        link = &h->slots[*link].next;
    *link = h->slots[index].next;
    h->slots[index].used = false;
}

static bool grow(struct headers *h)
{
    if (h->next_slot < h->slot_count)
        return true;
    if (h->slot_count == h->max_entries) { // around the ring
        h->next_slot = 0;
        return true;
    }
    uint32_t count = h->slot_count ? h->slot_count * 2 : 256;
    if (count > h->max_entries)
        count = h->max_entries;
    struct slot *slots = reallocarray(h->slots, count, sizeof(*slots));
    if (!slots)
        return false;
    memset(slots + h->slot_count, 0, (count - h->slot_count) * sizeof(*slots));
    h->slots = slots;
    h->slot_count = count;
    return true;
}

static bool same_header(const struct seal_header *a, const struct seal_header *b)
{
    const struct seal_record *x = &a->record, *y = &b->record;
    return a->state == b->state && a->len == b->len && x->size == y->size && x->flags == y->flags &&
           x->mtime.tv_sec == y->mtime.tv_sec && x->mtime.tv_nsec == y->mtime.tv_nsec &&
           x->committed.tv_sec == y->committed.tv_sec &&
           memcmp(x->pathtag, y->pathtag, sizeof(x->pathtag)) == 0;
}

// True when it was not known before, or otherwise.
static bool insert(struct headers *h, const struct slot *slot)
{
    struct slot *known = find(h, slot->id);
    if (known) {
        bool same = same_header(&known->header, &slot->header);
        uint32_t next = known->next;
        *known = *slot;
        known->next = next;
        known->used = true;
        return !same;
    }
    if (!grow(h))
        return false; // a cache: what memory has no room for is fetched again
    uint32_t index = h->next_slot++;
    if (h->slots[index].used)
        unlink_slot(h, index);
    h->slots[index] = *slot;
    h->slots[index].used = true;
    uint32_t *bucket = bucket_of(h, slot->id);
    h->slots[index].next = *bucket;
    *bucket = index;
    return true;
}

// --- The file ---

static int lock_file(const char *path, int mode)
{
    for (;;) {
        auto_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        struct stat here, there;
        if (fd < 0 || flock(fd, mode) || fstat(fd, &here))
            return -errno;
        // another daemon may have put a new file in its place while we waited
        if (stat(path, &there) == 0 && here.st_ino == there.st_ino && here.st_dev == there.st_dev) {
            int locked = fd;
            fd = -1;
            return locked;
        }
    }
}

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static size_t read_all(int fd, uint8_t *bytes, size_t len, off_t off)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(fd, bytes + got, len - got, off + (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}

// Remembers what the newest `max_entries` records say.
static void load(struct headers *h)
{
    auto_fd int fd = lock_file(h->path, LOCK_SH);
    struct stat st;
    auto_free uint8_t *bytes = malloc((size_t)READ_MANY * HEADERS_RECORD_BYTES);
    if (fd < 0 || !bytes || fstat(fd, &st)) {
        log_debug("the header cache '%s' is not read: %s", h->path,
                  strerror(fd < 0 ? -fd : ENOMEM));
        return;
    }
    off_t records = st.st_size / HEADERS_RECORD_BYTES, at = records - h->max_entries;
    for (at = at < 0 ? 0 : at; at < records; at += READ_MANY) {
        size_t got = read_all(fd, bytes, (size_t)READ_MANY * HEADERS_RECORD_BYTES,
                              at * HEADERS_RECORD_BYTES);
        auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
        struct slot slot;
        for (size_t i = 0; i + HEADERS_RECORD_BYTES <= got; i += HEADERS_RECORD_BYTES)
            if (decode(bytes + i, &slot))
                insert(h, &slot);
        if (got == 0)
            break;
    }
}

// Replaces the file by its newest `keep` records that are whole. The lock on `fd` is held; others see the new file by
// its name (lock_file).
static bool compact(const struct headers *h, int fd, off_t size)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s.new", h->path) >= (int)sizeof(path))
        return false;
    auto_fd int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    auto_free uint8_t *bytes = malloc((size_t)READ_MANY * HEADERS_RECORD_BYTES);
    if (to < 0 || !bytes)
        return false;
    off_t records = size / HEADERS_RECORD_BYTES, at = records - h->max_entries / 2;
    bool ok = true;
    for (at = at < 0 ? 0 : at; ok && at < records; at += READ_MANY) {
        size_t got = read_all(fd, bytes, (size_t)READ_MANY * HEADERS_RECORD_BYTES,
                              at * HEADERS_RECORD_BYTES);
        struct slot slot;
        for (size_t i = 0; ok && i + HEADERS_RECORD_BYTES <= got; i += HEADERS_RECORD_BYTES)
            if (decode(bytes + i, &slot))
                ok = write_all(to, bytes + i, HEADERS_RECORD_BYTES);
        if (got == 0)
            break;
    }
    if (ok && rename(path, h->path) == 0)
        return true;
    unlink(path);
    return false;
}

static void append(const struct headers *h, const uint8_t *records, unsigned count)
{
    auto_fd int fd = lock_file(h->path, LOCK_EX);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        log_debug("the header cache '%s' is not written: %s", h->path,
                  strerror(fd < 0 ? -fd : errno));
        return;
    }
    if (st.st_size / HEADERS_RECORD_BYTES + count > (off_t)h->max_entries * 2) {
        if (!compact(h, fd, st.st_size))
            return;
        close(fd);
        fd = lock_file(h->path, LOCK_EX);
        if (fd < 0 || fstat(fd, &st))
            return;
    }
    off_t end = st.st_size - st.st_size % HEADERS_RECORD_BYTES; // a torn tail is cut
    if (ftruncate(fd, end) || lseek(fd, end, SEEK_SET) < 0)
        return;
    if (!write_all(fd, records, (size_t)count * HEADERS_RECORD_BYTES) && ftruncate(fd, end))
        log_debug("the header cache '%s' has a torn tail now", h->path);
}

void headers_flush(struct headers *h)
{
    pthread_mutex_lock(&h->lock);
    uint8_t *records = NULL;
    unsigned count = h->batched;
    if (count > 0 && h->path && !h->writing) {
        records = take(h->batch);
        h->batched = h->batch_room = 0;
        h->writing = true;
    }
    pthread_mutex_unlock(&h->lock);
    if (!records)
        return; // nothing, or another thread is at it and the rest goes with the next batch
    append(h, records, count);
    free(records);
    pthread_mutex_lock(&h->lock);
    h->writing = false;
    pthread_mutex_unlock(&h->lock);
}

// Under lock. True when there is a batch to flush. What finds even the longest batch full, behind a disk that does not
// write, is not kept in the file: it is fetched again by the next mount.
static bool enqueue(struct headers *h, const struct slot *slot)
{
    if (!h->path)
        return false;
    if (h->batched == h->batch_room && h->batch_room < BATCH_MAX) {
        unsigned room = h->batch_room ? 2 * h->batch_room : BATCH;
        uint8_t *batch = reallocarray(h->batch, room, HEADERS_RECORD_BYTES);
        if (batch) {
            h->batch = batch;
            h->batch_room = room;
        }
    }
    if (h->batched < h->batch_room)
        encode(slot, h->batch + (size_t)HEADERS_RECORD_BYTES * h->batched++);
    return h->batched >= BATCH;
}

// --- The interface ---

int headers_new(const char *state_dir, const char *store_id, unsigned max_entries,
                struct headers **out, struct err *err)
{
    assert(max_entries >= 2);
    struct headers *h = calloc(1, sizeof(*h));
    if (!h)
        return err_errno(err, ENOMEM, "make the header cache");
    pthread_mutex_init(&h->lock, NULL);
    h->max_entries = max_entries > HEADERS_ENTRIES_MAX ? HEADERS_ENTRIES_MAX : max_entries;
    h->bucket_count = 256;
    while (h->bucket_count < h->max_entries)
        h->bucket_count *= 2;
    h->buckets = malloc(h->bucket_count * sizeof(*h->buckets));
    h->store_id = strdup(store_id);
    bool wanted = state_dir && *state_dir;
    bool named = !wanted || asprintf(&h->path, "%s/" HEADERS_FILE, state_dir) >= 0;
    if (!wanted || !named)
        h->path = NULL; // asprintf leaves it undefined
    if (!h->buckets || !h->store_id || !named) {
        headers_free(h);
        return err_errno(err, ENOMEM, "make the header cache");
    }
    memset(h->buckets, 0xff, h->bucket_count * sizeof(*h->buckets)); // NONE
    if (h->path)
        load(h);
    *out = h;
    return 0;
}

void headers_free(struct headers *h)
{
    if (!h)
        return;
    headers_flush(h);
    pthread_mutex_destroy(&h->lock);
    free(h->batch);
    free(h->buckets);
    free(h->slots);
    free(h->store_id);
    free(h->path);
    free(h);
}

bool headers_get(struct headers *h, const char *key, const struct store_stat *stat,
                 struct seal_header *out)
{
    uint8_t id[ID_BYTES];
    make_id(h->store_id, key, stat->etag, id);
    auto_unlock pthread_mutex_t *held = scope_lock(&h->lock);
    const struct slot *slot = find(h, id);
    if (!slot || slot->stored_size != stat->size)
        return false;
    *out = slot->header;
    return true;
}

void headers_put(struct headers *h, const char *key, const struct object_info *info)
{
    if (info->header.len == 0 || info->stat.etag[0] == '\0')
        return;
    struct slot slot = {.stored_size = info->stat.size, .header = info->header, .next = NONE};
    make_id(h->store_id, key, info->stat.etag, slot.id);
    pthread_mutex_lock(&h->lock);
    bool full = insert(h, &slot) && enqueue(h, &slot);
    pthread_mutex_unlock(&h->lock);
    if (full)
        headers_flush(h);
}
