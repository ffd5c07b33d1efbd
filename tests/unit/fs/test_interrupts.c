#include "fs/interrupts.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

// --- What /proc/TID/status says: recorded on a 6.x kernel, lines that do not matter left out ---

#define STATUS(own, shared, blocked, ignored, caught)                                              \
    "Name:\tcat\nUmask:\t0022\nState:\tD (disk sleep)\nTgid:\t4711\nNgid:\t0\nPid:\t4712\n"        \
    "Threads:\t2\nSigQ:\t0/95331\nSigPnd:\t" own "\nShdPnd:\t" shared "\nSigBlk:\t" blocked        \
    "\nSigIgn:\t" ignored "\nSigCgt:\t" caught "\nCapInh:\t0000000000000000\n"

#define NONE "0000000000000000"
#define KILL "0000000000000100"
#define TERM "0000000000004000"
#define INT "0000000000000002"
#define HUP "0000000000000001"
#define QUIT "0000000000000004"
#define ALRM "0000000000002000"
#define CHLD "0000000000010000"

static void test_what_ends_a_caller(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        enum caller_end end;
        int signal;
    } cases[] = {
        {STATUS(NONE, NONE, NONE, NONE, NONE), CALLER_STAYS, 0},
        // kill -9; kill, Ctrl-C, hang-up of one that does nothing about it
        {STATUS(KILL, KILL, NONE, NONE, NONE), CALLER_KILLED, SIGKILL},
        {STATUS(KILL, TERM, NONE, NONE, NONE), CALLER_KILLED, SIGTERM},
        {STATUS(KILL, INT, NONE, NONE, NONE), CALLER_KILLED, SIGINT},
        {STATUS(KILL, HUP, NONE, NONE, NONE), CALLER_KILLED, SIGHUP},
        {STATUS(NONE, QUIT, NONE, NONE, NONE), CALLER_KILLED, SIGQUIT}, // dumps core: no SIGKILL
        {STATUS(KILL, ALRM, NONE, NONE, NONE), CALLER_KILLED, SIGALRM},
        {STATUS(TERM, NONE, NONE, NONE, NONE), CALLER_KILLED, SIGTERM}, // sent to the thread
        // SIGKILL is neither blocked nor ignored
        {STATUS(KILL, KILL, "fffffffffffbfeff", "fffffffffffbfeff", NONE), CALLER_KILLED, SIGKILL},
        // blocked, ignored, handled
        {STATUS(NONE, TERM, TERM, NONE, NONE), CALLER_STAYS, 0},
        {STATUS(NONE, TERM, NONE, TERM, NONE), CALLER_STAYS, 0},
        {STATUS(NONE, TERM, NONE, NONE, TERM), CALLER_STAYS, 0},
        {STATUS(NONE, INT, NONE, NONE, "0000000000004002"), CALLER_STAYS, 0},
        {STATUS(NONE, "0000000000012000", NONE, NONE, "0000000000012000"), CALLER_STAYS, 0},
        // what nobody dies of
        {STATUS(NONE, CHLD, NONE, NONE, NONE), CALLER_STAYS, 0},
        {STATUS(NONE, "0000000008ff0000", NONE, NONE, NONE), CALLER_KILLED, SIGXCPU},
        {STATUS(NONE, "00000000087f0000", NONE, NONE, NONE), CALLER_STAYS, 0},
        // one of two kinds is fatal
        {STATUS(NONE, "0000000000006000", NONE, NONE, ALRM), CALLER_KILLED, SIGTERM},
        // its process exits, or another thread of it starts a program
        {STATUS(KILL, NONE, NONE, NONE, NONE), CALLER_LEAVES, 0},
        {STATUS(KILL, CHLD, NONE, NONE, CHLD), CALLER_LEAVES, 0},
        // nothing to go by
        {"", CALLER_STAYS, 0},
        {"Name:\tcat\nTgid:\t12\n", CALLER_STAYS, 0},
        {"Name:\tcat\nTgid:\tx\nSigPnd:\t" KILL "\nShdPnd:\t" KILL "\n", CALLER_STAYS, 0},
        {"Name:\tcat\nTgid:\t12\nSigPnd:\t" KILL, CALLER_LEAVES, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        pid_t group = 0;
        int number = 0;
        enum caller_end end = caller_judge(cases[i].status, &group, &number);
        if (end != cases[i].end || number != cases[i].signal)
            fail_msg("case %zu: %d, signal %d\n%s", i, end, number, cases[i].status);
        if (i < 10)
            assert_int_equal(group, 4711);
    }
}

// --- The watcher, over a socket pair in the kernel's place ---

struct rig {
    struct interrupts *all;
    int kernel, ours;
    pid_t dying, staying;

    pthread_mutex_t lock; // what follows is under it
    unsigned killed;
    uint32_t opcode;
    uint64_t ino;
    pid_t group;
    int signal;
};

static void on_killed(void *ctx, uint32_t opcode, uint64_t ino, pid_t group, int signal)
{
    struct rig *rig = ctx;
    auto_unlock pthread_mutex_t *held = scope_lock(&rig->lock);
    rig->killed++;
    rig->opcode = opcode;
    rig->ino = ino;
    rig->group = group;
    rig->signal = signal;
}

// A process that is stopped with SIGQUIT pending, which stays so until it is continued.
static pid_t stopped_process(bool ignores)
{
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGQUIT, ignores ? SIG_IGN : SIG_DFL);
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGQUIT);
        sigprocmask(ignores ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
        raise(SIGSTOP);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(kill(child, SIGQUIT), 0);
    return child;
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    *state = rig;
    pthread_mutex_init(&rig->lock, NULL);
    rig->dying = stopped_process(false);
    rig->staying = stopped_process(true);
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    rig->kernel = ends[0];
    rig->ours = ends[1];
    struct interrupts_conf conf = {.fd = ends[1], .slots = 4, .killed = on_killed, .ctx = rig};
    assert_int_equal(interrupts_new(&conf, &rig->all, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    interrupts_free(rig->all);
    const pid_t children[] = {rig->dying, rig->staying};
    for (size_t i = 0; i < 2; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    close(rig->kernel);
    close(rig->ours);
    pthread_mutex_destroy(&rig->lock);
    free(rig);
    return 0;
}

static struct fuse_in_header header_of(uint32_t opcode, uint64_t unique, uint64_t ino, pid_t tid)
{
    return (struct fuse_in_header){
        .len = sizeof(struct fuse_in_header),
        .opcode = opcode,
        .unique = unique,
        .nodeid = ino,
        .pid = (uint32_t)tid,
    };
}

static void enter(struct rig *rig, unsigned slot, struct fuse_in_header header)
{
    interrupts_enter(rig->all, slot, &header);
}

static void expect_answer(struct rig *rig, uint64_t unique, int error)
{
    struct fuse_out_header out;
    assert_int_equal(recv(rig->kernel, &out, sizeof(out), 0), sizeof(out));
    assert_int_equal(out.len, sizeof(out));
    assert_int_equal(out.unique, unique);
    assert_int_equal(out.error, error);
}

static void expect_silence(struct rig *rig)
{
    struct pollfd poller = {.fd = rig->kernel, .events = POLLIN};
    assert_int_equal(poll(&poller, 1, 0), 0);
}

static void test_the_caller_that_dies_is_answered(void **state)
{
    struct rig *rig = *state;
    // in the order in which they are looked at
    enter(rig, 0, header_of(FUSE_WRITE, 20, 7, rig->staying));
    enter(rig, 1, header_of(FUSE_RELEASE, 22, 7, rig->dying));
    enter(rig, 2, header_of(FUSE_WRITE, 24, 8, 0));
    enter(rig, 3, header_of(FUSE_WRITE, 26, 9, rig->dying));
    expect_answer(rig, 26, -EINTR);
    expect_silence(rig);
    pthread_mutex_lock(&rig->lock);
    assert_int_equal(rig->killed, 1);
    assert_int_equal(rig->opcode, FUSE_WRITE);
    assert_int_equal(rig->ino, 9);
    assert_int_equal(rig->group, rig->dying);
    assert_int_equal(rig->signal, SIGQUIT);
    pthread_mutex_unlock(&rig->lock);
    for (unsigned i = 0; i < 4; i++)
        assert_null(interrupts_leave(rig->all, i));
    // and again, on a slot that was used before
    enter(rig, 0, header_of(FUSE_READ, 28, 9, rig->dying));
    expect_answer(rig, 28, -EINTR);
    assert_null(interrupts_leave(rig->all, 0));
}

static void test_what_a_call_uses_is_kept_until_it_is_through(void **state)
{
    struct rig *rig = *state;
    struct fuse_in_header release = header_of(FUSE_RELEASE, 30, 9, 0),
                          other = header_of(FUSE_RELEASE, 32, 10, 0),
                          forget = header_of(FUSE_FORGET, 34, 11, 0),
                          lookup = header_of(FUSE_LOOKUP, 36, 9, 0);
    assert_false(interrupts_keep(rig->all, &release, sizeof(release)));
    enter(rig, 0, header_of(FUSE_WRITE, 26, 9, rig->dying));
    enter(rig, 1, header_of(FUSE_FLUSH, 28, 12, rig->dying));
    expect_answer(rig, 26, -EINTR);
    expect_answer(rig, 28, -EINTR);
    assert_true(interrupts_keep(rig->all, &release, sizeof(release)));
    expect_answer(rig, 30, 0); // nobody waits for it
    assert_false(interrupts_keep(rig->all, &other, sizeof(other)));
    assert_true(interrupts_keep(rig->all, &forget, sizeof(forget)));
    assert_false(interrupts_keep(rig->all, &lookup, sizeof(lookup)));
    expect_silence(rig);

    struct message *freed = interrupts_leave(rig->all, 0);
    assert_non_null(freed);
    assert_memory_equal(&freed->header, &release, sizeof(release));
    assert_int_equal(freed->len, sizeof(release));
    assert_null(freed->next);
    free(freed);
    freed = interrupts_leave(rig->all, 1);
    assert_non_null(freed);
    assert_int_equal(freed->header.unique, 34);
    assert_null(freed->next);
    free(freed);
    assert_false(interrupts_keep(rig->all, &forget, sizeof(forget)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_ends_a_caller),
        cmocka_unit_test_setup_teardown(test_the_caller_that_dies_is_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_a_call_uses_is_kept_until_it_is_through, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
