#include "tools/verify/select.h"

#include "backend/base/crypto.h"
#include "backend/base/scope.h"
#include "tools/verify/judge.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void selection_done(struct selection *s)
{
    for (size_t i = 0; i < s->set_count; i++)
        backups_done(&s->sets[i]);
    free(s->sets);
    free(s->list);
    *s = (struct selection){.list = NULL};
}

static int take_one(struct selection *s, struct backup *b, struct err *err)
{
    for (size_t i = 0; s->set_count > 1 && i < s->count; i++) // named twice is looked at once
        if (strcmp(backup_path(s->list[i]), backup_path(b)) == 0)
            return 0;
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 32;
        struct backup **more = reallocarray(s->list, room, sizeof(struct backup *));
        if (!more)
            return err_errno(err, ENOMEM, "choose backups");
        s->list = more;
        s->room = room;
    }
    s->list[s->count++] = b;
    return 0;
}

static bool same_partition(const struct backup *a, const struct backup *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->partition, b->partition) == 0;
}

// list[first..end) is one partition, the oldest first. One that is being written now is no failure, it is not there yet.
static int take_newest(struct selection *s, const char *point, const struct backups *set,
                       size_t first, size_t end, struct err *err)
{
    size_t newest = end - 1;
    while (newest > first && !set->list[newest].finished &&
           judge_is_writing(point, &set->list[newest])) {
        newest--;
        s->skipped++;
    }
    return take_one(s, &set->list[newest], err);
}

static int take_set(struct selection *s, const char *point, const struct backups *set, bool all,
                    struct err *err)
{
    int rc = 0;
    for (size_t first = 0, end; first < set->count && rc == 0; first = end) {
        for (end = first + 1;
             end < set->count && same_partition(&set->list[first], &set->list[end]); end++)
            ;
        if (!all)
            rc = take_newest(s, point, set, first, end, err);
        for (size_t i = first; all && i < end && rc == 0; i++)
            rc = take_one(s, &set->list[i], err);
    }
    return rc;
}

static struct backups *add_set(struct selection *s)
{
    struct backups *more = reallocarray(s->sets, s->set_count + 1, sizeof(*more));
    if (!more)
        return NULL;
    s->sets = more;
    s->sets[s->set_count] = (struct backups){.list = NULL};
    return &s->sets[s->set_count++];
}

static int load(const struct conf *conf, char *const *argv, int argc, struct selection *s,
                struct err *err)
{
    int used = 0, rc = 0;
    do {
        struct backups *set = add_set(s);
        if (!set)
            return err_errno(err, ENOMEM, "choose backups");
        rc = argc > 0 ? backups_named(conf, argv, argc, &used, set, err)
                      : backups_load(conf->mount.point, NULL, NULL, 0, set, err);
        argv += used;
        argc -= used;
    } while (rc == 0 && argc > 0);
    return rc;
}

static uint64_t random_below(uint64_t bound)
{
    uint64_t n;
    crypto_random(&n, sizeof(n));
    return n % bound; // backups are few: nobody sees the difference
}

// Each backup has the same chance; the order stays.
static void sample(struct selection *s, double percent)
{
    double exact = (double)s->count * percent / 100;
    size_t wanted = (size_t)exact + ((double)(size_t)exact < exact);
    size_t kept = 0, left = s->count;
    for (size_t i = 0; i < s->count && kept < wanted; i++, left--)
        if (random_below(left) < wanted - kept)
            s->list[kept++] = s->list[i];
    s->count = kept;
}

int select_backups(const struct conf *conf, char *const *argv, int argc,
                   const struct select_options *options, struct selection *out, struct err *err)
{
    struct selection s = {.list = NULL};
    bool all = options->all || options->sample_percent > 0;
    int rc = load(conf, argv, argc, &s, err);
    for (size_t i = 0; i < s.set_count && rc == 0; i++)
        rc = take_set(&s, conf->mount.point, &s.sets[i], all, err);
    if (rc) {
        selection_done(&s);
        return rc;
    }
    if (options->sample_percent > 0)
        sample(&s, options->sample_percent);
    *out = s;
    return 0;
}
