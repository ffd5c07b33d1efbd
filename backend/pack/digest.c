#include "backend/pack/digest.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/pack/pack.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pack_digest {
    struct sha256 *whole, *gib;
    unsigned in_gib; // frames
};

struct pack_digest *pack_digest_new(void)
{
    struct pack_digest *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->whole = sha256_new();
    d->gib = sha256_new();
    if (!d->whole || !d->gib) {
        pack_digest_free(d);
        return NULL;
    }
    return d;
}

void pack_digest_free(struct pack_digest *d)
{
    if (!d)
        return;
    sha256_free(d->whole);
    sha256_free(d->gib);
    free(d);
}

static void end_gib(struct pack_digest *d)
{
    uint8_t gib[SHA256_BYTES];
    sha256_final(d->gib, gib);
    sha256_update(d->whole, gib, sizeof(gib));
    d->in_gib = 0;
}

void pack_digest_frame(struct pack_digest *d, const uint8_t frame_sha256[32])
{
    sha256_update(d->gib, frame_sha256, SHA256_BYTES);
    if (++d->in_gib == DIGEST_GIB_FRAMES)
        end_gib(d);
}

void pack_digest_final(struct pack_digest *d, uint8_t out[PACK_DIGEST_BYTES])
{
    if (d->in_gib > 0)
        end_gib(d);
    sha256_final(d->whole, out);
}

// --- While writing ---

struct digest_log {
    uint64_t early_frames;
    uint8_t (*early)[SHA256_BYTES];
    uint64_t next;                 // the frame that comes next behind the early ones
    struct sha256 *gib;            // of the GiB that `next` is in
    uint8_t (*gibs)[SHA256_BYTES]; // whole ones behind the early ones
    size_t gib_count, gib_room;
};

int digest_log_new(uint64_t early, struct digest_log **out, struct err *err)
{
    struct digest_log *log = calloc(1, sizeof(*log));
    if (log) {
        log->early_frames = align_up_u64(max_u64(early, 1), DIGEST_GIB_FRAMES);
        log->next = log->early_frames;
        log->early = calloc(log->early_frames, sizeof(*log->early));
        log->gib = sha256_new();
    }
    if (!log || !log->early || !log->gib) {
        digest_log_free(log);
        return err_set(err, ENOMEM, "no memory for a file's digests");
    }
    *out = log;
    return 0;
}

void digest_log_free(struct digest_log *log)
{
    if (!log)
        return;
    sha256_free(log->gib);
    free(log->early);
    free(log->gibs);
    free(log);
}

static int end_log_gib(struct digest_log *log, struct err *err)
{
    if (log->gib_count == log->gib_room) {
        size_t room = log->gib_room ? log->gib_room * 2 : 16;
        void *grown = realloc(log->gibs, room * sizeof(*log->gibs));
        if (!grown)
            return err_set(err, ENOMEM, "no memory for a file's digests");
        log->gibs = grown;
        log->gib_room = room;
    }
    sha256_final(log->gib, log->gibs[log->gib_count++]);
    return 0;
}

int digest_log_put(struct digest_log *log, uint64_t frame, const uint8_t sha[SHA256_BYTES],
                   struct err *err)
{
    if (frame < log->early_frames) {
        memcpy(log->early[frame], sha, SHA256_BYTES);
        return 0;
    }
    assert(frame == log->next);
    log->next++;
    sha256_update(log->gib, sha, SHA256_BYTES);
    return log->next % DIGEST_GIB_FRAMES == 0 ? end_log_gib(log, err) : 0;
}

int digest_log_final(struct digest_log *log, uint64_t frames, uint8_t out[SHA256_BYTES],
                     struct err *err)
{
    if (log->next % DIGEST_GIB_FRAMES != 0) {
        int rc = end_log_gib(log, err);
        if (rc < 0)
            return rc;
    }
    struct pack_digest *d = pack_digest_new();
    if (!d)
        return err_set(err, ENOMEM, "no memory for a file's digest");
    for (uint64_t i = 0; i < frames && i < log->early_frames; i++)
        pack_digest_frame(d, log->early[i]);
    for (size_t i = 0; i < log->gib_count; i++) // the early frames were whole GiBs then
        sha256_update(d->whole, log->gibs[i], SHA256_BYTES);
    pack_digest_final(d, out);
    pack_digest_free(d);
    return 0;
}
