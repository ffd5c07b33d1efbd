#include "tools/verify/look.h"

#include "backend/base/scope.h"
#include "tools/verify/digest.h"
#include "tools/verify/inner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define PIECE_BYTES ((size_t)1 << 20)
#define VALUE_BYTES 256

SCOPE_TYPE(digest)
SCOPE_TYPE(inner)

void look_done(struct look *l)
{
    free(l->path);
    free(l->name);
    free(l->wanted_digest);
}

__attribute__((format(printf, 3, 4))) static void found(struct look *l, enum look_outcome outcome,
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    l->outcome = outcome;
    vsnprintf(l->text, sizeof(l->text), format, args);
    va_end(args);
}

// 0, or an errno.
static int ask(const char *path, const char *name, char out[VALUE_BYTES])
{
    ssize_t len = getxattr(path, name, out, VALUE_BYTES - 1);
    if (len < 0)
        return errno;
    out[len] = '\0';
    return 0;
}

// EIO may be the store's too, which serves nothing (a bucket that is gone, a certificate that does not hold): then it says
// nothing of the backup. What is damaged at its ends the daemon calls so; what is damaged inside has a digest at its end.
bool look_is_served(const char *path)
{
    char value[VALUE_BYTES];
    if (ask(path, "user.bakfs.state", value) != 0)
        return false;
    if (strcmp(value, "damaged") == 0)
        return true;
    int code = ask(path, "user.bakfs.digest", value);
    return code == 0 || code == EACCES;
}

// What an errno of the mount says of the backup: only EIO is a judgement of it (fs/errmap.h). All else is about us, the
// network, or the daemon.
static void found_error(struct look *l, int code)
{
    if (code == EIO && !look_is_served(l->path)) {
        found(l, LOOK_CANNOT,
              "the store does not serve it (the daemon's log says why: journalctl -t bakfs)");
    } else if (code == EIO) {
        found(l, LOOK_FAIL,
              "damaged: what is stored does not authenticate or is cut (the daemon's log says "
              "where: journalctl -t bakfs)");
    } else if (code == EACCES) {
        l->no_identity = true;
        found(
            l, LOOK_CANNOT,
            "cannot be opened here: no identity on this host fits ([seal] identity), or the store "
            "refuses (the daemon's log says which)");
    } else if (code == ETIMEDOUT) {
        found(l, LOOK_CANNOT, "the store did not answer in time: try again");
    } else if (code == ENOENT || code == ESTALE) {
        found(l, LOOK_CANNOT, "was removed or replaced meanwhile");
    } else if (code == ENOTCONN || code == ESHUTDOWN || code == ENXIO || code == ENODEV) {
        found(l, LOOK_CANNOT, "the mount went away (bakfs umount --lazy && bakfs mount)");
    } else {
        found(l, LOOK_CANNOT, "%s", strerror(code));
    }
}

static bool judge_state(struct look *l, const char *state)
{
    if (strcmp(state, "sealed") == 0)
        return true;
    if (strcmp(state, "damaged") == 0)
        found(l, LOOK_FAIL,
              "damaged: what is stored under that name is not what was written (the daemon's log "
              "says where: journalctl -t bakfs)");
    else if (strcmp(state, "failed") == 0)
        found(l, LOOK_FAIL, "its last write failed: what is stored under that name is older");
    else if (strcmp(state, "writing") == 0)
        found(l, LOOK_CANNOT, "is still being written");
    else
        found(
            l, LOOK_CANNOT,
            "its header cannot be read: it is archived, or another program wrote it (bakfs doctor "
            "--deep)");
    return false;
}

static bool judge_size(struct look *l, uint64_t size)
{
    l->size = size;
    if (!l->has_wanted || size == l->wanted_size)
        return true;
    found(l, LOOK_FAIL, "has %" PRIu64 " bytes, META says %" PRIu64, size, l->wanted_size);
    return false;
}

static bool judge_digest(struct look *l, const char *digest, const char *whose)
{
    if (!l->wanted_digest || !*l->wanted_digest || strcasecmp(digest, l->wanted_digest) == 0)
        return true;
    found(l, LOOK_FAIL, "%s is %.16s..., META says %.16s...", whose, digest, l->wanted_digest);
    return false;
}

// What the daemon says; *digest "" where it cannot be had.
static bool look_quick(struct look *l, char digest[VALUE_BYTES])
{
    char value[VALUE_BYTES];
    *digest = '\0';
    int code = ask(l->path, "user.bakfs.state", value);
    if (code) {
        found_error(l, code);
        return false;
    }
    if (!judge_state(l, value))
        return false;
    struct stat st;
    if (stat(l->path, &st) != 0) {
        found_error(l, errno);
        return false;
    }
    l->stored = (uint64_t)st.st_blocks * 512;
    if (ask(l->path, "user.bakfs.stored_size", value) == 0)
        l->stored = strtoull(value, NULL, 10);
    if (!judge_size(l, (uint64_t)st.st_size))
        return false;
    if (!l->may_be_empty && ask(l->path, "user.bakfs.complete", value) == 0 &&
        strcmp(value, "no") == 0) {
        found(l, LOOK_FAIL, "%s",
              l->size ? "the dump stops short: its last line is not there that says it is complete"
                      : "it is empty");
        return false;
    }
    code = ask(l->path, "user.bakfs.digest", digest);
    if (code == EACCES) {
        *digest = '\0';
        l->no_identity = true;
    } else if (code) {
        found_error(l, code);
        return false;
    }
    return !*digest || judge_digest(l, digest, "its digest");
}

struct reading {
    struct digest *digest;
    struct inner *inner;
    uint64_t bytes;
};

// 0, an errno, or -1: stopped.
static int read_all(struct look *l, struct look_run *run, struct reading *r)
{
    auto_fd int fd = open(l->path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0)
        return errno;
    auto_free uint8_t *piece = aligned_alloc(4096, PIECE_BYTES);
    if (!piece)
        return ENOMEM;
    for (;;) {
        if (run->stop && run->stop())
            return -1;
        ssize_t n = read(fd, piece, PIECE_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : 0;
        digest_update(r->digest, piece, (size_t)n);
        inner_feed(r->inner, piece, (size_t)n);
        r->bytes += (uint64_t)n;
        atomic_fetch_add(&run->bytes, (unsigned long long)n);
    }
}

static void judge_inner(struct look *l, struct inner *inner)
{
    struct inner_result result;
    inner_end(inner, &result);
    snprintf(l->what, sizeof(l->what), "%s", result.what);
    bool empty = result.bytes == 0 && strcmp(result.why, "") != 0;
    if (result.verdict == INNER_BAD &&
        !(empty && l->may_be_empty && strstr(result.what, "nothing")))
        found(l, LOOK_FAIL, "%s", result.why);
    else if (result.verdict == INNER_UNKNOWN && *result.why)
        found(l, LOOK_PASS, "%s", result.why);
}

static void judge_read(struct look *l, const struct reading *r, const char *told)
{
    char digest[DIGEST_TEXT_BYTES];
    digest_final(r->digest, digest);
    if (r->bytes != l->size)
        found(l, LOOK_FAIL, "%" PRIu64 " bytes could be read, it has %" PRIu64, r->bytes, l->size);
    else if (*told && strcasecmp(told, digest) != 0)
        found(l, LOOK_FAIL, "its bytes have the digest %.16s..., the object says %.16s...", digest,
              told);
    else if (judge_digest(l, digest, "the digest of its bytes"))
        judge_inner(l, r->inner);
}

static void look_full(struct look *l, struct look_run *run, const char *told)
{
    auto_type(digest) struct digest *digest = digest_new();
    auto_type(inner) struct inner *inner = inner_new();
    struct reading r = {digest, inner, 0};
    int code = digest && inner ? read_all(l, run, &r) : ENOMEM;
    l->bytes = r.bytes;
    if (code < 0)
        found(l, LOOK_CANNOT, "stopped");
    else if (code)
        found_error(l, code);
    else
        judge_read(l, &r, told);
}

static void look_once(struct look *l, struct look_run *run)
{
    l->outcome = LOOK_PASS;
    l->text[0] = '\0';
    char digest[VALUE_BYTES];
    if (look_quick(l, digest) && l->full)
        look_full(l, run, digest);
}

// What was replaced while it was looked at (within its grace) is looked at again, once.
void look_at(struct look *l, struct look_run *run)
{
    char before[VALUE_BYTES] = "", after[VALUE_BYTES] = "";
    (void)ask(l->path, "user.bakfs.etag", before);
    look_once(l, run);
    if (l->outcome == LOOK_FAIL && ask(l->path, "user.bakfs.etag", after) == 0 &&
        strcmp(before, after) != 0)
        look_once(l, run);
}
