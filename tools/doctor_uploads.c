// What was begun and never ended: uploads, a directory's temporary files, journals of dead daemons. Only what has the shape
// of a backup of ours and was touched by nobody for 7 days is taken away, and only when asked.
#include "tools/doctor.h"

#include "backend/base/scope.h"
#include "backend/store/dir.h"
#include "backend/store/journal.h"
#include "backend/store/journal_file.h"
#include "fs/path.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

// --- Journals ---

struct journaled {
    char *key, *id; // id "": not known
    char *to;       // "": an upload, no move
    bool alive;
};

struct journals {
    const struct doctor *d;
    struct journaled *list; // of this store
    size_t count;
};

static int see_line(void *ctx, const struct journal_line *line, bool alive)
{
    struct journals *all = ctx;
    if (strcmp(line->store, all->d->store->id) != 0)
        return 0;
    struct journaled *more = reallocarray(all->list, all->count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    all->list = more;
    struct journaled *entry = &more[all->count];
    *entry = (struct journaled){.key = strdup(line->key),
                                .id = strdup(line->id),
                                .to = strdup(line->kind == JOURNAL_NO_MOVE ? "" : line->to),
                                .alive = alive};
    all->count++;
    return entry->key && entry->id && entry->to ? 0 : -ENOMEM;
}

static void journals_done(struct journals *all)
{
    for (size_t i = 0; i < all->count; i++) {
        free(all->list[i].key);
        free(all->list[i].id);
        free(all->list[i].to);
    }
    free(all->list);
}
#define auto_journals __attribute__((cleanup(journals_done)))

// False, and told, when they cannot be read.
static bool read_journals(struct doctor *d, struct journals *out)
{
    struct err err = {.text = "out of memory"};
    *out = (struct journals){.d = d};
    if (journal_look(d->conf->mount.state, see_line, out, &err) == 0)
        return true;
    doctor_tell(d, DOCTOR_NOTE, "which uploads a daemon of this host works on is not known", NULL,
                "%s", err.text);
    return false;
}

void doctor_journals(struct doctor *d)
{
    if (!d->store)
        return;
    auto_journals struct journals all;
    uint64_t dead = 0;
    if (!read_journals(d, &all))
        return;
    for (size_t i = 0; i < all.count; i++) {
        const struct journaled *entry = &all.list[i];
        if (!entry->alive && doctor_shows(d, &dead))
            doctor_tell(d, DOCTOR_NOTE, "the next mount ends what it left", "bakfs mount",
                        "a daemon was killed while it %s %s%s%s", *entry->to ? "moved" : "stored",
                        entry->key, *entry->to ? " to " : "", entry->to);
    }
    doctor_more(d, dead, "in journals of daemons that were killed");
    if (dead == 0)
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "no daemon of this host left work behind");
}

// --- Uploads ---

struct orphans {
    struct doctor *d;
    struct journals journals;
    uint64_t live, young, foreign, old;
};

static bool is_live(const struct orphans *o, const struct store_upload *upload)
{
    for (size_t i = 0; i < o->journals.count; i++) {
        const struct journaled *entry = &o->journals.list[i];
        if (entry->alive && !*entry->to && strcmp(entry->key, upload->key) == 0 &&
            (!*entry->id || strcmp(entry->id, upload->id) == 0))
            return true;
    }
    return false;
}

static void end_orphan(struct orphans *o, const struct store_upload *upload, int64_t days)
{
    struct doctor *d = o->d;
    struct err err;
    bool shown = doctor_shows(d, &o->old);
    if (!d->fix) {
        if (shown)
            doctor_tell(d, DOCTOR_PROBLEM, "its parts are billed, and no listing shows them",
                        "bakfs doctor --fix",
                        "an upload of %s was left behind, untouched for %" PRId64 " days",
                        upload->key, days);
        return;
    }
    // what --fix does is always told
    if (d->store->ops->upload_abort(d->store, upload->key, upload->id, &err) == 0)
        doctor_tell(d, DOCTOR_OK, NULL, NULL,
                    "aborted an upload of %s, untouched for %" PRId64 " days", upload->key, days);
    else
        doctor_tell(d, DOCTOR_PROBLEM, NULL, NULL, "%s", err.text);
}

static int see_upload(void *ctx, const struct store_upload *upload)
{
    struct orphans *o = ctx;
    struct doctor *d = o->d;
    char path[STORE_KEY_BYTES + 1];
    if (!path_from_key(upload->key, path)) {
        o->foreign++;
        return 0;
    }
    if (is_live(o, upload)) {
        o->live++;
        return 0;
    }
    // no part is older than the upload: most need not be asked for
    if (d->now.tv_sec - upload->initiated.tv_sec <= DOCTOR_OLD_SECONDS) {
        o->young++;
        return 0;
    }
    struct timespec touched;
    struct err err;
    int rc = d->store->ops->upload_touched(d->store, upload->key, upload->id, &touched, &err);
    if (rc == -ENOENT)
        return 0; // ended just now
    if (rc != 0) {
        doctor_tell(d, DOCTOR_NOTE, "it is left alone", NULL, "%s", err.text);
        return 0;
    }
    if (touched.tv_sec < upload->initiated.tv_sec)
        touched = upload->initiated;
    int64_t age = d->now.tv_sec - touched.tv_sec;
    if (age <= DOCTOR_OLD_SECONDS)
        o->young++;
    else
        end_orphan(o, upload, age / (24 * 60 * 60));
    return 0;
}

void doctor_orphans(struct doctor *d)
{
    if (!d->store)
        return;
    struct orphans o = {.d = d};
    struct err err;
    auto_journals struct journals all;
    bool known = read_journals(d, &all);
    o.journals = all;
    if (!known)
        return;
    if (d->store->ops->list_uploads(d->store, "", see_upload, &o, &err) != 0) {
        doctor_tell(d, DOCTOR_NOTE, "whether some were left behind is not known", NULL, "%s",
                    err.text);
        return;
    }
    if (!d->fix)
        doctor_more(d, o.old, "uploads that were left behind");
    if (o.young > 0)
        doctor_tell(d, DOCTOR_NOTE, "after 7 days without a new part they count as left behind",
                    NULL,
                    "%" PRIu64 " uploads that no daemon of this host knows: other hosts', or left "
                    "behind not long ago",
                    o.young);
    if (o.foreign > 0)
        doctor_tell(d, DOCTOR_NOTE, "they are left alone", NULL,
                    "%" PRIu64 " uploads that are no backups of bakfs", o.foreign);
    if (o.old == 0)
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "no upload was left behind; %" PRIu64 " under way",
                    o.live);
}

// --- A directory's temporary files ---

static bool is_temporary_put(const char *name)
{
    return strlen(name) == DIR_ID_CHARS + 4 && strspn(name, "0123456789abcdef") == DIR_ID_CHARS &&
           strcmp(name + DIR_ID_CHARS, ".put") == 0;
}

static void judge_temporary(struct doctor *d, int dir, const char *name, uint64_t *count)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode) ||
        d->now.tv_sec - st.st_mtim.tv_sec <= DOCTOR_OLD_SECONDS)
        return;
    bool shown = doctor_shows(d, count);
    if (!d->fix) {
        if (shown)
            doctor_tell(d, DOCTOR_PROBLEM, "it takes room", "bakfs doctor --fix",
                        "the temporary file " DIR_TMP "/%s was left behind", name);
    } else if (unlinkat(dir, name, 0) == 0) {
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "removed the temporary file " DIR_TMP "/%s", name);
    } else {
        doctor_tell(d, DOCTOR_PROBLEM, NULL, NULL, "remove " DIR_TMP "/%s: %s", name,
                    strerror(errno));
    }
}

void doctor_temporary(struct doctor *d)
{
    if (!d->store || !d->opened.dir_path)
        return;
    auto_free char *path = NULL;
    if (asprintf(&path, "%s/" DIR_TMP, d->opened.dir_path) < 0) {
        path = NULL;
        return;
    }
    auto_dir DIR *dir = opendir(path);
    uint64_t count = 0;
    const struct dirent *e;
    while (dir && (e = readdir(dir)))
        if (is_temporary_put(e->d_name))
            judge_temporary(d, dirfd(dir), e->d_name, &count);
    if (!d->fix)
        doctor_more(d, count, "temporary files");
    if (count == 0)
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "no temporary file was left behind");
}
