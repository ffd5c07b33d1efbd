// What the names of a backup say. Pure, any thread.
//
// A backup of bakfs is a group of names in one PARTITION directory that begin with one STEM, HOST.TIMESTAMP.PARTITION:
// tools/catalog/backups.h. HOST is that of the name: a backup that was copied below another host still is what it was.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum name_kind {
    NAME_DUMP,     // STEM.dump
    NAME_DIR,      // STEM.dir, a directory
    NAME_SQL,      // STEM.sql
    NAME_GLOBALS,  // STEM.globals.sql
    NAME_SCHEMA,   // STEM.schema.sql
    NAME_META,     // STEM.META
    NAME_VERIFIED, // STEM.VERIFIED.TIMESTAMP.PASS or .FAIL
    NAME_BESIDE,   // STEM.anything else: it belongs to the group, nobody knows why
};

struct name {
    enum name_kind kind;
    size_t stem_len; // STEM is the first so many bytes
    time_t when;     // STEM's TIMESTAMP
    // of NAME_VERIFIED
    time_t verified_at;
    bool pass;
};

// `name`: one component directly below a directory PARTITION. False: no backup of ours has such a name there.
bool name_parse(const char *partition, const char *name, struct name *out);

// Beside what people copied in stand BASE.META and BASE.VERIFIED.TIMESTAMP.PASS (or .FAIL), BASE being the name of the file, or
// of the PARTITION directory. What was added to a name:
enum name_added { NAME_ADDED_NOTHING, NAME_ADDED_META, NAME_ADDED_VERIFIED };
struct name_base {
    enum name_added added;
    size_t base_len;    // BASE is the first so many bytes
    time_t verified_at; // of NAME_ADDED_VERIFIED
    bool pass;
};
void name_base(const char *name, struct name_base *out);

// "20261121T031500Z", exactly the `len` bytes; a time that a calendar has.
bool name_stamp(const char *text, size_t len, time_t *out);
// The first second of a DATE, "2026-11-21", in UTC.
bool name_date(const char *text, time_t *out);
