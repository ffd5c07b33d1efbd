// Identity files, as age-keygen writes them.
#pragma once

#include "backend/seal/seal.h"

#include <stdio.h>

// Makes `path` (mode 0600; EEXIST when there is one) and syncs it.
int keyfile_create(const char *path, const struct identity *, struct err *err);
int keyfile_write(FILE *out, const struct identity *, struct err *err);

// Makes a file that was not there, for the caller to fill; keyfile_close syncs file and directory, or removes it.
FILE *keyfile_open_new(const char *path, unsigned mode, struct err *err);
int keyfile_close_new(const char *path, FILE *file, struct err *err);
