// PostgreSQL: pg_dump into the mount, and in the same snapshot all that META says.
#include "backend/base/scope.h"
#include "tools/backup/make_impl.h"
#include "tools/backup/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX 64
#define WAITERS_MS 200 // so often it is asked whether somebody waits for us

struct pg_making {
    struct making *m;
    const struct conf_database *db;
    struct pg_server server;
    struct session session;
    char *pg_dump, *pg_dumpall;
    char **env;
    struct counting *counting;
    int schema; // a memory file: it becomes one of the mount when the dump is there
};

// --- The programs ---

struct words {
    const char *list[WORDS_MAX + 1];
    size_t count;
    char snapshot[160], jobs[32];
    char *options; // dump_options, cut at its blanks
};

static void add(struct words *w, const char *word)
{
    if (w->count < WORDS_MAX)
        w->list[w->count++] = word;
    w->list[w->count] = NULL;
}

// Options of the configuration first: what we need wins.
static int begin_words(const struct pg_making *p, const char *program, struct words *w,
                       struct err *err)
{
    *w = (struct words){.options = strdup(p->db->dump_options)};
    if (!w->options)
        return err_errno(err, ENOMEM, "start pg_dump");
    add(w, program);
    add(w, "--no-password");
    add(w, "--lock-wait-timeout=1800000");
    char *rest = NULL;
    for (char *word = strtok_r(w->options, " \t", &rest); word;
         word = strtok_r(NULL, " \t", &rest)) {
        if (w->count + 10 > WORDS_MAX) {
            free(w->options);
            return err_set(err, EINVAL, "[database %s] dump_options: more than %d words",
                           p->db->name, WORDS_MAX - 10);
        }
        add(w, word);
    }
    snprintf(w->snapshot, sizeof(w->snapshot), "--snapshot=%s", p->session.snapshot);
    add(w, w->snapshot);
    add(w, "--no-sync");
    return 0;
}

// NAME=VALUE, or NAME and the word behind it.
static void drop_word(struct words *w, const char *name)
{
    size_t len = strlen(name), kept = 0;
    for (size_t i = 0; i < w->count; i++) {
        const char *word = w->list[i];
        bool same = strncmp(word, name, len) == 0;
        if (same && word[len] == '\0')
            i++;
        else if (!same || word[len] != '=')
            w->list[kept++] = word;
    }
    w->count = kept;
    w->list[kept] = NULL;
}

static int start(const struct pg_making *p, const struct words *w, int out, struct process **child,
                 struct err *err)
{
    struct process_conf conf = {
        .argv = w->list,
        .env = (const char *const *)(void *)p->env,
        .dir = p->m->site.here, // names are relative: nothing lands elsewhere
        .in = -1,
        .out = out};
    return process_start(&conf, child, err);
}

static const char *suffix_of(const struct conf_database *db)
{
    switch (db->format) {
    case CONF_FORMAT_DIRECTORY:
        return ".dir";
    case CONF_FORMAT_PLAIN:
        return ".sql";
    case CONF_FORMAT_CUSTOM:
        break;
    }
    return ".dump";
}

static const char *format_word(const struct conf_database *db)
{
    switch (db->format) {
    case CONF_FORMAT_DIRECTORY:
        return "directory";
    case CONF_FORMAT_PLAIN:
        return "plain";
    case CONF_FORMAT_CUSTOM:
        break;
    }
    return "custom";
}

static int start_dump(struct pg_making *p, struct process **child, struct err *err)
{
    char name[SITE_NAME_BYTES];
    site_name(&p->m->site, suffix_of(p->db), name);
    int rc = making_set(&p->m->meta->dump, name, err);
    struct words w;
    if (rc == 0)
        rc = begin_words(p, p->pg_dump, &w, err);
    if (rc != 0)
        return rc;
    add(&w, "-Z0"); // the mount compresses
    add(&w, "-F");
    add(&w, format_word(p->db));
    if (p->db->format == CONF_FORMAT_DIRECTORY && p->db->jobs > 1) {
        snprintf(w.jobs, sizeof(w.jobs), "%u", p->db->jobs);
        add(&w, "-j");
        add(&w, w.jobs);
    }
    add(&w, "-f");
    add(&w, name);
    rc = start(p, &w, -1, child, err);
    free(w.options);
    return rc;
}

// --- Beside the dump ---

static int dump_schema(struct pg_making *p, struct err *err)
{
    p->schema = memfd_create("bakfs-schema", MFD_CLOEXEC);
    if (p->schema < 0)
        return err_errno(err, errno, "dump the schema");
    struct words w;
    int rc = begin_words(p, p->pg_dump, &w, err);
    if (rc != 0)
        return rc;
    drop_word(&w, "--include-foreign-data"); // rows: pg_dump refuses it beside -s
    add(&w, "-s");
    struct process *child = NULL;
    rc = start(p, &w, p->schema, &child, err);
    if (rc == 0)
        rc = making_wait(p->m, child, "pg_dump -s", "dump", p->m->meta->dump, err);
    free(w.options);
    return rc;
}

static int copy(int from, int to, const char *name, struct err *err)
{
    char piece[65536];
    off_t at = 0;
    for (ssize_t got; (got = pread(from, piece, sizeof(piece), at)) != 0; at += got) {
        if (got < 0)
            return err_errno(err, errno, "write %s", name);
        for (ssize_t put = 0, n; put < got; put += n) {
            n = write(to, piece + put, (size_t)(got - put));
            if (n < 0 && errno == EINTR && !process_stop_asked())
                n = 0;
            if (n < 0)
                return err_errno(err, errno, "write %s", name);
        }
    }
    return 0;
}

static int store_schema(struct pg_making *p, struct err *err)
{
    char name[SITE_NAME_BYTES];
    site_name(&p->m->site, ".schema.sql", name);
    int fd = site_create(&p->m->site, name, err);
    if (fd < 0)
        return fd;
    int rc = copy(p->schema, fd, name, err);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    rc = site_commit(fd, name, err);
    return rc == 0 ? making_set(&p->m->meta->schema, name, err) : rc;
}

static int dump_globals(struct pg_making *p, struct err *err)
{
    const char *argv[8] = {p->pg_dumpall, "-g", "--no-password", "--no-sync", NULL};
    size_t n = 4;
    if (!p->session.reads_passwords) {
        argv[n++] = "--no-role-passwords";
        int rc = making_set(&p->m->meta->globals_lack, "passwords of roles", err);
        if (rc != 0)
            return rc;
    }
    // it would connect to "postgres", where this role may not be let in; what looks like a conninfo is one to it
    const char *database = p->m->meta->database;
    if (!strpbrk(database, "=:/")) {
        argv[n++] = "-l";
        argv[n++] = database;
    }
    struct process_conf conf = {
        .argv = argv, .env = (const char *const *)(void *)p->env, .dir = p->m->site.here, .in = -1};
    return making_run(p->m, &conf, "pg_dumpall -g", ".globals.sql", &p->m->meta->globals, err);
}

static int tool_version(const char *program, char **out, struct err *err)
{
    auto_fd int fd = memfd_create("bakfs-version", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "ask %s for its version", program);
    const char *const argv[] = {program, "--version", NULL};
    struct process_conf conf = {.argv = argv, .in = -1, .out = fd};
    struct process *child = NULL;
    struct process_end end = {0};
    int rc = process_start(&conf, &child, err);
    if (rc == 0)
        rc = process_wait(child, &end, err);
    process_free(child);
    char text[128] = "";
    if (rc == 0 && pread(fd, text, sizeof(text) - 1, 0) < 0)
        rc = err_errno(err, errno, "ask %s for its version", program);
    text[strcspn(text, "\n")] = '\0';
    return rc == 0 ? making_set(out, text, err) : rc;
}

// --- The run ---

static int find_tools(struct pg_making *p, struct err *err)
{
    int version = pg_version(p->session.pg);
    int rc = pg_tool(p->db->bindir, "pg_dump", version, &p->pg_dump, err);
    if (rc == 0)
        rc = pg_tool(p->db->bindir, "pg_dumpall", version, &p->pg_dumpall, err);
    if (rc == 0)
        rc = pg_child_env(&p->server, NULL, p->session.name, &p->env, err);
    return rc == 0 ? tool_version(p->pg_dump, &p->m->meta->dump_tool, err) : rc;
}

static int describe(struct pg_making *p, struct err *err)
{
    struct meta *meta = p->m->meta;
    meta->server_version = pg_version(p->session.pg);
    int rc = making_set(&meta->engine, "postgresql", err);
    if (rc == 0)
        rc = making_set(&meta->format, format_word(p->db), err);
    if (rc == 0)
        rc = making_set(&meta->database, pg_database(p->session.pg), err);
    if (rc == 0)
        rc = making_set(&meta->system_identifier, p->session.system_identifier, err);
    return rc == 0 ? making_set(&meta->dump_options, p->db->dump_options, err) : rc;
}

// STEM has the second of its snapshot: one that is taken already is waited for to pass.
static int take_snapshot(struct pg_making *p, struct err *err)
{
    int rc;
    do {
        if (*p->session.snapshot)
            clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME,
                            &(struct timespec){.tv_sec = p->session.begun.tv_sec + 1}, NULL);
        if (process_stop_asked())
            return process_stopped(err);
        rc = session_snapshot(&p->session, err);
        if (rc == 0)
            rc = making_place(p->m, p->session.begun, err);
    } while (rc == -EEXIST);
    return rc;
}

static int count(struct pg_making *p, struct err *err)
{
    return counting_begin(&p->session, &p->server, p->db, &p->counting, err);
}

// Such SQL drops or makes what a new database has not: no restore takes it.
static int check_options(const struct pg_making *p, struct err *err)
{
    bool clean = false, if_exists = false, create = false;
    for (const char *word = p->db->dump_options; *word; word += strcspn(word, " \t")) {
        word += strspn(word, " \t");
        size_t len = strcspn(word, " \t");
        clean |= (len == 2 && strncmp(word, "-c", len) == 0) ||
                 (len == 7 && strncmp(word, "--clean", len) == 0);
        create |= (len == 2 && strncmp(word, "-C", len) == 0) ||
                  (len == 8 && strncmp(word, "--create", len) == 0);
        if_exists |= len == 11 && strncmp(word, "--if-exists", len) == 0;
    }
    if (p->db->format != CONF_FORMAT_PLAIN || (!create && (!clean || if_exists)))
        return 0;
    return err_set(err, EINVAL,
                   "[database %s] dump_options: %s in the plain format makes SQL that cannot be "
                   "restored into a new database: leave it out%s",
                   p->db->name, create ? "--create" : "--clean",
                   create ? "" : ", or add --if-exists");
}

// The dump is there. Counting goes on as long as nobody waits for us.
static int end_counting(struct pg_making *p, struct err *err)
{
    bool stopped = false;
    while (!counting_wait(p->counting, WAITERS_MS)) {
        if (session_blocks_others(&p->session) || process_stop_asked()) {
            if (!stopped && !process_stop_asked())
                p->m->job->warn(p->m->job->ctx,
                                "somebody waits for a lock that the counting holds: "
                                "the rows of some tables are not counted");
            stopped = true;
            counting_stop(p->counting);
        }
    }
    int rc = counting_end(p->counting, &p->m->meta->facts, p->m->job->warn, p->m->job->ctx, err);
    p->counting = NULL;
    return rc;
}

// While pg_dump runs.
static int beside(struct pg_making *p, struct err *err)
{
    struct facts *facts = &p->m->meta->facts;
    int rc = count(p, err);
    if (rc == 0)
        rc = session_ask(&p->session, p->db, facts, p->m->job->warn, p->m->job->ctx, err);
    return rc == 0 ? dump_schema(p, err) : rc;
}

static int dump(struct pg_making *p, struct err *err)
{
    struct facts *facts = &p->m->meta->facts;
    int rc = facts_take(p->session.pg, facts, err);
    if (rc ==
        0) // they obey no snapshot: where they stand before the dump, and again when it is there
        rc = facts_sequences(p->session.pg, facts, err);
    if (rc != 0)
        return err_prefix(err, "look at the database");
    struct process *child = NULL;
    rc = start_dump(p, &child, err);
    if (rc != 0)
        return rc;
    rc = beside(p, err);
    struct process_end end;
    if (rc != 0 && !process_poll(child, &end)) {
        process_free(child);
        return rc;
    }
    // where both failed, it is for the same reason, and pg_dump says it better
    struct err why = {0};
    int ended = making_wait(p->m, child, "pg_dump", "dump", p->m->meta->dump, &why);
    if (ended != 0)
        return err_copy(err, &why);
    if (rc == 0)
        rc = facts_sequences(p->session.pg, facts, err);
    if (rc == 0)
        rc = end_counting(p, err);
    return rc == 0 ? session_commit(&p->session, err) : rc;
}

static int run(struct pg_making *p, struct err *err)
{
    int rc = check_options(p, err);
    if (rc == 0)
        rc = session_open(&p->server, p->m->job->verb, &p->session, err);
    if (rc == 0)
        rc = find_tools(p, err);
    if (rc == 0)
        rc = describe(p, err);
    if (rc == 0)
        rc = take_snapshot(p, err);
    if (rc == 0)
        rc = dump(p, err);
    if (rc != 0 && p->counting) {
        counting_stop(p->counting);
        counting_end(p->counting, NULL, NULL, NULL, NULL);
        p->counting = NULL;
    }
    session_close(&p->session); // all locks are gone
    if (rc == 0)
        rc = store_schema(p, err);
    return rc == 0 ? dump_globals(p, err) : rc;
}

int make_pg(struct making *m, struct err *err)
{
    struct pg_making p = {
        .m = m,
        .db = m->job->db,
        .server = {.conninfo = m->job->db->conninfo, .service = m->job->db->service},
        .schema = -1};
    int rc = run(&p, err);
    if (p.schema >= 0)
        close(p.schema);
    pg_env_free(p.env);
    free(p.pg_dump);
    free(p.pg_dumpall);
    return rc;
}
