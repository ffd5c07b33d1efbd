#include "backend/s3/retry.h"

#include "backend/base/num.h"

#include <string.h>

#define BASE_MS ((uint64_t)100)
#define CAP_MS ((uint64_t)20000)

static bool one_of(const char *code, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(code, *list) == 0)
            return true;
    return false;
}

// These come with all kinds of statuses (400, 403, 200), and mean "later" with each.
static const char *const transient_codes[] = {
    "InternalError",
    "SlowDown",
    "ServiceUnavailable",
    "RequestTimeout",
    "Busy",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "IncompleteBody",
    "OperationAborted",
    NULL,
};

static bool transient_status(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

enum retry_verdict retry_judge(const struct retry_outcome *outcome)
{
    switch (outcome->failure) {
    case HTTP_UNREACHABLE:
    case HTTP_BROKEN:
    case HTTP_STALLED:
        return RETRY_AGAIN;
    case HTTP_UNTRUSTED:
    case HTTP_EXCESS:
    case HTTP_LOCAL:
        return RETRY_FINAL;
    case HTTP_ANSWERED:
        break;
    }
    if (strcmp(outcome->code, "RequestTimeTooSkewed") == 0)
        return RETRY_CLOCK;
    if (one_of(outcome->code, transient_codes) || transient_status(outcome->status))
        return RETRY_AGAIN;
    if (outcome->status >= 200 && outcome->status < 300 && outcome->code[0] == '\0')
        return RETRY_DONE;
    return RETRY_FINAL;
}

bool retry_maybe_done(const struct retry_outcome *outcome)
{
    switch (outcome->failure) {
    case HTTP_BROKEN:
    case HTTP_STALLED:
    case HTTP_EXCESS:
        return true;
    case HTTP_UNREACHABLE:
    case HTTP_UNTRUSTED:
    case HTTP_LOCAL:
        return false;
    case HTTP_ANSWERED:
        break;
    }
    // a gateway's 500 to 504 speaks for itself, not for the server behind it
    return outcome->status >= 500 || (outcome->status >= 200 && outcome->status < 300);
}

void retry_begin(struct retry *retry, uint64_t deadline_ms, uint64_t now_ms)
{
    *retry = (struct retry){.deadline_ms = deadline_ms, .since_ms = now_ms};
}

bool retry_delay(struct retry *retry, uint64_t now_ms, uint64_t moved_bytes, unsigned retry_after_s,
                 uint64_t random, uint64_t *out_delay_ms)
{
    retry->failed++;
    if (moved_bytes > retry->best_bytes) {
        retry->best_bytes = moved_bytes;
        retry->since_ms = now_ms;
    }
    uint64_t passed = now_ms - retry->since_ms;
    if (passed >= retry->deadline_ms)
        return false;
    unsigned doublings = retry->failed - 1 < 8 ? retry->failed - 1 : 8;
    uint64_t delay = random % (min_u64(CAP_MS, BASE_MS << doublings) + 1);
    delay = max_u64(delay, min_u64(retry_after_s, 3600) * 1000);
    *out_delay_ms = min_u64(delay, retry->deadline_ms - passed);
    return true;
}

uint64_t retry_left_ms(const struct retry *retry, uint64_t now_ms)
{
    uint64_t passed = now_ms - retry->since_ms;
    return passed < retry->deadline_ms ? retry->deadline_ms - passed : 1;
}
