// bakfs verify: is what is stored a backup?
#include "backend/base/clock.h"
#include "backend/base/scope.h"
#include "tools/catalog/when.h"
#include "tools/cli.h"
#include "tools/process.h"
#include "tools/verb.h"
#include "tools/verify/mark.h"
#include "tools/verify/progress.h"
#include "tools/verify/report.h"
#include "tools/verify/scratch.h"
#include "tools/verify/select.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define READERS 3u // files at once; a part of the memory of each is the mount's
#define WITHIN_S ((time_t)3 * 24 * 60 * 60)

static const char help[] =
    "Usage: bakfs verify [BACKUP...] [--quick | --full | --restore] [--all] [--sample N%]\n"
    "                    [--dry-run] [--json] [-c CONF]\n"
    "\n"
    "Is what is stored a backup? BACKUP is a NAME of the configuration, HOST PARTITION, or a path\n"
    "on the mount; the newest of each PARTITION is looked at, without BACKUP of the whole mount.\n"
    "\n"
    "  --quick       each object's header, end, tables and path; META's list of files, with their\n"
    "                sizes and digests. Reads no data. The default without BACKUP\n"
    "  --full        and every byte, its digest, and what is inside a gzip, zstd or xz: is it\n"
    "                whole, is the dump in it? The default for a BACKUP that is named\n"
    "  --restore     restores into a new database on the server of [restore] drill_conninfo,\n"
    "                compares it with META, and drops it\n"
    "  --all         all backups, not only the newest. What passed the same look within 3 days is\n"
    "                skipped, so that a run that was stopped goes on where it was\n"
    "  --again       with --all: skip nothing\n"
    "  --sample N%   of all of them so many, chosen by chance\n"
    "  --dry-run     show which, and what would be fetched\n"
    "  --json        an array of objects instead of lines\n"
    "  -c, --conf    the configuration\n"
    "\n"
    "--full and --restore, and any failure, leave a file NAME.VERIFIED.TIMESTAMP.PASS (or .FAIL)\n"
    "beside the backup; a failure is told as [notify] says.\n"
    "\n"
    "Exit codes: 0 all are good, 1 at least one could not be looked at, 2 wrong usage, 3 at least\n"
    "one is not good.\n"
    "\n"
    "Example:\n"
    "  bakfs verify\n"
    "  bakfs verify orders --full\n"
    "  bakfs verify --all --sample 10% --full\n";

struct options {
    enum judge_level level;
    bool level_given, all, again, dry_run, json;
    double sample_percent;
    const char *conf_path;
};

struct run {
    const struct options *options;
    const struct conf *conf;
    struct report report;
    struct scratch *scratch; // made when it is first wanted
    struct progress progress;
    bool no_marks;
};

// --- One backup ---

static int restore(struct run *run, const struct backup *b, struct verdict *v,
                   struct scratch_times *times, struct err *err)
{
    const struct scratch_conf conf = {.conf = run->conf,
                                      .verb = "verify",
                                      .prefix = "verify",
                                      .progress = progress_stage,
                                      .ctx = &run->progress};
    int rc = run->scratch ? 0 : scratch_new(&conf, &run->scratch, err);
    if (rc == 0)
        rc = scratch_run(run->scratch, b, backup_database(run->conf, b), v, times, err);
    return rc;
}

static void mark(struct run *run, const struct backup *b, const struct verdict *v,
                 const struct mark *m)
{
    bool wanted = v->outcome == LOOK_FAIL ||
                  (v->outcome == LOOK_PASS && run->options->level != JUDGE_QUICK);
    struct err err;
    // it is no good one by its looks, and when META comes it may be: a verdict would stay
    if (!wanted || run->no_marks || !b->finished)
        return;
    int rc = mark_write(run->conf->mount.point, b, m, &err);
    if (rc == 0)
        return;
    run->no_marks = rc == -EROFS; // each of them would say the same
    fprintf(stderr, "bakfs verify: note: no VERIFIED file is left: %s\n",
            rc == -EROFS ? "the mount is read-only" : err.text);
}

static int look(struct run *run, struct backup *b, struct verdict *v, struct scratch_times *times,
                struct err *err)
{
    const struct conf_database *db = backup_database(run->conf, b);
    const struct judge_conf conf = {.point = run->conf->mount.point,
                                    .level = run->options->level,
                                    .bindir = db ? db->bindir : "",
                                    .readers = READERS,
                                    .stop = process_stop_asked,
                                    .progress = run->progress.on_terminal ? progress_bytes : NULL,
                                    .ctx = &run->progress};
    struct err why;
    int rc = judge_backup(&conf, b, v, &why);
    if (rc)
        return verdict_add(v, LOOK_CANNOT, err, "%s", why.text);
    if (run->options->level != JUDGE_RESTORE || v->outcome != LOOK_PASS)
        return 0;
    rc = restore(run, b, v, times, &why);
    if (rc == -EINTR)
        v->stopped = true;
    return rc ? verdict_add(v, LOOK_CANNOT, err, "%s", why.text) : 0;
}

static int look_at_one(struct run *run, struct backup *b, struct err *err)
{
    struct verdict v = {.outcome = LOOK_PASS};
    struct scratch_times times = {0};
    struct mark m = {.level = run->options->level};
    clock_gettime(CLOCK_REALTIME, &m.at);
    uint64_t begun = clock_ms();
    run->progress.showing = backup_path(b);
    int rc = look(run, b, &v, &times, err);
    progress_clear(&run->progress);
    if (rc)
        return rc;
    m.duration_ms = clock_ms() - begun;
    m.restore_ms = times.restore_ms;
    m.bytes = v.bytes + times.bytes;
    m.pass = v.outcome == LOOK_PASS;
    m.reason = v.reason;
    mark(run, b, &v, &m);
    char what[BACKUPS_HOST_BYTES + 256];
    snprintf(what, sizeof(what), "%s %s", b->host, b->partition);
    const struct report_row row = {.backup = b,
                                   .level = m.level,
                                   .verdict = &v,
                                   .duration_ms = m.duration_ms,
                                   .restore_ms = times.restore_ms,
                                   .compare_ms = times.compare_ms};
    report_add(&run->report, what, &row);
    verdict_done(&v);
    return 0;
}

// --- All of them ---

// Those that passed lately go; what is left of a run that was stopped stays.
static size_t skip_passed(const struct run *run, struct selection *s)
{
    const struct options *o = run->options;
    if (!o->all || o->again || o->level == JUDGE_QUICK)
        return 0;
    size_t kept = 0;
    time_t since = time(NULL) - WITHIN_S;
    for (size_t i = 0; i < s->count; i++)
        if (mark_passed(run->conf->mount.point, s->list[i], o->level) < since)
            s->list[kept++] = s->list[i];
    size_t skipped = s->count - kept;
    s->count = kept;
    return skipped;
}

static void say_plan(const struct run *run, const struct selection *s, size_t skipped)
{
    const struct options *o = run->options;
    uint64_t size = 0, stored = 0;
    for (size_t i = 0; i < s->count; i++) {
        size += s->list[i]->size;
        stored += s->list[i]->stored;
    }
    char plain[32], fetched[32];
    cli_size_text(size, plain);
    cli_size_text(stored, fetched);
    fprintf(stderr, "bakfs verify: %zu backup%s, %s", s->count, s->count == 1 ? "" : "s",
            judge_level_word(o->level));
    if (o->level != JUDGE_QUICK)
        fprintf(stderr, ": fetches %s from the store (%s of plain bytes)", fetched, plain);
    if (skipped)
        fprintf(stderr, "; %zu passed within 3 days and %s skipped (--again looks at them too)",
                skipped, skipped == 1 ? "is" : "are");
    if (s->skipped)
        fprintf(stderr, "; %zu being written now: the one before it instead", s->skipped);
    fputc('\n', stderr);
}

static void print_plan(const struct selection *s, bool json)
{
    if (json)
        putchar('[');
    for (size_t i = 0; i < s->count; i++) {
        if (json) {
            fputs(i ? ",\n  " : "\n  ", stdout);
            cli_print_json(stdout, backup_path(s->list[i]));
        } else {
            cli_print_safe(stdout, backup_path(s->list[i]));
            putchar('\n');
        }
    }
    if (json)
        puts(s->count ? "\n]" : "]");
}

static int ask_sizes(const struct run *run, struct selection *s, struct err *err)
{
    for (size_t i = 0; i < s->count && run->options->level != JUDGE_QUICK; i++) {
        struct backup *b = s->list[i];
        int rc = b->dump && b->size == 0 ? backup_ask_sizes(run->conf->mount.point, b, err) : 0;
        if (rc && rc != -ENOENT)
            return rc;
    }
    return 0;
}

static int verify_all(struct run *run, struct selection *s, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < s->count && rc == 0 && !process_stop_asked(); i++)
        rc = look_at_one(run, s->list[i], err);
    return rc;
}

static int verify(struct run *run, char *const *argv, int argc)
{
    const struct options *o = run->options;
    const struct select_options wanted = {o->all, o->sample_percent};
    struct selection s = {.list = NULL};
    struct err err;
    int rc = select_backups(run->conf, argv, argc, &wanted, &s, &err);
    if (rc)
        return cli_fail("bakfs verify", &err, NULL);
    size_t found = s.count, skipped = skip_passed(run, &s);
    rc = ask_sizes(run, &s, &err);
    if (rc == 0 && found == 0)
        rc = err_set(&err, ENOENT, "there is no backup on %s", run->conf->mount.point);
    if (rc) {
        selection_done(&s);
        return cli_fail("bakfs verify", &err, NULL);
    }
    say_plan(run, &s, skipped);
    if (o->dry_run) {
        print_plan(&s, o->json);
        selection_done(&s);
        return cli_finish("bakfs verify", CLI_DONE);
    }
    report_begin(&run->report, run->conf, "verify", "bakfs verify", o->json);
    rc = verify_all(run, &s, &err);
    bool stopped = process_stop_asked();
    if (rc)
        report_trouble(&run->report, &err);
    int code = report_end(&run->report);
    selection_done(&s);
    scratch_free(run->scratch);
    if (!rc && stopped)
        fprintf(stderr, "bakfs verify: stopped%s\n",
                o->all && o->level != JUDGE_QUICK ? "; the same command goes on from here" : "");
    return (rc || stopped) && code == CLI_DONE ? CLI_FAILED : code;
}

// --- The command line ---

static bool parse_percent(const char *text, double *out)
{
    char *end;
    double n = strtod(text, &end);
    if (end == text || (strcmp(end, "%") != 0 && *end) || !(n > 0 && n <= 100))
        return false;
    *out = n;
    return true;
}

enum {
    OPTION_QUICK = 256,
    OPTION_FULL,
    OPTION_RESTORE,
    OPTION_ALL,
    OPTION_AGAIN,
    OPTION_SAMPLE,
    OPTION_DRY_RUN,
    OPTION_JSON
};

static bool set_level(struct options *o, enum judge_level level)
{
    if (o->level_given && o->level != level)
        return false;
    o->level = level;
    o->level_given = true;
    return true;
}

// -1: go on; else the exit code.
static int take_option(struct options *o, int c)
{
    switch (c) {
    case 'h':
        return cli_help(help);
    case 'c':
        o->conf_path = optarg;
        return -1;
    case OPTION_QUICK:
    case OPTION_FULL:
    case OPTION_RESTORE:
        if (!set_level(o, c == OPTION_QUICK  ? JUDGE_QUICK
                          : c == OPTION_FULL ? JUDGE_FULL
                                             : JUDGE_RESTORE))
            return cli_usage("bakfs verify", "one of --quick, --full and --restore");
        return -1;
    case OPTION_ALL:
        o->all = true;
        return -1;
    case OPTION_AGAIN:
        o->again = true;
        return -1;
    case OPTION_SAMPLE:
        if (!parse_percent(optarg, &o->sample_percent))
            return cli_usage("bakfs verify", "--sample %s: a part of all, 10%%", optarg);
        return -1;
    case OPTION_DRY_RUN:
        o->dry_run = true;
        return -1;
    case OPTION_JSON:
        o->json = true;
        return -1;
    default:
        return cli_usage("bakfs verify", "wrong usage");
    }
}

int verb_verify(int argc, char **argv)
{
    static const struct option options[] = {{"quick", no_argument, NULL, OPTION_QUICK},
                                            {"full", no_argument, NULL, OPTION_FULL},
                                            {"restore", no_argument, NULL, OPTION_RESTORE},
                                            {"all", no_argument, NULL, OPTION_ALL},
                                            {"again", no_argument, NULL, OPTION_AGAIN},
                                            {"sample", required_argument, NULL, OPTION_SAMPLE},
                                            {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
                                            {"json", no_argument, NULL, OPTION_JSON},
                                            {"conf", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct options o = {.level = JUDGE_QUICK};
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        int code = take_option(&o, c);
        if (code >= 0)
            return code;
    }
    if (!o.level_given && optind < argc)
        o.level = JUDGE_FULL;
    process_guard();
    struct conf *conf = NULL;
    struct err err;
    if (conf_load(o.conf_path, &conf, &err) != 0)
        return cli_fail("bakfs verify", &err, NULL);
    struct run run = {.options = &o, .conf = conf, .progress.on_terminal = isatty(STDERR_FILENO)};
    int code = verify(&run, argv + optind, argc - optind);
    conf_free(conf);
    return code;
}
