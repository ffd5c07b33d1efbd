// One notice as the texts that the ways carry. Pure.
#pragma once

#include "backend/base/err.h"
#include "tools/notify/notify.h"

#include <stdint.h>
#include <time.h>

struct message { // clean UTF-8, owned
    bool pass;
    char *subject; // one line, PASS or FAIL first
    char *text;    // lines
    char *verb, *what, *summary, *body, *host;
    time_t when;
};

struct message_context {
    const char *host; // this one
    time_t now;
    bool again;      // it passes, and did not before
    uint64_t count;  // of failures of this subject so far, with this one
    time_t since;    // the first of them
    bool told_daily; // say that the same failure is told once a day
};

int message_make(const struct notice *, const struct message_context *, struct message *out,
                 struct err *err);
void message_done(struct message *);
// The mail: RFC 5322, lines end in CR LF. `from` "": bakfs@host. `id` makes the Message-ID.
int message_mail(const struct message *, const char *from, const char *to, const char *id,
                 char **out, size_t *out_len, struct err *err);
// The sender: `from`, or made of the host's name. malloc'ed; NULL: no memory.
char *message_sender(const struct message *, const char *from);
