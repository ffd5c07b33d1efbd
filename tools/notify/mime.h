// What a mail is made of: clean text, encoded words, quoted-printable. Pure.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

// A copy that is UTF-8 without control characters (they become '?'); newlines and tabs stay with `lines`, else they become
// blanks. malloc'ed; NULL: no memory.
char *mime_clean(const char *text, bool lines);
// "NAME: value", folded; where it is not plain ASCII in encoded words (RFC 2047). `value` is clean.
void mime_header(FILE *out, const char *name, const char *value);
// The headers of the body, an empty line and the body, whose lines end in CR LF. `body` is clean.
void mime_body(FILE *out, const char *body);
