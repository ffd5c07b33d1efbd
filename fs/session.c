#include "fs/session.h"

#include "backend/base/log.h"
#include "backend/base/scope.h"
#include "fs/loop.h"
#include "fs/mountpoint.h"
#include "fs/ops.h"
#include "fs/takedown.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#define READ_AHEAD_KIB "1024"
#define TAKEDOWN_MS 10000 // once there is nothing left to wait for

struct session {
    struct stack *stack;
    const char *point;
    struct fuse_session *fuse;
    struct loop *loop;
    pthread_t herald, watcher;
    void (*ready)(void *ctx);
    void *ctx;
    sem_t served; // the kernel's INIT was answered, or the session ended before
    atomic_bool ended, drained;
};

static void sigset_of_session(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

void session_block_signals(void)
{
    sigset_t set;
    sigset_of_session(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}

// --- While nothing is mounted yet ---

static pthread_t guard;
static atomic_bool guard_ended;

static void *run_guard(void *arg)
{
    (void)arg;
    sigset_t set;
    sigset_of_session(&set);
    for (int number = 0; !guard_ended; sigwait(&set, &number))
        if (number == SIGTERM || number == SIGINT)
            _exit(EXIT_FAILURE);
    return NULL;
}

int session_guard_begin(struct err *err)
{
    guard_ended = false;
    int rc = pthread_create(&guard, NULL, run_guard, NULL);
    return rc ? err_errno(err, rc, "start a thread") : 0;
}

void session_guard_end(void)
{
    guard_ended = true;
    pthread_kill(guard, SIGHUP);
    pthread_join(guard, NULL);
}

// --- Serving ---

// READ requests are 128 KiB until this is raised: a half more throughput. Root only; otherwise it stays.
static void raise_read_ahead(const char *point)
{
    char device[32], path[96];
    if (!mountpoint_device(point, device))
        return;
    snprintf(path, sizeof(path), "/sys/class/bdi/%s/read_ahead_kb", device);
    auto_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, READ_AHEAD_KIB, strlen(READ_AHEAD_KIB)) < 0)
        log_debug("read-ahead stays as it is path=%s", path);
}

// Says that it is mounted once the kernel serves it: the first request answered is the proof.
static void *run_herald(void *arg)
{
    struct session *s = arg;
    while (sem_wait(&s->served) != 0)
        continue;
    if (!s->ended) {
        raise_read_ahead(s->point);
        s->ready(s->ctx);
    }
    return NULL;
}

static void drain(struct session *s)
{
    s->stack->draining = true;
    unsigned count = writers_count(s->stack->writers);
    if (count > 0)
        log_info("ending: waiting for %u files that are being written", count);
    count = writers_drain(s->stack->writers, s->stack->conf->mount.drain_deadline_ms);
    if (count > 0)
        log_error("ending: %u files were still being written after [mount] drain_deadline; "
                  "they are not stored",
                  count);
}

static void *run_watcher(void *arg)
{
    struct session *s = arg;
    sigset_t set;
    sigset_of_session(&set);
    int number;
    do {
        number = 0;
        sigwait(&set, &number);
    } while (!s->ended && number != SIGTERM && number != SIGINT);
    if (!s->ended) {
        drain(s);
        s->drained = true;
        loop_stop(s->loop);
    }
    return NULL;
}

static int make_session(struct session *s, struct err *err)
{
    const struct conf *conf = s->stack->conf;
    char options[1024], name[600];
    snprintf(name, sizeof(name), "%s", conf->store.url);
    for (char *p = name; *p; p++)
        if (*p == ',' || *p == '\\')
            *p = '_';
    snprintf(options, sizeof(options),
             "fsname=%s,subtype=bakfs,nodev,nosuid,noatime,max_read=%d%s%s", name, 1 << 20,
             conf->mount.read_only ? ",ro" : "",
             conf->mount.allow_other ? ",allow_other,default_permissions" : "");
    char *argv[] = {(char[]){"bakfs"}, (char[]){"-o"}, options, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, argv);
    s->fuse = fuse_session_new(&args, &mount_ops, sizeof(mount_ops), s);
    fuse_opt_free_args(&args);
    return s->fuse ? 0 : err_set(err, EIO, "libfuse takes no session");
}

// Nobody hears of it any more: what this caller was writing must not be taken for whole.
static void killed(void *ctx, uint32_t opcode, uint64_t ino, pid_t group, int signal)
{
    const struct session *s = ctx;
    bool is_write = opcode == FUSE_WRITE;
    if (is_write || opcode == FUSE_FLUSH || opcode == FUSE_FSYNC || opcode == FUSE_SETATTR)
        writers_doom(s->stack->writers, ino, group, signal, is_write);
}

// No dead mount stays behind. The library would close what the threads still read from.
static void detach(void *ctx)
{
    const struct session *s = ctx;
    if (umount2(s->point, UMOUNT_NOFOLLOW | MNT_DETACH) == 0 || geteuid() == 0)
        return;
    pid_t child;
    char *argv[] = {(char[]){"fusermount3"}, (char[]){"-uqz"}, (char[]){"--"}, strdup(s->point),
                    NULL};
    if (argv[3] && posix_spawnp(&child, argv[0], NULL, NULL, argv, environ) == 0)
        waitpid(child, NULL, 0);
    free(argv[3]);
}

static int run_loop(struct session *s, struct err *err)
{
    int rc = loop_run(s->loop, err);
    s->ended = true;
    // a file may be waited for as long as [mount] drain_deadline says, after SIGTERM and umount alike
    uint64_t drain_ms = s->drained ? 0 : s->stack->conf->mount.drain_deadline_ms;
    // who unmounted it may have mounted something else there
    takedown_begin(drain_ms + TAKEDOWN_MS, s->drained ? detach : NULL, s);
    return rc;
}

// Serves until the end has come, and waits for the calls that are still being handled.
static int serve(struct session *s, struct err *err)
{
    int rc = pthread_create(&s->herald, NULL, run_herald, s);
    if (rc)
        return err_errno(err, rc, "start a thread");
    rc = pthread_create(&s->watcher, NULL, run_watcher, s);
    if (!rc) {
        rc = run_loop(s, err);
        pthread_kill(s->watcher, SIGHUP); // ends its wait
        pthread_join(s->watcher, NULL);
    } else {
        rc = err_errno(err, rc, "start a thread");
    }
    s->ended = true;
    sem_post(&s->served);
    pthread_join(s->herald, NULL);
    loop_join(s->loop);
    return rc;
}

void session_served(struct session *s)
{
    sem_post(&s->served);
}

struct stack *session_stack(struct session *s)
{
    return s->stack;
}

int session_run(struct stack *stack, const char *point, void (*ready)(void *ctx), void *ctx,
                struct err *err)
{
    struct session s = {
        .stack = stack,
        .point = point,
        .ready = ready,
        .ctx = ctx,
    };
    sem_init(&s.served, 0, 0);
    int rc = make_session(&s, err);
    if (!rc && fuse_session_mount(s.fuse, point) != 0)
        rc = err_set(err, EIO, "mount at '%s': is fuse there (/dev/fuse), and may you mount?",
                     point);
    if (!rc) {
        struct loop_conf loop = {
            .fuse = s.fuse,
            .threads = stack->fuse_threads,
            .killed = killed,
            .ctx = &s,
        };
        rc = loop_new(&loop, &s.loop, err);
        if (!rc)
            rc = serve(&s, err);
        loop_free(s.loop);
        takedown_forget();
        fuse_session_unmount(s.fuse);
    }
    if (s.fuse)
        fuse_session_destroy(s.fuse);
    ops_close_left();
    ops_close_left_dirs();
    sem_destroy(&s.served);
    return rc;
}
