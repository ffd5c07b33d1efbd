// The recovery sheet: what to type on a bare machine, for the wall or the safe.
#pragma once

#include <stdio.h>

struct sheet {
    const char *url, *endpoint, *region;
    const char *identity_path; // of this host
    const char *escrow;        // the recipient text kept elsewhere, or NULL
    const char *escrow_secret; // its identity, if it was made now: shown this once; else NULL
};

void sheet_print(FILE *out, const struct sheet *);
