#include "backend/store/journal_file.h"

#include "backend/base/scope.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void journal_encode(const char *text, char *out)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c > 0x20 && c < 0x7f && c != '%')
            *out++ = (char)c;
        else
            out += sprintf(out, "%%%02X", c);
    }
    *out = '\0';
}

bool journal_is_name(const char *name)
{
    size_t len = strlen(name), end = strlen(JOURNAL_SUFFIX);
    return len < JOURNAL_NAME_BYTES && len > strlen(JOURNAL_PREFIX) + end &&
           strncmp(name, JOURNAL_PREFIX, strlen(JOURNAL_PREFIX)) == 0 &&
           strcmp(name + len - end, JOURNAL_SUFFIX) == 0;
}

const char *journal_move_word(enum journal_move_kind kind)
{
    static const char *const words[] = {"none", "file", "over", "dir"};
    return words[kind];
}

static bool decode(const char *text, char *out, size_t room)
{
    size_t n = 0;
    for (; *text; n++) {
        unsigned c = (unsigned char)*text++;
        if (c == '%') {
            if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
                return false;
            c = (unsigned)strtoul((const char[]){text[0], text[1], '\0'}, NULL, 16);
            text += 2;
        }
        if (n + 1 >= room || c == 0)
            return false;
        out[n] = (char)c;
    }
    out[n] = '\0';
    return true;
}

static struct journal_line *find(struct journal_lines *lines, uint64_t number)
{
    for (size_t i = 0; i < lines->count; i++)
        if (lines->list[i].number == number)
            return &lines->list[i];
    return NULL;
}

static int add(struct journal_lines *lines, const struct journal_line *line)
{
    if (lines->count == lines->room) {
        size_t room = lines->room ? 2 * lines->room : 8;
        struct journal_line *list = reallocarray(lines->list, room, sizeof(list[0]));
        if (!list)
            return -ENOMEM;
        lines->list = list;
        lines->room = room;
    }
    lines->list[lines->count++] = *line;
    return 0;
}

static enum journal_move_kind move_kind(const char *word)
{
    for (enum journal_move_kind kind = JOURNAL_MOVE_FILE; kind <= JOURNAL_MOVE_DIR; kind++)
        if (strcmp(word, journal_move_word(kind)) == 0)
            return kind;
    return JOURNAL_NO_MOVE;
}

// What makes no sense is passed over: the rest of the file is still true.
static int take_line(struct journal_lines *lines, char *text)
{
    char *rest;
    const char *verb = strtok_r(text, " ", &rest);
    const char *words[6] = {NULL};
    for (int i = 0; i < 6; i++)
        words[i] = strtok_r(NULL, " ", &rest);
    if (!verb || !words[0])
        return 0;
    struct journal_line line = {.number = strtoull(words[0], NULL, 10)};
    struct journal_line *known = find(lines, line.number);
    if (strcmp(verb, "begin") == 0 && !known && words[3]) {
        line.seconds = strtoll(words[1], NULL, 10);
        if (decode(words[2], line.store, sizeof(line.store)) &&
            decode(words[3], line.key, sizeof(line.key)))
            return add(lines, &line);
    } else if (strcmp(verb, "move") == 0 && !known && words[5]) {
        line.seconds = strtoll(words[1], NULL, 10);
        line.kind = move_kind(words[5]);
        if (line.kind && decode(words[2], line.store, sizeof(line.store)) &&
            decode(words[3], line.key, sizeof(line.key)) &&
            decode(words[4], line.to, sizeof(line.to)))
            return add(lines, &line);
    } else if (strcmp(verb, "copied") == 0 && known) {
        known->copied = true;
    } else if (strcmp(verb, "id") == 0 && known && words[1]) {
        if (!decode(words[1], known->id, sizeof(known->id)))
            known->id[0] = '\0';
    } else if (strcmp(verb, "end") == 0 && known) {
        *known = lines->list[--lines->count];
    }
    return 0;
}

int journal_read(int fd, struct journal_lines *out, struct err *err)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "r");
    if (!file) {
        int code = errno;
        if (copy >= 0)
            close(copy);
        return err_errno(err, code, "read a journal of uploads");
    }
    rewind(file);
    struct journal_lines lines = {0};
    char *text = NULL;
    size_t room = 0;
    int rc = 0;
    for (ssize_t n; rc == 0 && (n = getline(&text, &room, file)) > 0 && text[n - 1] == '\n';) {
        lines.whole_bytes += n;
        text[n - 1] = '\0';
        rc = take_line(&lines, text);
    }
    if (rc < 0)
        err_set(err, -rc, "read a journal of uploads: out of memory");
    else if (ferror(file))
        rc = err_errno(err, EIO, "read a journal of uploads");
    free(text);
    fclose(file);
    if (rc < 0)
        journal_lines_done(&lines);
    else
        *out = lines;
    return rc;
}

void journal_lines_done(struct journal_lines *lines)
{
    free(lines->list);
    *lines = (struct journal_lines){0};
}
