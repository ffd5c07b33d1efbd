// The arguments of the record, backend/FORMAT.md 2.1: every one of fixed width. Pure.
#pragma once

#include "backend/seal/seal.h"

#define RECORD_ARGS 5
// "SIZE MTIME COMMITTED FLAGS PATHTAG"
#define RECORD_CHARS (20 + 1 + 26 + 1 + 26 + 1 + 8 + 1 + 43)

struct text { // a piece of a header, not NUL-terminated
    const char *at;
    size_t len;
};

// -EUCLEAN, the sentence names the argument.
int record_parse(const struct text args[RECORD_ARGS], struct seal_record *out, struct err *err);

// Writes RECORD_CHARS characters, no NUL. Times outside of the years 1 to 9999 become the nearest that can be said.
void record_format(const struct seal_record *, char out[RECORD_CHARS]);
