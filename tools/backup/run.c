#include "tools/backup/run.h"

#include "backend/base/scope.h"
#include "tools/catalog/backups.h"
#include "tools/catalog/when.h"
#include "tools/cli.h"
#include "tools/notify/notify.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct run {
    const char *prefix; // "bakfs backup"
    bool terminal, shown;
    char warnings[4096]; // lines
};

static void clear_line(struct run *r)
{
    if (r->shown)
        fputs("\r\033[K", stderr);
    r->shown = false;
}

static void progress(void *ctx, const char *stage, uint64_t bytes)
{
    struct run *r = ctx;
    if (!r->terminal)
        return;
    char size[32];
    cli_size_text(bytes, size);
    fprintf(stderr, "\r\033[K%s: %s%s%s", r->prefix, stage, bytes ? ": " : "", bytes ? size : "");
    r->shown = true;
}

static void warn(void *ctx, const char *text)
{
    struct run *r = ctx;
    clear_line(r);
    cli_warn(r->prefix, text);
    size_t used = strlen(r->warnings);
    snprintf(r->warnings + used, sizeof(r->warnings) - used, "warning: %.700s\n", text);
}

// Told or not, the backup is what it is.
static void send_notice(const struct conf *conf, const struct run *r, const struct notice *notice)
{
    struct err err = {0};
    if (notify_send(conf, notice, &err) != 0)
        cli_warn(r->prefix, err.text);
}

// "The newest good backup of it is ...", for whoever reads of a failure at night.
static void newest_text(const struct conf *conf, const struct conf_database *db, char out[512])
{
    char host[BACKUPS_HOST_BYTES], when[WHEN_TEXT_BYTES];
    struct backups all = {.list = NULL};
    const struct backup *newest = NULL;
    *out = '\0';
    if (backups_host(db, host, NULL) != 0 ||
        backups_load(conf->mount.point, host, backups_partition(db), BACKUPS_SIZES, &all, NULL) !=
            0)
        return;
    if (backups_choose(&all, 0, false, &newest, NULL) == 0) {
        when_text(newest->when, time(NULL), when);
        snprintf(out, 512, "The newest good backup of it is of %s:\n  %.300s\n", when,
                 newest->dump ? newest->dump : "");
    } else {
        snprintf(out, 512, "There is NO good backup of it.\n");
    }
    backups_done(&all);
}

static void tell_failure(const struct conf *conf, const struct conf_database *db, struct run *r,
                         const struct make_job *job, const struct err *err)
{
    char hint[512], newest[512], body[sizeof(hint) + sizeof(newest) + sizeof(r->warnings) + 256];
    make_hint(job, err, hint);
    clear_line(r);
    cli_fail(r->prefix, err, hint);
    newest_text(conf, db, newest);
    snprintf(body, sizeof(body), "No backup of %s was made.\n%s\nWhat to type next:\n  %s\n%s",
             db->name, newest, hint, r->warnings);
    send_notice(
        conf, r,
        &(struct notice){
            .pass = false, .verb = "backup", .what = db->name, .summary = err->text, .body = body});
}

static void tell_success(const struct conf *conf, const struct conf_database *db, struct run *r,
                         const struct backup_made *made)
{
    char size[32], stored[32], took[32], summary[512], body[sizeof(r->warnings) + 1024];
    clear_line(r);
    cli_size_text(made->size, size);
    cli_size_text(made->stored, stored);
    cli_took_text(made->duration_ms, took);
    snprintf(summary, sizeof(summary), "%s, %s stored, in %s%s", size, stored, took,
             *r->warnings ? ", with warnings" : "");
    snprintf(body, sizeof(body),
             "%.400s\n\nTo look at it, or restore it:\n"
             "  bakfs restore %s --at %s --into %s_restored\n%s",
             made->dump, db->name, made->stamp, db->name, r->warnings);
    send_notice(
        conf, r,
        &(struct notice){
            .pass = true, .verb = "backup", .what = db->name, .summary = summary, .body = body});
}

int backup_run(const struct conf *conf, const struct conf_database *db, const char *verb,
               struct backup_made *out)
{
    char prefix[32];
    snprintf(prefix, sizeof(prefix), "bakfs %s", verb);
    struct run r = {.prefix = prefix, .terminal = isatty(STDERR_FILENO) == 1};
    struct make_job job = {
        .verb = verb, .conf = conf, .db = db, .warn = warn, .progress = progress, .ctx = &r};
    struct err err = {0};
    int rc = make_backup(&job, out, &err);
    if (rc == 0)
        tell_success(conf, db, &r, out);
    else
        tell_failure(conf, db, &r, &job, &err);
    return rc;
}
