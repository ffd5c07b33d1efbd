// Children end as they should, are told of as they ended, and leave nobody behind.
#include "tools/process.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmocka.h>

SCOPE_TYPE(process)

static struct process *start_shell(const char *script, int out, const char *const *env)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct process_conf conf = {.argv = argv, .env = env, .in = -1, .out = out};
    struct process *p = NULL;
    struct err err = {0};
    assert_int_equal(process_start(&conf, &p, &err), 0);
    return p;
}

static struct process_end wait_for(struct process *p)
{
    struct process_end end = {0};
    struct err err = {0};
    assert_int_equal(process_wait(p, &end, &err), 0);
    return end;
}

static void ends(void **state)
{
    (void)state;
    struct err err = {0};
    auto_type(process) struct process *good = start_shell("exit 0", -1, NULL);
    struct process_end end = wait_for(good);
    assert_int_equal(process_judge(good, "it", &end, &err), 0);

    auto_type(process) struct process *bad =
        start_shell("echo tool: starting >&2; echo 'tool: ERROR:  no such table' >&2; echo 'see "
                    "the manual' >&2; exit 3",
                    -1, NULL);
    end = wait_for(bad);
    assert_int_equal(end.exit_code, 3);
    assert_int_equal(process_judge(bad, "tool", &end, &err), -EIO);
    assert_string_equal(err.text, "tool exited with 3: tool: ERROR:  no such table");

    auto_type(process) struct process *quiet =
        start_shell("echo 'nothing special  ' >&2; exit 1", -1, NULL);
    end = wait_for(quiet);
    process_judge(quiet, "tool", &end, &err);
    assert_string_equal(err.text, "tool exited with 1: nothing special");

    auto_type(process) struct process *killed = start_shell("kill -9 $$", -1, NULL);
    end = wait_for(killed);
    assert_int_equal(end.signal, SIGKILL);
    process_judge(killed, "pg_dump", &end, &err);
    assert_string_equal(err.text, "pg_dump was killed by signal 9 (Killed)");
}

static void no_such_program(void **state)
{
    (void)state;
    const char *const argv[] = {"/nonexistent/pg_dump", NULL};
    struct process_conf conf = {.argv = argv, .in = -1, .out = -1};
    struct process *p = NULL;
    struct err err = {0};
    assert_int_equal(process_start(&conf, &p, &err), -ENOENT);
    assert_string_equal(err.text, "start /nonexistent/pg_dump: No such file or directory");
    assert_null(p);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // nobody is left
    const char *const here[] = {"true", NULL};
    conf = (struct process_conf){.argv = here, .in = -1, .out = -1, .dir = "/nonexistent"};
    assert_int_equal(process_start(&conf, &p, &err), -ENOENT);
}

static void its_environment(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    setenv("BAKFS_TEST_GONE", "1", 1);
    setenv("BAKFS_TEST_KEPT", "kept", 1);
    setenv("BAKFS_TEST_PUT", "old", 1);
    const char *const env[] = {"BAKFS_TEST_PUT=new", "BAKFS_TEST_GONE", "BAKFS_TEST_MORE=a=b",
                               NULL};
    auto_type(process) struct process *p = start_shell(
        "echo $BAKFS_TEST_PUT,${BAKFS_TEST_GONE-none},$BAKFS_TEST_KEPT,$BAKFS_TEST_MORE; ls "
        "/proc/self/fd | wc -l",
        fds[1], env);
    close(fds[1]);
    wait_for(p);
    char text[256] = "";
    ssize_t got = read(fds[0], text, sizeof(text) - 1);
    assert_true(got > 0);
    close(fds[0]);
    // 0, 1, 2 and the directory that ls reads: nothing of ours
    assert_string_equal(text, "new,none,kept,a=b\n4\n");
}

static void much_on_its_errors(void **state)
{
    (void)state;
    auto_type(process) struct process *p =
        start_shell("i=0; while [ $i -lt 3000 ]; do echo \"line $i of what nobody reads, but the "
                    "pipe fills\" >&2; i=$((i+1)); done; "
                    "printf 'error: the end' >&2; exit 1",
                    -1, NULL);
    struct process_end end = wait_for(p);
    assert_int_equal(end.exit_code, 1);
    assert_string_equal(process_error_line(p), "error: the end");
}

static void what_it_wrote(void **state)
{
    (void)state;
    struct err err = {0};
    struct process_end end;
    char *text = NULL;
    auto_fd int fd = memfd_create("output", MFD_CLOEXEC);
    assert_int_equal(process_read_output(fd, 0, &text, &err), 0);
    assert_string_equal(text, "");
    free(text);
    text = NULL;
    auto_type(process) struct process *p = start_shell("echo one; echo two", fd, NULL);
    assert_int_equal(process_wait(p, &end, &err), 0);
    assert_int_equal(process_read_output(fd, 7, &text, &err), -EFBIG);
    assert_null(text);
    assert_int_equal(process_read_output(fd, 8, &text, &err), 0);
    assert_string_equal(text, "one\ntwo\n");
    free(text);
}

static void says_line(const char *text, const char *line)
{
    char script[512];
    snprintf(script, sizeof(script), "printf '%s' >&2; exit 1", text);
    auto_type(process) struct process *p = start_shell(script, -1, NULL);
    wait_for(p);
    assert_string_equal(process_error_line(p), line);
}

static void why_stands_below_it(void **state)
{
    (void)state;
    says_line("pg_restore: error: ERROR:  could not extend file\\nHINT:  Check free disk "
              "space.\\nCONTEXT:  COPY t, line 1\\n",
              "pg_restore: error: ERROR:  could not extend file; Check free disk space.");
    says_line("pg_dump: error: PQgetCopyData() failed.\\npg_dump: detail: Error message from "
              "server: server closed the connection unexpectedly\\n\\tThis probably\\n",
              "pg_dump: error: PQgetCopyData() failed; server closed the connection "
              "unexpectedly");
    says_line("error: key\\nDETAIL:  Key (name)=(Smith)\\n", "error: key");
}

// A pipeline ends as a whole.
static void killed_with_all_its_children(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct process *p =
        start_shell("sleep 600 & sleep 600 | cat & echo up; exec sleep 600", fds[1], NULL);
    close(fds[1]);
    char text[16];
    assert_int_equal(read(fds[0], text, sizeof(text)), 3);
    struct process_end end;
    assert_false(process_poll(p, &end));
    process_free(p);
    // all that held the pipe is gone
    assert_int_equal(read(fds[0], text, sizeof(text)), 0);
    close(fds[0]);
}

// Runs in a child of its own: a stop is asked once a process.
static int stopped(void)
{
    process_guard();
    struct rlimit core;
    if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur > 1)
        return 10;
    struct process *p = start_shell("sleep 600 & wait", -1, NULL);
    raise(SIGTERM);
    if (!process_stop_asked() || process_stop_signal() != SIGTERM)
        return 11;
    struct process_end end;
    struct err err = {0};
    if (process_wait(p, &end, &err) != -EINTR)
        return 12;
    if (strcmp(err.text, "stopped by signal 15 (Terminated)") != 0)
        return 13;
    process_free(p);
    return 0;
}

static int stopped_twice(void)
{
    process_guard();
    raise(SIGTERM);
    raise(SIGHUP); // at once it is the same one: timeout(1) signals twice
    usleep(1100000);
    raise(SIGINT);
    return 1;
}

// The terminal's Ctrl-C is the command's own business.
static int interrupted_terminal(void)
{
    process_guard();
    const char *const argv[] = {"sh", "-c", "trap '' INT; kill -INT $PPID; exit 7", NULL};
    struct process_conf conf = {
        .argv = argv, .in = 0, .out = 1, .inherit_errors = true, .stay_in_group = true};
    struct process *p = NULL;
    struct process_end end = {0};
    struct err err = {0};
    if (process_start(&conf, &p, &err) != 0 || process_wait(p, &end, &err) != 0)
        return 12;
    int code = end.exit_code;
    process_free(p);
    return process_stop_signal() == SIGINT ? code : 13;
}

static int in_a_child(int (*run)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(run());
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void stops(void **state)
{
    (void)state;
    int status = in_a_child(stopped);
    assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : 99, 0);
    status = in_a_child(stopped_twice);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
    status = in_a_child(interrupted_terminal);
    assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : 99, 7);
}

// We die without a word, and it does not stay.
static void dies_with_us(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        const char *const argv[] = {"sh", "-c", "echo up; exec sleep 600", NULL};
        struct process_conf conf = {.argv = argv, .in = -1, .out = fds[1]};
        struct process *p = NULL;
        if (process_start(&conf, &p, NULL) != 0)
            _exit(1);
        close(fds[1]);
        pause();
    }
    close(fds[1]);
    char text[16];
    assert_int_equal(read(fds[0], text, sizeof(text)), 3);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(read(fds[0], text, sizeof(text)), 0);
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends),
        cmocka_unit_test(no_such_program),
        cmocka_unit_test(its_environment),
        cmocka_unit_test(much_on_its_errors),
        cmocka_unit_test(what_it_wrote),
        cmocka_unit_test(why_stands_below_it),
        cmocka_unit_test(killed_with_all_its_children),
        cmocka_unit_test(stops),
        cmocka_unit_test(dies_with_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
