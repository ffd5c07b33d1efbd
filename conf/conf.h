// Configuration: one INI file (inih) -> one const struct. One table says section, key, type, default, range and help;
// unknown sections and keys and bad values are errors with file and line. A key whose feature is not there yet is known,
// and refused with "not yet".
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct conf_query { // check.NAME = SQL
    char *name, *sql;
};

// [database NAME]: what `bakfs backup NAME` dumps. Strings are owned, never NULL: "" where not set.
struct conf_database {
    char *name;
    char *conninfo, *service; // at most one of them; neither: libpq's own environment
    char *host;               // HOST in the tree; "": this host's name
    char *partition;          // PARTITION in the tree; "": NAME
    enum { CONF_FORMAT_CUSTOM, CONF_FORMAT_DIRECTORY, CONF_FORMAT_PLAIN } format;
    unsigned jobs;      // pg_dump -j (directory) and pg_restore -j
    char *bindir;       // of pg_dump and the others; "": that of the server's major version
    char *dump_options; // more words for pg_dump, split at blanks
    enum { CONF_COUNTS_EXACT, CONF_COUNTS_ESTIMATE, CONF_COUNTS_OFF } counts;
    uint64_t every_ms, drill_every_ms; // 0: never overdue
    char *migration_query;
    struct conf_query *checks;
    size_t check_count;
    char *dump_command, *restore_command; // another engine: run by /bin/sh
};

struct conf { // strings are owned, never NULL: "" where not set
    struct {
        char *url; // dir:/path or s3://bucket[/prefix]
        char *endpoint, *region, *profile, *ca_bundle;
        char *prune_profile; // the profile that `bakfs prune` uses; "": profile
        enum { CONF_ADDRESSING_AUTO, CONF_ADDRESSING_PATH, CONF_ADDRESSING_VIRTUAL } addressing;
        uint64_t deadline_ms;
        bool ignore_clock; // clock = ignore
    } store;
    struct {
        char *recipients; // FILE or age1...,age1...
        char *identity;   // FILE
    } seal;
    struct {
        char *point;
        uint64_t refresh_ms;
        uid_t uid;
        gid_t gid;
        mode_t umask;
        bool allow_other;
        char *state;
        uint64_t drain_deadline_ms;
        bool read_only; // -o ro only
    } mount;
    struct {
        int level;
        enum { CONF_SEEK_HEAD, CONF_SEEK_SPOOL, CONF_SEEK_NO } seek;
        uint64_t head_bytes;
        char *spool;
        uint64_t spool_max_bytes;
        unsigned spool_keep_free_percent;
        bool publish_failed;
    } write;
    struct {
        uint64_t memory_bytes;
        unsigned uploads, downloads, workers; // workers 0 in the file: the number of processors
    } limits;
    struct {
        bool on;
        uint64_t grace_ms;
    } protect;
    struct {
        char *
            smtp; // smtp://host[:port] (STARTTLS where offered, demanded with a user), smtps://host[:port]
        char *from, *to; // `to`: addresses separated by commas
        char *user, *password_file;
        char *webhook;   // http(s):// that takes a POST of JSON
        char *command;   // run by /bin/sh, the notice on its standard input
        char *heartbeat; // http(s):// that is asked (GET) after each success
        enum { CONF_NOTIFY_ALWAYS, CONF_NOTIFY_FAILURE } on;
    } notify;
    struct {
        char *conninfo, *service;             // the server restored to; at most one of them
        char *drill_conninfo, *drill_service; // the server of drills and of verify --restore
    } restore;
    struct conf_database *databases; // in the order of the file
    size_t database_count;
};

#define CONF_DEFAULT_PATH "/etc/bakfs/bakfs.conf"

// The file that conf_load would read. Borrowed.
const char *conf_path(const char *path);
// `path` NULL: $BAKFS_CONF, else /etc/bakfs/bakfs.conf, which may be missing (all defaults).
int conf_load(const char *path, struct conf **out, struct err *err);
// One setting as in -o: "section.key=value". Same checks; the sentence names the option instead of a line.
int conf_set(struct conf *, const char *assignment, struct err *err);
// What belongs together and cannot be judged key by key.
int conf_check(const struct conf *, struct err *err);
void conf_free(struct conf *);
// The [database NAME], or NULL; `err` then says so and names the nearest.
const struct conf_database *conf_database_find(const struct conf *, const char *name,
                                               struct err *err);

struct conf_value {
    const char *section, *key, *value;
};
// Writes the commented sample: every key with its default as a comment, except `values`, which are set. For init, and
// without values it is conf/bakfs.conf.
int conf_write(FILE *out, const struct conf_value *values, size_t count, struct err *err);
