// A plain dump without what a restore leaves out: owners, privileges, tablespaces, what a scratch database must not have.
// pg_restore does that for archives; of a plain dump it must be taken out of the text. Pure; one thread.
//
// The text is what pg_dump writes: entries that begin with three comment lines, "--", "-- Name: ...; Type: TYPE; Schema: ...",
// "--" (pg_dump's _printTocEntry), an owner as a statement on one line behind its entry, COPY's data up to "\.". What is
// not known to be such is passed on: a line too many is an error of the server or a difference, never a silent loss.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct plain_options {
    bool no_owner, no_privileges, no_tablespaces;
    bool scratch; // no subscriptions, no event triggers
};

struct plain;

// `put` takes what is passed on, in order; what it returns other than 0 ends the call with it. NULL: no memory.
struct plain *plain_new(const struct plain_options *,
                        int (*put)(void *ctx, const char *data, size_t len, struct err *err),
                        void *ctx);
void plain_free(struct plain *);
int plain_pass(struct plain *, const char *data, size_t len, struct err *err);
int plain_end(struct plain *, struct err *err); // the last line may lack its end
