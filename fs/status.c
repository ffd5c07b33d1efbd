#include "fs/status.h"

#include "backend/base/log.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "fs/holders.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define FAILURES_KEPT 32
#define LOG_LINES_PER_SECOND 100 // of refusals: a crawler must not fill the disk
#define FAILED_PATHS_MAX 4096

struct failure {
    char *path, *reason;
    struct timespec when;
};

struct status {
    pthread_mutex_t lock;
    struct status_sources sources;
    struct failure failures[FAILURES_KEPT]; // a ring
    char *failed_paths[FAILED_PATHS_MAX];
    size_t failed_path_count;
    uint64_t failed_count, stored_count, stored_plain_bytes, stored_bytes;
    time_t log_second;
    unsigned log_lines;
    uint64_t log_held_back;
};

int status_new(struct status **out, struct err *err)
{
    struct status *status = calloc(1, sizeof(*status));
    if (!status)
        return err_errno(err, ENOMEM, "make the status");
    pthread_mutex_init(&status->lock, NULL);
    *out = status;
    return 0;
}

void status_free(struct status *status)
{
    if (!status)
        return;
    for (size_t i = 0; i < FAILURES_KEPT; i++) {
        free(status->failures[i].path);
        free(status->failures[i].reason);
    }
    for (size_t i = 0; i < status->failed_path_count; i++)
        free(status->failed_paths[i]);
    pthread_mutex_destroy(&status->lock);
    free(status);
}

void status_set_sources(struct status *status, const struct status_sources *sources)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&status->lock);
    status->sources = *sources;
}

// --- Paths whose last write failed; under the lock ---

static size_t find_failed(const struct status *status, const char *path)
{
    size_t i = 0;
    while (i < status->failed_path_count && strcmp(status->failed_paths[i], path) != 0)
        i++;
    return i;
}

static void drop_failed(struct status *status, size_t i)
{
    if (i == status->failed_path_count)
        return;
    free(status->failed_paths[i]);
    status->failed_path_count--;
    memmove(&status->failed_paths[i], &status->failed_paths[i + 1],
            (status->failed_path_count - i) * sizeof(*status->failed_paths));
}

static void keep_failed(struct status *status, const char *path)
{
    drop_failed(status, find_failed(status, path));
    if (status->failed_path_count == FAILED_PATHS_MAX)
        drop_failed(status, 0); // the oldest
    char *copy = strdup(path);
    if (copy)
        status->failed_paths[status->failed_path_count++] = copy;
}

bool status_is_failed(struct status *status, const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&status->lock);
    return find_failed(status, path) < status->failed_path_count;
}

void status_forget(struct status *status, const char *path)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&status->lock);
    drop_failed(status, find_failed(status, path));
}

// --- Events ---

void status_stored(struct status *status, const char *path, uint64_t plain_bytes,
                   uint64_t stored_bytes)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&status->lock);
    drop_failed(status, find_failed(status, path));
    status->stored_count++;
    status->stored_plain_bytes += plain_bytes;
    status->stored_bytes += stored_bytes;
}

void status_failed(struct status *status, const char *path, const char *reason)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&status->lock);
    keep_failed(status, path);
    struct failure *f = &status->failures[status->failed_count++ % FAILURES_KEPT];
    free(f->path);
    free(f->reason);
    f->path = strdup(path);
    f->reason = strdup(reason);
    clock_gettime(CLOCK_REALTIME, &f->when);
}

bool status_may_log(struct status *status)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    auto_unlock pthread_mutex_t *held = scope_lock(&status->lock);
    if (now.tv_sec != status->log_second) {
        if (status->log_lines > LOG_LINES_PER_SECOND)
            log_warn("%u further lines like these were held back",
                     status->log_lines - LOG_LINES_PER_SECOND);
        status->log_second = now.tv_sec;
        status->log_lines = 0;
    }
    if (status->log_lines++ < LOG_LINES_PER_SECOND)
        return true;
    status->log_held_back++;
    return false;
}

// --- JSON ---

static void put_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)(text ? text : ""); *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20)
            fprintf(out, "\\u%04x", *p);
        else
            fputc(*p, out);
    }
    fputc('"', out);
}

static void put_time(FILE *out, struct timespec when)
{
    struct tm tm;
    char text[32];
    gmtime_r(&when.tv_sec, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    put_string(out, text);
}

struct writing_list {
    FILE *out;
    unsigned count;
};

static void put_writing(void *ctx, const char *path, const struct writer_look *look)
{
    struct writing_list *list = ctx;
    fprintf(list->out, "%s\n    {\"path\": ", list->count++ ? "," : "");
    put_string(list->out, path);
    fprintf(list->out,
            ", \"bytes\": %" PRIu64 ", \"stored_bytes\": %" PRIu64 ", \"written_at\": ", look->size,
            look->acked_bytes);
    put_time(list->out, look->mtime);
    fputc('}', list->out);
}

static void put_failures(FILE *out, const struct status *status)
{
    uint64_t count = min_u64(status->failed_count, FAILURES_KEPT);
    for (uint64_t i = 0; i < count; i++) { // the newest first
        const struct failure *f = &status->failures[(status->failed_count - 1 - i) % FAILURES_KEPT];
        fprintf(out, "%s\n    {\"path\": ", i ? "," : "");
        put_string(out, f->path);
        fputs(", \"reason\": ", out);
        put_string(out, f->reason);
        fputs(", \"at\": ", out);
        put_time(out, f->when);
        fputc('}', out);
    }
}

// Writers in another one cannot be seen. 0: not known.
static uintmax_t pid_namespace(void)
{
    struct stat st;
    return stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
}

static void put_sources(FILE *out, const struct status_sources *s)
{
    struct blocks_usage usage = blocks_usage(s->blocks);
    fputs("  \"store\": ", out);
    put_string(out, s->store->id);
    fprintf(out, ",\n  \"read_only\": %s,\n  \"identity\": %s,\n  \"exit_codes\": \"%s\"",
            s->read_only ? "true" : "false", s->has_identity ? "true" : "false",
            holders_can_see() && !writers_met_unseen(s->writers) ? "seen" : "blind");
    fprintf(out, ",\n  \"pid_namespace\": %" PRIuMAX, pid_namespace());
    fprintf(out, ",\n  \"conditions\": {\"put\": \"%s\", \"complete\": \"%s\"}",
            probe_word(s->conditions.put), probe_word(s->conditions.complete));
    fprintf(out, ",\n  \"clock_offset_ms\": %" PRId64, s->store->ops->clock_offset_ms(s->store));
    fprintf(out, ",\n  \"object_max_bytes\": %" PRIu64, s->object_max_bytes);
    fprintf(out,
            ",\n  \"memory_bytes\": %" PRIu64 ",\n  \"memory_peak_bytes\": %" PRIu64
            ",\n  \"spool_bytes\": %" PRIu64 ",\n  \"spool_peak_bytes\": %" PRIu64
            ",\n  \"fetched_bytes\": %" PRIu64,
            usage.memory_bytes, usage.memory_peak_bytes, usage.spool_bytes, usage.spool_peak_bytes,
            readers_fetched(s->readers));
    fputs(",\n  \"writing\": [", out);
    struct writing_list list = {.out = out};
    writers_each(s->writers, put_writing, &list);
    fputs("]", out);
}

char *status_json(struct status *status)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    auto_unlock pthread_mutex_t *held = scope_lock(&status->lock);
    fprintf(out, "{\n  \"version\": \"%s\",\n", BAKFS_VERSION);
    put_sources(out, &status->sources);
    fprintf(out,
            ",\n  \"files_stored\": %" PRIu64 ",\n  \"plain_bytes\": %" PRIu64
            ",\n  \"stored_bytes\": %" PRIu64 ",\n  \"files_failed\": %" PRIu64
            ",\n  \"log_lines_held_back\": %" PRIu64 ",\n  \"failures\": [",
            status->stored_count, status->stored_plain_bytes, status->stored_bytes,
            status->failed_count, status->log_held_back);
    put_failures(out, status);
    fputs("]\n}\n", out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
