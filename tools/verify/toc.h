// The table of contents of pg_dump's custom and directory formats, by `pg_restore -l`: can it be read, are the files there
// that it names, and does a custom archive that holds data end as one. One thread.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define TOC_TEXT_BYTES 512

enum toc_outcome {
    TOC_GOOD,
    TOC_BAD,     // `text` says what is wrong with the archive
    TOC_UNKNOWN, // it could not be looked at; `text` says why
};

// `path`: a custom archive, or a directory with toc.dat. `bindir` as [database] bindir, "" : looked for.
enum toc_outcome toc_look(const char *path, bool is_dir, const char *bindir,
                          char text[TOC_TEXT_BYTES]);
