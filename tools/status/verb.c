// bakfs status: is all well? For people, programs, Prometheus, a browser, a mailbox; and by its exit code.
#include "tools/verb.h"
#include "backend/base/scope.h"
#include "tools/catalog/backups.h"
#include "tools/cli.h"
#include "tools/notify/notify.h"
#include "tools/status/status.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERB "bakfs status"
#define HISTORY_DAYS 365
#define HISTORY_MAX 3660

static const char help[] =
    "Usage: bakfs status [HOST [PARTITION] | NAME] [--json] [--html FILE] [--metrics FILE]\n"
    "                    [--notify] [--history DAYS] [-c CONF]\n"
    "\n"
    "Says whether every database has a good backup that is new enough: of each HOST and\n"
    "PARTITION the newest good one, its age against `every`, its size against the usual, the\n"
    "last drill and how long the restore took, and what failed since. What needs somebody comes\n"
    "first, with what to type. An eighth of `every` and of `drill_every` may pass before anything\n"
    "is overdue. What no [database] of the configuration names is shown too, and never overdue.\n"
    "\n"
    "  --json          an object instead of a table\n"
    "  --html FILE     one page for a browser, with a calendar of the backups\n"
    "  --metrics FILE  for Prometheus: put it where node_exporter reads text files\n"
    "  --notify        tells by [notify] when all is not well: on change, and once a day\n"
    "  --history DAYS  so many days in the page (365), and in --json (else none)\n"
    "  -c, --conf      the configuration\n"
    "\n"
    "FILEs are replaced whole; \"-\" is standard output. With one of --html, --metrics, --notify\n"
    "the table is left out when all is well.\n"
    "\n"
    "Exit codes: 0 all is well (there may be warnings), 1 something is overdue or failed, 2 wrong\n"
    "usage.\n"
    "\n"
    "Example:\n"
    "  bakfs status\n"
    "  bakfs status --html /tmp/backups.html --metrics /tmp/bakfs.prom\n";

struct asked {
    const char *conf, *html, *metrics;
    bool json, notify;
    unsigned history; // 0: not given
    const char *host, *partition;
    char host_of_name[BACKUPS_HOST_BYTES]; // where `host` was a NAME
};

struct seen {
    const struct status *status;
    const struct status_look *look;
    const struct asked *asked;
};

static void put_html(FILE *out, const struct seen *seen)
{
    status_show_html(out, seen->status, seen->look,
                     seen->asked->history ? seen->asked->history : HISTORY_DAYS);
}

static void put_metrics(FILE *out, const struct seen *seen)
{
    status_show_metrics(out, seen->status, seen->look);
}

// Whoever reads the file meanwhile has the old one or the new one.
static int replace(const char *path, void (*put)(FILE *, const struct seen *),
                   const struct seen *seen, struct err *err)
{
    if (strcmp(path, "-") == 0) {
        put(stdout, seen);
        return 0;
    }
    auto_free char *temp = NULL;
    if (asprintf(&temp, "%s.XXXXXX", path) < 0) {
        temp = NULL;
        return err_errno(err, ENOMEM, "write %s", path);
    }
    int fd = mkostemp(temp, O_CLOEXEC);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!out) {
        int code = errno;
        if (fd >= 0) {
            close(fd);
            (void)unlink(temp);
        }
        return err_errno(err, code, "write %s", path);
    }
    put(out, seen);
    int rc = 0;
    if (fflush(out) != 0 || ferror(out) || fchmod(fd, 0644) != 0)
        rc = err_errno(err, errno ? errno : EIO, "write %s", path);
    if (fclose(out) != 0 && rc == 0)
        rc = err_errno(err, errno, "write %s", path);
    if (rc == 0 && rename(temp, path) != 0)
        rc = err_errno(err, errno, "write %s", path);
    if (rc)
        (void)unlink(temp);
    return rc;
}

// --- Telling ---

// What is said again tomorrow in the same words: no ages in it.
static char *summary_of(const struct status *s)
{
    char *text = NULL;
    size_t len, named = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return NULL;
    if (s->level != STATUS_BAD)
        fputs("all is well", out);
    for (size_t i = 0; i < s->count && s->partitions[i].level == STATUS_BAD; i++) {
        const struct status_partition *p = &s->partitions[i];
        if (i < 5)
            fprintf(out, "%s%s on %s: %s", named++ ? "; " : "", p->partition, p->host,
                    status_why(p));
    }
    if (s->bad > 5)
        fprintf(out, "; and %zu more", s->bad - 5);
    for (size_t i = 0; i < s->notes.count; i++)
        if (s->notes.list[i].level == STATUS_BAD)
            fprintf(out, "%s%s", named++ ? "; " : "", s->notes.list[i].text);
    return fclose(out) == 0 ? text : NULL;
}

static int tell(const struct conf *conf, const struct seen *seen, struct err *err)
{
    const struct status *s = seen->status;
    const struct asked *asked = seen->asked;
    auto_free char *what = NULL; // who asks for one alone is told of that one
    if (asprintf(&what, "%s%s%s", asked->host ? asked->host : "backups",
                 asked->partition ? " " : "", asked->partition ? asked->partition : "") < 0) {
        what = NULL;
        return err_errno(err, ENOMEM, "tell the status");
    }
    auto_free char *summary = summary_of(s), *body = NULL;
    size_t len;
    FILE *out = open_memstream(&body, &len);
    if (!summary || !out) {
        if (out)
            fclose(out);
        return err_errno(err, ENOMEM, "tell the status");
    }
    fprintf(out, "%s\n\n", s->verdict);
    status_show_text_notes(out, s, STATUS_WARN);
    if (fclose(out) != 0)
        return err_errno(err, ENOMEM, "tell the status");
    struct notice notice = {.pass = s->level != STATUS_BAD,
                            .verb = "status",
                            .what = what,
                            .summary = summary,
                            .body = body};
    // a timer asks often: that all is still well is no news, even to whom each success is told
    struct conf changes = *conf;
    changes.notify.on = CONF_NOTIFY_FAILURE;
    return notify_send(&changes, &notice, err);
}

// --- All of it ---

static int show(const struct conf *conf, const struct seen *seen)
{
    const struct asked *asked = seen->asked;
    const struct status *s = seen->status;
    int code = s->level == STATUS_BAD ? CLI_FAILED : CLI_DONE;
    struct err err;
    bool quiet = asked->html || asked->metrics || asked->notify;
    if (asked->html && replace(asked->html, put_html, seen, &err) != 0)
        code = cli_fail(VERB, &err, NULL);
    if (asked->metrics && replace(asked->metrics, put_metrics, seen, &err) != 0)
        code = cli_fail(VERB, &err, NULL);
    if (asked->json)
        status_show_json(stdout, s, asked->history);
    else if (!quiet)
        status_show_text(stdout, s);
    else if (s->level == STATUS_BAD)
        status_show_text(stderr, s);
    if (asked->notify && tell(conf, seen, &err) != 0)
        cli_warn(VERB, err.text);
    return cli_finish(VERB, code);
}

static int run(const struct conf *conf, struct asked *asked)
{
    struct err err;
    const struct conf_database *db =
        asked->host && !asked->partition ? conf_database_find(conf, asked->host, NULL) : NULL;
    if (db) {
        if (backups_host(db, asked->host_of_name, &err) != 0)
            return cli_fail(VERB, &err, NULL);
        asked->host = asked->host_of_name;
        asked->partition = backups_partition(db);
    }
    struct status_look *look = calloc(1, sizeof(*look));
    if (!look) {
        err_errno(&err, ENOMEM, "look at the backups");
        return cli_fail(VERB, &err, NULL);
    }
    status_look(conf, asked->host, asked->partition, look);
    struct status status;
    int code;
    if (status_judge(conf, look, &status, &err) != 0) {
        code = cli_fail(VERB, &err, NULL);
    } else if (asked->host && status.count == 0 && !look->mount.code) {
        err_set(&err, ENOENT, "no backup of %.200s%s%.200s in %.200s", asked->host,
                asked->partition ? " " : "", asked->partition ? asked->partition : "", look->point);
        code = cli_fail(VERB, &err, "bakfs list");
        status_done(&status);
    } else {
        code = show(conf, &(struct seen){.status = &status, .look = look, .asked = asked});
        status_done(&status);
    }
    status_look_done(look);
    free(look);
    return code;
}

static bool parse_days(const char *text, unsigned *out)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || n < 1 || n > HISTORY_MAX)
        return false;
    *out = (unsigned)n;
    return true;
}

int verb_status(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},          {"html", required_argument, NULL, 'H'},
        {"metrics", required_argument, NULL, 'm'}, {"notify", no_argument, NULL, 'n'},
        {"history", required_argument, NULL, 'd'}, {"conf", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},          {0}};
    struct asked asked = {.conf = NULL};
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (c == 'c')
            asked.conf = optarg;
        else if (c == 'j')
            asked.json = true;
        else if (c == 'H')
            asked.html = optarg;
        else if (c == 'm')
            asked.metrics = optarg;
        else if (c == 'n')
            asked.notify = true;
        else if (c != 'd')
            return cli_usage(VERB, "wrong usage");
        else if (!parse_days(optarg, &asked.history))
            return cli_usage(VERB, "--history takes a number of days, 1 to %d", HISTORY_MAX);
    }
    if (argc - optind > 2)
        return cli_usage(VERB, "at most HOST and PARTITION");
    asked.host = argc > optind ? argv[optind] : NULL;
    asked.partition = argc > optind + 1 ? argv[optind + 1] : NULL;
    struct conf *conf = NULL;
    struct err err;
    if (conf_load(asked.conf, &conf, &err) != 0)
        return cli_fail(VERB, &err, NULL);
    int code = run(conf, &asked);
    conf_free(conf);
    return code;
}
