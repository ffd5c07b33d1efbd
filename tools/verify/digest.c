#include "tools/verify/digest.h"

#include "backend/base/crypto.h"
#include "backend/base/num.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FRAME_BYTES ((size_t)1 << 20)
#define FRAMES_IN_A_GROUP 1024u

struct digest {
    struct sha256 *frame, *group, *total;
    size_t frame_len;
    unsigned frames; // of the group
};

struct digest *digest_new(void)
{
    struct digest *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->frame = sha256_new();
    d->group = sha256_new();
    d->total = sha256_new();
    if (d->frame && d->group && d->total)
        return d;
    digest_free(d);
    return NULL;
}

static void end_group(struct digest *d)
{
    uint8_t hash[SHA256_BYTES];
    sha256_final(d->group, hash);
    sha256_update(d->total, hash, sizeof(hash));
    d->frames = 0;
}

static void end_frame(struct digest *d)
{
    uint8_t hash[SHA256_BYTES];
    sha256_final(d->frame, hash);
    sha256_update(d->group, hash, sizeof(hash));
    d->frame_len = 0;
    if (++d->frames == FRAMES_IN_A_GROUP)
        end_group(d);
}

void digest_update(struct digest *d, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len > 0) {
        size_t n = (size_t)min_u64(len, FRAME_BYTES - d->frame_len);
        sha256_update(d->frame, at, n);
        d->frame_len += n;
        if (d->frame_len == FRAME_BYTES)
            end_frame(d);
        at += n;
        len -= n;
    }
}

void digest_final(struct digest *d, char out[DIGEST_TEXT_BYTES])
{
    if (d->frame_len > 0)
        end_frame(d);
    if (d->frames > 0)
        end_group(d);
    uint8_t hash[SHA256_BYTES];
    sha256_final(d->total, hash);
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

void digest_free(struct digest *d)
{
    if (!d)
        return;
    sha256_free(d->frame);
    sha256_free(d->group);
    sha256_free(d->total);
    free(d);
}
