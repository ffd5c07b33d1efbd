// Owner, settings, grants and comment of a database: what pg_restore sets only with -C, which wants the old name.
#include "backend/base/scope.h"
#include "tools/restore/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

// Lists are kept as they are written: the server takes them apart by itself when it takes them from a session.
static bool is_list(const char *setting)
{
    static const char *const lists[] = {"local_preload_libraries",   "search_path",
                                        "session_preload_libraries", "shared_preload_libraries",
                                        "temp_tablespaces",          "unix_socket_directories"};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        if (strcasecmp(setting, lists[i]) == 0)
            return true;
    return false;
}

// `role` "": for all.
static int set_from_session(struct pg *pg, const char *alter, const char *setting,
                            const char *value, struct err *err)
{
    const char *params[] = {setting, value};
    struct pg_rows *rows = NULL;
    auto_free char *sql = NULL;
    if (asprintf(&sql, "%s SET %s FROM CURRENT", alter, setting) < 0) {
        sql = NULL;
        return err_errno(err, ENOMEM, "a statement");
    }
    int rc = pg_exec(pg, "BEGIN", err);
    if (rc != 0)
        return rc;
    rc = pg_query(pg, "SELECT set_config($1, $2, true)", params, 2, &rows, err);
    pg_rows_free(rows);
    rc = rc ? rc : pg_exec(pg, sql, err);
    int end = pg_exec(pg, rc == 0 ? "COMMIT" : "ROLLBACK", rc == 0 ? err : NULL);
    return rc ? rc : end;
}

static int set_literal(struct pg *pg, const char *alter, const char *setting, const char *value,
                       struct err *err)
{
    auto_free char *quoted = pg_quote_literal(pg, value);
    auto_free char *sql = NULL;
    // a setting's name has dots that are not quoted
    if (!quoted || asprintf(&sql, "%s SET %s TO %s", alter, setting, quoted) < 0) {
        sql = NULL;
        return err_errno(err, ENOMEM, "a statement");
    }
    return pg_exec(pg, sql, err);
}

static bool is_setting_name(const char *name)
{
    return *name &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$") ==
               strlen(name);
}

// `assignment`: NAME=VALUE as pg_db_role_setting has it.
static int set_one(struct pg *pg, const char *database, const char *role, const char *assignment,
                   struct comparison *notes, struct err *err)
{
    size_t len = strcspn(assignment, "=");
    auto_free char *setting = strndup(assignment, len);
    auto_free char *name = pg_quote_identifier(pg, database);
    auto_free char *who = pg_quote_identifier(pg, role);
    auto_free char *alter = NULL;
    if (!setting || !name || !who ||
        asprintf(&alter, "ALTER %s %s%s%s", *role ? "ROLE" : "DATABASE", *role ? who : name,
                 *role ? " IN DATABASE " : "", *role ? name : "") < 0) {
        alter = NULL;
        return err_errno(err, ENOMEM, "a statement");
    }
    if (assignment[len] != '=' || !is_setting_name(setting))
        return finding(notes, DIFFERENCE_NOTE, err, "setting %s: not set: it cannot be read",
                       setting);
    struct err why = {0};
    const char *value = assignment + len + 1;
    int rc = is_list(setting) ? set_from_session(pg, alter, setting, value, &why)
                              : set_literal(pg, alter, setting, value, &why);
    if (rc == 0)
        return 0;
    if (pg_is_lost(pg))
        return err_copy(err, &why);
    return finding(notes, DIFFERENCE_NOTE, err, "setting %s%s%s: not set: %s", setting,
                   *role ? " of role " : "", role, why.text);
}

// The statement's failure is a NOTE, unless the connection is gone.
static int try(struct pg *pg, struct comparison *notes, const char *what, struct err *err,
               const char *format, const char *name1, const char *name2)
{
    struct err why = {0};
    int rc = database_exec(pg, &why, format, name1, name2);
    if (rc == 0)
        return 0;
    if (pg_is_lost(pg))
        return err_copy(err, &why);
    return finding(notes, DIFFERENCE_NOTE, err, "%s: %s", what, why.text);
}

static int set_comment(struct pg *pg, const char *database, const char *comment,
                       struct comparison *notes, struct err *err)
{
    auto_free char *literal = pg_quote_literal(pg, comment);
    auto_free char *name = pg_quote_identifier(pg, database);
    auto_free char *sql = NULL;
    if (!literal || !name || asprintf(&sql, "COMMENT ON DATABASE %s IS %s", name, literal) < 0) {
        sql = NULL;
        return err_errno(err, ENOMEM, "a statement");
    }
    struct err why = {0};
    if (pg_exec(pg, sql, &why) == 0)
        return 0;
    return pg_is_lost(pg) ? err_copy(err, &why)
                          : finding(notes, DIFFERENCE_NOTE, err, "comment: %s", why.text);
}

// --- As those of another database of the same server ---

static int copy_settings(struct pg *pg, const char *old, const char *database,
                         struct comparison *notes, struct err *err)
{
    struct pg_rows *rows = NULL;
    int rc = database_exec(pg, err, "ALTER DATABASE %s RESET ALL", database, NULL);
    if (rc == 0)
        rc = pg_query(
            pg,
            "SELECT coalesce(r.rolname, ''), c FROM pg_db_role_setting s JOIN pg_database d ON "
            "d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(setconfig) c "
            "WHERE d.datname = $1 ORDER BY 1, 2",
            &old, 1, &rows, err);
    for (size_t i = 0; rc == 0 && i < pg_row_count(rows); i++)
        rc = set_one(pg, database, pg_value(rows, i, 0), pg_value(rows, i, 1), notes, err);
    pg_rows_free(rows);
    return rc;
}

static int copy_grants(struct pg *pg, const char *old, const char *database,
                       struct comparison *notes, struct err *err)
{
    struct pg_rows *rows = NULL;
    const char *params[] = {old, database};
    int rc = pg_query(
        pg,
        "SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC, %I', $2::text, "
        "pg_get_userbyid(datdba)) "
        "FROM pg_database WHERE datname = $1 AND datacl IS NOT NULL UNION ALL "
        "SELECT format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, $2::text, CASE "
        "a.grantee "
        "WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN "
        "a.is_grantable "
        "THEN ' WITH GRANT OPTION' ELSE '' END) FROM pg_database d, aclexplode(d.datacl) a "
        "WHERE datname = $1",
        params, 2, &rows, err);
    for (size_t i = 0; rc == 0 && i < pg_row_count(rows); i++) {
        struct err why = {0};
        if (pg_exec(pg, pg_value(rows, i, 0), &why) != 0)
            rc = pg_is_lost(pg)
                     ? err_copy(err, &why)
                     : finding(notes, DIFFERENCE_NOTE, err, "grants of the database: %s", why.text);
    }
    pg_rows_free(rows);
    return rc;
}

int properties_copy(struct pg *pg, const char *old, const char *database, struct comparison *notes,
                    struct err *err)
{
    struct pg_rows *rows = NULL;
    int rc = pg_query(
        pg,
        "SELECT pg_get_userbyid(datdba), datconnlimit, shobj_description(oid, 'pg_database') "
        "FROM pg_database WHERE datname = $1",
        &old, 1, &rows, err);
    if (rc == 0 && pg_row_count(rows) == 1) {
        const char *owner = pg_value(rows, 0, 0), *limit = pg_value(rows, 0, 1);
        rc = try(pg, notes, "owner of the database", err, "ALTER DATABASE %s OWNER TO %s", database,
                 owner);
        auto_free char *format = NULL;
        if (rc == 0 && asprintf(&format, "ALTER DATABASE %%s CONNECTION LIMIT %s", limit) < 0) {
            format = NULL;
            rc = err_errno(err, ENOMEM, "a statement");
        }
        rc = rc ? rc : try(pg, notes, "connection limit", err, format, database, NULL);
        if (rc == 0 && !pg_is_null(rows, 0, 2))
            rc = set_comment(pg, database, pg_value(rows, 0, 2), notes, err);
    }
    pg_rows_free(rows);
    rc = rc ? rc : copy_settings(pg, old, database, notes, err);
    return rc ? rc : copy_grants(pg, old, database, notes, err);
}

// --- As META says: tools/pg/facts has the words ---

static const char setting_word[] = "setting ", role_word[] = "of ", grant_word[] = "database to ";

// "setting NAME", "setting of ROLE NAME"; ROLE as quote_ident writes it.
static int meta_setting(struct pg *pg, const struct restore_job *job, const struct fact *f,
                        struct comparison *notes, struct err *err)
{
    const char *setting = strrchr(f->name, ' ') + 1;
    const char *role = f->name + strlen(setting_word);
    auto_free char *name = NULL, *assignment = NULL;
    bool of_role = role < setting && strncmp(role, role_word, strlen(role_word)) == 0;
    if (of_role && job->no_owner)
        return 0;
    if (strstr(f->value, "sha256:")) // shortened: not all of it is there
        return finding(notes, DIFFERENCE_NOTE, err, "%s: not set: META has its beginning only",
                       f->name);
    role += strlen(role_word);
    name = of_role ? strndup(role, (size_t)(setting - role) - 1) : strdup("");
    if (!name || asprintf(&assignment, "%s=%s", setting, f->value) < 0) {
        assignment = NULL;
        return err_errno(err, ENOMEM, "a setting");
    }
    if (*name == '"') { // back to what it is
        char *to = name;
        for (const char *p = name + 1; *p && !(p[0] == '"' && p[1] != '"'); p++) {
            *to++ = *p;
            p += p[0] == '"';
        }
        *to = '\0';
    }
    return set_one(pg, job->database, name, assignment, notes, err);
}

// "CONNECT, CREATE*" to PUBLIC, (owner) or a quoted name: all that it has.
static int meta_grant(struct pg *pg, const struct restore_job *job, const struct fact *f,
                      const char *owner, struct comparison *notes, struct err *err)
{
    const char *who = f->name + strlen(grant_word);
    auto_free char *quoted = strcmp(who, "(owner)") == 0 ? pg_quote_identifier(pg, owner)
                                                         : strdup(who);
    auto_free char *name = pg_quote_identifier(pg, job->database);
    auto_free char *sql = NULL;
    size_t len = 0;
    FILE *out = quoted && name ? open_memstream(&sql, &len) : NULL;
    if (!out)
        return err_errno(err, ENOMEM, "a statement");
    fprintf(out, "REVOKE ALL ON DATABASE %s FROM %s;", name, quoted);
    for (const char *p = f->value; strcmp(f->value, "none") != 0 && *p;) {
        size_t word = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (word == 0)
            break;
        bool grantable = p[word] == '*';
        fprintf(out, " GRANT %.*s ON DATABASE %s TO %s%s;", (int)word, p, name, quoted,
                grantable ? " WITH GRANT OPTION" : "");
        p += word + grantable;
        p += strspn(p, ", ");
    }
    if (fclose(out) != 0)
        return err_errno(err, ENOMEM, "a statement");
    struct err why = {0};
    if (pg_exec(pg, sql, &why) == 0)
        return 0;
    return pg_is_lost(pg)
               ? err_copy(err, &why)
               : finding(notes, DIFFERENCE_NOTE, err, "grants of the database: %s", why.text);
}

int properties_from_meta(struct pg *pg, const struct restore_job *job, struct comparison *notes,
                         struct err *err)
{
    const struct fact *owner = meta_fact(job, "owner", "database");
    const struct fact *comment = meta_fact(job, "comment", "database");
    const struct fact *limit = meta_fact(job, "database", "connection_limit");
    int rc = 0;
    if (owner && !job->no_owner)
        rc = try(pg, notes, "owner of the database", err, "ALTER DATABASE %s OWNER TO %s",
                 job->database, owner->value);
    if (rc == 0 && comment)
        rc = set_comment(pg, job->database, comment->value, notes, err);
    if (rc == 0 && limit && strspn(limit->value, "0123456789") == strlen(limit->value)) {
        char format[64];
        snprintf(format, sizeof(format), "ALTER DATABASE %%s CONNECTION LIMIT %.12s", limit->value);
        rc = try(pg, notes, "connection limit", err, format, job->database, NULL);
    }
    for (size_t i = 0; rc == 0 && i < job->meta->facts.count; i++) {
        const struct fact *f = &job->meta->facts.list[i];
        if (strcmp(f->kind, "database") == 0 &&
            strncmp(f->name, setting_word, strlen(setting_word)) == 0)
            rc = meta_setting(pg, job, f, notes, err);
        else if (strcmp(f->kind, "grant") == 0 && !job->no_privileges &&
                 strncmp(f->name, grant_word, strlen(grant_word)) == 0)
            rc = meta_grant(pg, job, f, job->no_owner || !owner ? pg_user(pg) : owner->value, notes,
                            err);
    }
    return rc;
}
