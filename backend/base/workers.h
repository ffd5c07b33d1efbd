// A bounded pool of threads with one queue. Jobs are functions with a context; what they return to their owner is the
// owner's business (its lock, its condition). A job may submit another only through workers_try.
// Threads: any may submit. Start it after the fork of the daemon.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>

struct workers;

// `name` shows in thread names (at most 10 characters). `queue` jobs may wait, further workers_submit calls block.
int workers_new(const char *name, unsigned threads, unsigned queue, struct workers **out,
                struct err *err);
// Blocks while the queue is full.
void workers_submit(struct workers *, void (*run)(void *ctx), void *ctx);
// False, and nothing done, when the queue is full.
bool workers_try(struct workers *, void (*run)(void *ctx), void *ctx);
// Runs what is queued, joins the threads, frees.
void workers_free(struct workers *);
