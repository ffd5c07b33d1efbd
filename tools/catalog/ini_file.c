#include "tools/catalog/ini_file.h"

#include "backend/base/scope.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define END_KEY "sha256"

SCOPE_TYPE(sha256)

// --- Writing ---

static void failed(struct ini_file_writer *w, int code)
{
    if (!w->error.code)
        err_errno(&w->error, code, "write");
}

static void put(struct ini_file_writer *w, const char *text, size_t len)
{
    if (w->error.code)
        return;
    if (w->len + len > w->room) {
        size_t room = 2 * (w->len + len) + 256;
        char *more = realloc(w->line, room);
        if (!more) {
            failed(w, ENOMEM);
            return;
        }
        w->line = more;
        w->room = room;
    }
    memcpy(w->line + w->len, text, len);
    w->len += len;
}

static void put_text(struct ini_file_writer *w, const char *text)
{
    put(w, text, strlen(text));
}

// NULL: an empty field among others, which a parser would trim away at the ends.
static void put_escaped(struct ini_file_writer *w, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    if (!text) {
        put(w, "\\-", 2);
        return;
    }
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        bool at_edge = p == text || p[1] == '\0';
        char code[] = {'\\', 'x', hex[c >> 4], hex[c & 15]};
        if (c == '\\')
            put(w, "\\\\", 2);
        else if (c == '\n')
            put(w, "\\n", 2);
        else if (c == '\r')
            put(w, "\\r", 2);
        else if (c == '\t')
            put(w, "\\t", 2);
        else if (c == ' ' && at_edge)
            put(w, "\\s", 2);
        else if (c < 0x20 || c == 0x7f)
            put(w, code, sizeof(code));
        else
            put(w, p, 1);
    }
}

static void end_line(struct ini_file_writer *w)
{
    put(w, "\n", 1);
    if (!w->error.code && w->len >= INI_FILE_LINE_BYTES)
        err_set(&w->error, EFBIG, "a line of %zu bytes ('%.60s...'): at most %d are possible",
                w->len, w->line, INI_FILE_LINE_BYTES - 1);
    if (!w->error.code) {
        sha256_update(w->sum, w->line, w->len);
        errno = 0;
        if (fwrite(w->line, 1, w->len, w->out) != w->len)
            failed(w, errno ? errno : EIO);
    }
    w->len = 0;
}

static void begin_line(struct ini_file_writer *w, const char *key)
{
    put_text(w, key);
    put_text(w, " = ");
}

int ini_file_begin(struct ini_file_writer *w, FILE *out, struct err *err)
{
    *w = (struct ini_file_writer){.out = out, .sum = sha256_new()};
    return w->sum ? 0 : err_errno(err, ENOMEM, "write");
}

void ini_file_section(struct ini_file_writer *w, const char *name, const char *comment)
{
    if (comment) {
        put_text(w, "; ");
        put_text(w, comment);
        end_line(w);
    }
    put_text(w, "[");
    put_text(w, name);
    put_text(w, "]");
    end_line(w);
}

void ini_file_fields(struct ini_file_writer *w, const char *key, const char *const *fields,
                     size_t count)
{
    begin_line(w, key);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            put(w, "\t", 1);
        put_escaped(w, *fields[i] || count == 1 ? fields[i] : NULL);
    }
    end_line(w);
}

void ini_file_text(struct ini_file_writer *w, const char *key, const char *value)
{
    ini_file_fields(w, key, &value, 1);
}

void ini_file_number(struct ini_file_writer *w, const char *key, int64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%" PRId64, value);
    ini_file_text(w, key, text);
}

void ini_file_time(struct ini_file_writer *w, const char *key, struct timespec value)
{
    char text[64] = "", whole[96];
    struct tm tm;
    if (!gmtime_r(&value.tv_sec, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm)) {
        failed(w, EOVERFLOW);
        return;
    }
    snprintf(whole, sizeof(whole), "%s.%09ldZ", text, value.tv_nsec);
    ini_file_text(w, key, whole);
}

static void put_hex(const uint8_t sum[SHA256_BYTES], char out[2 * SHA256_BYTES + 1])
{
    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

int ini_file_end(struct ini_file_writer *w, struct err *err)
{
    ini_file_section(w, "end", NULL);
    uint8_t sum[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    sha256_final(w->sum, sum);
    put_hex(sum, hex);
    ini_file_text(w, END_KEY, hex);
    errno = 0;
    if (!w->error.code && fflush(w->out) != 0)
        failed(w, errno ? errno : EIO);
    sha256_free(w->sum);
    free(w->line);
    w->sum = NULL;
    w->line = NULL;
    return w->error.code ? err_copy(err, &w->error) : 0;
}

// --- Reading ---

struct reader {
    FILE *file;
    const char *path;
    ini_file_handler *handler;
    void *ctx;
    struct sha256 *sum;
    char *line;       // INI_FILE_LINE_BYTES and a zero byte
    int number;       // of the line
    bool end_is_next; // the line before was [end]
    bool ended;       // its digest holds
    bool failed;
    struct err error;
};

static void refuse(struct reader *r)
{
    err_prefix(&r->error, "%s:%d", r->path, r->number);
    r->failed = true;
}

static void check_end(struct reader *r, const char *line)
{
    uint8_t sum[SHA256_BYTES];
    char wanted[sizeof(END_KEY " = \n") + 2 * SHA256_BYTES];
    sha256_final(r->sum, sum);
    char hex[2 * SHA256_BYTES + 1];
    put_hex(sum, hex);
    snprintf(wanted, sizeof(wanted), END_KEY " = %s\n", hex);
    r->ended = strcmp(line, wanted) == 0;
    if (!r->ended) {
        err_set(&r->error, EUCLEAN,
                "the digest at its end does not fit: it was cut or edited, or is no such file");
        refuse(r);
    }
}

// Judges a line before inih sees it, which cuts and skips without a word.
static void judge_line(struct reader *r, size_t len)
{
    const char *line = r->line;
    int rc = 0;
    if (r->ended)
        rc = err_set(&r->error, EUCLEAN, "there is more behind its end");
    else if (strlen(line) != len)
        rc = err_set(&r->error, EUCLEAN, "holds a zero byte");
    else if (len >= INI_FILE_LINE_BYTES)
        rc = err_set(&r->error, EUCLEAN, "a line longer than %d bytes", INI_FILE_LINE_BYTES - 1);
    else if (line[len - 1] != '\n')
        rc = err_set(&r->error, EUCLEAN, "cut in the middle of a line");
    if (rc != 0) {
        refuse(r);
        return;
    }
    if (r->end_is_next) {
        check_end(r, line);
        return;
    }
    sha256_update(r->sum, line, len);
    r->end_is_next = strcmp(line, "[end]\n") == 0;
}

// As fgets. What never ends a line is not read to its end: anybody may have written it.
static char *next_line(char *out, int room, void *stream)
{
    struct reader *r = stream;
    size_t len = 0;
    if (r->failed)
        return NULL;
    errno = 0;
    for (int c = 0; c != '\n' && len < INI_FILE_LINE_BYTES && (c = getc_unlocked(r->file)) != EOF;)
        r->line[len++] = (char)c;
    if (ferror(r->file)) {
        err_errno(&r->error, errno ? errno : EIO, "read %s", r->path);
        r->failed = true;
    }
    if (len == 0 || r->failed)
        return NULL;
    r->line[len] = '\0';
    r->number++;
    judge_line(r, len);
    if (r->failed || len >= (size_t)room)
        return NULL;
    memcpy(out, r->line, len + 1);
    return out;
}

static int take_value(void *ctx, const char *section, const char *key, const char *value)
{
    struct reader *r = ctx;
    if (r->failed)
        return 0;
    if (r->ended) // its digest: judged
        return 1;
    if (r->handler(r->ctx, section, key, value, &r->error) == 0)
        return 1;
    refuse(r);
    return 0;
}

static void parse(struct reader *r)
{
    // Debian builds inih with these as variables.
    ini_max_line = INI_FILE_LINE_BYTES;
    ini_initial_alloc = INI_FILE_LINE_BYTES;
    ini_use_stack = false;
    ini_allow_realloc = false;
    ini_allow_multiline = false;
    ini_allow_inline_comments = false;
    int wrong = ini_parse_stream(next_line, r, take_value, r);
    if (r->failed)
        return;
    if (wrong < 0) {
        err_errno(&r->error, ENOMEM, "read %s", r->path);
        r->failed = true;
    } else if (wrong > 0) {
        r->number = wrong;
        err_set(&r->error, EUCLEAN, "neither [section] nor key = value");
        refuse(r);
    } else if (!r->ended) {
        err_set(&r->error, EUCLEAN, "%s: has no end: it was cut, or is no such file", r->path);
        r->failed = true;
    }
}

int ini_file_read(const char *path, ini_file_handler *handler, void *ctx, struct err *err)
{
    FILE *file = fopen(path, "re");
    if (!file && errno == EACCES)
        return err_set(err, EACCES,
                       "%s cannot be opened: no identity of this host opens it ([seal] identity), "
                       "or the mount belongs to another user",
                       path);
    if (!file)
        return err_errno(err, errno, "read %s", path);
    auto_type(sha256) struct sha256 *sum = sha256_new();
    auto_free char *line = malloc(INI_FILE_LINE_BYTES + 1);
    struct reader r = {
        .file = file, .path = path, .handler = handler, .ctx = ctx, .sum = sum, .line = line};
    if (sum && line) {
        parse(&r);
    } else {
        err_errno(&r.error, ENOMEM, "read %s", path);
        r.failed = true;
    }
    fclose(file);
    return r.failed ? err_copy(err, &r.error) : 0;
}

// --- Values ---

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The character of the escape at `p` (behind the backslash); *used of its bytes. 0: none is known.
static char unescape(const char *p, size_t *used)
{
    static const char codes[] = "\\\\n\nr\rt\ts ";
    *used = 1;
    for (const char *code = codes; *code; code += 2)
        if (*p == code[0])
            return code[1];
    if (*p != 'x' || hex_digit(p[1]) < 0 || hex_digit(p[2]) < 0)
        return '\0';
    *used = 3;
    return (char)(hex_digit(p[1]) << 4 | hex_digit(p[2]));
}

int ini_file_field(const char **rest, char **out, struct err *err)
{
    if (!*rest)
        return err_set(err, EUCLEAN, "a field is missing");
    size_t len = strcspn(*rest, "\t");
    auto_free char *text = malloc(len + 1);
    if (!text)
        return err_errno(err, ENOMEM, "read");
    char *to = text;
    const char *end = *rest + len;
    const char *p = len == 2 && strncmp(*rest, "\\-", 2) == 0 ? end : *rest; // empty
    for (; p < end; p++) {
        if (*p != '\\') {
            *to++ = *p;
            continue;
        }
        size_t used;
        char c = unescape(p + 1, &used);
        if (!c)
            return err_set(err, EUCLEAN, "'%.4s' is no escape", p);
        *to++ = c;
        p += used;
    }
    *to = '\0';
    *rest = *end ? end + 1 : NULL;
    *out = take(text);
    return 0;
}

int ini_file_parse_number(const char *value, int64_t *out, struct err *err)
{
    char *end;
    errno = 0;
    intmax_t n = strtoimax(value, &end, 10);
    if (errno || end == value || *end || isspace((unsigned char)*value))
        return err_set(err, EUCLEAN, "'%.40s' is no number", value);
    *out = n;
    return 0;
}

int ini_file_parse_time(const char *value, struct timespec *out, struct err *err)
{
    struct tm tm = {0};
    const char *end = strptime(value, "%Y-%m-%dT%H:%M:%S", &tm);
    long nsec = 0;
    size_t digits = 0;
    if (end && *end == '.')
        for (end++; digits < 9 && isdigit((unsigned char)*end); digits++)
            nsec = nsec * 10 + (*end++ - '0');
    time_t seconds = timegm(&tm);
    if (!end || digits != 9 || strcmp(end, "Z") != 0 || seconds == (time_t)-1)
        return err_set(err, EUCLEAN, "'%.40s' is no time", value);
    *out = (struct timespec){.tv_sec = seconds, .tv_nsec = nsec};
    return 0;
}
