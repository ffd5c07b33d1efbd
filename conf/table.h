// Inside conf: the one table of all keys, and the reading of single values. Pure, any thread.
#pragma once

#include "conf/conf.h"

#include <stddef.h>

enum conf_type {
    CONF_TEXT,       // char *: anything on one line
    CONF_PATH,       // char *: absolute
    CONF_URL,        // char *: dir:/path or s3://bucket[/prefix]
    CONF_ENDPOINT,   // char *: http://host[:port] or https://...
    CONF_RECIPIENTS, // char *: absolute path, or age1...,age1...
    CONF_DURATION,   // uint64_t, milliseconds
    CONF_SIZE,       // uint64_t, bytes
    CONF_PERCENT,    // unsigned
    CONF_COUNT,      // unsigned
    CONF_WORKERS,    // unsigned; 0 becomes the number of processors
    CONF_LEVEL,      // int
    CONF_BOOL,       // bool: yes, no, on, off, true, false
    CONF_CHOICE,     // an enum: the place in `choices`
    CONF_SWITCH,     // bool: the second of two `choices`
    CONF_UMASK,      // mode_t, octal
    CONF_UID,        // uid_t: name, number, or empty: who mounts
    CONF_GID,
    CONF_LATER, // known, and refused: `later` says what this version does not do
};

#define CONF_NOWHERE ((size_t)-1) // accepted values change nothing

struct conf_key {
    const char *section;  // "database NAME" stands for all of them
    const char *key;      // a last '*' stands for any rest ("check.*")
    const char *fallback; // the default, as text; NULL for CONF_LATER
    uint64_t min, max;    // of numbers, in the unit that is stored
    const char *choices;  // "a|b"
    const char *refused;  // choices that a later version takes, "c|d"
    const char *later;    // after "not yet: "
    const char *help;     // lines for the sample
    size_t offset;        // in struct conf, or CONF_NOWHERE
    enum conf_type type;
    bool option_only; // of the command line (conf_set), not of the file
};

extern const struct conf_key conf_keys[];
extern const size_t conf_key_count;

// NULL when there is none; `err` then says so and names the nearest.
const struct conf_key *conf_key_find(const char *section, const char *key, struct err *err);
int conf_section_check(const char *section, struct err *err);
// Judges `value` and stores it. Sentences begin with "[section] key: ".
int conf_key_set(const struct conf_key *, const char *value, struct conf *, struct err *err);
