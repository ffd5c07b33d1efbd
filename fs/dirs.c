#include "fs/dirs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ALLOCATION_BYTES 16 // what malloc takes for itself

// --- Entries ---

static struct entry *entry_new(enum tree_kind kind, const char *name, const char *etag)
{
    size_t name_len = strlen(name), etag_len = strlen(etag);
    struct entry *e = calloc(1, sizeof(*e) + name_len + 1 + etag_len + 1);
    if (!e)
        return NULL;
    e->kind = kind;
    memcpy(e->name, name, name_len);
    memcpy(e->name + name_len + 1, etag, etag_len);
    e->etag = e->name + name_len + 1;
    return e;
}

struct entry *entry_new_file(const char *name, const struct store_stat *stat)
{
    struct entry *e = entry_new(TREE_FILE, name, stat->etag);
    if (e) {
        e->size = stat->size;
        e->time = stat->last_modified;
        e->cold = stat->cold;
    }
    return e;
}

struct entry *entry_new_dir(const char *name, struct timespec newest)
{
    struct entry *e = entry_new(TREE_DIR, name, "");
    if (e)
        e->time = newest;
    return e;
}

static void entry_free(struct entry *e)
{
    if (e)
        free(e->header);
    free(e);
}

void entry_stat(const struct entry *e, struct store_stat *out)
{
    assert(e->kind == TREE_FILE);
    *out = (struct store_stat){.size = e->size, .last_modified = e->time, .cold = e->cold};
    strncpy(out->etag, e->etag, sizeof(out->etag) - 1);
}

bool entry_same_object(const struct entry *a, const struct entry *b)
{
    return a->kind == TREE_FILE && b->kind == TREE_FILE && a->size == b->size &&
           strcmp(a->etag, b->etag) == 0;
}

bool entry_set_header(struct entry *e, const struct seal_header *header, uint64_t now_ms)
{
    if (!e->header && !(e->header = malloc(sizeof(*e->header))))
        return false;
    *e->header = *header;
    e->header_ms = now_ms;
    return true;
}

bool entries_add(struct entries *set, struct entry *entry)
{
    if (entry && set->count == set->room) {
        size_t room = set->room ? set->room * 2 : 8;
        struct entry **list = reallocarray(set->list, room, sizeof(struct entry *));
        if (list) {
            set->list = list;
            set->room = room;
        }
    }
    if (!entry || set->count == set->room) {
        entry_free(entry);
        return false;
    }
    set->list[set->count++] = entry;
    return true;
}

// By name; of one name the directory first, and the newest of several.
static int compare(const void *left, const void *right)
{
    const struct entry *a = *(struct entry *const *)left, *b = *(struct entry *const *)right;
    int order = strcmp(a->name, b->name);
    if (order == 0)
        order = (a->kind == TREE_FILE) - (b->kind == TREE_FILE);
    if (order == 0)
        order = (a->time.tv_sec < b->time.tv_sec) - (a->time.tv_sec > b->time.tv_sec);
    return order;
}

void entries_settle(struct entries *set)
{
    if (set->count == 0)
        return;
    qsort(set->list, set->count, sizeof(struct entry *), compare);
    size_t kept = 1;
    for (size_t i = 1; i < set->count; i++) {
        if (strcmp(set->list[kept - 1]->name, set->list[i]->name) == 0)
            entry_free(set->list[i]);
        else
            set->list[kept++] = set->list[i];
    }
    set->count = kept;
}

void entries_done(struct entries *set)
{
    for (size_t i = 0; i < set->count; i++)
        entry_free(set->list[i]);
    free(set->list);
    *set = (struct entries){0};
}

// --- One directory ---

bool dirs_index(const struct dir *d, const char *name, size_t *out)
{
    size_t low = 0, high = d->entries.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(d->entries.list[middle]->name, name);
        if (order == 0) {
            *out = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *out = low;
    return false;
}

struct entry *dirs_entry(const struct dir *d, const char *name)
{
    size_t at;
    return dirs_index(d, name, &at) ? d->entries.list[at] : NULL;
}

static size_t entry_bytes(const struct entry *e)
{
    return sizeof(*e) + strlen(e->name) + strlen(e->etag) + 2 + ALLOCATION_BYTES +
           sizeof(struct entry *) + (e->header ? sizeof(*e->header) + ALLOCATION_BYTES : 0);
}

static void account(struct dirs *dirs, struct dir *d)
{
    size_t bytes = sizeof(*d) + strlen(d->path) + 1 + ALLOCATION_BYTES;
    for (size_t i = 0; i < d->entries.count; i++)
        bytes += entry_bytes(d->entries.list[i]);
    dirs->bytes = dirs->bytes - d->bytes + bytes;
    d->bytes = bytes;
}

static void adjust(struct dirs *dirs, struct dir *d, size_t more, size_t less)
{
    d->bytes = d->bytes + more - less;
    dirs->bytes = dirs->bytes + more - less;
}

static void keep_header(struct entry *to, struct entry *from)
{
    if (!entry_same_object(to, from))
        return;
    if (!to->header) {
        to->header = from->header;
        to->header_ms = from->header_ms;
        from->header = NULL;
    }
}

bool dirs_put(struct dirs *dirs, struct dir *d, struct entry *entry)
{
    size_t at;
    if (!entry)
        return false;
    if (dirs_index(d, entry->name, &at)) {
        struct entry *old = d->entries.list[at];
        size_t less = entry_bytes(old);
        keep_header(entry, old);
        d->entries.list[at] = entry;
        entry_free(old);
        adjust(dirs, d, entry_bytes(entry), less);
        return true;
    }
    if (!entries_add(&d->entries, entry))
        return false;
    struct entry **place = &d->entries.list[at];
    memmove(place + 1, place, (d->entries.count - 1 - at) * sizeof(struct entry *));
    *place = entry;
    adjust(dirs, d, entry_bytes(entry), 0);
    return true;
}

bool dirs_set_header(struct dirs *dirs, struct dir *d, struct entry *entry,
                     const struct seal_header *header, uint64_t now_ms)
{
    size_t less = entry_bytes(entry);
    bool ok = entry_set_header(entry, header, now_ms);
    adjust(dirs, d, entry_bytes(entry), less);
    return ok;
}

void dirs_remove(struct dirs *dirs, struct dir *d, const char *name)
{
    size_t at;
    if (!dirs_index(d, name, &at))
        return;
    struct entry **place = &d->entries.list[at];
    adjust(dirs, d, 0, entry_bytes(*place));
    entry_free(*place);
    d->entries.count--;
    memmove(place, place + 1, (d->entries.count - at) * sizeof(struct entry *));
}

void dirs_replace(struct dirs *dirs, struct dir *d, struct entries *fresh)
{
    for (size_t i = 0; i < fresh->count; i++) {
        struct entry *old = dirs_entry(d, fresh->list[i]->name);
        if (old)
            keep_header(fresh->list[i], old);
    }
    entries_done(&d->entries);
    d->entries = *fresh;
    *fresh = (struct entries){0};
    account(dirs, d);
}

// --- All of them ---

static size_t bucket_of(const struct dirs *dirs, const char *path)
{
    uint64_t hash = 0xcbf29ce484222325u; // FNV-1a
    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 0x100000001b3u;
    return (size_t)(hash ^ hash >> 32) & (dirs->bucket_count - 1);
}

bool dirs_init(struct dirs *dirs, uint64_t max_bytes)
{
    *dirs = (struct dirs){.bucket_count = 1024, .max_bytes = max_bytes};
    dirs->buckets = calloc(dirs->bucket_count, sizeof(struct dir *));
    return dirs->buckets != NULL;
}

void dirs_done(struct dirs *dirs)
{
    while (dirs->oldest)
        dirs_drop(dirs, dirs->oldest);
    free(dirs->buckets);
    *dirs = (struct dirs){0};
}

static void unlink_use(struct dirs *dirs, struct dir *d)
{
    *(d->newer ? &d->newer->older : &dirs->newest) = d->older;
    *(d->older ? &d->older->newer : &dirs->oldest) = d->newer;
}

static void link_use(struct dirs *dirs, struct dir *d)
{
    d->newer = NULL;
    d->older = dirs->newest;
    *(d->older ? &d->older->newer : &dirs->oldest) = d;
    dirs->newest = d;
}

struct dir *dirs_find(struct dirs *dirs, const char *path)
{
    for (struct dir *d = dirs->buckets[bucket_of(dirs, path)]; d; d = d->next) {
        if (strcmp(d->path, path) != 0)
            continue;
        unlink_use(dirs, d);
        link_use(dirs, d);
        return d;
    }
    return NULL;
}

// Longer chains work too: without memory the table stays as it is.
static void grow(struct dirs *dirs)
{
    struct dirs wider = {.bucket_count = dirs->bucket_count * 2};
    wider.buckets = calloc(wider.bucket_count, sizeof(struct dir *));
    if (!wider.buckets)
        return;
    for (struct dir *d = dirs->newest; d; d = d->older) {
        struct dir **bucket = &wider.buckets[bucket_of(&wider, d->path)];
        d->next = *bucket;
        *bucket = d;
    }
    free(dirs->buckets);
    dirs->buckets = wider.buckets;
    dirs->bucket_count = wider.bucket_count;
}

struct dir *dirs_make(struct dirs *dirs, const char *path)
{
    struct dir *d = dirs_find(dirs, path);
    if (d)
        return d;
    size_t len = strlen(path);
    d = calloc(1, sizeof(*d) + len + 1);
    if (!d)
        return NULL;
    memcpy(d->path, path, len);
    if (dirs->count >= dirs->bucket_count)
        grow(dirs);
    struct dir **bucket = &dirs->buckets[bucket_of(dirs, path)];
    d->next = *bucket;
    *bucket = d;
    link_use(dirs, d);
    dirs->count++;
    account(dirs, d);
    return d;
}

void dirs_drop(struct dirs *dirs, struct dir *d)
{
    struct dir **link = &dirs->buckets[bucket_of(dirs, d->path)];
    while (*link != d)
        link = &(*link)->next;
    *link = d->next;
    unlink_use(dirs, d);
    dirs->bytes -= d->bytes;
    dirs->count--;
    entries_done(&d->entries);
    free(d);
}

void dirs_trim(struct dirs *dirs, const struct dir *keep)
{
    struct dir *d = dirs->oldest;
    while (d && dirs->bytes > dirs->max_bytes) {
        struct dir *newer = d->newer;
        if (d != keep)
            dirs_drop(dirs, d);
        d = newer;
    }
}

const char *path_split(const char *path, char out_dir[STORE_KEY_BYTES + 1])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    assert(len <= STORE_KEY_BYTES);
    memcpy(out_dir, path, len);
    out_dir[len] = '\0';
    return slash ? slash + 1 : path;
}
