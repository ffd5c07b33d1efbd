#include "fs/writer_impl.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "fs/holders.h"

#include <errno.h>
#include <string.h>

void writer_set_mtime_now(struct writer *w)
{
    struct timespec now = w->all->conf.store->ops->now(w->all->conf.store);
    w->mtime_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

bool writer_is_member(const struct writer *w, pid_t group)
{
    for (size_t i = 0; i < w->group_count; i++)
        if (w->groups[i] == group)
            return true;
    return false;
}

void writer_add_group(struct writer *w, pid_t group)
{
    if (group <= 0 || writer_is_member(w, group))
        return;
    auto_unlock pthread_mutex_t *held = scope_lock(&w->all->lock);
    pid_t *more = reallocarray(w->groups, w->group_count + 1, sizeof(*more));
    if (!more)
        return; // its close will not commit; the last release does
    w->groups = more;
    w->groups[w->group_count++] = group;
}

void writer_add_member(struct writer *w, pid_t tid)
{
    if (tid == w->last_tid)
        return;
    writer_add_group(w, holders_group(tid));
    w->last_tid = tid;
}

void writer_destroy(struct writer *w)
{
    bytes_drop(w);
    pthread_mutex_destroy(&w->lock);
    free(w->groups);
    free(w->inos);
    free(w->path);
    free(w);
}

static struct writer_end end_of(const struct writer *w)
{
    return (struct writer_end){
        .path = w->path,
        .inos = w->inos,
        .ino_count = w->ino_count,
        .replaced = w->cond.if_match,
    };
}

// Latches; nothing will be stored. Called with the lock.
static int fail(struct writer *w, const struct err *failure)
{
    w->state = FAILED;
    w->failure = *failure;
    bytes_drop(w);
    // its inode is given up before the path can be created anew
    struct writer_end end = end_of(w);
    end.failure = &w->failure;
    w->all->conf.failed(w->all->conf.ctx, &end);
    writers_unlist(w);
    return -failure->code;
}

static int latch(struct writer *w, struct err *err)
{
    struct err failure = *err;
    fail(w, &failure);
    return err_copy(err, &failure);
}

// Latches the death of a writer.
static int fail_of_death(struct writer *w, pid_t group, bool is_killed, int code, struct err *err)
{
    if (is_killed)
        err_set(err, EIO, "its writer, process %d, was killed by signal %d: nothing was stored",
                group, code);
    else
        err_set(err, EIO, "its writer, process %d, exited with status %d: nothing was stored",
                group, code);
    return latch(w, err);
}

// Was a writer killed in the middle of a call?
static int check_doom(struct writer *w, struct err *err)
{
    if (w->state != WRITING || !w->doomed_group)
        return 0;
    return fail_of_death(w, w->doomed_group, true, w->doomed_signal, err);
}

static int too_long(struct err *err)
{
    return err_set(err, EFBIG, "a file has at most 128 TiB");
}

static int check_open(struct writer *w, struct err *err)
{
    int rc = check_doom(w, err);
    if (rc)
        return rc;
    if (w->state == FAILED)
        return err_copy(err, &w->failure);
    if (w->state == COMMITTED)
        return err_set(err, ESTALE, "'%s' was stored meanwhile", w->path);
    return 0;
}

int writer_write(struct writer *w, pid_t tid, uint64_t off, const void *bytes, size_t len,
                 struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    int rc = check_open(w, err);
    if (rc)
        return rc;
    writer_add_member(w, tid);
    w->written = true;
    w->closed_clean = false;
    if (off == WRITER_APPEND)
        off = w->size;
    rc = off > OBJECT_SIZE_MAX - len ? too_long(err) : bytes_put(w, off, bytes, len, err);
    if (rc)
        return latch(w, err);
    if (off + len > w->size)
        w->size = off + len;
    if (!w->mtime_set)
        writer_set_mtime_now(w);
    return 0;
}

int writer_read(struct writer *w, pid_t tid, bool as_member, uint64_t off, void *out, size_t len,
                size_t *out_len, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    int rc = check_open(w, err);
    if (rc)
        return rc;
    if (as_member && !writer_is_member(w, holders_group(tid)))
        return err_set(err, EBUSY, "it is being written: it can be read once it is stored");
    size_t n = w->size > off ? (size_t)min_u64(len, w->size - off) : 0;
    rc = n > 0 ? bytes_get(w, off, out, n, err) : 0;
    if (!rc)
        *out_len = n;
    return rc;
}

int writer_truncate(struct writer *w, uint64_t size, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    int rc = check_open(w, err);
    if (rc || size == w->size)
        return rc;
    w->written = true;
    w->closed_clean = false;
    rc = size > OBJECT_SIZE_MAX ? too_long(err) : bytes_truncate(w, size, err);
    if (rc) // who ignores it must not store something else
        return latch(w, err);
    w->size = size;
    if (!w->mtime_set)
        writer_set_mtime_now(w);
    return 0;
}

void writer_set_mtime(struct writer *w, struct timespec mtime)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    if (w->state != WRITING)
        return;
    w->mtime_ns = (int64_t)mtime.tv_sec * 1000000000 + mtime.tv_nsec;
    w->mtime_set = true;
}

bool writer_is_stored(const struct writer *w)
{
    return w->stored;
}

// Called with the lock, in state WRITING.
static int commit(struct writer *w, struct err *err)
{
    int rc = bytes_finish(w, err);
    if (rc)
        return latch(w, err);
    struct object_times times = {
        .mtime = writer_look(w).mtime,
        .committed = w->all->conf.store->ops->now(w->all->conf.store),
        .flags = w->flags,
        .complete = bytes_complete(w),
    };
    rc = object_writer_commit(w->object, &times, &w->info, err);
    if (rc == -ECANCELED && w->doomed_group)
        return check_doom(w, err);
    if (rc)
        return latch(w, err);
    struct object_key key;
    object_writer_key(w->object, &key);
    bytes_drop(w);
    w->state = COMMITTED;
    w->stored = true;
    // known to the tree before it leaves the table, or it would not be there in between
    struct writer_end end = end_of(w);
    end.info = &w->info;
    end.key = &key;
    w->all->conf.committed(w->all->conf.ctx, &end);
    secret_wipe(&key, sizeof(key));
    writers_unlist(w);
    return 0;
}

// Who calls a flush.
struct closer {
    pid_t group; // 0: not to be seen
    enum holder_exit exit;
    int code;
};

// Looked at before the lock is waited for: a caller that is killed meanwhile is answered early, and gone.
static struct closer look_at_closer(pid_t tid)
{
    struct closer closer = {.group = holders_group(tid)};
    closer.exit = holders_exit(tid, &closer.code);
    return closer;
}

// Did the caller of this flush die as a writer?
static int judge_death(struct writer *w, const struct closer *closer, struct err *err)
{
    bool is_bad = closer->exit == HOLDER_KILLED || closer->exit == HOLDER_FAILED;
    if (!is_bad || w->all->conf.publish_failed)
        return 0;
    if (!writer_is_member(w, closer->group)) { // it only inherited the descriptor
        w->holder_died |= !w->written;
        return 0;
    }
    return fail_of_death(w, closer->group, closer->exit == HOLDER_KILLED, closer->code, err);
}

// By any of the inodes that the file was opened by.
static enum holders_seen holds(const struct writer *w, pid_t group, int *out_code)
{
    enum holders_seen seen = HOLDERS_NONE;
    for (size_t i = 0; i < w->ino_count && seen == HOLDERS_NONE; i++)
        seen = holders_has(group, w->inos[i], out_code);
    return seen;
}

// Does any process that opened or wrote the file hold it still? A member that is just dying counts: its flush comes. `but`
// is not asked: it is exiting, and this flush is its last.
static int look_for_holders(struct writer *w, pid_t but, bool *out_held, struct err *err)
{
    *out_held = false;
    for (size_t i = 0; i < w->group_count; i++) {
        if (w->groups[i] == but)
            continue;
        int code;
        enum holders_seen seen = holds(w, w->groups[i], &code);
        bool is_dying = seen == HOLDERS_FAILED || seen == HOLDERS_KILLED;
        if (is_dying && !w->all->conf.publish_failed)
            return fail_of_death(w, w->groups[i], seen == HOLDERS_KILLED, code, err);
        *out_held |= is_dying || seen == HOLDERS_HELD;
    }
    return 0;
}

// Full parts are stored, and failures so far are told. Latches.
static int sync_parts(struct writer *w, struct err *err)
{
    if (w->draft)
        return 0;
    int rc = object_writer_sync(w->object, err);
    if (rc)
        return latch(w, err);
    w->acked_bytes = object_writer_acked(w->object);
    return 0;
}

int writer_flush(struct writer *w, pid_t tid, struct err *err)
{
    const struct closer closer = look_at_closer(tid);
    pid_t group = closer.group;
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    if (w->state == COMMITTED)
        return 0;
    int rc = check_open(w, err);
    if (rc)
        return rc;
    w->last_tid = 0; // it may be reused after this
    rc = judge_death(w, &closer, err);
    if (rc)
        return rc;
    int code;
    bool is_blind = group == 0 || holds(w, group, &code) == HOLDERS_BLIND;
    if (is_blind && (tid <= 0 || group != 0))
        atomic_store(&w->all->met_unseen, true);
    bool is_held = false;
    if (!is_blind || !w->written)
        rc = look_for_holders(w, closer.exit == HOLDER_ALIVE ? 0 : group, &is_held, err);
    if (rc)
        return rc;
    if (!w->written) { // there may be heirs who write: the last release commits
        w->closed_clean = !is_held && closer.exit == HOLDER_ALIVE;
        return 0;
    }
    if (!is_held)
        return commit(w, err);
    return sync_parts(w, err);
}

int writer_commit(struct writer *w, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    if (w->state == COMMITTED)
        return 0;
    int rc = check_open(w, err);
    // who joins from now on waits for the lock, and finds it stored
    return rc || w->joined ? rc : commit(w, err);
}

int writer_sync(struct writer *w, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    if (w->state == COMMITTED)
        return 0;
    int rc = check_open(w, err);
    if (rc)
        return rc;
    return sync_parts(w, err);
}

// Nobody holds it any more, and no flush committed it. Called with the lock.
static void commit_left(struct writer *w)
{
    struct err err;
    if (w->state != WRITING || check_doom(w, &err))
        return;
    if (!w->written && w->holder_died) {
        err_set(&err, EIO, "a process that held it, or was to, failed before a byte was written");
        fail(w, &err);
        return;
    }
    commit(w, &err); // its failure was reported by the hook
}

static unsigned add_handles(struct writer *w, int more)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->all->lock);
    w->handles = (unsigned)((int)w->handles + more);
    return w->handles;
}

void writer_release(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    bool last = add_handles(w, -1) == 0;
    if (last) {
        commit_left(w);
        // somebody may have joined while it was committed; off the table now, nobody else can
        last = add_handles(w, 0) == 0;
    }
    pthread_mutex_unlock(&w->lock);
    if (last)
        writer_destroy(w);
}

void writer_drop(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->holder_died |= !w->written;
    pthread_mutex_unlock(&w->lock);
    writer_release(w);
}

void writer_abandon(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    bool last = add_handles(w, -1) == 0 && w->state != WRITING;
    pthread_mutex_unlock(&w->lock);
    if (last)
        writer_destroy(w);
}

// The session ended before the kernel released it. What was written and cleanly closed was committed by its flush, so what
// is left is not whole; only of an empty file the release alone may be missing.
void writer_end_unreleased(struct writer *w)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    if (!w->written && w->closed_clean) {
        commit_left(w);
        return;
    }
    struct err err;
    err_set(&err, EIO, "the mount ended while it was being written: nothing was stored");
    fail(w, &err);
}
