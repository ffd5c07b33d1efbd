// A chunk's number is sealed once under one file key: within a sink, and by all sinks of a process.
#include "tests/unit/seal/seal_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t plain[4 * SEAL_CHUNK_BYTES];

static struct sink *new_sink(struct memory *memory, const struct seal_randoms *randoms)
{
    struct recipient recipient = fixed_recipient();
    struct seal_record record = fixed_record(sizeof(plain));
    struct sink *sink;
    if (seal_sink_new(memory_sink_new(memory, 1, 0), &recipient, 1, randoms, &sink, NULL) < 0)
        _exit(2);
    seal_sink_set_record(sink, &record, PATH);
    return sink;
}

// How a process ends that does this: 0, or the signal that killed it.
static int end_of(void (*run)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL); // not cmocka's
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        run();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void seal_one(const struct seal_randoms *randoms)
{
    struct memory memory = {0};
    struct sink *sink = new_sink(&memory, randoms);
    if (sink_write(sink, plain, sizeof(plain), NULL) < 0 || sink_commit(sink, NULL) < 0)
        _exit(2);
    sink_free(sink);
    memory_done(&memory);
}

static void two_sinks_with_one_key(void)
{
    struct seal_randoms randoms;
    seal_randoms_fill(&randoms);
    seal_one(&randoms);
    seal_one(&randoms);
}

// Another nonce makes another payload key; a file key is for one object all the same.
static void one_key_with_two_nonces(void)
{
    struct seal_randoms randoms, again;
    seal_randoms_fill(&randoms);
    seal_randoms_fill(&again);
    memcpy(again.file_key, randoms.file_key, sizeof(again.file_key));
    seal_one(&randoms);
    seal_one(&again);
}

static void one_key_in_two_fronts(void)
{
    struct seal_randoms randoms;
    seal_randoms_fill(&randoms);
    for (int i = 0; i < 2; i++) { // nothing behind them: the header comes before the first chunk
        struct memory memory = {0};
        struct sink *sink = new_sink(&memory, &randoms);
        if (sink_open_front(sink, 2 * SEAL_CHUNK_BYTES, NULL) < 0 ||
            sink_write_front(sink, plain, 2 * SEAL_CHUNK_BYTES, NULL) < 0)
            _exit(2);
        sink_free(sink);
        memory_done(&memory);
    }
}

static void many_keys(void)
{
    struct seal_randoms randoms;
    for (int i = 0; i < 3000; i++) {
        seal_randoms_fill(&randoms);
        struct memory memory = {0};
        struct sink *sink = new_sink(&memory, &randoms);
        if (sink_write(sink, plain, 1, NULL) < 0 || sink_commit(sink, NULL) < 0)
            _exit(2);
        sink_free(sink);
        memory_done(&memory);
    }
}

// Sinks that were given up before they sealed anything used nothing up.
static void a_key_that_sealed_nothing(void)
{
    struct seal_randoms randoms;
    seal_randoms_fill(&randoms);
    struct memory memory = {0};
    sink_free(new_sink(&memory, &randoms));
    memory_done(&memory);
    seal_one(&randoms);
}

static void across_sinks(void **state)
{
    (void)state;
#ifdef BAKFS_SEAL_LEDGER
    int expected = SIGABRT;
#else
    int expected = 0; // the ledger is for builds with debugging
#endif
    assert_int_equal(end_of(two_sinks_with_one_key), expected);
    assert_int_equal(end_of(one_key_with_two_nonces), expected);
    assert_int_equal(end_of(one_key_in_two_fronts), expected);
    assert_int_equal(end_of(many_keys), 0);
    assert_int_equal(end_of(a_key_that_sealed_nothing), 0);
}

// Past the wrappers of stream.h, whose own asserts would come first.
static void numbers_parted_again(void)
{
    struct seal_randoms randoms;
    seal_randoms_fill(&randoms);
    struct memory memory = {0};
    struct sink *sink = new_sink(&memory, &randoms);
    if (sink_open_front(sink, 2 * SEAL_CHUNK_BYTES, NULL) < 0 ||
        sink_write(sink, plain, 3 * SEAL_CHUNK_BYTES, NULL) < 0)
        _exit(2);
    sink->ops->open_front(sink, SEAL_CHUNK_BYTES, NULL); // chunk 2 would come again
}

static void a_front_that_runs_over(void)
{
    struct seal_randoms randoms;
    seal_randoms_fill(&randoms);
    struct memory memory = {0};
    struct sink *sink = new_sink(&memory, &randoms);
    if (sink_open_front(sink, SEAL_CHUNK_BYTES, NULL) < 0 ||
        sink_write(sink, plain, 3 * SEAL_CHUNK_BYTES, NULL) < 0 ||
        sink_write_front(sink, plain, SEAL_CHUNK_BYTES, NULL) < 0)
        _exit(2);
    sink->ops->write_front(sink, plain, sizeof(plain), NULL); // chunk 1 would come again
}

static void more_after_the_last(void)
{
    struct seal_randoms randoms;
    seal_randoms_fill(&randoms);
    struct memory memory = {0};
    struct sink *sink = new_sink(&memory, &randoms);
    if (sink_write(sink, plain, 100, NULL) < 0 || sink_commit(sink, NULL) < 0)
        _exit(2);
    sink->ops->commit(sink, NULL);
}

static void within_a_sink_always(void **state)
{
    (void)state;
    assert_int_equal(end_of(numbers_parted_again), SIGABRT);
    assert_int_equal(end_of(a_front_that_runs_over), SIGABRT);
    assert_int_equal(end_of(more_after_the_last), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(across_sinks),
        cmocka_unit_test(within_a_sink_always),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
