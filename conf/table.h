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
    CONF_LINE,     // char *: SQL, a command, words: anything on one line, '#' and ';' too
    CONF_CONNINFO, // char *: the same; the value is never shown
    CONF_NAME,     // char *: a HOST or PARTITION of letters, digits, '.', '-', '_'
    CONF_SMTP,     // char *: smtp://host[:port] or smtps://
    CONF_WEB, // char *: http:// or https:// with a path; never shown, it may be its own password
    CONF_ADDRESS,   // char *: one mail address
    CONF_ADDRESSES, // char *: some, with commas between
    CONF_CHECKS,    // struct conf_query *, and their number: check.NAME = SQL
    CONF_LATER,     // known, and refused: `later` says what this version does not do
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
    const char *example;  // a line for the sample, where key and default make none
    size_t offset; // in struct conf, for "database NAME" in struct conf_database; or CONF_NOWHERE
    enum conf_type type;
    bool option_only; // of the command line (conf_set), not of the file
};

extern const struct conf_key conf_keys[];
extern const size_t conf_key_count;

#define CONF_DATABASE_PREFIX "database "
#define CONF_DATABASE_SECTION CONF_DATABASE_PREFIX "NAME" // in the table
#define CONF_NAME_MAX_BYTES 90 // HOST and PARTITION stand in one file name, with two timestamps

bool conf_key_of_database(const struct conf_key *);
const char *conf_database_name(const char *section); // NULL: no such section
bool conf_name_is_good(const char *name);
// NULL when there is none; `err` then says so and names the nearest.
const struct conf_key *conf_key_find(const char *section, const char *key, struct err *err);
int conf_section_check(const char *section, struct err *err);
// Judges `value` and stores it. Sentences begin with "[section] key: ".
// `base` is what its offset is in.
int conf_key_set(const struct conf_key *, const char *value, void *base, struct err *err);
int conf_text_set(const struct conf_key *, const char *value, char **field, struct err *err);
bool conf_type_is_text(enum conf_type); // its field is a char *
int conf_defaults(bool of_database, void *base, struct err *err);
void conf_fields_free(bool of_database, void *base);

// --- Databases (databases.c) ---

// The place of the one of that name, made with its defaults where it is new.
int conf_database_get(struct conf *, const char *name, size_t *out, struct err *err);
int conf_check_add(struct conf_database *, const char *key, const char *value, struct err *err);
void conf_databases_free(struct conf *);
// What belongs together in one section; sentences begin with "[section]".
int conf_judge_sections(const struct conf *, bool private_file, struct err *err);
