// What the tests of whole objects share: a directory store with a store of faults around it, and files made and checked
// in it. One at a time. Over S3 instead, when it is told to: the server is found as start-rgw.sh says it.
#pragma once

#include "backend/object.h"
#include "tests/support/fault_store.h"
#include "tests/support/temp_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define PATH "db1/2026-11-22/orders.dump"
#define OTHER "db1/2026-11-22/renamed/\xc3\xb6rders.dump"

struct rig {
    struct temp_dir dir;
    char state[300];
    struct store *files, *store; // store: faults around files
    struct blocks *blocks;
    struct workers *uploaders, *packers;
    struct journal *journal;
    struct identity *identity, *stranger;
    struct identities identities;
    struct recipient recipients[SEAL_RECIPIENTS_MAX];
    struct object_env env; // for one recipient
};

// From now on over S3. False: the environment names no server.
bool rig_use_s3(void);
int rig_setup(void **state);
int rig_teardown(void **state);

#define OK(call)                                                                                   \
    do {                                                                                           \
        struct err err = {0};                                                                      \
        if ((call) != 0)                                                                           \
            fail_msg("line %d, %s: %s", __LINE__, #call, err.text);                                \
    } while (0)

// The call fails with that errno, and its sentence has that word in it.
#define FAILS(error, word, call)                                                                   \
    do {                                                                                           \
        struct err err = {0};                                                                      \
        int rc_ = (call);                                                                          \
        if (rc_ != -(error) || err.code != (error) || !strstr(err.text, word))                     \
            fail_msg("line %d, %s: %d, no '%s' in: %s", __LINE__, #call, rc_, word, err.text);     \
    } while (0)

// `size` bytes of the pattern of `seed`, which do not pack.
struct object_info rig_write(struct rig *, const char *path, uint64_t seed, uint64_t size,
                             struct object_key *out_key);
// The file is that, from its first byte to its last; `key` NULL: by the identity.
void rig_holds(struct rig *, const char *path, const struct object_key *key, uint64_t seed,
               uint64_t size);
int rig_read(struct object_reader *, uint64_t seed, uint64_t first, unsigned count, struct err *);
struct store_stat rig_stat(struct rig *, const char *path);
bool rig_absent(struct rig *, const char *path);
unsigned rig_uploads(struct rig *);
// The whole stored object, malloc'ed.
uint8_t *rig_bytes(struct rig *, const char *path, size_t *out_len);
void rig_put(struct rig *, const char *path, const uint8_t *bytes, size_t len);
// What the next mount does with what this daemon left, then a new daemon.
void rig_remount(struct rig *);
