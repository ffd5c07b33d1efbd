// bakfs notify-test: does anybody hear of it when a backup fails?
#include "tools/verb.h"
#include "conf/conf.h"
#include "tools/cli.h"
#include "tools/notify/notify.h"

#include <getopt.h>
#include <stdlib.h>

static const char help[] =
    "Usage: bakfs notify-test [-c CONF]\n"
    "\n"
    "Sends a test by every way that [notify] has: mail, webhook, command, heartbeat. A line for\n"
    "each says whether it went out.\n"
    "\n"
    "  -c, --conf    the configuration\n"
    "\n"
    "Exit codes: 0 all of them did, 1 at least one did not, or there is none; 2 wrong usage.\n"
    "\n"
    "Example:\n"
    "  bakfs notify-test\n";

static void said(void *ctx, const char *way, int rc, const struct err *err)
{
    (void)ctx;
    if (rc == 0) {
        printf("%-10s sent\n", way);
        return;
    }
    printf("%-10s FAILED: ", way);
    cli_print_safe(stdout, err->text);
    putchar('\n');
}

static int test(const char *conf_path)
{
    struct err err = {0};
    struct conf *conf = NULL;
    if (conf_load(conf_path, &conf, &err) != 0)
        return cli_fail("bakfs notify-test", &err, NULL);
    int rc = notify_test(conf, said, NULL, &err);
    conf_free(conf);
    return rc == 0 ? CLI_DONE : cli_fail("bakfs notify-test", &err, NULL);
}

int verb_notify_test(int argc, char **argv)
{
    static const struct option options[] = {
        {"conf", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *conf_path = NULL;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (c != 'c')
            return cli_usage("bakfs notify-test", "wrong usage");
        conf_path = optarg;
    }
    if (optind != argc)
        return cli_usage("bakfs notify-test", "it takes no arguments");
    return cli_finish("bakfs notify-test", test(conf_path));
}
