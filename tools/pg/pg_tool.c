// Which pg_dump: that of the server's own major version, else a newer one. An older one refuses, or worse, does not.
#include "backend/base/scope.h"
#include "tools/pg/pg.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t read_all(int fd, char *out, size_t room)
{
    size_t n = 0;
    for (ssize_t got = 1; n < room && got != 0;) {
        got = read(fd, out + n, room - n);
        if (got < 0 && errno != EINTR)
            break;
        n += got > 0 ? (size_t)got : 0;
    }
    return n;
}

static int spawn(const char *path, int out, pid_t *out_pid)
{
    char word[] = "--version";
    auto_free char *name = strdup(path);
    if (!name)
        return ENOMEM;
    char *argv[] = {name, word, NULL};
    posix_spawn_file_actions_t actions;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0)
        return rc;
    rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out, 1);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (rc == 0)
        rc = posix_spawn(out_pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

// "pg_dump (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)" -> 15; "9.6.24" -> 9. 0: it does not say.
static int major_of(const char *path)
{
    char line[256];
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return 0;
    pid_t pid = -1;
    int rc = spawn(path, ends[1], &pid);
    close(ends[1]);
    size_t n = rc == 0 ? read_all(ends[0], line, sizeof(line) - 1) : 0;
    close(ends[0]);
    line[n] = '\0';
    if (rc == 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    const char *number = strstr(line, ") ");
    return number ? atoi(number + 2) : 0;
}

struct search {
    const char *name;
    int wanted;
    char *found;
    int found_major;
    int seen; // one that was too old
};

static int look_at(struct search *s, const char *path, struct err *err)
{
    if (access(path, X_OK) != 0)
        return 0;
    int major = major_of(path);
    if (major < s->wanted) {
        s->seen = major;
        return 0;
    }
    if (s->found && s->found_major <= major)
        return 0;
    char *copy = strdup(path);
    if (!copy)
        return err_set(err, ENOMEM, "no memory for a path");
    free(s->found);
    s->found = copy;
    s->found_major = major;
    return 0;
}

static int look_in(struct search *s, const char *dir, size_t len, struct err *err)
{
    auto_free char *path = NULL;
    if (asprintf(&path, "%.*s/%s", (int)len, dir, s->name) < 0) {
        path = NULL;
        return err_set(err, ENOMEM, "no memory for a path");
    }
    return look_at(s, path, err);
}

static int look_in_path(struct search *s, struct err *err)
{
    const char *dir = getenv("PATH");
    int rc = 0;
    while (rc == 0 && dir && *dir && !s->found) {
        size_t len = strcspn(dir, ":");
        if (len > 0)
            rc = look_in(s, dir, len, err);
        dir += len + (dir[len] == ':');
    }
    return rc;
}

static int look_in_pattern(struct search *s, const char *pattern, struct err *err)
{
    auto_free char *full = NULL;
    if (asprintf(&full, "%s/%s", pattern, s->name) < 0) {
        full = NULL;
        return err_set(err, ENOMEM, "no memory for a path");
    }
    glob_t found = {0};
    int rc = 0;
    if (glob(full, 0, NULL, &found) == 0)
        for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++)
            rc = look_at(s, found.gl_pathv[i], err);
    globfree(&found);
    return rc;
}

static int look_everywhere(struct search *s, struct err *err)
{
    char own[2][64];
    snprintf(own[0], sizeof(own[0]), "/usr/lib/postgresql/%d/bin", s->wanted);
    snprintf(own[1], sizeof(own[1]), "/usr/pgsql-%d/bin", s->wanted);
    int rc = 0;
    for (size_t i = 0; rc == 0 && !s->found && i < 2; i++)
        rc = look_in(s, own[i], strlen(own[i]), err);
    if (rc == 0 && !s->found)
        rc = look_in_path(s, err);
    static const char *const newer[] = {"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"};
    for (size_t i = 0; rc == 0 && !s->found && i < 2; i++)
        rc = look_in_pattern(s, newer[i], err);
    return rc;
}

int pg_tool(const char *bindir, const char *name, int server_version, char **out, struct err *err)
{
    struct search s = {.name = name, .wanted = server_version / 10000};
    bool own = bindir && *bindir;
    int rc = own ? look_in(&s, bindir, strlen(bindir), err) : look_everywhere(&s, err);
    if (rc != 0) {
        free(s.found);
        return rc;
    }
    if (s.found) {
        *out = s.found;
        return 0;
    }
    if (s.seen)
        return err_set(err, ENOENT,
                       "%s%s%s of version %d is older than the server (%d): apt install "
                       "postgresql-client-%d",
                       own ? bindir : "", own ? "/" : "", name, s.seen, s.wanted, s.wanted);
    return err_set(err, ENOENT,
                   "no %s of PostgreSQL %d or newer%s%s: apt install postgresql-client-%d", name,
                   s.wanted, own ? " in " : "", own ? bindir : "", s.wanted);
}
