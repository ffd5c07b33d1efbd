// The environment of pg_dump and the others: what libpq made of conninfo, service, environment and files, as variables.
// PGSERVICE itself is not among them: what stands in a service file wins over variables, so it would name its own database
// again.
#include "backend/base/scope.h"
#include "backend/base/secret.h"
#include "tools/pg/pg.h"
#include "tools/pg/pg_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

static bool is_taken(char *const *env, size_t count, const char *entry)
{
    size_t len = strcspn(entry, "=");
    for (size_t i = 0; i < count; i++)
        if (strncmp(env[i], entry, len) == 0 && env[i][len] == '=')
            return true;
    return false;
}

static bool is_libpqs(const char *entry)
{
    return strncmp(entry, "PG", 2) == 0;
}

static bool is_set(const char *text)
{
    return text && *text;
}

// The value for a child, or NULL: none.
static const char *value_for(const PQconninfoOption *o, const char *database, const char *name)
{
    if (strcmp(o->keyword, "dbname") == 0 && is_set(database))
        return database;
    if (strcmp(o->keyword, "application_name") == 0)
        return name;
    // a dump is in the encoding of its database, not in that of our own connection
    if (strcmp(o->keyword, "client_encoding") == 0 || strcmp(o->keyword, "service") == 0)
        return NULL;
    return is_set(o->val) ? o->val : NULL;
}

static int fill(char **env, const PQconninfoOption *options, const char *database, const char *name,
                struct err *err)
{
    size_t n = 0;
    for (const PQconninfoOption *o = options; o->keyword; o++) {
        if (strcmp(o->keyword, "sslpassword") == 0 && is_set(o->val))
            return err_set(err, EOPNOTSUPP,
                           "an sslpassword cannot be handed to pg_dump: use a client key without a "
                           "passphrase");
        const char *value = o->envvar ? value_for(o, database, name) : NULL;
        if (!value)
            continue;
        if (asprintf(&env[n], "%s=%s", o->envvar, value) < 0) {
            env[n] = NULL;
            return err_set(err, ENOMEM, "no memory for an environment");
        }
        n++;
    }
    size_t set = n;
    for (char **e = environ; *e; e++) {
        if (!is_libpqs(*e) || is_taken(env, set, *e))
            continue;
        env[n] = strndup(*e, strcspn(*e, "="));
        if (!env[n++])
            return err_set(err, ENOMEM, "no memory for an environment");
    }
    return 0;
}

static size_t most_entries(const PQconninfoOption *options)
{
    size_t n = 1;
    for (const PQconninfoOption *o = options; o->keyword; o++)
        n++;
    for (char **e = environ; *e; e++)
        n += is_libpqs(*e);
    return n;
}

static int options_of(PGconn *conn, PQconninfoOption **out, struct err *err)
{
    char line[ERR_TEXT_BYTES];
    PQconninfoOption *options = conn ? PQconninfo(conn) : NULL;
    if (!options)
        return err_set(err, ENOMEM, "no memory for a connection");
    // a service that is not there: nothing was resolved. A server that does not answer is for the child to say.
    if (PQstatus(conn) == CONNECTION_BAD && !PQdb(conn)) {
        pg_one_line(PQerrorMessage(conn), line, sizeof(line));
        PQconninfoFree(options);
        return err_set(err, EINVAL, "%s", line);
    }
    *out = options;
    return 0;
}

int pg_child_env(const struct pg_server *server, const char *database, const char *application_name,
                 char ***out, struct err *err)
{
    struct pg_params params = {0};
    int rc = pg_params(server, application_name, &params, err);
    if (rc != 0)
        return rc;
    // libpq has no function that resolves a service without a connection; this one does not wait for it
    PGconn *conn = PQconnectStartParams(params.keywords, params.values, params.expand);
    PQconninfoOption *options = NULL;
    rc = options_of(conn, &options, err);
    PQfinish(conn);
    if (rc != 0)
        return rc;
    char **env = calloc(most_entries(options), sizeof(*env));
    if (!env)
        rc = err_set(err, ENOMEM, "no memory for an environment");
    else
        rc = fill(env, options, is_set(database) ? database : server->database, application_name,
                  err);
    PQconninfoFree(options);
    if (rc != 0) {
        pg_env_free(env);
        return rc;
    }
    *out = env;
    return 0;
}

void pg_env_free(char **env)
{
    if (!env)
        return;
    for (char **e = env; *e; e++) {
        secret_wipe(*e, strlen(*e));
        free(*e);
    }
    free(env);
}
