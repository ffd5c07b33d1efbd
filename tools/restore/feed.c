// Programs that read the dump from a pipe: psql and restore_command. We read the mount, they read us: a read error kills
// them (psql by itself takes one for the end of the file and commits), and what was read is known.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "tools/process.h"
#include "tools/restore/internal.h"
#include "tools/restore/plain.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define PIECE_BYTES (256u << 10)
#define LOOK_MS 200 // how often the program is looked at while it takes nothing

// A dump that goes to another database by itself is no dump for a new one. No line of COPY's data begins so: a backslash
// stands there for itself and one more.
struct scanner {
    bool wanted;
    char line[16]; // the beginning of the line we are in
    size_t len;
};

static bool scan_line(const struct scanner *s)
{
    static const char *const words[] = {"\\connect ", "\\c "};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (s->len >= strlen(words[i]) && memcmp(s->line, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

// -> a line that changes the database was seen
static bool scan(struct scanner *s, const char *data, size_t len)
{
    while (s->wanted && len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t here = end ? (size_t)(end - data) : len;
        size_t room = sizeof(s->line) - s->len;
        size_t more = here < room ? here : room;
        memcpy(s->line + s->len, data, more);
        s->len += more;
        if (scan_line(s))
            return true;
        if (end)
            s->len = 0;
        data += here + (end != NULL);
        len -= here + (end != NULL);
    }
    return false;
}

struct feed {
    const struct restore_job *job;
    const struct source *source;
    const char *name; // of the program
    struct process *p;
    struct process_end end;
    int in;  // the dump
    int out; // our end of the pipe
    bool ended;
    uint64_t taken_bytes; // of the dump
    struct scanner scanner;
    struct plain *plain; // leaves out what is not wanted; NULL: all is
};

// Waits until the pipe takes something, or the program has ended.
static int await_room(struct feed *f, struct err *err)
{
    if (process_poll(f->p, &f->end)) {
        f->ended = true;
        return 0;
    }
    if (process_stop_asked())
        return process_wait(f->p, &f->end, err);
    struct pollfd room = {.fd = f->out, .events = POLLOUT};
    if (poll(&room, 1, LOOK_MS) < 0 && errno != EINTR)
        return err_errno(err, errno, "feed %s", f->name);
    return 0;
}

static int put(void *ctx, const char *data, size_t len, struct err *err)
{
    struct feed *f = ctx;
    while (len > 0 && !f->ended) {
        ssize_t n = write(f->out, data, len);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
            continue;
        }
        if (n < 0 && errno == EPIPE) { // it reads no more: how it ends says why
            int rc = process_wait(f->p, &f->end, err);
            f->ended = true;
            return rc;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_errno(err, errno, "feed %s", f->name);
        int rc = await_room(f, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int pump(struct feed *f, char *piece, struct err *err)
{
    for (;;) {
        ssize_t got = read(f->in, piece, PIECE_BYTES);
        if (got < 0 && errno == EINTR && !process_stop_asked())
            continue;
        if (got < 0 && process_stop_asked())
            return process_wait(f->p, &f->end, err);
        if (got < 0)
            return err_errno(err, errno, "read %s (the log of bakfs mount says more)",
                             f->source->path);
        if (got == 0)
            return f->plain ? plain_end(f->plain, err) : 0;
        if (scan(&f->scanner, piece, (size_t)got))
            return err_set(
                err, EOPNOTSUPP,
                "%s goes to another database by itself (\\connect): it is a dump of pg_dump -C or "
                "of pg_dumpall, and only psql -X -v ON_ERROR_STOP=1 -f '%s' postgres restores it, "
                "over the names that stand in it",
                f->source->path, f->source->path);
        int rc = f->plain ? plain_pass(f->plain, piece, (size_t)got, err)
                          : put(f, piece, (size_t)got, err);
        if (rc != 0 || f->ended)
            return rc;
        f->taken_bytes += (uint64_t)got;
        progress(f->job, "restore", f->taken_bytes, f->source->bytes);
    }
}

static int feed(struct feed *f, struct err *err)
{
    auto_free char *piece = malloc(PIECE_BYTES);
    if (!piece)
        return err_errno(err, ENOMEM, "restore");
    int rc = pump(f, piece, err);
    if (rc != 0) // before its input ends: it must not take that for the end of the dump
        return rc;
    close(f->out);
    f->out = -1;
    if (!f->ended)
        rc = process_wait(f->p, &f->end, err);
    if (rc == 0)
        rc = process_judge(f->p, f->name, &f->end, err);
    if (rc == 0 && f->taken_bytes < f->source->bytes)
        rc = err_set(err, EIO, "%s ended well, but did not read all of %s", f->name,
                     f->source->path);
    return rc;
}

static int run(struct feed *f, const char *const *argv, const char *const *env, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_errno(err, errno, "a pipe");
    auto_fd int theirs = ends[0];
    f->out = ends[1];
    fcntl(f->out, F_SETFL, O_NONBLOCK);
    f->in = open(f->source->path, O_RDONLY | O_CLOEXEC);
    int rc = f->in < 0 ? err_errno(err, errno, "%s", f->source->path) : 0;
    const struct process_conf conf = {.argv = argv, .env = env, .in = theirs, .out = -1};
    if (rc == 0)
        rc = process_start(&conf, &f->p, err);
    close(theirs);
    theirs = -1;
    if (rc == 0)
        rc = feed(f, err);
    process_free(f->p); // kills what still runs, while its input is open
    if (f->out >= 0)
        close(f->out);
    if (f->in >= 0)
        close(f->in);
    return rc;
}

int load_plain(const struct restore_job *job, const struct source *source, const char *tool,
               struct err *err)
{
    auto_free char *conninfo = load_conninfo(job->database);
    if (!conninfo)
        return err_errno(err, ENOMEM, "restore");
    char **env = NULL;
    int rc = pg_child_env(&job->server, job->database, "bakfs restore", &env, err);
    if (rc != 0)
        return rc;
    const char *const argv[] = {
        tool,     "-X", "-q", "-w", "--single-transaction", "-v", "ON_ERROR_STOP=1", "-d",
        conninfo, "-f", "-",  NULL};
    struct feed f = {
        .job = job, .source = source, .name = "psql", .in = -1, .out = -1, .scanner.wanted = true};
    const struct plain_options options = {.no_owner = job->no_owner,
                                          .no_privileges = job->no_privileges,
                                          .no_tablespaces = job->no_tablespaces || job->scratch,
                                          .scratch = job->scratch};
    f.plain = plain_new(&options, put, &f);
    rc = f.plain ? run(&f, argv, (const char *const *)env, err) : err_errno(err, ENOMEM, "restore");
    plain_free(f.plain);
    pg_env_free(env);
    return rc;
}

int load_command(const struct restore_job *job, const struct source *source, struct err *err)
{
    auto_free char *into = NULL, *dump = NULL;
    if (asprintf(&into, "BAKFS_INTO=%s", job->database) < 0)
        into = NULL;
    if (asprintf(&dump, "BAKFS_DUMP=%s", source->path) < 0)
        dump = NULL;
    if (!into || !dump)
        return err_errno(err, ENOMEM, "restore");
    const char *const argv[] = {"/bin/sh", "-c", job->conf->restore_command, NULL};
    // a drill's command leaves nothing behind
    const char *const env[] = {into, dump, job->scratch ? "BAKFS_DRILL=1" : "BAKFS_DRILL", NULL};
    struct feed f = {.job = job, .source = source, .name = "restore_command", .in = -1, .out = -1};
    return run(&f, argv, env, err);
}
