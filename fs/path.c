#include "fs/path.h"

#include "backend/base/utf8.h"
#include "backend/object.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXAMPLE "db1/2026-11-22/orders/orders.dump"
#define SUFFIX_BYTES (sizeof(OBJECT_SUFFIX) - 1)

// One component of a path, not terminated.
struct part {
    const char *text;
    size_t len;
};

static bool next_part(const char **rest, struct part *out)
{
    if (!*rest)
        return false;
    const char *end = strchrnul(*rest, '/');
    *out = (struct part){*rest, (size_t)(end - *rest)};
    *rest = *end ? end + 1 : NULL;
    return true;
}

unsigned path_depth(const char *path)
{
    if (!*path)
        return 0;
    unsigned depth = 1;
    for (; *path; path++)
        depth += *path == '/';
    return depth;
}

static bool is_utf8(struct part part)
{
    for (size_t at = 0; at < part.len;) {
        size_t n = utf8_character(part.text + at, part.len - at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

static bool has_control(struct part part)
{
    for (size_t i = 0; i < part.len; i++)
        if ((unsigned char)part.text[i] < 0x20 || part.text[i] == 0x7f)
            return true;
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_host(struct part part)
{
    for (size_t i = 0; i < part.len; i++) {
        char c = part.text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
        if (!letter && (i == 0 || !strchr(".-_", c)))
            return false;
    }
    return part.len > 0;
}

static bool ends_in(struct part part, const char *suffix)
{
    size_t len = strlen(suffix);
    return part.len >= len && memcmp(part.text + part.len - len, suffix, len) == 0;
}

static bool equals(struct part part, const char *text)
{
    return part.len == strlen(text) && memcmp(part.text, text, part.len) == 0;
}

static int number(const char *text, size_t digits)
{
    int n = 0;
    for (size_t i = 0; i < digits; i++) {
        if (!is_digit(text[i]))
            return -1;
        n = n * 10 + (text[i] - '0');
    }
    return n;
}

static bool is_date(struct part part)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (part.len != 10 || part.text[4] != '-' || part.text[7] != '-')
        return false;
    int year = number(part.text, 4), month = number(part.text + 5, 2),
        day = number(part.text + 8, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day <= days[month - 1] + (month == 2 && leap);
}

static int check_name(struct part part, bool is_dir, struct err *err)
{
    int shown = part.len > 80 ? 80 : (int)part.len;
    if (part.len == 0)
        return err_set(err, EINVAL, "a name in the path is empty");
    if (part.len > PATH_COMPONENT_BYTES)
        return err_set(err, ENAMETOOLONG, "the name '%.*s...' has %zu bytes, at most %d fit", shown,
                       part.text, part.len, PATH_COMPONENT_BYTES);
    if (!is_utf8(part))
        return err_set(err, EILSEQ, "a name in the path is not UTF-8");
    if (has_control(part))
        return err_set(err, EINVAL, "a name in the path has a control character");
    if (equals(part, ".") || equals(part, ".."))
        return err_set(err, EINVAL, "'%.*s' is not a name", shown, part.text);
    if (ends_in(part, OBJECT_SUFFIX))
        return err_set(err, EINVAL,
                       "'%.*s' ends in %s, which the mount itself adds: copy the plain file", shown,
                       part.text, OBJECT_SUFFIX);
    if (is_dir && ends_in(part, ".zst"))
        return err_set(err, EINVAL, "'%.*s': a directory's name does not end in .zst", shown,
                       part.text);
    return 0;
}

// The rules of one component by its depth (1 HOST, 2 DATE, ...).
static int check_part(struct part part, unsigned depth, bool is_dir, struct err *err)
{
    int rc = check_name(part, is_dir, err);
    if (rc)
        return rc;
    int shown = part.len > 80 ? 80 : (int)part.len;
    if (depth == 1 && !is_host(part))
        return err_set(err, EINVAL,
                       "'%.*s' is not a HOST (letters, digits, '.', '-', '_'; the first a letter "
                       "or digit)",
                       shown, part.text);
    if (depth == 2 && equals(part, PATH_LATEST))
        return err_set(err, EINVAL, "'%s' is made by the mount itself, nothing is written there",
                       PATH_LATEST);
    if (depth == 2 && !is_date(part))
        return err_set(err, EINVAL, "'%.*s' is not a DATE of the calendar (YYYY-MM-DD)", shown,
                       part.text);
    return 0;
}

static int check(const char *path, bool is_dir, struct err *err)
{
    if (!*path)
        return err_set(err, EINVAL, "the path is empty");
    const char *rest = path;
    unsigned depth = 0;
    for (struct part part; next_part(&rest, &part);) {
        int rc = check_part(part, ++depth, is_dir || rest, err);
        if (rc)
            return rc;
    }
    if (!is_dir && depth < 3)
        return err_set(err, EINVAL, "a file stands in a directory HOST/DATE, not above it");
    return 0;
}

// The key of `path`, or for a directory of the shortest file in it, fits into a key.
static int check_length(const char *path, bool is_dir, size_t prefix_len, struct err *err)
{
    size_t len = prefix_len + strlen(path) + (is_dir ? 2 : 0) + SUFFIX_BYTES;
    if (len <= STORE_KEY_BYTES)
        return 0;
    return err_set(err, ENAMETOOLONG,
                   "the path is too long: its key would have %zu bytes, at most %d fit", len,
                   STORE_KEY_BYTES);
}

static int check_tomorrow(const char *path, struct timespec now, struct err *err)
{
    time_t tomorrow = now.tv_sec + 24 * 60 * 60;
    struct tm tm;
    char last[32];
    if (!gmtime_r(&tomorrow, &tm) || strftime(last, sizeof(last), "%Y-%m-%d", &tm) != 10)
        return err_set(err, EINVAL, "the store's clock shows no date of the calendar");
    const char *date = strchr(path, '/');
    if (date && strncmp(date + 1, last, 10) > 0)
        return err_set(err, EINVAL,
                       "DATE %.10s is past tomorrow (%s by the store's clock, UTC): is this "
                       "host's clock right?",
                       date + 1, last);
    return 0;
}

int path_check_create(const char *path, bool is_dir, size_t prefix_len, struct timespec now,
                      struct err *err)
{
    struct err why = {0};
    int rc = check(path, is_dir, &why);
    if (!rc)
        rc = check_length(path, is_dir, prefix_len, &why);
    if (!rc)
        rc = check_tomorrow(path, now, &why);
    if (rc)
        return err_set(err, -rc, "%s (a correct path: %s)", why.text, EXAMPLE);
    return 0;
}

bool path_is_file(const char *path)
{
    return check(path, false, NULL) == 0 && check_length(path, false, 0, NULL) == 0;
}

bool path_is_dir(const char *path)
{
    return check(path, true, NULL) == 0 && check_length(path, true, 0, NULL) == 0;
}

bool path_from_key(const char *key, char *out)
{
    size_t len = strlen(key);
    if (len <= SUFFIX_BYTES || strcmp(key + len - SUFFIX_BYTES, OBJECT_SUFFIX) != 0)
        return false;
    memcpy(out, key, len - SUFFIX_BYTES);
    out[len - SUFFIX_BYTES] = '\0';
    return path_is_file(out);
}

bool path_partition(const char *path, bool is_file, char out[PATH_COMPONENT_BYTES + 1])
{
    const char *rest = path;
    struct part part = {0};
    for (unsigned depth = 0; depth < 3; depth++)
        if (!next_part(&rest, &part))
            return false;
    if (part.len == 0 || part.len > PATH_COMPONENT_BYTES || part.text[0] == '.')
        return false;
    if (is_file && !rest) { // a file directly in DATE
        const char *dot = memchr(part.text, '.', part.len);
        if (dot)
            part.len = (size_t)(dot - part.text);
    }
    memcpy(out, part.text, part.len);
    out[part.len] = '\0';
    return true;
}
