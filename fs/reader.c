// Reading from a handle: what is asked for ahead, waiting, and lending bytes out.
#include "fs/reader.h"

#include "backend/base/num.h"
#include "fs/downloads.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// All runs together stay within the cache, with room for what is being read.
static uint32_t window_bound(const struct read_handle *h)
{
    const struct readers *rs = h->readers;
    unsigned running = rs->running + (h->window.frames <= 1);
    uint64_t share = frames_capacity(rs->frames) * 3 / 4 / running;
    return (uint32_t)max_u64(1, min_u64(WINDOW_FRAMES_MAX, share));
}

// Asks for a frame that this read needs and that is missing. If the run had asked for it already, it was lost again.
static int want(struct read_handle *h, uint64_t owner, uint64_t number, const struct window *was,
                struct window_plan *ahead, struct err *err)
{
    if (frames_find(h->readers->frames, owner, number))
        return 0;
    bool in_run = was->frames > 1 && !ahead->sought;
    if (in_run && number < was->asked && number * PACK_FRAME_BYTES >= was->next_off) {
        window_lost(&h->window, number);
        ahead->count = 0;
    }
    return downloads_want(h, owner, number, err);
}

// Sees to it that the frame of this read (`len` bytes, all in one frame), the one behind it if the read goes on, and those
// ahead of it are there or on their way. Under the lock.
static int plan(struct read_handle *h, uint64_t owner, uint64_t off, size_t len, bool goes_on,
                struct err *err)
{
    struct readers *rs = h->readers;
    struct window was = h->window;
    uint64_t number = off / PACK_FRAME_BYTES;
    uint64_t frames = pack_index_frames(object_reader_index(h->reader->object));
    struct window_plan ahead = window_read(&h->window, off, len, frames, window_bound(h));
    if (ahead.sought)
        h->epoch++;
    int rc = want(h, owner, number, &was, &ahead, err);
    if (!rc && goes_on)
        rc = want(h, owner, number + 1, &was, &ahead, err);
    if (!rc && ahead.count > 0)
        downloads_ahead(h, owner, ahead.first, ahead.count);
    rs->running += (unsigned)(h->window.frames > 1) - (unsigned)(was.frames > 1);
    return rc;
}

// The frame, pinned; waits while it loads. Under the lock.
static int wait_frame(struct read_handle *h, uint64_t owner, uint64_t number, struct frame **out,
                      struct err *err)
{
    struct readers *rs = h->readers;
    for (;;) {
        struct frame *f = frames_find(rs->frames, owner, number);
        if (!f) {
            int rc = downloads_want(h, owner, number, err);
            if (rc)
                return rc;
            continue;
        }
        frames_pin(f);
        downloads_hurry(rs, f);
        while (f->state == FRAME_LOADING)
            pthread_cond_wait(&f->settled, &rs->lock);
        if (f->state == FRAME_READY) {
            *out = f;
            return 0;
        }
        int rc = f->again ? 0 : err_copy(err, &f->err);
        frames_unpin(rs->frames, f);
        if (rc)
            return rc;
    }
}

// A lent frame stops its downloader: its bytes are copied, so that nobody waits for one downloader with another's frame
// in hand.
static int keep_lent(struct read_handle *h, struct frame *f, struct iovec *bytes, struct err *err)
{
    struct readers *rs = h->readers;
    void *copy = malloc(bytes->iov_len);
    if (copy)
        memcpy(copy, bytes->iov_base, bytes->iov_len);
    pthread_mutex_lock(&rs->lock);
    frames_unpin(rs->frames, f);
    if (!copy)
        read_handle_unref(h);
    pthread_mutex_unlock(&rs->lock);
    if (!copy)
        return err_errno(err, ENOMEM, "read %zu bytes", bytes->iov_len);
    bytes->iov_base = copy;
    return 0;
}

// Up to the end of one frame. *out_frame: pinned, or NULL when the bytes were malloc'ed.
static int get_piece(struct read_handle *h, uint64_t off, size_t len, bool direct,
                     struct iovec *out, struct frame **out_frame, struct err *err)
{
    struct readers *rs = h->readers;
    uint64_t owner = direct ? h->direct_owner : h->reader->owner;
    uint64_t number = off / PACK_FRAME_BYTES;
    size_t at = off % PACK_FRAME_BYTES;
    size_t count = (size_t)min_u64(len, PACK_FRAME_BYTES - at);
    pthread_mutex_lock(&rs->lock);
    struct frame *f;
    int rc = plan(h, owner, off, count, len > count, err);
    if (!rc)
        rc = wait_frame(h, owner, number, &f, err);
    if (!rc)
        h->refs++; // until reader_put
    pthread_mutex_unlock(&rs->lock);
    if (rc)
        return rc;
    assert(at + count <= f->len);
    // an iovec has no const
    struct iovec bytes = {.iov_base = (void *)(uintptr_t)(f->bytes + at), .iov_len = count};
    if (frames_is_lent(f)) {
        rc = keep_lent(h, f, &bytes, err);
        if (rc)
            return rc;
        f = NULL;
    }
    *out = bytes;
    *out_frame = f;
    return 0;
}

static int say_where(const struct read_handle *h, uint64_t off, int rc, struct err *err)
{
    if (rc == -ESTALE) {
        err_prefix(err, "it was replaced in the store while it was read");
        if (err)
            err->code = EIO;
        rc = -EIO;
    }
    err_prefix(err, "read '%s' at byte %llu", h->reader->path, (unsigned long long)off);
    return rc;
}

int reader_get(struct read_handle *h, uint64_t off, size_t len, bool direct,
               struct read_pieces *out, struct err *err)
{
    uint64_t size = object_reader_info(h->reader->object)->header.record.size;
    len = off < size ? (size_t)min_u64(len, size - off) : 0;
    assert(len <= READ_BYTES_MAX);
    struct read_pieces got = {.handle = h, .direct = direct};
    while (len > 0) {
        struct iovec *bytes = &got.bytes[got.count];
        int rc = get_piece(h, off, len, direct, bytes, &got.frames[got.count], err);
        if (rc) {
            reader_put(&got);
            return say_where(h, off, rc, err);
        }
        off += bytes->iov_len;
        len -= bytes->iov_len;
        got.count++;
    }
    *out = got;
    return 0;
}

void reader_put(struct read_pieces *pieces)
{
    if (pieces->count == 0)
        return; // it holds no reference either
    struct read_handle *h = pieces->handle;
    struct readers *rs = h->readers;
    for (unsigned i = 0; i < pieces->count; i++)
        if (!pieces->frames[i])
            free(pieces->bytes[i].iov_base);
    pthread_mutex_lock(&rs->lock);
    bool in_order = pieces->direct || h->window.frames > 1;
    for (unsigned i = 0; i < pieces->count; i++) {
        struct frame *f = pieces->frames[i];
        if (!f)
            continue;
        frames_read(rs->frames, f, pieces->bytes[i].iov_len, in_order);
        if (pieces->direct && frames_spent(f))
            frames_drop(rs->frames, f);
        frames_unpin(rs->frames, f);
    }
    for (; pieces->count > 0; pieces->count--)
        read_handle_unref(h);
    pthread_mutex_unlock(&rs->lock);
}
