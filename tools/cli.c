#include "tools/cli.h"

#include "backend/base/nearest.h"
#include "backend/base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

int cli_fail(const char *verb, const struct err *err, const char *hint)
{
    fprintf(stderr, "%s: ", verb);
    cli_print_safe(stderr, err->text);
    fputc('\n', stderr);
    if (hint)
        fprintf(stderr, "hint: %s\n", hint);
    return CLI_FAILED;
}

int cli_usage(const char *verb, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", verb);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nhint: %s --help\n", verb);
    va_end(args);
    return CLI_USAGE;
}

int cli_help(const char *help)
{
    fputs(help, stdout);
    return cli_finish("bakfs", CLI_DONE);
}

void cli_warn(const char *verb, const char *sentence)
{
    fprintf(stderr, "%s: warning: ", verb);
    cli_print_safe(stderr, sentence);
    fputc('\n', stderr);
}

int cli_finish(const char *verb, int code)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "%s: write the output: %s\n", verb, strerror(errno ? errno : EIO));
    return CLI_FAILED;
}

void cli_print_safe(FILE *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        bool control = (unsigned char)*p < 0x20 || *p == 0x7f;
        fputc(control ? '?' : *p, out);
    }
}

void cli_size_text(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    double shown = (double)bytes;
    for (; shown >= 1023.5 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        shown /= 1024;
    snprintf(out, 32, unit == 0 || shown >= 99.95 ? "%.0f %s" : "%.1f %s", shown, units[unit]);
}

void cli_took_text(uint64_t ms, char out[32])
{
    uint64_t s = ms / 1000;
    if (s < 60)
        snprintf(out, 32, "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
    else if (s < 3600)
        snprintf(out, 32, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
    else
        snprintf(out, 32, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s % 3600 / 60);
}

void cli_print_json(FILE *out, const char *text)
{
    fputc('"', out);
    const unsigned char *p = (const unsigned char *)text;
    while (*p) {
        size_t len = utf8_character((const char *)p, UTF8_ANY_BYTES);
        if (len == 0) {
            fputs("\\ufffd", out);
            p++;
            continue;
        }
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(out, "\\u%04x", *p);
        else
            fwrite(p, 1, len, out);
        p += len;
    }
    fputc('"', out);
}

const char *cli_nearest(const char *given, const char *const *words)
{
    const char *best = NULL;
    unsigned least = (unsigned)strlen(given) / 2 + 1; // half of it may be wrong
    for (; *words; words++) {
        unsigned n = word_distance(given, *words);
        if (n < least) {
            least = n;
            best = *words;
        }
    }
    return best;
}
