// The parts of an upload on their way: begun once, or anew when somebody took it for dead; put or copied by the uploaders.
#include "backend/store/upload_impl.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BEGUN_ANEW_MAX 5

// Nothing more is to be sent: it failed, is being freed, or was called off.
static bool is_stopped(struct upload *u)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    return u->stop || u->failure.code != 0 || cancel_is_asked(u->cancel);
}

// A part is stored, or `err` says why not; after this the upload may be gone.
static void part_ended(struct upload *u, const struct store_part *done, const struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    if (done) {
        u->parts[done->number - 1] = *done;
        u->acked += done->size;
    } else if (err->code != 0 && u->failure.code == 0) {
        u->failure = *err;
    }
    u->in_flight--;
    pthread_cond_broadcast(&u->changed);
}

// The upload's id, once nobody is about to change it.
static void current_id(struct upload *u, char out[STORE_UPLOAD_ID_BYTES])
{
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    while (u->beginning)
        pthread_cond_wait(&u->changed, &u->lock);
    memcpy(out, u->id, sizeof(u->id));
}

static int begin(struct upload *u, struct journal_entry **out_entry,
                 char out_id[STORE_UPLOAD_ID_BYTES], struct err *err)
{
    struct store *store = u->env.store;
    struct journal_entry *entry = NULL;
    int rc = 0;
    if (u->env.journal)
        rc = journal_begin(u->env.journal, store, u->key, &entry, err);
    if (rc < 0)
        return rc;
    rc = store->ops->upload_begin(store, u->key, out_id, err);
    if (rc == 0) {
        *out_entry = entry;
        return entry ? journal_set_id(entry, out_id, err) : 0;
    }
    // after these it may have been begun all the same, and only the answer was lost
    if (rc == -EIO || rc == -ETIMEDOUT || rc == -EUCLEAN)
        journal_leave(entry);
    else
        journal_end(entry);
    return rc;
}

// Somebody aborted upload `id` before it had a part: a recovering daemon may, which takes it for another one's (journal.h).
// Nothing was lost with it: another one is begun. 0: there is one to try again with.
static int begin_anew(struct upload *u, const char *id, struct err *err)
{
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
        while (u->beginning)
            pthread_cond_wait(&u->changed, &u->lock);
        if (strcmp(u->id, id) != 0)
            return 0; // another uploader was faster
        if (u->kept > 0 || u->begun_anew == BEGUN_ANEW_MAX)
            return -ENOENT;
        u->begun_anew++;
        u->beginning = true;
    }
    char next[STORE_UPLOAD_ID_BYTES] = "";
    struct journal_entry *entry = NULL;
    struct store *store = u->env.store;
    struct journal_entry *before = take(u->entry);
    if (store->ops->upload_abort(store, u->key, id, NULL) == 0) // or it is only out of sight
        journal_end(before);
    else
        journal_leave(before);
    int rc = begin(u, &entry, next, err);
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    if (next[0] != '\0') {
        u->entry = entry;
        memcpy(u->id, next, sizeof(u->id));
    }
    u->beginning = false;
    pthread_cond_broadcast(&u->changed);
    return rc;
}

// Whether a part that was put into upload `id` is still in the upload.
static bool is_kept(struct upload *u, const char *id)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    if (u->beginning || strcmp(u->id, id) != 0)
        return false;
    u->kept++;
    return true;
}

static int put_part(struct upload *u, struct part *part, struct store_part *out, struct err *err)
{
    struct store *store = u->env.store;
    for (;;) {
        char id[STORE_UPLOAD_ID_BYTES];
        current_id(u, id);
        int rc = store->ops->put_part(store, u->key, id, part->number, part->off, &part->source,
                                      out, err);
        if (rc == 0 && is_kept(u, id))
            return 0;
        if (rc < 0 && (rc != -ENOENT || begin_anew(u, id, err) < 0))
            return rc;
    }
}

static void put_part_job(void *ctx)
{
    struct part *part = ctx;
    struct upload *u = part->owner;
    struct store_part done;
    struct err err = {0};
    int rc = -ECANCELED;
    if (!is_stopped(u)) {
        rc = put_part(u, part, &done, &err);
        if (rc < 0)
            (void)err_prefix(&err, "part %u", part->number);
    }
    part_free(part); // before anyone is told: the pool may be freed after that
    part_ended(u, rc == 0 ? &done : NULL, &err);
}

struct copy_job {
    struct upload *owner;
    unsigned number;
    uint64_t off;
    char from[STORE_KEY_BYTES + 1], if_match[STORE_ETAG_BYTES];
    uint64_t from_off, len;
};

static void copy_part_job(void *ctx)
{
    struct copy_job *job = ctx;
    struct upload *u = job->owner;
    struct store_part done;
    struct err err = {0};
    int rc = -ECANCELED;
    if (!is_stopped(u)) {
        struct store *store = u->env.store;
        char id[STORE_UPLOAD_ID_BYTES];
        do {
            current_id(u, id);
            rc = store->ops->copy_part(store, u->key, id, job->number, job->off, job->from,
                                       job->if_match, job->from_off, job->len, &done, &err);
            // the upload or the source: a new upload will tell
        } while (rc == 0 ? !is_kept(u, id) : rc == -ENOENT && begin_anew(u, id, &err) == 0);
        if (rc < 0)
            (void)err_prefix(&err, "part %u", job->number);
    }
    free(job);
    part_ended(u, rc == 0 ? &done : NULL, &err);
}

static int begin_first(struct upload *u, struct err *err)
{
    u->id[0] = '\0';
    int rc = begin(u, &u->entry, u->id, err);
    u->begun = u->id[0] != '\0';
    return rc;
}

static int make_room(struct upload *u, unsigned number, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    if (number <= u->parts_room)
        return 0;
    unsigned room = number < 8 ? 16 : 2 * number;
    struct store_part *parts = reallocarray(u->parts, room, sizeof(parts[0]));
    if (!parts)
        return err_set(err, ENOMEM, "out of memory");
    u->parts = parts;
    u->parts_room = room;
    return 0;
}

// What a part needs before it can be sent.
static int make_ready(struct upload *u, unsigned number, struct err *err)
{
    int rc = u->begun ? 0 : begin_first(u, err);
    return rc < 0 ? rc : make_room(u, number, err);
}

static void submit(struct upload *u, void (*run)(void *ctx), void *job)
{
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
        u->in_flight++;
    }
    workers_submit(u->env.uploaders, run, job);
}

int upload_send_part(struct upload *u, struct part *part, struct err *err)
{
    int rc = make_ready(u, part->number, err);
    if (rc < 0) {
        part_free(part);
        return rc;
    }
    part_leaves(part);
    submit(u, put_part_job, part);
    return 0;
}

void upload_wait_sent(struct upload *u, unsigned rest)
{
    // every part has the store's deadline, so this ends
    auto_unlock pthread_mutex_t *held = scope_lock(&u->lock);
    while (u->in_flight > rest)
        pthread_cond_wait(&u->changed, &u->lock);
}

int upload_copy_part(struct upload *u, const char *from, const char *if_match, uint64_t from_off,
                     uint64_t len, struct err *err)
{
    int rc = make_ready(u, u->next, err);
    if (rc < 0)
        return rc;
    struct copy_job *job = malloc(sizeof(*job));
    if (!job)
        return err_set(err, ENOMEM, "out of memory");
    *job = (struct copy_job){
        .owner = u, .number = u->next, .off = u->tail_off, .from_off = from_off, .len = len};
    assert(strlen(from) < sizeof(job->from) && strlen(if_match) < sizeof(job->if_match));
    strcpy(job->from, from);
    strcpy(job->if_match, if_match);
    u->tail_off += len;
    u->next++;
    u->sink.written += len;
    submit(u, copy_part_job, job);
    return 0;
}
