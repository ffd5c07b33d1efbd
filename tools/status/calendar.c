// The heat map: a column for each week, a row for each weekday. What a square means is told by its shape as well as by its
// colour: filled, filled with a dot, crossed out, hollow.
#include "tools/status/html.h"

#include "tools/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CELL 13 // with its gap
#define SIDE 10
#define LEFT 26      // for the weekdays
#define TOP 18       // for the months
#define WEEKS_ROW 27 // of one drawing: on a telephone they stand below each other
#define NAMED_MAX 6

struct calendar {
    const struct status_partition *p;
    int64_t first, today, begun; // days since the epoch; `begun`: of its oldest backup
    size_t days;
    enum status_day *list;
};

static void date_text(int64_t day, char out[16])
{
    struct tm tm;
    *out = '\0';
    if (gmtime_r(&(time_t){day * STATUS_DAY_SECONDS}, &tm))
        strftime(out, 16, "%Y-%m-%d", &tm);
}

// Monday is 0; the epoch was a Thursday.
static int64_t weekday(int64_t day)
{
    return (day + 3) % 7;
}

static bool is_good(enum status_day day)
{
    return day == STATUS_DAY_GOOD || day == STATUS_DAY_VERIFIED;
}

// --- The sentence ---

// Days without a good backup, from the first backup on; the newest first. Today may still get its own.
static void put_gaps(FILE *out, const struct calendar *c)
{
    size_t named = 0, left = 0;
    for (size_t i = c->days; i-- > 0;) {
        int64_t last = c->first + (int64_t)i;
        if (is_good(c->list[i]) || last < c->begun || last == c->today)
            continue;
        size_t from = i;
        while (from > 0 && !is_good(c->list[from - 1]) && c->first + (int64_t)from - 1 >= c->begun)
            from--;
        char begin[16], end[16];
        date_text(c->first + (int64_t)from, begin);
        date_text(last, end);
        if (named >= NAMED_MAX)
            left += i - from + 1;
        else if (from == i)
            fprintf(out, "%s %s", named++ ? "," : " None on", end);
        else
            fprintf(out, "%s %s to %s", named++ ? "," : " None on", begin, end);
        i = from;
    }
    if (left)
        fprintf(out, ", and %zu more days", left);
    if (named)
        fputc('.', out);
}

static void put_sentence(FILE *out, const struct calendar *c)
{
    size_t good = 0, verified = 0, of = 0;
    for (size_t i = 0; i < c->days; i++) {
        good += is_good(c->list[i]);
        verified += c->list[i] == STATUS_DAY_VERIFIED;
        of += c->first + (int64_t)i >= c->begun;
    }
    fprintf(out, "A good backup on %zu of %zu days, verified %zu of them.", good, of, verified);
    put_gaps(out, c);
}

// --- The drawing ---

static void put_squares(FILE *out, const struct calendar *c, int64_t from, int64_t to,
                        enum status_day kind, bool before, const char *class)
{
    bool any = false;
    for (int64_t day = from; day < to; day++) {
        if (day < c->first || day > c->today || c->list[day - c->first] != kind ||
            (kind == STATUS_DAY_NONE && (day < c->begun) != before))
            continue;
        int64_t x = LEFT + (day - from) / 7 * CELL, y = TOP + weekday(day) * CELL;
        if (!any)
            fprintf(out, "<path class=\"%s\" d=\"", class);
        any = true;
        fprintf(out, "M%" PRId64 " %" PRId64 "h%dv%dh-%dz", x, y, SIDE, SIDE, SIDE);
    }
    if (any)
        fputs("\"/>", out);
}

// A dot on what was verified, a cross on what is bad; both say their date.
static void put_marks(FILE *out, const struct calendar *c, int64_t from, int64_t to)
{
    char date[16];
    for (int64_t day = from; day < to; day++) {
        if (day < c->begun || day < c->first || day > c->today)
            continue;
        int64_t x = LEFT + (day - from) / 7 * CELL, y = TOP + weekday(day) * CELL;
        enum status_day kind = c->list[day - c->first];
        date_text(day, date);
        if (kind == STATUS_DAY_VERIFIED)
            fprintf(out, "<circle class=\"dot\" cx=\"%" PRId64 "\" cy=\"%" PRId64 "\" r=\"2\"/>",
                    x + SIDE / 2, y + SIDE / 2);
        else if (kind == STATUS_DAY_BAD)
            fprintf(out,
                    "<path class=\"cross\" d=\"M%" PRId64 " %" PRId64
                    "l6 6m0 -6l-6 6\"><title>%s: none "
                    "that is good</title></path>",
                    x + 2, y + 2, date);
        if (day == c->today)
            fprintf(out,
                    "<path class=\"today\" d=\"M%" PRId64 " %" PRId64
                    "h12v12h-12z\"><title>%s: today"
                    "</title></path>",
                    x - 1, y - 1, date);
    }
}

static void put_months(FILE *out, const struct calendar *c, int64_t from, int64_t to)
{
    int shown = -1;
    int64_t last_x = -100;
    for (int64_t day = from; day < to && day <= c->today; day += 7) {
        struct tm tm;
        char name[16];
        if (!gmtime_r(&(time_t){(day + 6) * STATUS_DAY_SECONDS}, &tm) || tm.tm_mon == shown)
            continue;
        int64_t x = LEFT + (day - from) / 7 * CELL;
        shown = tm.tm_mon;
        if (x - last_x < 2 * CELL) // no room for two names
            continue;
        strftime(name, sizeof(name), tm.tm_mon == 0 ? "%Y" : "%b", &tm); // January says its year
        fprintf(out, "<text x=\"%" PRId64 "\" y=\"11\">%s</text>", x, name);
        last_x = x;
    }
}

static void put_weeks(FILE *out, const struct calendar *c, int64_t from, unsigned weeks)
{
    int64_t to = from + 7 * (int64_t)weeks;
    char begin[16], end[16];
    date_text(from > c->first ? from : c->first, begin);
    date_text(to - 1 < c->today ? to - 1 : c->today, end);
    unsigned width = LEFT + WEEKS_ROW * CELL, height = TOP + 7 * CELL;
    fprintf(out,
            "<svg class=\"cal\" role=\"img\" viewBox=\"0 0 %u %u\" aria-label=\"Calendar of "
            "backups from "
            "%s to %s\">",
            width, height, begin, end);
    put_months(out, c, from, to);
    static const char *const names[] = {"Mon", "", "Wed", "", "Fri", "", ""};
    for (int i = 0; i < 7; i++)
        if (*names[i])
            fprintf(out, "<text x=\"0\" y=\"%d\">%s</text>", TOP + i * CELL + 9, names[i]);
    put_squares(out, c, from, to, STATUS_DAY_NONE, true, "before");
    put_squares(out, c, from, to, STATUS_DAY_NONE, false, "none");
    put_squares(out, c, from, to, STATUS_DAY_GOOD, false, "good");
    put_squares(out, c, from, to, STATUS_DAY_VERIFIED, false, "verified");
    put_squares(out, c, from, to, STATUS_DAY_BAD, false, "badday");
    put_marks(out, c, from, to);
    fputs("</svg>\n", out);
}

void html_calendar(FILE *out, const struct status_partition *p, time_t now, unsigned days)
{
    struct calendar c = {.p = p, .today = now / STATUS_DAY_SECONDS, .days = days};
    c.first = c.today - (int64_t)days + 1;
    c.begun = p->count ? p->list[0].when / STATUS_DAY_SECONDS : c.today + 1;
    c.list = calloc(days, sizeof(*c.list));
    if (!c.list || p->count == 0) {
        free(c.list);
        return;
    }
    if (c.begun < c.first)
        c.begun = c.first;
    status_days(p, c.first, days, c.list);
    fputs("<figure class=\"year\"><div class=\"weeks\">", out);
    int64_t from = c.first - weekday(c.first);
    int64_t weeks = (c.today - from) / 7 + 1, drawings = (weeks + WEEKS_ROW - 1) / WEEKS_ROW;
    // the newest drawing is a whole one, and ends with this week
    from -= (drawings * WEEKS_ROW - weeks) * 7;
    for (int64_t i = 0; i < drawings; i++)
        put_weeks(out, &c, from + i * WEEKS_ROW * 7, WEEKS_ROW);
    fputs("</div><figcaption>", out);
    put_sentence(out, &c);
    fputs("</figcaption></figure>\n", out);
    free(c.list);
}

// --- Sizes ---

#define WIDTH 320
#define HEIGHT 110
#define FLOOR 100.0 // where 0 is

void html_sizes(FILE *out, const struct status_partition *p, time_t now, unsigned days)
{
    time_t begin = now - (time_t)days * STATUS_DAY_SECONDS;
    uint64_t most = 0, least = UINT64_MAX;
    size_t points = 0;
    const struct backup *first = NULL;
    for (const struct backup *b = p->list; b < p->list + p->count; b++) {
        if (b->when < begin || b->when > now || b->size == 0 || !backup_is_good(b, NULL))
            continue;
        first = first ? first : b;
        most = b->size > most ? b->size : most;
        least = b->size < least ? b->size : least;
        points++;
    }
    if (points < 2 || most == 0 || now <= first->when)
        return;
    char most_text[32], least_text[32], from[16], newest[32];
    cli_size_text(most, most_text);
    cli_size_text(least, least_text);
    cli_size_text(p->newest->size, newest);
    date_text(first->when / STATUS_DAY_SECONDS, from);
    fprintf(out,
            "<figure class=\"sizes\"><svg class=\"line\" role=\"img\" viewBox=\"0 0 %d %d\" "
            "aria-label=\"Size of the backups since %s: between %s and %s, the newest %s\">"
            "<path class=\"axis\" d=\"M0 %.0fH%d\"/><polyline points=\"",
            WIDTH, HEIGHT, from, least_text, most_text, newest, FLOOR, WIDTH);
    double x = 0, y = 0;
    int64_t drawn = -1;
    for (const struct backup *b = first; b < p->list + p->count; b++) {
        if (b->when > now || b->size == 0 || !backup_is_good(b, NULL))
            continue;
        x = 4 + (double)(b->when - first->when) * (WIDTH - 12) / (double)(now - first->when);
        y = FLOOR - (double)b->size * (FLOOR - 8) / (double)most;
        int64_t column = (int64_t)(2 * x);
        if (column == drawn && b != p->newest)
            continue; // hourly ones fall together
        drawn = column;
        fprintf(out, "%.1f,%.1f ", x, y);
    }
    fprintf(out, "\"/><circle class=\"end\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/></svg><figcaption>",
            x, y);
    if (strcmp(least_text, most_text) == 0)
        fprintf(out, "Size since %s: always %s.", from, newest);
    else
        fprintf(out, "Size since %s: from %s to %s, now %s.", from, least_text, most_text, newest);
    fputs("</figcaption></figure>\n", out);
}
