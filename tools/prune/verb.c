// bakfs prune: removes the backups that no rule keeps.
#include "tools/verb.h"
#include "backend/base/scope.h"
#include "conf/conf.h"
#include "conf/stores.h"
#include "tools/cli.h"
#include "tools/notify/notify.h"
#include "tools/prune/prune.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERB "bakfs prune"
#define COUNT_MAX 1000000

static const char help[] =
    "Usage: bakfs prune [HOST [PARTITION]] --keep-... N [--dry-run] [--yes] [--json] [-c CONF]\n"
    "\n"
    "Removes the backups that no rule keeps, for each HOST and PARTITION by itself, from the\n"
    "store: all versions of them, for good. Shows first which stay and which go, and why.\n"
    "\n"
    "  --keep-last N        the N newest\n"
    "  --keep-hourly N      the newest of each of the N newest hours that have a backup\n"
    "  --keep-daily N, --keep-weekly N, --keep-monthly N, --keep-yearly N\n"
    "                       the same of days (UTC), weeks (ISO 8601), months and years\n"
    "  --keep-within TIME   all that are younger: 12h, 30d, 8w\n"
    "  -n, --dry-run        decides the same, and removes nothing\n"
    "  -y, --yes            does not ask\n"
    "  --json               an object: now, backups, and what was decided on each\n"
    "  -c, --conf           the configuration; [store] prune_profile has the credentials\n"
    "\n"
    "A rule counts good backups only: those of bakfs that are finished (META is there), those\n"
    "copied in that do not stop short, and none whose newest verification failed. Others go when\n"
    "they are older than 7 days and a good one is newer. Whatever the rules say, these stay: the\n"
    "newest good one, the newest that was verified, those of a partition that has no good one,\n"
    "those whose time is in the future, and those that an object lock or a legal hold holds.\n"
    "What was copied in less than a day ago stays, and does not count yet: more may follow.\n"
    "Files of one PARTITION that were copied directly into one DATE stay or go together, and are\n"
    "good when each of them is. The time of what was copied in is when it was stored, or the end\n"
    "of its DATE when that is more than a day away.\n"
    "\n"
    "Exit codes: 0 done, 1 failed (what could not be removed is named), 2 wrong usage.\n"
    "\n"
    "Example, to see what two weeks of days, two months of weeks and a year of months would be:\n"
    "  bakfs prune --keep-daily 14 --keep-weekly 8 --keep-monthly 12 --dry-run\n";

struct options {
    const char *conf, *host, *partition;
    struct keep_rules rules;
    bool dry_run, yes, json;
};

// --- Asking ---

// Does the person at the terminal agree? CLI_DONE: yes.
static int ask(const struct prune_plan *plan)
{
    char size[32], answer[16] = "";
    if (!isatty(STDIN_FILENO))
        return cli_usage(VERB, "nobody can be asked here: --yes, or --dry-run to look only");
    cli_size_text(plan->go_bytes, size);
    fflush(stdout);
    fprintf(stderr, "Remove %zu backup%s (%s) for good? yes or no: ", plan->go,
            prune_ending(plan->go), size);
    if (!fgets(answer, sizeof(answer), stdin) || strcmp(answer, "yes\n") != 0) {
        fprintf(stderr, VERB ": nothing was removed\n");
        return CLI_FAILED;
    }
    return CLI_DONE;
}

// --- Removing ---

static int remove_all(struct store *store, struct prune_list *all, const struct prune_plan *plan,
                      size_t *out_failed, struct err *err)
{
    bool progress = isatty(STDERR_FILENO);
    size_t done = 0, failed = 0;
    int rc = 0;
    for (size_t i = 0; i < all->count && rc == 0; i++) {
        struct prune_backup *b = &all->list[i];
        if (b->item.keep)
            continue;
        if (progress)
            fprintf(stderr, "\r\033[Kremoving %zu of %zu", ++done, plan->go);
        rc = prune_remove(store, b, err);
        if (rc == 0 && b->failure) {
            failed++;
            fprintf(stderr, "%s" VERB ": ", progress ? "\r\033[K" : "");
            cli_print_safe(stderr, b->path);
            fputs(" is not removed, or not all of it: ", stderr);
            cli_print_safe(stderr, b->failure);
            fputc('\n', stderr);
        }
    }
    if (progress)
        fputs("\r\033[K", stderr);
    *out_failed = failed;
    return rc;
}

static void tell(const struct conf *conf, const struct options *o, bool pass, const char *summary)
{
    struct err err = {0};
    struct notice notice = {
        .pass = pass,
        .verb = "prune",
        .what = o->partition ? o->partition
                : o->host    ? o->host
                             : "all",
        .summary = summary,
        .body = pass ? NULL : "Nothing is lost by it. What to type:\n  bakfs prune --dry-run ...\n",
    };
    if (notify_send(conf, &notice, &err) != 0)
        cli_warn(VERB, err.text);
}

// --- The verb ---

struct run {
    struct store *store;
    struct prune_list all;
    struct prune_plan plan;
    time_t now;
};

static int look(const struct options *o, struct run *run, struct err *err)
{
    int rc = run->store->ops->check(run->store, false, err);
    if (rc == 0)
        rc = prune_survey(run->store, o->host, o->partition, &run->all, err);
    if (rc == 0 && run->all.count == 0 && o->host)
        rc = err_set(err, ENOENT, "there is no backup of %s%s%s in the store", o->host,
                     o->partition ? " " : "", o->partition ? o->partition : "");
    if (rc)
        return rc;
    run->now = run->store->ops->now(run->store).tv_sec;
    return prune_decide(run->store, &o->rules, run->now, &run->all, &run->plan, err);
}

static int act(const struct options *o, struct run *run, struct err *err, char *summary,
               size_t room)
{
    size_t failed = 0;
    if (!o->dry_run && run->plan.go) {
        int rc = remove_all(run->store, &run->all, &run->plan, &failed, err);
        if (rc)
            return rc;
    }
    if (o->json)
        prune_print_json(&run->all, run->now, o->dry_run);
    snprintf(summary, room, "%zu backup%s removed, %zu kept", run->plan.go - failed,
             prune_ending(run->plan.go - failed), run->plan.keep);
    return failed
               ? err_set(err, EIO, "%zu of %zu backups could not be removed", failed, run->plan.go)
               : 0;
}

static int prune(const struct conf *conf, const struct options *o)
{
    struct opened_store opened = {.store = NULL};
    struct run run = {.now = 0};
    struct err err = {0};
    char summary[ERR_TEXT_BYTES] = "";
    int rc = stores_open(conf, &opened, &err), code = CLI_DONE;
    run.store = opened.store;
    if (rc == 0)
        rc = look(o, &run, &err);
    if (rc == 0) {
        prune_warn(&run.plan);
        if (!o->json)
            prune_print_decisions(&run.all);
        if (!o->json)
            prune_print_sum(&run.all, &run.plan, o->dry_run);
        if (!o->dry_run && !o->yes && run.plan.go)
            code = ask(&run.plan);
    }
    if (rc == 0 && code == CLI_DONE)
        rc = act(o, &run, &err, summary, sizeof(summary));
    if (rc)
        code = cli_fail(VERB, &err, NULL);
    if (!o->dry_run && (rc || code == CLI_DONE))
        tell(conf, o, rc == 0, rc ? err.text : summary);
    if (!o->dry_run && !o->json && rc == 0 && code == CLI_DONE)
        puts(summary);
    prune_list_done(&run.all);
    store_free(opened.store);
    free(opened.dir_path);
    return cli_finish(VERB, code);
}

// --- The command line ---

static bool parse_count(const char *text, unsigned *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || n == 0 || n > COUNT_MAX)
        return false;
    *out = (unsigned)n;
    return true;
}

static bool parse_within(const char *text, struct keep_rules *rules)
{
    static const struct {
        char letter;
        uint64_t seconds;
    } units[] = {{'h', 3600}, {'d', 86400}, {'w', 604800}};
    size_t len = strlen(text);
    char digits[16];
    unsigned n = 0;
    if (len < 2 || len > sizeof(digits))
        return false;
    snprintf(digits, sizeof(digits), "%.*s", (int)len - 1, text);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (text[len - 1] != units[i].letter || !parse_count(digits, &n))
            continue;
        rules->within_s = n * units[i].seconds;
        rules->within = text;
        return true;
    }
    return false;
}

enum { LAST = 256, HOURLY, DAILY, WEEKLY, MONTHLY, YEARLY, WITHIN };

static const struct option long_options[] = {{"keep-last", required_argument, NULL, LAST},
                                             {"keep-hourly", required_argument, NULL, HOURLY},
                                             {"keep-daily", required_argument, NULL, DAILY},
                                             {"keep-weekly", required_argument, NULL, WEEKLY},
                                             {"keep-monthly", required_argument, NULL, MONTHLY},
                                             {"keep-yearly", required_argument, NULL, YEARLY},
                                             {"keep-within", required_argument, NULL, WITHIN},
                                             {"dry-run", no_argument, NULL, 'n'},
                                             {"yes", no_argument, NULL, 'y'},
                                             {"json", no_argument, NULL, 'j'},
                                             {"conf", required_argument, NULL, 'c'},
                                             {"help", no_argument, NULL, 'h'},
                                             {0}};

// 0, or the exit code of wrong usage.
static int take_rule(int c, const char *text, struct keep_rules *rules)
{
    unsigned *const counts[] = {&rules->last,   &rules->hourly,  &rules->daily,
                                &rules->weekly, &rules->monthly, &rules->yearly};
    if (c == WITHIN && parse_within(text, rules))
        return 0;
    if (c == WITHIN)
        return cli_usage(VERB, "--keep-within: '%s' is no time as 12h, 30d or 8w", text);
    if (parse_count(text, counts[c - LAST]))
        return 0;
    return cli_usage(VERB, "--%s: '%s' is no number from 1 on", long_options[c - LAST].name, text);
}

static int parse(int argc, char **argv, struct options *o)
{
    for (int c; (c = getopt_long(argc, argv, "nyc:h", long_options, NULL)) != -1;) {
        int code = 0;
        if (c == 'n')
            o->dry_run = true;
        else if (c == 'y')
            o->yes = true;
        else if (c == 'j')
            o->json = true;
        else if (c == 'c')
            o->conf = optarg;
        else if (c >= LAST)
            code = take_rule(c, optarg, &o->rules);
        else
            return cli_usage(VERB, "wrong usage");
        if (code)
            return code;
    }
    if (argc - optind > 2)
        return cli_usage(VERB, "HOST and PARTITION at most");
    o->host = optind < argc ? argv[optind] : NULL;
    o->partition = optind + 1 < argc ? argv[optind + 1] : NULL;
    for (int i = optind; i < argc; i++)
        if (!*argv[i] || strchr(argv[i], '/') || strlen(argv[i]) > 247)
            return cli_usage(VERB, "HOST and PARTITION are names, not paths");
    if (!keep_rules_any(&o->rules))
        return cli_usage(VERB, "no rule says what to keep: --keep-daily 14, for example");
    return 0;
}

int verb_prune(int argc, char **argv)
{
    struct options o = {.conf = NULL};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return cli_help(help);
    int code = parse(argc, argv, &o);
    if (code)
        return code;
    struct conf *conf = NULL;
    struct err err = {0};
    if (conf_load(o.conf, &conf, &err) != 0)
        return cli_fail(VERB, &err, NULL);
    auto_free char *profile = NULL;
    int rc = 0;
    if (*conf->store.prune_profile) {
        if (asprintf(&profile, "store.profile=%s", conf->store.prune_profile) < 0) {
            profile = NULL;
            rc = err_set(&err, ENOMEM, "out of memory");
        } else {
            rc = conf_set(conf, profile, &err);
        }
    }
    code = rc ? cli_fail(VERB, &err, NULL) : prune(conf, &o);
    conf_free(conf);
    return code;
}
