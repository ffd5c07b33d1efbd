// What is well and what is not. Pure: everything that was looked at comes in.
#include "tools/status/status.h"

#include "backend/base/scope.h"
#include "tools/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RUNNING_S 3600 // an unfinished backup so young may still be running
#define FUTURE_S 3600  // further ahead no clock is by accident: it does not count as new
#define RHYTHM_BACKUPS 8
#define RHYTHM_LEAST 4
#define TREND_LEAST 3

// Backups start at about the same time and take theirs: an eighth more is not late.
static uint64_t with_slack(uint64_t s)
{
    return s + s / 8;
}

void status_done(struct status *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->partitions[i].host);
        free(s->partitions[i].partition);
        status_notes_done(&s->partitions[i].notes);
    }
    free(s->partitions);
    free(s->hosts);
    status_notes_done(&s->notes);
    free(s->verdict);
    *s = (struct status){.partitions = NULL};
}

// --- Numbers of one partition ---

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t median(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_u64);
    return values[count / 2];
}

// Of the sizes of up to `count` (at most 30) good ones before the newest.
static uint64_t median_size(const struct status_partition *p, size_t count)
{
    uint64_t sizes[30];
    size_t found = 0;
    if (!p->newest)
        return 0;
    for (const struct backup *b = p->newest; b-- > p->list && found < count;)
        if (b->size && backup_is_good(b, NULL))
            sizes[found++] = b->size;
    return found >= TREND_LEAST ? median(sizes, found) : 0;
}

static int64_t rhythm(const struct status_partition *p)
{
    uint64_t gaps[RHYTHM_BACKUPS];
    size_t found = 0;
    const struct backup *after = p->newest;
    for (const struct backup *b = after; after && b-- > p->list && found < RHYTHM_BACKUPS;) {
        if (!backup_is_good(b, NULL))
            continue;
        gaps[found++] = (uint64_t)(after->when - b->when);
        after = b;
    }
    return found >= RHYTHM_LEAST ? (int64_t)median(gaps, found) : 0;
}

bool status_trend(const struct status_partition *p, int64_t *out_percent)
{
    if (!p->newest || p->median7 == 0)
        return false;
    *out_percent = (int64_t)((double)p->newest->size * 100 / (double)p->median7 + 0.5) - 100;
    return true;
}

static void count(struct status_partition *p, time_t now)
{
    for (size_t i = 0; i < p->count; i++) {
        const struct backup *b = &p->list[i];
        if (b->verified == BACKUP_VERIFIED_PASS && b->verified_at > p->verified_at)
            p->verified_at = b->verified_at;
        if (!backup_is_good(b, NULL))
            continue;
        p->good++;
        if (b->when <= now + FUTURE_S)
            p->newest = b;
        else
            p->future = b;
    }
    if (p->newest)
        p->age_s = now - p->newest->when;
    p->median7 = median_size(p, 7);
    p->median30 = median_size(p, 30);
    p->rhythm_s = rhythm(p);
}

// --- Judging one partition ---

static bool is_below(const char *path, const struct status_partition *p)
{
    size_t host = strlen(p->host), partition = strlen(p->partition);
    if (strncmp(path, p->host, host) != 0 || path[host] != '/')
        return false;
    const char *name = strchr(path + host + 1, '/');
    return name && strncmp(name + 1, p->partition, partition) == 0 &&
           (name[1 + partition] == '/' || name[1 + partition] == '.');
}

static bool is_running(const struct status_look *look, const struct backup *b)
{
    if (b->finished)
        return false;
    for (unsigned i = 0; b->stem && i < look->daemon.writing_count; i++)
        if (strncmp(look->daemon.writing[i], b->stem, strlen(b->stem)) == 0)
            return true;
    return look->now - b->when < RUNNING_S;
}

static bool judge_since(const struct status_look *look, struct status_partition *p,
                        const char *again)
{
    const struct backup *last = NULL;
    const char *why = NULL;
    for (const struct backup *b = p->newest ? p->newest + 1 : p->list; b < p->list + p->count;
         b++) {
        if (is_running(look, b) || backup_is_good(b, NULL))
            continue;
        p->bad_since++;
        last = b;
    }
    if (last && !backup_is_good(last, &why)) {
        char more[64] = "";
        if (p->bad_since > 1)
            snprintf(more, sizeof(more), " (and %zu before it)", p->bad_since - 1);
        if (!status_note(&p->notes, STATUS_BAD, again, "the last backup%s is not good: %s (%s)",
                         more, why, backup_path(last)))
            return false;
    }
    for (unsigned i = 0; i < look->daemon.failure_count; i++) {
        const struct daemon_failure *f = &look->daemon.failures[i];
        if (is_below(f->path, p) && (!p->newest || f->at > p->newest->when))
            return status_note(&p->notes, STATUS_BAD, again, "%s could not be stored: %s", f->path,
                               f->reason);
    }
    return true;
}

static bool judge_age(struct status_partition *p, const char *again)
{
    char age[32], every[32];
    if (p->future &&
        !status_note(&p->notes, STATUS_WARN, "timedatectl",
                     "%s is from the future, by a wrong clock: it does not count as the newest",
                     backup_path(p->future)))
        return false;
    status_span_text((uint64_t)(p->age_s > 0 ? p->age_s : 0), age);
    status_span_text(p->every_s, every);
    if (!p->newest)
        return !p->conf ||
               status_note(&p->notes, STATUS_BAD, again, "%s",
                           p->count ? "none of its backups is good" : "it has no backup at all");
    if (p->every_s && p->age_s > (int64_t)with_slack(p->every_s)) {
        p->overdue = true;
        return status_note(&p->notes, STATUS_BAD, again,
                           "overdue: the newest good backup is %s old, wanted every %s", age,
                           every);
    }
    if (!p->conf && p->rhythm_s && p->age_s > 3 * p->rhythm_s) {
        status_span_text((uint64_t)p->rhythm_s, every);
        return status_note(&p->notes, STATUS_WARN, NULL,
                           "not configured here; it came every %s, and the newest is %s old", every,
                           age);
    }
    return true;
}

static bool judge_size(struct status_partition *p)
{
    char size[32], before[32], type[512];
    int64_t percent = 0;
    if (!status_trend(p, &percent) ||
        (p->newest->size > p->median7 / 10 && p->newest->size / 10 < p->median7))
        return true;
    p->strange_size = true;
    cli_size_text(p->newest->size, size);
    cli_size_text(p->median7, before);
    snprintf(type, sizeof(type), "bakfs verify %s --restore", p->newest->dump);
    return status_note(&p->notes, STATUS_WARN, type, "suddenly %s: %s, where %s was usual",
                       percent < 0 ? "small" : "large", size, before);
}

static bool judge_drill(const struct status_look *look, struct status_partition *p)
{
    char age[32], every[32];
    if (!p->conf || !p->drill_every_s || p->good == 0)
        return true;
    const struct backup *oldest = p->list;
    while (!backup_is_good(oldest, NULL))
        oldest++;
    time_t since = p->drill.at ? p->drill.at : oldest->when;
    if (look->now - since <= (int64_t)with_slack(p->drill_every_s))
        return true;
    p->drill_overdue = true;
    status_span_text((uint64_t)(look->now - since), age);
    status_span_text(p->drill_every_s, every);
    if (p->drill.at)
        return status_note(&p->notes, STATUS_BAD, "bakfs drill",
                           "drill overdue: the last that passed was %s ago, wanted every %s", age,
                           every);
    return status_note(
        &p->notes, STATUS_BAD, "bakfs drill",
        "drill overdue: no restore of it was ever tried, and its oldest backup is %s old", age);
}

static bool judge_partition(const struct status_look *look, struct status_partition *p)
{
    char again[300] = "";
    if (p->conf) {
        p->every_s = p->conf->every_ms / 1000;
        p->drill_every_s = p->conf->drill_every_ms / 1000;
        snprintf(again, sizeof(again), "bakfs backup %s", p->conf->name);
    } else {
        snprintf(again, sizeof(again), "bakfs list %s %s", p->host, p->partition);
    }
    count(p, look->now);
    if (look->drill && p->count) {
        uint64_t back = with_slack(p->drill_every_s ? p->drill_every_s : 30 * STATUS_DAY_SECONDS);
        (void)look->drill(look->ctx, p->list, p->count, look->now - (time_t)back, &p->drill);
    }
    if (!p->drill.readable && p->drill.at == 0)
        p->drill.at = p->verified_at;
    if (!judge_age(p, again) || !judge_since(look, p, again) || !judge_drill(look, p) ||
        !judge_size(p))
        return false;
    p->level = status_notes_worst(&p->notes);
    return true;
}

// --- All partitions ---

static struct status_partition *add(struct status *s, const char *host, const char *partition)
{
    struct status_partition *more = reallocarray(s->partitions, s->count + 1, sizeof(*more));
    if (!more)
        return NULL;
    s->partitions = more;
    struct status_partition p = {.host = strdup(host), .partition = strdup(partition)};
    if (!p.host || !p.partition) {
        free(p.host);
        free(p.partition);
        return NULL;
    }
    s->partitions[s->count] = p;
    return &s->partitions[s->count++];
}

static struct status_partition *find(const struct status *s, const char *host,
                                     const char *partition)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->partitions[i].host, host) == 0 &&
            strcmp(s->partitions[i].partition, partition) == 0)
            return &s->partitions[i];
    return NULL;
}

static int add_seen(struct status *s, const struct backups *all, struct err *err)
{
    for (size_t i = 0, end; i < all->count; i = end) {
        const struct backup *b = &all->list[i];
        for (end = i + 1; end < all->count && strcmp(all->list[end].host, b->host) == 0 &&
                          strcmp(all->list[end].partition, b->partition) == 0;)
            end++;
        struct status_partition *p = add(s, b->host, b->partition);
        if (!p)
            return err_errno(err, ENOMEM, "judge the backups");
        p->list = b;
        p->count = end - i;
    }
    return 0;
}

static int add_configured(struct status *s, const struct conf *conf, const struct status_look *look,
                          struct err *err)
{
    for (size_t i = 0; i < conf->database_count; i++) {
        const struct conf_database *db = &conf->databases[i];
        char host[BACKUPS_HOST_BYTES];
        int rc = backups_host(db, host, err);
        if (rc)
            return rc;
        const char *partition = backups_partition(db);
        if ((look->host && strcmp(look->host, host) != 0) ||
            (look->partition && strcmp(look->partition, partition) != 0))
            continue;
        struct status_partition *p = find(s, host, partition);
        if (!p)
            p = add(s, host, partition);
        if (!p)
            return err_errno(err, ENOMEM, "judge the backups");
        p->conf = db;
    }
    return 0;
}

// What has no backup at all, then what is bad, then warnings; the more overdue first.
static int by_need(const void *a, const void *b)
{
    const struct status_partition *x = a, *y = b;
    if (x->level != y->level)
        return x->level > y->level ? -1 : 1;
    bool x_none = x->level == STATUS_BAD && !x->newest,
         y_none = y->level == STATUS_BAD && !y->newest;
    if (x_none != y_none)
        return x_none ? -1 : 1;
    if (x->overdue != y->overdue)
        return x->overdue ? -1 : 1;
    int order = strcmp(x->host, y->host);
    return order ? order : strcmp(x->partition, y->partition);
}

// --- All of it ---

int status_judge(const struct conf *conf, const struct status_look *look, struct status *out,
                 struct err *err)
{
    struct status s = {.now = look->now, .point = look->point};
    int rc = add_seen(&s, &look->backups, err);
    if (rc == 0 && !look->mount.code) // without the mount nothing is known of any
        rc = add_configured(&s, conf, look, err);
    for (size_t i = 0; i < s.count && rc == 0; i++)
        if (!judge_partition(look, &s.partitions[i]))
            rc = err_errno(err, ENOMEM, "judge the backups");
    if (rc == 0 && !status_judge_daemon(&s, look))
        rc = err_errno(err, ENOMEM, "judge the daemon");
    if (rc == 0)
        rc = status_judge_hosts(&s, look, err);
    for (size_t i = 0; i < s.count; i++) {
        s.bad += s.partitions[i].level == STATUS_BAD;
        s.warn += s.partitions[i].level == STATUS_WARN;
    }
    s.level = status_notes_worst(&s.notes);
    s.level = s.bad ? STATUS_BAD : s.warn && s.level == STATUS_OK ? STATUS_WARN : s.level;
    if (rc == 0 && s.count)
        qsort(s.partitions, s.count, sizeof(*s.partitions), by_need);
    if (rc == 0)
        rc = status_write_verdict(&s, err);
    if (rc) {
        status_done(&s);
        return rc;
    }
    *out = s;
    return 0;
}

void status_days(const struct status_partition *p, int64_t first, size_t days, enum status_day *out)
{
    for (size_t i = 0; i < days; i++)
        out[i] = STATUS_DAY_NONE;
    for (size_t i = 0; i < p->count; i++) {
        const struct backup *b = &p->list[i];
        int64_t day = b->when / STATUS_DAY_SECONDS - first;
        if (day < 0 || day >= (int64_t)days)
            continue;
        bool good = backup_is_good(b, NULL);
        enum status_day here = !good                                 ? STATUS_DAY_BAD
                               : b->verified == BACKUP_VERIFIED_PASS ? STATUS_DAY_VERIFIED
                                                                     : STATUS_DAY_GOOD;
        bool was_good = out[day] == STATUS_DAY_GOOD || out[day] == STATUS_DAY_VERIFIED;
        if (good ? out[day] != STATUS_DAY_VERIFIED : !was_good)
            out[day] = here;
    }
}
