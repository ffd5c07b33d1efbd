// What the daemon itself tells people ([notify]): files that were not stored, and files that are stored but stop short.
// Adding never waits: a bounded queue, and one thread that sends. What comes within seconds of each other is one notice.
//
// Threads: any. Start it after the fork.
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"

enum notices_kind { NOTICES_NOT_STORED, NOTICES_STOPS_SHORT };

struct notices;

// `conf` is borrowed. *out is NULL where nobody is to be told: all others take that.
int notices_new(const struct conf *conf, struct notices **out, struct err *err);
// Sends what is left, which takes as long as mail servers take, and joins.
void notices_free(struct notices *);
void notices_add(struct notices *, enum notices_kind, const char *path, const char *reason);
