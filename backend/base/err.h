// One error value: an errno and a sentence, on the caller's stack, no heap.
//
// Functions return 0 or -errno and take a `struct err *` as last argument (NULL is allowed: the sentence is
// dropped). The sentence is made once, where the facts are; callers prefix context and never replace it:
//     open 'db1/2026-11-22/orders.sql': get 'db1/...': HTTP 503 SlowDown, 5 tries
// Outputs change only on success. Codes keep one meaning: ENOENT absent, EACCES refused, EBADMSG failed
// authentication or checksum, EUCLEAN malformed, ETIMEDOUT deadline, EOPNOTSUPP not offered, ESTALE another
// object stands under that key now, EEXIST somebody else was first, EFBIG above the ceiling, EIO the rest.
#pragma once

#include <stddef.h>

#define ERR_TEXT_BYTES 768

struct err {
    int code; // a positive errno, 0 while nothing failed
    char text[ERR_TEXT_BYTES];
};

// Sets code and sentence; returns -code, so that `return err_set(err, EIO, ...)` reads well. `code` > 0.
int err_set(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The same with ": " and strerror(code) appended.
int err_errno(struct err *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Puts context before the sentence ("context: sentence"); returns -code of what was there, -EIO when err is NULL.
int err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Copies `from` (for failures latched by another thread); returns -from->code.
int err_copy(struct err *err, const struct err *from);
