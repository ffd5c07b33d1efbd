#include "backend/s3/times.h"

#include <stdio.h>
#include <string.h>

// A fixed number of digits; -1 if there are others.
static int digits(const char *text, int count)
{
    int value = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

static bool make_time(const struct tm *parts, time_t *out)
{
    if (parts->tm_year < 70 || parts->tm_mon < 0 || parts->tm_mon > 11 || parts->tm_mday < 1 ||
        parts->tm_mday > 31 || parts->tm_hour < 0 || parts->tm_hour > 23 || parts->tm_min < 0 ||
        parts->tm_min > 59 || parts->tm_sec < 0 || parts->tm_sec > 60)
        return false;
    struct tm copy = *parts;
    *out = timegm(&copy);
    return true;
}

bool times_parse_http(const char *text, time_t *out)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (strlen(text) != 29 || strcmp(text + 25, " GMT") != 0 || text[19] != ':' || text[22] != ':')
        return false;
    struct tm parts = {.tm_mon = -1};
    for (int i = 0; i < 12; i++)
        if (memcmp(text + 8, months + 3 * i, 3) == 0)
            parts.tm_mon = i;
    parts.tm_mday = digits(text + 5, 2);
    parts.tm_year = digits(text + 12, 4) - 1900;
    parts.tm_hour = digits(text + 17, 2);
    parts.tm_min = digits(text + 20, 2);
    parts.tm_sec = digits(text + 23, 2);
    return make_time(&parts, out);
}

bool times_parse_iso(const char *text, struct timespec *out)
{
    size_t len = strlen(text);
    if (len < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
        text[16] != ':' || text[len - 1] != 'Z')
        return false;
    struct tm parts = {
        .tm_year = digits(text, 4) - 1900,
        .tm_mon = digits(text + 5, 2) - 1,
        .tm_mday = digits(text + 8, 2),
        .tm_hour = digits(text + 11, 2),
        .tm_min = digits(text + 14, 2),
        .tm_sec = digits(text + 17, 2),
    };
    long nanoseconds = 0, scale = 100000000;
    const char *p = text + 19;
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++, scale /= 10)
            nanoseconds += (*p - '0') * scale;
    if (*p != 'Z' || p != text + len - 1)
        return false;
    time_t seconds;
    if (!make_time(&parts, &seconds))
        return false;
    *out = (struct timespec){.tv_sec = seconds, .tv_nsec = nanoseconds};
    return true;
}

void times_format_amz(time_t when, char out[TIMES_AMZ_BYTES])
{
    struct tm parts;
    gmtime_r(&when, &parts);
    strftime(out, TIMES_AMZ_BYTES, "%Y%m%dT%H%M%SZ", &parts);
}
