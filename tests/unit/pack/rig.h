// What the tests of the packer share: an environment, bytes of three kinds, and a reading of what was written that trusts
// nothing but the format.
#pragma once

#include "backend/pack/pack.h"
#include "tests/support/check_sink.h"

#include <stddef.h>
#include <stdint.h>

#define RIG_THREADS 3

struct rig {
    struct pack_env env;
    struct check_store store;
    struct packer *packer;
};

struct rig_conf { // zero: the default
    uint64_t memory_bytes, spool_bytes, head_bytes, front_align, front_min;
    unsigned fail_at;
    int level;
};

// New blocks, workers, sink and packer.
void rig_init(struct rig *, const struct rig_conf *);
// Frees them; blocks_free asserts that every block came back.
void rig_done(struct rig *);

enum kind { KIND_ZEROS, KIND_TEXT, KIND_RANDOM };
uint8_t *make_bytes(enum kind, size_t len); // malloc'ed, the same each time

void rig_write(struct rig *, const uint8_t *bytes, size_t len, size_t piece);
void rig_rewrite(struct rig *, uint64_t off, const void *bytes, size_t len);
// Commits, and reads the object back: index, every frame, digest, trailer.
void rig_commit(struct rig *, const uint8_t *plain, size_t len);
// What `zstd -d` makes of the object, against the plain bytes.
void rig_check_zstd(struct rig *, const uint8_t *plain, size_t len);
