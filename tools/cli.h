// What every verb needs on the command line: exit codes, help, sentences for people. Results go to stdout, everything
// else to stderr. One thread.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum cli_exit { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_MISMATCH = 3 };

// "VERB: sentence", then a line "hint: ..." unless `hint` is NULL. Returns CLI_FAILED.
int cli_fail(const char *verb, const struct err *err, const char *hint);
// "VERB: sentence" and how to get help. Returns CLI_USAGE.
int cli_usage(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Prints the help. Returns CLI_DONE.
int cli_help(const char *help);
// "VERB: warning: sentence": its own work stands.
void cli_warn(const char *verb, const char *sentence);
// Flushes stdout: an answer that did not get out is a failure. Returns `code` or CLI_FAILED.
int cli_finish(const char *verb, int code);

// Text from the store or the command line on a terminal: control characters become '?'.
void cli_print_safe(FILE *out, const char *text);
// A JSON string with its quotes; bytes that are no UTF-8 become U+FFFD.
void cli_print_json(FILE *out, const char *text);

// Sizes and times as people read them, the same in each verb: "17 B", "1.5 MiB"; "4.2 s", "3 min 20 s".
void cli_size_text(uint64_t bytes, char out[32]);
void cli_took_text(uint64_t ms, char out[32]);

// The one of `words` (NULL at the end) that `given` was meant to be, or NULL.
const char *cli_nearest(const char *given, const char *const *words);
