#include "tools/process.h"

#include "backend/base/clock.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define SAME_SIGNAL_MS 1000
#define KILL_AFTER_MS 5000 // from SIGTERM to SIGKILL
#define LINE_BYTES 512     // of an error line: it becomes part of a sentence

struct process {
    pid_t pid;
    int pidfd;
    int errors; // our end of its standard error, -1: inherited, or at its end
    bool stay_in_group, ended;
    struct process_end end;
    size_t tail_len;
    char tail[PROCESS_ERRORS_BYTES]; // the end of its standard error
    char line[LINE_BYTES];
};

// --- Being stopped ---

static volatile sig_atomic_t stop_signal;
static int stop_event = -1;      // readable from the first signal on: a poll in any thread wakes
static volatile int64_t stop_ms; // when it was asked

static void on_signal(int number)
{
    int saved = errno;
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (!stop_signal)
        stop_ms = ms;
    // A later one: whoever sends it does not want to wait. At once it is the same one again: timeout(1) signals its child
    // and its group, a terminal that is closed does, too, and its shell.
    if (stop_signal && ms - stop_ms > SAME_SIGNAL_MS) {
        signal(number, SIG_DFL);
        raise(number); // delivered when this returns
    }
    stop_signal = number;
    uint64_t one = 1;
    ssize_t put = write(stop_event, &one, sizeof(one));
    (void)put; // full means readable
    errno = saved;
}

void process_guard(void)
{
    if (stop_event < 0)
        stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    static const int asks[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        struct sigaction old, now = {.sa_handler = on_signal};
        // what is ignored from the start (nohup, a job in the background) stays so
        if (sigaction(asks[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(asks[i], &now, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); // ignored, children would be reaped before we see how they ended
    // One byte: no file is written with that, and the kernel starts no handler (a core_pattern that is a pipe) either,
    // which it does for 0.
    struct rlimit none = {.rlim_cur = 1, .rlim_max = 1};
    if (setrlimit(RLIMIT_CORE, &none) != 0) {
        none = (struct rlimit){0}; // lower already, and may not be raised
        setrlimit(RLIMIT_CORE, &none);
    }
}

bool process_stop_asked(void)
{
    return stop_signal != 0;
}

int process_stop_signal(void)
{
    return stop_signal;
}

int process_stopped(struct err *err)
{
    int number = stop_signal;
    return err_set(err, EINTR, "stopped by signal %d (%s)", number, strsignal(number));
}

// --- Starting ---

extern char **environ;

static bool is_named(const char *entry, const char *name, size_t len)
{
    return strncmp(entry, name, len) == 0 && (entry[len] == '=' || entry[len] == '\0');
}

static bool is_changed(const char *entry, const char *const *changes)
{
    size_t len = strcspn(entry, "=");
    for (; changes && *changes; changes++)
        if (is_named(*changes, entry, len))
            return true;
    return false;
}

// Borrows all strings. free() the list.
static char **make_environment(const char *const *changes)
{
    size_t count = 1;
    for (char **e = environ; *e; e++)
        count++;
    for (const char *const *c = changes; c && *c; c++)
        count++;
    const char **list = calloc(count, sizeof(*list));
    if (!list)
        return NULL;
    size_t n = 0;
    for (char **e = environ; *e; e++)
        if (!is_changed(*e, changes))
            list[n++] = *e;
    for (const char *const *c = changes; c && *c; c++)
        if (strchr(*c, '='))
            list[n++] = *c;
    return (char **)(void *)list; // execvpe does not write to them
}

struct start {
    const struct process_conf *conf;
    char **env;
    int null, errors; // for its descriptors; errors -1: ours
    int report;       // an errno is written here when it cannot be started
    pid_t parent;
};

static bool put_on(int fd, int target)
{
    return dup2(fd, target) == target && fcntl(target, F_SETFD, 0) == 0;
}

// In the child. Nothing here takes a lock or memory: other threads may have held any when we forked.
static void become(const struct start *s)
{
    const struct process_conf *conf = s->conf;
    int report = s->report;
    static const int reset[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof(reset) / sizeof(reset[0]); i++) {
        struct sigaction old;
        bool ours = sigaction(reset[i], NULL, &old) == 0 && old.sa_handler == on_signal;
        if (ours || reset[i] == SIGPIPE)
            signal(reset[i], SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!conf->stay_in_group)
        setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != s->parent)
        _exit(1);
    // above 0 to 2 first: the caller's descriptors may be any
    int in = fcntl(conf->in < 0 ? s->null : conf->in, F_DUPFD_CLOEXEC, 3);
    int out = fcntl(conf->out < 0 ? s->null : conf->out, F_DUPFD_CLOEXEC, 3);
    int errors = s->errors < 0 ? -1 : fcntl(s->errors, F_DUPFD_CLOEXEC, 3);
    bool good = in >= 0 && out >= 0 && put_on(in, 0) && put_on(out, 1) &&
                (s->errors < 0 || (errors >= 0 && put_on(errors, 2))) &&
                (!conf->dir || chdir(conf->dir) == 0);
    if (good) {
        // Closed here, not by exec: while that closes files the kernel holds a lock of ours, and the daemon, which
        // looks at who closes a file on the mount (/proc/PID/stat), would wait for it, and exec for the daemon.
        report = report == 3 ? report : dup3(report, 3, O_CLOEXEC);
        syscall(SYS_close_range, 4U, ~0U, 0U);
        execvpe(conf->argv[0], (char *const *)(const void *)conf->argv, s->env);
    }
    int why = errno;
    ssize_t put = write(report, &why, sizeof(why));
    (void)put;
    _exit(127);
}

static int launch(struct process *p, struct start *s, struct err *err)
{
    int report[2], errors[2] = {-1, -1};
    if (pipe2(report, O_CLOEXEC) != 0)
        return err_errno(err, errno, "start %s", s->conf->argv[0]);
    auto_fd int told = report[0], tell = report[1];
    if (!s->conf->inherit_errors && pipe2(errors, O_CLOEXEC) != 0)
        return err_errno(err, errno, "start %s", s->conf->argv[0]);
    auto_fd int ours = errors[0], theirs = errors[1];
    s->report = tell;
    s->errors = theirs;
    s->parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become(s);
    if (pid < 0)
        return err_errno(err, errno, "start %s", s->conf->argv[0]);
    if (!s->conf->stay_in_group)
        setpgid(pid, pid); // whoever is first
    close(tell);
    tell = -1;
    int why = 0;
    ssize_t got;
    do
        got = read(told, &why, sizeof(why));
    while (got < 0 && errno == EINTR);
    int pidfd = got == 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (got == 0 && pidfd < 0) {
        why = errno;
        kill(pid, SIGKILL);
    }
    if (pidfd < 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return err_errno(err, why ? why : EIO, "start %s", s->conf->argv[0]);
    }
    if (ours >= 0)
        fcntl(ours, F_SETFL, O_NONBLOCK);
    p->pid = pid;
    p->pidfd = pidfd;
    p->errors = ours;
    ours = -1;
    return 0;
}

int process_start(const struct process_conf *conf, struct process **out, struct err *err)
{
    auto_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return err_errno(err, errno, "open /dev/null");
    auto_free char **env = make_environment(conf->env);
    auto_free struct process *p = calloc(1, sizeof(*p));
    if (!env || !p)
        return err_errno(err, ENOMEM, "start %s", conf->argv[0]);
    p->stay_in_group = conf->stay_in_group;
    struct start s = {.conf = conf, .env = env, .null = null};
    int rc = launch(p, &s, err);
    if (rc == 0)
        *out = take(p);
    return rc;
}

// --- Its standard error ---

static void keep(struct process *p, const char *data, size_t len)
{
    if (len >= sizeof(p->tail)) {
        memcpy(p->tail, data + len - sizeof(p->tail), sizeof(p->tail));
        p->tail_len = sizeof(p->tail);
        return;
    }
    size_t old = p->tail_len < sizeof(p->tail) - len ? p->tail_len : sizeof(p->tail) - len;
    memmove(p->tail, p->tail + p->tail_len - old, old);
    memcpy(p->tail + old, data, len);
    p->tail_len = old + len;
}

// All that is there now.
static void read_errors(struct process *p)
{
    char piece[4096];
    while (p->errors >= 0) {
        ssize_t got = read(p->errors, piece, sizeof(piece));
        if (got > 0) {
            keep(p, piece, (size_t)got);
        } else if (got < 0 && errno == EINTR) {
            continue;
        } else {
            if (got == 0 || errno != EAGAIN) {
                close(p->errors);
                p->errors = -1;
            }
            return;
        }
    }
}

static bool says_error(const char *line, size_t len)
{
    static const char *const words[] = {"error:", "fatal:", "panic:"};
    for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
        size_t n = strlen(words[w]);
        for (size_t i = 0; i + n <= len; i++)
            if (strncasecmp(line + i, words[w], n) == 0)
                return true;
    }
    return false;
}

// What a line below the error adds to it: why the server was lost, or that its disk is full. A DETAIL may hold data.
static const char *reason_in(const char *line, size_t len, size_t *out_len)
{
    static const char *const words[] = {"detail: Error message from server: ", "HINT:  "};
    for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
        size_t n = strlen(words[w]);
        const char *found = memmem(line, len, words[w], n);
        if (found && (w == 0 || found == line)) {
            *out_len = len - (size_t)(found + n - line);
            return found + n;
        }
    }
    return NULL;
}

static void add_reason(struct process *p, const char *from)
{
    const char *end = p->tail + p->tail_len;
    while (from < end) {
        const char *stop = memchr(from, '\n', (size_t)(end - from));
        size_t len = (size_t)((stop ? stop : end) - from), more = 0, used = strlen(p->line);
        const char *reason = reason_in(from, len, &more);
        if (reason && more < 256 && used + more + 3 < sizeof(p->line)) {
            if (used > 0 && p->line[used - 1] == '.')
                used--;
            snprintf(p->line + used, sizeof(p->line) - used, "; %.*s", (int)more, reason);
            return;
        }
        from += len + 1;
    }
}

static void choose_line(struct process *p)
{
    const char *best = NULL;
    size_t best_len = 0;
    bool best_says = false;
    for (size_t from = 0; from < p->tail_len;) {
        const char *line = p->tail + from;
        const char *end = memchr(line, '\n', p->tail_len - from);
        size_t len = end ? (size_t)(end - line) : p->tail_len - from;
        from += len + 1;
        while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
            len--;
        // a worker of pg_dump -j or pg_restore -j: what it said itself stands above
        static const char follows[] = "worker process died unexpectedly";
        bool says = says_error(line, len) && !memmem(line, len, follows, sizeof(follows) - 1);
        if (len > 0 && (says || !best_says)) {
            best = line;
            best_len = len;
            best_says = says;
        }
    }
    if (best_len >= sizeof(p->line))
        best_len = sizeof(p->line) - 1;
    if (best)
        memcpy(p->line, best, best_len);
    p->line[best_len] = '\0';
    if (best_says)
        add_reason(p, best + best_len);
}

const char *process_error_line(const struct process *p)
{
    return p->line;
}

// --- Its end ---

static bool has_ended(const struct process *p)
{
    siginfo_t info = {0};
    return waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

static void reap(struct process *p)
{
    siginfo_t info = {0};
    while (waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED) != 0 && errno == EINTR)
        ;
    p->ended = true;
    bool exited = info.si_code == CLD_EXITED;
    p->end = (struct process_end){.exit_code = exited ? info.si_status : -1,
                                  .signal = exited ? 0 : info.si_status};
    // others may hold the other end still (a job in the background): what they say is not waited for
    read_errors(p);
    choose_line(p);
}

pid_t process_pid(const struct process *p)
{
    return p->pid;
}

bool process_poll(struct process *p, struct process_end *out)
{
    if (!p->ended) {
        read_errors(p);
        if (!has_ended(p))
            return false;
        reap(p);
    }
    *out = p->end;
    return true;
}

// Until it has ended or the time is over (-1: never) or, with `stoppable`, a stop is asked.
static void await(struct process *p, int64_t ms, bool stoppable)
{
    uint64_t until = clock_ms() + (ms < 0 ? 0 : (uint64_t)ms);
    while (!has_ended(p) && !(stoppable && process_stop_asked())) {
        uint64_t now = clock_ms();
        if (ms >= 0 && now >= until)
            return;
        struct pollfd wait[] = {{.fd = p->pidfd, .events = POLLIN},
                                {.fd = p->errors, .events = POLLIN},
                                {.fd = stoppable ? stop_event : -1, .events = POLLIN}};
        poll(wait, 3, ms < 0 ? -1 : (int)(until - now)); // an error shows at the next look
        read_errors(p);
    }
}

static void signal_it(const struct process *p, int number)
{
    // Its group is its own from the start, and cannot be another's before it is reaped.
    kill(p->stay_in_group ? p->pid : -p->pid, number);
}

// The whole group: SIGTERM, after some seconds SIGKILL; waits.
static void end_group(struct process *p)
{
    if (p->ended)
        return;
    signal_it(p, SIGTERM);
    await(p, KILL_AFTER_MS, false);
    signal_it(p, SIGKILL); // also what is left of its group
    await(p, -1, false);
    reap(p);
}

bool process_wait_for(struct process *p, int ms, struct process_end *out)
{
    if (!p->ended) {
        await(p, ms, true);
        if (!has_ended(p))
            return false;
        reap(p);
    }
    *out = p->end;
    return true;
}

int process_wait(struct process *p, struct process_end *out, struct err *err)
{
    bool terminal = false; // Ctrl-C went to it too: it decides what that means
    while (!p->ended) {
        await(p, -1, !terminal);
        if (has_ended(p)) {
            reap(p);
        } else if (p->stay_in_group && stop_signal == SIGINT) {
            terminal = true;
        } else {
            end_group(p);
            return process_stopped(err);
        }
    }
    *out = p->end;
    return 0;
}

void process_free(struct process *p)
{
    if (!p)
        return;
    int saved = errno;
    end_group(p);
    close(p->pidfd);
    if (p->errors >= 0)
        close(p->errors);
    free(p);
    errno = saved;
}

int process_judge(const struct process *p, const char *name, const struct process_end *end,
                  struct err *err)
{
    const char *line = process_error_line(p);
    if (end->signal)
        return err_set(err, EIO, "%s was killed by signal %d (%s)%s%s", name, end->signal,
                       strsignal(end->signal), *line ? ": " : "", line);
    if (end->exit_code != 0)
        return err_set(err, EIO, "%s exited with %d%s%s", name, end->exit_code, *line ? ": " : "",
                       line);
    return 0;
}

int process_read_output(int fd, size_t most_bytes, char **out, struct err *err)
{
    off_t len = lseek(fd, 0, SEEK_END);
    if (len < 0)
        return err_errno(err, errno, "a file in memory");
    if ((uint64_t)len > most_bytes)
        return err_set(err, EFBIG, "it is larger than %zu bytes", most_bytes);
    auto_free char *text = malloc((size_t)len + 1);
    if (!text)
        return err_errno(err, ENOMEM, "%lld bytes of output", (long long)len);
    for (off_t at = 0; at < len;) {
        ssize_t got = pread(fd, text + at, (size_t)(len - at), at);
        if (got <= 0)
            return err_errno(err, got < 0 ? errno : EIO, "a file in memory");
        at += got;
    }
    text[len] = '\0';
    *out = take(text);
    return 0;
}
