// bakfs drill: for each configured database, does its newest backup come back? Restored, timed, compared, dropped.
#include "backend/base/clock.h"
#include "backend/base/scope.h"
#include "tools/backup/lock.h"
#include "tools/catalog/when.h"
#include "tools/cli.h"
#include "tools/process.h"
#include "tools/verb.h"
#include "tools/verify/mark.h"
#include "tools/verify/progress.h"
#include "tools/verify/report.h"
#include "tools/verify/scratch.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "Usage: bakfs drill [NAME...] [--due] [--json] [-c CONF]\n"
    "\n"
    "Restores the newest backup of each configured database (or of those named) into a new\n"
    "database on the server of [restore] drill_conninfo, as a role that is no superuser, measures\n"
    "how long that takes, compares what is there with META, and drops it. Goes on with the next\n"
    "after a failure.\n"
    "\n"
    "  --due         only those whose last drill is longer ago than drill_every: for a timer\n"
    "  --json        an array of objects instead of lines\n"
    "  -c, --conf    the configuration\n"
    "\n"
    "The role needs this and nothing else:  CREATE ROLE bakfs_drill LOGIN CREATEDB;\n"
    "and, where tables force row security on their owners:  ALTER ROLE bakfs_drill BYPASSRLS;\n"
    "Databases are called bakfs_drill_...; no other is touched. What another engine's\n"
    "restore_command makes it drops itself at its end: it is run with BAKFS_INTO and\n"
    "BAKFS_DRILL=1.\n"
    "\n"
    "Each leaves a file NAME.VERIFIED.TIMESTAMP.PASS (or .FAIL) beside the backup, and is told as\n"
    "[notify] says.\n"
    "\n"
    "Exit codes: 0 all passed, 1 at least one could not be tried, 2 wrong usage, 3 at least one\n"
    "failed.\n"
    "\n"
    "Example:\n"
    "  bakfs drill orders\n"
    "  bakfs drill --due\n";

struct run {
    const struct conf *conf;
    struct report report;
    struct scratch *scratch;
    struct progress progress;
    bool no_marks;
};

// --- Which ---

// A backup that is being made is not there yet.
static bool is_running(const struct run *run, const struct conf_database *db,
                       const struct backup *b)
{
    if (b->finished)
        return false;
    if (judge_is_writing(run->conf->mount.point, b))
        return true;
    int fd = backup_lock(run->conf, db, NULL);
    if (fd >= 0)
        close(fd);
    return fd == -EBUSY;
}

static const struct backup *newest(const struct run *run, const struct conf_database *db,
                                   const struct backups *all)
{
    size_t i = all->count;
    while (i > 1 && is_running(run, db, &all->list[i - 1]))
        i--;
    return i ? &all->list[i - 1] : NULL;
}

// When one of these was last restored by way of trial, with whatever result.
static time_t last_drill(const char *point, const struct backups *all)
{
    time_t last = 0;
    for (size_t i = all->count; i-- > 0;) { // from the newest on: one is read, or few
        const struct backup *b = &all->list[i];
        if (b->verified_at > last && mark_was_restored(point, b))
            last = b->verified_at;
    }
    return last;
}

static bool is_due(const struct run *run, const struct conf_database *db, const struct backups *all)
{
    time_t every = (time_t)(db->drill_every_ms / 1000);
    return every > 0 && last_drill(run->conf->mount.point, all) + every <= time(NULL);
}

// --- One ---

static int restore(struct run *run, const struct conf_database *db, const struct backup *b,
                   struct verdict *v, struct scratch_times *times, struct err *err)
{
    const struct scratch_conf conf = {.conf = run->conf,
                                      .verb = "drill",
                                      .prefix = "drill",
                                      .progress = progress_stage,
                                      .ctx = &run->progress};
    int rc = run->scratch ? 0 : scratch_new(&conf, &run->scratch, err);
    return rc ? rc : scratch_run(run->scratch, b, db, v, times, err);
}

static int look(struct run *run, const struct conf_database *db, const struct backup *b,
                struct verdict *v, struct scratch_times *times, struct err *err)
{
    const struct judge_conf conf = {.point = run->conf->mount.point,
                                    .level = JUDGE_RESTORE,
                                    .bindir = db->bindir,
                                    .readers = 2,
                                    .stop = process_stop_asked};
    struct err why;
    int rc = judge_backup(&conf, b, v, &why);
    if (rc)
        return verdict_add(v, LOOK_CANNOT, err, "%s", why.text);
    if (v->outcome != LOOK_PASS)
        return 0;
    rc = restore(run, db, b, v, times, &why);
    if (rc == -EINTR)
        v->stopped = true;
    return rc ? verdict_add(v, LOOK_CANNOT, err, "could not be drilled: %s", why.text) : 0;
}

static void mark(struct run *run, const struct backup *b, const struct verdict *v,
                 const struct mark *m)
{
    struct err err;
    if (v->outcome == LOOK_CANNOT || run->no_marks || !b->finished)
        return;
    int rc = mark_write(run->conf->mount.point, b, m, &err);
    if (rc == 0)
        return;
    run->no_marks = rc == -EROFS;
    fprintf(stderr, "bakfs drill: note: no VERIFIED file is left: %s\n",
            rc == -EROFS ? "the mount is read-only, so --due does not know of this drill"
                         : err.text);
}

static int drill_backup(struct run *run, const struct conf_database *db, const struct backup *b,
                        struct err *err)
{
    struct verdict v = {.outcome = LOOK_PASS};
    struct scratch_times times = {0};
    struct mark m = {.level = JUDGE_RESTORE};
    clock_gettime(CLOCK_REALTIME, &m.at);
    uint64_t begun = clock_ms();
    run->progress.showing = backup_path(b);
    int rc = look(run, db, b, &v, &times, err);
    progress_clear(&run->progress);
    if (rc)
        return rc;
    m.duration_ms = clock_ms() - begun;
    m.restore_ms = times.restore_ms;
    m.bytes = v.bytes + times.bytes;
    m.pass = v.outcome == LOOK_PASS;
    m.reason = v.reason;
    mark(run, b, &v, &m);
    const struct report_row row = {.name = db->name,
                                   .backup = b,
                                   .level = JUDGE_RESTORE,
                                   .verdict = &v,
                                   .duration_ms = m.duration_ms,
                                   .restore_ms = times.restore_ms,
                                   .compare_ms = times.compare_ms};
    report_add(&run->report, db->name, &row);
    verdict_done(&v);
    return 0;
}

static int tell_missing(struct run *run, const struct conf_database *db, const char *host,
                        struct err *err)
{
    struct verdict v = {.outcome = LOOK_PASS};
    int rc = verdict_add(&v, LOOK_FAIL, err, "there is no backup of %s %s: bakfs backup %s", host,
                         backups_partition(db), db->name);
    if (rc)
        return rc;
    const struct report_row row = {.name = db->name,
                                   .host = host,
                                   .partition = backups_partition(db),
                                   .level = JUDGE_RESTORE,
                                   .verdict = &v};
    report_add(&run->report, db->name, &row);
    verdict_done(&v);
    return 0;
}

static int drill_one(struct run *run, const struct conf_database *db, bool due, struct err *err)
{
    char host[BACKUPS_HOST_BYTES];
    struct backups all = {.list = NULL};
    int rc = backups_host(db, host, err);
    if (rc == 0)
        rc = backups_load(run->conf->mount.point, host, backups_partition(db), BACKUPS_SIZES, &all,
                          err);
    if (rc)
        return rc;
    const struct backup *b = newest(run, db, &all);
    bool wanted = !due || (b ? is_due(run, db, &all) : db->drill_every_ms > 0);
    if (wanted)
        rc = b ? drill_backup(run, db, b, err) : tell_missing(run, db, host, err);
    backups_done(&all);
    return rc;
}

// --- All ---

// `names` NULL: as many as are configured.
static int find_all(const struct conf *conf, char *const *names, size_t count,
                    const struct conf_database **out, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = names ? conf_database_find(conf, names[i], err) : &conf->databases[i];
        if (!out[i])
            return -ENOENT;
    }
    return 0;
}

static int drill(struct run *run, const struct conf_database *const *list, size_t count, bool due)
{
    int rc = 0;
    struct err err;
    for (size_t i = 0; i < count && rc == 0 && !process_stop_asked(); i++)
        rc = drill_one(run, list[i], due, &err);
    bool stopped = process_stop_asked();
    if (rc)
        report_trouble(&run->report, &err);
    int code = report_end(&run->report);
    if (!rc && stopped)
        fputs("bakfs drill: stopped\n", stderr);
    return (rc || stopped) && code == CLI_DONE ? CLI_FAILED : code;
}

static int run_conf(const struct conf *conf, char *const *names, size_t count, bool due, bool json)
{
    struct err err = {0};
    size_t wanted = count > 0 ? count : conf->database_count;
    auto_free const struct conf_database **list =
        calloc(wanted + 1, sizeof(struct conf_database *));
    int rc = list ? 0 : err_errno(&err, ENOMEM, "drill");
    if (rc == 0)
        rc = find_all(conf, count > 0 ? names : NULL, wanted, list, &err);
    if (rc == 0 && wanted == 0)
        rc = err_set(&err, ENOENT, "no [database NAME] in the configuration: nothing to drill");
    if (rc)
        return cli_fail("bakfs drill", &err, NULL);
    struct run run = {.conf = conf, .progress.on_terminal = isatty(STDERR_FILENO)};
    report_begin(&run.report, conf, "drill", "bakfs drill", json);
    int code = drill(&run, list, wanted, due);
    scratch_free(run.scratch);
    return code;
}

int verb_drill(int argc, char **argv)
{
    static const struct option options[] = {{"due", no_argument, NULL, 'd'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"conf", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *conf_path = NULL;
    bool due = false, json = false;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (c == 'c')
            conf_path = optarg;
        else if (c == 'd')
            due = true;
        else if (c == 'j')
            json = true;
        else
            return cli_usage("bakfs drill", "wrong usage");
    }
    process_guard();
    struct conf *conf = NULL;
    struct err err;
    if (conf_load(conf_path, &conf, &err) != 0)
        return cli_fail("bakfs drill", &err, NULL);
    int code = run_conf(conf, argv + optind, (size_t)(argc - optind), due, json);
    conf_free(conf);
    return code;
}
