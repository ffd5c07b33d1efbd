// The INI files beside a backup (META.md): text in values, and the end that proves that nothing was cut or edited. Pure but
// for the streams. One thread (inih's settings are the program's).
#pragma once

#include "backend/base/crypto.h"
#include "backend/base/err.h"

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define INI_FILE_LINE_BYTES (1 << 20) // with its end

// --- Writing: failures are kept, ini_file_end tells the first ---

struct ini_file_writer {
    FILE *out;
    struct sha256 *sum;
    char *line;
    size_t len, room;
    struct err error;
};
int ini_file_begin(struct ini_file_writer *, FILE *out, struct err *err);
void ini_file_section(struct ini_file_writer *, const char *name, const char *comment);
void ini_file_text(struct ini_file_writer *, const char *key, const char *value);
void ini_file_number(struct ini_file_writer *, const char *key, int64_t value);
void ini_file_time(struct ini_file_writer *, const char *key, struct timespec value);
void ini_file_fields(struct ini_file_writer *, const char *key, const char *const *fields,
                     size_t count);
// Writes the end and frees. Everything was taken by `out` when it returns 0.
int ini_file_end(struct ini_file_writer *, struct err *err);

// --- Reading ---

// A value is still escaped: see ini_file_field. Not 0 ends the reading; `err` gets file and line in front.
typedef int ini_file_handler(void *ctx, const char *section, const char *key, const char *value,
                             struct err *err);
// EUCLEAN: what is wrong, with its line; cut, edited, or no such file at all.
int ini_file_read(const char *path, ini_file_handler *handler, void *ctx, struct err *err);

// The field that begins at *rest, unescaped, malloc'ed; *rest goes behind it, or becomes NULL.
int ini_file_field(const char **rest, char **out, struct err *err);
int ini_file_parse_number(const char *value, int64_t *out, struct err *err);
int ini_file_parse_time(const char *value, struct timespec *out, struct err *err);
