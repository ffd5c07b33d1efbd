#include "fs/holders.h"

#include "backend/base/scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <poll.h>
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

bool holders_read_status(pid_t tid, char *out, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", tid);
    return tid > 0 && read_proc(path, out, size);
}

pid_t holders_group(pid_t tid)
{
    char text[4096];
    if (!holders_read_status(tid, text, sizeof(text)))
        return 0;
    const char *line = strstr(text, "\nTgid:");
    int group = 0;
    return line && sscanf(line, "\nTgid: %d", &group) == 1 ? group : 0;
}

// Fields of /proc/PID/stat that tell how a thread ends.
struct ending {
    char state;
    unsigned long flags;
    int code;
};

static bool read_ending(const char *task, struct ending *out)
{
    char path[600], text[2048];
    snprintf(path, sizeof(path), "%s/stat", task);
    if (!read_proc(path, text, sizeof(text)))
        return false;
    *out = (struct ending){0};
    char *field = strrchr(text, ')'); // the command (field 2) may hold anything
    unsigned number = 2;
    for (char *save, *word = field ? strtok_r(field + 1, " ", &save) : NULL; word;
         word = strtok_r(NULL, " ", &save)) {
        number++;
        if (number == 3)
            out->state = *word;
        else if (number == 9)
            out->flags = strtoul(word, NULL, 10);
        else if (number == 52)
            out->code = (int)strtol(word, NULL, 10);
    }
    return number >= 52;
}

// The exit code decides where it can be read. PF_SIGNALED alone does not: at exit_group(0) the kernel ends the other threads
// of a process as a signal would, and one of them may be the last to close.
static enum holder_exit judge(const struct ending *ending, int *out_code)
{
    *out_code = 0;
    if (!(ending->flags & PF_EXITING))
        return HOLDER_ALIVE;
    int number = ending->code & 0x7f;
    if (number || (!holders_can_see() && ending->flags & PF_SIGNALED)) {
        *out_code = number;
        return HOLDER_KILLED;
    }
    *out_code = ending->code >> 8 & 0xff;
    return *out_code ? HOLDER_FAILED : HOLDER_EXITED;
}

// A thread that exits gives up its memory before it closes its files. Who has memory is alive, and its `stat` must not be
// read: Linux takes the lock for that which execve holds while it closes descriptors, each of which waits for our answer.
// `status` takes no lock.
static bool has_memory(const char *status)
{
    return strstr(status, "\nVmSize:") != NULL;
}

enum holder_exit holders_exit(pid_t tid, int *out_code)
{
    char task[64], status[4096];
    struct ending ending;
    *out_code = 0;
    if (!holders_read_status(tid, status, sizeof(status)) || has_memory(status))
        return HOLDER_ALIVE;
    snprintf(task, sizeof(task), "/proc/%d", tid);
    return read_ending(task, &ending) ? judge(&ending, out_code) : HOLDER_ALIVE;
}

int holders_ending_signal(pid_t tid)
{
    char task[64];
    struct ending ending;
    snprintf(task, sizeof(task), "/proc/%d", tid);
    return tid > 0 && read_ending(task, &ending) ? ending.code & 0x7f : 0;
}

int holders_watch(pid_t group)
{
    return group > 0 ? (int)syscall(SYS_pidfd_open, group, 0) : -1; // closed on exec
}

bool holders_lives(int pidfd, pid_t group)
{
    char status[4096];
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    bool lives = holders_read_status(group, status, sizeof(status)) && has_memory(status);
    return pidfd >= 0 && lives && poll(&ended, 1, 0) == 0;
}

static enum holders_seen max_seen(enum holders_seen a, enum holders_seen b)
{
    return a == HOLDERS_HELD || b == HOLDERS_NONE ? a : b;
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

// Gone, or nothing to see for anyone; other failures (no memory, too many files) prove nothing.
static enum holders_seen seen_without(int code)
{
    if (code == ENOENT || code == ESRCH)
        return HOLDERS_NONE;
    return code == EACCES || code == EPERM ? HOLDERS_BLIND : HOLDERS_HELD;
}

// The descriptors of one thread, which are its group's. *out_any: it has some at all.
static enum holders_seen thread_has(const char *task, uint64_t ino, bool *out_any)
{
    char path[600], text[1024];
    snprintf(path, sizeof(path), "%s/fdinfo", task);
    DIR *dir = opendir(path);
    if (!dir)
        return seen_without(errno);
    enum holders_seen seen = HOLDERS_NONE;
    const struct dirent *entry;
    while (seen != HOLDERS_HELD && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        *out_any = true;
        snprintf(path, sizeof(path), "%s/fdinfo/%s", task, entry->d_name);
        if (!read_proc(path, text, sizeof(text)))
            seen = max_seen(seen, seen_without(errno));
        else if (is_ours(text, ino))
            seen = HOLDERS_HELD;
    }
    closedir(dir);
    return seen;
}

// A group all of whose threads are exiting has closed nothing yet that we heard of, as long as one is no zombie.
struct dying {
    unsigned alive, exiting;
    enum holder_exit exit; // the worst
    int code;
};

static void look_at_thread(const char *task, struct dying *dying)
{
    char path[600], status[4096];
    struct ending ending;
    snprintf(path, sizeof(path), "%s/status", task);
    if (read_proc(path, status, sizeof(status)) && has_memory(status)) {
        dying->alive++;
        return;
    }
    if (!read_ending(task, &ending) || ending.state == 'Z' || ending.state == 'X')
        return; // it has flushed before
    int code;
    enum holder_exit exit = judge(&ending, &code);
    if (exit == HOLDER_ALIVE) {
        dying->alive++;
        return;
    }
    dying->exiting++;
    if (exit > dying->exit) {
        dying->exit = exit;
        dying->code = code;
    }
}

enum holders_seen holders_has(pid_t group, uint64_t ino, int *out_code)
{
    *out_code = 0;
    char path[320];
    snprintf(path, sizeof(path), "/proc/%d/task", group);
    DIR *dir = opendir(path);
    if (!dir)
        return seen_without(errno);
    enum holders_seen seen = HOLDERS_NONE;
    struct dying dying = {0};
    bool any = false;
    const struct dirent *entry;
    while (seen != HOLDERS_HELD && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%s", group, entry->d_name);
        look_at_thread(path, &dying);
        if (!any) // threads share their descriptors; one that is exiting shows none
            seen = max_seen(seen, thread_has(path, ino, &any));
    }
    closedir(dir);
    if (seen == HOLDERS_NONE && !any && dying.exiting && !dying.alive) {
        *out_code = dying.code;
        return dying.exit == HOLDER_KILLED   ? HOLDERS_KILLED
               : dying.exit == HOLDER_FAILED ? HOLDERS_FAILED
                                             : HOLDERS_HELD;
    }
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
