// Telling people: e-mail, webhook, command, heartbeat, as [notify] says. Each way takes at most half a minute. Any thread,
// any process: what was told is remembered in the state directory, under a lock file there.
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
    bool each; // this failure is told each time: what it says to type is of this time only
};

// Is there any way at all to tell somebody?
bool notify_is_configured(const struct conf *);

// The subject begins with PASS or FAIL: "FAIL bakfs backup orders on db1: pg_dump exited with 1". A success is told when
// [notify] on = always, or when the last notice of the same verb and what was a failure ("PASS again"). The same failure
// again (verb and what, but for a date in it; summary, but for its numbers) is told once a day (remembered in [mount] state/notices; where that cannot be written it is told each time).
// The heartbeat is asked on every pass. Nothing configured: 0. What could not be told is -EIO and one sentence: the
// caller prints it as a warning, its own work stands.
int notify_send(const struct conf *, const struct notice *, struct err *err);
// The same to every way that is configured, at once and each time; `each` is told the outcome of one. For notify-test.
int notify_test(const struct conf *,
                void (*each)(void *ctx, const char *way, int rc, const struct err *), void *ctx,
                struct err *err);
