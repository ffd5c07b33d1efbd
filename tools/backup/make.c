#include "tools/backup/make.h"

#include "backend/base/clock.h"
#include "backend/base/scope.h"
#include "tools/backup/lock.h"
#include "tools/backup/make_impl.h"
#include "tools/catalog/when.h"
#include "tools/daemon_status.h"
#include "tools/mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TICK_MS 500

// --- What the steps share ---

int making_set(char **text, const char *value, struct err *err)
{
    char *copy = strdup(value);
    if (!copy)
        return err_errno(err, ENOMEM, "META");
    free(*text);
    *text = copy;
    return 0;
}

int making_place(struct making *m, struct timespec when, struct err *err)
{
    int rc = site_open(m->job->conf, m->job->db, when.tv_sec, &m->site, err);
    if (rc == 0)
        rc = making_set(&m->meta->host, m->site.host, err);
    if (rc == 0)
        rc = making_set(&m->meta->partition, m->site.partition, err);
    m->meta->snapshot = when;
    return rc;
}

static void tell(const struct making *m, const char *stage, const char *name)
{
    struct stat st;
    if (!m->job->progress)
        return;
    bool known = name && fstatat(m->site.dir, name, &st, 0) == 0 && S_ISREG(st.st_mode);
    m->job->progress(m->job->ctx, stage, known ? (uint64_t)st.st_size : 0);
}

int making_wait(struct making *m, struct process *child, const char *what, const char *stage,
                const char *name, struct err *err)
{
    struct process_end end = {0};
    int rc = 0;
    tell(m, stage, name);
    while (rc == 0 && !process_wait_for(child, TICK_MS, &end)) {
        if (process_stop_asked())
            rc = process_wait(child, &end, err); // ends it
        else
            tell(m, stage, name);
    }
    if (rc == 0)
        rc = process_judge(child, what, &end, err);
    process_free(child);
    return rc;
}

int making_run(struct making *m, const struct process_conf *conf, const char *what,
               const char *suffix, char **out, struct err *err)
{
    char name[SITE_NAME_BYTES];
    site_name(&m->site, suffix, name);
    int fd = site_create(&m->site, name, err);
    if (fd < 0)
        return fd;
    struct process_conf with = *conf;
    with.out = fd;
    struct process *child = NULL;
    int rc = process_start(&with, &child, err);
    if (rc == 0)
        rc = making_wait(m, child, what, what, name, err);
    if (rc == 0)
        return site_commit(fd, name, err) == 0 ? making_set(out, name, err) : -EIO;
    close(fd);
    return rc;
}

// --- The end of it ---

// Every file is asked for in the store, then META is written, and asked for too.
static int write_meta(struct making *m, char name[SITE_NAME_BYTES], struct err *err)
{
    const char *const files[] = {m->meta->dump, m->meta->globals, m->meta->schema};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(files) / sizeof(files[0]); i++)
        if (*files[i])
            rc = site_check(&m->site, files[i], m->meta, &m->stored, err);
    if (rc != 0)
        return rc;
    clock_gettime(CLOCK_REALTIME, &m->meta->ended);
    facts_sort(&m->meta->facts);
    site_name(&m->site, ".META", name);
    int fd = site_create(&m->site, name, err);
    if (fd < 0)
        return fd;
    FILE *out = fdopen(fd, "we");
    if (!out) {
        rc = err_errno(err, errno, "write %s", name);
        close(fd);
        return rc;
    }
    rc = meta_write(out, m->meta, err);
    if (rc != 0) {
        fclose(out);
        return rc;
    }
    if (fclose(out) != 0)
        return err_errno(err, errno, "store %s", name);
    return site_check(&m->site, name, NULL, &m->stored, err);
}

static char *below(const struct site *s, const char *name)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s/%s/%s", s->host, s->date, s->partition, name) < 0)
        return NULL;
    return path;
}

static int tell_made(const struct making *m, const char *meta_name, struct backup_made *out,
                     struct err *err)
{
    struct backup_made made = {.dump = below(&m->site, m->meta->dump),
                               .meta = below(&m->site, meta_name),
                               .when = m->meta->snapshot.tv_sec,
                               .stored = m->stored};
    if (!made.dump || !made.meta) {
        backup_made_done(&made);
        return err_errno(err, ENOMEM, "tell what was made");
    }
    when_stamp(made.when, made.stamp);
    size_t len = strlen(m->meta->dump);
    for (size_t i = 0; i < m->meta->file_count; i++)
        if (strncmp(m->meta->files[i].name, m->meta->dump, len) == 0)
            made.size += m->meta->files[i].size;
    *out = made;
    return 0;
}

// What failed is said first; then why nothing is left, or what is.
static int take_back(struct making *m, struct err *err)
{
    struct err why = {0};
    if (m->site.dir < 0)
        return -err->code;
    bool lost = site_is_lost(&m->site);
    if (site_remove(&m->site, &why) != 0 && !lost) {
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof(err->text) - used,
                 "; what is left of it is no backup (%.300s)", why.text);
    }
    if (lost && err->code != EINTR) {
        err_prefix(err, "the mount %s was lost", m->site.point);
        err->code = ENOTCONN;
    }
    return -err->code;
}

static int prepare(struct making *m, struct err *err)
{
    const struct conf_database *db = m->job->db;
    m->meta = calloc(1, sizeof(*m->meta));
    if (!m->meta)
        return err_errno(err, ENOMEM, "make a backup");
    clock_gettime(CLOCK_REALTIME, &m->meta->begun);
    char **const empty[] = {
        &m->meta->name,         &m->meta->host,        &m->meta->partition,
        &m->meta->engine,       &m->meta->format,      &m->meta->database,
        &m->meta->tool,         &m->meta->dump,        &m->meta->system_identifier,
        &m->meta->dump_tool,    &m->meta->globals,     &m->meta->schema,
        &m->meta->dump_options, &m->meta->globals_lack};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(empty) / sizeof(empty[0]); i++)
        rc = making_set(empty[i], "", err);
    if (rc == 0)
        rc = making_set(&m->meta->name, db->name, err);
    if (rc == 0)
        rc = making_set(&m->meta->tool, "bakfs " BAKFS_VERSION, err);
    struct daemon_status status;
    if (rc == 0 && daemon_status_read(m->job->conf->mount.point, &status, NULL) == 0)
        m->meta->clock_offset_ms = status.clock_offset_ms;
    return rc;
}

int make_backup(const struct make_job *job, struct backup_made *out, struct err *err)
{
    struct err local = {0};
    if (!err)
        err = &local;
    uint64_t begun = clock_ms();
    struct making m = {.job = job, .site = {.dir = -1}};
    if (!*job->conf->mount.point)
        return err_set(err, EINVAL, "no mount point: set [mount] point in the configuration");
    int rc = mounted_check(job->conf->mount.point, err);
    if (rc != 0)
        return rc;
    auto_fd int lock = backup_lock(job->conf, job->db, err);
    if (lock < 0)
        return lock;
    auto_fd int place = backup_lock_place(job->conf, job->db, err);
    if (place < 0)
        return place;
    rc = prepare(&m, err);
    if (rc == 0)
        rc = *job->db->dump_command ? make_command(&m, err) : make_pg(&m, err);
    char name[SITE_NAME_BYTES];
    if (rc == 0)
        rc = write_meta(&m, name, err);
    if (rc == 0 && process_stop_asked())
        rc = process_stopped(err);
    if (rc == 0)
        rc = tell_made(&m, name, out, err);
    if (rc == 0)
        out->duration_ms = clock_ms() - begun;
    else
        rc = take_back(&m, err);
    site_close(&m.site);
    meta_free(m.meta);
    return rc;
}

void backup_made_done(struct backup_made *made)
{
    free(made->dump);
    free(made->meta);
    *made = (struct backup_made){.dump = NULL};
}

// --- What to type ---

void make_hint(const struct make_job *job, const struct err *err, char out[512])
{
    static const struct {
        const char *says, *type;
    } known[] = {
        {"nothing is mounted", "bakfs mount"},
        {"something else than bakfs", "bakfs mount"},
        {"Read-only file system", "bakfs umount && bakfs mount, without -o ro"},
        {"dump_command exited", "it failed by itself: type what dump_command says in a shell"},
        {"the conninfo cannot be read", "write the conninfo of [database NAME] like that"},
        {"PQgetCopyData() failed",
         "did the server stop? its own log says why; then the same again"},
        {"conflict with recovery",
         "set hot_standby_feedback = on on the standby, or a longer max_standby_streaming_delay"},
        {"lock timeout", "somebody holds a lock on a table for long: see pg_stat_activity, end it, "
                         "and type the command again"},
        {"No space left on device", "df -h: [write] spool, and the store, need room"},
        {"permission denied", "the role needs to read everything: GRANT pg_read_all_data TO it, or "
                              "dump as the owner"},
        {"read-only", "bakfs umount && bakfs mount, without -o ro"},
    };
    const char *name = job->db->name;
    if (err->code == ENOTCONN) {
        snprintf(out, 512, "bakfs umount --lazy && bakfs mount && bakfs backup %s", name);
        return;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strstr(err->text, known[i].says)) {
            snprintf(out, 512, "%s", known[i].type);
            return;
        }
    if (err->code == EACCES)
        snprintf(
            out, 512,
            "run it as the user of [mount] uid, or as root: runuser -u USER -- bakfs backup %s",
            name);
    else if (err->code == ECONNREFUSED)
        snprintf(out, 512,
                 "is the server up, and does [database %s] say where it is? The password belongs "
                 "into ~/.pgpass of the user that runs this",
                 name);
    else if (err->code == EINTR || err->code == EBUSY)
        snprintf(out, 512, "bakfs backup %s", name);
    else
        snprintf(out, 512, "journalctl -t bakfs says what the mount saw; then bakfs backup %s",
                 name);
}
