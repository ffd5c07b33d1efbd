// What would fail later, looked at before the first byte.
#include "backend/base/scope.h"
#include "tools/cli.h"
#include "tools/restore/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#define NAME_MAX_BYTES 63

struct check {
    const struct restore_job *job;
    const struct source *source;
    struct pg *pg;
    struct comparison *out;
    bool superuser;
};

// One value, or "" without a row.
static int ask(struct pg *pg, const char *sql, const char *param, char *out, size_t room,
               struct err *err)
{
    struct pg_rows *rows = NULL;
    int rc = pg_query(pg, sql, &param, param ? 1 : 0, &rows, err);
    if (rc == 0)
        snprintf(out, room, "%s", pg_row_count(rows) > 0 ? pg_value(rows, 0, 0) : "");
    pg_rows_free(rows);
    return rc;
}

static int check_name(struct check *c, struct err *err)
{
    const char *name = c->job->database;
    if (strlen(name) > NAME_MAX_BYTES)
        return finding(
            c->out, DIFFERENCE_FAIL, err,
            "name %s: %zu bytes long, and PostgreSQL keeps %d: choose a shorter one with --into",
            name, strlen(name), NAME_MAX_BYTES);
    bool taken = false;
    int rc = database_exists(c->pg, name, &taken, err);
    if (rc == 0 && taken)
        rc = finding(c->out, DIFFERENCE_FAIL, err,
                     "database %s: is there already, and nothing is restored over it", name);
    return rc;
}

static int check_rights(struct check *c, struct err *err)
{
    char rights[8] = "";
    int rc = ask(
        c->pg,
        "SELECT CASE WHEN rolsuper THEN 's' WHEN rolcreatedb THEN 'c' ELSE '' END FROM pg_roles "
        "WHERE rolname = current_user",
        NULL, rights, sizeof(rights), err);
    if (rc != 0)
        return rc;
    c->superuser = rights[0] == 's';
    if (!*rights)
        return finding(
            c->out, DIFFERENCE_FAIL, err,
            "role %s: may not create databases; as a superuser type: ALTER ROLE \"%s\" CREATEDB",
            pg_user(c->pg), pg_user(c->pg));
    if (c->superuser && c->job->scratch)
        return finding(c->out, DIFFERENCE_NOTE, err,
                       "role %s: a superuser; code in the dump (functions of indexes and checks) "
                       "runs with its "
                       "rights. An ordinary role with CREATEDB is better for drills",
                       pg_user(c->pg));
    return 0;
}

static int check_version(struct check *c, struct err *err)
{
    int then = c->job->meta ? c->job->meta->server_version / 10000 : 0;
    int now = pg_version(c->pg) / 10000;
    if (then > now)
        return finding(c->out, DIFFERENCE_FAIL, err,
                       "server: PostgreSQL %d, the backup is of %d: a dump goes into the same "
                       "major version or a "
                       "newer one",
                       now, then);
    return 0;
}

static int check_tool(struct check *c, struct err *err)
{
    struct err why = {0};
    char *tool = NULL;
    bool archive = source_is_archive(c->source);
    int rc = pg_tool(c->job->conf ? c->job->conf->bindir : "", archive ? "pg_restore" : "psql",
                     pg_version(c->pg), &tool, &why);
    free(tool);
    return rc == 0 ? 0 : finding(c->out, DIFFERENCE_FAIL, err, "%s", why.text);
}

// --- Roles: owners, grants, policies. A name is looked at once. ---

struct names {
    char **made; // owned
    size_t count;
};

static void names_done(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->made[i]);
    free(n->made);
}

static int names_add(struct names *n, const char *text, size_t len, struct err *err)
{
    for (size_t i = 0; i < n->count; i++)
        if (strlen(n->made[i]) == len && memcmp(n->made[i], text, len) == 0)
            return 0;
    char **more = reallocarray(n->made, n->count + 1, sizeof(*more));
    if (more)
        n->made = more;
    char *copy = more ? malloc(len + 1) : NULL;
    if (!copy)
        return err_errno(err, ENOMEM, "restore");
    memcpy(copy, text, len);
    copy[len] = '\0';
    n->made[n->count++] = copy;
    return 0;
}

// An identifier as quote_ident writes it, at *text; moves behind it.
static int names_add_quoted(struct names *n, const char **text, struct err *err)
{
    const char *p = *text;
    if (*p != '"') {
        size_t len = strcspn(p, ", ");
        *text = p + len;
        bool keyword = (len == 6 && strncmp(p, "PUBLIC", 6) == 0) || *p == '(';
        return keyword || len == 0 ? 0 : names_add(n, p, len, err);
    }
    auto_free char *name = malloc(strlen(p) + 1);
    if (!name)
        return err_errno(err, ENOMEM, "restore");
    size_t len = 0;
    for (p++; *p && !(p[0] == '"' && p[1] != '"'); p++) {
        name[len++] = *p;
        p += p[0] == '"';
    }
    *text = p + (*p == '"');
    return names_add(n, name, len, err);
}

static int names_of_policy(struct names *n, const char *value, struct err *err)
{
    const char *to = strstr(value, " to ");
    int rc = 0;
    for (const char *p = to ? to + 4 : NULL; rc == 0 && p && *p;) {
        rc = names_add_quoted(n, &p, err);
        if (strncmp(p, ", ", 2) != 0)
            break;
        p += 2;
    }
    return rc;
}

// "app has 3, \"Other\" has 1"
static int names_of_large_objects(struct names *n, const char *value, struct err *err)
{
    int rc = 0;
    for (const char *p = value; rc == 0 && p;) {
        rc = names_add_quoted(n, &p, err);
        p = strstr(p, ", ");
        p = p ? p + 2 : NULL;
    }
    return rc;
}

static int collect_roles(const struct restore_job *job, struct names *n, struct err *err)
{
    bool owners = !job->no_owner, grants = !job->no_privileges;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < job->meta->facts.count; i++) {
        const struct fact *f = &job->meta->facts.list[i];
        const char *to = NULL; // the last of them: the object's name may hold one
        const char *more = strcmp(f->kind, "grant") == 0 ? strstr(f->name, " to ") : NULL;
        for (; more; more = strstr(to, " to "))
            to = more + strlen(" to ");
        if (strcmp(f->kind, "owner") == 0 && strcmp(f->name, "large objects") == 0)
            rc = owners ? names_of_large_objects(n, f->value, err) : 0;
        else if (strcmp(f->kind, "owner") == 0 && owners && *f->value)
            rc = names_add(n, f->value, strlen(f->value), err);
        else if (to && grants)
            rc = names_add_quoted(n, &to, err);
        else if (strcmp(f->kind, "policy") == 0)
            rc = names_of_policy(n, f->value, err);
    }
    return rc;
}

static int lacks_role(struct check *c, const char *role, struct err *err)
{
    const char *globals = c->job->backup->globals;
    char type[2048];
    if (globals)
        snprintf(type, sizeof(type),
                 "type: psql -X -h '%.200s' -p %s -U '%.100s' -f '%.700s/%.700s' postgres",
                 pg_address(c->pg), pg_port(c->pg), pg_user(c->pg), c->job->point, globals);
    else
        snprintf(type, sizeof(type), "as a superuser type: CREATE ROLE \"%.100s\"", role);
    return finding(
        c->out, DIFFERENCE_FAIL, err,
        "role %s: owns or may use something in the backup, and this server does not have it; "
        "%s, or restore with --no-owner --no-privileges",
        role, type);
}

static int check_roles(struct check *c, struct err *err)
{
    const struct restore_job *job = c->job;
    struct names n = {0};
    int rc = collect_roles(job, &n, err);
    for (size_t i = 0; rc == 0 && i < n.count; i++) {
        char found[8] = "";
        rc = ask(c->pg, "SELECT 1 FROM pg_roles WHERE rolname = $1", n.made[i], found,
                 sizeof(found), err);
        if (rc != 0 || *found)
            continue;
        rc = lacks_role(c, n.made[i], err);
    }
    names_done(&n);
    return rc;
}

// --- Extensions and tablespaces ---

static int check_extension(struct check *c, const struct fact *f, struct err *err)
{
    char version[64] = "";
    int rc = ask(c->pg,
                 "SELECT default_version FROM pg_available_extensions WHERE quote_ident(name) = $1",
                 f->name, version, sizeof(version), err);
    if (rc != 0)
        return rc;
    const struct fact *then = meta_fact(c->job, "extension_version", f->name);
    if (!*version)
        return finding(c->out, DIFFERENCE_FAIL, err,
                       "extension %s%s%s: is in the backup, and this server does not have it; "
                       "install its package "
                       "(apt-cache search postgresql-%d)",
                       f->name, then ? " " : "", then ? then->value : "",
                       pg_version(c->pg) / 10000);
    if (then && strcmp(then->value, version) != 0)
        return finding(c->out, DIFFERENCE_NOTE, err, "extension %s: %s here, %s in the backup",
                       f->name, version, then->value);
    return 0;
}

static int check_tablespace(struct check *c, const char *quoted, struct names *seen,
                            struct err *err)
{
    size_t before = seen->count;
    int rc = names_add_quoted(seen, &quoted, err);
    if (rc != 0 || seen->count == before)
        return rc;
    const char *name = seen->made[before];
    char found[8] = "";
    rc = ask(c->pg, "SELECT 1 FROM pg_tablespace WHERE spcname = $1", name, found, sizeof(found),
             err);
    if (rc != 0 || *found)
        return rc;
    return finding(
        c->out, DIFFERENCE_FAIL, err,
        "tablespace %s: this server does not have it; type: CREATE TABLESPACE \"%s\" LOCATION "
        "'/DIRECTORY', or restore with --no-tablespaces",
        name, name);
}

static int check_facts(struct check *c, struct err *err)
{
    const struct restore_job *job = c->job;
    struct names spaces = {0};
    int rc = check_roles(c, err);
    for (size_t i = 0; rc == 0 && i < job->meta->facts.count; i++) {
        const struct fact *f = &job->meta->facts.list[i];
        if (strcmp(f->kind, "extension") == 0)
            rc = check_extension(c, f, err);
        else if (strcmp(f->kind, "tablespace") == 0 && !job->no_tablespaces && !job->scratch)
            rc = check_tablespace(c, f->value, &spaces, err);
    }
    names_done(&spaces);
    return rc;
}

// --- Room ---

static int check_room(struct check *c, struct err *err)
{
    char dir[4096] = "", need[32], have[32];
    struct statvfs fs;
    cli_size_text(c->source->bytes, need);
    // only here, and only where we may see it
    bool local = !*pg_host(c->pg);
    if (local)
        (void)!ask(c->pg, "SELECT setting FROM pg_settings WHERE name = 'data_directory'", NULL,
                   dir, sizeof(dir), NULL);
    if (!*dir || statvfs(dir, &fs) != 0)
        return finding(c->out, DIFFERENCE_NOTE, err,
                       "room: the dump is %s and a database of it needs more with its indexes; "
                       "what is free on "
                       "the server cannot be seen from here",
                       need);
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    cli_size_text(room, have);
    if (room < c->source->bytes)
        return finding(c->out, DIFFERENCE_FAIL, err,
                       "room: %s are free in %s, and the dump alone is %s", have, dir, need);
    if (room / 2 < c->source->bytes)
        return finding(c->out, DIFFERENCE_NOTE, err,
                       "room: %s are free in %s; the dump is %s and a database of it needs more "
                       "with its indexes",
                       have, dir, need);
    return 0;
}

// --- The tables that are wanted, as META names them ---

static int check_tables(struct check *c, struct err *err)
{
    const struct facts *facts = &c->job->meta->facts;
    int rc = 0;
    for (const char *const *t = c->job->tables; rc == 0 && t && *t; t++) {
        const char *const only[] = {*t, NULL};
        const struct compare_options one = {.tables = only};
        size_t tables = 0, meant = 0;
        for (size_t i = 0; i < facts->count; i++)
            if (strcmp(facts->list[i].kind, "table") == 0) {
                tables++;
                meant += compare_wants("table", facts->list[i].name, &one);
            }
        if (tables > 0 && meant == 0)
            rc = finding(c->out, DIFFERENCE_FAIL, err,
                         "table %s: the backup has no table of that name (with capitals it is "
                         "written as it is stored: public.Orders)",
                         *t);
    }
    return rc;
}

// --- All of it ---

static int check_all(struct check *c, struct err *err)
{
    int rc = check_rights(c, err);
    rc = rc ? rc : check_version(c, err);
    rc = rc ? rc : check_tool(c, err);
    rc = rc ? rc : check_name(c, err);
    if (rc == 0 && c->job->meta)
        rc = check_facts(c, err);
    if (rc == 0 && c->job->meta)
        rc = check_tables(c, err);
    return rc ? rc : check_room(c, err);
}

int restore_preflight(const struct restore_job *job, struct comparison *out, struct err *err)
{
    struct source source = {.path = NULL};
    int rc = source_find(job, &source, err);
    if (rc == 0 && job->tables && !source_is_archive(&source))
        rc = err_set(
            err, EOPNOTSUPP,
            "%s: single tables are restored from dumps in the custom and the directory format only",
            source.path);
    if (rc != 0 || source.kind == SOURCE_COMMAND) {
        source_done(&source);
        return rc;
    }
    struct check c = {.job = job, .source = &source, .out = out};
    rc = database_admin(&job->server, job->verb, &c.pg, err);
    if (rc == 0)
        rc = check_all(&c, err);
    pg_close(c.pg);
    source_done(&source);
    return rc;
}
