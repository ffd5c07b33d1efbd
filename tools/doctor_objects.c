// One listing of all keys, in their order, and what their names say. Memory does not grow with the number of objects, but
// with that of HOSTs (whose newest object is remembered for --identity).
#include "tools/doctor.h"

#include "backend/base/scope.h"
#include "backend/object.h"
#include "backend/store/probe.h"
#include "fs/path.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define UNSEALED_SUFFIX ".zst"
#define PROBE_LEFT_SECONDS 3600
#define CHAIN_MAX 64

// Texts that each begin with the one before: what the keys to come can still run into lies behind one of them.
struct chain {
    char text[STORE_KEY_BYTES + 1];
    size_t len[CHAIN_MAX];
    bool told[CHAIN_MAX];
    unsigned count;
};

struct host {
    char *path; // of the newest object
    char etag[STORE_ETAG_BYTES];
    struct timespec modified;
};

struct survey {
    struct doctor *d;
    uint64_t objects, foreign, hidden, both, clashes, cold, left;
    struct chain files;    // paths of files: is there a directory of that name?
    struct chain unsealed; // keys that end in .zst: is there a sealed one too?
    struct host *hosts;
    size_t host_count;
    struct headers_seen *headers; // NULL without --deep
    char last[STORE_KEY_BYTES + 1];
};

static bool starts_with(const char *text, const char *start, size_t len)
{
    return strncmp(text, start, len) == 0;
}

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

// Forgets what `key`, and so all that follow, does not begin with.
static void chain_cut(struct chain *c, const char *key)
{
    while (c->count > 0 && !starts_with(key, c->text, c->len[c->count - 1]))
        c->count--;
}

static void chain_add(struct chain *c, const char *text)
{
    chain_cut(c, text);
    size_t len = strlen(text);
    if (c->count == CHAIN_MAX || len > STORE_KEY_BYTES)
        return;
    memcpy(c->text, text, len + 1);
    c->len[c->count] = len;
    c->told[c->count++] = false;
}

// Is there an element that `key` continues with `rest`? Each is told once.
static bool chain_meets(struct chain *c, const char *key, const char *rest, size_t rest_len,
                        char out[STORE_KEY_BYTES + 1])
{
    chain_cut(c, key);
    for (unsigned i = 0; i < c->count; i++) {
        if (c->told[i] || !starts_with(key + c->len[i], rest, rest_len))
            continue;
        c->told[i] = true;
        memcpy(out, c->text, c->len[i]);
        out[c->len[i]] = '\0';
        return true;
    }
    return false;
}

// --- What a name says ---

static void see_probe(struct survey *s, const struct store_entry *entry)
{
    struct doctor *d = s->d;
    struct err err;
    s->left++;
    if (!d->fix)
        return;
    if (d->now.tv_sec - entry->stat.last_modified.tv_sec <= PROBE_LEFT_SECONDS)
        return;
    if (d->store->ops->remove(d->store, entry->key, entry->stat.etag, &err) == 0) {
        doctor_tell(d, DOCTOR_OK, NULL, NULL, "removed %s, which a probe left", entry->key);
        s->left--;
    } else {
        doctor_tell(d, DOCTOR_PROBLEM, NULL, NULL, "%s", err.text);
    }
}

static void see_foreign(struct survey *s, const char *key)
{
    if (ends_in(key, UNSEALED_SUFFIX)) {
        chain_add(&s->unsealed, key);
        if (doctor_shows(s->d, &s->foreign))
            doctor_tell(s->d, DOCTOR_NOTE, "bakfs does not show it", NULL, "not sealed: %s", key);
    } else if (doctor_shows(s->d, &s->foreign)) {
        doctor_tell(s->d, DOCTOR_NOTE, "bakfs does not show it", NULL, "not of bakfs: %s", key);
    }
}

// The sentence of the rule that the name of a sealed object breaks.
static void see_hidden(struct survey *s, const char *key)
{
    char path[STORE_KEY_BYTES + 1];
    struct err err = {.text = "its name breaks the rules of the tree"};
    if (!doctor_shows(s->d, &s->hidden))
        return;
    snprintf(path, sizeof(path), "%.*s", (int)(strlen(key) - strlen(OBJECT_SUFFIX)), key);
    // a day long past tomorrow is no reason to hide it
    (void)path_check_create(path, false, 0, (struct timespec){.tv_sec = 253402214400}, &err);
    doctor_tell(
        s->d, DOCTOR_PROBLEM, err.text,
        "age -d -i KEY < OBJECT | zstd -d > a correct path on the mount, and remove the object",
        "hidden, because of its name: %s", key);
}

static void see_names(struct survey *s, const char *key, const char *path)
{
    char other[STORE_KEY_BYTES + 1];
    if (chain_meets(&s->files, key, "/", 1, other) && doctor_shows(s->d, &s->clashes))
        doctor_tell(s->d, DOCTOR_PROBLEM, "a path cannot be both; one of them is hidden", NULL,
                    "a file stands where a directory is: %s and %s", other, key);
    if (chain_meets(&s->unsealed, key, ".age", 5, other) && doctor_shows(s->d, &s->both))
        doctor_tell(s->d, DOCTOR_NOTE, "the sealed one is the one that counts", NULL,
                    "both sealed and not: %s", other);
    chain_add(&s->files, path);
}

// Keys come in their order: those of a HOST one behind the other.
static int see_newest(struct survey *s, const char *path, const struct store_stat *stat)
{
    size_t len = strcspn(path, "/") + 1;
    const char *name = strrchr(path, '/') + 1;
    struct host *host = s->host_count ? &s->hosts[s->host_count - 1] : NULL;
    if (stat->cold || name[0] == '.')
        return 0;
    if (!host || !starts_with(path, host->path, len)) {
        struct host *more = reallocarray(s->hosts, s->host_count + 1, sizeof(*more));
        if (!more)
            return -ENOMEM;
        s->hosts = more;
        host = &more[s->host_count++];
        *host = (struct host){.path = NULL};
    } else if (stat->last_modified.tv_sec < host->modified.tv_sec) {
        return 0;
    }
    free(host->path);
    host->path = strdup(path);
    host->modified = stat->last_modified;
    memcpy(host->etag, stat->etag, sizeof(host->etag));
    return host->path ? 0 : -ENOMEM;
}

static int see_entry(void *ctx, const struct store_entry *entry)
{
    struct survey *s = ctx;
    char path[STORE_KEY_BYTES + 1];
    snprintf(s->last, sizeof(s->last), "%s", entry->key);
    if (++s->objects % 1000 == 0)
        doctor_progress(s->d, "objects listed", s->objects);
    if (starts_with(entry->key, PROBE_PREFIX, strlen(PROBE_PREFIX))) {
        see_probe(s, entry);
        return 0;
    }
    if (!ends_in(entry->key, OBJECT_SUFFIX)) {
        see_foreign(s, entry->key);
        return 0;
    }
    if (!path_from_key(entry->key, path)) {
        see_hidden(s, entry->key);
        return 0;
    }
    see_names(s, entry->key, path);
    s->cold += entry->stat.cold;
    if (s->headers && !entry->stat.cold)
        doctor_headers_look(s->d, s->headers, entry);
    return s->d->has_identities ? see_newest(s, path, &entry->stat) : 0;
}

// --- All of it ---

static int list_all(struct survey *s, struct err *err)
{
    struct store *store = s->d->store;
    char after[STORE_KEY_BYTES + 1] = "";
    bool more = true;
    int rc = 0;
    while (rc == 0 && more) {
        rc = store->ops->list(store, "", after, false, 1000, see_entry, s, &more, err);
        if (rc == 0 && more && strcmp(after, s->last) == 0)
            rc = err_set(err, EUCLEAN, "the listing does not go on behind '%.100s'", after);
        memcpy(after, s->last, sizeof(after));
    }
    return rc;
}

static void tell_sums(struct survey *s)
{
    struct doctor *d = s->d;
    doctor_more(d, s->foreign, "keys that are not of bakfs");
    doctor_more(d, s->hidden, "hidden keys");
    doctor_more(d, s->clashes, "files where a directory is");
    doctor_more(d, s->both, "objects both sealed and not");
    if (s->cold > 0)
        doctor_tell(d, DOCTOR_NOTE, "opening them is an error until they are thawed",
                    "aws s3api restore-object", "%" PRIu64 " objects are archived", s->cold);
    if (s->left > 0)
        doctor_tell(d, DOCTOR_NOTE, "it was killed, or runs just now", "bakfs doctor --fix",
                    "%" PRIu64 " objects of a probe", s->left);
    doctor_tell(d, DOCTOR_OK, NULL, NULL, "%" PRIu64 " keys listed%s", s->objects,
                s->headers ? ", each header read" : "; --deep reads their headers too");
}

void doctor_objects(struct doctor *d)
{
    if (!d->store)
        return;
    struct survey *s = calloc(1, sizeof(*s));
    struct err err = {.text = "out of memory"};
    if (s && d->deep)
        s->headers = doctor_headers_new();
    if (!s || (d->deep && !s->headers)) {
        doctor_tell(d, DOCTOR_PROBLEM, NULL, NULL, "list the store: out of memory");
        free(s);
        return;
    }
    s->d = d;
    if (list_all(s, &err) == 0)
        tell_sums(s);
    else
        doctor_tell(d, DOCTOR_PROBLEM, "not all objects were looked at", NULL, "%s", err.text);
    doctor_headers_end(d, s->headers);
    for (size_t i = 0; i < s->host_count; i++) {
        doctor_prove(d, s->hosts[i].path, s->hosts[i].etag);
        free(s->hosts[i].path);
    }
    if (s->host_count > 0)
        doctor_proved(d);
    if (d->has_identities && s->host_count == 0)
        doctor_tell(d, DOCTOR_NOTE, NULL, NULL, "no object that the identity could open");
    free(s->hosts);
    free(s);
}
