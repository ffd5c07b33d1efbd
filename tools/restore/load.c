// pg_restore, reading the dump through the mount.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "tools/process.h"
#include "tools/restore/internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define WORDS 40
#define LIST_MAX_BYTES (256u << 20)

// --- How much it has read: what the kernel counts of it and its workers. Sockets are not in that. ---

static uint64_t read_by(pid_t pid)
{
    char path[64], line[128];
    snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
    FILE *f = fopen(path, "re");
    uint64_t bytes = 0;
    if (f && fgets(line, sizeof(line), f))
        sscanf(line, "rchar: %" SCNu64, &bytes);
    if (f)
        fclose(f);
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    f = fopen(path, "re");
    for (int child; f && fscanf(f, "%d", &child) == 1;)
        bytes += read_by(child);
    if (f)
        fclose(f);
    return bytes;
}

// With a progress to show it is looked at now and then; else it is waited for.
static int wait_for(const struct restore_job *job, struct process *p, uint64_t total,
                    struct process_end *end, struct err *err)
{
    if (!job->progress)
        return process_wait(p, end, err);
    while (!process_poll(p, end)) {
        if (process_stop_asked())
            return process_wait(p, end, err);
        progress(job, "restore", min_u64(read_by(process_pid(p)), total), total);
        struct timespec pause = {.tv_nsec = 100000000};
        nanosleep(&pause, NULL);
    }
    return 0;
}

// --- Words ---

char *load_conninfo(const char *database)
{
    char *out = malloc(2 * strlen(database) + sizeof("dbname=''"));
    if (!out)
        return NULL;
    char *p = stpcpy(out, "dbname='");
    for (; *database; database++) {
        if (*database == '\'' || *database == '\\')
            *p++ = '\\';
        *p++ = *database;
    }
    strcpy(p, "'");
    return out;
}

struct words {
    const char *list[WORDS];
    size_t count;
};

static void add(struct words *w, const char *word)
{
    assert(w->count + 1 < WORDS);
    w->list[w->count++] = word;
}

static void add_options(struct words *w, const struct restore_job *job)
{
    if (job->no_owner)
        add(w, "--no-owner");
    if (job->no_privileges)
        add(w, "--no-privileges");
    if (job->no_tablespaces || job->scratch)
        add(w, "--no-tablespaces");
    if (job->scratch)
        add(w, "--no-subscriptions");
}

int load_archive(const struct restore_job *job, const struct source *source, const char *tool,
                 const char *const *more, int list, struct err *err)
{
    char jobs[16];
    snprintf(jobs, sizeof(jobs), "-j%u", job->jobs ? job->jobs : 1);
    // a name that looks like a conninfo is none
    auto_free char *conninfo = load_conninfo(job->database);
    if (!conninfo)
        return err_errno(err, ENOMEM, "restore");
    struct words w = {.count = 0};
    add(&w, tool);
    add(&w, "--exit-on-error");
    add(&w, "--no-password");
    if (job->jobs > 1 && source->kind != SOURCE_TAR)
        add(&w, jobs);
    add(&w, "-d");
    add(&w, conninfo);
    add_options(&w, job);
    if (list >= 0) { // its own descriptors are all that it gets
        add(&w, "-L");
        add(&w, "/dev/stdin");
    }
    for (; more && *more; more++)
        add(&w, *more);
    add(&w, source->path);
    char **env = NULL;
    int rc = pg_child_env(&job->server, job->database, "bakfs restore", &env, err);
    if (rc != 0)
        return rc;
    struct process *p = NULL;
    struct process_end end = {0};
    const struct process_conf conf = {
        .argv = w.list, .env = (const char *const *)env, .in = list, .out = -1};
    rc = process_start(&conf, &p, err);
    pg_env_free(env);
    if (rc == 0)
        rc = wait_for(job, p, source->bytes, &end, err);
    if (rc == 0)
        rc = process_judge(p, "pg_restore", &end, err);
    process_free(p);
    return rc;
}

// --- The table of contents ---

int load_list(const struct source *source, const char *tool, char **out, struct err *err)
{
    auto_fd int fd = memfd_create("list", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "a file in memory");
    const char *const words[] = {tool, "-l", source->path, NULL};
    const struct process_conf conf = {.argv = words, .in = -1, .out = fd};
    struct process *p = NULL;
    struct process_end end = {0};
    int rc = process_start(&conf, &p, err);
    if (rc == 0)
        rc = process_wait(p, &end, err);
    if (rc == 0)
        rc = process_judge(p, "pg_restore -l", &end, err);
    process_free(p);
    if (rc != 0)
        return rc;
    rc = process_read_output(fd, LIST_MAX_BYTES, out, err);
    return rc ? err_prefix(err, "the table of contents of %s", source->path) : 0;
}

int load_list_file(const char *text, size_t len, struct err *err)
{
    auto_fd int fd = memfd_create("list", MFD_CLOEXEC);
    for (size_t at = 0; fd >= 0 && at < len;) {
        ssize_t put = pwrite(fd, text + at, len - at, (off_t)at);
        if (put <= 0)
            return err_errno(err, put < 0 ? errno : EIO, "a file in memory");
        at += (size_t)put;
    }
    int made = fd;
    fd = -1;
    return made >= 0 ? made : err_errno(err, errno, "a file in memory");
}
