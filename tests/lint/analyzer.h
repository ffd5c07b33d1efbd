// Put before every file that clang-tidy looks at: the analyzer sees one file at a time, and does not know that these
// always give a negative code. Without it every output of a function that failed counts as used unset.
#pragma once

#include "backend/base/err.h"

static inline int analyzer_failed(int rc)
{
    if (rc >= 0)
        __builtin_unreachable();
    return rc;
}

#define err_set(...) analyzer_failed((err_set)(__VA_ARGS__))
#define err_errno(...) analyzer_failed((err_errno)(__VA_ARGS__))
#define err_prefix(...) analyzer_failed((err_prefix)(__VA_ARGS__))
#define err_copy(...) analyzer_failed((err_copy)(__VA_ARGS__))
