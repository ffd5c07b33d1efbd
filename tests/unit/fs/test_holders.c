// What /proc says of processes this test made.
#include "fs/holders.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void *tell_group(void *arg)
{
    *(pid_t *)arg = holders_group((pid_t)syscall(SYS_gettid));
    return NULL;
}

static void a_thread_belongs_to_its_process(void **state)
{
    (void)state;
    pid_t group = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, tell_group, &group), 0);
    pthread_join(thread, NULL);
    assert_int_equal(group, getpid());
    assert_int_equal(holders_group(0), 0);
    assert_int_equal(holders_group(0x3fffffff), 0); // above any pid_max
}

static void who_is_gone_does_not_live(void **state)
{
    (void)state;
    int self = holders_watch(getpid());
    assert_true(self >= 0);
    assert_true(holders_lives(self, getpid()));
    assert_false(holders_lives(-1, getpid()));
    assert_int_equal(holders_watch(0), -1);
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    int other = holders_watch(child);
    assert_true(holders_lives(other, child));
    assert_int_equal(kill(child, SIGKILL), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_false(holders_lives(other, child)); // a zombie
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(holders_lives(other, child));
    assert_false(holders_lives(other, getpid())); // another process has its number
    close(self);
    close(other);
}

static void descriptors_are_known_by_inode(void **state)
{
    (void)state;
    char path[] = "/tmp/bakfs-holders-XXXXXX";
    int fd = mkstemp(path);
    struct stat stat;
    assert_int_equal(fstat(fd, &stat), 0);
    int code;
    assert_int_equal(holders_has(getpid(), stat.st_ino, &code), HOLDERS_HELD);
    int copy = dup(fd);
    close(fd);
    assert_int_equal(holders_has(getpid(), stat.st_ino, &code), HOLDERS_HELD);
    close(copy);
    assert_int_equal(holders_has(getpid(), stat.st_ino, &code), HOLDERS_NONE);
    int reading = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(holders_has(getpid(), stat.st_ino, &code), HOLDERS_NONE); // it cannot write
    close(reading);
    unlink(path);
    assert_int_equal(holders_has(0x3fffffff, 1, &code), HOLDERS_NONE);
}

// A zombie is past PF_EXITING and keeps its exit code: what a flush from an exiting process shows.
static enum holder_exit exit_of(int code, int number, int *out_code)
{
    pid_t child = fork();
    if (child == 0) {
        if (number)
            raise(number);
        _exit(code);
    }
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    enum holder_exit exit = holders_exit(child, out_code);
    waitpid(child, NULL, 0);
    return exit;
}

static void deaths_are_told_apart(void **state)
{
    (void)state;
    int code;
    assert_int_equal(holders_exit(getpid(), &code), HOLDER_ALIVE);
    assert_int_equal(holders_exit(0, &code), HOLDER_ALIVE);
    assert_int_equal(exit_of(0, 0, &code), HOLDER_EXITED);
    assert_int_equal(exit_of(0, SIGKILL, &code), HOLDER_KILLED);
    assert_int_equal(code, SIGKILL);
    assert_int_equal(exit_of(0, SIGTERM, &code), HOLDER_KILLED);
    assert_int_equal(code, SIGTERM);
    if (holders_can_see()) {
        assert_int_equal(exit_of(3, 0, &code), HOLDER_FAILED);
        assert_int_equal(code, 3);
    }
}

_Noreturn static void *wait_for_ever(void *arg)
{
    (void)arg;
    for (;;) // until the process ends
        pause();
}

static void *end_the_process(void *arg)
{
    _exit(*(int *)arg);
}

// At the exit of one thread the kernel ends the others as by a signal: that is not a death.
static void threads_that_are_ended_do_not_die(void **state)
{
    (void)state;
    if (!holders_can_see())
        skip();
    for (int status = 0; status <= 1; status++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            for (int i = 0; i < 4; i++)
                pthread_create(&thread, NULL, wait_for_ever, NULL);
            pthread_create(&thread, NULL, end_the_process, &status);
            wait_for_ever(NULL);
        }
        siginfo_t info;
        waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
        int code;
        assert_int_equal(holders_exit(child, &code), status ? HOLDER_FAILED : HOLDER_EXITED);
        assert_int_equal(code, status);
        waitpid(child, NULL, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_belongs_to_its_process),
        cmocka_unit_test(who_is_gone_does_not_live),
        cmocka_unit_test(descriptors_are_known_by_inode),
        cmocka_unit_test(deaths_are_told_apart),
        cmocka_unit_test(threads_that_are_ended_do_not_die),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
