#include "tools/mounted.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#define TABLE "/proc/self/mountinfo"

struct mount_line {
    dev_t device;
    char *point; // unescaped in place
    char *type;
};

// The kernel writes blank, tab, newline and backslash as \ooo.
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        bool octal = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
                     from[2] <= '7' && from[3] >= '0' && from[3] <= '7';
        if (octal) {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static bool parse_device(const char *word, dev_t *out)
{
    char *end;
    unsigned long high = strtoul(word, &end, 10);
    if (end == word || *end != ':')
        return false;
    const char *second = end + 1;
    unsigned long low = strtoul(second, &end, 10);
    if (end == second || *end != '\0')
        return false;
    *out = makedev((unsigned)high, (unsigned)low);
    return true;
}

// ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS
static bool parse_line(char *line, struct mount_line *out)
{
    char *rest = NULL, *word = strtok_r(line, " \n", &rest);
    for (unsigned field = 1; word; field++) {
        if (field == 3 && !parse_device(word, &out->device))
            return false;
        if (field == 5)
            out->point = word;
        if (field > 6 && strcmp(word, "-") == 0)
            break;
        word = strtok_r(NULL, " \n", &rest);
    }
    out->type = strtok_r(NULL, " \n", &rest);
    if (!word || !out->type)
        return false;
    unescape(out->point);
    return true;
}

static int each_mount(void (*see)(void *ctx, const struct mount_line *), void *ctx, struct err *err)
{
    FILE *table = fopen(TABLE, "re");
    if (!table)
        return err_errno(err, errno, "read %s", TABLE);
    auto_free char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, table) >= 0) {
        struct mount_line m = {.point = NULL};
        if (parse_line(line, &m))
            see(ctx, &m);
    }
    int failed = ferror(table) ? EIO : 0;
    fclose(table);
    return failed ? err_errno(err, failed, "read %s", TABLE) : 0;
}

struct at_point {
    const char *point;
    bool any, bakfs;
};

static void see_point(void *ctx, const struct mount_line *m)
{
    struct at_point *at = ctx;
    if (strcmp(m->point, at->point) == 0) { // the last one lies on top
        at->any = true;
        at->bakfs = strcmp(m->type, MOUNTED_TYPE) == 0;
    }
}

struct with_device {
    dev_t device;
    bool bakfs;
};

static void see_device(void *ctx, const struct mount_line *m)
{
    struct with_device *with = ctx;
    if (m->device == with->device && strcmp(m->type, MOUNTED_TYPE) == 0)
        with->bakfs = true;
}

char *mounted_path(const char *dir, struct err *err)
{
    char *real = realpath(dir, NULL);
    if (real)
        return real;
    int why = errno;
    // A daemon that died or hangs: the last component cannot be looked at, but the rest can.
    auto_free char *copy = strdup(dir);
    if (!copy) {
        err_errno(err, ENOMEM, "%s", dir);
        return NULL;
    }
    size_t len = strlen(copy);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    char *slash = strrchr(copy, '/');
    if (why != ENOENT && why != ENAMETOOLONG && slash && slash[1] && strcmp(slash + 1, "..") != 0) {
        *slash = '\0';
        auto_free char *parent = realpath(*copy ? copy : "/", NULL);
        char *whole = NULL;
        if (parent &&
            asprintf(&whole, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, slash + 1) >= 0)
            return whole;
    }
    err_errno(err, why, "%s", dir);
    return NULL;
}

static int look(const char *dir, struct at_point *out, struct err *err)
{
    struct err local = {.code = EIO};
    if (!err)
        err = &local;
    auto_free char *point = mounted_path(dir, err);
    if (!point)
        return err_copy(NULL, err);
    *out = (struct at_point){.point = point};
    int rc = each_mount(see_point, out, err);
    out->point = NULL;
    return rc;
}

int mounted_check(const char *dir, struct err *err)
{
    struct at_point at = {0};
    int rc = look(dir, &at, err);
    if (rc != 0)
        return rc;
    if (!at.any)
        return err_set(err, ENOENT, "%s: nothing is mounted there", dir);
    if (!at.bakfs)
        return err_set(err, ENOENT, "%s: something else than bakfs is mounted there", dir);
    return 0;
}

int mounted_any(const char *dir, bool *out, struct err *err)
{
    struct at_point at = {0};
    int rc = look(dir, &at, err);
    if (rc == 0)
        *out = at.any;
    return rc;
}

int mounted_device(dev_t device, bool *out, struct err *err)
{
    struct with_device with = {.device = device};
    int rc = each_mount(see_device, &with, err);
    if (rc == 0)
        *out = with.bakfs;
    return rc;
}
