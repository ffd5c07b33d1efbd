#include "fs/mountpoint.h"

#include "backend/base/scope.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

// mountinfo writes space, tab, newline and backslash as \ooo.
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        unsigned value;
        if (*from == '\\' && sscanf(from + 1, "%3o", &value) == 1) {
            *to = (char)value;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

bool mountpoint_device(const char *absolute, char out[32])
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return false;
    auto_free char *line = NULL;
    size_t room = 0;
    bool found = false;
    while (getline(&line, &room, file) > 0) {
        char *save, *device = NULL, *point = NULL;
        char *word = strtok_r(line, " ", &save);
        for (int field = 1; word && field <= 5; field++, word = strtok_r(NULL, " ", &save)) {
            if (field == 3)
                device = word;
            else if (field == 5)
                point = word;
        }
        if (!point || !device)
            continue;
        unescape(point);
        if (strcmp(point, absolute) == 0) { // the last one is on top
            snprintf(out, 32, "%s", device);
            found = true;
        }
    }
    fclose(file);
    return found;
}

int mountpoint_check(const char *point, char **out_absolute, struct err *err)
{
    if (!*point)
        return err_set(err, EINVAL,
                       "no mount point: set [mount] point, or type: "
                       "bakfs mount STORE DIR");
    auto_free char *absolute = realpath(point, NULL);
    if (!absolute && errno == ENOTCONN)
        return err_set(err, ENOTCONN,
                       "'%s' holds the mount of a daemon that died: type: bakfs umount --lazy %s",
                       point, point);
    if (!absolute)
        return err_errno(err, errno, "the mount point '%s'", point);
    char device[32];
    struct stat stat_of;
    bool is_mounted = mountpoint_device(absolute, device);
    if (is_mounted && stat(absolute, &stat_of) != 0 && errno == ENOTCONN)
        return err_set(err, ENOTCONN,
                       "'%s' holds the mount of a daemon that died: type: bakfs umount --lazy %s",
                       absolute, absolute);
    if (is_mounted)
        return err_set(err, EBUSY, "something is mounted at '%s' already: type: bakfs umount %s",
                       absolute, absolute);
    if (stat(absolute, &stat_of) == 0 && !S_ISDIR(stat_of.st_mode))
        return err_set(err, ENOTDIR, "the mount point '%s' is no directory", absolute);
    DIR *dir = opendir(absolute);
    if (!dir)
        return err_errno(err, errno, "the mount point '%s'", absolute);
    const struct dirent *entry;
    bool empty = true;
    while (empty && (entry = readdir(dir)))
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(dir);
    if (!empty)
        return err_set(err, ENOTEMPTY,
                       "the mount point '%s' is not empty: what is in it would be hidden; "
                       "move it away, or mount elsewhere",
                       absolute);
    *out_absolute = take(absolute);
    return 0;
}
