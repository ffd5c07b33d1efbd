// What a store does with the conditions of a put and of a complete, found out by trying: some ignore them in silence (Ceph
// does with those of a complete). Where the store's limits are sure nothing is asked.
//
// Answers are remembered in the directory of state, one small file a store, for a week; that nothing could be found out
// (who may not write or not remove cannot try) for a day.
// Threads: before anything else uses the store.
#pragma once

#include "backend/base/err.h"
#include "backend/store/store.h"

#include <stdint.h>

#define PROBE_PREFIX ".bakfs-probe/" // below it are keys of tries, gone when a try is over

enum probe_answer { PROBE_UNKNOWN, PROBE_IGNORED, PROBE_HONOURED };

struct probe {
    enum probe_answer put, complete;
    int64_t seconds; // when, by the store's clock; 0: nothing was asked
};

// "honoured", "ignored", "unknown".
const char *probe_word(enum probe_answer);

// Finds out, from the file in `state_dir` (NULL: none) or by asking, and sets the store's limits accordingly. On failure
// the limits are as they were and *out is unknown: the caller may go on, conditions are then looked after before each
// request.
int probe_conditions(struct store *, const char *state_dir, struct probe *out, struct err *err);
// Asks, whatever is remembered, and remembers nothing. The limits are as before.
int probe_ask(struct store *, struct probe *out, struct err *err);
