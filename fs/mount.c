#include "fs/mount.h"

#include "backend/base/err.h"
#include "backend/base/log.h"
#include "backend/base/scope.h"
#include "conf/conf.h"
#include "fs/mountpoint.h"
#include "fs/notices.h"
#include "fs/session.h"
#include "fs/stack.h"
#include "fs/takedown.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define EXIT_USAGE 2

static const char help[] =
    "Usage: bakfs mount [STORE] [DIR] [-f] [-c CONF] [-o OPTION,...]\n"
    "\n"
    "Mounts a store of backups. Goes into the background once the mount really works; until\n"
    "then it says what is wrong and exits with 1.\n"
    "\n"
    "  STORE         dir:/PATH or s3://BUCKET[/PREFIX]; else [store] url of the configuration\n"
    "  DIR           an empty directory; else [mount] point\n"
    "  -f            stay in the foreground, log to standard error\n"
    "  -c CONF       configuration instead of $BAKFS_CONF or /etc/bakfs/bakfs.conf\n"
    "  -o OPTION     ro, allow_other, uid=N, gid=N, umask=NNN, conf=FILE,\n"
    "                or any setting as SECTION.KEY=VALUE\n"
    "\n"
    "Example:\n"
    "  bakfs mount s3://backups /mnt/bak -o store.region=eu-central-1\n";

struct request { // what the command line says; strings borrowed from it
    const char *conf_path, *store, *point;
    bool foreground, is_fstab, fake, read_only;
    char **settings; // SECTION.KEY=VALUE, malloc'ed
    size_t setting_count;
};

static void request_done(struct request *request)
{
    for (size_t i = 0; i < request->setting_count; i++)
        free(request->settings[i]);
    free(request->settings);
}

static int add_setting(struct request *request, const char *key, const char *value, struct err *err)
{
    char **more = reallocarray(request->settings, request->setting_count + 1, sizeof(*more));
    if (!more)
        return err_errno(err, ENOMEM, "read the options");
    request->settings = more;
    if (asprintf(&more[request->setting_count], "%s=%s", key, value) < 0)
        return err_errno(err, ENOMEM, "read the options");
    request->setting_count++;
    return 0;
}

// mount(8)'s own words, which mean nothing to us or are always so.
static bool is_mount_word(const char *option)
{
    static const char *const words[] = {
        "rw",   "defaults", "auto",  "noauto",   "nofail",  "_netdev",
        "user", "nouser",   "users", "nodev",    "nosuid",  "noexec",
        "exec", "async",    "sync",  "relatime", "noatime", "default_permissions",
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (strcmp(option, words[i]) == 0)
            return true;
    return strncmp(option, "x-", 2) == 0 || strncmp(option, "comment=", 8) == 0;
}

static int take_option(struct request *request, char *option, struct err *err)
{
    static const char *const own[] = {"uid", "gid", "umask"};
    char *value = strchr(option, '=');
    if (strcmp(option, "ro") == 0) {
        request->read_only = true;
        return 0;
    }
    if (strcmp(option, "allow_other") == 0)
        return add_setting(request, "mount.allow_other", "yes", err);
    if (!*option || is_mount_word(option))
        return 0;
    if (!value)
        return err_set(err, EINVAL, "-o %s: no such option; bakfs mount --help lists them", option);
    *value++ = '\0';
    if (strcmp(option, "conf") == 0) {
        request->conf_path = value;
        return 0;
    }
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
        char key[32];
        snprintf(key, sizeof(key), "mount.%s", own[i]);
        if (strcmp(option, own[i]) == 0)
            return add_setting(request, key, value, err);
    }
    if (!strchr(option, '.'))
        return err_set(err, EINVAL, "-o %s: no such option; bakfs mount --help lists them", option);
    return add_setting(request, option, value, err);
}

static int take_options(struct request *request, char *list, struct err *err)
{
    int rc = 0;
    for (char *save, *option = strtok_r(list, ",", &save); option && !rc;
         option = strtok_r(NULL, ",", &save))
        rc = take_option(request, option, err);
    return rc;
}

// Of the one or two words left: STORE is told from DIR by its scheme.
static int take_words(struct request *request, int count, char **words, struct err *err)
{
    for (int i = 0; i < count; i++) {
        // of two words the first is the store, whatever it looks like: a wrong one is told as such
        bool is_first = i == 0 && count > 1;
        bool is_store = is_first || strncmp(words[i], "dir:", 4) == 0 ||
                        strncmp(words[i], "s3://", 5) == 0;
        // fstab's first field may be "bakfs" or "none": the store of the configuration
        if (request->is_fstab && is_first && !strchr(words[i], ':'))
            continue;
        const char **field = is_store ? &request->store : &request->point;
        if (*field)
            return err_set(err, EINVAL, "'%s' is one word too many", words[i]);
        *field = words[i];
    }
    return 0;
}

static int parse(struct request *request, int argc, char **argv, bool *out_help, struct err *err)
{
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {0}};
    const char *base = strrchr(argv[0], '/');
    request->is_fstab = strcmp(base ? base + 1 : argv[0], "mount.bakfs") == 0;
    optind = 0;
    int c, rc = 0;
    while (!rc && (c = getopt_long(argc, argv, "fsnvc:o:h", longs, NULL)) != -1) {
        switch (c) {
        case 'f': // mount(8): fake
            *(request->is_fstab ? &request->fake : &request->foreground) = true;
            break;
        case 'c':
            request->conf_path = optarg;
            break;
        case 'o':
            rc = take_options(request, optarg, err);
            break;
        case 'h':
            *out_help = true;
            break;
        case 's':
        case 'n':
        case 'v':
            break; // mount(8)'s: sloppy, no mtab, verbose
        default:
            return err_set(err, EINVAL, "bakfs mount --help says what there is");
        }
    }
    return rc ? rc : take_words(request, argc - optind, argv + optind, err);
}

static int load_conf(const struct request *request, struct conf **out, struct err *err)
{
    struct conf *conf;
    int rc = conf_load(request->conf_path, &conf, err);
    if (rc)
        return rc;
    conf->mount.read_only = request->read_only;
    char setting[4096];
    if (request->store) {
        snprintf(setting, sizeof(setting), "store.url=%s", request->store);
        rc = conf_set(conf, setting, err);
    }
    if (!rc && request->point) {
        snprintf(setting, sizeof(setting), "mount.point=%s", request->point);
        rc = conf_set(conf, setting, err);
    }
    for (size_t i = 0; i < request->setting_count && !rc; i++)
        rc = conf_set(conf, request->settings[i], err);
    if (!rc)
        rc = conf_check(conf, err);
    if (rc)
        conf_free(conf);
    else
        *out = conf;
    return rc;
}

// --- Background ---

// The parent waits until the child serves or failed; the child's exit code is then the answer.
static int wait_for_child(int from_child, pid_t child)
{
    char word = 0;
    ssize_t got;
    do {
        got = read(from_child, &word, 1);
    } while (got < 0 && errno == EINTR);
    if (got == 1)
        return 0;
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

struct herald {
    int to_parent; // -1 in the foreground
    const char *point;
};

static void detach_from_terminal(void)
{
    log_to_syslog("bakfs");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        for (int fd = 0; fd <= 2; fd++)
            dup2(null, fd);
        close(null);
    }
}

static void say_ready(void *ctx)
{
    struct herald *herald = ctx;
    log_info("mounted point=%s", herald->point);
#ifdef HAVE_SYSTEMD
    sd_notify(0, "READY=1");
#endif
    if (herald->to_parent < 0)
        return;
    detach_from_terminal();
    // who asked for the mount and was interrupted does not get it later
    if (write(herald->to_parent, "r", 1) != 1)
        kill(getpid(), SIGTERM);
    close(herald->to_parent);
    herald->to_parent = -1;
}

static int serve(const struct conf *conf, const char *point, int to_parent)
{
    // no key in a core file; big buffers go back to the system when they are freed
    // (1 byte: the kernel takes that, not 0, as a no for handlers it would pipe a core to)
    setrlimit(RLIMIT_CORE, &(struct rlimit){.rlim_cur = 1, .rlim_max = 1});
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    mallopt(M_ARENA_MAX, 4);
    session_block_signals();
    struct err err;
    struct herald herald = {.to_parent = to_parent, .point = point};
    struct stack *stack;
    struct notices *notices = NULL;
    int rc = session_guard_begin(&err);
    if (!rc) {
        rc = notices_new(conf, &notices, &err);
        if (!rc)
            rc = stack_new(conf, notices, &stack, &err);
        session_guard_end();
    }
    if (!rc) {
        rc = session_run(stack, point, say_ready, &herald, &err);
        stack_free(stack);
        takedown_done();
    }
    notices_free(
        notices); // they wait for mail servers, not for the store: no part of the take-down
    if (rc)
        log_error("mount: %s", err.text);
    else
        log_info("unmounted point=%s", point);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int serve_in_background(const struct conf *conf, const char *point)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        log_error("mount: %s", strerror(errno));
        return EXIT_FAILURE;
    }
    pid_t child = fork();
    if (child < 0) {
        log_error("mount: fork: %s", strerror(errno));
        return EXIT_FAILURE;
    }
    if (child > 0) {
        close(ends[1]);
        int code = wait_for_child(ends[0], child);
        close(ends[0]);
        return code;
    }
    close(ends[0]);
    setsid();
    if (chdir("/") != 0)
        log_debug("chdir: %s", strerror(errno));
    return serve(conf, point, ends[1]);
}

int verb_mount(int argc, char **argv)
{
    struct request request = {0};
    struct err err;
    bool want_help = false;
    struct conf *conf = NULL;
    auto_free char *point = NULL;
    int code = EXIT_FAILURE;
    if (parse(&request, argc, argv, &want_help, &err) != 0) {
        log_error("mount: %s", err.text);
        code = EXIT_USAGE;
    } else if (want_help) {
        fputs(help, stdout);
        code = EXIT_SUCCESS;
    } else if (load_conf(&request, &conf, &err) != 0 ||
               mountpoint_check(conf->mount.point, &point, &err) != 0) {
        log_error("mount: %s", err.text);
    } else if (request.fake) {
        code = EXIT_SUCCESS;
    } else {
        code = request.foreground ? serve(conf, point, -1) : serve_in_background(conf, point);
    }
    conf_free(conf);
    request_done(&request);
    return code;
}
