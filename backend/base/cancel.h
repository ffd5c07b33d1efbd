// Whether something may still be called off: the one question that a commit and whoever would stop it ask at the same
// time. One of the two wins, for good.
//
//     OPEN  -- cancel_ask -->   CANCELLED   cancel_pass is false from then on
//     OPEN  -- cancel_pass -->  PASSED      cancel_ask is false from then on
//
// Threads: any.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

enum cancel_state { CANCEL_OPEN, CANCEL_CANCELLED, CANCEL_PASSED };

struct cancel { // all zero is OPEN
    _Atomic int state;
};

// Calls it off; false: it passed already.
static inline bool cancel_ask(struct cancel *c)
{
    int was = CANCEL_OPEN;
    return atomic_compare_exchange_strong(&c->state, &was, CANCEL_CANCELLED) ||
           was == CANCEL_CANCELLED;
}

// The last moment at which it can be called off; false: it was.
static inline bool cancel_pass(struct cancel *c)
{
    int was = CANCEL_OPEN;
    return atomic_compare_exchange_strong(&c->state, &was, CANCEL_PASSED) || was == CANCEL_PASSED;
}

static inline bool cancel_is_asked(struct cancel *c)
{
    return c && c->state == CANCEL_CANCELLED;
}
