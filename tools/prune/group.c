// Names become backups: in directories by their STEM or as a whole, directly in DATE by their PARTITION.
#include "tools/prune/survey_impl.h"

#include "tools/catalog/names.h"

#include <stdio.h>
#include <stdlib.h>

#define DAY_SECONDS 86400

// --- Backups of one DATE ---

// The one of this path, made when it is not there yet.
static struct prune_backup *backup_of(struct survey *s, const char *path, size_t path_len,
                                      const char *partition, size_t partition_len)
{
    struct prune_list *all = s->out;
    for (size_t i = all->count; i-- > s->first;)
        if (strncmp(all->list[i].path, path, path_len) == 0 && !all->list[i].path[path_len])
            return &all->list[i];
    void *list = prune_grown(all->list, all->count, &all->room, sizeof(*all->list));
    if (!list)
        return NULL;
    all->list = list;
    struct prune_backup b = {.host = strdup(s->host),
                             .date = strdup(s->date),
                             .partition = strndup(partition, partition_len),
                             .path = strndup(path, path_len)};
    if (!b.host || !b.date || !b.partition || !b.path) {
        prune_backup_done(&b);
        return NULL;
    }
    all->list[all->count] = b;
    return &all->list[all->count++];
}

static int add_piece(struct survey *s, struct prune_backup *b, struct found *f)
{
    void *list = b ? prune_grown(b->pieces, b->count, &b->room, sizeof(*b->pieces)) : NULL;
    if (!list)
        return prune_no_memory(s->err);
    b->pieces = list;
    b->bytes += f->piece.size;
    b->objects += f->piece.seen;
    time_t *newest = f->piece.seen ? &b->newest_seen : &b->newest_hidden;
    // what was added later says nothing of when the backup was made
    if (f->piece.modified > *newest && (!f->piece.seen || !f->piece.added))
        *newest = f->piece.modified;
    b->pieces[b->count++] = f->piece;
    f->piece = (struct piece){.seen = f->piece.seen}; // it has the key now
    return 0;
}

static void see_verified(struct prune_backup *b, time_t at, bool pass)
{
    if ((b->passed || b->failed) && at < b->verified_at)
        return;
    b->verified_at = at;
    b->passed = pass;
    b->failed = !pass;
}

// PARTITION of what lies in a directory, and the component below it. False: a file directly in DATE.
static bool split(const char *path, char partition[PATH_COMPONENT_BYTES + 1],
                  char name[PATH_COMPONENT_BYTES + 1], bool *out_is_dir)
{
    const char *below = prune_below_date(path), *slash = strchr(below, '/');
    if (!slash)
        return false;
    snprintf(partition, PATH_COMPONENT_BYTES + 1, "%.*s", (int)(slash - below), below);
    size_t len = strcspn(slash + 1, "/");
    snprintf(name, PATH_COMPONENT_BYTES + 1, "%.*s", (int)len, slash + 1);
    *out_is_dir = slash[1 + len] == '/';
    return true;
}

// Is one of ours in that directory, for readers? From `from` on its names stand one behind the other.
static bool has_stem(const struct survey *s, size_t from, const char *partition)
{
    char dir[PATH_COMPONENT_BYTES + 1], name[PATH_COMPONENT_BYTES + 1];
    bool is_dir = false;
    struct name read;
    for (size_t i = from; i < s->count && split(s->found[i].path, dir, name, &is_dir); i++) {
        if (strcmp(dir, partition) != 0)
            break;
        if (s->found[i].piece.seen && name_parse(partition, name, &read))
            return true;
    }
    return false;
}

static void add_to(struct piece *p, bool is_verdict, bool pass)
{
    p->added = true;
    p->rank = !is_verdict ? PIECE_META : pass ? PIECE_PASS : PIECE_FAIL;
}

static int add_stem(struct survey *s, struct found *f, const char *partition,
                    const struct name *read, bool is_dir)
{
    size_t above = (size_t)(prune_below_date(f->path) - f->path) + strlen(partition) + 1;
    struct prune_backup *b =
        backup_of(s, f->path, above + read->stem_len, partition, strlen(partition));
    if (!b)
        return prune_no_memory(s->err);
    b->ours = true;
    b->item.when = read->when;
    bool is_meta = !is_dir && read->kind == NAME_META;
    bool is_verdict = !is_dir && read->kind == NAME_VERIFIED;
    if (is_meta || is_verdict)
        add_to(&f->piece, is_verdict, read->pass);
    if (f->piece.seen && is_meta)
        b->has_meta = true;
    else if (f->piece.seen && is_verdict)
        see_verified(b, read->verified_at, read->pass);
    else if (f->piece.seen && (read->kind == NAME_DUMP || read->kind == NAME_SQL ||
                               (is_dir && read->kind == NAME_DIR)))
        b->has_dump = true;
    return add_piece(s, b, f);
}

// Of a PARTITION directory that people copied in.
static int add_whole(struct survey *s, struct found *f, const char *partition, const char *name,
                     bool is_dir)
{
    size_t len = (size_t)(prune_below_date(f->path) - f->path) + strlen(partition);
    struct prune_backup *b = backup_of(s, f->path, len, partition, strlen(partition));
    if (!b)
        return prune_no_memory(s->err);
    struct name_base base;
    name_base(name, &base);
    b->is_dir = true;
    if (!is_dir && base.added == NAME_ADDED_VERIFIED) {
        add_to(&f->piece, true, base.pass);
        if (f->piece.seen)
            see_verified(b, base.verified_at, base.pass);
    } else if (f->piece.seen && name[0] != '.') {
        b->has_dump = true;
    }
    return add_piece(s, b, f);
}

static int group_dirs(struct survey *s)
{
    char partition[PATH_COMPONENT_BYTES + 1], name[PATH_COMPONENT_BYTES + 1];
    char last[PATH_COMPONENT_BYTES + 1] = "";
    bool is_dir = false, stems = false;
    int rc = 0;
    for (size_t i = 0; i < s->count && rc == 0; i++) {
        struct found *f = &s->found[i];
        struct name read;
        if (!split(f->path, partition, name, &is_dir) || partition[0] == '.')
            continue;
        if (strcmp(partition, last) != 0)
            stems = has_stem(s, i, partition);
        memcpy(last, partition, sizeof(last));
        if (name_parse(partition, name, &read))
            rc = add_stem(s, f, partition, &read, is_dir);
        else if (!stems)
            rc = add_whole(s, f, partition, name, is_dir);
    }
    return rc;
}

// --- Files in DATE ---

// Those of one PARTITION, which is the name up to its first dot, are one backup.
static struct prune_backup *files_of(struct survey *s, const struct found *f, const char *name)
{
    size_t len = strcspn(name, ".");
    char path[STORE_KEY_BYTES + 8];
    int n = snprintf(path, sizeof(path), "%.*s.*", (int)((size_t)(name - f->path) + len), f->path);
    return backup_of(s, path, (size_t)n, name, len);
}

// The directory that somebody copied in, or the files, that META or VERIFIED is about. NULL: they are gone.
static struct prune_backup *owner(struct survey *s, const char *name, const struct name_base *base)
{
    struct prune_list *all = s->out;
    struct prune_backup *files = NULL;
    size_t partition_len = strcspn(name, ".");
    for (size_t i = s->first; i < all->count; i++) {
        struct prune_backup *b = &all->list[i];
        const char *below = prune_below_date(b->path);
        bool is_same = strncmp(b->partition, name, partition_len) == 0 &&
                       !b->partition[partition_len];
        if (b->is_dir && strncmp(below, name, base->base_len) == 0 && !below[base->base_len])
            return b;
        if (!b->ours && !b->is_dir && is_same)
            files = b;
    }
    return files;
}

// Is no other verdict on the same file newer? Of two of one second the last in the listing counts.
static bool is_last_verdict(const struct survey *s, const struct found *f, const char *name,
                            const struct name_base *base)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct found *other = &s->found[i];
        const char *other_name = prune_below_date(other->path);
        struct name_base that;
        if (other == f || !other->piece.seen || strncmp(other_name, name, base->base_len) != 0 ||
            strchr(other_name, '/'))
            continue;
        name_base(other_name, &that);
        if (that.added != NAME_ADDED_VERIFIED || that.base_len != base->base_len)
            continue;
        if (that.verified_at > base->verified_at ||
            (that.verified_at == base->verified_at && other > f))
            return false;
    }
    return true;
}

static int add_companion(struct survey *s, struct found *f, const char *name,
                         const struct name_base *base)
{
    struct prune_backup *b = owner(s, name, base);
    if (!b)
        return 0;
    add_to(&f->piece, base->added == NAME_ADDED_VERIFIED, base->pass);
    bool verdict = base->added == NAME_ADDED_VERIFIED && f->piece.seen;
    if (verdict && b->is_dir)
        see_verified(b, base->verified_at, base->pass);
    else if (verdict && is_last_verdict(s, f, name, base))
        *(base->pass ? &b->passed : &b->failed) = true;
    return add_piece(s, b, f);
}

static int add_file(struct survey *s, struct found *f, const char *name)
{
    struct prune_backup *b = files_of(s, f, name);
    if (b && f->piece.seen)
        b->has_dump = true;
    return add_piece(s, b, f);
}

static int group_files(struct survey *s)
{
    int rc = 0;
    for (int companions = 0; companions < 2; companions++) {
        for (size_t i = 0; i < s->count && rc == 0; i++) {
            struct found *f = &s->found[i];
            const char *name = prune_below_date(f->path);
            struct name_base base;
            if (!f->piece.key || strchr(name, '/') || name[0] == '.')
                continue;
            name_base(name, &base);
            if ((base.added != NAME_ADDED_NOTHING) == (companions == 1))
                rc = companions ? add_companion(s, f, name, &base) : add_file(s, f, name);
        }
    }
    return rc;
}

// --- What they are ---

// When it was stored, if that is near its DATE. A bucket that was copied whole is as new as the copy: then the end of DATE.
static time_t copied_when(const struct prune_backup *b)
{
    time_t day = 0;
    (void)name_date(b->date, &day);
    if (b->newest_seen >= day - DAY_SECONDS && b->newest_seen < day + 2 * DAY_SECONDS)
        return b->newest_seen;
    return day + DAY_SECONDS - 1;
}

static void judge(struct prune_backup *b)
{
    struct keep_item *item = &b->item;
    if (b->objects == 0) {
        item->state = KEEP_HIDDEN;
        item->when = b->newest_hidden;
        return;
    }
    if (!b->ours)
        item->when = copied_when(b);
    bool whole = b->has_dump && (b->has_meta || !b->ours);
    item->state = !whole ? KEEP_UNFINISHED : b->failed ? KEEP_FAILED : KEEP_GOOD;
    item->verified = whole && b->passed && !b->failed;
}

int prune_group(struct survey *s)
{
    int rc = group_dirs(s);
    if (rc == 0)
        rc = group_files(s);
    for (size_t i = s->first; i < s->out->count; i++)
        judge(&s->out->list[i]);
    return rc;
}
