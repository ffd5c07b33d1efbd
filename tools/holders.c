#include "tools/holders.h"

#include "backend/base/scope.h"
#include "tools/cli.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define SHOWN 10

struct search {
    FILE *out;
    dev_t device;
    unsigned found;
};

// fdinfo and stat would ask a daemon that may hang; the kernel alone answers statx with AT_STATX_DONT_SYNC.
static bool lies_on(const char *link, dev_t device)
{
    struct statx st;
    if (statx(AT_FDCWD, link, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, &st) != 0)
        return false;
    return makedev(st.stx_dev_major, st.stx_dev_minor) == device;
}

static void report(struct search *s, const char *pid, const char *link)
{
    if (++s->found > SHOWN)
        return;
    char path[PATH_MAX], name[64] = "", target[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%s/comm", pid);
    FILE *comm = fopen(path, "re");
    if (comm) {
        if (fgets(name, sizeof(name), comm))
            name[strcspn(name, "\n")] = '\0';
        fclose(comm);
    }
    ssize_t len = readlink(link, target, sizeof(target) - 1);
    target[len > 0 ? len : 0] = '\0';
    fprintf(s->out, "  process %s (", pid);
    cli_print_safe(s->out, name);
    fputs(") uses ", s->out);
    cli_print_safe(s->out, target);
    fputc('\n', s->out);
}

static bool any_descriptor(struct search *s, const char *pid)
{
    char dir_path[PATH_MAX];
    snprintf(dir_path, sizeof(dir_path), "/proc/%s/fd", pid);
    DIR *dir = opendir(dir_path);
    if (!dir)
        return false;
    bool found = false;
    for (const struct dirent *entry; !found && (entry = readdir(dir));) {
        char link[PATH_MAX + NAME_MAX + 2];
        snprintf(link, sizeof(link), "%s/%s", dir_path, entry->d_name);
        if (entry->d_name[0] == '.' || !lies_on(link, s->device))
            continue;
        report(s, pid, link);
        found = true;
    }
    closedir(dir);
    return found;
}

static void look_at(struct search *s, const char *pid)
{
    static const char *const places[] = {"cwd", "root", "exe"};
    if (any_descriptor(s, pid))
        return;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char link[PATH_MAX];
        snprintf(link, sizeof(link), "/proc/%s/%s", pid, places[i]);
        if (lies_on(link, s->device)) {
            report(s, pid, link);
            return;
        }
    }
}

unsigned holders_print(FILE *out, dev_t device)
{
    struct search s = {.out = out, .device = device};
    DIR *proc = opendir("/proc");
    if (!proc)
        return 0;
    for (const struct dirent *entry; (entry = readdir(proc));)
        if (isdigit((unsigned char)entry->d_name[0]))
            look_at(&s, entry->d_name);
    closedir(proc);
    if (s.found > SHOWN)
        fprintf(out, "  and %u more\n", s.found - SHOWN);
    return s.found;
}
