// The bytes of a file being written: as a stream, or as a draft.
#include "fs/writer_impl.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <string.h>

#define COPY_BYTES PACK_FRAME_BYTES

static int start_stream(struct writer *w, struct err *err)
{
    return object_create(w->all->conf.object, w->path, &w->cond, &w->cancel, &w->object, err);
}

int bytes_begin(struct writer *w, const struct writer_begin *begin, struct err *err)
{
    w->may_read_base = begin->may_read_base || !begin->base;
    if (!begin->as_draft)
        return start_stream(w, err);
    return draft_new(w->all->conf.object->pack.blocks, begin->base, &w->draft, err);
}

void bytes_drop(struct writer *w)
{
    object_writer_free(take(w->object));
    draft_free(take(w->draft));
}

static struct packer *packer_of(const struct writer *w)
{
    return object_writer_packer(w->object);
}

// --- Streams ---

// What a dump ends with is looked at when the frame it lies in may have left.
static void note_last(struct writer *w, uint64_t off, const uint8_t *bytes, size_t len)
{
    size_t n = min_u64(len, WRITER_LAST_BYTES);
    for (size_t i = len - n; i < len; i++)
        w->last[(off + i) % WRITER_LAST_BYTES] = bytes[i];
}

static int append(struct writer *w, const uint8_t *bytes, size_t len, struct err *err)
{
    uint64_t off = packer_size(packer_of(w));
    int rc = packer_write(packer_of(w), bytes, len, err);
    if (!rc)
        note_last(w, off, bytes, len);
    return rc;
}

// Zeros up to `size`: holes, and a length set beyond what was written.
static int extend(struct writer *w, uint64_t size, struct err *err)
{
    static const uint8_t zeros[65536];
    int rc = 0;
    for (uint64_t at; !rc && (at = packer_size(packer_of(w))) < size;)
        rc = append(w, zeros, (size_t)min_u64(size - at, sizeof(zeros)), err);
    return rc;
}

static int sent_already(const struct writer *w, uint64_t off, uint64_t end, struct err *err)
{
    return err_set(err, EIO,
                   "bytes %llu to %llu were sent already and cannot be changed, only the first "
                   "%llu can: write it with [write] seek = spool (through a local file), with a "
                   "larger [write] head, or with seek = no if the program can do without",
                   (unsigned long long)off, (unsigned long long)end,
                   (unsigned long long)packer_head_held(packer_of(w)));
}

static int rewrite(struct writer *w, uint64_t off, const uint8_t *bytes, size_t len,
                   struct err *err)
{
    int rc = packer_rewrite(packer_of(w), off, bytes, len, err);
    if (rc == -EOPNOTSUPP)
        return sent_already(w, off, off + len, err);
    uint64_t size = packer_size(packer_of(w));
    uint64_t from = max_u64(off, size > WRITER_LAST_BYTES ? size - WRITER_LAST_BYTES : 0);
    if (!rc && from < off + len)
        note_last(w, from, bytes + (from - off), (size_t)(off + len - from));
    return rc;
}

static int put_stream(struct writer *w, uint64_t off, const uint8_t *bytes, size_t len,
                      struct err *err)
{
    int rc = extend(w, off, err);
    if (rc)
        return rc;
    size_t old = (size_t)min_u64(packer_size(packer_of(w)) - off, len);
    if (old > 0)
        rc = rewrite(w, off, bytes, old, err);
    if (!rc && old < len)
        rc = append(w, bytes + old, len - old, err);
    w->acked_bytes = object_writer_acked(w->object);
    return rc;
}

// A new object, with a new file key, from the first `size` bytes of the old one, all of which are held.
static int start_anew(struct writer *w, uint64_t size, struct err *err)
{
    struct object_writer *old = take(w->object);
    auto_free uint8_t *copy = malloc(COPY_BYTES);
    int rc = copy ? start_stream(w, err) : err_errno(err, ENOMEM, "cut '%s'", w->path);
    for (uint64_t at = 0; !rc && at < size; at += COPY_BYTES) {
        size_t n = (size_t)min_u64(COPY_BYTES, size - at);
        rc = packer_read(object_writer_packer(old), at, copy, n, err);
        if (!rc)
            rc = append(w, copy, n, err);
    }
    object_writer_free(old);
    return rc;
}

// The last bytes are others now. Where they left already it is not known any more what the file ends with.
static int reread_last(struct writer *w, uint64_t size, struct err *err)
{
    uint8_t last[WRITER_LAST_BYTES];
    size_t n = (size_t)min_u64(size, sizeof(last));
    int rc = packer_read(packer_of(w), size - n, last, n, err);
    w->last_lost = rc == -EOPNOTSUPP;
    if (!rc)
        note_last(w, size - n, last, n);
    return w->last_lost ? 0 : rc;
}

static int truncate_stream(struct writer *w, uint64_t size, struct err *err)
{
    uint64_t there = packer_size(packer_of(w));
    if (size >= there)
        return 0; // zeros follow when written past, or at the commit
    int rc = packer_truncate(packer_of(w), size, err);
    if (!rc)
        return reread_last(w, size, err);
    if (rc != -EOPNOTSUPP)
        return rc;
    if (size <= packer_head_held(packer_of(w)))
        return start_anew(w, size, err);
    return sent_already(w, size, there, err);
}

static int get_stream(struct writer *w, uint64_t off, uint8_t *out, size_t len, struct err *err)
{
    uint64_t there = packer_size(packer_of(w));
    size_t n = there > off ? (size_t)min_u64(len, there - off) : 0;
    int rc = n > 0 ? packer_read(packer_of(w), off, out, n, err) : 0;
    if (rc == -EOPNOTSUPP)
        return err_set(err, EBUSY,
                       "bytes %llu to %llu are on their way to the store: they can be read once "
                       "the file is stored (or write it with [write] seek = spool)",
                       (unsigned long long)off, (unsigned long long)(off + n));
    memset(out + n, 0, len - n);
    return rc;
}

// --- From a draft to a stream ---

static int stream_draft(struct writer *w, struct err *err)
{
    auto_free uint8_t *copy = malloc(COPY_BYTES);
    if (!copy)
        return err_errno(err, ENOMEM, "store '%s'", w->path);
    int rc = start_stream(w, err);
    uint64_t size = draft_size(w->draft);
    for (uint64_t at = 0; !rc && at < size; at += COPY_BYTES) {
        size_t n = (size_t)min_u64(COPY_BYTES, size - at);
        rc = draft_read(w->draft, at, copy, n, err);
        draft_drop_before(w->draft, at + n); // the stream may need the room
        if (!rc)
            rc = append(w, copy, n, err);
        if (w->object)
            w->acked_bytes = object_writer_acked(w->object);
    }
    if (!rc)
        draft_free(take(w->draft));
    return rc;
}

// --- Either ---

int bytes_put(struct writer *w, uint64_t off, const uint8_t *bytes, size_t len, struct err *err)
{
    if (w->draft) {
        bool in_order = draft_is_in_order(w->draft) && off >= draft_size(w->draft);
        int rc = draft_write(w->draft, off, bytes, len, err);
        if (rc != -ENOSPC || !in_order)
            return rc;
        rc = stream_draft(w, err);
        if (rc)
            return rc;
    }
    return put_stream(w, off, bytes, len, err);
}

int bytes_get(struct writer *w, uint64_t off, void *out, size_t len, struct err *err)
{
    if (!w->may_read_base) // nor when it went on as a stream, whose head has it
        return err_set(err, EACCES,
                       "this host has no identity that opens what the file was before "
                       "([seal] identity)");
    return w->draft ? draft_read(w->draft, off, out, len, err) : get_stream(w, off, out, len, err);
}

int bytes_truncate(struct writer *w, uint64_t size, struct err *err)
{
    if (!w->draft)
        return truncate_stream(w, size, err);
    draft_truncate(w->draft, size);
    return 0;
}

int bytes_finish(struct writer *w, struct err *err)
{
    int rc = w->draft ? stream_draft(w, err) : 0;
    return rc ? rc : extend(w, w->size, err);
}

enum seal_complete bytes_complete(struct writer *w)
{
    uint8_t first[COMPLETE_FIRST_BYTES], last[WRITER_LAST_BYTES];
    size_t first_len = (size_t)min_u64(w->size, sizeof(first));
    size_t last_len = (size_t)min_u64(w->size, sizeof(last));
    if (w->size == 0 && complete_may_be_empty(w->path))
        return SEAL_COMPLETE_UNKNOWN;
    if (w->last_lost || packer_read(packer_of(w), 0, first, first_len, NULL))
        return SEAL_COMPLETE_UNKNOWN;
    for (size_t i = 0; i < last_len; i++)
        last[i] = w->last[(w->size - last_len + i) % WRITER_LAST_BYTES];
    return complete_judge(w->size, first, first_len, last, last_len);
}
