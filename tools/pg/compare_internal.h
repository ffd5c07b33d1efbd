// Inside the room: the scope of a comparison.
#pragma once

#include "tools/pg/compare.h"

#include <string.h>

// `kinds`: NULL at the end
static inline bool is_kind(const char *kind, const char *const *kinds)
{
    for (; *kinds; kinds++)
        if (strcmp(kind, *kinds) == 0)
            return true;
    return false;
}

static inline bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

// Was it left out of the restore on purpose?
bool compare_leaves_out(const char *kind, const char *name, const struct compare_options *);
// May a fact of this kind be missing, or be as in a new database, because the dump was told to leave it out?
bool compare_may_lack(const char *kind, const char *name, const struct compare_options *);

// Where the part after the next dot begins that stands outside of quotes, or the end.
const char *compare_after_dot(const char *name);
