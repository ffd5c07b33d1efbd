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

static bool is_member(const struct writer *w, pid_t group)
{
    for (size_t i = 0; i < w->group_count; i++)
        if (w->groups[i] == group)
            return true;
    return false;
}

// Whoever opens or writes becomes a member. One that cannot be seen does not: its flush is judged as blind.
void writer_add_member(struct writer *w, pid_t tid)
{
    if (tid == w->last_tid)
        return;
    pid_t group = holders_group(tid);
    if (group > 0 && !is_member(w, group)) {
        pid_t *more = reallocarray(w->groups, w->group_count + 1, sizeof(*more));
        if (!more)
            return; // its close will not commit; the last release does
        w->groups = more;
        w->groups[w->group_count++] = group;
    }
    w->last_tid = tid;
}

int writer_start_object(struct writer *w, struct err *err)
{
    return object_create(w->all->conf.object, w->path, &w->cond, &w->cancel, &w->object, err);
}

void writer_destroy(struct writer *w)
{
    object_writer_free(w->object);
    pthread_mutex_destroy(&w->lock);
    free(w->groups);
    free(w->path);
    free(w);
}

// Latches; nothing will be stored. Called with the lock.
static int fail(struct writer *w, const struct err *failure)
{
    w->state = FAILED;
    w->failure = *failure;
    object_writer_free(take(w->object));
    // its inode is given up before the path can be created anew
    w->all->conf.failed(w->all->conf.ctx, w->path, &w->failure);
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

static int check_open(struct writer *w, struct err *err)
{
    int rc = check_doom(w, err);
    if (rc)
        return rc;
    if (w->state == FAILED)
        return err_copy(err, &w->failure);
    if (w->state == COMMITTED)
        return err_set(err, EPERM, "'%s' was stored already; open it anew to overwrite it",
                       w->path);
    return 0;
}

// Zeros up to `size`: holes, and a length set beyond what was written.
static int extend(struct writer *w, uint64_t size, struct err *err)
{
    static const uint8_t zeros[65536];
    struct packer *packer = object_writer_packer(w->object);
    for (uint64_t at = packer_size(packer); at < size; at = packer_size(packer)) {
        int rc = packer_write(packer, zeros, (size_t)min_u64(size - at, sizeof(zeros)), err);
        if (rc)
            return rc;
    }
    return 0;
}

static int put_bytes(struct writer *w, uint64_t off, const uint8_t *bytes, size_t len,
                     struct err *err)
{
    struct packer *packer = object_writer_packer(w->object);
    uint64_t end = packer_size(packer);
    if (off > end) {
        int rc = extend(w, off, err);
        if (rc)
            return rc;
        end = off;
    }
    size_t old = (size_t)min_u64(end - off, len);
    if (old > 0) {
        int rc = packer_rewrite(packer, off, bytes, old, err);
        if (rc == -EOPNOTSUPP)
            return err_set(err, EIO,
                           "bytes %llu to %llu were sent already and cannot be changed: "
                           "write the file in order (only its first [write] head stays open; "
                           "seek = spool is not there yet)",
                           (unsigned long long)off, (unsigned long long)(off + old));
        if (rc)
            return rc;
    }
    return old < len ? packer_write(packer, bytes + old, len - old, err) : 0;
}

int writer_write(struct writer *w, pid_t tid, uint64_t off, const void *bytes, size_t len,
                 struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    int rc = check_open(w, err);
    if (rc)
        return rc;
    if (off > OBJECT_SIZE_MAX - len)
        return err_set(err, EFBIG, "a file has at most 128 TiB");
    writer_add_member(w, tid);
    w->written = true;
    w->closed_clean = false;
    rc = put_bytes(w, off, bytes, len, err);
    if (rc)
        return latch(w, err);
    if (off + len > w->size)
        w->size = off + len;
    w->acked_bytes = object_writer_acked(w->object);
    if (!w->mtime_set)
        writer_set_mtime_now(w);
    return 0;
}

// Nothing of the old content may remain: a new object, with a new file key.
static int start_anew(struct writer *w, struct err *err)
{
    object_writer_free(take(w->object));
    int rc = writer_start_object(w, err);
    if (rc)
        return latch(w, err);
    w->size = 0;
    return 0;
}

int writer_truncate(struct writer *w, uint64_t size, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    int rc = check_open(w, err);
    if (rc || size == w->size)
        return rc;
    if (size > OBJECT_SIZE_MAX)
        return err_set(err, EFBIG, "a file has at most 128 TiB");
    w->written = true;
    if (size == 0)
        return start_anew(w, err);
    if (size < packer_size(object_writer_packer(w->object))) {
        err_set(err, EIO, "cutting a file that is being written to %llu bytes: not yet",
                (unsigned long long)size);
        return latch(w, err); // an ignored ftruncate must not store something else
    }
    w->size = size; // zeros follow when written past, or at the commit
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

// Called with the lock, in state WRITING.
static int commit(struct writer *w, struct err *err)
{
    int rc = extend(w, w->size, err);
    if (rc)
        return latch(w, err);
    struct object_times times = {
        .mtime = writer_look(w).mtime,
        .committed = w->all->conf.store->ops->now(w->all->conf.store),
        .complete = SEAL_COMPLETE_UNKNOWN,
    };
    rc = object_writer_commit(w->object, &times, &w->info, err);
    if (rc == -ECANCELED)
        rc = check_doom(w, err);
    if (rc)
        return w->state == FAILED ? rc : latch(w, err);
    struct object_key key;
    object_writer_key(w->object, &key);
    object_writer_free(take(w->object));
    w->state = COMMITTED;
    // known to the tree before it leaves the table, or it would not be there in between
    w->all->conf.committed(w->all->conf.ctx, w->path, &w->info, &key);
    secret_wipe(&key, sizeof(key));
    writers_unlist(w);
    return 0;
}

// Did the caller of this flush die as a writer?
static int judge_death(struct writer *w, pid_t tid, pid_t group, enum holder_exit *out_exit,
                       struct err *err)
{
    int code;
    *out_exit = holders_exit(tid, &code);
    bool is_bad = *out_exit == HOLDER_KILLED || *out_exit == HOLDER_FAILED;
    if (!is_bad || w->all->conf.publish_failed)
        return 0;
    if (!is_member(w, group)) { // it only inherited the descriptor
        w->holder_died |= !w->written;
        return 0;
    }
    return fail_of_death(w, group, *out_exit == HOLDER_KILLED, code, err);
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
        enum holders_seen seen = holders_has(w->groups[i], w->ino, &code);
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
    int rc = object_writer_sync(w->object, err);
    if (rc)
        return latch(w, err);
    w->acked_bytes = object_writer_acked(w->object);
    return 0;
}

int writer_flush(struct writer *w, pid_t tid, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&w->lock);
    if (w->state == COMMITTED)
        return 0;
    int rc = check_open(w, err);
    if (rc)
        return rc;
    w->last_tid = 0; // it may be reused after this
    pid_t group = holders_group(tid);
    enum holder_exit exit;
    rc = judge_death(w, tid, group, &exit, err);
    if (rc)
        return rc;
    int code;
    bool is_blind = group == 0 || holders_has(group, w->ino, &code) == HOLDERS_BLIND;
    bool is_held = false;
    if (!is_blind || !w->written)
        rc = look_for_holders(w, exit == HOLDER_ALIVE ? 0 : group, &is_held, err);
    if (rc)
        return rc;
    if (!w->written) { // there may be heirs who write: the last release commits
        w->closed_clean = !is_held && exit == HOLDER_ALIVE;
        return 0;
    }
    if (!is_held)
        return commit(w, err);
    return sync_parts(w, err);
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
