// What `bakfs restore` will do: which backup, where to, under which name.
#include "backend/base/scope.h"
#include "backend/base/utf8.h"
#include "tools/catalog/when.h"
#include "tools/cli.h"
#include "tools/mounted.h"
#include "tools/restore/swap.h"
#include "tools/restore/verb.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define JOBS_MOST 4 // by itself: more of them are asked for

int plan_check_conninfo(const char *conninfo, struct err *err)
{
    bool named = false;
    for (const char *p = conninfo; !named && (p = strcasestr(p, "password"));
         p += strlen("password"))
        named = p[strlen("password") + strspn(p + strlen("password"), " \t")] == '=';
    const char *scheme = strstr(conninfo, "://");
    const char *who = scheme ? scheme + 3 : "";
    const char *at = memchr(who, '@', strcspn(who, "/?"));
    const char *colon = at ? memchr(who, ':', (size_t)(at - who)) : NULL;
    if (!named && !colon)
        return 0;
    return err_set(err, EINVAL,
                   "no password belongs on a command line, where everybody sees it: put it into "
                   "~/.pgpass (mode 0600), or "
                   "type PGPASSWORD=... before the command");
}

// --- The mount and the backup ---

// No configuration is needed where BACKUP is a path: its mount is found above it.
static int find_mount(struct conf *conf, const char *word, struct err *err)
{
    auto_free char *path = strchr(word, '/') ? realpath(word, NULL) : NULL;
    while (path && strlen(path) > 1) {
        if (mounted_check(path, NULL) == 0) {
            auto_free char *setting = NULL;
            if (asprintf(&setting, "mount.point=%s", path) < 0) {
                setting = NULL;
                return err_errno(err, ENOMEM, "restore");
            }
            return conf_set(conf, setting, err);
        }
        *strrchr(path, '/') = '\0';
    }
    if (!*conf->mount.point)
        return err_set(
            err, ENOENT,
            "no mount: set [mount] point in %s, or name the backup by its path on a mounted bakfs",
            conf_path(NULL));
    return 0;
}

static int read_meta(const struct request *r, struct plan *p, struct err *err)
{
    if (!p->backup->meta)
        return 0;
    struct err why = {0};
    int rc = meta_read_below(p->conf->mount.point, p->backup->meta, &p->meta, &why);
    if (rc == 0 || !r->force) {
        if (rc != 0)
            err_copy(err, &why);
        return rc;
    }
    return finding(&p->findings, DIFFERENCE_NOTE, err,
                   "META: cannot be read, nothing is compared: %s", why.text);
}

static int choose(const struct request *r, char *const *argv, int argc, struct plan *p,
                  struct err *err)
{
    int used = 0;
    int rc = find_mount(p->conf, argv[0], err);
    rc = rc ? rc : backups_named(p->conf, argv, argc, &used, &p->backups, err);
    if (rc == 0 && used != argc)
        rc = err_set(err, EINVAL, "'%s' is one word too many: one BACKUP is restored at a time",
                     argv[used]);
    rc = rc ? rc : backups_choose(&p->backups, r->at, r->force, &p->backup, err);
    if (rc != 0)
        return rc;
    p->db = conf_database_find(p->conf, argv[0], NULL); // two may share a HOST and PARTITION
    if (!p->db)
        p->db = backup_database(p->conf, p->backup);
    return read_meta(r, p, err);
}

// --- Where to ---

static struct pg_server server_of(const struct request *r, const struct plan *p)
{
    if (r->to)
        return (struct pg_server){.conninfo = r->to};
    if (*p->conf->restore.conninfo || *p->conf->restore.service)
        return (struct pg_server){.conninfo = p->conf->restore.conninfo,
                                  .service = p->conf->restore.service};
    if (p->db)
        return (struct pg_server){.conninfo = p->db->conninfo, .service = p->db->service};
    return (struct pg_server){.conninfo = NULL};
}

static int describe(struct pg *pg, struct plan *p, struct err *err)
{
    struct pg_rows *rows = NULL;
    int rc = pg_query(
        pg, "SELECT current_setting('port'), split_part(current_setting('server_version'), ' ', 1)",
        NULL, 0, &rows, err);
    if (rc == 0)
        snprintf(p->where, sizeof(p->where), "%s port %s as %s (PostgreSQL %s)",
                 *pg_host(pg) ? pg_host(pg) : "this host", pg_value(rows, 0, 0), pg_user(pg),
                 pg_value(rows, 0, 1));
    pg_rows_free(rows);
    return rc;
}

static int count_sessions(struct pg *pg, struct plan *p, struct err *err)
{
    struct pg_rows *rows = NULL;
    const char *name = p->name;
    int rc = pg_query(pg, "SELECT count(*) FROM pg_stat_activity WHERE datname = $1", &name, 1,
                      &rows, err);
    if (rc == 0)
        p->sessions = strtoull(pg_value(rows, 0, 0), NULL, 10);
    pg_rows_free(rows);
    return rc;
}

static bool is_maintenance(const char *name)
{
    return strcmp(name, "postgres") == 0 || strcmp(name, "template0") == 0 ||
           strcmp(name, "template1") == 0;
}

static int name_it(const struct request *r, struct pg *pg, struct plan *p, struct err *err)
{
    const char *own = p->meta && *p->meta->database ? p->meta->database : p->backup->partition;
    bool exists = false;
    snprintf(p->name, sizeof(p->name), "%s", r->into ? r->into : own);
    int rc = database_exists(pg, p->name, &exists, err);
    if (rc != 0)
        return rc;
    if (r->replace && is_maintenance(p->name))
        return err_set(err, EINVAL,
                       "%s is a database of the server itself and is not replaced: use --into",
                       p->name);
    p->replaces = r->replace && exists;
    if (p->replaces) {
        rc = swap_old_name(p->name, time(NULL), p->old_name, err);
        if (rc == 0 && restore_scratch_name("restore", p->name, p->made) != 0)
            rc = err_set(err, EIO, "no name for the new database");
        return rc ? rc : count_sessions(pg, p, err);
    }
    if (!r->into && exists) { // beside it
        char stamp[20];
        when_stamp(p->meta ? p->meta->snapshot.tv_sec : p->backup->when, stamp);
        snprintf(p->name, sizeof(p->name), "%.*s_%s", (int)utf8_fit(own, 63 - 1 - strlen(stamp)),
                 own, stamp);
    }
    return 0;
}

static unsigned processors(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return n > JOBS_MOST ? JOBS_MOST : (unsigned)n;
}

static void fill_job(const struct request *r, struct plan *p)
{
    p->job = (struct restore_job){
        .verb = "restore",
        .point = p->conf->mount.point,
        .backup = p->backup,
        .meta = p->meta,
        .conf = p->db,
        .server = server_of(r, p),
        .tables = r->tables,
        .jobs = r->jobs                    ? r->jobs
                : p->db && p->db->jobs > 1 ? p->db->jobs
                                           : processors(),
        .no_owner = r->no_owner,
        .no_privileges = r->no_privileges,
        .no_tablespaces = r->no_tablespaces,
    };
}

static int find_target(const struct request *r, struct plan *p, struct err *err)
{
    if (p->source.kind == SOURCE_COMMAND) {
        snprintf(p->name, sizeof(p->name), "%s", r->into ? r->into : "");
        snprintf(p->where, sizeof(p->where), "restore_command of [database %s]", p->db->name);
        p->job.database = p->name;
        return *p->name ? 0
                        : err_set(err, EINVAL,
                                  "another engine's backup: say with --into what its "
                                  "restore_command gets as $BAKFS_INTO");
    }
    struct pg *pg = NULL;
    int rc = database_admin(&p->job.server, "restore", &pg, err);
    rc = rc ? rc : describe(pg, p, err);
    rc = rc ? rc : name_it(r, pg, p, err);
    pg_close(pg);
    p->job.database = p->replaces ? p->made : p->name;
    return rc;
}

static int refuse(const struct request *r, const struct plan *p, struct err *err)
{
    bool command = p->source.kind == SOURCE_COMMAND;
    if (command && (r->replace || r->tables))
        return err_set(
            err, EOPNOTSUPP,
            "--replace and --table are for PostgreSQL; what a restore_command does is its own");
    if (p->replaces && !p->meta && !r->force)
        return err_set(err, EOPNOTSUPP,
                       "%s has no META: nothing proves that what was restored is whole, so it "
                       "replaces nothing; restore it "
                       "--into a new name, or add --force",
                       p->backup->dump);
    return 0;
}

int plan_make(const struct request *r, char *const *argv, int argc, struct plan *p, struct err *err)
{
    int rc = conf_load(r->conf_path, &p->conf, err);
    rc = rc ? rc : choose(r, argv, argc, p, err);
    if (rc != 0)
        return rc;
    fill_job(r, p);
    rc = source_find(&p->job, &p->source, err);
    rc = rc ? rc : find_target(r, p, err);
    rc = rc ? rc : refuse(r, p, err);
    return rc ? rc : restore_preflight(&p->job, &p->findings, err);
}

void plan_done(struct plan *p)
{
    source_done(&p->source);
    comparison_done(&p->findings);
    meta_free(p->meta);
    backups_done(&p->backups);
    conf_free(p->conf);
}

// --- Showing it ---

static void line(const char *word, const char *text)
{
    printf("  %-10s", word);
    cli_print_safe(stdout, text);
    putchar('\n');
}

static void print_backup(const struct plan *p, time_t now)
{
    const struct backup *b = p->backup;
    static const char *const kinds[] = {[SOURCE_CUSTOM] = "custom format",
                                        [SOURCE_DIRECTORY] = "directory format",
                                        [SOURCE_TAR] = "tar format",
                                        [SOURCE_PLAIN] = "SQL",
                                        [SOURCE_COMMAND] = "of another engine"};
    char when[WHEN_TEXT_BYTES], text[512];
    line("backup", p->source.path);
    bool exact = p->meta && p->meta->snapshot.tv_sec > 0;
    when_text(exact ? p->meta->snapshot.tv_sec : b->when, now, when);
    snprintf(text, sizeof(text), "%s%s", when, exact ? "" : ", as far as its name and file tell");
    line("state of", text);
    if (b->verified == BACKUP_NOT_VERIFIED) {
        line("verified", "never");
    } else {
        when_text(b->verified_at, now, when);
        snprintf(text, sizeof(text), "%s %s", b->verified == BACKUP_VERIFIED_PASS ? "PASS" : "FAIL",
                 when);
        line("verified", text);
    }
    char version[32] = "", size[32];
    if (p->meta && p->meta->server_version)
        snprintf(version, sizeof(version), ", PostgreSQL %d.%d", p->meta->server_version / 10000,
                 p->meta->server_version % 10000);
    cli_size_text(p->source.bytes, size);
    snprintf(text, sizeof(text), "%s, %s%s", size, kinds[p->source.kind], version);
    line("size", text);
}

void plan_print(const struct request *r, const struct plan *p)
{
    const char *why = NULL;
    char text[1024];
    printf("This will be restored:\n");
    print_backup(p, time(NULL));
    if (!backup_is_good(p->backup, &why))
        line("WARNING", why);
    printf("\nto:\n");
    line("server", p->where);
    snprintf(text, sizeof(text),
             p->replaces ? "%.255s, in the place of the one that is there" : "%.255s, a new one",
             p->name);
    line("database", text);
    for (const char *const *t = r->tables; t && *t; t++)
        line("table", *t);
    if (p->replaces) {
        snprintf(text, sizeof(text), "restored and compared as %s first, while %.255s goes on",
                 p->made, p->name);
        line("before", text);
        snprintf(text, sizeof(text), "its sessions are ended (%zu now), and it is kept as %s",
                 p->sessions, p->old_name);
        line("the old", text);
    }
    if (!p->meta && p->source.kind != SOURCE_COMMAND)
        line("note",
             "no META beside it: nothing to compare with, PASS says only that it went through");
    for (size_t i = 0; i < p->findings.count; i++)
        line(p->findings.list[i].level == DIFFERENCE_FAIL ? "PROBLEM" : "note",
             p->findings.list[i].text);
    putchar('\n');
    fflush(stdout);
}
