// Gathers what status judges: names and sizes on the mount, the daemon's report, VERIFIED files, proofs of keys.
#include "tools/status/status.h"

#include "backend/base/scope.h"
#include "tools/catalog/dir_names.h"
#include "tools/catalog/names.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIRS_ASKED 8

// --- What kind of look it was stands inside of VERIFIED files, and only a key reads those ---

enum found { FOUND_NOTHING, FOUND_DRILL, FOUND_UNREADABLE };

static enum found read_one(const char *point, const char *path, struct status_drill *out)
{
    struct verified *v = NULL;
    if (verified_read_below(point, path, &v, NULL) != 0)
        return FOUND_UNREADABLE;
    bool is_drill = v->pass && strcmp(v->how, "restore") == 0;
    if (is_drill) {
        out->at = v->at.tv_sec;
        out->restore_ms = v->restore_ms;
    }
    out->readable = true;
    verified_free(v);
    return is_drill ? FOUND_DRILL : FOUND_NOTHING;
}

// The newest is none that restored: an older one beside the same backup may be.
static enum found read_others(const char *point, const struct backup *b, struct status_drill *out)
{
    if (!b->stem)
        return FOUND_NOTHING;
    const char *stem = strrchr(b->stem, '/') + 1;
    auto_free char *dir = NULL;
    if (asprintf(&dir, "%s/%.*s", point, (int)(stem - b->stem), b->stem) < 0) {
        dir = NULL;
        return FOUND_UNREADABLE;
    }
    struct dir_names names;
    enum found found = FOUND_NOTHING;
    if (dir_names_read(AT_FDCWD, dir, dir, &names, NULL) != 0)
        names.count = 0;
    for (size_t i = names.count; i-- > 0 && found == FOUND_NOTHING;) { // the newest last
        struct name name;
        const char *text = names.list[i].name;
        auto_free char *path = NULL;
        if (!name_parse(b->partition, text, &name) || name.kind != NAME_VERIFIED || !name.pass ||
            strncmp(text, stem, strlen(stem)) != 0 || name.verified_at == b->verified_at)
            continue;
        if (asprintf(&path, "%.*s%s", (int)(stem - b->stem), b->stem, text) < 0)
            path = NULL;
        if (path)
            found = read_one(point, path, out);
    }
    dir_names_done(&names);
    return found;
}

static int find_drill(void *ctx, const struct backup *list, size_t count, time_t since,
                      struct status_drill *out)
{
    const struct status_look *look = ctx;
    struct status_drill drill = {.readable = false};
    enum found found = FOUND_NOTHING;
    for (size_t i = count; i-- > 0 && found == FOUND_NOTHING;) {
        const struct backup *b = &list[i];
        if (b->verified == BACKUP_NOT_VERIFIED || b->verified_at < since)
            continue;
        if (b->verified == BACKUP_VERIFIED_PASS)
            found = read_one(look->point, b->verified_path, &drill);
        if (found == FOUND_NOTHING)
            found = read_others(look->point, b, &drill);
    }
    if (found == FOUND_UNREADABLE) // no key here: any look that passed has to do
        drill = (struct status_drill){.readable = false};
    *out = drill;
    return 0;
}

// --- Sizes of directories ---

// Of the newest good ones of each partition: enough for a trend. An older one's is not known: 0.
static int ask_dirs(const char *point, struct backups *all, struct err *err)
{
    unsigned asked = 0;
    int rc = 0;
    for (size_t i = all->count; i-- > 0 && rc == 0;) {
        struct backup *b = &all->list[i];
        const struct backup *after = i + 1 < all->count ? b + 1 : NULL;
        if (!after || strcmp(after->host, b->host) != 0 ||
            strcmp(after->partition, b->partition) != 0)
            asked = 0;
        if (b->dump_is_dir && asked < DIRS_ASKED && backup_is_good(b, NULL)) {
            rc = backup_ask_sizes(point, b, err);
            asked++;
        }
    }
    return rc;
}

// --- All of it ---

void status_look(const struct conf *conf, const char *host, const char *partition,
                 struct status_look *out)
{
    *out = (struct status_look){
        .now = time(NULL),
        .point = conf->mount.point,
        .host = host,
        .partition = partition,
        .drill = find_drill,
        .ctx = out,
    };
    struct err err = {0};
    int rc = backups_load(out->point, host, partition, BACKUPS_SIZES, &out->backups, &err);
    if (rc == 0)
        rc = ask_dirs(out->point, &out->backups, &err);
    if (rc) {
        out->mount = err;
        out->mount.code = -rc;
        return;
    }
    if (daemon_status_read(out->point, &out->daemon, &err) != 0)
        out->daemon_err = err;
    if (proofs_read(conf->mount.state, &out->proofs, &err) != 0)
        out->proofs = (struct proofs){.list = NULL}; // as if no key was ever tried
}

void status_look_done(struct status_look *look)
{
    backups_done(&look->backups);
    proofs_done(&look->proofs);
}
