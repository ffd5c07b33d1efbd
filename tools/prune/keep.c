#include "tools/prune/keep.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DAY_SECONDS 86400
#define NAME_BYTES 24

static const char *const state_words[] = {
    [KEEP_GOOD] = "good",
    [KEEP_UNFINISHED] = "unfinished: it has no META",
    [KEEP_FAILED] = "failed its verification",
    [KEEP_INCOMPLETE] = "incomplete: the dump stops short",
    [KEEP_HIDDEN] = "removed before: only old versions are left",
    [KEEP_FOREIGN] = "bakfs did not write it: nothing is known of it",
    [KEEP_RECENT] = "copied in less than a day ago: it may not be whole yet",
};

bool keep_rules_any(const struct keep_rules *r)
{
    return r->last || r->hourly || r->daily || r->weekly || r->monthly || r->yearly || r->within_s;
}

static void __attribute__((format(printf, 2, 3)))
keep(struct keep_item *item, const char *format, ...)
{
    size_t len = strlen(item->why);
    va_list args;
    item->keep = true;
    if (len > 0 && len + 3 < sizeof(item->why)) {
        memcpy(item->why + len, ", ", 3);
        len += 2;
    }
    va_start(args, format);
    vsnprintf(item->why + len, sizeof(item->why) - len, format, args);
    va_end(args);
}

static bool counts(const struct keep_item *item, time_t now)
{
    return item->state == KEEP_GOOD && item->when <= now;
}

enum unit { LAST, HOUR, DAY, WEEK, MONTH, YEAR };

// What names the period that a time is in; "": there is no such time.
static void name_period(enum unit unit, time_t when, char out[NAME_BYTES])
{
    struct tm tm;
    size_t len = 0;
    if (gmtime_r(&when, &tm))
        len = unit == HOUR    ? strftime(out, NAME_BYTES, "%Y-%m-%dT%H", &tm)
              : unit == DAY   ? strftime(out, NAME_BYTES, "%Y-%m-%d", &tm)
              : unit == WEEK  ? strftime(out, NAME_BYTES, "%G-W%V", &tm)
              : unit == MONTH ? strftime(out, NAME_BYTES, "%Y-%m", &tm)
                              : strftime(out, NAME_BYTES, "%Y", &tm);
    out[len] = '\0';
}

struct period {
    const char *word;
    enum unit unit;
    unsigned count;
};

// The newest of each of the `count` newest periods; without a period each backup counts.
static void keep_periods(const struct period *period, time_t now, struct keep_item *list,
                         size_t count)
{
    char last[NAME_BYTES] = "";
    unsigned left = period->count;
    for (size_t i = count; i-- > 0 && left > 0;) {
        char name[NAME_BYTES] = "";
        if (!counts(&list[i], now))
            continue;
        if (period->unit != LAST) {
            name_period(period->unit, list[i].when, name);
            if (strcmp(name, last) == 0)
                continue;
        }
        keep(&list[i], "%s%s%s", period->word, *name ? " " : "", name);
        memcpy(last, name, sizeof(last));
        left--;
    }
}

static void keep_good(const struct keep_rules *rules, time_t now, struct keep_item *list,
                      size_t count)
{
    const struct period periods[] = {
        {"last", LAST, rules->last},        {"hourly", HOUR, rules->hourly},
        {"daily", DAY, rules->daily},       {"weekly", WEEK, rules->weekly},
        {"monthly", MONTH, rules->monthly}, {"yearly", YEAR, rules->yearly},
    };
    bool newest = false, verified = false;
    for (size_t i = count; i-- > 0;) {
        if (!counts(&list[i], now))
            continue;
        if (!newest)
            keep(&list[i], "newest");
        if (!verified && list[i].verified)
            keep(&list[i], "newest verified");
        newest = true;
        verified = verified || list[i].verified;
    }
    for (size_t i = 0; i < sizeof(periods) / sizeof(periods[0]); i++)
        keep_periods(&periods[i], now, list, count);
}

// What is not good. `is_newer`: no good one is newer.
static void judge_bad(struct keep_item *item, bool is_newer, time_t now)
{
    const char *word = state_words[item->state];
    if (item->state == KEEP_FOREIGN || item->state == KEEP_RECENT)
        keep(item, "%s", word);
    else if (is_newer)
        keep(item, "%s, but no good one is newer", word);
    else if (now - item->when < KEEP_BAD_DAYS * DAY_SECONDS)
        keep(item, "%s, but younger than 7 days", word);
    else if (!item->keep)
        snprintf(item->why, sizeof(item->why), "%s", word);
}

void keep_decide(const struct keep_rules *rules, time_t now, struct keep_item *list, size_t count)
{
    size_t newest = count; // of the good ones
    for (size_t i = 0; i < count; i++) {
        list[i].keep = false;
        list[i].why[0] = '\0';
        if (counts(&list[i], now))
            newest = i;
    }
    keep_good(rules, now, list, count);
    for (size_t i = 0; i < count; i++) {
        struct keep_item *item = &list[i];
        if (item->when > now) {
            keep(item, "its time is in the future");
            continue;
        }
        // a difference, not a point in time: --keep-within 999999d is meant as it stands
        if (rules->within_s && (uint64_t)(now - item->when) <= rules->within_s)
            keep(item, "within %s", rules->within);
        if (item->state != KEEP_GOOD && newest < count)
            judge_bad(item, i > newest, now);
        else if (item->state != KEEP_GOOD)
            keep(item, "%s, and the partition has no good backup", state_words[item->state]);
        else if (!item->keep)
            snprintf(item->why, sizeof(item->why), "no rule keeps it");
    }
}
