// Which backups of one partition stay, and why. Pure: no store, no clock.
//
// In this order, the first that holds decides:
//   no backup of the partition is good        all stay: somebody has to look first
//   its time is in the future                 stays, and counts for nothing: a clock was wrong
//   bakfs did not write it                    stays: nothing is known of it
//   copied in less than a day ago             stays, and counts for nothing yet: it may be half of it
//   newer than the newest good one            stays, though it is not good: it may be all there is of that day
//   younger than --keep-within                stays
//   not good (unfinished, failed, ...)        stays for KEEP_BAD_DAYS, then goes
//   the newest good one, the newest good one that was verified                 stay
//   a rule                                    stays
// A rule like --keep-daily 7 keeps the newest good backup of each of the 7 newest days (UTC) that have one; weeks are
// those of ISO 8601. A day without a backup does not use a rule up.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define KEEP_BAD_DAYS 7
#define KEEP_WHY_BYTES 320

enum keep_state {
    KEEP_GOOD,
    KEEP_UNFINISHED, // of bakfs, and its META is not there
    KEEP_FAILED,     // its newest verification did
    KEEP_INCOMPLETE, // the dump stops short
    KEEP_HIDDEN,     // removed by somebody: only older versions of it are left
    KEEP_FOREIGN,    // not an object of bakfs
    KEEP_RECENT,     // copied in so lately that more may follow
};

struct keep_rules { // 0: no such rule
    unsigned last, hourly, daily, weekly, monthly, yearly;
    uint64_t within_s;
    const char *within; // as it was written: "30d"
};
bool keep_rules_any(const struct keep_rules *);

struct keep_item {
    time_t when;
    enum keep_state state;
    bool verified; // its newest verification passed
    // answered
    bool keep;
    char why[KEEP_WHY_BYTES]; // every reason: "newest, daily 2026-11-20, weekly 2026-W47"
};

// `list`: the backups of one partition, the oldest first. `now` by the store's clock.
void keep_decide(const struct keep_rules *, time_t now, struct keep_item *list, size_t count);
