#include "tools/prune/prune.h"

#include "backend/base/scope.h"
#include "backend/object.h"

#include <errno.h>
#include <string.h>

#define DAY_SECONDS 86400
#define PROBES_MAX 16 // objects of a directory that are looked at

// --- What people copied in ---

static enum seal_complete completeness(const struct object_info *info)
{
    return (enum seal_complete)(info->header.record.flags >> SEAL_FLAG_COMPLETE_SHIFT);
}

// What the header of one object says of the dump. Of ours META says that it is whole.
static int probe(struct store *store, struct prune_backup *b, const struct piece *p,
                 struct prune_plan *plan, struct err *err)
{
    struct object_info info = {0};
    struct err why = {0};
    int rc = object_probe(store, p->key, NULL, &info, &why);
    if (rc == -EACCES) {
        plan->unsure++;
        return 0;
    }
    if (rc == -ENOENT) { // removed since the listing
        b->item.state = KEEP_FOREIGN;
        return 0;
    }
    if (rc < 0)
        return err_copy(err, &why);
    if (info.stat.cold)
        return 0; // nobody can know before it is thawed
    if (!object_is_ours(&info))
        b->item.state = KEEP_FOREIGN;
    else if (completeness(&info) == SEAL_COMPLETE_NO && b->item.state == KEEP_GOOD)
        b->item.state = KEEP_INCOMPLETE;
    return 0;
}

static int probe_copied(struct store *store, struct prune_backup *b, struct prune_plan *plan,
                        struct err *err)
{
    size_t seen = 0;
    for (size_t i = 0; i < b->count; i++)
        seen += b->pieces[i].seen && !b->pieces[i].added;
    if (b->ours || b->item.state == KEEP_HIDDEN || (b->is_dir && seen > PROBES_MAX))
        return 0;
    int rc = 0;
    size_t unsure = plan->unsure;
    for (size_t i = 0; i < b->count && rc == 0; i++)
        if (b->pieces[i].seen && !b->pieces[i].added)
            rc = probe(store, b, &b->pieces[i], plan, err);
    if (plan->unsure > unsure)
        plan->unsure = unsure + 1; // backups are counted
    return rc;
}

// --- Locks ---

static void hold_text(const struct store_hold *hold, time_t now, char *out, size_t room)
{
    struct tm tm;
    char until[32] = "";
    if (hold->until.tv_sec > now && gmtime_r(&hold->until.tv_sec, &tm))
        strftime(until, sizeof(until), "%Y-%m-%d %H:%M:%S UTC", &tm);
    snprintf(out, room, "%s%s%s", hold->legal_hold ? "a legal hold holds it" : "",
             hold->legal_hold && *until ? ", " : "", *until ? "a lock holds it until " : "");
    strncat(out, until, room - strlen(out) - 1);
}

// Before the first piece goes: does a lock hold any of them? Then all of it stays.
static int ask_locks(struct store *store, struct prune_backup *b, time_t now, struct err *err)
{
    struct store_hold most = {0};
    for (size_t i = 0; i < b->count; i++) {
        struct store_hold hold = {0};
        if (b->pieces[i].marker)
            continue;
        int rc = store->ops->ask_hold(store, b->pieces[i].key, b->pieces[i].id, &hold, err);
        if (rc)
            return rc;
        most.legal_hold = most.legal_hold || hold.legal_hold;
        if (hold.until.tv_sec > most.until.tv_sec)
            most.until = hold.until;
    }
    if (most.legal_hold || most.until.tv_sec > now) {
        b->item.keep = true;
        hold_text(&most, now, b->item.why, sizeof(b->item.why));
    }
    return 0;
}

// --- All of it ---

// A directory that somebody still copies (pg_basebackup takes hours) has no META that says when all of it is there: it
// must not be the newest good one, for which an older one goes.
static void judge_recent(struct prune_backup *b, time_t now)
{
    if (!b->ours && b->item.state == KEEP_GOOD && b->newest_seen > now - DAY_SECONDS)
        b->item.state = KEEP_RECENT;
}

static bool together(const struct prune_backup *a, const struct prune_backup *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->partition, b->partition) == 0;
}

static int decide_partition(const struct keep_rules *rules, time_t now, struct prune_backup *list,
                            size_t count, struct err *err)
{
    auto_free struct keep_item *items = calloc(count, sizeof(*items));
    if (!items)
        return err_set(err, ENOMEM, "no memory for the list of backups");
    for (size_t i = 0; i < count; i++)
        items[i] = list[i].item;
    keep_decide(rules, now, items, count);
    for (size_t i = 0; i < count; i++)
        list[i].item = items[i];
    return 0;
}

static int decide_all(const struct keep_rules *rules, time_t now, struct prune_list *all,
                      struct err *err)
{
    int rc = 0;
    for (size_t first = 0, end; first < all->count && rc == 0; first = end) {
        for (end = first + 1; end < all->count && together(&all->list[first], &all->list[end]);)
            end++;
        rc = decide_partition(rules, now, &all->list[first], end - first, err);
    }
    return rc;
}

static void add_up(const struct prune_list *all, time_t now, struct prune_plan *plan)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct prune_backup *b = &all->list[i];
        plan->keep += b->item.keep;
        plan->go += !b->item.keep;
        plan->future += b->item.when > now;
        if (!b->item.keep) {
            plan->go_bytes += b->bytes;
            plan->go_pieces += b->count;
        }
    }
}

int prune_decide(struct store *store, const struct keep_rules *rules, time_t now,
                 struct prune_list *all, struct prune_plan *out, struct err *err)
{
    struct prune_plan plan = {0};
    struct store_facts facts = {0};
    int rc = 0;
    for (size_t i = 0; i < all->count && rc == 0; i++)
        rc = probe_copied(store, &all->list[i], &plan, err);
    for (size_t i = 0; i < all->count && rc == 0; i++)
        judge_recent(&all->list[i], now);
    if (rc == 0)
        rc = decide_all(rules, now, all, err);
    if (rc == 0)
        rc = store->ops->facts(store, &facts, err);
    // where it may not be asked whether the bucket has such a thing, each object is asked
    bool locks = facts.lock == STORE_FACT_YES || facts.lock == STORE_FACT_REFUSED;
    for (size_t i = 0; i < all->count && rc == 0 && locks; i++) {
        struct prune_backup *b = &all->list[i];
        if (b->item.keep)
            continue;
        rc = ask_locks(store, b, now, err);
        plan.locked += b->item.keep;
    }
    if (rc)
        return rc;
    add_up(all, now, &plan);
    *out = plan;
    return 0;
}
