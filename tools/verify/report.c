#include "tools/verify/report.h"

#include "backend/base/scope.h"
#include "tools/catalog/when.h"
#include "tools/cli.h"
#include "tools/notify/notify.h"
#include "tools/verify/mark.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define LINES_SHOWN 20 // of one backup; --json has all

void report_begin(struct report *r, const struct conf *conf, const char *verb, const char *program,
                  bool json)
{
    *r = (struct report){
        .conf = conf, .verb = verb, .program = program, .json = json, .first_row = true};
    if (json)
        putchar('[');
}

// --- Lines for people ---

static void print_line(FILE *out, const char *before, const char *text)
{
    fputs(before, out);
    cli_print_safe(out, text);
    fputc('\n', out);
}

static const char *path_of(const struct report_row *row)
{
    return row->backup ? backup_path(row->backup) : "(no backup)";
}

// "full: 3 files, 1.2 GiB read in 4.2 s"
static void facts_of(const struct report_row *row, char out[160])
{
    const struct verdict *v = row->verdict;
    char size[32], took[32], restored[32] = "";
    cli_size_text(v->bytes ? v->bytes : v->size, size);
    cli_took_text(row->duration_ms, took);
    if (row->restore_ms)
        cli_took_text(row->restore_ms, restored);
    snprintf(out, 160, "%s: %zu file%s, %s%s, %s%s%s", judge_level_word(row->level), v->files,
             v->files == 1 ? "" : "s", size, row->level == JUDGE_FULL ? " read" : "", took,
             *restored ? "; recovery time " : "", restored);
}

static void print_findings(FILE *out, const struct verdict *v)
{
    size_t shown = 0;
    for (int fails = 1; fails >= 0; fails--) // what is wrong before what is good to know
        for (size_t i = 0; i < v->count; i++) {
            const struct verdict_line *line = &v->lines[i];
            if ((line->outcome != LOOK_PASS) != fails || shown++ >= LINES_SHOWN)
                continue;
            print_line(out,
                       line->outcome == LOOK_FAIL     ? "  FAIL  "
                       : line->outcome == LOOK_CANNOT ? "  ?     "
                                                      : "  NOTE  ",
                       line->text);
        }
    if (shown > LINES_SHOWN)
        fprintf(out, "  and %zu more (--json shows them)\n", shown - LINES_SHOWN);
}

static bool is_bad(void *ctx, const struct backup *b)
{
    const struct report *r = ctx;
    for (size_t i = 0; i < r->bad_count; i++)
        if (strcmp(r->bad[i], backup_path(b)) == 0)
            return true;
    return false;
}

static void remember_bad(struct report *r, const struct backup *b)
{
    char **more = reallocarray(r->bad, r->bad_count + 1, sizeof(*more));
    if (!more)
        return; // the advice may name it; its VERIFIED file says more
    r->bad = more;
    char *path = strdup(backup_path(b));
    if (path)
        r->bad[r->bad_count++] = path;
}

static void print_row(FILE *out, struct report *r, const struct report_row *row)
{
    const struct verdict *v = row->verdict;
    char facts[160];
    facts_of(row, facts);
    fputs(v->outcome == LOOK_PASS ? "PASS  " : v->outcome == LOOK_FAIL ? "FAIL  " : "?     ", out);
    cli_print_safe(out, path_of(row));
    fprintf(out, "  %s\n", row->backup ? facts : "");
    print_findings(out, v);
    if (v->outcome == LOOK_FAIL && row->backup)
        mark_advise(out, r->conf, row->backup, is_bad, r);
}

// --- Rows for programs ---

static void member(const char *name, const char *value)
{
    printf("\"%s\": ", name);
    cli_print_json(stdout, value);
    fputs(", ", stdout);
}

static void print_json(struct report *r, const struct report_row *row)
{
    static const char *const words[] = {"pass", "fail", "unknown"};
    static const char *const levels[] = {"note", "fail", "unknown"};
    const struct verdict *v = row->verdict;
    const struct backup *b = row->backup;
    printf("%s\n  {", r->first_row ? "" : ",");
    r->first_row = false;
    if (row->name)
        member("name", row->name);
    member("host", b ? b->host : row->host);
    member("partition", b ? b->partition : row->partition);
    member("backup", b ? backup_path(b) : "");
    char stamp[20] = "";
    if (b)
        when_stamp(b->when, stamp);
    member("when", stamp);
    member("level", judge_level_word(row->level));
    member("result", words[v->outcome]);
    member("reason", v->reason);
    printf("\"files\": %zu, \"size\": %" PRIu64 ", \"stored\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"duration_ms\": %" PRIu64 ", \"restore_ms\": %" PRIu64 ", \"compare_ms\": %" PRIu64
           ", \"findings\": [",
           v->files, v->size, v->stored, v->bytes, row->duration_ms, row->restore_ms,
           row->compare_ms);
    for (size_t i = 0; i < v->count; i++) {
        printf("%s{\"level\": \"%s\", \"text\": ", i ? ", " : "", levels[v->lines[i].outcome]);
        cli_print_json(stdout, v->lines[i].text);
        putchar('}');
    }
    fputs("]}", stdout);
}

// --- Notices ---

static void end_group(struct report *r)
{
    if (!r->group.body)
        return;
    fclose(r->group.body);
    r->group.body = NULL;
    size_t total = r->group.passed + r->group.failed + r->group.unknown;
    struct notice notice = {.pass = r->group.failed == 0 && r->group.unknown == 0,
                            .verb = r->verb,
                            .what = r->group.what,
                            .body = r->group.text};
    char passed[700];
    snprintf(passed, sizeof(passed), "%zu backup%s good", total, total == 1 ? " is" : "s are");
    notice.summary = notice.pass && total > 1 ? passed : r->group.summary;
    struct err err;
    if (total > 0 && notify_send(r->conf, &notice, &err) != 0)
        cli_warn(r->program, err.text);
    free(r->group.text);
    memset(&r->group, 0, sizeof(r->group));
}

static void begin_group(struct report *r, const char *what)
{
    if (r->group.body && strcmp(r->group.what, what) == 0)
        return;
    end_group(r);
    snprintf(r->group.what, sizeof(r->group.what), "%s", what);
    r->group.body = open_memstream(&r->group.text, &r->group.len);
}

static void note_group(struct report *r, const struct report_row *row)
{
    const struct verdict *v = row->verdict;
    bool worst = v->outcome == LOOK_FAIL ? r->group.failed == 0
                                         : r->group.failed + r->group.unknown == 0;
    if (worst && v->outcome != LOOK_PASS)
        snprintf(r->group.summary, sizeof(r->group.summary), "%s: %s", path_of(row), v->reason);
    else if (worst) {
        char facts[160];
        facts_of(row, facts);
        snprintf(r->group.summary, sizeof(r->group.summary), "%s: %s", path_of(row), facts);
    }
    r->group.passed += v->outcome == LOOK_PASS;
    r->group.failed += v->outcome == LOOK_FAIL;
    r->group.unknown += v->outcome == LOOK_CANNOT;
    if (r->group.body && (v->outcome != LOOK_PASS || r->group.passed <= LINES_SHOWN))
        print_row(r->group.body, r, row);
}

// --- All of it ---

void report_add(struct report *r, const char *what, const struct report_row *row)
{
    const struct verdict *v = row->verdict;
    r->passed += v->outcome == LOOK_PASS;
    r->failed += v->outcome == LOOK_FAIL;
    r->unknown += v->outcome == LOOK_CANNOT;
    if (v->outcome == LOOK_FAIL && row->backup)
        remember_bad(r, row->backup);
    if (r->json)
        print_json(r, row);
    else
        print_row(stdout, r, row);
    fflush(stdout);
    if (v->stopped) // by who sits there: nobody needs mail of it
        return;
    begin_group(r, what);
    note_group(r, row);
}

void report_trouble(struct report *r, const struct err *trouble)
{
    end_group(r);
    fflush(stdout);
    cli_fail(r->program, trouble, NULL);
    const struct notice notice = {
        .verb = r->verb, .what = "(all)", .summary = trouble->text, .body = NULL};
    struct err err;
    if (notify_send(r->conf, &notice, &err) != 0)
        cli_warn(r->program, err.text);
}

int report_end(struct report *r)
{
    end_group(r);
    if (r->json)
        puts(r->first_row ? "]" : "\n]");
    else if (r->passed + r->failed + r->unknown > 1)
        printf("%s: %zu good, %zu bad, %zu could not be looked at\n",
               r->failed    ? "FAIL"
               : r->unknown ? "?"
                            : "PASS",
               r->passed, r->failed, r->unknown);
    for (size_t i = 0; i < r->bad_count; i++)
        free(r->bad[i]);
    free(r->bad);
    return cli_finish(r->program, r->failed ? CLI_MISMATCH : r->unknown ? CLI_FAILED : CLI_DONE);
}
