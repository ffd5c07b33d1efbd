#include "fs/holders.h"

#include "backend/base/scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

// include/linux/sched.h: shown to user space by proc(5), stable since 2.6
#define PF_EXITING 0x00000004ul
#define PF_SIGNALED 0x00000400ul

static bool read_proc(const char *path, char *out, size_t size)
{
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t used = 0;
    while (used < size - 1) {
        ssize_t got = read(fd, out + used, size - 1 - used);
        if (got < 0)
            return false;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    out[used] = '\0';
    return used > 0;
}

pid_t holders_group(pid_t tid)
{
    if (tid <= 0)
        return 0;
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%d/status", tid);
    if (!read_proc(path, text, sizeof(text)))
        return 0;
    const char *line = strstr(text, "\nTgid:");
    int group = 0;
    return line && sscanf(line, "\nTgid: %d", &group) == 1 ? group : 0;
}

enum holder_exit holders_exit(pid_t tid, int *out_code)
{
    *out_code = 0;
    if (tid <= 0)
        return HOLDER_ALIVE;
    char path[64], text[2048];
    snprintf(path, sizeof(path), "/proc/%d/stat", tid);
    if (!read_proc(path, text, sizeof(text)))
        return HOLDER_ALIVE;
    char *field = strrchr(text, ')'); // the command (field 2) may hold anything
    unsigned long flags = 0;
    int code = 0;
    unsigned number = 2;
    for (char *save, *word = field ? strtok_r(field + 1, " ", &save) : NULL; word;
         word = strtok_r(NULL, " ", &save)) {
        number++;
        if (number == 9)
            flags = strtoul(word, NULL, 10);
        else if (number == 52)
            code = (int)strtol(word, NULL, 10);
    }
    if (!(flags & PF_EXITING))
        return HOLDER_ALIVE;
    int signal = code & 0x7f;
    if ((flags & PF_SIGNALED) || signal) {
        *out_code = signal;
        return HOLDER_KILLED;
    }
    *out_code = code >> 8 & 0xff;
    return *out_code ? HOLDER_FAILED : HOLDER_EXITED;
}

// One fdinfo: "flags:\t02100001\n ... ino:\t1234". True if it is our inode, open for writing.
static bool is_ours(const char *text, uint64_t ino)
{
    const char *line = strstr(text, "ino:\t");
    uint64_t seen = 0;
    if (!line || sscanf(line, "ino:\t%" SCNu64, &seen) != 1 || seen != ino)
        return false;
    unsigned flags = 0;
    line = strstr(text, "flags:\t");
    if (!line || sscanf(line, "flags:\t%o", &flags) != 1)
        return true; // rather wait than commit too early
    return (flags & O_ACCMODE) != O_RDONLY;
}

enum holders_seen holders_has(pid_t group, uint64_t ino)
{
    char path[320], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/fdinfo", group);
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT || errno == ESRCH ? HOLDERS_NONE : HOLDERS_BLIND;
    enum holders_seen seen = HOLDERS_NONE;
    const struct dirent *entry;
    while (seen != HOLDERS_HELD && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", group, entry->d_name);
        if (read_proc(path, text, sizeof(text))) {
            if (is_ours(text, ino))
                seen = HOLDERS_HELD;
        } else if (errno == EACCES || errno == EPERM) {
            seen = HOLDERS_BLIND;
        }
    }
    closedir(dir);
    return seen;
}

bool holders_can_see(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0)
        return false;
    return data[0].effective >> CAP_SYS_PTRACE & 1;
}
