#include "fs/interrupts.h"

#include "backend/base/clock.h"
#include "backend/base/log.h"
#include "backend/base/scope.h"
#include "fs/holders.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define LOOK_EVERY_MS 500
#define LOOK_FROM_MS 50 // calls that take less are not worth a look
// Who was answered dies, and closes its files one by one, each of which may have to be answered too.
#define LOOK_AGAIN_MS 50
#define LOOK_AGAIN_FOR_MS 1000

// A thread that handles calls, and the call it handles.
struct slot {
    bool busy, answered; // answered: for its caller, before the handler was through
    uint64_t began_ms;
    uint64_t unique, ino;
    uint32_t opcode;
    pid_t tid;
};

struct interrupts {
    struct interrupts_conf conf;
    pthread_t watcher;
    uint64_t eager_until_ms; // the watcher's own

    pthread_mutex_t lock; // what follows is under it
    pthread_cond_t changed;
    bool stop, sleeping;
    unsigned busy, answered;
    struct message *kept;
    struct slot slots[];
};

// --- The caller ---

static uint64_t signals_of(const char *status, const char *field)
{
    const char *line = strstr(status, field);
    uint64_t set = 0;
    return line && sscanf(line + strlen(field), " %" SCNx64, &set) == 1 ? set : 0;
}

static uint64_t bit(int number)
{
    return UINT64_C(1) << (number - 1);
}

// Those that a process survives when it does nothing about them.
static uint64_t harmless(void)
{
    return bit(SIGCHLD) | bit(SIGCONT) | bit(SIGURG) | bit(SIGWINCH) | bit(SIGSTOP) | bit(SIGTSTP) |
           bit(SIGTTIN) | bit(SIGTTOU);
}

enum caller_end caller_judge(const char *status, pid_t *out_group, int *out_signal)
{
    const char *line = strstr(status, "\nTgid:");
    int group = 0;
    if (!line || sscanf(line, "\nTgid: %d", &group) != 1)
        return CALLER_STAYS;
    *out_group = group;
    uint64_t own = signals_of(status, "\nSigPnd:"), shared = signals_of(status, "\nShdPnd:");
    uint64_t cared_for = signals_of(status, "\nSigBlk:") | signals_of(status, "\nSigIgn:") |
                         signals_of(status, "\nSigCgt:");
    // What is fatal becomes a SIGKILL for each thread (complete_signal() in kernel/signal.c); the signal itself stays
    // pending where it was sent. A SIGKILL for the thread alone is how exit and exec end the other threads.
    uint64_t ends = ((own | shared) & ~cared_for & ~harmless() & ~bit(SIGKILL)) |
                    (shared & bit(SIGKILL));
    if (ends) {
        *out_signal = __builtin_ctzll(ends) + 1;
        return CALLER_KILLED;
    }
    return own & bit(SIGKILL) ? CALLER_LEAVES : CALLER_STAYS;
}

// May it be execve that closes a descriptor? That ends all other threads first, and what it locks is what
// holders_ending_signal would wait for.
static bool may_be_exec(const char *status, uint32_t opcode)
{
    return opcode == FUSE_FLUSH && strstr(status, "\nThreads:\t1\n");
}

static enum caller_end look_at(pid_t tid, uint32_t opcode, pid_t *out_group, int *out_signal)
{
    char text[4096];
    if (!holders_read_status(tid, text, sizeof(text)))
        return CALLER_STAYS;
    enum caller_end end = caller_judge(text, out_group, out_signal);
    if (end == CALLER_KILLED)
        return end;
    // in its last close nothing is pending any more; and a signal to another thread of it is known by the code alone
    int number;
    bool is_killed = holders_exit(tid, &number) == HOLDER_KILLED;
    if (!is_killed && end == CALLER_LEAVES && !may_be_exec(text, opcode))
        is_killed = (number = holders_ending_signal(tid)) > 0;
    if (!is_killed)
        return end;
    *out_signal = number;
    return CALLER_KILLED;
}

// --- Answering ---

// Nobody waits for these.
static bool has_no_caller(uint32_t opcode)
{
    return opcode == FUSE_INIT || opcode == FUSE_DESTROY || opcode == FUSE_INTERRUPT ||
           opcode == FUSE_NOTIFY_REPLY || opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET ||
           opcode == FUSE_RELEASE || opcode == FUSE_RELEASEDIR;
}

static bool changes_nothing(uint32_t opcode)
{
    return opcode == FUSE_LOOKUP || opcode == FUSE_GETATTR || opcode == FUSE_READLINK ||
           opcode == FUSE_READ || opcode == FUSE_STATFS || opcode == FUSE_GETXATTR ||
           opcode == FUSE_LISTXATTR || opcode == FUSE_OPENDIR || opcode == FUSE_READDIR ||
           opcode == FUSE_READDIRPLUS;
}

static void answer(const struct interrupts *all, uint64_t unique, int error)
{
    struct fuse_out_header out = {.len = sizeof(out), .error = error, .unique = unique};
    // it may be answered by now, which is ENOENT; or the mount is gone
    if (write(all->conf.fd, &out, sizeof(out)) < 0 && errno != ENOENT)
        log_debug("interrupt a call: %s", strerror(errno));
}

// Whose process id it is may have changed by now only if the call was answered: then all of this is without effect.
static void look_at_call(struct interrupts *all, unsigned number, const struct slot *call)
{
    pid_t group = 0;
    int signal = 0;
    enum caller_end end = look_at(call->tid, call->opcode, &group, &signal);
    if (end == CALLER_STAYS || (end == CALLER_LEAVES && !changes_nothing(call->opcode)))
        return;
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
        struct slot *slot = &all->slots[number];
        if (!slot->busy || slot->unique != call->unique)
            return;
        slot->answered = true;
        all->answered++;
    }
    all->eager_until_ms = clock_ms() + LOOK_AGAIN_FOR_MS;
    if (end == CALLER_KILLED)
        all->conf.killed(all->conf.ctx, call->opcode, call->ino, group, signal);
    answer(all, call->unique, -EINTR);
}

static void look_at_all(struct interrupts *all)
{
    uint64_t now = clock_ms();
    for (unsigned i = 0; i < all->conf.slots; i++) {
        pthread_mutex_lock(&all->lock);
        struct slot call = all->slots[i];
        pthread_mutex_unlock(&all->lock);
        bool is_due = call.busy && !call.answered && call.tid > 0 &&
                      now >= call.began_ms + LOOK_FROM_MS && !has_no_caller(call.opcode);
        if (is_due)
            look_at_call(all, i, &call);
    }
}

// Sleeps while nothing runs, and some time between two looks. False: the end.
static bool wait_for_look(struct interrupts *all)
{
    uint64_t pause_ms = clock_ms() < all->eager_until_ms ? LOOK_AGAIN_MS : LOOK_EVERY_MS;
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    while (!all->stop && all->busy == 0) {
        all->sleeping = true;
        pthread_cond_wait(&all->changed, &all->lock);
        all->sleeping = false;
    }
    struct timespec until = clock_at(clock_ms() + pause_ms);
    while (!all->stop && pthread_cond_timedwait(&all->changed, &all->lock, &until) == 0)
        continue;
    return !all->stop;
}

static void *run_watcher(void *arg)
{
    struct interrupts *all = arg;
    while (wait_for_look(all))
        look_at_all(all);
    return NULL;
}

// --- Calls ---

void interrupts_enter(struct interrupts *all, unsigned number, const struct fuse_in_header *header)
{
    uint64_t now = clock_ms();
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    struct slot *slot = &all->slots[number];
    assert(!slot->busy);
    *slot = (struct slot){
        .busy = true,
        .began_ms = now,
        .unique = header->unique,
        .ino = header->nodeid,
        .opcode = header->opcode,
        .tid = (pid_t)header->pid,
    };
    if (all->busy++ == 0 && all->sleeping)
        pthread_cond_signal(&all->changed);
}

// Does the message end what a call uses that was answered early? Of a handle's calls all have its inode; a FORGET may be of
// any inode that a call came by. With the lock.
static bool must_wait(const struct interrupts *all, const struct fuse_in_header *header)
{
    bool is_release = header->opcode == FUSE_RELEASE || header->opcode == FUSE_RELEASEDIR;
    bool is_forget = header->opcode == FUSE_FORGET || header->opcode == FUSE_BATCH_FORGET;
    if (all->answered == 0 || !(is_release || is_forget))
        return false;
    for (unsigned i = 0; i < all->conf.slots; i++) {
        const struct slot *slot = &all->slots[i];
        if (slot->answered && (is_forget || slot->ino == header->nodeid))
            return true;
    }
    return false;
}

struct message *interrupts_leave(struct interrupts *all, unsigned number)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    struct slot *slot = &all->slots[number];
    assert(slot->busy);
    bool was_answered = slot->answered;
    *slot = (struct slot){0};
    all->busy--;
    if (!was_answered)
        return NULL;
    all->answered--;
    struct message *free_now = NULL, **end = &free_now;
    for (struct message **link = &all->kept; *link;) {
        struct message *message = *link;
        if (must_wait(all, &message->header)) {
            link = &message->next;
            continue;
        }
        *link = message->next;
        message->next = NULL;
        *end = message;
        end = &message->next;
    }
    return free_now;
}

bool interrupts_keep(struct interrupts *all, const struct fuse_in_header *header, size_t len)
{
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
        if (!must_wait(all, header))
            return false;
        struct message *message = malloc(offsetof(struct message, header) + len);
        if (message) {
            memcpy(&message->header, header, len);
            message->len = len;
            struct message **end = &all->kept;
            while (*end)
                end = &(*end)->next;
            message->next = NULL;
            *end = message;
        } else {
            // let go when the session ends
            log_error("interrupt a call: out of memory: a handle is kept inode=%" PRIu64,
                      header->nodeid);
        }
    }
    // the kernel does not send many at once, and nobody waits for what comes of it
    if (header->opcode == FUSE_RELEASE || header->opcode == FUSE_RELEASEDIR)
        answer(all, header->unique, 0);
    return true;
}

// --- Coming and going ---

int interrupts_new(const struct interrupts_conf *conf, struct interrupts **out, struct err *err)
{
    struct interrupts *all = calloc(1, sizeof(*all) + conf->slots * sizeof(*all->slots));
    if (!all)
        return err_errno(err, ENOMEM, "serve the mount");
    all->conf = *conf;
    pthread_mutex_init(&all->lock, NULL);
    clock_cond_init(&all->changed);
    int rc = pthread_create(&all->watcher, NULL, run_watcher, all);
    if (rc) {
        pthread_cond_destroy(&all->changed);
        pthread_mutex_destroy(&all->lock);
        free(all);
        return err_errno(err, rc, "start a thread");
    }
    *out = all;
    return 0;
}

void interrupts_free(struct interrupts *all)
{
    if (!all)
        return;
    pthread_mutex_lock(&all->lock);
    assert(all->busy == 0 && !all->kept);
    all->stop = true;
    pthread_cond_signal(&all->changed);
    pthread_mutex_unlock(&all->lock);
    pthread_join(all->watcher, NULL);
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    free(all);
}
