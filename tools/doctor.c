// bakfs doctor: looks at everything a backup depends on, and says what is wrong and what to type.
#include "tools/doctor.h"

#include "backend/base/scope.h"
#include "conf/keys.h"
#include "tools/cli.h"
#include "tools/mounted.h"
#include "tools/verb.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const char help[] =
    "Usage: bakfs doctor [--fix] [--deep] [--identity FILE] [--json] [--all] [-c CONF]\n"
    "\n"
    "Looks at the configuration, the keys, the store and what is in it, this host and the mount.\n"
    "Each line is ok, a note (nothing has to be done) or a problem, with why it matters and what\n"
    "to type. The objects are only listed, unless told otherwise.\n"
    "\n"
    "  --fix             mends what can be mended without a doubt: aborts uploads and removes\n"
    "                    temporary files of bakfs that nobody touched for 7 days, removes what\n"
    "                    a probe left, closes the mount point, keeps updatedb out; says each\n"
    "  --identity FILE   proves that this key opens the newest object of each HOST\n"
    "  --deep            reads the header of every object too (one request each): finds those\n"
    "                    that cannot be read, and copies that a crash left\n"
    "  --no-immutable    with --fix: do not make the mount point immutable (chattr +i)\n"
    "  --all             every finding; else 20 of a kind\n"
    "  --json            an array of objects instead of lines\n"
    "  -c, --conf FILE   the configuration\n"
    "\n"
    "Exit codes: 0 all well, 1 problems, or it could not look; 2 wrong usage.\n"
    "\n"
    "Example, the escrow key once a year:\n"
    "  bakfs doctor --identity /media/stick/escrow.txt\n";

static const struct check {
    const char *group;
    void (*run)(struct doctor *);
} checks[] = {
    {"configuration", doctor_files}, {"configuration", doctor_keys},   {"store", doctor_reach},
    {"store", doctor_clock},         {"store", doctor_write},          {"store", doctor_conditions},
    {"store", doctor_facts},         {"store", doctor_device},         {"uploads", doctor_orphans},
    {"uploads", doctor_temporary},   {"uploads", doctor_journals},     {"objects", doctor_objects},
    {"this host", doctor_daemon},    {"this host", doctor_exit_codes}, {"this host", doctor_guard},
    {"this host", doctor_updatedb},
};

// --- Telling ---

static const char *const level_words[] = {
    [DOCTOR_OK] = "ok",
    [DOCTOR_NOTE] = "note",
    [DOCTOR_PROBLEM] = "problem",
};

static void print_json(struct doctor *d, enum doctor_level level, const char *why, const char *type,
                       const char *what)
{
    const struct {
        const char *name, *text;
    } fields[] = {{"group", d->group},
                  {"level", level_words[level]},
                  {"what", what},
                  {"why", why},
                  {"type", type}};
    fputs(d->findings ? ",\n  {" : "\n  {", d->out);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        fprintf(d->out, "%s\"%s\": ", i ? ", " : "", fields[i].name);
        if (fields[i].text)
            cli_print_json(d->out, fields[i].text);
        else
            fputs("null", d->out);
    }
    fputc('}', d->out);
}

static void print_line(struct doctor *d, enum doctor_level level, const char *why, const char *type,
                       const char *what)
{
    if (d->group_told != d->group && (!d->group_told || strcmp(d->group_told, d->group) != 0))
        fprintf(d->out, "%s\n", d->group);
    d->group_told = d->group;
    fprintf(d->out, "  %-8s ", level_words[level]);
    cli_print_safe(d->out, what);
    if (why) {
        fputs(": ", d->out);
        cli_print_safe(d->out, why);
    }
    if (type) {
        fputs("; type: ", d->out);
        cli_print_safe(d->out, type);
    }
    fputc('\n', d->out);
}

static void progress_end(const struct doctor *d)
{
    if (d->progress)
        fputs("\r\033[K", stderr);
}

void doctor_tell(struct doctor *d, enum doctor_level level, const char *why, const char *type,
                 const char *what, ...)
{
    char text[DOCTOR_TEXT_BYTES];
    va_list args;
    va_start(args, what);
    vsnprintf(text, sizeof(text), what, args);
    va_end(args);
    progress_end(d);
    if (d->json)
        print_json(d, level, why, type, text);
    else
        print_line(d, level, why, type, text);
    d->findings++;
    d->problems += level == DOCTOR_PROBLEM;
}

bool doctor_shows(const struct doctor *d, uint64_t *count)
{
    ++*count;
    return d->all || *count <= DOCTOR_SHOWN;
}

void doctor_more(struct doctor *d, uint64_t count, const char *of_what)
{
    if (!d->all && count > DOCTOR_SHOWN)
        doctor_tell(d, DOCTOR_NOTE, NULL, "bakfs doctor --all", "and %" PRIu64 " more %s",
                    count - DOCTOR_SHOWN, of_what);
}

void doctor_progress(const struct doctor *d, const char *what, uint64_t count)
{
    if (d->progress)
        fprintf(stderr, "\r%s: %" PRIu64 "\033[K", what, count);
}

// --- Running ---

static void run_checks(struct doctor *d)
{
    // some need it before its turn to be told
    d->mounted = mounted_check(d->conf->mount.point, NULL) == 0 &&
                 daemon_status_read(d->conf->mount.point, &d->daemon, NULL) == 0;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        d->group = checks[i].group;
        checks[i].run(d);
        fflush(d->out);
    }
}

static int examine(struct doctor *d)
{
    if (d->json)
        fputc('[', d->out);
    run_checks(d);
    if (d->json)
        fputs("\n]\n", d->out);
    else if (d->problems > 0)
        fprintf(d->out, "%u problem%s\n", d->problems, d->problems == 1 ? "" : "s");
    else
        fputs("all well\n", d->out);
    store_free(d->opened.store);
    free(d->opened.dir_path);
    return d->problems > 0 ? CLI_FAILED : CLI_DONE;
}

static bool take_option(struct doctor *d, int option, const char **identity)
{
    switch (option) {
    case 'f':
        d->fix = true;
        return true;
    case 'd':
        d->deep = true;
        return true;
    case 'j':
        d->json = true;
        return true;
    case 'a':
        d->all = true;
        return true;
    case 'I':
        d->no_immutable = true;
        return true;
    case 'i':
        *identity = optarg;
        return true;
    case 'c':
        d->conf_path = optarg;
        return true;
    default:
        return false;
    }
}

static int load_identities(struct doctor *d, const char *path, struct err *err)
{
    auto_free char *copy = strdup(path);
    struct conf conf = {.seal = {.identity = copy}};
    if (!copy)
        return err_set(err, ENOMEM, "%s: out of memory", path);
    int rc = keys_load_identities(&conf, &d->identities, err);
    d->has_identities = rc == 0;
    return rc;
}

int verb_doctor(int argc, char **argv)
{
    static const struct option options[] = {{"fix", no_argument, NULL, 'f'},
                                            {"deep", no_argument, NULL, 'd'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"all", no_argument, NULL, 'a'},
                                            {"no-immutable", no_argument, NULL, 'I'},
                                            {"identity", required_argument, NULL, 'i'},
                                            {"conf", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    struct doctor d = {.out = stdout, .updatedb_conf = "/etc/updatedb.conf"};
    const char *identity = NULL;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (!take_option(&d, c, &identity))
            return cli_usage("bakfs doctor", "wrong usage");
    }
    if (optind < argc)
        return cli_usage("bakfs doctor", "'%s': no such argument", argv[optind]);
    d.progress = isatty(STDERR_FILENO);
    struct err err;
    int code = CLI_FAILED;
    if (conf_load(d.conf_path, &d.conf, &err) != 0 || conf_check(d.conf, &err) != 0)
        cli_fail("bakfs doctor", &err, "mend the configuration, or bakfs init to make one");
    else if (identity && load_identities(&d, identity, &err) != 0)
        cli_fail("bakfs doctor", &err, NULL);
    else
        code = examine(&d);
    identities_done(&d.identities);
    conf_free(d.conf);
    return cli_finish("bakfs doctor", code);
}
