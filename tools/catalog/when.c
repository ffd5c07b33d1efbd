// Times as people write them.
#include "tools/catalog/when.h"

#include "tools/catalog/names.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define EXAMPLES                                                                                   \
    "2026-11-21, \"2026-11-21 03:00\", 2026-11-21T03:00:00Z, \"yesterday 03:00\", \"2h ago\""
enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400 };
static const int64_t latest_s = 253402300799; // 9999-12-31T23:59:59Z

static int not_a_time(const char *text, struct err *err)
{
    return err_set(err, EINVAL, "'%.100s': not a time that bakfs can read; write it like %s", text,
                   EXAMPLES);
}

// --- What stands there, from the left ---

struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && isspace((unsigned char)*c->at))
        c->at++;
}

static size_t digits_ahead(const struct cursor *c)
{
    size_t n = 0;
    while (c->at + n < c->end && isdigit((unsigned char)c->at[n]))
        n++;
    return n;
}

// Exactly as many digits as are there, `least` to `most` of them.
static bool take_number(struct cursor *c, size_t least, size_t most, int64_t *out)
{
    size_t n = digits_ahead(c);
    if (n < least || n > most)
        return false;
    int64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value * 10 + (c->at[i] - '0');
    c->at += n;
    *out = value;
    return true;
}

static bool take_char(struct cursor *c, char wanted)
{
    if (c->at >= c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static size_t letters_ahead(const struct cursor *c)
{
    size_t n = 0;
    while (c->at + n < c->end && isalpha((unsigned char)c->at[n]))
        n++;
    return n;
}

// A whole word, in any case.
static bool take_word(struct cursor *c, const char *word)
{
    size_t n = letters_ahead(c);
    if (n != strlen(word) || strncasecmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

// --- Local time: an instant may come twice or never ---

static struct tm local(time_t t)
{
    struct tm tm = {0};
    localtime_r(&t, &tm);
    return tm;
}

static bool same_clock(const struct tm *a, const struct tm *b)
{
    return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday &&
           a->tm_hour == b->tm_hour && a->tm_min == b->tm_min && a->tm_sec == b->tm_sec;
}

// The two instants that a clock time may be, by the offsets in force a day before and a day after; `exact` says which of
// them really show that time. The earlier first.
struct readings {
    time_t t[2];
    bool exact[2];
};

static struct readings read_local(const struct tm *clock)
{
    struct tm copy = *clock;
    time_t as_utc = timegm(&copy);
    struct readings r;
    for (int i = 0; i < 2; i++)
        r.t[i] = as_utc - local(as_utc + (i == 0 ? -DAY_S : DAY_S)).tm_gmtoff;
    if (r.t[0] > r.t[1]) {
        time_t swap = r.t[0];
        r.t[0] = r.t[1];
        r.t[1] = swap;
    }
    for (int i = 0; i < 2; i++) {
        struct tm shown = local(r.t[i]);
        r.exact[i] = same_clock(&shown, clock);
    }
    return r;
}

// "2026-10-25 02:30:00+02:00", which when_parse takes.
static void with_zone(time_t t, char *out, size_t room)
{
    struct tm tm = local(t);
    long minutes = (tm.tm_gmtoff < 0 ? -tm.tm_gmtoff : tm.tm_gmtoff) / MINUTE_S;
    char text[40];
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(out, room, "%s%c%02ld:%02ld", text, tm.tm_gmtoff < 0 ? '-' : '+', minutes / 60,
             minutes % 60);
}

// `zone`: a name that the local zone has at one of the readings, or NULL.
static int choose(const char *text, const struct readings *r, const char *zone, size_t zone_len,
                  time_t *out, struct err *err)
{
    bool two = r->t[0] != r->t[1];
    bool fits[2];
    for (int i = 0; i < 2; i++) {
        struct tm shown = local(r->t[i]);
        bool named = !zone || (shown.tm_zone && strlen(shown.tm_zone) == zone_len &&
                               strncasecmp(shown.tm_zone, zone, zone_len) == 0);
        fits[i] = r->exact[i] && named;
    }
    if (!two || fits[0] != fits[1]) {
        int i = fits[0] ? 0 : 1;
        if (!fits[i])
            return zone
                       ? err_set(
                             err, EINVAL,
                             "'%.100s': '%.*s' is not the local zone at that time; write an offset "
                             "like +02:00, or Z for UTC",
                             text, (int)zone_len, zone)
                       : not_a_time(text, err);
        *out = r->t[i];
        return 0;
    }
    char first[64], second[64];
    with_zone(r->t[0], first, sizeof(first));
    with_zone(r->t[1], second, sizeof(second));
    bool twice = r->exact[0] && r->exact[1];
    return err_set(err, EINVAL, "'%.100s': the clock shows that time %s; write \"%s\" or \"%s\"",
                   text,
                   twice ? "twice, because it is set back" : "never, because it is set forward",
                   first, second);
}

// --- Days, times of day, zones ---

static bool real_date(int64_t year, int64_t month, int64_t day)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1 || month < 1 || month > 12 || day < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= lengths[month - 1] + (month == 2 && leap);
}

static bool set_date(struct tm *tm, int64_t year, int64_t month, int64_t day)
{
    if (!real_date(year, month, day))
        return false;
    tm->tm_year = (int)year - 1900;
    tm->tm_mon = (int)month - 1;
    tm->tm_mday = (int)day;
    return true;
}

static void set_day_of(struct tm *tm, const struct tm *from, int days)
{
    struct tm noon = {.tm_year = from->tm_year,
                      .tm_mon = from->tm_mon,
                      .tm_mday = from->tm_mday + days,
                      .tm_hour = 12};
    timegm(&noon); // puts the month's end right
    tm->tm_year = noon.tm_year;
    tm->tm_mon = noon.tm_mon;
    tm->tm_mday = noon.tm_mday;
}

enum taken { TAKEN, ABSENT, WRONG };

static enum taken take_day(struct cursor *c, const struct tm *today, struct tm *tm)
{
    if (take_word(c, "today")) {
        set_day_of(tm, today, 0);
        return TAKEN;
    }
    if (take_word(c, "yesterday")) {
        set_day_of(tm, today, -1);
        return TAKEN;
    }
    size_t n = digits_ahead(c);
    int64_t year, month, day;
    if (n == 4 && c->at + 4 < c->end && c->at[4] == '-') {
        bool ok = take_number(c, 4, 4, &year) && take_char(c, '-') &&
                  take_number(c, 2, 2, &month) && take_char(c, '-') && take_number(c, 2, 2, &day);
        return ok && set_date(tm, year, month, day) ? TAKEN : WRONG;
    }
    if (n != 8 || !take_number(c, 8, 8, &day))
        return ABSENT;
    return set_date(tm, day / 10000, day / 100 % 100, day % 100) ? TAKEN : WRONG;
}

static bool take_seconds(struct cursor *c, int64_t *second)
{
    if (!take_char(c, ':'))
        return true;
    if (!take_number(c, 2, 2, second))
        return false;
    if (!take_char(c, '.'))
        return true;
    size_t fraction = digits_ahead(c);
    c->at += fraction;
    return fraction > 0;
}

// 03:00, 3:00, 03:00:15.25, 3am, 3:30 pm
static bool take_time(struct cursor *c, struct tm *tm)
{
    int64_t hour, minute = 0, second = 0;
    if (!take_number(c, 1, 2, &hour))
        return false;
    bool minutes = take_char(c, ':');
    if (minutes && (!take_number(c, 2, 2, &minute) || !take_seconds(c, &second)))
        return false;
    struct cursor before = *c;
    skip_blanks(c);
    bool am = take_word(c, "am");
    bool pm = !am && take_word(c, "pm");
    if (am || pm) {
        if (hour < 1 || hour > 12)
            return false;
        hour = hour % 12 + (pm ? 12 : 0);
    } else {
        *c = before;
        if (!minutes)
            return false;
    }
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    tm->tm_hour = (int)hour;
    tm->tm_min = (int)minute;
    tm->tm_sec = (int)second;
    return true;
}

// Z, UTC, GMT, +02:00, +0200, +02. ABSENT: nothing of that is there.
static enum taken take_offset(struct cursor *c, int *out_s)
{
    if (take_word(c, "z") || take_word(c, "utc") || take_word(c, "gmt")) {
        *out_s = 0;
        return TAKEN;
    }
    bool east = take_char(c, '+');
    if (!east && !take_char(c, '-'))
        return ABSENT;
    int64_t hours, minutes = 0;
    if (digits_ahead(c) == 4) {
        take_number(c, 4, 4, &hours);
        minutes = hours % 100;
        hours /= 100;
    } else if (!take_number(c, 2, 2, &hours) ||
               (take_char(c, ':') && !take_number(c, 2, 2, &minutes))) {
        return WRONG;
    }
    if (hours > 15 || minutes > 59)
        return WRONG;
    *out_s = (int)(hours * HOUR_S + minutes * MINUTE_S) * (east ? 1 : -1);
    return TAKEN;
}

// --- The forms ---

// "2h ago", "1 day 2 hours ago", "an hour ago"
static int64_t unit_seconds(const char *word, size_t len)
{
    static const struct {
        const char *word;
        int64_t seconds;
    } units[] = {{"s", 1},
                 {"sec", 1},
                 {"secs", 1},
                 {"second", 1},
                 {"seconds", 1},
                 {"m", MINUTE_S},
                 {"min", MINUTE_S},
                 {"mins", MINUTE_S},
                 {"minute", MINUTE_S},
                 {"minutes", MINUTE_S},
                 {"h", HOUR_S},
                 {"hr", HOUR_S},
                 {"hrs", HOUR_S},
                 {"hour", HOUR_S},
                 {"hours", HOUR_S},
                 {"d", DAY_S},
                 {"day", DAY_S},
                 {"days", DAY_S},
                 {"w", 7 * DAY_S},
                 {"week", 7 * DAY_S},
                 {"weeks", 7 * DAY_S}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strlen(units[i].word) == len && strncasecmp(units[i].word, word, len) == 0)
            return units[i].seconds;
    return 0;
}

static bool parse_ago(struct cursor c, time_t now, time_t *out)
{
    int64_t back = 0;
    for (bool any = false;; any = true) {
        int64_t number = 1;
        skip_blanks(&c);
        if (any && take_word(&c, "ago"))
            break;
        if (!take_word(&c, "a") && !take_word(&c, "an") && !take_number(&c, 1, 9, &number))
            return false;
        skip_blanks(&c);
        size_t len = letters_ahead(&c);
        int64_t seconds = unit_seconds(c.at, len);
        if (seconds == 0)
            return false;
        c.at += len;
        back += number * seconds;
    }
    if (c.at != c.end || back > now)
        return false;
    *out = now - back;
    return true;
}

// The last second of a local day, whatever its clocks did.
static time_t end_of_day(struct tm *day)
{
    day->tm_hour = 23;
    day->tm_min = day->tm_sec = 59;
    struct readings r = read_local(day);
    return r.exact[0] && !r.exact[1] ? r.t[0] : r.t[1];
}

// The clock's time of today, or of yesterday if it is not that late yet.
static int last_time(const char *text, struct tm *tm, const struct tm *today, time_t now,
                     const struct cursor *zone, time_t *out, struct err *err)
{
    for (int back = 0; back < 2; back++) {
        set_day_of(tm, today, -back);
        struct readings r = read_local(tm);
        size_t len = (size_t)(zone->end - zone->at);
        int rc = choose(text, &r, len ? zone->at : NULL, len, out, err);
        if (rc != 0 || *out <= now)
            return rc;
    }
    return 0;
}

static int parse_clock(const char *text, struct cursor c, time_t now, time_t *out, struct err *err)
{
    struct tm today = local(now), tm = {0};
    enum taken day = take_day(&c, &today, &tm);
    if (day == WRONG)
        return err_set(err, EINVAL, "'%.100s': there is no such day (YYYY-MM-DD)", text);
    if (day == TAKEN && c.at == c.end) {
        *out = end_of_day(&tm);
        return 0;
    }
    if (day == TAKEN && !take_char(&c, 'T') && !take_char(&c, 't'))
        skip_blanks(&c);
    if (!take_time(&c, &tm))
        return not_a_time(text, err);
    skip_blanks(&c);
    int offset_s = 0;
    enum taken offset = take_offset(&c, &offset_s);
    struct cursor zone = {c.at, c.at};
    if (offset == ABSENT) {
        zone.end += letters_ahead(&c);
        c.at = zone.end;
    }
    if (offset == WRONG || c.at != c.end)
        return not_a_time(text, err);
    if (offset == TAKEN) { // the day is that of the zone it was written in
        if (day == ABSENT) {
            time_t there = now + offset_s;
            struct tm that_day = {0};
            gmtime_r(&there, &that_day);
            set_day_of(&tm, &that_day, 0);
        }
        time_t t = timegm(&tm) - offset_s;
        *out = day == ABSENT && t > now ? t - DAY_S : t;
        return 0;
    }
    if (day == ABSENT)
        return last_time(text, &tm, &today, now, &zone, out, err);
    struct readings r = read_local(&tm);
    return choose(text, &r, zone.end > zone.at ? zone.at : NULL, (size_t)(zone.end - zone.at), out,
                  err);
}

int when_parse(const char *text, time_t now, time_t *out, struct err *err)
{
    tzset();
    struct cursor c = {text, text + strlen(text)};
    skip_blanks(&c);
    while (c.end > c.at && isspace((unsigned char)c.end[-1]))
        c.end--;
    struct cursor whole = c;
    if (take_word(&c, "now") && c.at == c.end) {
        *out = now;
        return 0;
    }
    c = whole;
    int64_t seconds;
    if (take_char(&c, '@')) {
        if (!take_number(&c, 1, 12, &seconds) || c.at != c.end || seconds > latest_s)
            return not_a_time(text, err);
        *out = seconds;
        return 0;
    }
    if (name_stamp(whole.at, (size_t)(whole.end - whole.at), out) || parse_ago(whole, now, out))
        return 0;
    time_t found;
    int rc = parse_clock(text, whole, now, &found, err);
    if (rc == 0)
        *out = found;
    return rc;
}

// --- Writing ---

static void amount(int64_t s, char *out, size_t room)
{
    static const struct {
        int64_t until, unit;
        const char *word;
    } steps[] = {{MINUTE_S, 1, "second"},
                 {HOUR_S, MINUTE_S, "minute"},
                 {48 * HOUR_S, HOUR_S, "hour"},
                 {90 * (int64_t)DAY_S, DAY_S, "day"},
                 {730 * (int64_t)DAY_S, 30 * DAY_S, "month"},
                 {INT64_MAX, 365 * DAY_S, "year"}};
    size_t i = 0;
    while (s >= steps[i].until)
        i++;
    int64_t n = s / steps[i].unit;
    snprintf(out, room, "%lld %s%s", (long long)n, steps[i].word, n == 1 ? "" : "s");
}

void when_age(time_t from, time_t now, char out[32])
{
    int64_t s = (int64_t)now - (int64_t)from;
    if (s == 0) {
        strcpy(out, "now");
    } else if (s > 0) {
        amount(s, out, 32);
    } else {
        memcpy(out, "in ", 3);
        amount(-s, out + 3, 32 - 3);
    }
}

void when_text(time_t t, time_t now, char out[WHEN_TEXT_BYTES])
{
    tzset();
    struct tm utc = {0}, here = local(t);
    gmtime_r(&t, &utc);
    char there[40], clock[60] = "", age[32];
    strftime(there, sizeof(there), "%Y-%m-%d %H:%M:%S UTC", &utc);
    if (here.tm_gmtoff != 0)
        strftime(clock, sizeof(clock),
                 here.tm_mday == utc.tm_mday ? "%H:%M:%S %Z, " : "%Y-%m-%d %H:%M:%S %Z, ", &here);
    when_age(t, now, age);
    snprintf(out, WHEN_TEXT_BYTES, "%s (%.50s%s%s)", there, clock, age, t < now ? " ago" : "");
}

void when_stamp(time_t t, char out[20])
{
    struct tm tm = {0};
    gmtime_r(&t, &tm);
    if (strftime(out, 20, "%Y%m%dT%H%M%SZ", &tm) == 0)
        out[0] = '\0';
}
