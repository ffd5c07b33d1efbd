// One page that needs nothing but itself: no script, no picture, no font from elsewhere.
#include "tools/status/html.h"

#include "backend/base/utf8.h"
#include "tools/catalog/when.h"
#include "tools/cli.h"

#include <inttypes.h>
#include <string.h>

// With &, <, > and quotes escaped; what is no UTF-8, or a control character, becomes U+FFFD.
static void html_text(FILE *out, const char *text)
{
    while (*text) {
        size_t len = utf8_character(text, UTF8_ANY_BYTES);
        bool control = (unsigned char)*text < 0x20 || *text == 0x7f;
        if (len == 0 || control)
            fputs("&#xfffd;", out);
        else if (strchr("&<>\"'", *text))
            fprintf(out, "&#%d;", *text);
        else
            fwrite(text, 1, len, out);
        text += len ? len : 1;
    }
}

static const struct {
    const char *class, *mark, *word;
} levels[] = {
    [STATUS_OK] = {"ok", "\xe2\x9c\x93", "well"},
    [STATUS_WARN] = {"warn", "?", "warning"},
    [STATUS_BAD] = {"bad", "!", "not well"},
};

static void put_badge(FILE *out, enum status_level level)
{
    fprintf(out, "<span class=\"badge %s\"><b aria-hidden=\"true\">%s</b> %s</span>",
            levels[level].class, levels[level].mark, levels[level].word);
}

static void put_notes(FILE *out, const struct status_notes *notes)
{
    if (notes->count == 0)
        return;
    fputs("<ul class=\"notes\">", out);
    for (size_t i = 0; i < notes->count; i++) {
        const struct status_note *n = &notes->list[i];
        fprintf(out, "<li class=\"%s\">", levels[n->level].class);
        html_text(out, n->text);
        if (n->type) {
            fputs("<br>type <code>", out);
            html_text(out, n->type);
            fputs("</code>", out);
        }
        fputs("</li>", out);
    }
    fputs("</ul>\n", out);
}

static void put_fact(FILE *out, const char *name, const char *value, const char *more)
{
    fprintf(out, "<div><dt>%s</dt><dd>", name);
    html_text(out, value);
    if (more && *more) {
        fputs("<small>", out);
        html_text(out, more);
        fputs("</small>", out);
    }
    fputs("</dd></div>", out);
}

static void time_text(time_t t, char out[32])
{
    struct tm tm;
    *out = '\0';
    if (gmtime_r(&t, &tm))
        strftime(out, 32, "%Y-%m-%d %H:%M UTC", &tm);
}

static void put_newest(FILE *out, const struct status_partition *p)
{
    char at[32], age[64] = "", size[32], stored[64], span[32];
    int64_t percent = 0;
    if (!p->newest) {
        put_fact(out, "Newest good backup", "none", "");
        return;
    }
    time_text(p->newest->when, at);
    status_span_text((uint64_t)(p->age_s > 0 ? p->age_s : 0), span);
    snprintf(age, sizeof(age), "%s old", span);
    put_fact(out, "Newest good backup", age, at);
    cli_size_text(p->newest->size, size);
    cli_size_text(p->newest->stored, span);
    snprintf(stored, sizeof(stored), "%s stored", span);
    put_fact(out, "Size", size, stored);
    if (status_trend(p, &percent)) {
        char trend[32], usual[64];
        cli_size_text(p->median7, span);
        snprintf(usual, sizeof(usual), "usual %s", span);
        snprintf(trend, sizeof(trend), percent ? "%+" PRId64 " %%" : "steady", percent);
        put_fact(out, "Trend", trend, usual);
    }
}

static void put_facts(FILE *out, const struct status_partition *p, time_t now)
{
    char text[64], more[64] = "", span[32];
    fputs("<dl>", out);
    put_newest(out, p);
    if (p->every_s)
        status_span_text(p->every_s, span);
    put_fact(out, "Wanted every", p->every_s ? span : "-", p->conf ? "" : "not configured here");
    snprintf(text, sizeof(text), "%zu", p->good);
    if (p->count > p->good)
        snprintf(more, sizeof(more), "%zu more not good", p->count - p->good);
    put_fact(out, "Good backups", text, more);
    if (p->drill.at) {
        when_age(p->drill.at, now, span);
        snprintf(text, sizeof(text), "%s%s", span, strcmp(span, "now") ? " ago" : "");
        *more = '\0';
        if (p->drill.restore_ms) {
            cli_took_text(p->drill.restore_ms, span);
            snprintf(more, sizeof(more), "restored in %s", span);
        } else if (!p->drill.readable) {
            snprintf(more, sizeof(more), "verified; how is not readable here");
        }
        put_fact(out, "Last drill", text, more);
    } else {
        put_fact(out, "Last drill", "never", "");
    }
    fputs("</dl>\n", out);
}

// Of many, all of them at a glance: each leads to its own.
static void put_index(FILE *out, const struct status *s)
{
    if (s->count < 4)
        return;
    fputs("<nav aria-label=\"All databases\">", out);
    for (size_t i = 0; i < s->count; i++) {
        const struct status_partition *p = &s->partitions[i];
        fprintf(out, "<a class=\"%s\" href=\"#p%zu\"><b>%s</b> ", levels[p->level].class, i,
                levels[p->level].mark);
        html_text(out, p->partition);
        if (s->host_count > 1) {
            fputs(" <small>", out);
            html_text(out, p->host);
            fputs("</small>", out);
        }
        fputs("</a> ", out);
    }
    fputs("</nav>\n", out);
}

static void put_partition(FILE *out, const struct status *s, size_t i, unsigned days)
{
    const struct status_partition *p = &s->partitions[i];
    time_t now = s->now;
    fprintf(out, "<article id=\"p%zu\" class=\"%s\"><h2>", i, levels[p->level].class);
    put_badge(out, p->level);
    html_text(out, p->partition);
    fputs(" <small>on ", out);
    html_text(out, p->host);
    fputs("</small></h2>\n", out);
    put_notes(out, &p->notes);
    put_facts(out, p, now);
    fputs("<div class=\"figures\">", out);
    html_calendar(out, p, now, days);
    html_sizes(out, p, now, days);
    fputs("</div></article>\n", out);
}

static void put_legend(FILE *out)
{
    static const struct {
        const char *draw, *word;
    } kinds[] = {
        {"<path class=\"good\" d=\"M1 1h10v10h-10z\"/>", "a good backup"},
        {"<path class=\"verified\" d=\"M1 1h10v10h-10z\"/><circle class=\"dot\" cx=\"6\" cy=\"6\" "
         "r=\"2\"/>",
         "good and verified"},
        {"<path class=\"badday\" d=\"M1 1h10v10h-10z\"/><path class=\"cross\" d=\"M3 3l6 6m0 -6l-6 "
         "6\"/>",
         "none of it good"},
        {"<path class=\"none\" d=\"M1 1h10v10h-10z\"/>", "no backup"},
        {"<path class=\"before\" d=\"M1 1h10v10h-10z\"/>", "before the first"},
        {"<path class=\"today\" d=\"M1 1h10v10h-10z\"/>", "today"},
    };
    fputs("<p class=\"legend\">", out);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        fprintf(out,
                "<span><svg viewBox=\"0 0 12 12\" width=\"12\" height=\"12\" "
                "aria-hidden=\"true\">%s</svg> %s</span> ",
                kinds[i].draw, kinds[i].word);
    fputs("<span>days are UTC</span></p>\n", out);
}

static void put_here(FILE *out, const struct status *s, const struct status_look *look)
{
    char text[128], span[32];
    fputs("<section class=\"here\"><h2>The store and this host</h2>\n", out);
    put_notes(out, &s->notes);
    fputs("<dl>", out);
    put_fact(out, "Mount", s->point, look->mount.code ? "not there" : look->daemon.store);
    for (size_t i = 0; i < s->host_count; i++) {
        const struct status_host *h = &s->hosts[i];
        snprintf(text, sizeof(text), "never proved");
        if (h->opened_at) {
            when_age(h->opened_at, s->now, span);
            snprintf(text, sizeof(text), "opened %s%s", span, strcmp(span, "now") ? " ago" : "");
        }
        char name[BACKUPS_HOST_BYTES + 16];
        snprintf(name, sizeof(name), "of %.255s", h->host);
        put_fact(out, "Key", text, name);
    }
    if (!look->mount.code && !look->daemon_err.code) {
        snprintf(text, sizeof(text), "%+.1f s", (double)look->daemon.clock_offset_ms / 1000);
        put_fact(out, "Store's clock", text, "against this host's");
        snprintf(text, sizeof(text), "%" PRIu64, look->daemon.files_failed);
        put_fact(out, "Files not stored", text, "since the mount");
    }
    fputs("</dl></section>\n", out);
}

void status_show_html(FILE *out, const struct status *s, const struct status_look *look,
                      unsigned history_days)
{
    char at[32];
    time_text(s->now, at);
    fprintf(out,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"color-scheme\" content=\"light dark\">\n"
            "<title>%s: backups</title>\n<style>%s</style></head>\n<body>\n<header class=\"%s\">",
            s->level == STATUS_BAD    ? "NOT WELL"
            : s->level == STATUS_WARN ? "Warning"
                                      : "Well",
            html_style, levels[s->level].class);
    put_badge(out, s->level);
    fputs("<h1>", out);
    html_text(out, s->verdict);
    fprintf(out, "</h1><p class=\"at\">bakfs status, %s</p></header>\n<main>\n", at);
    put_index(out, s);
    if (s->count)
        put_legend(out);
    for (size_t i = 0; i < s->count; i++)
        put_partition(out, s, i, history_days);
    put_here(out, s, look);
    fputs("</main></body></html>\n", out);
}
