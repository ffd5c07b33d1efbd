#include "backend/base/workers.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static atomic_uint ran;

static void count(void *ctx)
{
    atomic_uint *counter = ctx;
    (*counter)++;
}

static struct workers *start(unsigned threads, unsigned queue)
{
    struct workers *w = NULL;
    struct err err = {0};
    assert_int_equal(workers_new("test", threads, queue, &w, &err), 0);
    return w;
}

static void runs_every_job_before_free_returns(void **state)
{
    (void)state;
    ran = 0;
    struct workers *w = start(3, 2);
    for (unsigned i = 0; i < 1000; i++)
        workers_submit(w, count, &ran);
    workers_free(w);
    assert_int_equal(ran, 1000);
}

struct gate {
    sem_t entered, open;
};

static void pass_gate(void *ctx)
{
    struct gate *gate = ctx;
    sem_post(&gate->entered);
    sem_wait(&gate->open);
}

static void try_refuses_when_full(void **state)
{
    (void)state;
    ran = 0;
    struct gate gate;
    sem_init(&gate.entered, 0, 0);
    sem_init(&gate.open, 0, 0);
    struct workers *w = start(1, 2);
    workers_submit(w, pass_gate, &gate);
    sem_wait(&gate.entered); // the one thread is busy, the queue is empty
    assert_true(workers_try(w, count, &ran));
    assert_true(workers_try(w, count, &ran));
    assert_false(workers_try(w, count, &ran));
    assert_int_equal(ran, 0);
    sem_post(&gate.open);
    workers_free(w);
    assert_int_equal(ran, 2);
    sem_destroy(&gate.entered);
    sem_destroy(&gate.open);
}

static void jobs_run_at_the_same_time(void **state)
{
    (void)state;
    struct gate gate;
    sem_init(&gate.entered, 0, 0);
    sem_init(&gate.open, 0, 0);
    struct workers *w = start(3, 3);
    for (int i = 0; i < 3; i++)
        workers_submit(w, pass_gate, &gate);
    for (int i = 0; i < 3; i++)
        sem_wait(&gate.entered); // all three are inside: none has passed
    for (int i = 0; i < 3; i++)
        sem_post(&gate.open);
    workers_free(w);
    workers_free(NULL);
    sem_destroy(&gate.entered);
    sem_destroy(&gate.open);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_every_job_before_free_returns),
        cmocka_unit_test(try_refuses_when_full),
        cmocka_unit_test(jobs_run_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
