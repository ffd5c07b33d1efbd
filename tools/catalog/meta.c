#include "tools/catalog/meta.h"

#include "backend/base/scope.h"
#include "tools/catalog/ini_file.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define KIND_BYTES 32
#define VERIFIED_VERSION 1

SCOPE_TYPE(meta)
SCOPE_TYPE(verified)

// --- What [meta] and [verified] hold: one table each for both directions ---

struct entry {
    const char *key;
    enum { ENTRY_TEXT, ENTRY_TIME, ENTRY_INT, ENTRY_I64, ENTRY_U64 } type;
    size_t offset;
};

#define META(type, member)                                                                         \
    {                                                                                              \
#member, ENTRY_##type, offsetof(struct meta, member)                                       \
    }
static const struct entry meta_entries[] = {
    META(TEXT, name),
    META(TEXT, host),
    META(TEXT, partition),
    META(TEXT, engine),
    META(TEXT, format),
    META(TEXT, database),
    META(TEXT, system_identifier),
    META(INT, server_version),
    META(TEXT, tool),
    META(TEXT, dump_tool),
    META(TEXT, dump_options),
    META(TIME, begun),
    META(TIME, snapshot),
    META(TIME, ended),
    META(I64, clock_offset_ms),
    META(TEXT, dump),
    META(TEXT, globals),
    META(TEXT, globals_lack),
    META(TEXT, schema),
    {NULL, ENTRY_TEXT, 0},
};

#define VERIFIED(type, member)                                                                     \
    {                                                                                              \
#member, ENTRY_##type, offsetof(struct verified, member)                                   \
    }
static const struct entry verified_entries[] = {
    VERIFIED(TEXT, how),        VERIFIED(TEXT, by),        VERIFIED(TIME, at),
    VERIFIED(U64, duration_ms), VERIFIED(U64, restore_ms), VERIFIED(U64, bytes),
    VERIFIED(TEXT, reason),     {NULL, ENTRY_TEXT, 0},
};

static void put_entries(struct ini_file_writer *w, const struct entry *entries, const void *from)
{
    for (const struct entry *e = entries; e->key; e++) {
        const void *at = (const char *)from + e->offset;
        switch (e->type) {
        case ENTRY_TEXT:
            ini_file_text(w, e->key, *(char *const *)at);
            break;
        case ENTRY_TIME:
            ini_file_time(w, e->key, *(const struct timespec *)at);
            break;
        case ENTRY_INT:
            ini_file_number(w, e->key, *(const int *)at);
            break;
        case ENTRY_I64:
            ini_file_number(w, e->key, *(const int64_t *)at);
            break;
        case ENTRY_U64:
            ini_file_number(w, e->key, (int64_t) * (const uint64_t *)at);
            break;
        }
    }
}

static int set_entry(const struct entry *e, const char *value, void *to, struct err *err)
{
    void *at = (char *)to + e->offset;
    if (e->type == ENTRY_TIME)
        return ini_file_parse_time(value, at, err);
    if (e->type == ENTRY_TEXT) {
        char *text;
        int rc = ini_file_field(&value, &text, err);
        if (rc != 0)
            return rc;
        free(*(char **)at);
        *(char **)at = text;
        return 0;
    }
    int64_t number;
    int rc = ini_file_parse_number(value, &number, err);
    if (rc != 0)
        return rc;
    bool fits = (e->type != ENTRY_INT || (number >= INT_MIN && number <= INT_MAX)) &&
                (e->type != ENTRY_U64 || number >= 0);
    if (!fits)
        return err_set(err, EUCLEAN, "%s = %" PRId64 " cannot be", e->key, number);
    if (e->type == ENTRY_INT)
        *(int *)at = (int)number;
    else if (e->type == ENTRY_I64)
        *(int64_t *)at = number;
    else
        *(uint64_t *)at = (uint64_t)number;
    return 0;
}

static const struct entry *find_entry(const struct entry *entries, const char *key)
{
    for (const struct entry *e = entries; e->key; e++)
        if (strcmp(e->key, key) == 0)
            return e;
    return NULL;
}

// Texts are never NULL.
static int fill_entries(const struct entry *entries, void *to, struct err *err)
{
    for (const struct entry *e = entries; e->key; e++) {
        char **at = (char **)(void *)((char *)to + e->offset);
        if (e->type == ENTRY_TEXT && !*at && !(*at = strdup("")))
            return err_errno(err, ENOMEM, "read");
    }
    return 0;
}

static void free_entries(const struct entry *entries, void *from)
{
    for (const struct entry *e = entries; e->key; e++)
        if (e->type == ENTRY_TEXT)
            free(*(char **)(void *)((char *)from + e->offset));
}

static int check_version(const char *value, int64_t ours, bool *out_known, struct err *err)
{
    int64_t version;
    int rc = ini_file_parse_number(value, &version, err);
    if (rc != 0)
        return rc;
    if (version > ours)
        return err_set(err, EOPNOTSUPP, "made by a newer bakfs (version %" PRId64 ")", version);
    *out_known = true;
    return 0;
}

// --- META ---

int meta_add_file(struct meta *meta, const char *name, uint64_t size, const char *digest,
                  struct err *err)
{
    struct meta_file *more = reallocarray(meta->files, meta->file_count + 1, sizeof(*more));
    if (!more)
        return err_errno(err, ENOMEM, "note the file %s", name);
    meta->files = more;
    struct meta_file file = {.name = strdup(name), .size = size, .digest = strdup(digest)};
    if (!file.name || !file.digest) {
        free(file.name);
        free(file.digest);
        return err_errno(err, ENOMEM, "note the file %s", name);
    }
    meta->files[meta->file_count++] = file;
    return 0;
}

void meta_free(struct meta *meta)
{
    if (!meta)
        return;
    free_entries(meta_entries, meta);
    for (size_t i = 0; i < meta->file_count; i++) {
        free(meta->files[i].name);
        free(meta->files[i].digest);
    }
    free(meta->files);
    facts_done(&meta->facts);
    free(meta);
}

static bool is_kind(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= KIND_BYTES &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

int meta_write(FILE *out, const struct meta *meta, struct err *err)
{
    struct ini_file_writer w;
    int rc = ini_file_begin(&w, out, err);
    if (rc != 0)
        return rc;
    ini_file_section(&w, "meta",
                     "bakfs META: what this backup holds, and what it must hold when restored");
    ini_file_number(&w, "version", META_VERSION);
    put_entries(&w, meta_entries, meta);
    ini_file_section(&w, "files", NULL);
    for (size_t i = 0; i < meta->file_count; i++) {
        char size[32];
        snprintf(size, sizeof(size), "%" PRIu64, meta->files[i].size);
        const char *fields[] = {meta->files[i].name, size, meta->files[i].digest};
        ini_file_fields(&w, "file", fields, 3);
    }
    ini_file_section(&w, "facts", NULL);
    for (size_t i = 0; i < meta->facts.count; i++) {
        const struct fact *fact = &meta->facts.list[i];
        if (!is_kind(fact->kind) && !w.error.code)
            err_set(&w.error, EINVAL, "a fact of the kind '%s' cannot be written", fact->kind);
        const char *fields[] = {fact->name, fact->value};
        ini_file_fields(&w, fact->kind, fields, 2);
    }
    rc = ini_file_end(&w, err);
    return rc == 0 ? 0 : err_prefix(err, "META");
}

struct meta_reading {
    struct meta *meta;
    bool known; // its version was read
};

static int take_file(struct meta *meta, const char *value, struct err *err)
{
    auto_free char *name = NULL, *size = NULL, *digest = NULL;
    const char *rest = value;
    int rc = ini_file_field(&rest, &name, err);
    if (rc == 0)
        rc = ini_file_field(&rest, &size, err);
    if (rc == 0)
        rc = ini_file_field(&rest, &digest, err);
    int64_t bytes = 0;
    if (rc == 0)
        rc = ini_file_parse_number(size, &bytes, err);
    if (rc == 0 && bytes < 0)
        rc = err_set(err, EUCLEAN, "a size below zero");
    return rc == 0 ? meta_add_file(meta, name, (uint64_t)bytes, digest, err) : rc;
}

static int take_fact(struct meta *meta, const char *kind, const char *value, struct err *err)
{
    auto_free char *name = NULL, *text = NULL;
    const char *rest = value;
    if (!is_kind(kind))
        return err_set(err, EUCLEAN, "'%s' is no kind of fact", kind);
    int rc = ini_file_field(&rest, &name, err);
    if (rc == 0)
        rc = ini_file_field(&rest, &text, err);
    return rc == 0 ? facts_add(&meta->facts, kind, name, text, err) : rc;
}

static int take_meta(void *ctx, const char *section, const char *key, const char *value,
                     struct err *err)
{
    struct meta_reading *r = ctx;
    if (strcmp(section, "meta") == 0 && strcmp(key, "version") == 0)
        return check_version(value, META_VERSION, &r->known, err);
    if (!r->known)
        return err_set(err, EUCLEAN, "is no META of bakfs: it begins with [meta] and version");
    if (strcmp(section, "meta") == 0) {
        const struct entry *e = find_entry(meta_entries, key);
        return e ? set_entry(e, value, r->meta, err) : 0;
    }
    if (strcmp(section, "files") == 0)
        return strcmp(key, "file") == 0 ? take_file(r->meta, value, err) : 0;
    if (strcmp(section, "facts") == 0)
        return take_fact(r->meta, key, value, err);
    return 0;
}

int meta_read(const char *path, struct meta **out, struct err *err)
{
    auto_type(meta) struct meta *meta = calloc(1, sizeof(*meta));
    if (!meta)
        return err_errno(err, ENOMEM, "read %s", path);
    struct meta_reading r = {.meta = meta};
    int rc = ini_file_read(path, take_meta, &r, err);
    if (rc == 0 && !r.known)
        rc = err_set(err, EUCLEAN, "%s: is no META of bakfs", path);
    if (rc == 0)
        rc = fill_entries(meta_entries, meta, err);
    if (rc != 0)
        return rc;
    facts_sort(&meta->facts);
    *out = take(meta);
    return 0;
}

static char *path_below(const char *point, const char *below)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", point, below) < 0 ? NULL : path;
}

int meta_read_below(const char *point, const char *below, struct meta **out, struct err *err)
{
    auto_free char *path = path_below(point, below);
    return path ? meta_read(path, out, err) : err_errno(err, ENOMEM, "read %s", below);
}

// --- VERIFIED ---

void verified_free(struct verified *v)
{
    if (!v)
        return;
    free_entries(verified_entries, v);
    free(v);
}

int verified_write(FILE *out, const struct verified *v, struct err *err)
{
    struct ini_file_writer w;
    int rc = ini_file_begin(&w, out, err);
    if (rc != 0)
        return rc;
    ini_file_section(&w, "verified", "bakfs VERIFIED: what a look at this backup found");
    ini_file_number(&w, "version", VERIFIED_VERSION);
    ini_file_text(&w, "result", v->pass ? "pass" : "fail");
    put_entries(&w, verified_entries, v);
    rc = ini_file_end(&w, err);
    return rc == 0 ? 0 : err_prefix(err, "VERIFIED");
}

struct verified_reading {
    struct verified *verified;
    bool known, judged;
};

static int take_verified(void *ctx, const char *section, const char *key, const char *value,
                         struct err *err)
{
    struct verified_reading *r = ctx;
    if (strcmp(section, "verified") != 0)
        return 0;
    if (strcmp(key, "version") == 0)
        return check_version(value, VERIFIED_VERSION, &r->known, err);
    if (strcmp(key, "result") == 0) {
        r->verified->pass = strcmp(value, "pass") == 0;
        r->judged = true;
        return r->verified->pass || strcmp(value, "fail") == 0
                   ? 0
                   : err_set(err, EUCLEAN, "'%.40s' is neither pass nor fail", value);
    }
    const struct entry *e = find_entry(verified_entries, key);
    return e ? set_entry(e, value, r->verified, err) : 0;
}

int verified_read(const char *path, struct verified **out, struct err *err)
{
    auto_type(verified) struct verified *v = calloc(1, sizeof(*v));
    if (!v)
        return err_errno(err, ENOMEM, "read %s", path);
    struct verified_reading r = {.verified = v};
    int rc = ini_file_read(path, take_verified, &r, err);
    if (rc == 0 && (!r.known || !r.judged))
        rc = err_set(err, EUCLEAN, "%s: is no VERIFIED of bakfs", path);
    if (rc == 0)
        rc = fill_entries(verified_entries, v, err);
    if (rc != 0)
        return rc;
    *out = take(v);
    return 0;
}

int verified_read_below(const char *point, const char *below, struct verified **out,
                        struct err *err)
{
    auto_free char *path = path_below(point, below);
    return path ? verified_read(path, out, err) : err_errno(err, ENOMEM, "read %s", below);
}
