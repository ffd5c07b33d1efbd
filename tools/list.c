// bakfs list: walks the mount and shows what backups there are.
#include "backend/base/scope.h"
#include "conf/conf.h"
#include "tools/cli.h"
#include "tools/mounted.h"
#include "tools/verb.h"

#include <errno.h>
#include <fts.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>

static const char help[] =
    "Usage: bakfs list [HOST [PARTITION]] [--json] [-c CONF]\n"
    "\n"
    "Shows the backups on the mount, the oldest of each host first: when they were dumped, how\n"
    "big they are and what of that is stored, how long ago they were committed, and whether the\n"
    "dump ran to its end (yes, NO, or unknown where the file does not say). What says NO stopped\n"
    "short or is empty: it is no backup, and is named once more at the end.\n"
    "\n"
    "  --json        an array of objects instead of a table; \"complete\": \"no\" is such a one\n"
    "  -c, --conf    the configuration, for the mount point\n"
    "\n"
    "Example:\n"
    "  bakfs list db1 orders\n";

#define INCOMPLETE_NAMED 10

struct row {
    char *host, *date, *partition, *file; // file: below DATE
    uint64_t size, stored;
    struct timespec committed;
    char complete[16];
};

struct list {
    const char *point;
    const char *host, *partition; // wanted, or NULL
    struct row *rows;
    size_t count, room;
    int failed; // exit code
};

static void row_done(struct row *row)
{
    free(row->host);
    free(row->date);
    free(row->partition);
    free(row->file);
}

static void list_done(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        row_done(&list->rows[i]);
    free(list->rows);
}

static void complain(struct list *list, const char *path, int code)
{
    struct err err;
    err_errno(&err, code, "%s", path);
    bool dead = code == ENOTCONN; // the mount is there, its daemon is not
    cli_fail("bakfs list", &err, dead ? "bakfs umount --lazy && bakfs mount" : NULL);
    list->failed = CLI_FAILED;
}

// A number or word that the daemon tells in an extended attribute.
static bool read_attribute(const char *path, const char *name, char *out, size_t room)
{
    ssize_t len = lgetxattr(path, name, out, room - 1);
    if (len < 0)
        return false;
    out[len] = '\0';
    return true;
}

static void fill_facts(struct row *row, const char *path, const struct stat *st)
{
    char text[32];
    row->size = (uint64_t)st->st_size;
    row->committed = st->st_ctim;
    row->stored = (uint64_t)st->st_blocks * 512;
    if (read_attribute(path, "user.bakfs.stored_size", text, sizeof(text)))
        row->stored = strtoull(text, NULL, 10);
    if (!read_attribute(path, "user.bakfs.complete", row->complete, sizeof(row->complete)))
        strcpy(row->complete, "unknown");
}

// `below` is HOST/DATE/NAME[/...]; a file in DATE belongs to its name up to the first dot.
static bool split(const char *below, struct row *row)
{
    const char *date = strchr(below, '/');
    const char *file = date ? strchr(date + 1, '/') : NULL;
    if (!file)
        return false;
    row->host = strndup(below, (size_t)(date - below));
    row->date = strndup(date + 1, (size_t)(file - date) - 1);
    file++;
    bool plain = strchr(file, '/') == NULL;
    row->partition = strndup(file, strcspn(file, plain ? "." : "/"));
    row->file = strdup(file);
    return true;
}

static void add(struct list *list, const FTSENT *entry)
{
    const char *below = entry->fts_path + strlen(list->point);
    struct row row = {.host = NULL};
    if (!split(below + strspn(below, "/"), &row))
        return; // no file belongs above DATE
    bool whole = row.host && row.date && row.partition && row.file;
    if (whole && list->partition && strcmp(row.partition, list->partition) != 0) {
        row_done(&row);
        return;
    }
    if (whole && list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        struct row *more = reallocarray(list->rows, room, sizeof(*more));
        if (more) {
            list->rows = more;
            list->room = room;
        } else {
            whole = false;
        }
    }
    if (!whole) {
        row_done(&row);
        complain(list, entry->fts_path, ENOMEM);
        return;
    }
    fill_facts(&row, entry->fts_path, entry->fts_statp);
    list->rows[list->count++] = row;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

// What the walk need not go into: other hosts' siblings, latest/ (links to what is listed anyway), temporary names.
static bool skipped(const struct list *list, const FTSENT *entry, int depth)
{
    if (entry->fts_name[0] == '.' && depth > 0)
        return true;
    if (depth == 2 && strcmp(entry->fts_name, "latest") == 0)
        return true;
    if (depth == 3 && list->partition) {
        size_t len = strlen(list->partition);
        char behind = entry->fts_name[len < entry->fts_namelen ? len : entry->fts_namelen];
        return strncmp(entry->fts_name, list->partition, len) != 0 ||
               (behind != '\0' && behind != '.');
    }
    return false;
}

static void walk_entry(struct list *list, FTS *walk, FTSENT *entry, int above)
{
    int depth = entry->fts_level + above; // 1 HOST, 2 DATE, 3 PARTITION
    switch (entry->fts_info) {
    case FTS_D:
        if (skipped(list, entry, depth))
            fts_set(walk, entry, FTS_SKIP);
        break;
    case FTS_F:
        if (!skipped(list, entry, depth))
            add(list, entry);
        break;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        complain(list, entry->fts_path, entry->fts_errno);
        break;
    default:
        break;
    }
}

static int walk(struct list *list, struct err *err)
{
    auto_free char *start = NULL;
    if (asprintf(&start, "%s%s%s", list->point, list->host ? "/" : "",
                 list->host ? list->host : "") < 0) {
        start = NULL;
        return err_errno(err, ENOMEM, "list");
    }
    struct stat st;
    if (list->host && lstat(start, &st) != 0)
        return errno == ENOENT
                   ? err_set(err, ENOENT, "no backups of host %s in %s", list->host, list->point)
                   : err_errno(err, errno, "%s", start);
    char *starts[] = {start, NULL};
    FTS *walk = fts_open(starts, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, by_name);
    if (!walk)
        return err_errno(err, errno, "%s", start);
    errno = 0;
    for (FTSENT *entry; (entry = fts_read(walk)); errno = 0)
        walk_entry(list, walk, entry, list->host ? 1 : 0);
    int rc = errno ? err_errno(err, errno, "%s", start) : 0;
    fts_close(walk);
    return rc;
}

// --- Output ---

static bool is_incomplete(const struct row *row)
{
    return strcmp(row->complete, "no") == 0;
}

static int64_t age_s(const struct row *row)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec > row->committed.tv_sec ? now.tv_sec - row->committed.tv_sec : 0;
}

static void age_text(int64_t s, char *out, size_t room)
{
    if (s < 120)
        snprintf(out, room, "%" PRId64 "s", s);
    else if (s < 120 * 60)
        snprintf(out, room, "%" PRId64 "m", s / 60);
    else if (s < 48 * 3600)
        snprintf(out, room, "%" PRId64 "h", s / 3600);
    else
        snprintf(out, room, "%" PRId64 "d", s / 86400);
}

static void size_text(uint64_t n, char *out, size_t room)
{
    static const char units[] = "BKMGTPE";
    size_t unit = 0;
    double shown = (double)n;
    for (; shown >= 1023.5 && unit + 1 < strlen(units); unit++)
        shown /= 1024;
    snprintf(out, room, unit == 0 || shown >= 99.95 ? "%.0f%c" : "%.1f%c", shown, units[unit]);
}

static void print_cell(const char *text, size_t width)
{
    cli_print_safe(stdout, text);
    size_t len = strlen(text);
    printf("%*s", (int)(width > len ? width - len : 0) + 2, "");
}

static void print_table(const struct list *list)
{
    size_t host = strlen("HOST"), partition = strlen("PARTITION"), file = strlen("FILE");
    for (size_t i = 0; i < list->count; i++) {
        const struct row *row = &list->rows[i];
        host = strlen(row->host) > host ? strlen(row->host) : host;
        partition = strlen(row->partition) > partition ? strlen(row->partition) : partition;
        file = strlen(row->file) > file ? strlen(row->file) : file;
    }
    print_cell("HOST", host);
    print_cell("DATE", 10);
    print_cell("PARTITION", partition);
    print_cell("FILE", file);
    printf("%7s  %7s  %5s  %s\n", "SIZE", "STORED", "AGE", "COMPLETE");
    for (size_t i = 0; i < list->count; i++) {
        const struct row *row = &list->rows[i];
        char size[32], stored[32], age[32];
        size_text(row->size, size, sizeof(size));
        size_text(row->stored, stored, sizeof(stored));
        age_text(age_s(row), age, sizeof(age));
        print_cell(row->host, host);
        print_cell(row->date, 10);
        print_cell(row->partition, partition);
        print_cell(row->file, file);
        printf("%7s  %7s  %5s  ", size, stored, age);
        cli_print_safe(stdout, is_incomplete(row) ? "NO" : row->complete);
        putchar('\n');
    }
}

// On standard error: behind a long table, and where the table itself goes into a file, it is still seen.
static void name_incomplete(const struct list *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++)
        count += is_incomplete(&list->rows[i]);
    if (count == 0)
        return;
    fflush(stdout);
    fprintf(stderr, "bakfs list: %zu of these %s no backup: the dump stopped short or is empty\n",
            count, count == 1 ? "is" : "are");
    size_t named = 0;
    for (size_t i = list->count; i-- > 0 && named < INCOMPLETE_NAMED;) { // the newest first
        const struct row *row = &list->rows[i];
        if (!is_incomplete(row))
            continue;
        fputs("  ", stderr);
        cli_print_safe(stderr, row->host);
        fputc('/', stderr);
        cli_print_safe(stderr, row->date);
        fputc('/', stderr);
        cli_print_safe(stderr, row->file);
        fputc('\n', stderr);
        named++;
    }
    if (named < count)
        fprintf(stderr, "  and %zu more\n", count - named);
}

static void print_member(const char *name, const char *value)
{
    printf("\"%s\": ", name);
    cli_print_json(stdout, value);
    fputs(", ", stdout);
}

static void print_json(const struct list *list)
{
    putchar('[');
    for (size_t i = 0; i < list->count; i++) {
        const struct row *row = &list->rows[i];
        char when[32] = "";
        struct tm tm;
        if (gmtime_r(&row->committed.tv_sec, &tm))
            strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
        printf("%s\n  {", i ? "," : "");
        print_member("host", row->host);
        print_member("date", row->date);
        print_member("partition", row->partition);
        print_member("file", row->file);
        print_member("committed", when);
        printf("\"age_s\": %" PRId64 ", \"size\": %" PRIu64 ", \"stored\": %" PRIu64 ", ",
               age_s(row), row->size, row->stored);
        printf("\"complete\": ");
        cli_print_json(stdout, row->complete);
        putchar('}');
    }
    puts(list->count ? "\n]" : "]");
}

static bool one_component(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int list_mount(const struct conf *conf, struct list *list, bool json)
{
    struct err err;
    if (!*conf->mount.point) {
        err_set(&err, EINVAL, "no mount point: set [mount] point in the configuration");
        return cli_fail("bakfs list", &err, NULL);
    }
    if (mounted_check(conf->mount.point, &err) != 0)
        return cli_fail("bakfs list", &err, "bakfs mount");
    list->point = conf->mount.point;
    if (walk(list, &err) != 0)
        return cli_fail("bakfs list", &err, NULL);
    if (json)
        print_json(list);
    else if (list->count > 0)
        print_table(list);
    else if (!list->failed)
        fprintf(stderr, "bakfs list: no backups%s%s in %s\n", list->partition ? " of " : "",
                list->partition ? list->partition : "", list->point);
    if (!json)
        name_incomplete(list);
    // who asked for a certain one, and there is none, is told by the exit code too
    bool missing = list->partition && list->count == 0;
    return cli_finish("bakfs list", list->failed ? list->failed : missing ? CLI_FAILED : CLI_DONE);
}

int verb_list(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"conf", required_argument, NULL, 'c'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *conf_path = NULL;
    bool json = false;
    for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (c == 'h')
            return cli_help(help);
        if (c == 'c')
            conf_path = optarg;
        else if (c == 'j')
            json = true;
        else
            return cli_usage("bakfs list", "wrong usage");
    }
    if (argc - optind > 2)
        return cli_usage("bakfs list", "at most HOST and PARTITION");
    struct list list = {.host = argc > optind ? argv[optind] : NULL,
                        .partition = argc > optind + 1 ? argv[optind + 1] : NULL};
    if ((list.host && !one_component(list.host)) ||
        (list.partition && !one_component(list.partition)))
        return cli_usage("bakfs list", "HOST and PARTITION are names, not paths");
    struct conf *conf = NULL;
    struct err err;
    if (conf_load(conf_path, &conf, &err) != 0)
        return cli_fail("bakfs list", &err, NULL);
    int code = list_mount(conf, &list, json);
    list_done(&list);
    conf_free(conf);
    return code;
}
