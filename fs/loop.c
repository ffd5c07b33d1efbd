#include "fs/loop.h"

#include "backend/base/scope.h"
#include "fs/ops.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

struct worker {
    struct loop *loop;
    unsigned slot;
    pthread_t thread;
    struct fuse_buf buf; // libfuse allocates it at the first read
    atomic_bool reads, done;
};

struct loop {
    struct fuse_session *fuse;
    unsigned max;
    struct interrupts *interrupts;

    pthread_mutex_t lock; // what follows is under it
    pthread_cond_t changed;
    bool ended;
    int rc;               // -errno of the read that ended it
    unsigned count, idle; // threads: all, and those that wait for a request
    struct worker workers[];
};

static void end(struct loop *l, int rc)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&l->lock);
    if (!l->ended)
        l->rc = rc;
    l->ended = true;
    fuse_session_exit(l->fuse);
    pthread_cond_signal(&l->changed);
}

static void *run_worker(void *arg);

// One more thread. With the lock.
static int start_worker(struct loop *l)
{
    struct worker *w = &l->workers[l->count];
    w->loop = l;
    w->slot = l->count;
    int rc = pthread_create(&w->thread, NULL, run_worker, w);
    if (rc)
        return -rc;
    l->count++;
    l->idle++;
    return 0;
}

// Handled at once: no other thread is needed in the meantime.
static bool is_short(uint32_t opcode)
{
    return opcode == FUSE_INIT || opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET;
}

// There is always one that waits for the next request, up to the bound.
static void begin_request(struct loop *l, uint32_t opcode)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&l->lock);
    l->idle--;
    if (l->idle == 0 && l->count < l->max && !l->ended && !is_short(opcode))
        start_worker(l); // else those that are there go on
}

static void end_request(struct loop *l)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&l->lock);
    l->idle++;
}

static void handle(struct worker *w)
{
    struct loop *l = w->loop;
    assert(!(w->buf.flags & FUSE_BUF_IS_FD) && w->buf.size >= sizeof(struct fuse_in_header));
    const struct fuse_in_header *header = w->buf.mem;
    if (interrupts_keep(l->interrupts, header, w->buf.size))
        return;
    begin_request(l, header->opcode);
    interrupts_enter(l->interrupts, w->slot, header);
    fuse_session_process_buf(l->fuse, &w->buf);
    struct message *kept = interrupts_leave(l->interrupts, w->slot);
    while (kept) {
        struct message *message = kept;
        kept = message->next;
        struct fuse_buf buf = {.mem = &message->header, .size = message->len};
        fuse_session_process_buf(l->fuse, &buf);
        free(message);
    }
    end_request(l);
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    struct loop *l = w->loop;
    int got = 0;
    while (!fuse_session_exited(l->fuse)) {
        w->reads = true;
        got = fuse_session_receive_buf(l->fuse, &w->buf);
        w->reads = false;
        if (got > 0)
            handle(w);
        else if (got != -EINTR && got != -EAGAIN)
            break;
        got = 0;
    }
    end(l, got);
    w->done = true;
    return NULL;
}

int loop_run(struct loop *l, struct err *err)
{
    pthread_mutex_lock(&l->lock);
    int rc = l->ended ? 0 : start_worker(l);
    while (!rc && !l->ended)
        pthread_cond_wait(&l->changed, &l->lock);
    l->ended = true; // no more threads are started
    int ended_by = l->rc;
    pthread_mutex_unlock(&l->lock);
    if (rc)
        return err_errno(err, -rc, "start a thread");
    return ended_by ? err_errno(err, -ended_by, "the session ended") : 0;
}

static void nothing(int number)
{
    (void)number; // it only interrupts a read
}

// A thread may have missed a signal that came just before its read. (pthread_cancel would leave its stack poisoned to
// AddressSanitizer.)
void loop_join(struct loop *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        struct worker *w = &l->workers[i];
        while (!w->done) {
            if (w->reads)
                pthread_kill(w->thread, SIGUSR1);
            struct timespec pause = {.tv_nsec = 1000000};
            nanosleep(&pause, NULL);
        }
        pthread_join(w->thread, NULL);
    }
}

void loop_stop(struct loop *l)
{
    end(l, 0);
}

int loop_new(const struct loop_conf *conf, struct loop **out, struct err *err)
{
    struct loop *l = calloc(1, sizeof(*l) + conf->threads * sizeof(*l->workers));
    if (!l)
        return err_errno(err, ENOMEM, "serve the mount");
    l->fuse = conf->fuse;
    l->max = conf->threads;
    struct interrupts_conf interrupts = {
        .fd = fuse_session_fd(conf->fuse),
        .slots = conf->threads,
        .killed = conf->killed,
        .ctx = conf->ctx,
    };
    int rc = interrupts_new(&interrupts, &l->interrupts, err);
    if (rc) {
        free(l);
        return rc;
    }
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = nothing}, NULL);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    *out = l;
    return 0;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    interrupts_free(l->interrupts);
    for (unsigned i = 0; i < l->count; i++)
        free(l->workers[i].buf.mem);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
