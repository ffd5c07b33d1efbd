// Telling people: e-mail, webhook, command, heartbeat, as [notify] says. One thread at a time for each state directory
// (a lock file in it).
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"

#include <stdbool.h>

struct notice { // borrowed; no secret belongs in here
    bool pass;
    const char *verb; // "backup"
    const char *
        what; // "orders", a path, a host: what the notice is about; with `verb` it is one subject of notices
    const char *summary; // one line: what failed and why, or what is there now
    const char *body;    // lines: details, and what to type next; may be NULL
};

// The subject begins with PASS or FAIL: "FAIL bakfs backup orders on db1: pg_dump exited with 1". A success is told when
// [notify] on = always, or when the last notice of the same verb and what was a failure ("PASS again"). The same failure
// again is told once a day (remembered in [mount] state/notices; where that cannot be written it is told each time).
// The heartbeat is asked on every pass. Nothing configured: 0. What could not be told is -EIO and one sentence: the
// caller prints it as a warning, its own work stands.
int notify_send(const struct conf *, const struct notice *, struct err *err);
// The same to every way that is configured, at once and each time; `each` is told the outcome of one. For notify-test.
int notify_test(const struct conf *,
                void (*each)(void *ctx, const char *way, int rc, const struct err *), void *ctx,
                struct err *err);
