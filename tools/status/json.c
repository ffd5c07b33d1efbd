// For programs. Keys are never renamed or removed, only added; what is not known is null.
#include "tools/status/status.h"

#include "tools/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void put_time(FILE *out, const char *name, time_t t)
{
    char text[32];
    struct tm tm;
    if (t && gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
        fprintf(out, "\"%s\": \"%s\"", name, text);
    else
        fprintf(out, "\"%s\": null", name);
}

static void put_text(FILE *out, const char *name, const char *text)
{
    fprintf(out, "\"%s\": ", name);
    if (text)
        cli_print_json(out, text);
    else
        fputs("null", out);
}

static void put_number(FILE *out, const char *name, bool known, int64_t number)
{
    if (known)
        fprintf(out, "\"%s\": %" PRId64, name, number);
    else
        fprintf(out, "\"%s\": null", name);
}

static void put_bool(FILE *out, const char *name, bool value)
{
    fprintf(out, "\"%s\": %s", name, value ? "true" : "false");
}

static void put_notes(FILE *out, const struct status_notes *notes, const char *indent)
{
    fputs("\"notes\": [", out);
    for (size_t i = 0; i < notes->count; i++) {
        const struct status_note *n = &notes->list[i];
        fprintf(out, "%s\n%s  {", i ? "," : "", indent);
        put_text(out, "level", status_level_word(n->level));
        fputs(", ", out);
        put_text(out, "text", n->text);
        fputs(", ", out);
        put_text(out, "type", n->type);
        fputc('}', out);
    }
    fputc(']', out);
}

static void put_newest(FILE *out, const struct backup *b)
{
    fputs("\"newest\": ", out);
    if (!b) {
        fputs("null", out);
        return;
    }
    static const char *const complete[] = {[BACKUP_COMPLETE_UNKNOWN] = "unknown",
                                           [BACKUP_COMPLETE_YES] = "yes",
                                           [BACKUP_COMPLETE_NO] = "no"};
    fputc('{', out);
    put_text(out, "path", b->dump);
    fputs(", ", out);
    put_time(out, "at", b->when);
    fprintf(out, ", \"size\": %" PRIu64 ", \"stored\": %" PRIu64 ", ", b->size, b->stored);
    put_text(out, "complete", complete[b->complete]);
    fputs(", ", out);
    put_bool(out, "verified", b->verified == BACKUP_VERIFIED_PASS);
    fputc('}', out);
}

static void put_history(FILE *out, const struct status *s, const struct status_partition *p,
                        unsigned days)
{
    static const char *const words[] = {[STATUS_DAY_NONE] = "none",
                                        [STATUS_DAY_GOOD] = "good",
                                        [STATUS_DAY_VERIFIED] = "verified",
                                        [STATUS_DAY_BAD] = "bad"};
    enum status_day *list = calloc(days, sizeof(*list));
    int64_t first = s->now / STATUS_DAY_SECONDS - days + 1;
    if (!list)
        return;
    status_days(p, first, days, list);
    fputs(",\n     \"history\": {", out);
    for (unsigned i = 0; i < days; i++) {
        char date[32] = "";
        struct tm tm;
        if (gmtime_r(&(time_t){(first + i) * STATUS_DAY_SECONDS}, &tm))
            strftime(date, sizeof(date), "%Y-%m-%d", &tm);
        fprintf(out, "%s\"%s\": \"%s\"", i ? ", " : "", date, words[list[i]]);
    }
    fputc('}', out);
    free(list);
}

static void put_partition(FILE *out, const struct status *s, const struct status_partition *p,
                          unsigned history_days)
{
    int64_t percent = 0;
    bool trend = status_trend(p, &percent);
    fputs("\n    {", out);
    put_text(out, "host", p->host);
    fputs(", ", out);
    put_text(out, "partition", p->partition);
    fputs(", ", out);
    put_text(out, "name", p->conf ? p->conf->name : NULL);
    fputs(", ", out);
    put_text(out, "level", status_level_word(p->level));
    fputs(",\n     ", out);
    put_newest(out, p->newest);
    fputs(",\n     ", out);
    put_number(out, "age_s", p->newest, p->age_s);
    fputs(", ", out);
    put_number(out, "every_s", p->every_s, (int64_t)p->every_s);
    fputs(", ", out);
    put_bool(out, "overdue", p->overdue || (p->conf && !p->newest));
    fputs(", ", out);
    put_number(out, "size_trend_percent", trend, percent);
    fputs(", ", out);
    put_number(out, "size_median_7", p->median7, (int64_t)p->median7);
    fputs(", ", out);
    put_number(out, "size_median_30", p->median30, (int64_t)p->median30);
    fprintf(out, ",\n     \"backups\": %zu, \"good\": %zu, \"not_good_since\": %zu, ", p->count,
            p->good, p->bad_since);
    put_time(out, "verified_at", p->verified_at);
    fputs(", ", out);
    put_time(out, "drill_at", p->drill.at);
    fputs(", ", out);
    put_number(out, "recovery_ms", p->drill.restore_ms, (int64_t)p->drill.restore_ms);
    fputs(", ", out);
    put_number(out, "drill_every_s", p->drill_every_s, (int64_t)p->drill_every_s);
    fputs(", ", out);
    put_bool(out, "drill_overdue", p->drill_overdue);
    fputs(",\n     ", out);
    put_notes(out, &p->notes, "     ");
    if (history_days)
        put_history(out, s, p, history_days);
    fputc('}', out);
}

static void put_hosts(FILE *out, const struct status *s)
{
    static const char *const words[] = {[STATUS_PROOF_NEVER] = "never",
                                        [STATUS_PROOF_OPENED] = "opened",
                                        [STATUS_PROOF_OVERDUE] = "overdue",
                                        [STATUS_PROOF_FAILED] = "failed"};
    fputs("  \"hosts\": [", out);
    for (size_t i = 0; i < s->host_count; i++) {
        const struct status_host *h = &s->hosts[i];
        fprintf(out, "%s\n    {", i ? "," : "");
        put_text(out, "host", h->host);
        fputs(", ", out);
        put_text(out, "key_proof", words[h->proof]);
        fputs(", ", out);
        put_time(out, "key_proved_at", h->opened_at);
        fputs(", ", out);
        put_text(out, "key_proof_object", h->object);
        fputc('}', out);
    }
    fputs("],\n", out);
}

void status_show_json(FILE *out, const struct status *s, unsigned history_days)
{
    fputs("{\n  ", out);
    put_text(out, "level", status_level_word(s->level));
    fputs(", ", out);
    put_bool(out, "well", s->level != STATUS_BAD);
    fputs(", ", out);
    put_time(out, "at", s->now);
    fputs(",\n  ", out);
    put_text(out, "verdict", s->verdict);
    fputs(",\n  ", out);
    put_text(out, "mount", s->point);
    fputs(",\n  ", out);
    put_notes(out, &s->notes, "  ");
    fputs(",\n", out);
    put_hosts(out, s);
    fputs("  \"partitions\": [", out);
    for (size_t i = 0; i < s->count; i++) {
        if (i)
            fputc(',', out);
        put_partition(out, s, &s->partitions[i], history_days);
    }
    fputs("]\n}\n", out);
}
