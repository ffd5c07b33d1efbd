// What was found, and one sentence that says it all.
#include "tools/status/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// --- Notes ---

bool status_note(struct status_notes *notes, enum status_level level, const char *type,
                 const char *format, ...)
{
    struct status_note *more = reallocarray(notes->list, notes->count + 1, sizeof(*more));
    if (!more)
        return false;
    notes->list = more;
    struct status_note note = {.level = level, .type = type ? strdup(type) : NULL};
    va_list args;
    va_start(args, format);
    int len = vasprintf(&note.text, format, args);
    va_end(args);
    if (len < 0 || (type && !note.type)) {
        if (len >= 0)
            free(note.text);
        free(note.type);
        return false;
    }
    notes->list[notes->count++] = note;
    return true;
}

void status_notes_done(struct status_notes *notes)
{
    for (size_t i = 0; i < notes->count; i++) {
        free(notes->list[i].text);
        free(notes->list[i].type);
    }
    free(notes->list);
    *notes = (struct status_notes){.list = NULL};
}

enum status_level status_notes_worst(const struct status_notes *notes)
{
    enum status_level level = STATUS_OK;
    for (size_t i = 0; i < notes->count; i++)
        if (notes->list[i].level > level)
            level = notes->list[i].level;
    return level;
}

const char *status_level_word(enum status_level level)
{
    return level == STATUS_BAD ? "bad" : level == STATUS_WARN ? "warning" : "ok";
}

// --- The verdict ---

const char *status_why(const struct status_partition *p)
{
    if (p->level != STATUS_BAD)
        return p->strange_size ? "its size" : p->level == STATUS_WARN ? "its age" : "";
    return p->count == 0      ? "no backup at all"
           : !p->newest       ? "no good backup"
           : p->overdue       ? "backup overdue"
           : p->drill_overdue ? "drill overdue"
                              : "the last backup failed";
}

static void name_some(FILE *out, const struct status *s, enum status_level level)
{
    size_t named = 0, all = level == STATUS_BAD ? s->bad : s->warn;
    for (size_t i = 0; i < s->count && named < 3; i++) {
        const struct status_partition *p = &s->partitions[i];
        if (p->level != level)
            continue;
        fprintf(out, "%s%s on %s", named ? "; " : "", p->partition, p->host);
        fprintf(out, " (%s)", status_why(p));
        named++;
    }
    if (named < all)
        fprintf(out, "; and %zu more", all - named);
}

static const char *first_note(const struct status *s, enum status_level level)
{
    for (size_t i = 0; i < s->notes.count; i++)
        if (s->notes.list[i].level == level)
            return s->notes.list[i].text;
    return NULL;
}

int status_write_verdict(struct status *s, struct err *err)
{
    size_t len;
    FILE *out = open_memstream(&s->verdict, &len);
    if (!out)
        return err_errno(err, ENOMEM, "judge the backups");
    const char *note = first_note(s, s->level);
    if (s->level == STATUS_OK)
        fprintf(out, "All is well: %zu database%s, each with a good backup in time.", s->count,
                s->count == 1 ? "" : "s");
    else if (s->level == STATUS_BAD && s->bad)
        fprintf(out, "Not well: %zu of %zu database%s: ", s->bad, s->count,
                s->count == 1 ? "" : "s");
    else if (s->level == STATUS_BAD)
        fprintf(out, "Not well: %s.", note);
    else
        fprintf(out, "Well, with a warning: ");
    if (s->level == STATUS_BAD && s->bad) {
        name_some(out, s, STATUS_BAD);
        fprintf(out, ".%s%s%s", note ? " Also: " : "", note ? note : "", note ? "." : "");
    } else if (s->level == STATUS_WARN) {
        if (s->warn)
            name_some(out, s, STATUS_WARN);
        else
            fputs(note, out);
        fputc('.', out);
    }
    return fclose(out) == 0 ? 0 : err_errno(err, ENOMEM, "judge the backups");
}
