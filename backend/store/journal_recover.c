// What killed daemons left, and aborting it. A file that can be locked belongs to nobody alive.
#include "backend/base/scope.h"
#include "backend/store/dir.h"
#include "backend/store/journal.h"
#include "backend/store/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

// An upload whose id is not known was begun, by the store's clock, in this time about its line: clocks are known to some
// seconds, and a store that does not answer is tried for as long as the deadline says.
#define BEGUN_BEFORE_SECONDS 5
#define BEGUN_AFTER_SECONDS (60 * 60)
// A line that could not be settled for so long is left to `bakfs doctor`, which takes uploads of this age.
#define KEEP_SECONDS (7 * 24 * 60 * 60)

struct recovery {
    int dir;
    const char *name; // of the file in hand
    struct store *store;
    unsigned aborted;
    // of moves: the caller's judgement; NULL: uploads are settled
    int (*settle)(void *ctx, const struct journal_move *, struct err *);
    void *ctx;
};

// *out_dead: the lock was free, and is ours while *out_fd is open.
static int open_file(int dir, const char *name, int *out_fd, bool *out_dead)
{
    auto_fd int fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    bool dead = flock(fd, LOCK_EX | LOCK_NB) == 0;
    struct stat st;
    if (!dead && errno != EWOULDBLOCK)
        return -errno;
    if (fstat(fd, &st) < 0 || st.st_nlink == 0)
        return -ENOENT; // somebody else recovered it just now
    *out_fd = fd;
    fd = -1;
    *out_dead = dead;
    return 0;
}

enum owner {
    OWNER_NONE,    // no other journal here knows it
    OWNER_KNOWN,   // one has it, with its id
    OWNER_PERHAPS, // a daemon that lives is about to begin one of this key, or has just done so
};

static enum owner owner_in(const struct recovery *r, const struct journal_lines *lines, bool dead,
                           const char *key, const char *id)
{
    enum owner owner = OWNER_NONE;
    for (size_t i = 0; i < lines->count; i++) {
        const struct journal_line *line = &lines->list[i];
        if (line->kind || strcmp(line->store, r->store->id) != 0 || strcmp(line->key, key) != 0)
            continue;
        if (strcmp(line->id, id) == 0)
            return OWNER_KNOWN;
        if (line->id[0] == '\0' && !dead)
            owner = OWNER_PERHAPS;
    }
    return owner;
}

static int find_owner(const struct recovery *r, const char *key, const char *id, enum owner *out,
                      struct err *err)
{
    int fd = openat(r->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return err_errno(err, EIO, "read the directory of state");
    }
    const struct dirent *e;
    enum owner owner = OWNER_NONE;
    while (owner != OWNER_KNOWN && (e = readdir(dir))) {
        auto_fd int other = -1;
        bool dead = false;
        if (!journal_is_name(e->d_name) || strcmp(e->d_name, r->name) == 0 ||
            open_file(r->dir, e->d_name, &other, &dead) < 0)
            continue;
        auto_lines struct journal_lines lines = {0};
        int rc = journal_read(other, &lines, err);
        if (rc < 0)
            return rc;
        enum owner found = owner_in(r, &lines, dead, key, id);
        if (found != OWNER_NONE)
            owner = found;
    }
    *out = owner;
    return 0;
}

static int abort_id(struct recovery *r, const char *key, const char *id, struct err *err)
{
    int rc = r->store->ops->upload_abort(r->store, key, id, err);
    if (rc == 0)
        r->aborted++;
    return rc;
}

struct candidates { // uploads that the line may have begun
    const struct journal_line *line;
    char (*ids)[STORE_UPLOAD_ID_BYTES];
    size_t count, room;
};

static int see_upload(void *ctx, const struct store_upload *upload)
{
    struct candidates *c = ctx;
    int64_t later = (int64_t)upload->initiated.tv_sec - c->line->seconds;
    if (strcmp(upload->key, c->line->key) != 0 || later < -BEGUN_BEFORE_SECONDS ||
        later > BEGUN_AFTER_SECONDS)
        return 0;
    if (c->count == c->room) {
        size_t room = c->room ? 2 * c->room : 4;
        char(*ids)[STORE_UPLOAD_ID_BYTES] = reallocarray(c->ids, room, sizeof(ids[0]));
        if (!ids)
            return -ENOMEM;
        c->ids = ids;
        c->room = room;
    }
    snprintf(c->ids[c->count++], sizeof(c->ids[0]), "%s", upload->id);
    return 0;
}

// journal.h has the rule. *out_open: it may be the line's, and must not be touched now.
static int judge(struct recovery *r, const struct journal_line *line, const char *id,
                 bool *out_open, struct err *err)
{
    struct timespec touched = {0};
    enum owner owner = OWNER_NONE;
    int rc = r->store->ops->upload_touched(r->store, line->key, id, &touched, err);
    if (rc == 0 && touched.tv_sec != 0)
        return 0; // it has parts
    // the upload first, then the journals: whoever began it has written it down before
    if (rc == 0 || rc == -ENOENT)
        rc = find_owner(r, line->key, id, &owner, err);
    if (rc == 0 && owner == OWNER_NONE)
        rc = abort_id(r, line->key, id, err);
    *out_open |= owner == OWNER_PERHAPS;
    return rc;
}

static int recover_without_id(struct recovery *r, const struct journal_line *line, bool *out_done,
                              struct err *err)
{
    struct candidates c = {.line = line};
    bool open = false;
    int rc = r->store->ops->list_uploads(r->store, line->key, see_upload, &c, err);
    // who may not look can still write: the bucket's lifecycle rule has to do it
    if (rc == -EACCES) {
        open = true;
        rc = 0;
    }
    for (size_t i = 0; rc == 0 && i < c.count; i++)
        rc = judge(r, line, c.ids[i], &open, err);
    free(c.ids);
    bool old = (int64_t)r->store->ops->now(r->store).tv_sec - line->seconds > KEEP_SECONDS;
    *out_done = rc == 0 && (!open || old);
    return rc;
}

// *out_done: nothing of it is left to do.
static int recover_line(struct recovery *r, const struct journal_line *line, bool *out_done,
                        struct err *err)
{
    if (line->id[0] == '\0')
        return recover_without_id(r, line, out_done, err);
    int rc = abort_id(r, line->key, line->id, err);
    *out_done = rc == 0;
    return rc;
}

static int recover_move(const struct recovery *r, const struct journal_line *line, bool *out_done,
                        struct err *err)
{
    struct journal_move move = {
        .kind = line->kind,
        .copied = line->copied,
        .from = line->key,
        .to = line->to,
    };
    int rc = r->settle(r->ctx, &move, err);
    *out_done = rc == 0 ||
                (int64_t)r->store->ops->now(r->store).tv_sec - line->seconds > KEEP_SECONDS;
    return rc;
}

static int recover_file(struct recovery *r, struct err *err)
{
    auto_fd int fd = -1;
    bool dead = false;
    int rc = open_file(r->dir, r->name, &fd, &dead);
    if (rc == -ENOENT || (rc == 0 && !dead))
        return 0;
    if (rc < 0)
        return err_errno(err, -rc, "open the journal '%s'", r->name);
    auto_lines struct journal_lines lines = {0};
    rc = journal_read(fd, &lines, err);
    // half a line at the end goes: ours may follow
    if (rc == 0 && ftruncate(fd, (off_t)lines.whole_bytes) < 0)
        rc = err_errno(err, errno, "write the journal '%s'", r->name);
    if (rc < 0)
        return rc;
    size_t left = lines.count;
    int first = 0;
    for (size_t i = 0; i < lines.count; i++) {
        bool done = false;
        const struct journal_line *line = &lines.list[i];
        if (strcmp(line->store, r->store->id) != 0 || !line->kind != !r->settle)
            continue;
        struct err *why = first < 0 ? NULL : err;
        rc = line->kind ? recover_move(r, line, &done, why) : recover_line(r, line, &done, why);
        if (rc < 0 && first == 0)
            first = rc;
        if (!done)
            continue;
        left--;
        lseek(fd, 0, SEEK_END);
        // unsynced, like journal_end: aborting once more does no harm
        dprintf(fd, "end %" PRIu64 "\n", lines.list[i].number);
    }
    if (left == 0)
        unlinkat(r->dir, r->name, 0);
    return first;
}

static int recover_all(const char *path, struct recovery *r, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return err_errno(err, errno, "open the directory of state '%s' ([mount] state)", path);
    auto_dir DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return err_errno(err, ENOMEM, "open the directory of state '%s'", path);
    }
    r->dir = fd;
    int first = 0; // one failure does not keep the others from being tried
    const struct dirent *e;
    while ((e = readdir(dir))) {
        if (!journal_is_name(e->d_name))
            continue;
        r->name = e->d_name;
        int rc = recover_file(r, first < 0 ? NULL : err);
        if (rc < 0 && first == 0)
            first = rc;
    }
    return first;
}

int journal_recover(const char *path, struct store *store, unsigned *out_aborted, struct err *err)
{
    struct recovery r = {.store = store};
    int rc = recover_all(path, &r, err);
    if (rc == 0)
        *out_aborted = r.aborted;
    return rc;
}

int journal_recover_moves(const char *path, struct store *store,
                          int (*settle)(void *ctx, const struct journal_move *, struct err *),
                          void *ctx, struct err *err)
{
    struct recovery r = {.store = store, .settle = settle, .ctx = ctx};
    return recover_all(path, &r, err);
}
