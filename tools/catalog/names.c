#include "tools/catalog/names.h"

#include <string.h>

#define STAMP_BYTES 16
#define VERIFIED ".VERIFIED."

// Reads `digits` digits; -1: there are others.
static int number(const char *text, size_t digits)
{
    int n = 0;
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        n = n * 10 + (text[i] - '0');
    }
    return n;
}

// timegm makes a second of March out of the 30th of February: what comes back must be what went in.
static bool to_time(const struct tm *given, time_t *out)
{
    if (given->tm_year < 1 - 1900)
        return false;
    struct tm tm = *given, back;
    time_t t = timegm(&tm);
    if (!gmtime_r(&t, &back) || back.tm_mday != given->tm_mday || back.tm_mon != given->tm_mon ||
        back.tm_year != given->tm_year || back.tm_hour != given->tm_hour ||
        back.tm_min != given->tm_min || back.tm_sec != given->tm_sec)
        return false;
    *out = t;
    return true;
}

bool name_stamp(const char *text, size_t len, time_t *out)
{
    if (len != STAMP_BYTES || text[8] != 'T' || text[15] != 'Z')
        return false;
    struct tm tm = {
        .tm_year = number(text, 4) - 1900,
        .tm_mon = number(text + 4, 2) - 1,
        .tm_mday = number(text + 6, 2),
        .tm_hour = number(text + 9, 2),
        .tm_min = number(text + 11, 2),
        .tm_sec = number(text + 13, 2),
    };
    return to_time(&tm, out);
}

bool name_date(const char *text, time_t *out)
{
    if (strlen(text) != 10 || text[4] != '-' || text[7] != '-')
        return false;
    struct tm tm = {
        .tm_year = number(text, 4) - 1900,
        .tm_mon = number(text + 5, 2) - 1,
        .tm_mday = number(text + 8, 2),
    };
    return to_time(&tm, out);
}

// The name's bytes before ".VERIFIED.TIMESTAMP.PASS"; 0: it does not end so.
static size_t before_verified(const char *name, time_t *out_at, bool *out_pass)
{
    const size_t word = strlen(VERIFIED), end = strlen(".PASS");
    size_t len = strlen(name);
    if (len <= word + STAMP_BYTES + end)
        return 0;
    const char *last = name + len - end, *stamp = last - STAMP_BYTES;
    bool pass = strcmp(last, ".PASS") == 0;
    if ((!pass && strcmp(last, ".FAIL") != 0) || memcmp(stamp - word, VERIFIED, word) != 0 ||
        !name_stamp(stamp, STAMP_BYTES, out_at))
        return 0;
    *out_pass = pass;
    return (size_t)(stamp - word - name);
}

static enum name_kind kind_of(const char *name, size_t stem_len, struct name *out)
{
    static const struct {
        const char *text;
        enum name_kind kind;
    } ends[] = {
        {".dump", NAME_DUMP},           {".dir", NAME_DIR},           {".sql", NAME_SQL},
        {".globals.sql", NAME_GLOBALS}, {".schema.sql", NAME_SCHEMA}, {".META", NAME_META},
    };
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (strcmp(name + stem_len, ends[i].text) == 0)
            return ends[i].kind;
    time_t at = 0;
    bool pass = false;
    if (before_verified(name, &at, &pass) != stem_len)
        return NAME_BESIDE;
    out->verified_at = at;
    out->pass = pass;
    return NAME_VERIFIED;
}

// A HOST: fs/path.h. Names of temporary files begin with a dot.
static bool starts_as_host(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (i == 0 || (c != '.' && c != '-' && c != '_')))
            return false;
    }
    return len > 0;
}

bool name_parse(const char *partition, const char *name, struct name *out)
{
    size_t partition_len = strlen(partition);
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        struct name found = {0};
        const char *stamp = dot + 1, *behind = stamp + STAMP_BYTES;
        if (strnlen(stamp, STAMP_BYTES) < STAMP_BYTES ||
            !name_stamp(stamp, STAMP_BYTES, &found.when) || *behind != '.' ||
            strncmp(behind + 1, partition, partition_len) != 0 || behind[1 + partition_len] != '.')
            continue;
        if (!starts_as_host(name, (size_t)(dot - name)))
            return false;
        found.stem_len = (size_t)(behind + 1 + partition_len - name);
        found.kind = kind_of(name, found.stem_len, &found);
        *out = found;
        return true;
    }
    return false;
}

void name_base(const char *name, struct name_base *out)
{
    static const char meta[] = ".META";
    struct name_base base = {.base_len = strlen(name)};
    time_t at = 0;
    bool pass = false;
    size_t before = before_verified(name, &at, &pass);
    if (before > 0) {
        base = (struct name_base){
            .added = NAME_ADDED_VERIFIED, .base_len = before, .verified_at = at, .pass = pass};
    } else if (base.base_len > strlen(meta) &&
               strcmp(name + base.base_len - strlen(meta), meta) == 0) {
        base.added = NAME_ADDED_META;
        base.base_len -= strlen(meta);
    }
    *out = base;
}
