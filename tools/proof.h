// The record that a key was tried: state/key-proof.ini. `bakfs doctor --identity FILE` writes it, `bakfs status` reads it.
// No secret stands in it. One thread.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define PROOF_FILE "key-proof.ini"

struct proof { // of one key on one HOST; owned strings
    char *host, *recipient;
    char *object;     // the last one that was tried
    time_t at;        // the last try
    bool opened;      // it did
    time_t opened_at; // the last time it did, 0: never
};

struct proofs {
    struct proof *list;
    size_t count;
};

// No file there: none. EUCLEAN: edited.
int proofs_read(const char *state_dir, struct proofs *out, struct err *err);
void proofs_done(struct proofs *);
// Adds one try, or replaces that of the same key and HOST. `opened_at` is kept where it did not open.
int proofs_note(struct proofs *, const char *host, const char *recipient, const char *object,
                bool opened, time_t at, struct err *err);
// Writes the file anew, whole or not at all.
int proofs_write(const char *state_dir, const struct proofs *, struct err *err);
