// bakfs backup: one database of the configuration, now.
#include "tools/backup/run.h"
#include "tools/cli.h"
#include "tools/process.h"
#include "tools/verb.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: bakfs backup NAME [--json] [-c CONF]\n"
    "\n"
    "Dumps the database of [database NAME] onto the mount: the dump, its schema and the globals\n"
    "of its cluster, and last META, which says what a restored copy must hold, all of one\n"
    "snapshot.\n"
    "Each file is asked for in the store before it counts. When anything fails nothing is left\n"
    "that could be taken for a backup; [notify] tells people, and the exit code is 1.\n"
    "\n"
    "For another engine dump_command is run by /bin/sh, and what it writes is the dump. Its exit\n"
    "status says whether it worked; that of a pipeline is its last program's alone, so write\n"
    "bash -o pipefail -c '...' there.\n"
    "\n"
    "  --json        the answer as an object\n"
    "  -c, --conf    the configuration\n"
    "\n"
    "Example:\n"
    "  bakfs backup orders\n";

static void print_text(const struct conf_database *db, const struct backup_made *made)
{
    char size[32], stored[32], took[32];
    cli_took_text(made->duration_ms, took);
    cli_size_text(made->size, size);
    cli_size_text(made->stored, stored);
    cli_print_safe(stdout, db->name);
    fputs(": ", stdout);
    cli_print_safe(stdout, made->dump);
    printf(": %s, %s stored, in %s; to restore it: bakfs restore ", size, stored, took);
    cli_print_safe(stdout, db->name);
    printf(" --at %s --into ", made->stamp);
    cli_print_safe(stdout, db->name);
    puts("_restored");
}

static void print_json(const struct conf_database *db, const struct backup_made *made)
{
    fputs("{\"name\": ", stdout);
    cli_print_json(stdout, db->name);
    fputs(", \"dump\": ", stdout);
    cli_print_json(stdout, made->dump);
    fputs(", \"meta\": ", stdout);
    cli_print_json(stdout, made->meta);
    fputs(", \"at\": ", stdout);
    cli_print_json(stdout, made->stamp);
    printf(", \"size\": %" PRIu64 ", \"stored\": %" PRIu64 ", \"duration_ms\": %" PRIu64 "}\n",
           made->size, made->stored, made->duration_ms);
}

static int backup(const char *conf_path, const char *name, bool json)
{
    struct conf *conf = NULL;
    struct err err;
    if (conf_load(conf_path, &conf, &err) != 0)
        return cli_fail("bakfs backup", &err, NULL);
    const struct conf_database *db = conf_database_find(conf, name, &err);
    struct backup_made made = {.dump = NULL};
    int code = CLI_FAILED;
    if (!db) {
        cli_fail("bakfs backup", &err, NULL);
    } else if (backup_run(conf, db, "backup", &made) == 0) {
        if (json)
            print_json(db, &made);
        else
            print_text(db, &made);
        code = cli_finish("bakfs backup", CLI_DONE);
    }
    backup_made_done(&made);
    conf_free(conf);
    return code;
}

int verb_backup(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"conf", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *conf_path = NULL;
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (c == 'c')
            conf_path = optarg;
        else if (c == 'j')
            json = true;
        else
            return cli_usage("bakfs backup", "wrong usage");
    }
    if (argc - optind != 1)
        return cli_usage("bakfs backup", "which NAME? (a [database NAME] of the configuration)");
    process_guard();
    return backup(conf_path, argv[optind], json);
}
