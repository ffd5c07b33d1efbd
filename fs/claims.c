#include "fs/claims.h"

#include "backend/base/scope.h"

#include <errno.h>
#include <string.h>

struct claims {
    pthread_mutex_t lock;
    pthread_cond_t fewer;
    struct claim *first; // under lock
};

int claims_new(struct claims **out, struct err *err)
{
    struct claims *all = calloc(1, sizeof(*all));
    if (!all)
        return err_errno(err, ENOMEM, "make the table of changes");
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->fewer, NULL);
    *out = all;
    return 0;
}

void claims_free(struct claims *all)
{
    if (!all)
        return;
    pthread_cond_destroy(&all->fewer);
    pthread_mutex_destroy(&all->lock);
    free(all);
}

// Is one of them the other, or above it?
static bool overlap(const char *a, const char *b)
{
    if (!a || !b)
        return false;
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return (!*a && (!*b || *b == '/')) || (!*b && *a == '/');
}

static const struct claim *find(const struct claims *all, const struct claim *claim)
{
    const struct claim *c = all->first;
    while (c && !overlap(c->path, claim->path) && !overlap(c->path, claim->other) &&
           !overlap(c->other, claim->path) && !overlap(c->other, claim->other))
        c = c->next;
    return c;
}

int claims_take(struct claims *all, struct claim *claim, struct err *err)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    const struct claim *other;
    while ((other = find(all, claim))) {
        if (other->is_long)
            return err_set(err, EBUSY, "'%s' is just being renamed: try again when it is done",
                           other->path);
        pthread_cond_wait(&all->fewer, &all->lock);
    }
    claim->next = all->first;
    all->first = claim;
    return 0;
}

void claims_drop(struct claims *all, struct claim *claim)
{
    auto_unlock pthread_mutex_t *held = scope_lock(&all->lock);
    struct claim **link = &all->first;
    while (*link != claim)
        link = &(*link)->next;
    *link = claim->next;
    pthread_cond_broadcast(&all->fewer);
}
