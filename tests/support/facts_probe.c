// For tests of what is known of a database, without a verb:
//     facts_probe take CONNINFO [SNAPSHOT]        prints the facts: KIND, NAME, VALUE between tabs, \n \t \\ for these
//     facts_probe twice CONNINFO [SNAPSHOT]       the same; sequences are read again once a line comes on standard input
//     facts_probe stopped CONNINFO                the same; the counting is stopped when it asks
//     facts_probe guessed CONNINFO                the same, with estimates for counts
//     facts_probe asked CONNINFO [SQL]            the migration, and what SQL says, in a transaction that goes on
//     facts_probe compare FILE CONNINFO [-n] [TABLE...]
//                                                 holds a database against them: "FAIL ..." and "NOTE ..." lines, exit 3
//                                                 if any fails; -n: no owners, no grants
#include "backend/base/scope.h"
#include "tools/pg/compare.h"
#include "tools/pg/facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_escaped(const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", stdout);
        else if (*text == '\t')
            fputs("\\t", stdout);
        else if (*text == '\\')
            fputs("\\\\", stdout);
        else
            putchar(*text);
    }
}

static void print_facts(const struct facts *f)
{
    for (size_t i = 0; i < f->count; i++) {
        print_escaped(f->list[i].kind);
        putchar('\t');
        print_escaped(f->list[i].name);
        putchar('\t');
        print_escaped(f->list[i].value);
        putchar('\n');
    }
    fflush(stdout);
}

static void unescape(char *text)
{
    char *to = text;
    for (; *text && *text != '\n'; text++) {
        if (*text == '\\' && text[1]) {
            text++;
            *to++ = *text == 'n' ? '\n' : *text == 't' ? '\t' : *text;
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
}

static int read_facts(const char *path, struct facts *out, struct err *err)
{
    FILE *in = fopen(path, "re");
    if (!in)
        return err_errno(err, errno, "%s", path);
    auto_free char *line = NULL;
    size_t room = 0;
    int rc = 0;
    while (rc == 0 && getline(&line, &room, in) > 0) {
        char *name = strchr(line, '\t'), *value = name ? strchr(name + 1, '\t') : NULL;
        if (!value) {
            rc = err_set(err, EUCLEAN, "%s: no fact: %s", path, line);
            break;
        }
        *name++ = *value++ = '\0';
        unescape(line);
        unescape(name);
        unescape(value);
        rc = facts_add(out, line, name, value, err);
    }
    fclose(in);
    facts_sort(out);
    return rc;
}

enum { TWICE = 1, STOPPED = 2, GUESSED = 4 };

static bool always(void *ctx)
{
    (void)ctx;
    return true;
}

static int look(const struct pg_server *server, const char *snapshot, int how, int *out_version,
                struct facts *out, struct err *err)
{
    struct pg *pg = NULL;
    int rc = pg_open(server, "facts_probe", &pg, err);
    if (rc != 0)
        return rc;
    *out_version = pg_version(pg);
    rc = pg_exec(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    if (rc == 0)
        rc = facts_sequences(pg, out, err);
    if (rc == 0)
        rc = facts_take(pg, out, err);
    const struct facts_counting counting = {.server = *server,
                                            .application_name = "facts_probe",
                                            .snapshot = snapshot,
                                            .workers = 2,
                                            .stop = how & STOPPED ? always : NULL,
                                            .how = how & GUESSED ? FACTS_COUNTS_ESTIMATE
                                                                 : FACTS_COUNTS_EXACT};
    if (rc == 0)
        rc = facts_count(&counting, out, err);
    if (rc == 0 && how & TWICE) {
        puts("taken");
        fflush(stdout);
        char line[8];
        if (!fgets(line, sizeof(line), stdin))
            rc = err_set(err, EIO, "no line on standard input");
        if (rc == 0)
            rc = facts_sequences(pg, out, err);
    }
    pg_close(pg);
    return rc;
}

static int compare(const char *path, const struct pg_server *server, char **words, int *out_code,
                   struct err *err)
{
    struct facts then = {0}, now = {0};
    struct comparison c = {0};
    struct compare_options options = {0};
    if (*words && strcmp(*words, "-n") == 0) {
        options.no_owner = options.no_privileges = true;
        words++;
    }
    options.tables = *words ? (const char *const *)words : NULL;
    int rc = read_facts(path, &then, err);
    if (rc == 0)
        rc = look(server, NULL, 0, &options.version_now, &now, err);
    options.version_then = options.version_now;
    if (rc == 0)
        rc = compare_facts(&then, &now, &options, &c, err);
    for (size_t i = 0; i < c.count; i++) {
        fputs(c.list[i].level == DIFFERENCE_FAIL ? "FAIL " : "NOTE ", stdout);
        print_escaped(c.list[i].text);
        putchar('\n');
    }
    *out_code = c.failures > 0 ? 3 : 0;
    if (rc == 0)
        printf("%zu compared, %zu failures\n", c.compared, c.failures);
    comparison_done(&c);
    facts_done(&then);
    facts_done(&now);
    return rc;
}

// In one transaction: what fails there must leave it usable.
static int ask(const struct pg_server *server, const char *sql, struct facts *out, struct err *err)
{
    struct pg *pg = NULL;
    int rc = pg_open(server, "facts_probe", &pg, err);
    if (rc != 0)
        return rc;
    struct err why = {0};
    rc = pg_exec(pg, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    int asked = rc == 0 && sql ? facts_check(pg, "it", sql, out, &why) : 0;
    if (rc == 0)
        rc = facts_migration(pg, "", out, err);
    if (rc == 0 && asked != 0)
        rc = err_copy(err, &why);
    pg_close(pg);
    return rc;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    const char *how = argc >= 3 ? argv[1] : "";
    const struct pg_server server = {.conninfo = argc >= 3 ? argv[2] : NULL};
    struct facts f = {0};
    int rc = -EINVAL, code = 0, version = 0;
    if (strcmp(how, "take") == 0)
        rc = look(&server, argv[3], 0, &version, &f, &err);
    else if (strcmp(how, "twice") == 0)
        rc = look(&server, argv[3], TWICE, &version, &f, &err);
    else if (strcmp(how, "stopped") == 0)
        rc = look(&server, NULL, STOPPED, &version, &f, &err);
    else if (strcmp(how, "guessed") == 0)
        rc = look(&server, NULL, GUESSED, &version, &f, &err);
    else if (strcmp(how, "asked") == 0)
        rc = ask(&server, argv[3], &f, &err);
    else if (strcmp(how, "compare") == 0 && argc >= 4)
        rc = compare(argv[2], &(struct pg_server){.conninfo = argv[3]}, argv + 4, &code, &err);
    print_facts(&f);
    facts_done(&f);
    if (rc != 0)
        fprintf(stderr, "facts_probe: %s\n", err.text);
    return rc == 0 ? code : 1;
}
