#include "backend/seal/record.h"

#include "backend/seal/base64.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TIME_CHARS 26                      // YYYYMMDDThhmmss.nnnnnnnnnZ
#define FIRST_SECOND INT64_C(-62135596800) // 0001-01-01T00:00:00Z
#define LAST_SECOND INT64_C(253402300799)  // 9999-12-31T23:59:59Z

static bool parse_digits(const char *at, size_t len, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(at[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

static int month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

static bool parse_time(const char *at, struct timespec *out)
{
    static const struct {
        unsigned at, len, least, most;
    } fields[] = {{0, 4, 1, 9999}, {4, 2, 1, 12},  {6, 2, 1, 31},        {9, 2, 0, 23},
                  {11, 2, 0, 59},  {13, 2, 0, 59}, {16, 9, 0, 999999999}};
    int value[7];
    for (unsigned i = 0; i < 7; i++) {
        uint64_t v;
        if (!parse_digits(at + fields[i].at, fields[i].len, &v) || v < fields[i].least ||
            v > fields[i].most)
            return false;
        value[i] = (int)v;
    }
    if (at[8] != 'T' || at[15] != '.' || at[25] != 'Z' || value[2] > month_days(value[0], value[1]))
        return false;
    struct tm tm = {.tm_year = value[0] - 1900,
                    .tm_mon = value[1] - 1,
                    .tm_mday = value[2],
                    .tm_hour = value[3],
                    .tm_min = value[4],
                    .tm_sec = value[5]};
    *out = (struct timespec){.tv_sec = timegm(&tm), .tv_nsec = value[6]};
    return true;
}

static bool parse_flags(const char *at, uint32_t *out)
{
    uint32_t value = 0;
    for (size_t i = 0; i < 8; i++) {
        char c = at[i];
        if (c >= '0' && c <= '9')
            value = value << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value << 4 | (uint32_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = value;
    return true;
}

int record_parse(const struct text args[RECORD_ARGS], struct seal_record *out, struct err *err)
{
    struct seal_record r;
    if (args[0].len != 20 || !parse_digits(args[0].at, 20, &r.size) || r.size > INT64_MAX)
        return err_set(err, EUCLEAN, "the bakfs record's SIZE is malformed");
    if (args[1].len != TIME_CHARS || !parse_time(args[1].at, &r.mtime))
        return err_set(err, EUCLEAN, "the bakfs record's MTIME is malformed");
    if (args[2].len != TIME_CHARS || !parse_time(args[2].at, &r.committed))
        return err_set(err, EUCLEAN, "the bakfs record's COMMITTED is malformed");
    if (args[3].len != 8 || !parse_flags(args[3].at, &r.flags))
        return err_set(err, EUCLEAN, "the bakfs record's FLAGS are malformed");
    if (args[4].len != BASE64_CHARS(SEAL_PATHTAG_BYTES) ||
        !base64_decode(args[4].at, args[4].len, r.pathtag))
        return err_set(err, EUCLEAN, "the bakfs record's PATHTAG is malformed");
    *out = r;
    return 0;
}

static void format_time(struct timespec t, char out[TIME_CHARS + 1])
{
    // people may give a file any time; what cannot be said is said as nearly as possible
    if (t.tv_sec < FIRST_SECOND)
        t = (struct timespec){.tv_sec = FIRST_SECOND};
    else if (t.tv_sec > LAST_SECOND)
        t = (struct timespec){.tv_sec = LAST_SECOND, .tv_nsec = 999999999};
    assert(t.tv_nsec >= 0 && t.tv_nsec <= 999999999);
    struct tm tm;
    gmtime_r(&t.tv_sec, &tm);
    // larger than it ever gets: the compiler cannot know the ranges
    char text[128];
    snprintf(text, sizeof(text), "%04d%02d%02dT%02d%02d%02d.%09ldZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, t.tv_nsec);
    assert(strlen(text) == TIME_CHARS);
    memcpy(out, text, TIME_CHARS + 1);
}

void record_format(const struct seal_record *r, char out[RECORD_CHARS])
{
    assert(r->size <= INT64_MAX);
    char mtime[TIME_CHARS + 1], committed[TIME_CHARS + 1], text[RECORD_CHARS + 1];
    char pathtag[BASE64_CHARS(SEAL_PATHTAG_BYTES) + 1] = {0};
    format_time(r->mtime, mtime);
    format_time(r->committed, committed);
    base64_encode(r->pathtag, SEAL_PATHTAG_BYTES, pathtag);
    int made = snprintf(text, sizeof(text), "%020llu %s %s %08x %s", (unsigned long long)r->size,
                        mtime, committed, r->flags, pathtag);
    assert(made == RECORD_CHARS);
    memcpy(out, text, RECORD_CHARS);
}
