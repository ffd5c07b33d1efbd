#include "tools/catalog/dir_names.h"

#include "backend/base/scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

// Links (HOST/latest has them) and what else there may be count as neither.
static bool is_wanted(int dir, const struct dirent *entry, bool *out_is_dir)
{
    mode_t type = entry->d_type == DT_DIR ? S_IFDIR : entry->d_type == DT_REG ? S_IFREG : 0;
    if (entry->d_type == DT_UNKNOWN) {
        struct stat st;
        if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            type = st.st_mode & S_IFMT;
    }
    *out_is_dir = S_ISDIR(type);
    return entry->d_name[0] != '.' && (S_ISDIR(type) || S_ISREG(type));
}

static int add(struct dir_names *names, const char *name, bool is_dir)
{
    if (names->count == names->room) {
        size_t room = names->room ? 2 * names->room : 16;
        struct dir_name *more = reallocarray(names->list, room, sizeof(*more));
        if (!more)
            return -ENOMEM;
        names->list = more;
        names->room = room;
    }
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    names->list[names->count++] = (struct dir_name){.name = copy, .is_dir = is_dir};
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct dir_name *)a)->name, ((const struct dir_name *)b)->name);
}

int dir_names_read(int at, const char *dir, const char *path, struct dir_names *out,
                   struct err *err)
{
    *out =
        (struct dir_names){.fd = openat(at, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    int copy = out->fd >= 0 ? fcntl(out->fd, F_DUPFD_CLOEXEC, 0) : -1;
    DIR *stream = copy >= 0 ? fdopendir(copy) : NULL;
    if (!stream) {
        int code = errno == ENOTDIR || errno == ELOOP ? ENOENT : errno;
        if (copy >= 0)
            close(copy);
        return err_errno(err, code, "%s", path);
    }
    int rc = 0;
    bool is_dir;
    errno = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(stream)); errno = 0)
        if (is_wanted(out->fd, entry, &is_dir))
            rc = add(out, entry->d_name, is_dir);
    int code = rc ? -rc : errno;
    closedir(stream);
    if (code)
        return err_errno(err, code, "list %s", path);
    if (out->count)
        qsort(out->list, out->count, sizeof(*out->list), compare);
    return 0;
}

void dir_names_done(struct dir_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i].name);
    free(names->list);
    if (names->fd >= 0)
        close(names->fd);
    *names = (struct dir_names){.fd = -1};
}
