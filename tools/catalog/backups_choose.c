// Which of them is good, and which is the newest.
#include "tools/catalog/backups.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool backup_is_good(const struct backup *b, const char **why)
{
    const char *reason = NULL;
    if (!b->dump)
        reason = "its dump is not there";
    else if (!b->finished)
        reason = "it is unfinished: its META was never written";
    else if (b->complete == BACKUP_COMPLETE_NO)
        reason = "it is incomplete: the dump stops short or is empty";
    else if (b->verified == BACKUP_VERIFIED_FAIL)
        reason = "its verification failed";
    if (why && reason)
        *why = reason;
    return !reason;
}

const char *backup_path(const struct backup *b)
{
    return b->dump ? b->dump : b->meta ? b->meta : b->globals ? b->globals : b->schema;
}

static void utc(time_t t, char out[32])
{
    struct tm tm;
    *out = '\0';
    if (gmtime_r(&t, &tm))
        strftime(out, 32, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

static bool same_partition(const struct backup *a, const struct backup *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->partition, b->partition) == 0;
}

// Why there is none: too early a time, or nothing good.
static int nothing(const struct backups *all, time_t at, struct err *err)
{
    if (all->count == 0)
        return err_set(err, ENOENT, "there is no backup");
    const struct backup *first = &all->list[0], *newest = NULL;
    char when[32], wanted[32];
    size_t early = 0;
    for (size_t i = 0; i < all->count; i++) {
        if (at && all->list[i].when > at)
            continue;
        newest = &all->list[i];
        early++;
    }
    utc(at, wanted);
    if (!newest) {
        utc(first->when, when);
        return err_set(err, ENOENT, "no backup of %s %s is as old as %s: the oldest is of %s (%s)",
                       first->host, first->partition, wanted, when, backup_path(first));
    }
    const char *why = "it is not good";
    backup_is_good(newest, &why);
    utc(newest->when, when);
    return err_set(
        err, ENOENT,
        "none of the %zu backups of %s %s%s%s is good: the newest is of %s (%s), but %s; "
        "--force takes it all the same",
        early, first->host, first->partition, at ? " until " : "", at ? wanted : "", when,
        backup_path(newest), why);
}

int backups_choose(const struct backups *all, time_t at, bool force, const struct backup **out,
                   struct err *err)
{
    const struct backup *best = NULL;
    for (size_t i = 0; i < all->count; i++) {
        const struct backup *b = &all->list[i];
        if (!same_partition(b, &all->list[0]))
            return err_set(
                err, EINVAL,
                "that means backups of more than one database (%s %s and %s %s): say which",
                all->list[0].host, all->list[0].partition, b->host, b->partition);
        if ((at && b->when > at) || !(force ? b->dump != NULL : backup_is_good(b, NULL)))
            continue;
        if (!best || b->when >= best->when)
            best = b;
    }
    if (!best)
        return nothing(all, at, err);
    *out = best;
    return 0;
}
