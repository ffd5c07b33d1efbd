// The one place that knows transient from final. Pure: times and random numbers are given.
#pragma once

#include "backend/s3/http.h"

#include <stdbool.h>
#include <stdint.h>

enum retry_verdict {
    RETRY_DONE,  // a success
    RETRY_FINAL, // the answer stands
    RETRY_AGAIN, // later, after retry_delay
    RETRY_CLOCK, // at once, once, with the clock put right
};

struct retry_outcome {
    enum http_failure failure;
    int status;
    const char *code; // S3's <Code>, "" when there was none; of a 2xx too (an error inside a 200)
};

enum retry_verdict retry_judge(const struct retry_outcome *);
// Whether the server may have carried out a request that is called failed.
bool retry_maybe_done(const struct retry_outcome *);

// The time a call has: `deadline_ms` without progress. A try that moved more bytes than any before is progress.
struct retry {
    uint64_t deadline_ms;
    uint64_t since_ms;
    uint64_t best_bytes;
    unsigned failed; // tries that failed
};

void retry_begin(struct retry *, uint64_t deadline_ms, uint64_t now_ms);
// After a failed try: false when the deadline has passed, else how long to wait before the next one: full jitter, base
// 100 ms, at most 20 s, at least what Retry-After asks, never beyond the deadline.
bool retry_delay(struct retry *, uint64_t now_ms, uint64_t moved_bytes, unsigned retry_after_s,
                 uint64_t random, uint64_t *out_delay_ms);
// Milliseconds until the deadline, at least 1.
uint64_t retry_left_ms(const struct retry *, uint64_t now_ms);
