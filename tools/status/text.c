// For a terminal, and for a mail: what needs somebody first, in plain words.
#include "tools/status/status.h"

#include "tools/catalog/when.h"
#include "tools/cli.h"

#include <inttypes.h>
#include <string.h>

void status_span_text(uint64_t s, char out[32])
{
    if (s == STATUS_DAY_SECONDS)
        snprintf(out, 32, "1 day");
    else if (s < 120)
        snprintf(out, 32, "%" PRIu64 " s", s);
    else if (s < UINT64_C(120) * 60)
        snprintf(out, 32, "%" PRIu64 " min", s / 60);
    else if (s < UINT64_C(48) * 3600)
        snprintf(out, 32, "%" PRIu64 " hours", s / 3600);
    else
        snprintf(out, 32, "%" PRIu64 " days", s / STATUS_DAY_SECONDS);
}

static void put_note(FILE *out, const struct status_note *n)
{
    static const char *const marks[] = {
        [STATUS_OK] = "", [STATUS_WARN] = "warning: ", [STATUS_BAD] = ""};
    fputs("    ", out);
    fputs(marks[n->level], out);
    cli_print_safe(out, n->text);
    if (n->type) {
        fputs("; type: ", out);
        cli_print_safe(out, n->type);
    }
    fputc('\n', out);
}

static void put_notes(FILE *out, const struct status_notes *notes, enum status_level at_least)
{
    for (size_t i = 0; i < notes->count; i++)
        if (notes->list[i].level >= at_least)
            put_note(out, &notes->list[i]);
}

void status_show_text_notes(FILE *out, const struct status *s, enum status_level at_least)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct status_partition *p = &s->partitions[i];
        if (p->level < at_least)
            continue;
        fprintf(out, "%s on %s\n", p->partition, p->host);
        put_notes(out, &p->notes, at_least);
    }
    bool any = false;
    for (size_t i = 0; i < s->notes.count; i++)
        any = any || s->notes.list[i].level >= at_least;
    if (any)
        fputs("the store and this host\n", out);
    put_notes(out, &s->notes, at_least);
}

// --- The table ---

enum { CELLS = 11, CELL_BYTES = 300 };
struct row {
    char cell[CELLS][CELL_BYTES];
};

static const char *const titles[CELLS] = {"",      "HOST",    "PARTITION", "NEWEST GOOD",
                                          "AGE",   "EVERY",   "SIZE",      "STORED",
                                          "TREND", "BACKUPS", "LAST DRILL"};
static const bool right[CELLS] = {
    [4] = true, [5] = true, [6] = true, [7] = true, [8] = true, [9] = true};

static void put_drill(const struct status_partition *p, time_t now, char out[CELL_BYTES])
{
    char age[32], took[32] = "";
    if (!p->drill.at) {
        snprintf(out, CELL_BYTES, "never");
        return;
    }
    when_age(p->drill.at, now, age);
    if (p->drill.restore_ms)
        cli_took_text(p->drill.restore_ms, took);
    const char *ago = strcmp(age, "now") == 0 ? "" : " ago";
    if (*took)
        snprintf(out, CELL_BYTES, "%s%s, took %s", age, ago, took);
    else
        snprintf(out, CELL_BYTES, "%s%s%s", age, ago, p->drill.readable ? "" : " (verified)");
}

static void fill(struct row *row, const struct status_partition *p, time_t now)
{
    static const char *const marks[] = {[STATUS_OK] = "", [STATUS_WARN] = "?", [STATUS_BAD] = "!"};
    int64_t percent = 0;
    struct tm tm;
    memset(row, 0, sizeof(*row));
    snprintf(row->cell[0], CELL_BYTES, "%s", marks[p->level]);
    snprintf(row->cell[1], CELL_BYTES, "%s", p->host);
    snprintf(row->cell[2], CELL_BYTES, "%s", p->partition);
    snprintf(row->cell[3], CELL_BYTES, "none");
    if (p->newest && gmtime_r(&p->newest->when, &tm)) {
        char text[32];
        strftime(row->cell[3], CELL_BYTES, "%Y-%m-%d %H:%M UTC", &tm);
        status_span_text((uint64_t)(p->age_s > 0 ? p->age_s : 0), row->cell[4]);
        cli_size_text(p->newest->size, text);
        snprintf(row->cell[6], CELL_BYTES, "%s", text);
        cli_size_text(p->newest->stored, text);
        snprintf(row->cell[7], CELL_BYTES, "%s", text);
    }
    snprintf(row->cell[5], CELL_BYTES, "-");
    if (p->every_s)
        status_span_text(p->every_s, row->cell[5]);
    snprintf(row->cell[8], CELL_BYTES, "-");
    if (status_trend(p, &percent))
        snprintf(row->cell[8], CELL_BYTES, percent ? "%+" PRId64 " %%" : "steady", percent);
    snprintf(row->cell[9], CELL_BYTES, "%zu", p->good);
    if (p->count > p->good)
        snprintf(row->cell[9], CELL_BYTES, "%zu of %zu", p->good, p->count);
    put_drill(p, now, row->cell[10]);
}

static void put_row(FILE *out, const char *const cells[CELLS], const size_t width[CELLS])
{
    for (size_t i = 0; i < CELLS; i++) {
        size_t len = strlen(cells[i]);
        int gap = (int)(width[i] > len ? width[i] - len : 0);
        if (right[i])
            fprintf(out, "%*s", gap, "");
        cli_print_safe(out, cells[i]);
        if (!right[i] && i + 1 < CELLS)
            fprintf(out, "%*s", gap, "");
        fputs(i + 1 < CELLS ? (i ? "  " : " ") : "\n", out);
    }
}

void status_show_text(FILE *out, const struct status *s)
{
    size_t width[CELLS];
    struct row row;
    for (size_t i = 0; i < CELLS; i++)
        width[i] = i ? strlen(titles[i]) : 1;
    for (size_t i = 0; i < s->count; i++) {
        fill(&row, &s->partitions[i], s->now);
        for (size_t k = 0; k < CELLS; k++)
            width[k] = strlen(row.cell[k]) > width[k] ? strlen(row.cell[k]) : width[k];
    }
    cli_print_safe(out, s->verdict);
    fputs(s->count ? "\n\n" : "\n", out);
    if (s->count)
        put_row(out, titles, width);
    for (size_t i = 0; i < s->count; i++) {
        const char *cells[CELLS];
        fill(&row, &s->partitions[i], s->now);
        for (size_t k = 0; k < CELLS; k++)
            cells[k] = row.cell[k];
        put_row(out, cells, width);
        put_notes(out, &s->partitions[i].notes, STATUS_WARN);
    }
    if (s->notes.count)
        fputs("\nthe store and this host\n", out);
    put_notes(out, &s->notes, STATUS_WARN);
}
