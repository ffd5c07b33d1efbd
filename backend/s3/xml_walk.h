// One pass of expat over a document, for xml.c: bounds are kept here, meaning is given there.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define XML_WALK_DEPTH 8
#define XML_WALK_NAME_BYTES 64
#define XML_WALK_TEXT_BYTES 8192 // a key of 1,024 bytes, each escaped, is 3,072

// `opened` (may be NULL) and `closed` see the element's depth (the root is 1), its name, its parent's name ("" for the
// root) and, at its end, its own text.
struct xml_walk {
    void (*opened)(struct xml_walk *, const char *name);
    void (*closed)(struct xml_walk *, const char *name, const char *parent);
    void *out;
    bool encoded; // for the callbacks: <EncodingType>url</EncodingType> was seen
    // for the callbacks to read
    unsigned depth;
    char names[XML_WALK_DEPTH + 1][XML_WALK_NAME_BYTES];
    char text[XML_WALK_TEXT_BYTES];
    size_t text_len;
    // xml_walk.c's own
    void *parser;
    struct err err; // the first thing that was wrong
};

int xml_walk_run(struct xml_walk *, const char *text, size_t len, struct err *err);
// Ends the pass with an error; no callback comes after it.
void xml_walk_stop(struct xml_walk *, int code, const char *what);
