#include "tools/pg/pg.h"

#include "backend/base/log.h"
#include "backend/base/scope.h"
#include "tools/pg/pg_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

struct pg {
    PGconn *conn;
    PGcancel *cancel;
    char sqlstate[6];
};

struct pg_rows {
    PGresult *result;
};

// libpq's texts have several lines and end in one; a sentence is one line.
void pg_one_line(const char *text, char *out, size_t room)
{
    size_t n = 0;
    bool blank = false, ended = false;
    for (; *text && n + 3 < room; text++) {
        if (isspace((unsigned char)*text)) {
            blank = n > 0;
            ended |= *text == '\n';
            continue;
        }
        if (blank && ended && isalnum((unsigned char)out[n - 1]))
            out[n++] = ';';
        if (blank)
            out[n++] = ' ';
        blank = ended = false;
        out[n++] = *text;
    }
    out[n] = '\0';
}

// libpq's own sentence about a conninfo that it cannot read may quote it, password and all: ours does not.
static int check_conninfo(const char *conninfo, bool *out_has_timeout, struct err *err)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &why);
    PQfreemem(why);
    if (!options)
        return err_set(err, EINVAL,
                       "the conninfo cannot be read: it should look like 'host=db1 dbname=orders "
                       "user=backup' or 'postgresql://backup@db1/orders'");
    for (const PQconninfoOption *o = options; o->keyword; o++)
        if (strcmp(o->keyword, "connect_timeout") == 0 || strcmp(o->keyword, "service") == 0)
            *out_has_timeout |= o->val != NULL;
    PQconninfoFree(options);
    return 0;
}

int pg_params(const struct pg_server *server, const char *application_name, struct pg_params *out,
              struct err *err)
{
    size_t n = 0;
    struct pg_params p = {0};
    bool has_timeout = getenv("PGCONNECT_TIMEOUT") || getenv("PGSERVICE") ||
                       (server->service && *server->service);
    bool has_conninfo = server->conninfo && *server->conninfo;
    if (has_conninfo) {
        int rc = check_conninfo(server->conninfo, &has_timeout, err);
        if (rc != 0)
            return rc;
    }
    const struct {
        bool wanted;
        const char *keyword, *value;
    } all[] = {
        // a server that is gone without a word is noticed in minutes, not hours; what comes later wins
        {true, "keepalives_idle", "60"},
        {true, "keepalives_interval", "15"},
        {true, "keepalives_count", "4"},
        {!has_timeout, "connect_timeout", "30"},
        {has_conninfo, "dbname", server->conninfo},
        {server->service && *server->service, "service", server->service},
        {server->database && *server->database, "dbname", server->database},
        {true, "client_encoding", "UTF8"},
        {application_name != NULL, "application_name", application_name},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!all[i].wanted)
            continue;
        p.keywords[n] = all[i].keyword;
        p.values[n++] = all[i].value;
    }
    // libpq expands the first "dbname" alone, and only one that looks like a conninfo; a database whose name looks like one
    // must not be the first
    p.expand = has_conninfo;
    *out = p;
    return 0;
}

static void notice(void *ctx, const char *message)
{
    (void)ctx;
    char line[ERR_TEXT_BYTES];
    pg_one_line(message, line, sizeof(line));
    log_debug("postgresql: %s", line);
}

static int connect_failed(PGconn *conn, struct err *err)
{
    char line[ERR_TEXT_BYTES];
    pg_one_line(PQerrorMessage(conn), line, sizeof(line));
    bool password = PQconnectionNeedsPassword(conn) || PQconnectionUsedPassword(conn);
    return err_set(err, ECONNREFUSED, "%.*s%s", ERR_TEXT_BYTES - 128,
                   *line ? line : "no connection to the server",
                   password ? " (passwords are taken from ~/.pgpass or the service file)" : "");
}

// Names are qualified, texts do not depend on the session, row security fails instead of hiding rows, nothing times out.
// Only what this version knows is set.
static const char settings[] =
    "SELECT pg_catalog.set_config(v.name, v.value, false) FROM (VALUES "
    "('search_path', 'pg_catalog'), ('datestyle', 'ISO'), ('intervalstyle', 'postgres'), "
    "('extra_float_digits', '3'), ('bytea_output', 'hex'), ('xmlbinary', 'base64'), "
    "('lc_monetary', 'C'), ('timezone', 'UTC'), "
    "('quote_all_identifiers', 'off'), ('standard_conforming_strings', 'on'), "
    "('row_security', 'off'), ('default_transaction_read_only', 'off'), "
    "('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0'), "
    "('idle_in_transaction_session_timeout', '0'), ('idle_session_timeout', '0')"
    ") v(name, value) "
    "WHERE pg_catalog.current_setting(v.name, true) IS NOT NULL";

static int settle(struct pg *pg, struct err *err)
{
    // bytes of no encoding are refused as UTF-8: they come as they are
    const char *encoding = PQparameterStatus(pg->conn, "server_encoding");
    if (encoding && strcmp(encoding, "SQL_ASCII") == 0) {
        int rc = pg_exec(pg, "SET client_encoding = 'SQL_ASCII'", err);
        if (rc != 0)
            return rc;
    }
    return pg_exec(pg, settings, err);
}

int pg_open(const struct pg_server *server, const char *application_name, struct pg **out,
            struct err *err)
{
    struct pg_params params = {0};
    int rc = pg_params(server, application_name, &params, err);
    if (rc != 0)
        return rc;
    struct pg *pg = calloc(1, sizeof(*pg));
    if (!pg)
        return err_set(err, ENOMEM, "no memory for a connection");
    pg->conn = PQconnectdbParams(params.keywords, params.values, params.expand);
    if (!pg->conn) {
        pg_close(pg);
        return err_set(err, ENOMEM, "no memory for a connection");
    }
    PQsetNoticeProcessor(pg->conn, notice, NULL);
    if (PQstatus(pg->conn) != CONNECTION_OK)
        rc = connect_failed(pg->conn, err);
    else if (!(pg->cancel = PQgetCancel(pg->conn)))
        rc = err_set(err, ENOMEM, "no memory for a connection");
    else
        rc = settle(pg, err);
    if (rc != 0) {
        pg_close(pg);
        return rc;
    }
    *out = pg;
    return 0;
}

void pg_close(struct pg *pg)
{
    if (!pg)
        return;
    int saved = errno;
    PQfreeCancel(pg->cancel);
    PQfinish(pg->conn);
    free(pg);
    errno = saved;
}

static int query_failed(struct pg *pg, const PGresult *result, struct err *err)
{
    const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    snprintf(pg->sqlstate, sizeof(pg->sqlstate), "%s", state ? state : "");
    const char *primary = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL) : NULL;
    char line[ERR_TEXT_BYTES], more[ERR_TEXT_BYTES] = "";
    pg_one_line(primary ? primary : PQerrorMessage(pg->conn), line, sizeof(line));
    // the detail of classes 22 and 23 shows rows
    if (detail && strncmp(pg->sqlstate, "22", 2) != 0 && strncmp(pg->sqlstate, "23", 2) != 0)
        pg_one_line(detail, more, sizeof(more));
    bool lost = PQstatus(pg->conn) == CONNECTION_BAD;
    return err_set(err, EIO, "%s%.*s%s%.*s%s", lost ? "the connection was lost: " : "",
                   ERR_TEXT_BYTES / 2, *line ? line : "no answer", *more ? " (" : "",
                   ERR_TEXT_BYTES / 3, more, *more ? ")" : "");
}

int pg_exec(struct pg *pg, const char *sql, struct err *err)
{
    PGresult *result = PQexec(pg->conn, sql);
    ExecStatusType status = PQresultStatus(result);
    int rc = 0;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
        rc = query_failed(pg, result, err);
    PQclear(result);
    return rc;
}

int pg_query(struct pg *pg, const char *sql, const char *const *params, size_t param_count,
             struct pg_rows **out, struct err *err)
{
    struct pg_rows *rows = calloc(1, sizeof(*rows));
    if (!rows)
        return err_set(err, ENOMEM, "no memory for an answer");
    // several commands in one text are refused by the extended protocol: a configured query is one query
    rows->result = PQexecParams(pg->conn, sql, (int)param_count, NULL, params, NULL, NULL, 0);
    ExecStatusType status = PQresultStatus(rows->result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        int rc = query_failed(pg, rows->result, err);
        pg_rows_free(rows);
        return rc;
    }
    *out = rows;
    return 0;
}

size_t pg_row_count(const struct pg_rows *rows)
{
    return (size_t)PQntuples(rows->result);
}

size_t pg_column_count(const struct pg_rows *rows)
{
    return (size_t)PQnfields(rows->result);
}

const char *pg_value(const struct pg_rows *rows, size_t row, size_t column)
{
    return PQgetvalue(rows->result, (int)row, (int)column);
}

bool pg_is_null(const struct pg_rows *rows, size_t row, size_t column)
{
    return PQgetisnull(rows->result, (int)row, (int)column) != 0;
}

void pg_rows_free(struct pg_rows *rows)
{
    if (!rows)
        return;
    PQclear(rows->result);
    free(rows);
}

int pg_version(const struct pg *pg)
{
    return PQserverVersion(pg->conn);
}

const char *pg_database(const struct pg *pg)
{
    return PQdb(pg->conn);
}

const char *pg_user(const struct pg *pg)
{
    return PQuser(pg->conn);
}

const char *pg_host(const struct pg *pg)
{
    const char *host = PQhost(pg->conn);
    return host && *host != '/' && *host != '@' ? host : "";
}

const char *pg_address(const struct pg *pg)
{
    const char *host = PQhost(pg->conn);
    return host ? host : "";
}

const char *pg_port(const struct pg *pg)
{
    return PQport(pg->conn);
}

void pg_cancel(struct pg *pg)
{
    char why[256];
    if (!PQcancel(pg->cancel, why, sizeof(why)))
        log_debug("postgresql: the query could not be cancelled: %s", why);
}

bool pg_is_lost(const struct pg *pg)
{
    return PQstatus(pg->conn) == CONNECTION_BAD;
}

bool pg_in_transaction(const struct pg *pg)
{
    return PQtransactionStatus(pg->conn) != PQTRANS_IDLE;
}

const char *pg_sqlstate(const struct pg *pg)
{
    return pg->sqlstate;
}

// libpq's memory is given back by its own function, ours by free.
static char *ours(char *quoted)
{
    char *copy = quoted ? strdup(quoted) : NULL;
    PQfreemem(quoted);
    return copy;
}

char *pg_quote_identifier(struct pg *pg, const char *name)
{
    return ours(PQescapeIdentifier(pg->conn, name, strlen(name)));
}

char *pg_quote_literal(struct pg *pg, const char *text)
{
    return ours(PQescapeLiteral(pg->conn, text, strlen(text)));
}
