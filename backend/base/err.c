#include "backend/base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 0))) static void set_text(struct err *err, int code,
                                                           const char *format, va_list args)
{
    char text[ERR_TEXT_BYTES]; // the arguments may point into err->text
    vsnprintf(text, sizeof(text), format, args);
    memcpy(err->text, text, sizeof(text));
    err->code = code;
}

int err_set(struct err *err, int code, const char *format, ...)
{
    assert(code > 0);
    if (err) {
        va_list args;
        va_start(args, format);
        set_text(err, code, format, args);
        va_end(args);
    }
    return -code;
}

int err_errno(struct err *err, int code, const char *format, ...)
{
    assert(code > 0);
    if (err) {
        va_list args;
        va_start(args, format);
        set_text(err, code, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        char reason[128];
        snprintf(err->text + used, sizeof(err->text) - used, ": %s",
                 strerror_r(code, reason, sizeof(reason)));
    }
    return -code;
}

int err_prefix(struct err *err, const char *format, ...)
{
    if (!err)
        return -5; // EIO: the caller threw the sentence away and with it the code
    char text[ERR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t used = strlen(text), rest = strlen(err->text);
    if (used + 2 < sizeof(text)) {
        memcpy(text + used, ": ", 2);
        used += 2;
        if (rest > sizeof(text) - 1 - used)
            rest = sizeof(text) - 1 - used; // a chain too long loses its end
        memcpy(text + used, err->text, rest);
        text[used + rest] = '\0';
    }
    memcpy(err->text, text, sizeof(text));
    return -err->code;
}

int err_copy(struct err *err, const struct err *from)
{
    assert(from->code > 0);
    if (err)
        *err = *from;
    return -from->code;
}
