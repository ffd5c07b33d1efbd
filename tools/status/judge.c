// What is well and what is not. Pure: everything that was looked at comes in.
#include "tools/status/status.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define RUNNING_S 3600 // an unfinished backup so young may still be running
#define PROOF_S (365 * (int64_t)STATUS_DAY_SECONDS)
#define RHYTHM_BACKUPS 8
#define RHYTHM_LEAST 4
#define TREND_LEAST 3
#define CLOCK_WARN_MS 30000
#define CLOCK_BAD_MS 300000

// Backups start at about the same time and take theirs: an eighth more is not late.
static uint64_t with_slack(uint64_t s)
{
    return s + s / 8;
}

// --- Notes ---

bool status_note(struct status_notes *notes, enum status_level level, const char *type,
                 const char *format, ...)
{
    struct status_note *more = reallocarray(notes->list, notes->count + 1, sizeof(*more));
    if (!more)
        return false;
    notes->list = more;
    struct status_note note = {.level = level, .type = type ? strdup(type) : NULL};
    va_list args;
    va_start(args, format);
    int len = vasprintf(&note.text, format, args);
    va_end(args);
    if (len < 0 || (type && !note.type)) {
        if (len >= 0)
            free(note.text);
        free(note.type);
        return false;
    }
    notes->list[notes->count++] = note;
    return true;
}

static void notes_done(struct status_notes *notes)
{
    for (size_t i = 0; i < notes->count; i++) {
        free(notes->list[i].text);
        free(notes->list[i].type);
    }
    free(notes->list);
    *notes = (struct status_notes){.list = NULL};
}

static enum status_level worst(const struct status_notes *notes)
{
    enum status_level level = STATUS_OK;
    for (size_t i = 0; i < notes->count; i++)
        if (notes->list[i].level > level)
            level = notes->list[i].level;
    return level;
}

const char *status_level_word(enum status_level level)
{
    return level == STATUS_BAD ? "bad" : level == STATUS_WARN ? "warning" : "ok";
}

void status_done(struct status *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->partitions[i].host);
        free(s->partitions[i].partition);
        notes_done(&s->partitions[i].notes);
    }
    free(s->partitions);
    free(s->hosts);
    notes_done(&s->notes);
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
        if (backup_is_good(b, NULL))
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
        p->newest = b;
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
        if (is_running(look, b))
            continue;
        p->bad_since++;
        last = b;
    }
    if (last && !backup_is_good(last, &why) &&
        !status_note(&p->notes, STATUS_BAD, again, "%zu newer one%s not good, the last is %s: %s",
                     p->bad_since, p->bad_since == 1 ? " is" : "s are", backup_path(last), why))
        return false;
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
    if (p->age_s < -STATUS_DAY_SECONDS)
        return status_note(&p->notes, STATUS_WARN, "date -u",
                           "the newest backup, %s, is from the future: a clock was wrong",
                           backup_path(p->newest));
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
    if (!status_trend(p, &percent) || (percent > -90 && percent < 900))
        return true;
    p->strange_size = true;
    status_size_text(p->newest->size, size);
    status_size_text(p->median7, before);
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
    p->level = worst(&p->notes);
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

// --- The keys of each host ---

static void judge_proof(const struct status_look *look, struct status_host *h)
{
    const struct proof *broken = NULL;
    for (size_t i = 0; i < look->proofs.count; i++) {
        const struct proof *p = &look->proofs.list[i];
        if (strcmp(p->host, h->host) != 0)
            continue;
        if (p->opened_at > h->opened_at) {
            h->opened_at = p->opened_at;
            h->object = p->object;
        }
        if (!p->opened && p->opened_at)
            broken = p;
    }
    h->proof = broken                               ? STATUS_PROOF_FAILED
               : h->opened_at == 0                  ? STATUS_PROOF_NEVER
               : look->now - h->opened_at > PROOF_S ? STATUS_PROOF_OVERDUE
                                                    : STATUS_PROOF_OPENED;
    if (broken)
        h->object = broken->object;
}

static bool note_proof(struct status *s, const struct status_host *h)
{
    static const char type[] = "bakfs doctor --identity FILE";
    char age[32];
    status_span_text((uint64_t)(s->now - h->opened_at), age);
    switch (h->proof) {
    case STATUS_PROOF_OPENED:
        return true;
    case STATUS_PROOF_OVERDUE:
        return status_note(&s->notes, STATUS_BAD, type,
                           "the key of host %s was last proved %s ago: once a year is due", h->host,
                           age);
    case STATUS_PROOF_FAILED:
        return status_note(&s->notes, STATUS_BAD, type,
                           "a key that opened the backups of host %s does not open %s", h->host,
                           h->object);
    case STATUS_PROOF_NEVER:
        return status_note(&s->notes, STATUS_WARN, type,
                           "that a kept key opens the backups of host %s was never proved",
                           h->host);
    }
    return true;
}

static int judge_hosts(struct status *s, const struct status_look *look, struct err *err)
{
    s->hosts = calloc(s->count + 1, sizeof(*s->hosts));
    if (!s->hosts)
        return err_errno(err, ENOMEM, "judge the hosts");
    for (size_t i = 0; i < look->backups.count; i++) {
        const char *host = look->backups.list[i].host;
        if (s->host_count && strcmp(s->hosts[s->host_count - 1].host, host) == 0)
            continue;
        struct status_host *h = &s->hosts[s->host_count++];
        *h = (struct status_host){.host = host};
        judge_proof(look, h);
        if (!note_proof(s, h))
            return err_errno(err, ENOMEM, "judge the hosts");
    }
    return 0;
}

// --- The daemon ---

static bool judge_clock(struct status *s, int64_t ms)
{
    int64_t off = ms < 0 ? -ms : ms;
    if (off <= CLOCK_WARN_MS)
        return true;
    return status_note(&s->notes, off > CLOCK_BAD_MS ? STATUS_BAD : STATUS_WARN, "timedatectl",
                       "this host's clock is %" PRId64 " s %s the store's%s", off / 1000,
                       ms > 0 ? "behind" : "ahead of",
                       off > CLOCK_BAD_MS ? ": nothing is written until it is right" : "");
}

static bool judge_daemon(struct status *s, const struct status_look *look)
{
    if (look->mount.code)
        return status_note(&s->notes, STATUS_BAD,
                           look->mount.code == ENOTCONN ? "bakfs umount --lazy && bakfs mount"
                                                        : "bakfs mount",
                           "%s", look->mount.text);
    if (look->daemon_err.code)
        return status_note(&s->notes, STATUS_BAD, "bakfs doctor",
                           "the daemon does not say how it is: %s", look->daemon_err.text);
    if (look->daemon.blind &&
        !status_note(
            &s->notes, STATUS_WARN, "bakfs doctor",
            "the daemon cannot see how other programs end: a dump that failed may look whole"))
        return false;
    return judge_clock(s, look->daemon.clock_offset_ms);
}

// --- The verdict ---

const char *status_why(const struct status_partition *p)
{
    if (p->level != STATUS_BAD)
        return p->strange_size ? "its size" : p->level == STATUS_WARN ? "its age" : "";
    return p->count == 0      ? "no backup at all"
           : !p->newest       ? "no good backup"
           : p->overdue       ? "backup overdue"
           : p->drill_overdue ? "drill overdue"
                              : "the last backup failed";
}

static void name_some(FILE *out, const struct status *s, enum status_level level)
{
    size_t named = 0, all = level == STATUS_BAD ? s->bad : s->warn;
    for (size_t i = 0; i < s->count && named < 3; i++) {
        const struct status_partition *p = &s->partitions[i];
        if (p->level != level)
            continue;
        fprintf(out, "%s%s on %s", named ? "; " : "", p->partition, p->host);
        fprintf(out, " (%s)", status_why(p));
        named++;
    }
    if (named < all)
        fprintf(out, "; and %zu more", all - named);
}

static const char *first_note(const struct status *s, enum status_level level)
{
    for (size_t i = 0; i < s->notes.count; i++)
        if (s->notes.list[i].level == level)
            return s->notes.list[i].text;
    return NULL;
}

static int write_verdict(struct status *s, struct err *err)
{
    size_t len;
    FILE *out = open_memstream(&s->verdict, &len);
    if (!out)
        return err_errno(err, ENOMEM, "judge the backups");
    const char *note = first_note(s, s->level);
    if (s->level == STATUS_OK && s->count == 0)
        fprintf(out, "There is no backup yet, and no database is configured.");
    else if (s->level == STATUS_OK)
        fprintf(out, "All is well: %zu database%s, each with a good backup in time.", s->count,
                s->count == 1 ? "" : "s");
    else if (s->level == STATUS_BAD && s->bad)
        fprintf(out, "Not well: %zu of %zu database%s: ", s->bad, s->count,
                s->count == 1 ? "" : "s");
    else if (s->level == STATUS_BAD)
        fprintf(out, "Not well: %s.", note);
    else
        fprintf(out, "Well, with a warning: ");
    if (s->level == STATUS_BAD && s->bad) {
        name_some(out, s, STATUS_BAD);
        fprintf(out, ".%s%s%s", note ? " Also: " : "", note ? note : "", note ? "." : "");
    } else if (s->level == STATUS_WARN) {
        if (s->warn)
            name_some(out, s, STATUS_WARN);
        else
            fputs(note, out);
        fputc('.', out);
    }
    return fclose(out) == 0 ? 0 : err_errno(err, ENOMEM, "judge the backups");
}

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
    if (rc == 0 && !judge_daemon(&s, look))
        rc = err_errno(err, ENOMEM, "judge the daemon");
    if (rc == 0)
        rc = judge_hosts(&s, look, err);
    for (size_t i = 0; i < s.count; i++) {
        s.bad += s.partitions[i].level == STATUS_BAD;
        s.warn += s.partitions[i].level == STATUS_WARN;
    }
    s.level = worst(&s.notes);
    s.level = s.bad ? STATUS_BAD : s.warn && s.level == STATUS_OK ? STATUS_WARN : s.level;
    if (rc == 0 && s.count)
        qsort(s.partitions, s.count, sizeof(*s.partitions), by_need);
    if (rc == 0)
        rc = write_verdict(&s, err);
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
