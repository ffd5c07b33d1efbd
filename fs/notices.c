#include "fs/notices.h"

#include "backend/base/clock.h"
#include "backend/base/log.h"
#include "backend/base/scope.h"
#include "tools/notify/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEPT_MAX 64    // of what is told at once; the rest is counted
#define QUIET_MS 2000  // when nothing more comes for so long it is told,
#define GATHER_MS 8000 // and after so long in any case

struct item {
    enum notices_kind kind;
    char *path, *reason;
};

struct batch { // what one notice tells
    struct item items[KEPT_MAX];
    size_t count;
    uint64_t not_stored, stop_short; // of all, kept or not
};

struct notices {
    const struct conf *conf;
    pthread_t thread;
    pthread_mutex_t lock; // what follows is under it
    pthread_cond_t change;
    struct batch waiting;
    uint64_t first_ms, last_ms; // when the oldest and the newest of them came
    bool stopping;
};

// --- The text ---

static const char *kind_text(enum notices_kind kind)
{
    return kind == NOTICES_NOT_STORED ? "not stored" : "stored, but no whole backup";
}

static const char not_stored_advice[] =
    "Nothing new is stored under that name; what stood there before still does. Run the backup\n"
    "again, and ask with: bakfs confirm PATH\n";
static const char stops_short_advice[] =
    "Its bytes are kept, but no tool takes it for a good backup: look at what made it (disk full,\n"
    "killed, connection lost?), and run it again.\n";

static void put_body(FILE *out, const struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        fprintf(out, "%s\n    %s: %s\n", b->items[i].path, kind_text(b->items[i].kind),
                b->items[i].reason);
    uint64_t all = b->not_stored + b->stop_short;
    if (all > b->count)
        fprintf(out, "... and %" PRIu64 " more: the daemon's log has all of them.\n",
                all - b->count);
    fputc('\n', out);
    if (b->not_stored)
        fputs(not_stored_advice, out);
    if (b->stop_short)
        fputs(stops_short_advice, out);
}

// One file is what the notice is about; of several, the first is named.
static void put_summary(FILE *out, const struct batch *b)
{
    const struct item *first = &b->items[0];
    if (b->not_stored + b->stop_short == 1) {
        fprintf(out, "%s: %s", kind_text(first->kind), first->reason);
        return;
    }
    if (b->not_stored)
        fprintf(out, "%" PRIu64 " files not stored", b->not_stored);
    if (b->stop_short)
        fprintf(out, "%s%" PRIu64 " stored, but no whole backups", b->not_stored ? ", " : "",
                b->stop_short);
    fprintf(out, "; the first: %s: %s", first->path, first->reason);
}

static char *text_of(const struct batch *b, void (*put)(FILE *, const struct batch *))
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    put(out, b);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

static void tell(const struct conf *conf, const struct batch *b)
{
    auto_free char *summary = text_of(b, put_summary), *body = text_of(b, put_body);
    struct err err;
    int rc = -ENOMEM;
    if (summary && body)
        rc = notify_send(
            conf,
            &(struct notice){
                .verb = "mount",
                .what = b->not_stored + b->stop_short == 1 ? b->items[0].path : "several files",
                .summary = summary,
                .body = body,
            },
            &err);
    else
        err_errno(&err, ENOMEM, "write a notice");
    if (rc != 0)
        log_warn("nobody was told of what was not stored: %s", err.text);
}

// --- The queue ---

static void batch_done(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        free(b->items[i].path);
        free(b->items[i].reason);
    }
    *b = (struct batch){.count = 0};
}

// Waits until there is something to tell and what belongs to it has come. False: nothing is left, and the end is here.
static bool next_batch(struct notices *n, struct batch *out)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&n->lock);
    while (n->waiting.count == 0 && !n->stopping)
        pthread_cond_wait(&n->change, &n->lock);
    while (n->waiting.count > 0 && !n->stopping) {
        uint64_t quiet = n->last_ms + QUIET_MS, latest = n->first_ms + GATHER_MS;
        struct timespec until = clock_at(quiet < latest ? quiet : latest);
        if (pthread_cond_timedwait(&n->change, &n->lock, &until) == ETIMEDOUT &&
            clock_ms() >= (n->last_ms + QUIET_MS < latest ? n->last_ms + QUIET_MS : latest))
            break;
    }
    *out = n->waiting;
    n->waiting = (struct batch){.count = 0};
    return out->count > 0;
}

static void *run(void *arg)
{
    struct notices *n = arg;
    for (struct batch batch; next_batch(n, &batch); batch_done(&batch))
        tell(n->conf, &batch);
    return NULL;
}

void notices_add(struct notices *n, enum notices_kind kind, const char *path, const char *reason)
{
    if (!n)
        return;
    struct item item = {.kind = kind, .path = strdup(path), .reason = strdup(reason)};
    auto_unlock pthread_mutex_t *held = scope_lock(&n->lock);
    struct batch *b = &n->waiting;
    bool kept = item.path && item.reason && b->count < KEPT_MAX;
    if (!kept) {
        free(item.path);
        free(item.reason);
        if (b->count == 0)
            return; // no memory for one: log and status have it
    }
    n->last_ms = clock_ms();
    if (b->count == 0)
        n->first_ms = n->last_ms;
    if (kept)
        b->items[b->count++] = item;
    b->not_stored += kind == NOTICES_NOT_STORED;
    b->stop_short += kind == NOTICES_STOPS_SHORT;
    pthread_cond_signal(&n->change);
}

// --- Coming and going ---

int notices_new(const struct conf *conf, struct notices **out, struct err *err)
{
    if (!notify_is_configured(conf)) {
        *out = NULL;
        return 0;
    }
    struct notices *n = calloc(1, sizeof(*n));
    if (!n)
        return err_errno(err, ENOMEM, "start the notices");
    n->conf = conf;
    pthread_mutex_init(&n->lock, NULL);
    clock_cond_init(&n->change);
    int rc = pthread_create(&n->thread, NULL, run, n);
    if (rc == 0) {
        *out = n;
        return 0;
    }
    pthread_cond_destroy(&n->change);
    pthread_mutex_destroy(&n->lock);
    free(n);
    return err_errno(err, rc, "start a thread");
}

void notices_free(struct notices *n)
{
    if (!n)
        return;
    pthread_mutex_lock(&n->lock);
    n->stopping = true;
    pthread_cond_signal(&n->change);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
    batch_done(&n->waiting);
    pthread_cond_destroy(&n->change);
    pthread_mutex_destroy(&n->lock);
    free(n);
}
