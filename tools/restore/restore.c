// bakfs restore: plan, confirmation, restore, comparison, and with --replace the exchange of names.
#include "backend/base/scope.h"
#include "tools/catalog/when.h"
#include "tools/cli.h"
#include "tools/notify/notify.h"
#include "tools/process.h"
#include "tools/restore/swap.h"
#include "tools/restore/verb.h"
#include "tools/verb.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VERB "bakfs restore"

static const char help[] =
    "Usage: bakfs restore BACKUP [--at TIME] [--to CONNINFO] [--into DB | --replace]\n"
    "                     [--table T]... [--dry-run] [--yes] [-c CONF]\n"
    "\n"
    "Restores a backup into a new database, reading it through the mount, and compares what is\n"
    "there then with what was there when it was made: PASS or FAIL is the last line. Without\n"
    "--replace no database that exists is touched. BACKUP is a NAME of the configuration, HOST\n"
    "PARTITION, or a path on the mount; of several the newest good one is taken. What will happen\n"
    "is shown, and asked about, before anything is done.\n"
    "\n"
    "      --at TIME       the newest one until then: 2026-11-21, \"2026-11-21 03:00\",\n"
    "                      \"yesterday 03:00\", \"2h ago\", 2026-11-21T03:00:00Z\n"
    "      --to CONNINFO   the server (\"host=db2 user=postgres\"); else [restore] of the\n"
    "                      configuration, else the server that the backup is of\n"
    "      --into DB       name of the new database; else that of the old one, with the backup's\n"
    "                      time where that is taken\n"
    "      --replace       restore beside the database of that name; when the comparison passes,\n"
    "                      exchange them, and keep the old one as NAME_before_TIMESTAMP\n"
    "      --table T       only this table (again for more); from custom and directory format\n"
    "  -j, --jobs N        so many at a time\n"
    "      --no-owner, --no-privileges, --no-tablespaces\n"
    "                      leave these out, where the server lacks the roles or tablespaces\n"
    "  -n, --dry-run       only show what would happen, and what would fail\n"
    "      --force         also a backup that is not good, problems that were found, and\n"
    "                      --replace after a comparison that failed\n"
    "  -y, --yes           do not ask\n"
    "  -c, --conf          the configuration; none is needed for a path and --to\n"
    "\n"
    "Exit codes: 0 PASS; 1 it failed, and nothing is left of it; 2 wrong usage, or not confirmed;\n"
    "3 it was restored, but differs from what was backed up (the new database is kept).\n"
    "\n"
    "Examples:\n"
    "  bakfs restore orders --dry-run\n"
    "  bakfs restore orders --into orders_check --yes\n"
    "  bakfs restore orders --at \"yesterday 03:00\" --replace\n"
    "  bakfs restore /mnt/bak/db1/latest/orders --to \"host=db2 user=postgres\"\n";

// --- Asking ---

static bool read_line(char *out, size_t room)
{
    if (!fgets(out, (int)room, stdin))
        return false;
    out[strcspn(out, "\n")] = '\0';
    return true;
}

static bool confirmed(const struct plan *p)
{
    char answer[256] = "";
    if (p->replaces)
        fprintf(stderr, "Type the name of the database to replace it: ");
    else
        fprintf(stderr, "Go on? [y/N] ");
    fflush(stderr);
    bool yes = read_line(answer, sizeof(answer)) &&
               (p->replaces ? strcmp(answer, p->name) == 0
                            : strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0);
    if (!yes)
        fprintf(stderr, VERB ": not confirmed: nothing was done\n");
    return yes;
}

// --- Progress ---

static void show(void *ctx, const char *stage, uint64_t done, uint64_t total)
{
    (void)ctx;
    char read[32], of[32];
    cli_size_text(done, read);
    cli_size_text(total, of);
    if (total)
        fprintf(stderr, "\r%s: %3" PRIu64 " %% (%s of %s)\033[K", stage, done * 100 / total, read,
                of);
    else
        fprintf(stderr, "\r%s\033[K", stage);
    fflush(stderr);
}

// --- The end of it ---

static void tell(const struct plan *p, bool pass, const char *what, const char *summary,
                 const char *body)
{
    if (!p->conf)
        return;
    struct err err = {0};
    const struct notice notice = {
        .pass = pass, .verb = "restore", .what = what, .summary = summary, .body = body};
    if (notify_send(p->conf, &notice, &err) != 0)
        cli_warn(VERB, err.text);
}

static int last_line(const struct plan *p, const char *what, const char *summary, const char *body,
                     int code)
{
    tell(p, code == CLI_DONE, what, summary, body);
    fputs(code == CLI_DONE ? "PASS " : "FAIL ", stdout);
    cli_print_safe(stdout, summary);
    putchar('\n');
    return cli_finish(VERB, code);
}

static int failed(const struct plan *p, const char *what, const struct err *err)
{
    char summary[ERR_TEXT_BYTES + 128];
    snprintf(summary, sizeof(summary), "restore %.60s: %s", what, err->text);
    return last_line(p, what, summary, "No database was changed, and the backup is as it was.\n",
                     CLI_FAILED);
}

static void print_findings(FILE *out, const struct comparison *c)
{
    for (size_t i = 0; i < c->count; i++) {
        fputs(c->list[i].level == DIFFERENCE_FAIL ? "  FAIL  " : "  note  ", out);
        cli_print_safe(out, c->list[i].text);
        fputc('\n', out);
    }
}

static void print_times(const struct restore_result *r)
{
    char restored[32], compared[32];
    cli_took_text(r->restore_ms, restored);
    cli_took_text(r->compare_ms, compared);
    printf("  restored in %s", restored);
    if (r->compared)
        printf("; %zu facts compared in %s, %zu different", r->comparison.compared, compared,
               r->comparison.failures);
    putchar('\n');
}

static int differs(const struct plan *p, const struct restore_result *result)
{
    auto_free char *body = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&body, &len);
    if (f) {
        print_findings(f, &result->comparison);
        fclose(f);
    }
    char summary[1024];
    snprintf(summary, sizeof(summary),
             "%s: %zu of %zu facts differ from the backup; the new database is kept to look at%s%s",
             p->job.database, result->comparison.failures, result->comparison.compared,
             p->replaces ? ", and did not take the place of " : "", p->replaces ? p->name : "");
    return last_line(p, p->name, summary, body, CLI_MISMATCH);
}

static int swap(const struct plan *p, char *summary, size_t room, struct err *err)
{
    const struct swap s = {.name = p->name, .made = p->made, .old_name = p->old_name};
    struct comparison notes = {.list = NULL};
    size_t ended = 0;
    int rc = swap_names(&p->job.server, &s, &ended, &notes, err);
    print_findings(stdout, &notes);
    comparison_done(&notes);
    if (rc != 0)
        return rc;
    printf("  %zu sessions ended; the old database is kept as %s\n", ended, p->old_name);
    printf("  when it is not needed any more:  DROP DATABASE \"%s\";\n", p->old_name);
    printf("  to go back:  ALTER DATABASE \"%s\" RENAME TO \"%s\"; ALTER DATABASE \"%s\" RENAME TO "
           "\"%s\";\n",
           p->name, p->made, p->old_name, p->name);
    snprintf(summary, room, "%.255s: restored and replaced; the old one is %s", p->name,
             p->old_name);
    return 0;
}

static int settle(const struct request *r, const struct plan *p,
                  const struct restore_result *result)
{
    print_times(result);
    print_findings(stdout, &result->comparison);
    bool same = !result->compared || result->comparison.failures == 0;
    if (!same && !(p->replaces && r->force))
        return differs(p, result);
    struct err err = {0};
    char summary[1024];
    if (p->source.kind == SOURCE_COMMAND)
        snprintf(summary, sizeof(summary), "%.255s: restore_command read all of it and ended well",
                 p->name);
    else
        snprintf(summary, sizeof(summary), "%.255s: restored%s", p->name,
                 !result->compared      ? "; nothing to compare with"
                 : result->rows_unknown ? ", its definitions as they were when it was backed up; "
                                          "its rows were not counted then"
                                        : ", and as it was when it was backed up");
    if (p->replaces && swap(p, summary, sizeof(summary), &err) != 0) {
        size_t len = strlen(err.text);
        snprintf(err.text + len, sizeof(err.text) - len, "; the restored database is kept as %s",
                 p->made);
        printf("  to exchange them by hand, when nobody uses it:  ALTER DATABASE \"%s\" RENAME TO "
               "\"%s\"; ALTER DATABASE \"%s\" RENAME TO \"%s\";\n",
               p->name, p->old_name, p->made, p->name);
        return failed(p, p->name, &err);
    }
    if (!same)
        return last_line(p, p->name, "replaced by force, though it differs from the backup", NULL,
                         CLI_MISMATCH);
    return last_line(p, p->name, summary, NULL, CLI_DONE);
}

static int run(const struct request *r, struct plan *p)
{
    struct restore_result result = {.compared = false};
    struct err err = {0};
    bool terminal = isatty(STDERR_FILENO) == 1;
    p->job.progress = terminal ? show : NULL;
    int rc = restore_run(&p->job, &result, &err);
    if (terminal)
        fputs("\r\033[K", stderr);
    int code = rc == 0 ? settle(r, p, &result) : failed(p, p->name, &err);
    restore_result_done(&result);
    return code;
}

static int not_confirmed(const struct plan *p)
{
    fprintf(stderr, VERB ": nobody to ask (no terminal): to go on without a question add --yes%s\n",
            p->replaces ? "; it stands for the typed name, too" : "");
    return CLI_USAGE;
}

static int restore(const struct request *r, char *const *argv, int argc)
{
    struct plan p = {.conf = NULL};
    struct err err = {0};
    int code;
    int rc = plan_make(r, argv, argc, &p, &err);
    if (rc != 0) {
        code = failed(&p, argv[0], &err);
        plan_done(&p);
        return code;
    }
    plan_print(r, &p);
    if (p.findings.failures && !r->force && !r->dry_run) {
        for (size_t i = 0; i < p.findings.count; i++)
            if (p.findings.list[i].level == DIFFERENCE_FAIL) {
                err_set(&err, EINVAL, "%.700s", p.findings.list[i].text);
                break;
            }
        code = failed(&p, p.name, &err);
    } else if (r->dry_run) {
        printf("%s\n", p.findings.failures ? "It would fail. Nothing was done."
                                           : "Nothing was done (--dry-run).");
        code = cli_finish(VERB, p.findings.failures ? CLI_FAILED : CLI_DONE);
    } else if (!r->yes && !isatty(STDIN_FILENO)) {
        code = not_confirmed(&p);
    } else {
        code = r->yes || confirmed(&p) ? run(r, &p) : CLI_USAGE;
    }
    plan_done(&p);
    return code;
}

// --- The command line ---

enum {
    OPT_AT = 256,
    OPT_TO,
    OPT_INTO,
    OPT_TABLE,
    OPT_REPLACE,
    OPT_NO_OWNER,
    OPT_NO_PRIVILEGES,
    OPT_NO_TABLESPACES,
    OPT_FORCE
};

static int parse_one(struct request *r, int c, size_t *tables)
{
    struct err err = {0};
    char *end = NULL;
    switch (c) {
    case OPT_AT:
        if (when_parse(optarg, time(NULL), &r->at, &err) != 0)
            return cli_usage(VERB, "--at: %s", err.text);
        break;
    case OPT_TO:
        if (plan_check_conninfo(optarg, &err) != 0)
            return cli_usage(VERB, "--to: %s", err.text);
        r->to = optarg;
        break;
    case OPT_INTO:
        if (!*optarg)
            return cli_usage(VERB, "--into: a name");
        r->into = optarg;
        break;
    case OPT_TABLE:
        r->tables[(*tables)++] = optarg;
        break;
    case 'j': {
        unsigned long n = strtoul(optarg, &end, 10);
        if (*end || n < 1 || n > 64 || *optarg < '0' || *optarg > '9')
            return cli_usage(VERB, "--jobs: a number from 1 to 64");
        r->jobs = (unsigned)n;
        break;
    }
    case 'c':
        r->conf_path = optarg;
        break;
    case OPT_REPLACE:
        r->replace = true;
        break;
    case OPT_NO_OWNER:
        r->no_owner = true;
        break;
    case OPT_NO_PRIVILEGES:
        r->no_privileges = true;
        break;
    case OPT_NO_TABLESPACES:
        r->no_tablespaces = true;
        break;
    case OPT_FORCE:
        r->force = true;
        break;
    case 'n':
        r->dry_run = true;
        break;
    case 'y':
        r->yes = true;
        break;
    default:
        return cli_usage(VERB, "wrong usage");
    }
    return CLI_DONE;
}

int verb_restore(int argc, char **argv)
{
    static const struct option options[] = {
        {"at", required_argument, NULL, OPT_AT},
        {"to", required_argument, NULL, OPT_TO},
        {"into", required_argument, NULL, OPT_INTO},
        {"table", required_argument, NULL, OPT_TABLE},
        {"replace", no_argument, NULL, OPT_REPLACE},
        {"jobs", required_argument, NULL, 'j'},
        {"no-owner", no_argument, NULL, OPT_NO_OWNER},
        {"no-privileges", no_argument, NULL, OPT_NO_PRIVILEGES},
        {"no-tablespaces", no_argument, NULL, OPT_NO_TABLESPACES},
        {"dry-run", no_argument, NULL, 'n'},
        {"force", no_argument, NULL, OPT_FORCE},
        {"yes", no_argument, NULL, 'y'},
        {"conf", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {0}};
    struct request r = {.at = 0};
    size_t tables = 0;
    auto_free const char **table_list = calloc((size_t)argc + 1, sizeof(*table_list));
    struct err err = {0};
    if (!table_list) {
        err_errno(&err, ENOMEM, "restore");
        return cli_fail(VERB, &err, NULL);
    }
    r.tables = table_list;
    for (int c; (c = getopt_long(argc, argv, "j:nyc:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        int code = parse_one(&r, c, &tables);
        if (code != CLI_DONE)
            return code;
    }
    if (tables == 0)
        r.tables = NULL;
    if (optind == argc)
        return cli_usage(VERB,
                         "which BACKUP? a NAME of the configuration, HOST PARTITION, or a path");
    if (r.replace && r.tables)
        return cli_usage(VERB, "--table makes a database of these tables alone, which must not "
                               "replace a whole one: use --into");
    process_guard();
    return restore(&r, argv + optind, argc - optind);
}
