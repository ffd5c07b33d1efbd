#include "backend/seal/ledger.h"

#ifdef BAKFS_SEAL_LEDGER

#include "backend/base/crypto.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM ((size_t)1024) // a power of two

struct entry {
    uint8_t hash[SHA256_BYTES];
    bool used;
};

// A table with open addressing, never more than half full. A global: it is about all sinks of the process.
static struct {
    pthread_mutex_t lock;
    struct entry *entries;
    size_t count, room;
} ledger = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct entry *place_of(struct entry *entries, size_t room, const uint8_t hash[SHA256_BYTES])
{
    size_t i = (size_t)get_le64(hash) & (room - 1);
    while (entries[i].used && memcmp(entries[i].hash, hash, SHA256_BYTES) != 0)
        i = (i + 1) & (room - 1);
    return &entries[i];
}

static bool make_room(void)
{
    if (2 * (ledger.count + 1) <= ledger.room)
        return true;
    size_t room = ledger.room ? 2 * ledger.room : FIRST_ROOM;
    struct entry *entries = calloc(room, sizeof(*entries));
    if (!entries)
        return false;
    for (size_t i = 0; i < ledger.room; i++)
        if (ledger.entries[i].used)
            *place_of(entries, room, ledger.entries[i].hash) = ledger.entries[i];
    free(ledger.entries);
    ledger.entries = entries;
    ledger.room = room;
    return true;
}

void ledger_enter(const uint8_t file_key[SEAL_FILE_KEY_BYTES])
{
    uint8_t hash[SHA256_BYTES];
    sha256(file_key, SEAL_FILE_KEY_BYTES, hash);
    auto_unlock pthread_mutex_t *held = scope_lock(&ledger.lock);
    if (!make_room())
        return; // a check less, in a build that only checks
    struct entry *entry = place_of(ledger.entries, ledger.room, hash);
    assert(!entry->used && "two sinks seal under one file key");
    memcpy(entry->hash, hash, sizeof(hash));
    entry->used = true;
    ledger.count++;
}

#endif
