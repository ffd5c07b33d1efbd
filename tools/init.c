// bakfs init: a key, recipients, a configuration, a mount point that nothing can be put under, and the recovery sheet.
#include "backend/base/scope.h"
#include "conf/conf.h"
#include "conf/keys.h"
#include "tools/cli.h"
#include "tools/keyfile.h"
#include "tools/place.h"
#include "tools/sheet.h"
#include "tools/verb.h"

#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "Usage: bakfs init [OPTION...]\n"
    "\n"
    "Makes what a mount needs: a key for this host and a configuration. Prints the recovery "
    "sheet.\n"
    "Overwrites nothing.\n"
    "\n"
    "  --store STORE     dir:/path or s3://bucket[/prefix]; default dir:/var/lib/bakfs/store\n"
    "  --endpoint URL    the S3 server, when it is not AWS\n"
    "  --region REGION   the bucket's region\n"
    "  --mount DIR       where the tree shall appear; default /mnt/bak\n"
    "  --user USER       who may use the tree besides root: postgres, to back up its own server\n"
    "  --escrow R        age1..., the recipient whose key is kept away from this host\n"
    "  --no-escrow       do without: the backups are lost when this host's key is\n"
    "                    (neither: an escrow key is made and shown once)\n"
    "  --no-immutable    do not make the mount point immutable (chattr +i): what root writes\n"
    "                    there while nothing is mounted then lands on this disk\n"
    "  --state DIR       for the journal and the cache; default /var/lib/bakfs\n"
    "  -c, --conf FILE   the configuration to write; default /etc/bakfs/bakfs.conf\n"
    "                    (the key files go beside it)\n"
    "\n"
    "Example:\n"
    "  bakfs init --store s3://my-backups/prod --region eu-central-1 --mount /mnt/bak\n";

struct init {
    char absolute[PATH_MAX]; // of conf_path, when it was given relative
    const char *store, *endpoint, *region, *mount, *user, *escrow, *state, *conf_path;
    bool no_escrow, no_immutable;
    char *identity_path, *recipients_path; // beside the configuration
    struct identity *host, *escrow_key;    // escrow_key: made here
    struct recipient escrow_recipient;
    bool identity_is_new;
    bool has_escrow;
    bool locked; // the mount point
};

// --- Arguments ---

static bool take_option(struct init *in, int option)
{
    const char *value = optarg ? optarg : "";
    switch (option) {
    case 's':
        in->store = value;
        return true;
    case 'e':
        in->endpoint = value;
        return true;
    case 'r':
        in->region = value;
        return true;
    case 'm':
        in->mount = value;
        return true;
    case 'u':
        in->user = value;
        return true;
    case 'E':
        in->escrow = value;
        return true;
    case 'N':
        in->no_escrow = true;
        return true;
    case 'I':
        in->no_immutable = true;
        return true;
    case 'S':
        in->state = value;
        return true;
    case 'c':
        in->conf_path = value;
        return true;
    default:
        return false;
    }
}

static int beside(const char *conf_path, const char *name, char **out, struct err *err)
{
    auto_free char *copy = strdup(conf_path);
    char *path = NULL;
    if (!copy || asprintf(&path, "%s/%s", dirname(copy), name) < 0)
        return err_errno(err, ENOMEM, "init");
    *out = path;
    return 0;
}

// The daemon does not run where init did: paths in the configuration are absolute.
static int find_paths(struct init *in, struct err *err)
{
    if (in->conf_path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof(here)))
            return err_errno(err, errno, "the working directory");
        int len = snprintf(in->absolute, sizeof(in->absolute), "%s/%s", here, in->conf_path);
        if (len < 0 || (size_t)len >= sizeof(in->absolute))
            return err_set(err, ENAMETOOLONG, "%s: too long", in->conf_path);
        in->conf_path = in->absolute;
    }
    int rc = beside(in->conf_path, "identity.txt", &in->identity_path, err);
    return rc ? rc : beside(in->conf_path, "recipients.txt", &in->recipients_path, err);
}

// --- Keys ---

static int must_not_exist(const char *path, const char *advice, struct err *err)
{
    struct stat st;
    if (lstat(path, &st) == 0)
        return err_set(err, EEXIST, "%s is there already: %s", path, advice);
    return errno == ENOENT ? 0 : err_errno(err, errno, "%s", path);
}

// A key that is there opens backups that are there: it is used, never replaced.
static int host_key(struct init *in, struct err *err)
{
    struct stat st;
    if (lstat(in->identity_path, &st) != 0) {
        in->identity_is_new = true;
        return identity_generate(&in->host, err);
    }
    struct conf conf = {.seal = {.identity = in->identity_path}};
    struct identities found;
    int rc = keys_load_identities(&conf, &found, err);
    if (rc != 0)
        return rc;
    in->host = found.list[0];
    found.list[0] = found.list[--found.count];
    identities_done(&found);
    return 0;
}

static bool ask_escrow(char *answer, size_t room)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return false;
    fputs("Escrow recipient, whose key is kept away from this host (age1...; empty: make one): ",
          stderr);
    if (!fgets(answer, (int)room, stdin))
        return false;
    answer[strcspn(answer, "\r\n \t")] = '\0';
    return answer[0] != '\0';
}

static int escrow_key(struct init *in, struct err *err)
{
    if (in->no_escrow)
        return 0;
    char answer[128];
    const char *given = in->escrow;
    if (!given && ask_escrow(answer, sizeof(answer)))
        given = answer;
    int rc = given ? recipient_parse(given, &in->escrow_recipient, err)
                   : identity_generate(&in->escrow_key, err);
    if (rc != 0)
        return err_prefix(err, "the escrow recipient");
    if (in->escrow_key)
        identity_recipient(in->escrow_key, &in->escrow_recipient);
    in->has_escrow = true;
    return 0;
}

// --- Files ---

static int write_recipients(const struct init *in, struct err *err)
{
    FILE *file = keyfile_open_new(in->recipients_path, 0644, err);
    if (!file)
        return -err->code;
    struct recipient host;
    char text[64];
    identity_recipient(in->host, &host);
    recipient_format(&host, text);
    fprintf(file, "# Who can open the backups of this host.\n# this host\n%s\n", text);
    if (in->has_escrow) {
        recipient_format(&in->escrow_recipient, text);
        fprintf(file, "# escrow, kept elsewhere\n%s\n", text);
    }
    return keyfile_close_new(in->recipients_path, file, err);
}

// The group of `user` by its number, or "": that of who mounts.
static void group_of(const char *user, char out[32])
{
    const struct passwd *entry = *user ? getpwnam(user) : NULL;
    *out = '\0';
    if (entry)
        snprintf(out, 32, "%u", (unsigned)entry->pw_gid);
}

static int write_conf_to(const struct init *in, FILE *file, struct err *err)
{
    char group[32];
    group_of(in->user, group);
    const struct conf_value all[] = {
        {"store", "url", in->store},
        {"seal", "recipients", in->recipients_path},
        {"seal", "identity", in->identity_path},
        {"mount", "point", in->mount},
        {"mount", "state", in->state},
        {"store", "endpoint", in->endpoint},
        {"store", "region", in->region},
        {"mount", "uid", in->user},
        {"mount", "gid", group},
        {"mount", "allow_other", *in->user ? "yes" : ""},
    };
    size_t count = 0;
    struct conf_value set[sizeof(all) / sizeof(all[0])];
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].value && *all[i].value)
            set[count++] = all[i];
    return conf_write(file, set, count, err);
}

static int read_back(const char *path, struct err *err)
{
    struct conf *conf = NULL;
    int rc = conf_load(path, &conf, err);
    if (rc == 0)
        rc = conf_check(conf, err);
    conf_free(conf);
    return rc;
}

static int write_conf(const struct init *in, struct err *err)
{
    FILE *file = keyfile_open_new(in->conf_path, 0644, err);
    if (!file)
        return -err->code;
    int rc = write_conf_to(in, file, err);
    if (rc == 0)
        return keyfile_close_new(in->conf_path, file, err);
    fclose(file);
    unlink(in->conf_path);
    return rc;
}

// The values are judged before anything is made.
static int check_values(const struct init *in, struct err *err)
{
    FILE *file = tmpfile();
    char path[64];
    if (!file)
        return err_errno(err, errno, "a temporary file");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(file));
    int rc = write_conf_to(in, file, err);
    if (rc == 0)
        rc = read_back(path, err);
    fclose(file);
    return rc;
}

static int make_files(const struct init *in, struct err *err)
{
    int rc = in->identity_is_new ? keyfile_create(in->identity_path, in->host, err) : 0;
    if (rc != 0)
        return rc;
    rc = write_recipients(in, err);
    if (rc == 0) {
        rc = write_conf(in, err);
        if (rc == 0)
            return 0;
        unlink(in->recipients_path);
    }
    if (in->identity_is_new)
        unlink(in->identity_path); // nothing was sealed for it yet
    return rc;
}

static int make_places(struct init *in, struct err *err)
{
    auto_free char *copy = strdup(in->conf_path);
    if (!copy)
        return err_errno(err, ENOMEM, "init");
    int rc = place_make(dirname(copy), 0755, err);
    if (rc == 0)
        rc = place_make(in->state, 0700, err);
    if (rc == 0 && strncmp(in->store, "dir:", 4) == 0)
        rc = place_make(in->store + 4, 0700, err);
    if (rc == 0)
        rc = place_make_mount_point(in->mount, !in->no_immutable, &in->locked, err);
    return rc;
}

// --- Telling ---

static int tell(const struct init *in, struct err *err)
{
    printf("key            %s%s\n", in->identity_path,
           in->identity_is_new ? "" : " (was there, is used)");
    printf("recipients     %s\n", in->recipients_path);
    printf("configuration  %s\n", in->conf_path);
    printf("store          %s\n", in->store);
    printf("mount point    %s%s\n", in->mount,
           in->locked ? " (immutable while nothing is mounted; chattr -i before removing it)" : "");
    char escrow[64];
    recipient_format(&in->escrow_recipient, escrow);
    struct secret *secret = in->escrow_key ? identity_format(in->escrow_key) : NULL;
    if (in->escrow_key && !secret)
        return err_errno(err, ENOMEM, "show the escrow key");
    struct sheet sheet = {.url = in->store,
                          .endpoint = in->endpoint,
                          .region = in->region,
                          .identity_path = in->identity_path,
                          .escrow = in->has_escrow ? escrow : NULL,
                          .escrow_secret = secret ? (const char *)secret->bytes : NULL};
    setvbuf(stdout, NULL, _IONBF, 0); // no buffer may keep a copy of the key
    sheet_print(stdout, &sheet);
    secret_free(secret);
    printf("Next: bakfs mount%s%s\n", strcmp(in->conf_path, CONF_DEFAULT_PATH) == 0 ? "" : " -c ",
           strcmp(in->conf_path, CONF_DEFAULT_PATH) == 0 ? "" : in->conf_path);
    if (fflush(stdout) != 0 || ferror(stdout))
        return err_set(err, EIO,
                       "the recovery sheet could not be shown; no configuration was written, so "
                       "that no backup is sealed for an escrow key nobody has");
    return 0;
}

static int init(struct init *in, struct err *err)
{
    int rc = find_paths(in, err);
    if (rc == 0)
        rc =
            must_not_exist(in->conf_path, "init overwrites nothing; edit it, or move it away", err);
    if (rc == 0)
        rc =
            must_not_exist(in->recipients_path, "move it away, or name another place with -c", err);
    if (rc == 0)
        rc = check_values(in, err);
    if (rc == 0)
        rc = host_key(in, err);
    if (rc == 0)
        rc = escrow_key(in, err);
    if (rc == 0)
        rc = make_places(in, err);
    if (rc == 0)
        rc = tell(in, err); // first: the escrow key is shown this once
    return rc == 0 ? make_files(in, err) : rc;
}

int verb_init(int argc, char **argv)
{
    static const struct option options[] = {
        {"store", required_argument, NULL, 's'},  {"endpoint", required_argument, NULL, 'e'},
        {"region", required_argument, NULL, 'r'}, {"mount", required_argument, NULL, 'm'},
        {"user", required_argument, NULL, 'u'},   {"escrow", required_argument, NULL, 'E'},
        {"no-escrow", no_argument, NULL, 'N'},    {"no-immutable", no_argument, NULL, 'I'},
        {"state", required_argument, NULL, 'S'},  {"conf", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},         {0}};
    struct init in = {.store = "dir:/var/lib/bakfs/store",
                      .endpoint = "",
                      .region = "",
                      .user = "",
                      .mount = "/mnt/bak",
                      .state = "/var/lib/bakfs",
                      .conf_path = conf_path(NULL)};
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (!take_option(&in, c))
            return cli_usage("bakfs init", "wrong usage");
    }
    if (optind < argc)
        return cli_usage("bakfs init", "'%s': no such argument", argv[optind]);
    if (in.escrow && in.no_escrow)
        return cli_usage("bakfs init", "--escrow or --no-escrow, not both");
    if (*in.endpoint && strncmp(in.store, "s3://", 5) != 0)
        return cli_usage("bakfs init", "--endpoint belongs to a store s3://...");
    struct err err = {0};
    int code = init(&in, &err) == 0 ? CLI_DONE : cli_fail("bakfs init", &err, NULL);
    identity_free(in.host);
    identity_free(in.escrow_key);
    free(in.identity_path);
    free(in.recipients_path);
    return cli_finish("bakfs init", code);
}
