// bakfs VERB ...: finds the verb and runs it.
#include "fs/mount.h"
#include "tools/cli.h"
#include "tools/verb.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: bakfs VERB [ARGUMENT...]\n"
    "\n"
    "Mounts a bucket of sealed, compressed database backups as a tree of files.\n"
    "\n"
    "  init         make a key and a configuration\n"
    "  mount        mount the tree\n"
    "  umount       unmount it, and wait until everything is stored\n"
    "  backup       dump a database of the configuration onto the mount\n"
    "  list         show what backups there are\n"
    "  restore      restore a backup into a new database, compare, replace\n"
    "  verify       is what is stored a backup? reads it, or restores it, and compares\n"
    "  drill        restore the newest backup of each database for trial: how long does it take?\n"
    "  migrate      back up, run a command, back up, say what changed\n"
    "  status       is all well? exit code, page, metrics, mail\n"
    "  notify-test  send a test by every way that failures are told\n"
    "  prune        remove the backups that no rule keeps, from the store\n"
    "  policy       what a writer, a reader or a pruner must be allowed in the bucket\n"
    "  confirm      is a file in the store, whole? answers by its exit code\n"
    "  doctor       look at everything, say what is wrong and what to type\n"
    "  keygen       make a key\n"
    "\n"
    "  bakfs VERB --help   the options of a verb, with an example\n"
    "  bakfs --version     the version\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a backup is not what it should be.\n"
    "\n"
    "Example:\n"
    "  bakfs init --store s3://my-backups --mount /mnt/bak && bakfs mount\n"
    "  mkdir -p /mnt/bak/db1/$(date +%F)\n"
    "  pg_dump orders > /mnt/bak/db1/$(date +%F)/orders.sql\n";

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    char *full_name; // argv[0] for the verb
} verbs[] = {
    // as people meet them
    {"init", verb_init, (char[]){"bakfs init"}},
    {"mount", verb_mount, (char[]){"bakfs mount"}},
    {"umount", verb_umount, (char[]){"bakfs umount"}},
    {"backup", verb_backup, (char[]){"bakfs backup"}},
    {"list", verb_list, (char[]){"bakfs list"}},
    {"restore", verb_restore, (char[]){"bakfs restore"}},
    {"verify", verb_verify, (char[]){"bakfs verify"}},
    {"drill", verb_drill, (char[]){"bakfs drill"}},
    {"migrate", verb_migrate, (char[]){"bakfs migrate"}},
    {"status", verb_status, (char[]){"bakfs status"}},
    {"notify-test", verb_notify_test, (char[]){"bakfs notify-test"}},
    {"prune", verb_prune, (char[]){"bakfs prune"}},
    {"policy", verb_policy, (char[]){"bakfs policy"}},
    {"confirm", verb_confirm, (char[]){"bakfs confirm"}},
    {"doctor", verb_doctor, (char[]){"bakfs doctor"}},
    {"keygen", verb_keygen, (char[]){"bakfs keygen"}},
};
enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

// What people may type because the documentation of a later version says so.
static const char *const later[] = {"rekey", NULL};

static const struct verb *find(const char *name)
{
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    argv[0] = verb->full_name;
    return verb->run(argc, argv);
}

static int unknown(const char *name)
{
    for (const char *const *word = later; *word; word++) {
        if (strcmp(*word, name) == 0) {
            fprintf(stderr, "bakfs: %s: not yet: this version does not have this verb\n", name);
            fprintf(stderr, "hint: bakfs help\n");
            return CLI_USAGE;
        }
    }
    const char *words[VERBS + 1] = {NULL};
    for (size_t i = 0; i < VERBS; i++)
        words[i] = verbs[i].name;
    const char *nearest = cli_nearest(name, words);
    fprintf(stderr, "bakfs: '");
    cli_print_safe(stderr, name);
    fprintf(stderr, "': no such verb%s%s%s\n", nearest ? "; did you mean " : "",
            nearest ? nearest : "", nearest ? "?" : "");
    fprintf(stderr, "hint: bakfs help\n");
    return CLI_USAGE;
}

static bool called_by_mount(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strcmp(slash ? slash + 1 : program, "mount.bakfs") == 0;
}

int main(int argc, char **argv)
{
    if (argc >= 1 && called_by_mount(argv[0])) {
        // mount.bakfs SPEC DIR [-sfnv] [-o OPTIONS]: verb_mount sees it by the name.
        const struct verb *mount = find("mount");
        return mount ? mount->run(argc, argv) : unknown("mount");
    }
    if (argc < 2) {
        fputs(help, stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("bakfs %s\n", BAKFS_VERSION);
        return cli_finish("bakfs", CLI_DONE);
    }
    bool wants_help = strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 ||
                      strcmp(name, "-h") == 0;
    if (wants_help && argc == 3) { // bakfs help VERB
        const struct verb *verb = find(argv[2]);
        char option[] = "--help";
        char *words[] = {verb ? verb->full_name : NULL, option, NULL};
        return verb ? verb->run(2, words) : unknown(argv[2]);
    }
    if (wants_help)
        return cli_help(help);
    const struct verb *verb = find(name);
    return verb ? run(verb, argc - 1, argv + 1) : unknown(name);
}
