// The command: /bin/sh -c, the text on its standard input.
#include "tools/notify/ways.h"

#include "backend/base/clock.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

// The whole text lies there before the command starts: one that reads nothing blocks nobody.
static int text_file(const char *text, struct err *err)
{
    int fd = memfd_create("notice", MFD_CLOEXEC);
    if (fd < 0)
        return err_errno(err, errno, "the notice's text");
    for (size_t len = strlen(text); len > 0;) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int rc = err_errno(err, errno, "the notice's text");
            close(fd);
            return rc;
        }
        text += n;
        len -= (size_t)n;
    }
    if (lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    int rc = err_errno(err, errno, "the notice's text");
    close(fd);
    return rc;
}

// Ours with two more; the strings of ours are borrowed.
static char **environment_with(char *verdict, char *subject)
{
    size_t count = 0, kept = 0;
    while (environ[count])
        count++;
    char **out = calloc(count + 3, sizeof(*out));
    if (!out)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "BAKFS_VERDICT=", 14) != 0 &&
            strncmp(environ[i], "BAKFS_SUBJECT=", 14) != 0)
            out[kept++] = environ[i];
    out[kept++] = verdict;
    out[kept] = subject;
    return out;
}

// What it prints goes where our sentences go. Signals are as a command expects them, whatever our threads block, and it is
// a group of its own, so that all of it can be ended.
static int start(const char *command, int in, char **env, pid_t *out)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    auto_free char *line = strdup(command);
    if (!line)
        return ENOMEM;
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, line, NULL};
    if (posix_spawn_file_actions_init(&files) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    int rc = posix_spawn_file_actions_adddup2(&files, in, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&files, 2, 1);
    if (rc == 0)
        rc = posix_spawn(out, "/bin/sh", &files, &attributes, argv, env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

// True: it ended in time. Otherwise it is ended.
static bool wait_for(pid_t pid, int *status)
{
    bool ended = false;
    auto_fd int fd = pidfd_open(pid, 0);
    uint64_t end = clock_ms() + NOTIFY_TIMEOUT_S * 1000;
    for (uint64_t now; fd >= 0 && !ended && (now = clock_ms()) < end;) {
        struct pollfd wanted = {.fd = fd, .events = POLLIN};
        ended = poll(&wanted, 1, (int)(end - now)) == 1;
    }
    if (!ended)
        kill(-pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        continue;
    return ended;
}

static int run(const char *command, int in, char **env, struct err *err)
{
    pid_t pid = 0;
    int rc = start(command, in, env, &pid), status = 0;
    if (rc != 0)
        return err_errno(err, rc, "start /bin/sh");
    if (!wait_for(pid, &status))
        return err_set(err, ETIMEDOUT, "did not end within %d s", NOTIFY_TIMEOUT_S);
    if (WIFSIGNALED(status))
        return err_set(err, EIO, "was killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        return err_set(err, EIO, "exited with %d", WEXITSTATUS(status));
    return 0;
}

int way_command(const struct conf *conf, const struct message *m, struct err *err)
{
    auto_free char *subject = NULL;
    char verdict[32];
    snprintf(verdict, sizeof(verdict), "BAKFS_VERDICT=%s", m->pass ? "PASS" : "FAIL");
    if (asprintf(&subject, "BAKFS_SUBJECT=%s", m->subject) < 0) {
        subject = NULL;
        return err_errno(err, ENOMEM, "command");
    }
    auto_free char **env = environment_with(verdict, subject);
    if (!env)
        return err_errno(err, ENOMEM, "command");
    int fd = text_file(m->text, err);
    int rc = fd < 0 ? fd : run(conf->notify.command, fd, env, err);
    if (fd >= 0)
        close(fd);
    return rc == 0 ? 0 : err_prefix(err, "[notify] command");
}
