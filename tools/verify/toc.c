#include "tools/verify/toc.h"

#include "backend/base/scope.h"
#include "tools/pg/pg.h"
#include "tools/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define LISTING_MAX ((size_t)256 << 20)

SCOPE_TYPE(process)

// --- The listing: "3390; 0 16385 TABLE DATA public orders app", comments begin with ';' ---

// The dump id, and whether the entry has data of its own in the archive.
static bool read_entry(const char *line, size_t len, unsigned *out_id, bool *out_table)
{
    char text[128];
    snprintf(text, sizeof(text), "%.*s", (int)(len < sizeof(text) ? len : sizeof(text) - 1), line);
    unsigned id, table, oid;
    int at = 0;
    if (sscanf(text, "%u; %u %u %n", &id, &table, &oid, &at) != 3 || at == 0)
        return false;
    *out_id = id;
    *out_table = strncmp(text + at, "TABLE DATA ", 11) == 0;
    return *out_table || strncmp(text + at, "BLOBS ", 6) == 0;
}

// The first data file of a directory archive that the listing names and that is not there.
static bool is_missing(const char *listing, bool (*has)(void *ctx, const char *name), void *ctx,
                       char text[TOC_TEXT_BYTES])
{
    static const char *const suffixes[] = {"", ".gz", ".lz4", ".zst"};
    for (const char *line = listing; *line;) {
        size_t len = strcspn(line, "\n");
        unsigned id;
        bool table = false, found = false;
        if (read_entry(line, len, &id, &table) && table) {
            char name[64];
            for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]) && !found; i++) {
                snprintf(name, sizeof(name), "%u.dat%s", id, suffixes[i]);
                found = has(ctx, name);
            }
            if (!found) {
                snprintf(text, TOC_TEXT_BYTES, "%u.dat is missing: %.*s", id,
                         (int)(len < 200 ? len : 200), line);
                return true;
            }
        }
        line += len + (line[len] == '\n');
    }
    return false;
}

// Does it name data that stands in the archive?
static bool has_data(const char *listing)
{
    for (const char *line = listing; *line;) {
        size_t len = strcspn(line, "\n");
        unsigned id;
        bool table = false;
        if (read_entry(line, len, &id, &table))
            return true;
        line += len + (line[len] == '\n');
    }
    return false;
}

// --- pg_restore -l ---

static enum toc_outcome no_listing(char text[TOC_TEXT_BYTES], const char *why)
{
    snprintf(text, TOC_TEXT_BYTES, "its table of contents was not looked at: %.400s", why);
    return TOC_UNKNOWN;
}

static bool is_about_us(const char *line)
{
    return strstr(line, strerror(ETIMEDOUT)) || strstr(line, strerror(EACCES)) ||
           strstr(line, strerror(ENOTCONN)) || strstr(line, strerror(ECONNABORTED)) ||
           strstr(line, strerror(ENOMEM)) || strstr(line, "unsupported version");
}

static enum toc_outcome list(const char *tool, const char *path, char **out,
                             char text[TOC_TEXT_BYTES])
{
    auto_fd int fd = memfd_create("listing", MFD_CLOEXEC);
    if (fd < 0)
        return no_listing(text, strerror(errno));
    const char *argv[] = {tool, "-l", path, NULL};
    const char *env[] = {"LC_ALL=C", NULL};
    struct process_conf conf = {.argv = argv, .env = env, .in = -1, .out = fd};
    auto_type(process) struct process *process = NULL;
    struct err err;
    struct process_end end;
    int rc = process_start(&conf, &process, &err);
    if (rc == 0)
        rc = process_wait(process, &end, &err);
    if (rc != 0)
        return no_listing(text, err.text);
    if (process_judge(process, "pg_restore", &end, &err) != 0) {
        if (end.signal || is_about_us(process_error_line(process)))
            return no_listing(text, err.text);
        snprintf(text, TOC_TEXT_BYTES, "its table of contents cannot be read: %.400s", err.text);
        return TOC_BAD;
    }
    if (process_read_output(fd, LISTING_MAX, out, &err) != 0)
        return no_listing(text, err.text);
    return TOC_GOOD;
}

// Each block of data ends with a length of 0: five zero bytes. One that is the last ends the archive.
static enum toc_outcome look_at_end(const char *path, char text[TOC_TEXT_BYTES])
{
    unsigned char end[5] = {1};
    auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return no_listing(text, strerror(errno));
    ssize_t n = pread(fd, end, sizeof(end), st.st_size - (off_t)sizeof(end));
    if (n < 0)
        return no_listing(text, strerror(errno));
    for (size_t i = 0; i < sizeof(end); i++) {
        if (end[i] == 0)
            continue;
        snprintf(text, TOC_TEXT_BYTES, "the dump stops short: its last block of data has no end");
        return TOC_BAD;
    }
    return TOC_GOOD;
}

static bool is_in_dir(void *ctx, const char *name)
{
    struct stat st;
    const int *fd = ctx;
    return fstatat(*fd, name, &st, 0) == 0 || errno != ENOENT;
}

enum toc_outcome toc_look(const char *path, bool is_dir, const char *bindir,
                          char text[TOC_TEXT_BYTES])
{
    *text = '\0';
    auto_free char *tool = NULL, *listing = NULL;
    struct err err;
    if (pg_tool(bindir, "pg_restore", 0, &tool, &err) != 0)
        return no_listing(text, err.text);
    enum toc_outcome outcome = list(tool, path, &listing, text);
    if (outcome != TOC_GOOD)
        return outcome;
    if (strstr(listing, "TOC Entries: 0\n")) { // an empty database has some
        snprintf(text, TOC_TEXT_BYTES, "its table of contents is empty");
        return TOC_BAD;
    }
    if (!is_dir)
        return has_data(listing) ? look_at_end(path, text) : TOC_GOOD;
    auto_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return no_listing(text, strerror(errno));
    return is_missing(listing, is_in_dir, &fd, text) ? TOC_BAD : TOC_GOOD;
}
