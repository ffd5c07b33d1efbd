// Prometheus text format 0.0.4, for node_exporter's textfile directory. Names and labels are never renamed.
#include "tools/status/status.h"

#include "backend/base/utf8.h"
#include "tools/cli.h"

#include <inttypes.h>
#include <string.h>

static void put_label(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s=\"", name);
    while (*value) {
        size_t len = utf8_character(value, UTF8_ANY_BYTES);
        if (len == 0)
            fputs("\xef\xbf\xbd", out); // U+FFFD
        else if (*value == '\n')
            fputs("\\n", out);
        else if (*value == '"' || *value == '\\')
            fprintf(out, "\\%c", *value);
        else
            fwrite(value, 1, len, out);
        value += len ? len : 1;
    }
    fputc('"', out);
}

static void head(FILE *out, const char *name, const char *help)
{
    fprintf(out, "# HELP bakfs_%s %s\n# TYPE bakfs_%s gauge\n", name, help, name);
}

static void one(FILE *out, const char *name, const char *help, double value)
{
    head(out, name, help);
    fprintf(out, "bakfs_%s %.15g\n", name, value);
}

// --- Of each partition; false: not known, and there is no such line ---

typedef bool gauge(const struct status_partition *, double *out);

static bool newest_time(const struct status_partition *p, double *out)
{
    *out = p->newest ? (double)p->newest->when : 0;
    return p->newest;
}

static bool newest_size(const struct status_partition *p, double *out)
{
    *out = p->newest ? (double)p->newest->size : 0;
    return p->newest;
}

static bool newest_stored(const struct status_partition *p, double *out)
{
    *out = p->newest ? (double)p->newest->stored : 0;
    return p->newest;
}

static bool median(const struct status_partition *p, double *out)
{
    *out = (double)p->median7;
    return p->median7;
}

static bool age(const struct status_partition *p, double *out)
{
    *out = (double)p->age_s;
    return p->newest;
}

static bool every(const struct status_partition *p, double *out)
{
    *out = (double)p->every_s;
    return p->every_s;
}

static bool overdue(const struct status_partition *p, double *out)
{
    *out = p->overdue || (p->conf && !p->newest);
    return true;
}

static bool all(const struct status_partition *p, double *out)
{
    *out = (double)p->count;
    return true;
}

static bool good(const struct status_partition *p, double *out)
{
    *out = (double)p->good;
    return true;
}

static bool bad_since(const struct status_partition *p, double *out)
{
    *out = (double)p->bad_since;
    return true;
}

static bool verified(const struct status_partition *p, double *out)
{
    *out = (double)p->verified_at;
    return p->verified_at;
}

static bool drill(const struct status_partition *p, double *out)
{
    *out = (double)p->drill.at;
    return p->drill.at;
}

static bool drill_overdue(const struct status_partition *p, double *out)
{
    *out = p->drill_overdue;
    return true;
}

static bool recovery(const struct status_partition *p, double *out)
{
    *out = (double)p->drill.restore_ms / 1000;
    return p->drill.restore_ms;
}

static bool level(const struct status_partition *p, double *out)
{
    *out = (double)p->level;
    return true;
}

static const struct {
    const char *name, *help;
    gauge *get;
} gauges[] = {
    {"backup_timestamp_seconds", "When the newest good backup was taken.", newest_time},
    {"backup_age_seconds", "Age of the newest good backup when this was written.", age},
    {"backup_every_seconds", "How often a backup is wanted.", every},
    {"backup_overdue", "1: no good backup, or the newest is older than wanted.", overdue},
    {"backup_size_bytes", "Plain bytes of the newest good backup.", newest_size},
    {"backup_stored_bytes", "Stored bytes of the newest good backup.", newest_stored},
    {"backup_size_median_bytes", "Median of the sizes of up to 7 good backups before it.", median},
    {"backups", "Backups that there are.", all},
    {"backups_good", "Good ones among them.", good},
    {"backups_not_good_since", "Unfinished, incomplete or failed ones behind the newest good one.",
     bad_since},
    {"verified_timestamp_seconds", "When a backup of it last passed a verification.", verified},
    {"drill_timestamp_seconds", "When a restore of it last passed.", drill},
    {"drill_overdue", "1: no restore was tried for longer than wanted.", drill_overdue},
    {"recovery_seconds", "How long the restore of the last drill took.", recovery},
    {"partition_level", "0 well, 1 warning, 2 not well.", level},
};

static void put_gauge(FILE *out, const struct status *s, size_t which)
{
    head(out, gauges[which].name, gauges[which].help);
    for (size_t i = 0; i < s->count; i++) {
        const struct status_partition *p = &s->partitions[i];
        double value;
        if (!gauges[which].get(p, &value))
            continue;
        fprintf(out, "bakfs_%s{", gauges[which].name);
        put_label(out, "host", p->host);
        fputc(',', out);
        put_label(out, "partition", p->partition);
        fprintf(out, "} %.15g\n", value);
    }
}

void status_show_metrics(FILE *out, const struct status *s, const struct status_look *look)
{
    one(out, "up", "1: the mount is there and its daemon answers.",
        !look->mount.code && !look->daemon_err.code);
    one(out, "status_timestamp_seconds", "When this was written.", (double)s->now);
    one(out, "level", "0 well, 1 warning, 2 not well.", (double)s->level);
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
        put_gauge(out, s, i);
    head(out, "key_proof_timestamp_seconds",
         "When a kept key last opened a backup of the host; 0: never.");
    for (size_t i = 0; i < s->host_count; i++) {
        fputs("bakfs_key_proof_timestamp_seconds{", out);
        put_label(out, "host", s->hosts[i].host);
        fprintf(out, "} %" PRId64 "\n", (int64_t)s->hosts[i].opened_at);
    }
    if (look->mount.code || look->daemon_err.code)
        return;
    one(out, "clock_offset_seconds", "The store's clock less this host's.",
        (double)look->daemon.clock_offset_ms / 1000);
    one(out, "files_failed", "Files that could not be stored since the mount.",
        (double)look->daemon.files_failed);
    one(out, "exit_codes_blind", "1: the daemon cannot see how other programs end.",
        look->daemon.blind);
}
