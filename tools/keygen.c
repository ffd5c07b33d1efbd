// bakfs keygen: a new identity, as age-keygen makes one.
#include "tools/cli.h"
#include "tools/keyfile.h"
#include "tools/verb.h"

#include <getopt.h>
#include <unistd.h>

static const char help[] =
    "Usage: bakfs keygen [-o FILE]\n"
    "\n"
    "Makes an age key. The secret key goes to FILE, which must not exist and only its owner can\n"
    "read, or to the standard output; the public key is told on the standard error.\n"
    "\n"
    "  -o, --output FILE\n"
    "\n"
    "Example, a key to be kept elsewhere:\n"
    "  bakfs keygen -o escrow.txt\n";

static int keygen(const char *path, struct err *err)
{
    struct identity *identity = NULL;
    int rc = identity_generate(&identity, err);
    if (rc != 0)
        return rc;
    rc = path ? keyfile_create(path, identity, err) : keyfile_write(stdout, identity, err);
    if (rc == 0 && (path || !isatty(STDOUT_FILENO))) {
        struct recipient recipient;
        char text[64];
        identity_recipient(identity, &recipient);
        recipient_format(&recipient, text);
        fprintf(stderr, "Public key: %s\n", text);
    }
    identity_free(identity);
    return rc;
}

int verb_keygen(int argc, char **argv)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"conf", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *path = NULL;
    for (int c; (c = getopt_long(argc, argv, "o:c:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (c == 'o')
            path = optarg;
        else if (c != 'c') // every verb takes it; nothing of it is needed here
            return cli_usage("bakfs keygen", "wrong usage");
    }
    if (optind < argc)
        return cli_usage("bakfs keygen", "'%s': no such argument; a file goes behind -o",
                         argv[optind]);
    struct err err;
    if (keygen(path, &err) != 0)
        return cli_fail("bakfs keygen", &err, NULL);
    return cli_finish("bakfs keygen", CLI_DONE);
}
