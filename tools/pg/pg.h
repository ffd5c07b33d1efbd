// A connection to PostgreSQL. The only room that includes libpq. One thread a connection; pg_cancel from any.
//
// Where a server is: a conninfo or service of the configuration, with libpq's own environment beneath it. Passwords stay
// in libpq, ~/.pgpass and the environment of children (pg_child_env), never in an argument, a log line or a sentence.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pg_server {        // borrowed strings; NULL or "" where not set
    const char *conninfo; // key=value or a URI
    const char *service;  // of pg_service.conf
    const char *database; // instead of what these name
};

struct pg;
struct pg_rows; // a result: text values

// Connects with search_path = pg_catalog, client_encoding UTF8 (bytes as they are where the database is SQL_ASCII),
// DateStyle ISO, IntervalStyle postgres, extra_float_digits 3, row_security off, no statement, lock, idle or transaction
// timeout, application_name "bakfs VERB". ECONNREFUSED: cannot be reached, or not let in; the sentence holds libpq's reason
// in one line.
int pg_open(const struct pg_server *, const char *application_name, struct pg **out,
            struct err *err);
void pg_close(struct pg *); // NULL is fine; an open transaction is rolled back by the server

int pg_exec(struct pg *, const char *sql, struct err *err); // no rows wanted
// $1... are text or NULL.
int pg_query(struct pg *, const char *sql, const char *const *params, size_t param_count,
             struct pg_rows **out, struct err *err);
size_t pg_row_count(const struct pg_rows *);
size_t pg_column_count(const struct pg_rows *);
const char *pg_value(const struct pg_rows *, size_t row,
                     size_t column); // "" for NULL; valid as long as the rows
bool pg_is_null(const struct pg_rows *, size_t row, size_t column);
void pg_rows_free(struct pg_rows *);

int pg_version(const struct pg *);          // 150019
const char *pg_database(const struct pg *); // connected to
const char *pg_user(const struct pg *);
const char *pg_host(const struct pg *);     // "" for a socket
const char *pg_address(const struct pg *);  // the same, or the socket's directory: for -h
const char *pg_port(const struct pg *);     // as it is reached, for -p
void pg_cancel(struct pg *);                // of the query that runs in another thread
bool pg_is_lost(const struct pg *);         // the server went away
const char *pg_sqlstate(const struct pg *); // of the last failure, "" else

char *pg_quote_identifier(struct pg *, const char *name); // malloc'ed, NULL: no memory
char *pg_quote_literal(struct pg *, const char *text);

// The server's tools: DIR/pg_dump of the same major version. `bindir` ("" : looked for below /usr/lib/postgresql/MAJOR/bin
// and in PATH; the version it tells must not be older than the server's). malloc'ed path. ENOENT says what to install.
int pg_tool(const char *bindir, const char *name, int server_version, char **out, struct err *err);

// What a child needs to reach the same server and database (`database` NULL: the server's own): "PGHOST=...",
// "PGPASSWORD=..." and so on, from PQconninfo's own table, the other PG* variables taken away. NULL-terminated, wiped
// and freed by pg_env_free. Nothing of it goes into argv.
int pg_child_env(const struct pg_server *, const char *database, const char *application_name,
                 char ***out, struct err *err);
void pg_env_free(char **env);
