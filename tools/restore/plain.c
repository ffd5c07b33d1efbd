#include "tools/restore/plain.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

// A line that is longer is none that is left out, and no COPY: of 1,600 columns with names of 63 bytes one fits.
#define LINE_BYTES (256 << 10)
#define TYPE_BYTES 64
#define TAG_BYTES 64 // of a dollar quote: an identifier of at most 63 bytes

struct plain {
    struct plain_options options;
    int (*put)(void *ctx, const char *data, size_t len, struct err *err);
    void *ctx;
    char type[TYPE_BYTES];   // of the entry we are in
    char tag[TAG_BYTES + 2]; // the dollar quote we are in, with its dollars; "": none
    char quote;              // that of the literal or the name we are in; 0: none
    bool copying;            // COPY's data
    bool dashes;             // the line before was "--"
    bool long_line;          // its beginning was judged, the rest goes the same way
    bool long_out;           // it is left out
    size_t len;
    char line[LINE_BYTES];
};

struct plain *plain_new(const struct plain_options *options,
                        int (*put)(void *ctx, const char *data, size_t len, struct err *err),
                        void *ctx)
{
    struct plain *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->options = *options;
    p->put = put;
    p->ctx = ctx;
    return p;
}

void plain_free(struct plain *p)
{
    free(p);
}

static bool begins(const char *line, size_t len, const char *word)
{
    size_t n = strlen(word);
    return len >= n && memcmp(line, word, n) == 0;
}

static bool ends(const char *line, size_t len, const char *word)
{
    size_t n = strlen(word);
    return len >= n && memcmp(line + len - n, word, n) == 0;
}

static const char *last_of(const char *line, size_t len, const char *word)
{
    const char *found = NULL, *at = line;
    while ((at = memmem(at, len - (size_t)(at - line), word, strlen(word))))
        found = at++;
    return found;
}

// "-- Name: orders; Type: TABLE; Schema: public; Owner: postgres", also "-- Data for Name: ..."
static void see_entry(struct plain *p, const char *line, size_t len)
{
    if (!begins(line, len, "-- ") || !memmem(line, len, "Name: ", 6))
        return;
    const char *type = last_of(line, len, "; Type: ");
    const char *schema = last_of(line, len, "; Schema: ");
    if (!type || !schema || schema < type)
        return;
    type += strlen("; Type: ");
    size_t n = (size_t)(schema - type);
    if (n >= TYPE_BYTES)
        return;
    memcpy(p->type, type, n);
    p->type[n] = '\0';
}

static bool is_type(const struct plain *p, const char *type)
{
    return strcmp(p->type, type) == 0;
}

static bool entry_is_left_out(const struct plain *p)
{
    if (p->options.no_privileges && (is_type(p, "ACL") || is_type(p, "DEFAULT ACL")))
        return true;
    return p->options.scratch && (is_type(p, "EVENT TRIGGER") || is_type(p, "SUBSCRIPTION"));
}

// Length of a dollar quote's mark at `at`, 0: none.
static size_t mark_at(const char *at, size_t len)
{
    size_t n = 1;
    while (n < len && n < TAG_BYTES && (isalnum((unsigned char)at[n]) || at[n] == '_'))
        n++;
    return n < len && at[n] == '$' && !isdigit((unsigned char)at[1]) ? n + 1 : 0;
}

// The dollar quote at line[*i] begins or ends here: *i is its last byte.
static void see_dollar(struct plain *p, const char *line, size_t len, size_t *i)
{
    size_t n = mark_at(line + *i, len - *i);
    if (n == 0)
        return;
    if (!*p->tag) {
        memcpy(p->tag, line + *i, n);
        p->tag[n] = '\0';
    } else if (strlen(p->tag) == n && memcmp(p->tag, line + *i, n) == 0) {
        *p->tag = '\0';
    } else {
        return; // it may begin at this one's last dollar
    }
    *i += n - 1;
}

// The bodies of functions may hold anything, and so may literals and names: they go over lines. A quote within is doubled,
// also where backslashes are special: pg_dump writes no other.
static void see_quotes(struct plain *p, const char *line, size_t len)
{
    bool bodies = is_type(p, "FUNCTION") || is_type(p, "PROCEDURE");
    for (size_t i = 0; i < len; i++) {
        char c = line[i];
        if (p->quote)
            p->quote = c == p->quote ? 0 : p->quote;
        else if (bodies && c == '$')
            see_dollar(p, line, len, &i);
        else if (!*p->tag && (c == '\'' || c == '"'))
            p->quote = c;
        else if (!*p->tag && c == '-' && i + 1 < len && line[i + 1] == '-')
            return; // a comment
    }
}

static bool is_quoted(const struct plain *p)
{
    return *p->tag || p->quote;
}

static bool statement_is_left_out(const struct plain *p, const char *line, size_t len)
{
    if (is_quoted(p) || is_type(p, "COMMENT"))
        return false;
    if (p->options.no_owner && begins(line, len, "ALTER ") && ends(line, len, ";") &&
        memmem(line, len, " OWNER TO ", 10))
        return true;
    return p->options.no_tablespaces && begins(line, len, "SET default_tablespace = ") &&
           ends(line, len, ";");
}

// A whole line, without its end.
static bool line_is_left_out(struct plain *p, const char *line, size_t len)
{
    if (p->copying) {
        p->copying = !(len == 2 && memcmp(line, "\\.", 2) == 0);
        return false;
    }
    bool after_dashes = p->dashes, quoted = is_quoted(p);
    p->dashes = !quoted && len == 2 && memcmp(line, "--", 2) == 0;
    if (after_dashes && !quoted)
        see_entry(p, line, len);
    if (entry_is_left_out(p))
        return true;
    bool out = statement_is_left_out(p, line, len);
    see_quotes(p, line, len);
    p->copying = !quoted && !is_quoted(p) && begins(line, len, "COPY ") &&
                 ends(line, len, " FROM stdin;");
    return out;
}

static int end_line(struct plain *p, struct err *err)
{
    size_t len = p->len;
    p->len = 0;
    if (p->long_line) {
        p->long_line = false;
        if (!p->copying && !p->long_out)
            see_quotes(p, p->line, len);
        return p->long_out ? 0 : p->put(p->ctx, p->line, len, err);
    }
    size_t text = len > 0 && p->line[len - 1] == '\n' ? len - 1 : len;
    return line_is_left_out(p, p->line, text) ? 0 : p->put(p->ctx, p->line, len, err);
}

// A line that does not fit.
static int begin_long_line(struct plain *p, struct err *err)
{
    size_t len = p->len;
    p->len = 0;
    if (!p->long_line) {
        p->long_line = true;
        p->long_out = !p->copying && entry_is_left_out(p);
        p->dashes = false;
    }
    if (!p->copying && !p->long_out)
        see_quotes(p, p->line, len);
    return p->long_out ? 0 : p->put(p->ctx, p->line, len, err);
}

int plain_pass(struct plain *p, const char *data, size_t len, struct err *err)
{
    while (len > 0) {
        const char *end = memchr(data, '\n', len);
        size_t here = end ? (size_t)(end - data) + 1 : len;
        size_t room = LINE_BYTES - p->len;
        size_t n = here < room ? here : room;
        memcpy(p->line + p->len, data, n);
        p->len += n;
        data += n;
        len -= n;
        int rc = 0;
        if (p->line[p->len - 1] == '\n')
            rc = end_line(p, err);
        else if (p->len == LINE_BYTES)
            rc = begin_long_line(p, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int plain_end(struct plain *p, struct err *err)
{
    return p->len > 0 ? end_line(p, err) : 0;
}
