// survey.c and group.c among themselves: what was listed of one HOST/DATE becomes its backups.
#pragma once

#include "fs/path.h"
#include "tools/prune/prune.h"

#include <string.h>

struct survey {
    struct prune_list *out;
    const char *partition; // wanted, or NULL
    struct err *err;
    // of the HOST/DATE in hand
    char host[PATH_COMPONENT_BYTES + 1], date[16];
    struct found {
        char *path; // in the tree
        struct piece piece;
    } * found;
    size_t count, room, first; // first: of its backups in `out`
};

// An array with room for one more; NULL, and the old one stays, when there is no memory.
void *prune_grown(void *list, size_t count, size_t *room, size_t size);
int prune_no_memory(struct err *err);
void prune_backup_done(struct prune_backup *);

// Makes the backups of what was found. Pieces that belong to none stay in `found`.
int prune_group(struct survey *);

// What follows HOST/DATE/.
static inline const char *prune_below_date(const char *path)
{
    return strchr(strchr(path, '/') + 1, '/') + 1;
}
