// Percent-encoding as Signature V4 wants it, and its reverse. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Encodes a string once: letters, digits, "-_.~" stay, and '/' if `keep_slash`; all else is %XX, upper case. False, and
// nothing useful in `out`, when it does not fit into `room` bytes with its end.
bool uri_encode(const char *in, bool keep_slash, char *out, size_t room);

// Decodes in place what encoding-type=url made ('+' is a space). False for a malformed escape or an encoded NUL, which
// no C string can hold.
bool uri_decode(char *text);
