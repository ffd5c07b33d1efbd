// A ledger of the file keys that chunks were sealed under, in this process: no two sinks may share one, since each begins
// to number its chunks at 0, and a number that is sealed twice under one key gives the key stream away. Chance alone makes
// two keys the same never; a mistake here (a sink made again with the randoms of another) would, and nobody would see it.
//
// It grows with every file, so it is for builds with debugging only (meson's `debug`, on unless the build type is release
// or minsize); the tests run with it. Only hashes of keys are kept. Threads: any.
#pragma once

#include "backend/seal/seal.h"

// A sink is about to seal its first chunk. Asserts that no other one did under this key.
#ifdef BAKFS_SEAL_LEDGER
void ledger_enter(const uint8_t file_key[SEAL_FILE_KEY_BYTES]);
#else
static inline void ledger_enter(const uint8_t file_key[SEAL_FILE_KEY_BYTES])
{
    (void)file_key;
}
#endif
