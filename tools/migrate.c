// bakfs migrate: a backup, the command, a backup; then what changed, or the one line that brings the old state back.
#include "backend/base/scope.h"
#include "tools/backup/run.h"
#include "tools/backup/session.h"
#include "tools/catalog/meta.h"
#include "tools/cli.h"
#include "tools/notify/notify.h"
#include "tools/pg/compare.h"
#include "tools/process.h"
#include "tools/verb.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "bakfs migrate"

SCOPE_TYPE(meta)

static const char help[] =
    "Usage: bakfs migrate NAME [-c CONF] -- COMMAND [ARGUMENT...]\n"
    "\n"
    "Backs up [database NAME], runs the command, backs up again, and says what changed: what of\n"
    "the schema is other than it was, and row counts. The first backup is complete, and its locks\n"
    "are gone, before the command starts. When the command fails there is no second backup, so\n"
    "that the newest one is still the state before; the message then shows the line that brings\n"
    "that state back. Without the first backup the command is not run.\n"
    "\n"
    "  -c, --conf    the configuration\n"
    "\n"
    "Exit codes: that of the command (128 and the signal's number, if one killed it), 1 when a\n"
    "backup failed, 2 wrong usage.\n"
    "\n"
    "Example:\n"
    "  bakfs migrate orders -- ./migrate.sh\n";

struct migrate {
    const char *conf_path; // as it was typed; NULL: the usual one
    const struct conf *conf;
    const struct conf_database *db;
    struct backup_made before, after;
};

static void say(const char *text)
{
    fputs(PREFIX ": ", stderr);
    cli_print_safe(stderr, text);
    fputc('\n', stderr);
}

// --- What changed ---

static void warn(void *ctx, const char *text)
{
    (void)ctx;
    cli_warn(PREFIX, text);
}

static int print_changes(const struct facts *then, const struct facts *now, int version_then,
                         int version_now, struct err *err)
{
    struct comparison found = {.list = NULL};
    struct compare_options options = {.version_then = version_then, .version_now = version_now};
    int rc = compare_facts(then, now, &options, &found, err);
    if (rc != 0)
        return rc;
    puts(found.count ? "What is other than before:" : "Nothing is other than before.");
    for (size_t i = 0; i < found.count; i++) {
        fputs("  ", stdout);
        cli_print_safe(stdout, found.list[i].text);
        putchar('\n');
    }
    comparison_done(&found);
    return 0;
}

static int compare_backups(const struct migrate *m, struct err *err)
{
    auto_type(meta) struct meta *before = NULL;
    auto_type(meta) struct meta *after = NULL;
    int rc = meta_read_below(m->conf->mount.point, m->before.meta, &before, err);
    if (rc == 0)
        rc = meta_read_below(m->conf->mount.point, m->after.meta, &after, err);
    if (rc != 0)
        return rc;
    return print_changes(&before->facts, &after->facts, before->server_version,
                         after->server_version, err);
}

static int look(const struct migrate *m, struct session *s, const struct pg_server *server,
                struct facts *out, struct err *err)
{
    int rc = session_snapshot(s, err);
    if (rc == 0)
        rc = facts_take(s->pg, out, err);
    if (rc == 0)
        rc = facts_sequences(s->pg, out, err);
    if (rc == 0)
        rc = session_ask(s, m->db, out, warn, NULL, err);
    struct counting *counting = NULL;
    if (rc == 0)
        rc = counting_begin(s, server, m->db, &counting, err);
    return rc == 0 ? counting_end(counting, out, warn, NULL, err) : rc;
}

// What a command that failed has left behind; no second backup is made of that.
static int compare_with_now(const struct migrate *m, struct err *err)
{
    if (*m->db->dump_command)
        return 0;
    auto_type(meta) struct meta *before = NULL;
    int rc = meta_read_below(m->conf->mount.point, m->before.meta, &before, err);
    if (rc != 0)
        return rc;
    const struct pg_server server = {.conninfo = m->db->conninfo, .service = m->db->service};
    struct session s = {.pg = NULL};
    struct facts now = {.list = NULL};
    rc = session_open(&server, "migrate", &s, err);
    if (rc != 0)
        return rc;
    int version = pg_version(s.pg);
    rc = look(m, &s, &server, &now, err);
    session_close(&s);
    if (rc == 0) {
        facts_sort(&now);
        rc = print_changes(&before->facts, &now, before->server_version, version, err);
    }
    facts_done(&now);
    return rc;
}

static void say_not_compared(const struct err *err)
{
    fputs(PREFIX ": what it changed could not be looked at: ", stderr);
    cli_print_safe(stderr, err->text);
    fputc('\n', stderr);
}

// --- The line that brings the old state back ---

static void put_word(FILE *out, const char *word)
{
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%,";
    if (*word && !word[strspn(word, plain)]) {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", out);
        else
            fputc(*word, out);
    fputc('\'', out);
}

// From whatever directory it is typed. malloc'ed; NULL: no memory.
static char *way_back(const struct migrate *m)
{
    char *line = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&line, &len);
    if (!out)
        return NULL;
    fputs("bakfs restore ", out);
    put_word(out, m->db->name);
    fprintf(out, " --at %s --replace", m->before.stamp);
    if (m->conf_path) {
        auto_free char *whole = realpath(m->conf_path, NULL);
        fputs(" -c ", out);
        put_word(out, whole ? whole : m->conf_path);
    }
    if (fclose(out) == 0)
        return line;
    free(line);
    return NULL;
}

// --- The command ---

static int run_command(char **argv, int *out_code, char reason[256], struct err *err)
{
    struct process_conf conf = {.argv = (const char *const *)(void *)argv,
                                .in = STDIN_FILENO,
                                .out = STDOUT_FILENO,
                                .inherit_errors = true,
                                .stay_in_group = true};
    struct process *child = NULL;
    struct process_end end = {0};
    int rc = process_start(&conf, &child, err);
    if (rc == 0)
        rc = process_wait(child, &end, err);
    struct err why = {0};
    if (rc == 0 && process_judge(child, argv[0], &end, &why) != 0)
        snprintf(reason, 256, "%.255s", why.text);
    process_free(child);
    if (rc == 0)
        *out_code = end.signal ? 128 + end.signal : end.exit_code;
    return rc;
}

static void tell(const struct migrate *m, bool pass, const char *summary, const char *body)
{
    struct err err = {0};
    const struct notice notice = {.pass = pass,
                                  .verb = "migrate",
                                  .what = m->db->name,
                                  .summary = summary,
                                  .body = body,
                                  .each = true};
    if (notify_send(m->conf, &notice, &err) != 0)
        warn(NULL, err.text);
}

static int command_failed(const struct migrate *m, const char *reason, int code)
{
    struct err err = {0};
    char body[2048];
    fflush(stdout);
    if (compare_with_now(m, &err) != 0)
        say_not_compared(&err);
    auto_free char *line = way_back(m);
    fflush(stdout);
    err_set(&err, EIO,
            "%s; the backup from before it is the newest one, and no other was made after it",
            reason);
    snprintf(body, sizeof(body),
             "The migration of %s failed. The state before it comes back with:\n  %s\n",
             m->db->name, line ? line : "");
    cli_fail(PREFIX, &err, NULL);
    fprintf(stderr, "the state before it comes back with:\n  ");
    cli_print_safe(stderr, line ? line : "");
    fputc('\n', stderr);
    tell(m, false, reason, body);
    return cli_finish(PREFIX, code);
}

// Whatever cannot be said of it: both backups are there, and the command ended well.
static int command_passed(const struct migrate *m)
{
    struct err err = {0};
    char summary[128];
    if (compare_backups(m, &err) != 0) {
        fflush(stdout);
        say_not_compared(&err);
    }
    auto_free char *line = way_back(m);
    printf("%s: migrated; backups %s (before) and %s (after)\n", m->db->name, m->before.stamp,
           m->after.stamp);
    fputs("the state before it comes back with: ", stdout);
    cli_print_safe(stdout, line ? line : "");
    putchar('\n');
    snprintf(summary, sizeof(summary), "migrated; backups %s (before) and %s (after)",
             m->before.stamp, m->after.stamp);
    tell(m, true, summary, NULL);
    return cli_finish(PREFIX, CLI_DONE);
}

static int migrate(struct migrate *m, char **argv)
{
    struct err err = {0};
    char line[256], reason[256] = "";
    int code = CLI_FAILED;
    if (backup_run(m->conf, m->db, "migrate", &m->before) != 0) {
        say("without a backup the command was not run");
        return CLI_FAILED;
    }
    snprintf(line, sizeof(line), "backup of %.100s at %s; now the command", m->db->name,
             m->before.stamp);
    say(line);
    if (run_command(argv, &code, reason, &err) != 0) {
        snprintf(reason, sizeof(reason), "%.255s", err.text);
        code = err.code == ENOENT ? 127 : CLI_FAILED;
    }
    if (*reason)
        return command_failed(m, reason, code);
    if (backup_run(m->conf, m->db, "migrate", &m->after) != 0) {
        say("the command succeeded, but the backup after it failed; do not run it again, make "
            "that backup");
        return CLI_FAILED;
    }
    return command_passed(m);
}

int verb_migrate(int argc, char **argv)
{
    static const struct option options[] = {
        {"conf", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *conf_path = NULL, *name = NULL;
    // '-': NAME may stand before an option; what follows -- is the command's
    for (int c; (c = getopt_long(argc, argv, "-c:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (c == 'c')
            conf_path = optarg;
        else if (c == 1 && !name)
            name = optarg;
        else
            return cli_usage(PREFIX, c == 1 ? "the command stands behind --" : "wrong usage");
    }
    if (!name)
        return cli_usage(PREFIX, "which NAME? (a [database NAME] of the configuration)");
    if (optind >= argc || strcmp(argv[optind - 1], "--") != 0)
        return cli_usage(PREFIX, "which command? It stands behind --");
    process_guard();
    struct conf *conf = NULL;
    struct err err;
    if (conf_load(conf_path, &conf, &err) != 0)
        return cli_fail(PREFIX, &err, NULL);
    struct migrate m = {
        .conf_path = conf_path, .conf = conf, .db = conf_database_find(conf, name, &err)};
    int code = m.db ? migrate(&m, argv + optind) : cli_fail(PREFIX, &err, NULL);
    backup_made_done(&m.before);
    backup_made_done(&m.after);
    conf_free(conf);
    return code;
}
