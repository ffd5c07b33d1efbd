#include "fs/protect.h"

#include "backend/base/clock.h"
#include "backend/base/scope.h"
#include "fs/holders.h"
#include "fs/path.h"
#include "fs/stack.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define PLACES_MAX 256
#define MARKS_MAX 256
// So long a directory whose grace was found to be over is not looked at again.
#define LATE_SECONDS 60

struct place { // a PARTITION's directory
    char *path;
    struct timespec newest; // a commit in it, not the newest necessarily
    time_t late_until;      // its grace was over; until then that is believed
};

struct mark { // a tool's directory
    char *dir;
    pid_t tool;
    int pidfd; // of it, -1: not to be seen
};

struct protect {
    pthread_mutex_t lock; // all of it
    struct place places[PLACES_MAX];
    struct mark marks[MARKS_MAX];
    size_t next_place, next_mark; // rings: the oldest goes
};

static void drop_mark(struct mark *mark)
{
    if (mark->dir && mark->pidfd >= 0)
        close(mark->pidfd);
    free(mark->dir);
    mark->dir = NULL;
}

int protect_new(struct protect **out, struct err *err)
{
    struct protect *p = calloc(1, sizeof(*p));
    if (!p)
        return err_errno(err, ENOMEM, "set up protection");
    pthread_mutex_init(&p->lock, NULL);
    *out = p;
    return 0;
}

void protect_free(struct protect *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < PLACES_MAX; i++)
        free(p->places[i].path);
    for (size_t i = 0; i < MARKS_MAX; i++)
        drop_mark(&p->marks[i]);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

// --- Times ---

static uint64_t grace_seconds(const struct stack *stack)
{
    return stack->conf->protect.grace_ms / 1000;
}

static bool is_over(struct stack *stack, struct timespec commit)
{
    struct timespec now = stack->store->ops->now(stack->store);
    return now.tv_sec >= commit.tv_sec + (time_t)grace_seconds(stack);
}

struct timespec protect_until(const struct stack *stack, const struct object_info *info)
{
    if (!stack->conf->protect.on)
        return (struct timespec){0};
    struct timespec until = object_commit_time(info);
    until.tv_sec += (time_t)grace_seconds(stack);
    return until;
}

bool protect_is_young(struct stack *stack, const struct object_info *info)
{
    return !stack->conf->protect.on || !is_over(stack, object_commit_time(info));
}

// --- Files ---

int protect_check_file(struct stack *stack, const char *path, const struct object_info *info,
                       struct err *err)
{
    if (protect_is_young(stack, info))
        return 0;
    return err_set(err, EPERM,
                   "'%s' is protected: [protect] grace (%" PRIu64
                   " s) has passed since it was stored",
                   path, grace_seconds(stack));
}

// --- Directories ---

struct newest { // of the files in a directory
    struct timespec counted, any;
};

static void note(struct newest *n, const struct object_info *info)
{
    if (!*info->stat.etag)
        return; // gone
    struct timespec when = object_commit_time(info);
    bool late = object_is_ours(info) && info->header.record.flags & SEAL_FLAG_LATE;
    if (clock_is_newer(when, n->any))
        n->any = when;
    if (!late && clock_is_newer(when, n->counted))
        n->counted = when;
}

// The commit by which a directory is judged: {0,0} where there is no file.
static struct timespec judged_by(const struct newest *n)
{
    return n->counted.tv_sec ? n->counted : n->any;
}

int protect_check_dir(struct stack *stack, const char *dir, const struct below *files,
                      struct err *err)
{
    if (path_depth(dir) < 3)
        return err_set(err, EPERM,
                       "HOST and DATE are never renamed: move what is in '%s' (a PARTITION, or "
                       "files) while its grace lasts",
                       dir);
    if (!stack->conf->protect.on)
        return 0;
    struct newest n = {0};
    for (size_t i = 0; i < files->count; i++)
        note(&n, &files->list[i].info);
    struct timespec by = judged_by(&n);
    if (!by.tv_sec || !is_over(stack, by))
        return 0;
    return err_set(err, EPERM,
                   "'%s' is protected: [protect] grace (%" PRIu64
                   " s) has passed since the newest file in it was stored",
                   dir, grace_seconds(stack));
}

// --- Late ---

enum lateness { LATE_UNKNOWN, LATE_NO, LATE_YES };

static struct place *find_place(struct protect *p, const char *dir)
{
    for (size_t i = 0; i < PLACES_MAX; i++)
        if (p->places[i].path && strcmp(p->places[i].path, dir) == 0)
            return &p->places[i];
    return NULL;
}

static enum lateness known(struct stack *stack, const char *dir)
{
    time_t now = stack->store->ops->now(stack->store).tv_sec;
    auto_unlock pthread_mutex_t *held = scope_lock(&stack->protect->lock);
    const struct place *place = find_place(stack->protect, dir);
    if (!place)
        return LATE_UNKNOWN;
    if (!is_over(stack, place->newest))
        return LATE_NO;
    return now < place->late_until ? LATE_YES : LATE_UNKNOWN;
}

// Without memory for it, it is asked again.
static void remember(struct protect *p, const char *dir, struct timespec newest, time_t late_until)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&p->lock);
    struct place *place = find_place(p, dir);
    if (!place) {
        char *path = strdup(dir);
        if (!path)
            return;
        place = &p->places[p->next_place++ % PLACES_MAX];
        free(place->path);
        *place = (struct place){.path = path};
    }
    place->newest = newest;
    place->late_until = late_until;
}

// Page by page, until a commit is found that is young.
static int ask(struct stack *stack, const char *dir, bool *out, struct err *err)
{
    struct timespec now = stack->store->ops->now(stack->store);
    struct below files = {.more = true};
    struct newest n = {0};
    int rc = 0;
    while (!rc && files.more && (!n.counted.tv_sec || is_over(stack, n.counted))) {
        below_clear(&files);
        rc = below_page(stack->store, dir, &files, err);
        if (!rc)
            rc = below_headers(stack, &files, err);
        for (size_t i = 0; !rc && i < files.count; i++)
            note(&n, &files.list[i].info);
    }
    below_done(&files);
    if (rc == -EACCES) { // may not list: what is late keeps nothing movable
        *out = true;
        return 0;
    }
    if (rc)
        return err_prefix(err, "look how old '%s' is", dir);
    struct timespec by = judged_by(&n);
    if (!by.tv_sec)
        by = now; // the first file of a new directory
    *out = is_over(stack, by);
    remember(stack->protect, dir, by, *out ? now.tv_sec + LATE_SECONDS : 0);
    return 0;
}

static int is_late(struct stack *stack, const char *path, bool *out, struct err *err)
{
    *out = false;
    if (!stack->conf->protect.on || path_depth(path) < 4)
        return 0;
    char dir[STORE_KEY_BYTES + 1];
    size_t len = 0;
    for (unsigned slashes = 0; path[len]; len++)
        if (path[len] == '/' && ++slashes == 3)
            break;
    if (len >= sizeof(dir))
        return 0; // no such key
    memcpy(dir, path, len);
    dir[len] = '\0';
    switch (known(stack, dir)) {
    case LATE_NO:
        return 0;
    case LATE_YES:
        *out = true;
        return 0;
    case LATE_UNKNOWN:
        break;
    }
    return ask(stack, dir, out, err);
}

// --- Tools ---

int protect_mark_tool(struct protect *p, const char *dir, pid_t tid, struct err *err)
{
    char *copy = strdup(dir);
    if (!copy)
        return err_errno(err, ENOMEM, "mark '%s'", dir);
    pid_t tool = holders_group(tid);
    int pidfd = holders_watch(tool);
    auto_unlock pthread_mutex_t *held = scope_lock(&p->lock);
    struct mark *mark = &p->marks[p->next_mark++ % MARKS_MAX];
    drop_mark(mark);
    *mark = (struct mark){.dir = copy, .tool = tool, .pidfd = pidfd};
    return 0;
}

static bool is_below(const char *path, const char *dir)
{
    size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && path[len] == '/';
}

static bool is_marked(struct protect *p, const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&p->lock);
    for (size_t i = 0; i < MARKS_MAX && p->marks[i].dir; i++)
        if (is_below(path, p->marks[i].dir))
            return true;
    return false;
}

bool protect_tool_watches(struct protect *p, const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&p->lock);
    for (size_t i = 0; i < MARKS_MAX && p->marks[i].dir; i++) {
        const struct mark *mark = &p->marks[i];
        if (is_below(path, mark->dir) && holders_lives(mark->pidfd, mark->tool))
            return true;
    }
    return false;
}

int protect_flags(struct stack *stack, const char *path, uint32_t *out, struct err *err)
{
    bool late;
    int rc = is_late(stack, path, &late, err);
    if (rc)
        return rc;
    *out = (late ? SEAL_FLAG_LATE : 0) | (is_marked(stack->protect, path) ? SEAL_FLAG_TOOL : 0);
    return 0;
}
