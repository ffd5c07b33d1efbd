#include "tools/verify/judge.h"

#include "backend/base/clock.h"
#include "backend/base/scope.h"
#include "backend/base/workers.h"
#include "tools/verify/files.h"
#include "tools/verify/toc.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

#define PROGRESS_MS 200
#define LATELY_S 3600 // between two files of a backup that is being made

const char *judge_level_word(enum judge_level level)
{
    static const char *const words[] = {"quick", "full", "restore"};
    return words[level];
}

// --- The verdict ---

void verdict_done(struct verdict *v)
{
    for (size_t i = 0; i < v->count; i++)
        free(v->lines[i].text);
    free(v->lines);
    meta_free(v->meta);
    *v = (struct verdict){.lines = NULL};
}

static bool is_worse(enum look_outcome a, enum look_outcome b)
{
    static const int order[] = {[LOOK_PASS] = 0, [LOOK_CANNOT] = 1, [LOOK_FAIL] = 2};
    return order[a] > order[b];
}

int verdict_add(struct verdict *v, enum look_outcome outcome, struct err *err, const char *format,
                ...)
{
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        return err_errno(err, ENOMEM, "verify");
    if (v->count == v->room) {
        size_t room = v->room ? 2 * v->room : 8;
        struct verdict_line *more = reallocarray(v->lines, room, sizeof(*more));
        if (!more) {
            free(text);
            return err_errno(err, ENOMEM, "verify");
        }
        v->lines = more;
        v->room = room;
    }
    v->lines[v->count++] = (struct verdict_line){outcome, text};
    if (is_worse(outcome, v->outcome)) {
        v->outcome = outcome;
        snprintf(v->reason, sizeof(v->reason), "%s", text);
    }
    return 0;
}

// --- META ---

static int read_meta(const struct judge_conf *conf, const struct backup *b, struct verdict *v,
                     struct err *err)
{
    struct err why = {0};
    if (!b->meta && !b->ours)
        return 0;
    if (!b->meta)
        return verdict_add(v, LOOK_FAIL, err,
                           "unfinished: its META is missing, which bakfs backup writes last");
    int rc = meta_read_below(conf->point, b->meta, &v->meta, &why);
    if (rc == 0)
        return 0;
    if (rc == -EACCES)
        v->no_identity = true;
    if (rc == -EACCES && conf->level == JUDGE_QUICK)
        return verdict_add(v, LOOK_PASS, err, "META was not read");
    bool bad = rc == -EUCLEAN;
    if (rc == -EIO) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%s/%s", conf->point, b->meta);
        bad = look_is_served(path);
    }
    if (rc == -EUCLEAN && !b->ours) // whatever it is that people put there
        return verdict_add(v, LOOK_PASS, err, "%s", why.text);
    return verdict_add(v, bad ? LOOK_FAIL : LOOK_CANNOT, err, "META cannot be read: %s", why.text);
}

// Each file has what META says to hold it against, or a line says that there is none.
static int join_meta(struct files *files, struct verdict *v, struct err *err)
{
    const struct meta *meta = v->meta;
    int rc = 0;
    for (size_t i = 0; i < meta->file_count && rc == 0; i++) {
        const struct meta_file *m = &meta->files[i];
        struct look *l = files_named(files, m->name);
        if (!l) {
            rc = verdict_add(v, LOOK_FAIL, err, "%s: missing, META lists it", m->name);
            continue;
        }
        l->has_wanted = true;
        l->wanted_size = m->size;
        l->wanted_digest = strdup(m->digest ? m->digest : "");
        if (!l->wanted_digest)
            rc = err_errno(err, ENOMEM, "verify");
    }
    for (size_t i = 0; i < files->count && rc == 0; i++) {
        const struct look *l = &files->list[i];
        if (!l->has_wanted)
            rc = verdict_add(v, l->belongs ? LOOK_FAIL : LOOK_PASS, err, "%s: %s", l->name,
                             l->belongs ? "META does not list it: it was added or exchanged later"
                                        : "is not of this backup");
    }
    return rc;
}

// --- Looking at all files ---

struct job {
    struct look *look;
    struct crew *crew;
};

struct crew {
    struct look_run run;
    pthread_mutex_t lock; // members below are under it
    pthread_cond_t changed;
    size_t left;
};

static void run_job(void *ctx)
{
    struct job *job = ctx;
    struct crew *crew = job->crew;
    if (crew->run.stop && crew->run.stop()) {
        job->look->outcome = LOOK_CANNOT;
        snprintf(job->look->text, sizeof(job->look->text), "stopped");
    } else {
        look_at(job->look, &crew->run);
    }
    auto_unlock pthread_mutex_t *held = scope_lock(&crew->lock);
    crew->left--;
    pthread_cond_signal(&crew->changed);
}

static void await(const struct judge_conf *conf, struct crew *crew, uint64_t total)
{
    uint64_t told = 0;
    pthread_mutex_lock(&crew->lock);
    while (crew->left > 0) {
        struct timespec until = clock_at(clock_ms() + PROGRESS_MS);
        pthread_cond_timedwait(&crew->changed, &crew->lock, &until);
        if (!conf->progress || clock_ms() - told < PROGRESS_MS)
            continue;
        pthread_mutex_unlock(&crew->lock);
        conf->progress(conf->ctx, atomic_load(&crew->run.bytes), total);
        told = clock_ms();
        pthread_mutex_lock(&crew->lock);
    }
    pthread_mutex_unlock(&crew->lock);
}

static int look_at_all(const struct judge_conf *conf, struct files *files, uint64_t total,
                       struct err *err)
{
    struct workers *workers = NULL;
    struct crew crew = {.run = {.stop = conf->stop}, .left = files->count};
    auto_free struct job *jobs = calloc(files->count + 1, sizeof(*jobs));
    if (!jobs)
        return err_errno(err, ENOMEM, "verify");
    unsigned threads = conf->readers ? conf->readers : 1;
    if (threads > files->count)
        threads = files->count ? (unsigned)files->count : 1;
    pthread_mutex_init(&crew.lock, NULL);
    clock_cond_init(&crew.changed);
    // all of them fit into the queue: nothing blocks while progress is told
    int rc = workers_new("verify", threads, (unsigned)files->count + 1, &workers, err);
    for (size_t i = 0; rc == 0 && i < files->count; i++) {
        jobs[i] = (struct job){&files->list[i], &crew};
        workers_submit(workers, run_job, &jobs[i]);
    }
    if (rc == 0)
        await(conf, &crew, total);
    workers_free(workers);
    pthread_cond_destroy(&crew.changed);
    pthread_mutex_destroy(&crew.lock);
    return rc;
}

// What the daemon could not say is one line, not one a file.
static int take_looks(const struct files *files, struct verdict *v, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < files->count && rc == 0; i++) {
        const struct look *l = &files->list[i];
        v->files++;
        v->bytes += l->bytes;
        v->size += l->size;
        v->stored += l->stored;
        v->no_identity = v->no_identity || l->no_identity;
        if (l->outcome == LOOK_CANNOT && strcmp(l->text, "stopped") == 0) {
            v->stopped = true;
            continue;
        }
        if (l->outcome != LOOK_PASS || *l->text)
            rc = verdict_add(v, l->outcome, err, "%s: %s", l->name, l->text);
    }
    if (rc == 0 && v->stopped)
        rc = verdict_add(v, LOOK_CANNOT, err, "stopped before all of it was looked at");
    return rc;
}

static int look_at_toc(const struct judge_conf *conf, const struct files *files, struct verdict *v,
                       struct err *err)
{
    if (!files->archive || v->outcome != LOOK_PASS)
        return 0;
    for (size_t i = 0; !files->archive_is_dir && i < files->count; i++)
        if (strcmp(files->list[i].path, files->archive) == 0 &&
            strncmp(files->list[i].what, "a pg_dump archive", strlen("a pg_dump archive")) != 0)
            return 0;
    char text[TOC_TEXT_BYTES];
    enum toc_outcome outcome =
        toc_look(files->archive, files->archive_is_dir, conf->bindir ? conf->bindir : "", text);
    const char *name = strrchr(files->archive, '/') + 1;
    if (outcome == TOC_GOOD)
        return 0;
    return verdict_add(v, outcome == TOC_BAD ? LOOK_FAIL : LOOK_PASS, err, "%s: %s", name, text);
}

static void choose_depth(const struct judge_conf *conf, struct files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        struct look *l = &files->list[i];
        bool is_dump = l->belongs && (!files->archive || strncmp(l->path, files->archive,
                                                                 strlen(files->archive)) == 0);
        l->full = conf->level == JUDGE_FULL || (conf->level == JUDGE_RESTORE && !is_dump);
    }
}

static int judge(const struct judge_conf *conf, const struct backup *b, struct files *files,
                 struct verdict *v, struct err *err)
{
    int rc = read_meta(conf, b, v, err);
    if (rc == 0)
        rc = files_find(conf->point, b, files, err);
    if (rc == 0 && v->meta)
        rc = join_meta(files, v, err);
    if (rc == 0 && files->count == 0)
        rc = verdict_add(v, LOOK_FAIL, err, "there is no file of it");
    if (rc)
        return rc;
    choose_depth(conf, files);
    rc = look_at_all(conf, files, b->size, err);
    if (rc == 0)
        rc = take_looks(files, v, err);
    return rc || conf->level != JUDGE_FULL ? rc : look_at_toc(conf, files, v, err);
}

int judge_backup(const struct judge_conf *conf, const struct backup *b, struct verdict *out,
                 struct err *err)
{
    struct verdict v = {.outcome = LOOK_PASS};
    struct files files = {.list = NULL};
    int rc = judge(conf, b, &files, &v, err);
    if (rc == 0 && v.no_identity && conf->level == JUDGE_QUICK)
        rc = verdict_add(&v, LOOK_PASS, err,
                         "no identity on this host opens it: digests were not compared");
    files_done(&files);
    if (rc) {
        verdict_done(&v);
        return rc;
    }
    *out = v;
    return 0;
}

// Another host's writing is not seen here, only what it has stored so far.
static bool is_stored_lately(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && llabs((long long)(time(NULL) - st.st_ctim.tv_sec)) < LATELY_S;
}

bool judge_is_writing(const char *point, const struct backup *b)
{
    struct files files = {.list = NULL};
    bool writing = false;
    if (files_find(point, b, &files, NULL) != 0)
        return false;
    for (size_t i = 0; i < files.count && !writing; i++) {
        const char *path = files.list[i].path;
        char state[32] = "";
        ssize_t len = getxattr(path, "user.bakfs.state", state, sizeof(state) - 1);
        writing = (len > 0 && strcmp(state, "writing") == 0) || is_stored_lately(path);
    }
    files_done(&files);
    return writing;
}
