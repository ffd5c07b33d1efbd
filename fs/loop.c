#include "fs/loop.h"

#include "backend/base/scope.h"
#include "fs/ops.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

struct worker {
    struct loop *loop;
    unsigned slot;
    pthread_t thread;
    struct fuse_buf buf; // libfuse allocates it at the first read
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
    // it is cancelled in its read only, as libfuse's own threads are
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    while (!fuse_session_exited(l->fuse)) {
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
        got = fuse_session_receive_buf(l->fuse, &w->buf);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        if (got == -EINTR || got == -EAGAIN)
            continue;
        if (got <= 0)
            break;
        handle(w);
    }
    end(l, got < 0 ? got : 0);
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

void loop_join(struct loop *l)
{
    for (unsigned i = 0; i < l->count; i++)
        pthread_cancel(l->workers[i].thread);
    for (unsigned i = 0; i < l->count; i++)
        pthread_join(l->workers[i].thread, NULL);
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
