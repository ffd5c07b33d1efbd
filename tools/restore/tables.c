// Some tables only. A table alone often cannot be made: it needs its types, functions and sequences. So the whole schema is
// made first, without rows; then come the rows of the tables that are wanted, and what belongs to tables (indexes,
// constraints, triggers); the other tables are dropped again; the foreign keys that still have both ends come last.
#include "backend/base/scope.h"
#include "tools/restore/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct relation {
    char *label; // "SCHEMA NAME " as pg_restore -l writes it
    size_t label_len;
    char *quoted; // "SCHEMA"."NAME"
    bool wanted;
};
struct relations {
    struct relation *list;
    size_t count;
};

static void relations_done(struct relations *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->list[i].label);
        free(r->list[i].quoted);
    }
    free(r->list);
}

// --- Which tables are meant ---

// `wanted` gets the oids, separated by commas.
static int resolve_one(struct pg *pg, const char *table, FILE *oids, struct err *err)
{
    struct pg_rows *rows = NULL;
    int rc = pg_query(
        pg,
        "SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c "
        "JOIN "
        "pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND n.nspname !~ "
        "'^pg_' "
        "AND n.nspname <> 'information_schema' AND $1::text IN (c.relname::text, "
        "quote_ident(c.relname), "
        "n.nspname || '.' || c.relname, quote_ident(n.nspname) || '.' || quote_ident(c.relname)) "
        "ORDER BY 2",
        &table, 1, &rows, err);
    if (rc != 0)
        return rc;
    if (pg_row_count(rows) == 0)
        rc = err_set(
            err, ENOENT,
            "table %s: the backup has no table of that name (with capitals it is written as it is "
            "stored: public.Orders)",
            table);
    else if (pg_row_count(rows) > 1)
        rc = err_set(err, EINVAL, "table %s: there are several: write %s or %s", table,
                     pg_value(rows, 0, 1), pg_value(rows, 1, 1));
    else
        fprintf(oids, "%s,", pg_value(rows, 0, 0));
    pg_rows_free(rows);
    return rc;
}

// "{1,2}" of the tables that are named.
static int resolve(struct pg *pg, const char *const *tables, char **out, struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    FILE *oids = open_memstream(&text, &len);
    if (!oids)
        return err_errno(err, ENOMEM, "restore");
    fputc('{', oids);
    int rc = 0;
    for (; rc == 0 && *tables; tables++)
        rc = resolve_one(pg, *tables, oids, err);
    if (fclose(oids) != 0 && rc == 0)
        rc = err_errno(err, ENOMEM, "restore");
    if (rc != 0) {
        free(text);
        return rc;
    }
    text[len - 1] = '}'; // the last comma
    *out = text;
    return 0;
}

// All tables and sequences, and which of them are wanted: those named, what inherits from them, their sequences. What they
// inherit from stays too, without rows.
static const char relations_sql[] =
    "WITH RECURSIVE below(oid) AS (SELECT unnest($1::oid[]) UNION SELECT i.inhrelid FROM "
    "pg_inherits i JOIN below b ON "
    "i.inhparent = b.oid), above(oid) AS (SELECT oid FROM below UNION SELECT i.inhparent FROM "
    "pg_inherits i JOIN "
    "above a ON i.inhrelid = a.oid), sequences(oid) AS (SELECT d.objid FROM pg_depend d JOIN below "
    "b ON d.refobjid = b.oid "
    "WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype "
    "IN ('a', 'i') UNION "
    "SELECT d.refobjid FROM pg_attrdef ad JOIN below b ON ad.adrelid = b.oid JOIN pg_depend d ON "
    "d.classid = "
    "'pg_attrdef'::regclass AND d.objid = ad.oid AND d.refclassid = 'pg_class'::regclass) "
    "SELECT translate(n.nspname || ' ' || c.relname, E'\\n\\r', '  ') || ' ', "
    "quote_ident(n.nspname) || '.' || "
    "quote_ident(c.relname), c.relkind, c.oid IN (SELECT oid FROM below UNION SELECT oid FROM "
    "sequences), "
    "c.relkind IN ('r', 'p') AND c.oid NOT IN (SELECT oid FROM above) AND NOT EXISTS (SELECT 1 "
    "FROM pg_depend e WHERE "
    "e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e') "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', "
    "'S') AND n.nspname !~ "
    "'^pg_' AND n.nspname <> 'information_schema' ORDER BY 1";
enum { AT_LABEL, AT_QUOTED, AT_KIND, AT_WANTED, AT_DROP };

static int relations_from(const struct pg_rows *rows, struct relations *out, struct err *err)
{
    out->list = calloc(pg_row_count(rows) + 1, sizeof(*out->list));
    if (!out->list)
        return err_errno(err, ENOMEM, "restore");
    for (size_t i = 0; i < pg_row_count(rows); i++) {
        struct relation *r = &out->list[out->count++];
        r->label = strdup(pg_value(rows, i, AT_LABEL));
        r->quoted = strdup(pg_value(rows, i, AT_QUOTED));
        if (!r->label || !r->quoted)
            return err_errno(err, ENOMEM, "restore");
        r->label_len = strlen(r->label);
        r->wanted = *pg_value(rows, i, AT_WANTED) == 't';
    }
    return 0;
}

// --- Which entries of the archive ---

static const struct relation *named_in(const struct relations *r, const char *text, size_t len)
{
    const struct relation *best = NULL; // names may hold blanks: the longest is it
    for (size_t i = 0; i < r->count; i++) {
        const struct relation *it = &r->list[i];
        if (it->label_len <= len && memcmp(it->label, text, it->label_len) == 0 &&
            (!best || it->label_len > best->label_len))
            best = it;
    }
    return best;
}

enum pass { PASS_ROWS, PASS_FOREIGN_KEYS };

// "3190; 2606 16400 FK CONSTRAINT public lines lines_fk owner"
static bool entry_wanted(const struct relations *r, const char *line, size_t len, enum pass pass)
{
    static const struct {
        const char *word;
        enum { NEVER, OF_WANTED, FOREIGN_KEY } when;
    } rules[] = {{"TABLE DATA ", OF_WANTED},
                 {"SEQUENCE SET ", OF_WANTED},
                 {"FK CONSTRAINT ", FOREIGN_KEY},
                 {"MATERIALIZED VIEW DATA ", NEVER},
                 {"BLOB", NEVER},
                 {"EVENT TRIGGER ", NEVER},
                 {"PUBLICATION", NEVER},
                 {"SUBSCRIPTION", NEVER},
                 {"COMMENT ", NEVER},
                 {"ACL ", NEVER},
                 {"SECURITY LABEL ", NEVER}};
    static const char *const after_rows[] = {
        "INDEX ",  "INDEX ATTACH ", "CONSTRAINT ",       "TRIGGER ",   "RULE ",
        "POLICY ", "ROW SECURITY ", "CHECK CONSTRAINT ", "STATISTICS "};
    const char *end = line + len, *p = memchr(line, ';', len);
    if (*line == ';' || !p)
        return false;
    for (int blanks = 0; p < end && blanks < 3; p++) // "; TABLEOID OID "
        blanks += *p == ' ';
    size_t rest = (size_t)(end - p);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        size_t word = strlen(rules[i].word);
        if (rest < word || memcmp(p, rules[i].word, word) != 0)
            continue;
        if (rules[i].when == NEVER || (rules[i].when == FOREIGN_KEY) != (pass == PASS_FOREIGN_KEYS))
            return false;
        const struct relation *of = named_in(r, p + word, rest - word);
        return of && of->wanted;
    }
    for (size_t i = 0; pass == PASS_ROWS && i < sizeof(after_rows) / sizeof(after_rows[0]); i++)
        if (rest >= strlen(after_rows[i]) && memcmp(p, after_rows[i], strlen(after_rows[i])) == 0)
            return true;
    return false;
}

static int load_pass(const struct restore_job *job, const struct source *source, const char *tool,
                     const char *entries, const struct relations *r, enum pass pass,
                     struct err *err)
{
    auto_free char *kept = NULL;
    size_t kept_len = 0;
    FILE *f = open_memstream(&kept, &kept_len);
    if (!f)
        return err_errno(err, ENOMEM, "restore");
    for (const char *line = entries; *line;) {
        size_t len = strcspn(line, "\n");
        if (entry_wanted(r, line, len, pass))
            fprintf(f, "%.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
    if (fclose(f) != 0)
        return err_errno(err, ENOMEM, "restore");
    if (kept_len == 0)
        return 0;
    auto_fd int list = load_list_file(kept, kept_len, err);
    return list < 0 ? list : load_archive(job, source, tool, NULL, list, err);
}

// A foreign key to a table that was dropped is not there: each by itself, and what fails is left out.
static int load_foreign_keys(const struct restore_job *job, const struct source *source,
                             const char *tool, const char *entries, const struct relations *r,
                             struct err *err)
{
    struct restore_job alone = *job; // workers of pg_restore do not say what failed
    alone.jobs = 1;
    for (const char *line = entries; *line;) {
        size_t len = strcspn(line, "\n");
        auto_free char *one = entry_wanted(r, line, len, PASS_FOREIGN_KEYS) ? strndup(line, len)
                                                                            : NULL;
        struct err why = {0};
        int rc = one ? load_pass(&alone, source, tool, one, r, PASS_FOREIGN_KEYS, &why) : 0;
        if (rc == -EINTR || (rc != 0 && !strstr(why.text, "does not exist")))
            return err_copy(err, &why);
        line += len + (line[len] == '\n');
    }
    return 0;
}

// --- All of it ---

static int drop_others(struct pg *pg, const struct pg_rows *rows, struct err *err)
{
    for (size_t i = 0; i < pg_row_count(rows); i++) {
        auto_free char *sql = NULL;
        if (*pg_value(rows, i, AT_DROP) != 't')
            continue;
        if (asprintf(&sql, "DROP TABLE IF EXISTS %s CASCADE", pg_value(rows, i, AT_QUOTED)) < 0) {
            sql = NULL;
            return err_errno(err, ENOMEM, "restore");
        }
        int rc = pg_exec(pg, sql, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int names_of(const struct pg_rows *rows, char ***out, struct err *err)
{
    char **names = calloc(pg_row_count(rows) + 1, sizeof(*names));
    size_t n = 0;
    for (size_t i = 0; names && i < pg_row_count(rows); i++) {
        if (*pg_value(rows, i, AT_WANTED) != 't' || *pg_value(rows, i, AT_KIND) == 'S')
            continue;
        names[n] = strdup(pg_value(rows, i, AT_QUOTED));
        if (!names[n++]) {
            tables_free(names);
            names = NULL;
        }
    }
    if (!names)
        return err_errno(err, ENOMEM, "restore");
    *out = names;
    return 0;
}

void tables_free(char **names)
{
    for (char **n = names; n && *n; n++)
        free(*n);
    free(names);
}

static int restore_into(const struct restore_job *job, const struct source *source,
                        const char *tool, struct pg *pg, char ***out_names, struct err *err)
{
    auto_free char *oids = NULL, *entries = NULL;
    struct pg_rows *rows = NULL;
    struct relations r = {0};
    int rc = resolve(pg, job->tables, &oids, err);
    if (rc == 0) {
        const char *param = oids;
        rc = pg_query(pg, relations_sql, &param, 1, &rows, err);
    }
    rc = rc ? rc : relations_from(rows, &r, err);
    rc = rc ? rc : load_list(source, tool, &entries, err);
    rc = rc ? rc : load_pass(job, source, tool, entries, &r, PASS_ROWS, err);
    rc = rc ? rc : drop_others(pg, rows, err);
    rc = rc ? rc : load_foreign_keys(job, source, tool, entries, &r, err);
    rc = rc ? rc : names_of(rows, out_names, err);
    relations_done(&r);
    pg_rows_free(rows);
    return rc;
}

int tables_restore(const struct restore_job *job, const struct source *source, const char *tool,
                   char ***out_names, struct err *err)
{
    static const char *const schema[] = {"--section=pre-data", NULL};
    int rc = load_archive(job, source, tool, schema, -1, err);
    if (rc != 0)
        return rc;
    struct pg_server there = job->server;
    there.database = job->database;
    struct pg *pg = NULL;
    rc = pg_open(&there, "bakfs restore", &pg, err);
    if (rc == 0)
        rc = restore_into(job, source, tool, pg, out_names, err);
    pg_close(pg);
    return rc;
}
