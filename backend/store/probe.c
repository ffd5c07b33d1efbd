// The tries: an object below PROBE_PREFIX, and then each condition that must not hold, and one that must. What stands there
// is removed at the end; removing comes first of all, so that who may not do that leaves nothing.
#include "backend/store/probe.h"

#include "backend/base/crypto.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define REMEMBER_SECONDS ((int64_t)7 * 24 * 60 * 60)
#define REMEMBER_UNKNOWN_SECONDS ((int64_t)24 * 60 * 60)
#define FILE_BYTES 1024
#define NAME_BYTES 64
#define NO_ETAG "00000000000000000000000000000000"

static const char *const words[] = {
    [PROBE_UNKNOWN] = "unknown",
    [PROBE_IGNORED] = "ignored",
    [PROBE_HONOURED] = "honoured",
};

const char *probe_word(enum probe_answer answer)
{
    return words[answer];
}

// --- Asking ---

struct tries {
    struct store *store;
    char key[64];
    char etag[STORE_ETAG_BYTES]; // of what stands there
};

static int read_nothing(struct source *source, uint64_t off, void *out, size_t len, struct err *err)
{
    (void)source, (void)off, (void)err;
    memset(out, 'p', len);
    return 0;
}

static void free_nothing(struct source *source)
{
    (void)source;
}

static const struct source_ops body_ops = {.read_at = read_nothing, .free = free_nothing};

static int try_put(struct tries *t, const struct store_cond *cond, struct err *err)
{
    struct source body = {.ops = &body_ops, .size = 1};
    struct store_stat stat;
    int rc = t->store->ops->put(t->store, t->key, &body, cond, &stat, err);
    if (rc == 0)
        memcpy(t->etag, stat.etag, sizeof(t->etag));
    return rc;
}

// An upload of its own for each: some stores forget one whose complete they refused.
static int try_complete(struct tries *t, const struct store_cond *cond, struct err *err)
{
    const struct store_ops *ops = t->store->ops;
    struct source body = {.ops = &body_ops, .size = 1};
    char id[STORE_UPLOAD_ID_BYTES];
    struct store_part part;
    struct store_stat stat;
    int rc = ops->upload_begin(t->store, t->key, id, err);
    if (rc < 0)
        return rc;
    rc = ops->put_part(t->store, t->key, id, 1, 0, &body, &part, err);
    if (rc == 0)
        rc = ops->upload_complete(t->store, t->key, id, &part, 1, cond, &stat, err);
    if (rc == 0)
        memcpy(t->etag, stat.etag, sizeof(t->etag));
    else
        (void)ops->upload_abort(t->store, t->key, id, NULL); // the first failure is the one to tell
    return rc;
}

// Two conditions that do not hold and one that does. Honoured only if all three are answered so.
static int ask_one(struct tries *t,
                   int (*attempt)(struct tries *, const struct store_cond *, struct err *),
                   enum probe_answer *out, struct err *err)
{
    struct err local = {0};
    int absent = attempt(t, &(struct store_cond){.if_absent = true}, &local);
    int other = absent == -EEXIST ? attempt(t, &(struct store_cond){.if_match = NO_ETAG}, &local)
                                  : absent;
    char etag[STORE_ETAG_BYTES];
    memcpy(etag, t->etag, sizeof(etag));
    int same = other == -EEXIST ? attempt(t, &(struct store_cond){.if_match = etag}, &local)
                                : other;
    // a condition that holds but is refused is of no use either
    bool wrong = absent == 0 || other == 0 || (other == -EEXIST && same == -EEXIST);
    if (!wrong && same != 0)
        return err_copy(err, &local);
    *out = wrong ? PROBE_IGNORED : PROBE_HONOURED;
    return 0;
}

static int ask_both(struct tries *t, struct probe *out, struct err *err)
{
    int rc = t->store->ops->remove(t->store, t->key, NULL, err);
    if (rc < 0)
        return rc;
    rc = try_put(t, NULL, err);
    if (rc == 0)
        rc = ask_one(t, try_put, &out->put, err);
    if (rc == 0)
        rc = ask_one(t, try_complete, &out->complete, err);
    int gone = t->store->ops->remove(t->store, t->key, NULL, rc < 0 ? NULL : err);
    return rc < 0 ? rc : gone;
}

int probe_ask(struct store *store, struct probe *out, struct err *err)
{
    struct tries t = {.store = store};
    uint8_t chance[16];
    crypto_random(chance, sizeof(chance));
    size_t len = (size_t)snprintf(t.key, sizeof(t.key), PROBE_PREFIX);
    for (size_t i = 0; i < sizeof(chance); i++)
        len += (size_t)snprintf(t.key + len, sizeof(t.key) - len, "%02x", chance[i]);
    struct store_limits before = store->limits;
    // the bare request is wanted, without a look before it
    store->limits.put_conditions = store->limits.complete_conditions = true;
    struct probe found = {.put = PROBE_UNKNOWN};
    struct err local = {0};
    int rc = ask_both(&t, &found, &local);
    store->limits = before;
    // refused is an answer: it will be the same next time
    if (rc == -EACCES)
        found.put = found.complete = PROBE_UNKNOWN;
    else if (rc < 0)
        return err_set(err, -rc, "find out whether conditions are honoured: %s", local.text);
    found.seconds = store->ops->now(store).tv_sec;
    *out = found;
    return 0;
}

// --- Remembering ---

static void file_name(const struct store *store, char out[NAME_BYTES])
{
    uint8_t digest[SHA256_BYTES];
    sha256(store->id, strlen(store->id), digest);
    size_t len = (size_t)snprintf(out, NAME_BYTES, "conditions-");
    for (size_t i = 0; i < 8; i++)
        len += (size_t)snprintf(out + len, NAME_BYTES - len, "%02x", digest[i]);
}

static enum probe_answer answer_of(const char *word)
{
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(word, words[i]) == 0)
            return (enum probe_answer)i;
    return PROBE_UNKNOWN;
}

static bool is_fresh(const struct probe *p, int64_t now)
{
    bool unknown = p->put == PROBE_UNKNOWN || p->complete == PROBE_UNKNOWN;
    int64_t age = now - p->seconds;
    return age >= 0 && age < (unknown ? REMEMBER_UNKNOWN_SECONDS : REMEMBER_SECONDS);
}

// False when there is nothing that can be used: absent, old, of another store, malformed.
static bool recall(struct store *store, int dir, struct probe *out)
{
    char name[NAME_BYTES], text[FILE_BYTES], put[16], complete[16], id[sizeof(store->id)];
    file_name(store, name);
    auto_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (len <= 0 || text[len - 1] != '\n')
        return false;
    text[len] = '\0';
    struct probe p = {.put = PROBE_UNKNOWN};
    int fields = sscanf(text, "store %511[^\n]\nseconds %" SCNd64 "\nput %15s\ncomplete %15s\n", id,
                        &p.seconds, put, complete);
    if (fields != 4 || strcmp(id, store->id) != 0)
        return false;
    p.put = answer_of(put);
    p.complete = answer_of(complete);
    if (!is_fresh(&p, store->ops->now(store).tv_sec))
        return false;
    *out = p;
    return true;
}

// Half a file would be malformed, and the store asked again: no sync is needed. A failure costs a probe at the next mount.
static void remember(const struct store *store, int dir, const struct probe *p)
{
    char name[NAME_BYTES], temporary[NAME_BYTES + 16];
    file_name(store, name);
    snprintf(temporary, sizeof(temporary), "%s.%d", name, (int)getpid());
    auto_fd int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    int wrote = dprintf(fd, "store %s\nseconds %" PRId64 "\nput %s\ncomplete %s\n", store->id,
                        p->seconds, words[p->put], words[p->complete]);
    if (wrote < 0 || renameat(dir, temporary, dir, name) != 0)
        unlinkat(dir, temporary, 0);
}

int probe_conditions(struct store *store, const char *state_dir, struct probe *out, struct err *err)
{
    if (!store->limits.conditions_unsure) {
        *out = (struct probe){
            .put = store->limits.put_conditions ? PROBE_HONOURED : PROBE_IGNORED,
            .complete = store->limits.complete_conditions ? PROBE_HONOURED : PROBE_IGNORED,
        };
        return 0;
    }
    *out = (struct probe){.put = PROBE_UNKNOWN};
    auto_fd int dir = state_dir ? open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir < 0 || !recall(store, dir, out)) {
        int rc = probe_ask(store, out, err);
        if (rc < 0)
            return rc;
        if (dir >= 0)
            remember(store, dir, out);
    }
    store->limits.put_conditions = out->put == PROBE_HONOURED;
    store->limits.complete_conditions = out->complete == PROBE_HONOURED;
    return 0;
}
