#include "backend/complete.h"

#include "backend/base/num.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

// --- Lines ---

struct text {
    const char *at, *end;
};

struct line {
    const char *at;
    size_t len;
};

// The next line that is whole: with its end, which may be CR LF and is not part of it.
static bool next_line(struct text *t, struct line *out)
{
    size_t left = (size_t)(t->end - t->at);
    const char *end = left > 0 ? memchr(t->at, '\n', left) : NULL;
    if (!end)
        return false;
    *out = (struct line){t->at, (size_t)(end - t->at)};
    if (out->len > 0 && end[-1] == '\r')
        out->len--;
    t->at = end + 1;
    return true;
}

static bool begins(struct line line, const char *with)
{
    size_t len = strlen(with);
    return line.len >= len && memcmp(line.at, with, len) == 0;
}

static bool is(struct line line, const char *text)
{
    return line.len == strlen(text) && begins(line, text);
}

// --- What it is ---

enum kind { KIND_OTHER, KIND_DATABASE, KIND_CLUSTER, KIND_MYSQL };

static enum kind head_of(struct line line)
{
    if (is(line, "-- PostgreSQL database dump"))
        return KIND_DATABASE;
    if (is(line, "-- PostgreSQL database cluster dump"))
        return KIND_CLUSTER;
    if (begins(line, "-- MySQL dump ") || begins(line, "-- MariaDB dump "))
        return KIND_MYSQL;
    return KIND_OTHER;
}

// Newer pg_dump writes \restrict with a key before its first command, and \unrestrict behind its last: the one thing that
// no row of a table can look like.
static bool is_restricted(struct text rest)
{
    for (struct line line; next_line(&rest, &line);)
        if (line.len > 0 && !begins(line, "--"))
            return begins(line, "\\restrict ");
    return false;
}

static enum kind recognise(const char *first, size_t len, bool *out_restricted)
{
    struct text text = {first, first + len};
    struct line line;
    if (len >= 3 && memcmp(first, "\xEF\xBB\xBF", 3) == 0)
        text.at += 3;
    *out_restricted = false;
    if (!next_line(&text, &line))
        return KIND_OTHER;
    // /*M!999999\- enable the sandbox mode */ stands above all in newer dumps of MariaDB's.
    if (begins(line, "/*") && memmem(line.at, line.len, "sandbox mode", strlen("sandbox mode")) &&
        !next_line(&text, &line))
        return KIND_OTHER;
    if (head_of(line) == KIND_MYSQL)
        return KIND_MYSQL;
    if (!is(line, "--") || !next_line(&text, &line))
        return KIND_OTHER;
    enum kind kind = head_of(line);
    if (kind == KIND_MYSQL || !next_line(&text, &line) || !is(line, "--"))
        return KIND_OTHER;
    *out_restricted = is_restricted(text);
    return kind;
}

// --- How it ends ---

// "-- Dump completed on 2026-11-22  3:15:00", or without a date.
static bool is_dated(struct line line)
{
    static const char form[] = " on 0000-00-00 00:00:00";
    size_t start = strlen("-- Dump completed");
    if (line.len == start)
        return true;
    if (line.len != start + strlen(form))
        return false;
    for (size_t i = 0; i < strlen(form); i++) {
        char c = line.at[start + i];
        bool hour = i == strlen(" on 0000-00-00 "); // padded with a space
        if (form[i] == '0' ? !isdigit((unsigned char)c) && !(hour && c == ' ') : c != form[i])
            return false;
    }
    return true;
}

enum after { // what stood behind the mark
    AFTER_MARK,
    AFTER_RULE,  // "--"
    AFTER_BLANK, // all that belongs there
    AFTER_KEY,   // \unrestrict
    AFTER_OTHER,
};

struct ending {
    enum kind kind; // of the last mark, KIND_OTHER: none
    enum after after;
    bool unrestricted;
};

// Marks and heads of the other family are text like any other.
static bool take_mark(struct ending *e, struct line line, bool mysql)
{
    if (mysql && begins(line, "-- Dump completed"))
        *e = (struct ending){KIND_MYSQL, is_dated(line) ? AFTER_BLANK : AFTER_OTHER, false};
    else if (!mysql && is(line, "-- PostgreSQL database dump complete"))
        *e = (struct ending){KIND_DATABASE, AFTER_MARK, false};
    else if (!mysql && is(line, "-- PostgreSQL database cluster dump complete"))
        *e = (struct ending){KIND_CLUSTER, AFTER_MARK, false};
    // another dump begins, so the mark was not the end
    else if (mysql ? head_of(line) == KIND_MYSQL
                   : head_of(line) == KIND_DATABASE || head_of(line) == KIND_CLUSTER ||
                         begins(line, "-- Database \""))
        *e = (struct ending){KIND_OTHER, AFTER_OTHER, false};
    else
        return false;
    return true;
}

static enum after step(const struct ending *e, struct line line)
{
    bool blank = line.len == 0;
    switch (e->after) {
    case AFTER_MARK:
        return is(line, "--") ? AFTER_RULE : AFTER_OTHER;
    case AFTER_RULE:
    case AFTER_KEY:
        return blank ? AFTER_BLANK : AFTER_OTHER;
    case AFTER_BLANK:
        if (blank)
            return AFTER_BLANK;
        return begins(line, "\\unrestrict ") ? AFTER_KEY : AFTER_OTHER;
    case AFTER_OTHER:
        break;
    }
    return AFTER_OTHER;
}

static struct ending find_ending(struct text text, bool from_start, bool mysql)
{
    struct ending e = {KIND_OTHER, AFTER_OTHER, false};
    struct line line;
    if (!from_start && !next_line(&text, &line)) // a line that was cut at its start says nothing
        return e;
    while (next_line(&text, &line)) {
        if (take_mark(&e, line, mysql) || e.kind == KIND_OTHER)
            continue;
        bool key = e.after == AFTER_KEY;
        e.after = step(&e, line);
        e.unrestricted = e.unrestricted || (key && e.after == AFTER_BLANK);
    }
    if (text.at < text.end) // a line without an end
        e.after = AFTER_OTHER;
    return e;
}

enum seal_complete complete_judge(uint64_t size, const void *first, size_t first_len,
                                  const void *last, size_t last_len)
{
    assert(first_len <= size && first_len >= min_u64(size, COMPLETE_FIRST_BYTES));
    assert(last_len <= size && last_len >= min_u64(size, COMPLETE_LAST_BYTES));
    if (size == 0)
        return SEAL_COMPLETE_NO;
    bool restricted = false;
    enum kind kind = recognise(first, first_len, &restricted);
    if (kind == KIND_OTHER)
        return SEAL_COMPLETE_UNKNOWN;
    const char *end = last;
    struct ending e =
        find_ending((struct text){end, end + last_len}, last_len == size, kind == KIND_MYSQL);
    if (e.kind == KIND_OTHER)
        return SEAL_COMPLETE_NO;
    if (e.after != AFTER_BLANK || (kind == KIND_CLUSTER && e.kind == KIND_DATABASE))
        return SEAL_COMPLETE_UNKNOWN;
    if (e.kind == KIND_DATABASE && restricted && !e.unrestricted)
        return SEAL_COMPLETE_UNKNOWN;
    return SEAL_COMPLETE_YES;
}

bool complete_may_be_empty(const char *path)
{
    static const char suffix[] = ".signal";
    size_t len = strlen(path), n = strlen(suffix), slashes = 0;
    for (const char *at = path; *at; at++)
        slashes += *at == '/';
    return slashes > 3 || (slashes == 3 && len > n && strcmp(path + len - n, suffix) == 0);
}
