// What a daemon left that died while it renamed.
#include "backend/base/log.h"
#include "fs/below.h"
#include "fs/rename.h"
#include "fs/rewrite.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct settling {
    struct store *store;
    const struct journal_move *move;
    bool is_end;        // the old names are removed, not the new ones
    struct below files; // a page of what may have to go
    atomic_uint removed;
};

// Removes the one that has to go, if both names have one payload.
static int settle_pair(struct settling *s, const char *from, const char *to, struct err *err)
{
    uint8_t old[SEAL_NONCE_BYTES], new[SEAL_NONCE_BYTES];
    struct object_info old_info, new_info;
    // the one that stays is looked at last: another host may be removing it
    int rc = s->is_end ? rewrite_nonce(s->store, from, old, &old_info, err)
                       : rewrite_nonce(s->store, to, new, &new_info, err);
    if (!rc)
        rc = s->is_end ? rewrite_nonce(s->store, to, new, &new_info, err)
                       : rewrite_nonce(s->store, from, old, &old_info, err);
    if (rc == -ENOENT || rc == -EUCLEAN)
        return 0; // not both are there, or one is not ours
    if (rc || memcmp(old, new, sizeof(old)) != 0)
        return rc;
    rc = s->is_end ? rewrite_remove(s->store, from, old_info.stat.etag, err)
                   : rewrite_remove(s->store, to, new_info.stat.etag, err);
    if (!rc)
        s->removed++;
    return rc;
}

static int settle_one(void *ctx, size_t i, struct err *err)
{
    struct settling *s = ctx;
    const char *path = s->files.list[i].path;
    const char *here = s->is_end ? s->move->from : s->move->to;
    const char *there = s->is_end ? s->move->to : s->move->from;
    char other[STORE_KEY_BYTES + 1];
    if (snprintf(other, sizeof(other), "%s%s", there, path + strlen(here)) > STORE_KEY_BYTES)
        return 0; // no such key
    return s->is_end ? settle_pair(s, path, other, err) : settle_pair(s, other, path, err);
}

static int settle_dir(struct settling *s, struct err *err)
{
    int rc = 0;
    s->files.more = true;
    while (!rc && s->files.more) {
        below_clear(&s->files);
        rc = below_page(s->store, s->is_end ? s->move->from : s->move->to, &s->files, err);
        if (!rc)
            rc = below_each(s->files.count, settle_one, s, err);
    }
    below_done(&s->files);
    return rc;
}

int rename_recover(struct store *store, const struct journal_move *move, struct err *err)
{
    struct settling s = {
        .store = store,
        .move = move,
        // What was replaced is gone: there is no way back. Of a file whose old name is still there nobody was told that it
        // was renamed, so it was not; of a directory some old names may be gone.
        .is_end = move->kind == JOURNAL_MOVE_OVER ||
                  (move->kind == JOURNAL_MOVE_DIR && move->copied),
    };
    int rc = move->kind == JOURNAL_MOVE_DIR ? settle_dir(&s, err)
                                            : settle_pair(&s, move->from, move->to, err);
    if (s.removed > 0)
        log_warn("%s a rename that a daemon left when it was killed from=%s to=%s files=%u",
                 s.is_end ? "ended" : "undid", move->from, move->to, (unsigned)s.removed);
    if (rc)
        err_prefix(err, "%s the rename of '%s' to '%s'", s.is_end ? "end" : "undo", move->from,
                   move->to);
    return rc;
}
