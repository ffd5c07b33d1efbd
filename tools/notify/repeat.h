// What was told already: a file "notices" in [mount] state, or for who may not write there in $STATE_DIRECTORY or
// ~/.bakfs; JSON, one entry for each subject (verb and what) that failed. Any process; a lock file beside it is held for
// moments only, never while something is sent.
#pragma once

#include "backend/base/err.h"
#include "tools/notify/notify.h"

#include <stdint.h>
#include <time.h>

#define REPEAT_REASONS 8             // different failures of one subject that are told in one day
#define REPEAT_DAY_S (22 * 3600)     // a timer that runs daily is not on time to the second
#define REPEAT_FORGET_S (30 * 86400) // a subject that nobody speaks of any more
#define REPEAT_SUBJECTS 1000

struct repeat {
    bool tell;       // a failure that is new, or old news from yesterday; a pass after a failure
    bool again;      // passes, and the last notice of it was a failure
    uint64_t count;  // failures so far, with this one
    time_t since;    // the first of them
    bool remembered; // it stands in the file
};

// Judges and writes it down. Does not fail: what cannot be remembered is told.
void repeat_judge(const char *state_dir, const struct notice *, time_t now, struct repeat *out);
// Nobody could be told: the next time it is new. `now` as it was judged.
void repeat_take_back(const char *state_dir, const struct notice *, time_t now,
                      const struct repeat *);
