// bakfs list: walks the mount and shows what backups there are.
#include "backend/base/scope.h"
#include "conf/conf.h"
#include "tools/catalog/backups.h"
#include "tools/catalog/names.h"
#include "tools/cli.h"
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
    "big they are and what of that is stored, how long ago they were committed, whether they were\n"
    "verified (yes, FAILED, or not at all), and whether the dump ran to its end (yes, NO, or\n"
    "unknown where the file does not say). What says NO stopped short, is empty or was not\n"
    "finished: it is no backup, and is named once more at the end. Of what bakfs made the dump is\n"
    "shown; of what was copied in, each file.\n"
    "\n"
    "  --json        an array of objects instead of a table; \"complete\": \"no\" and\n"
    "                \"finished\": false are no backups\n"
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
    bool ours, finished; // of a backup that bakfs made: META is there
    enum backup_verified verified;
};

struct list {
    const char *point;
    const char *host, *partition; // wanted, or NULL
    struct row *rows;
    size_t count, room;
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

// `path`: below the mount.
static struct row *add(struct list *list, const struct backup *b, const char *path)
{
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        struct row *more = reallocarray(list->rows, room, sizeof(*more));
        if (!more)
            return NULL;
        list->rows = more;
        list->room = room;
    }
    struct row row = {.host = strdup(b->host),
                      .date = strdup(b->date),
                      .partition = strdup(b->partition),
                      .file = strdup(path + strlen(b->host) + strlen(b->date) + 2),
                      .complete = "unknown",
                      .ours = b->ours,
                      .finished = b->finished,
                      .verified = b->verified};
    if (!row.host || !row.date || !row.partition || !row.file) {
        row_done(&row);
        return NULL;
    }
    list->rows[list->count] = row;
    return &list->rows[list->count++];
}

// A file; what is gone meanwhile is left out.
static int add_file(struct list *list, const struct backup *b, const char *path, struct err *err)
{
    auto_free char *whole = NULL;
    struct stat st;
    if (asprintf(&whole, "%s/%s", list->point, path) < 0) {
        whole = NULL;
        return err_errno(err, ENOMEM, "%s", path);
    }
    if (lstat(whole, &st) != 0)
        return errno == ENOENT ? 0 : err_errno(err, errno, "%s", path);
    struct row *row = add(list, b, path);
    if (!row)
        return err_errno(err, ENOMEM, "%s", path);
    fill_facts(row, whole, &st);
    return 0;
}

// Of a directory that people copied in each file is shown.
static int add_files(struct list *list, const struct backup *b, struct err *err)
{
    auto_free char *start = NULL;
    if (asprintf(&start, "%s/%s", list->point, b->dump) < 0) {
        start = NULL;
        return err_errno(err, ENOMEM, "%s", b->dump);
    }
    char *starts[] = {start, NULL};
    FTS *walk = fts_open(starts, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (!walk)
        return err_errno(err, errno, "%s", b->dump);
    int rc = 0;
    errno = 0;
    for (FTSENT *entry; rc == 0 && (entry = fts_read(walk)); errno = 0) {
        bool hidden = entry->fts_name[0] == '.' && entry->fts_level > 0;
        const char *below = entry->fts_path + strlen(list->point) + 1;
        struct name_base base;
        name_base(entry->fts_name, &base);
        if (hidden)
            fts_set(walk, entry, FTS_SKIP);
        else if (entry->fts_info == FTS_F && base.added != NAME_ADDED_VERIFIED)
            rc = add_file(list, b, below, err);
        else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR)
            rc = err_errno(err, entry->fts_errno, "%s", below);
    }
    if (rc == 0 && errno)
        rc = err_errno(err, errno, "%s", b->dump);
    fts_close(walk);
    return rc;
}

// A file whose facts came with the names, or a directory of pg_dump -Fd: one backup, one line.
static int add_dump(struct list *list, struct backup *b, struct err *err)
{
    static const char *const words[] = {[BACKUP_COMPLETE_UNKNOWN] = "unknown",
                                        [BACKUP_COMPLETE_YES] = "yes",
                                        [BACKUP_COMPLETE_NO] = "no"};
    int rc = b->dump_is_dir ? backup_ask_sizes(list->point, b, err) : 0;
    struct row *row = rc ? NULL : add(list, b, b->dump);
    if (!row)
        return rc ? rc : err_errno(err, ENOMEM, "%s", b->dump);
    row->size = b->size;
    row->stored = b->stored;
    row->committed.tv_sec = b->committed;
    strcpy(row->complete, words[b->complete]);
    return 0;
}

static int add_backup(struct list *list, struct backup *b, struct err *err)
{
    if (b->dump_is_dir && !b->ours)
        return add_files(list, b, err);
    int rc = b->dump && (b->dump_is_dir || b->committed) ? add_dump(list, b, err)
                                                         : add_file(list, b, backup_path(b), err);
    if (b->ours)
        return rc;
    const char *beside[] = {b->schema, b->globals};
    for (size_t i = 0; i < 2 && rc == 0; i++)
        if (beside[i])
            rc = add_file(list, b, beside[i], err);
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int order = strcmp(x->host, y->host);
    if (order == 0)
        order = strcmp(x->date, y->date);
    return order ? order : strcmp(x->file, y->file);
}

static int load(struct list *list, struct err *err)
{
    struct backups all = {.list = NULL};
    int rc = backups_load(list->point, list->host, list->partition, BACKUPS_SIZES, &all, err);
    for (size_t i = 0; i < all.count && rc == 0; i++)
        rc = add_backup(list, &all.list[i], err);
    backups_done(&all);
    if (list->count)
        qsort(list->rows, list->count, sizeof(*list->rows), by_place);
    return rc;
}

// --- Output ---

static bool is_incomplete(const struct row *row)
{
    return strcmp(row->complete, "no") == 0 || !row->finished;
}

static const char *verified_word(const struct row *row)
{
    return row->verified == BACKUP_VERIFIED_PASS   ? "yes"
           : row->verified == BACKUP_VERIFIED_FAIL ? "FAILED"
                                                   : "-";
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
    printf("%9s  %9s  %5s  %-8s  %s\n", "SIZE", "STORED", "AGE", "VERIFIED", "COMPLETE");
    for (size_t i = 0; i < list->count; i++) {
        const struct row *row = &list->rows[i];
        char size[32], stored[32], age[32];
        cli_size_text(row->size, size);
        cli_size_text(row->stored, stored);
        age_text(age_s(row), age, sizeof(age));
        print_cell(row->host, host);
        print_cell(row->date, 10);
        print_cell(row->partition, partition);
        print_cell(row->file, file);
        printf("%9s  %9s  %5s  %-8s  ", size, stored, age, verified_word(row));
        // META comes last, after a dump tool that ended well
        cli_print_safe(stdout, is_incomplete(row) ? "NO" : row->ours ? "yes" : row->complete);
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
    fprintf(stderr,
            "bakfs list: %zu of these %s no backup: the dump stopped short, is empty, or was not "
            "finished (no META)\n",
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
        printf("\"verified\": %s, ", row->verified == BACKUP_VERIFIED_PASS   ? "true"
                                     : row->verified == BACKUP_VERIFIED_FAIL ? "false"
                                                                             : "null");
        printf("\"finished\": %s, \"complete\": ", row->finished ? "true" : "false");
        cli_print_json(stdout, row->complete);
        putchar('}');
    }
    puts(list->count ? "\n]" : "]");
}

static bool one_component(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool host_is_there(const struct list *list)
{
    auto_free char *path = NULL;
    struct stat st;
    if (asprintf(&path, "%s/%s", list->point, list->host) < 0)
        path = NULL;
    return path && lstat(path, &st) == 0;
}

static int list_mount(const struct conf *conf, struct list *list, bool json)
{
    struct err err;
    list->point = conf->mount.point;
    if (load(list, &err) != 0)
        return cli_fail("bakfs list", &err, NULL);
    if (list->host && list->count == 0 && !host_is_there(list)) {
        err_set(&err, ENOENT, "no backups of host %s in %s", list->host, list->point);
        return cli_fail("bakfs list", &err, NULL);
    }
    if (json)
        print_json(list);
    else if (list->count > 0)
        print_table(list);
    else
        fprintf(stderr, "bakfs list: no backups%s%s in %s\n", list->partition ? " of " : "",
                list->partition ? list->partition : "", list->point);
    if (!json)
        name_incomplete(list);
    // who asked for a certain one, and there is none, is told by the exit code too
    bool missing = list->partition && list->count == 0;
    return cli_finish("bakfs list", missing ? CLI_FAILED : CLI_DONE);
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
