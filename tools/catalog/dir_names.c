#include "tools/catalog/dir_names.h"

#include "backend/base/scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

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

static int add(struct dir_names *names, const char *name, size_t len, bool is_dir)
{
    if (names->count == names->room) {
        size_t room = names->room ? 2 * names->room : 16;
        struct dir_name *more = reallocarray(names->list, room, sizeof(*more));
        if (!more)
            return -ENOMEM;
        names->list = more;
        names->room = room;
    }
    char *copy = strndup(name, len);
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
            rc = add(out, entry->d_name, strlen(entry->d_name), is_dir);
    int code = rc ? -rc : errno;
    closedir(stream);
    if (code)
        return err_errno(err, code, "list %s", path);
    if (out->count)
        qsort(out->list, out->count, sizeof(*out->list), compare);
    return 0;
}

// Behind a name: TAB SIZE TAB STORED TAB COMMITTED TAB COMPLETE.
static void read_facts(struct dir_name *name, const char *text)
{
    char *end;
    struct dir_name read = *name;
    read.size = strtoull(text, &end, 10);
    if (*end != '\t')
        return;
    read.stored = strtoull(end + 1, &end, 10);
    if (*end != '\t')
        return;
    read.committed = strtoll(end + 1, &end, 10);
    if (*end != '\t')
        return;
    read.complete = end[1];
    read.known = true;
    *name = read;
}

static struct dir_names *inside_of(struct dir_names *top, const char *dir, size_t len)
{
    for (size_t i = top->count; i-- > 0;) // it comes right behind the name of the directory
        if (top->list[i].is_dir && strncmp(top->list[i].name, dir, len) == 0 &&
            top->list[i].name[len] == '\0')
            return top->list[i].inside;
    return NULL;
}

// "NAME/", "NAME...", "DIR/NAME/" or "DIR/NAME...". False: no memory, or no such line.
static bool read_line(struct dir_names *top, char *line)
{
    size_t len = strcspn(line, "\t");
    const char *facts = line[len] ? line + len + 1 : NULL;
    bool is_dir = len > 1 && line[len - 1] == '/';
    line[is_dir ? len - 1 : len] = '\0';
    char *slash = strchr(line, '/');
    const char *name = slash ? slash + 1 : line;
    struct dir_names *in = slash ? inside_of(top, line, (size_t)(slash - line)) : top;
    if (slash && *line == '.')
        return true; // a hidden directory
    if (!in)
        return false;
    if (*name == '.')
        return true;
    if (add(in, name, strlen(name), is_dir) != 0)
        return false;
    struct dir_name *added = &in->list[in->count - 1];
    if (is_dir && !slash) {
        added->inside = calloc(1, sizeof(*added->inside));
        if (!added->inside)
            return false;
        added->inside->fd = -1;
    }
    if (facts)
        read_facts(added, facts);
    return true;
}

bool dir_names_ask(int at, const char *dir, struct dir_names *out)
{
    *out = (struct dir_names){.fd = openat(at, dir, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    auto_free char *text = out->fd >= 0 ? malloc(XATTR_SIZE_MAX + 1) : NULL;
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", out->fd);
    ssize_t len = text ? getxattr(path, "user.bakfs.names", text, XATTR_SIZE_MAX) : -1;
    if (len < 0)
        return false;
    text[len] = '\0';
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line && !read_line(out, line))
            return false;
    return true;
}

void dir_names_done(struct dir_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        struct dir_name *name = &names->list[i];
        if (name->inside)
            dir_names_done(name->inside);
        free(name->inside);
        free(name->name);
    }
    free(names->list);
    if (names->fd >= 0)
        close(names->fd);
    *names = (struct dir_names){.fd = -1};
}
