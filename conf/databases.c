// [database NAME]: as many as there are, each with fields of its own.
#include "conf/table.h"

#include "backend/base/nearest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static struct conf_database *find(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->database_count; i++)
        if (strcmp(conf->databases[i].name, name) == 0)
            return &conf->databases[i];
    return NULL;
}

static void database_done(struct conf_database *db)
{
    conf_fields_free(true, db);
    for (size_t i = 0; i < db->check_count; i++) {
        free(db->checks[i].name);
        free(db->checks[i].sql);
    }
    free(db->checks);
    free(db->name);
}

void conf_databases_free(struct conf *conf)
{
    for (size_t i = 0; i < conf->database_count; i++)
        database_done(&conf->databases[i]);
    free(conf->databases);
}

int conf_database_get(struct conf *conf, const char *name, size_t *out, struct err *err)
{
    struct conf_database *there = find(conf, name);
    if (there) {
        *out = (size_t)(there - conf->databases);
        return 0;
    }
    size_t count = conf->database_count;
    struct conf_database *grown = reallocarray(conf->databases, count + 1, sizeof(*grown));
    if (!grown)
        return err_errno(err, ENOMEM, "[database %s]", name);
    conf->databases = grown;
    struct conf_database made = {.name = strdup(name)};
    int rc = made.name ? conf_defaults(true, &made, err)
                       : err_errno(err, ENOMEM, "[database %s]", name);
    if (rc != 0) {
        database_done(&made);
        return rc;
    }
    grown[count] = made;
    conf->database_count = count + 1;
    *out = count;
    return 0;
}

int conf_check_add(struct conf_database *db, const char *key, const char *value, struct err *err)
{
    const char *name = strchr(key, '.') + 1; // "check.NAME", as the table has found it
    char section[CONF_NAME_MAX_BYTES + sizeof(CONF_DATABASE_PREFIX)];
    snprintf(section, sizeof(section), CONF_DATABASE_PREFIX "%s", db->name);
    for (size_t i = 0; i < db->check_count; i++)
        if (strcmp(db->checks[i].name, name) == 0)
            return err_set(err, EINVAL, "[%s] %s: set twice; remove one of the lines", section,
                           key);
    if (!*value)
        return err_set(err, EINVAL, "[%s] %s: there is no SQL behind it", section, key);
    const struct conf_key line = {
        .section = section, .key = key, .type = CONF_CHECKS, .fallback = ""};
    struct conf_query made = {.name = strdup(name)};
    int rc = made.name ? conf_text_set(&line, value, &made.sql, err)
                       : err_errno(err, ENOMEM, "[%s] %s", section, key);
    struct conf_query *grown =
        rc == 0 ? reallocarray(db->checks, db->check_count + 1, sizeof(*grown)) : NULL;
    if (rc == 0 && !grown)
        rc = err_errno(err, ENOMEM, "[%s] %s", section, key);
    if (rc != 0) {
        free(made.name);
        free(made.sql);
        return rc;
    }
    db->checks = grown;
    db->checks[db->check_count++] = made;
    return 0;
}

const struct conf_database *conf_database_find(const struct conf *conf, const char *name,
                                               struct err *err)
{
    const struct conf_database *there = find(conf, name);
    if (there)
        return there;
    const char *nearest = NULL;
    unsigned best = 4; // further away is no help
    for (size_t i = 0; i < conf->database_count; i++) {
        unsigned d = word_distance(conf->databases[i].name, name);
        if (d < best) {
            best = d;
            nearest = conf->databases[i].name;
        }
    }
    if (nearest)
        err_set(err, ENOENT,
                "the configuration has no [database %.80s]; did you mean [database %s]?", name,
                nearest);
    else if (conf->database_count == 0)
        err_set(err, ENOENT,
                "the configuration has no [database %.80s], nor any other; add it as the sample "
                "bakfs.conf shows",
                name);
    else
        err_set(err, ENOENT, "the configuration has no [database %.80s]; it has [database %s]%s",
                name, conf->databases[0].name, conf->database_count > 1 ? " and others" : "");
    return NULL;
}

// --- What belongs together ---

// password=..., sslpassword = ..., and postgresql://user:password@host
static bool holds_password(const char *conninfo)
{
    for (const char *p = conninfo; (p = strcasestr(p, "password")) != NULL;) {
        p += strlen("password");
        if (p[strspn(p, " ")] == '=')
            return true;
    }
    const char *user = strncmp(conninfo, "postgresql://", 13) == 0 ? conninfo + 13
                       : strncmp(conninfo, "postgres://", 11) == 0 ? conninfo + 11
                                                                   : NULL;
    size_t len = user ? strcspn(user, "/?") : 0;
    const char *at = user ? memchr(user, '@', len) : NULL;
    return at && memchr(user, ':', (size_t)(at - user));
}

static int judge_server(const char *section, const char *prefix, const char *conninfo,
                        const char *service, bool private_file, struct err *err)
{
    if (*conninfo && *service)
        return err_set(err, EINVAL, "[%s]: %sconninfo and %sservice are both set; remove one",
                       section, prefix, prefix);
    if (!private_file && holds_password(conninfo))
        return err_set(err, EACCES,
                       "[%s] %sconninfo: holds a password, and group or others may read this file; "
                       "put the password into ~/.pgpass, or chmod 600 the file",
                       section, prefix);
    return 0;
}

static int judge_notify(const struct conf *conf, struct err *err)
{
    if (*conf->notify.smtp && !*conf->notify.to)
        return err_set(err, EINVAL, "[notify] smtp: to whom? set to = you@example.com");
    if (*conf->notify.user && !*conf->notify.password_file)
        return err_set(err, EINVAL, "[notify] user: its password is missing; set password_file");
    return 0;
}

static const char *partition_of(const struct conf_database *db)
{
    return *db->partition ? db->partition : db->name;
}

// This host's, where none is set. "" is not known.
static void host_of(const struct conf_database *db, char out[256])
{
    snprintf(out, 256, "%s", db->host);
    if (!*out && gethostname(out, 256) != 0)
        *out = '\0';
    out[255] = '\0';
}

// The backups of two databases in one place cannot be told apart: the newest, that a restore takes, is of either. The same
// database may be dumped there in two ways.
static int judge_places(const struct conf *conf, const struct conf_database *db, struct err *err)
{
    char host[256], other[256];
    host_of(db, host);
    for (const struct conf_database *that = conf->databases; that < db; that++) {
        host_of(that, other);
        if (strcmp(partition_of(db), partition_of(that)) != 0 || strcmp(host, other) != 0 ||
            (strcmp(db->conninfo, that->conninfo) == 0 && strcmp(db->service, that->service) == 0 &&
             strcmp(db->dump_command, that->dump_command) == 0))
            continue;
        return err_set(err, EINVAL,
                       "[database %.80s] and [database %.80s] are different databases, and both "
                       "back up to host %.80s, partition %.80s: set another partition, or host",
                       that->name, db->name, host, partition_of(db));
    }
    return 0;
}

int conf_judge_sections(const struct conf *conf, bool private_file, struct err *err)
{
    int rc = judge_notify(conf, err);
    if (rc == 0)
        rc = judge_server("restore", "", conf->restore.conninfo, conf->restore.service,
                          private_file, err);
    if (rc == 0)
        rc = judge_server("restore", "drill_", conf->restore.drill_conninfo,
                          conf->restore.drill_service, private_file, err);
    for (size_t i = 0; rc == 0 && i < conf->database_count; i++) {
        const struct conf_database *db = &conf->databases[i];
        char section[CONF_NAME_MAX_BYTES + sizeof(CONF_DATABASE_PREFIX)];
        snprintf(section, sizeof(section), CONF_DATABASE_PREFIX "%s", db->name);
        rc = judge_server(section, "", db->conninfo, db->service, private_file, err);
        if (rc == 0)
            rc = judge_places(conf, db, err);
    }
    return rc;
}
