#include "backend/object_head.h"

#include "backend/base/crypto.h"
#include "backend/base/num.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Holds the seek table of a file of 5 GiB, its trailer and the last chunk.
#define TAIL_BYTES ((size_t)128 * 1024)

// --- Writing ---

struct object_writer {
    struct packer *packer; // owns seal, which owns upload
    struct sink *seal, *upload;
    struct seal_randoms randoms;
    unsigned recipient_count;
    char path[STORE_KEY_BYTES + 1];
};

int object_create(const struct object_env *env, const char *path, const struct store_cond *cond,
                  struct cancel *cancel, struct object_writer **out, struct err *err)
{
    char key[STORE_KEY_BYTES + 1];
    int rc = object_store_key(path, key, err);
    if (rc)
        return rc;
    struct object_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return err_errno(err, ENOMEM, "create '%s'", path);
    strcpy(w->path, path);
    w->recipient_count = (unsigned)env->recipient_count;
    seal_randoms_fill(&w->randoms);
    rc = upload_sink_new(&env->upload, key, cond, cancel, &w->upload, err);
    if (!rc)
        rc = seal_sink_new(w->upload, env->recipients, env->recipient_count, &w->randoms, &w->seal,
                           err);
    if (!rc)
        rc = packer_new(&env->pack, w->seal, &w->packer, err);
    if (rc) { // each wrapper took its next over, also in failing
        secret_wipe(w, sizeof(*w));
        free(w);
        return rc;
    }
    *out = w;
    return 0;
}

struct packer *object_writer_packer(struct object_writer *w)
{
    return w->packer;
}

int object_writer_sync(struct object_writer *w, struct err *err)
{
    int rc = packer_sync(w->packer, err);
    return rc ? rc : upload_sink_sync(w->upload, err);
}

int object_writer_commit(struct object_writer *w, const struct object_times *times,
                         struct object_info *out, struct err *err)
{
    struct seal_record record = {
        .size = packer_size(w->packer),
        .mtime = times->mtime,
        .committed = times->committed,
        .flags = times->flags | (uint32_t)times->complete << SEAL_FLAG_COMPLETE_SHIFT,
    };
    seal_pathtag(w->randoms.file_key, w->path, record.pathtag);
    seal_sink_set_record(w->seal, &record, w->path);

    struct pack_trailer trailer = {
        .complete = (uint8_t)times->complete,
        .path = w->path,
        .version = (char[]){"bakfs " BAKFS_VERSION},
    };
    crypto_random(trailer.salt, sizeof(trailer.salt));
    int rc = packer_commit(w->packer, &trailer, err);
    if (rc)
        return rc;
    *out = (struct object_info){
        .stat = *upload_sink_stat(w->upload),
        .header = {.state = SEAL_OURS,
                   .record = record,
                   .len = seal_header_length(w->recipient_count),
                   .x25519_count = w->recipient_count},
    };
    return 0;
}

uint64_t object_writer_acked(const struct object_writer *w)
{
    return upload_sink_acked(w->upload);
}

void object_writer_key(const struct object_writer *w, struct object_key *out)
{
    memcpy(out->file_key, w->randoms.file_key, sizeof(out->file_key));
    memcpy(out->nonce, w->randoms.nonce, sizeof(out->nonce));
}

void object_writer_free(struct object_writer *w)
{
    if (!w)
        return;
    packer_free(w->packer);
    secret_wipe(w, sizeof(*w));
    free(w);
}

// --- Reading ---

struct object_reader {
    struct object_info info;
    struct source *packed; // opens chunks; owns the source over the store
    struct pack_index *index;
    char path[STORE_KEY_BYTES + 1];
};

struct tail_job {
    struct store *store;
    const char *key, *etag;
    uint8_t *bytes;
    size_t len;
    struct store_stat stat;
    int rc;
    struct err err;
};

static void *fetch_tail(void *arg)
{
    struct tail_job *job = arg;
    job->bytes = malloc(TAIL_BYTES);
    if (!job->bytes)
        job->rc = err_errno(&job->err, ENOMEM, "read the tail of '%s'", job->key);
    else
        job->rc = job->store->ops->get_tail(job->store, job->key, job->etag, TAIL_BYTES, job->bytes,
                                            &job->len, &job->stat, &job->err);
    return NULL;
}

// Header and tail at the same time: opening costs one round trip.
static int fetch_ends(struct store *store, const char *key, const char *etag,
                      struct object_head *head, struct tail_job *tail, struct err *err)
{
    *tail = (struct tail_job){.store = store, .key = key, .etag = etag};
    pthread_t thread;
    bool parallel = pthread_create(&thread, NULL, fetch_tail, tail) == 0;
    int rc = object_head_fetch(store, key, etag, SEAL_HEADER_PROBE, head, err);
    if (parallel)
        pthread_join(thread, NULL);
    else
        fetch_tail(tail);
    if (rc)
        return rc;
    if (tail->rc)
        return err_copy(err, &tail->err);
    if (strcmp(head->stat.etag, tail->stat.etag) != 0 || head->stat.size != tail->stat.size)
        return err_set(err, ESTALE, "it was replaced while it was opened");
    return 0;
}

static int open_header(struct store *store, const char *key, const struct identities *identities,
                       const struct object_key *known, struct object_head *head,
                       struct object_info *info, struct seal_opened *opened, struct err *err)
{
    uint64_t size = head->stat.size;
    int rc = object_head_parse(store, key, head, err);
    if (rc)
        return rc;
    if (head->stat.size != size)
        return err_set(err, ESTALE, "it was replaced while it was opened");
    *info = (struct object_info){.stat = head->stat, .header = head->header};
    return object_head_unlock(head, identities, known, opened, err);
}

// Header, trailer, table and path against each other: FORMAT.md section 4, checks 2 and 6.
static int hold_together(const struct object_reader *r, const uint8_t file_key[16], struct err *err)
{
    const struct seal_record *record = &r->info.header.record;
    const struct pack_trailer *trailer = pack_index_trailer(r->index);
    uint8_t tag[SEAL_PATHTAG_BYTES];
    seal_pathtag(file_key, r->path, tag);
    if (!crypto_equal(tag, record->pathtag, sizeof(tag)))
        return err_set(err, EBADMSG,
                       "it is another file's object, first written as '%s': "
                       "it was moved or exchanged in the bucket",
                       trailer->path ? trailer->path : "?");
    if (record->size != trailer->size)
        return err_set(err, EBADMSG, "header and trailer differ on the size");
    uint32_t complete = record->flags >> SEAL_FLAG_COMPLETE_SHIFT;
    if (complete != trailer->complete)
        return err_set(err, EBADMSG, "header and trailer differ on completeness");
    return 0;
}

static int open_payload(struct object_reader *r, struct store *store, const char *key,
                        struct object_head *head, struct tail_job *tail,
                        const struct seal_opened *opened, struct err *err)
{
    struct store_window windows[2] = {
        {.off = 0, .len = head->len, .bytes = head->bytes},
        {.off = tail->stat.size - tail->len, .len = tail->len, .bytes = tail->bytes},
    };
    struct source *sealed;
    int rc = object_source_new(store, key, head, windows, 2, &sealed, err);
    head->bytes = tail->bytes = NULL; // the source's, also when it failed
    if (rc)
        return rc;
    rc = seal_source_new(sealed, r->info.header.len, opened->file_key, &r->packed, err);
    if (rc)
        return rc;
    rc = pack_index_read(r->packed, &r->index, err);
    return rc ? rc : hold_together(r, opened->file_key, err);
}

int object_open(struct store *store, const char *path, const char *etag,
                const struct identities *identities, const struct object_key *known,
                struct object_reader **out, struct err *err)
{
    char key[STORE_KEY_BYTES + 1];
    int rc = object_store_key(path, key, err);
    if (rc)
        return rc;
    struct object_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return err_errno(err, ENOMEM, "open '%s'", path);
    strcpy(r->path, path);
    struct object_head head = {0};
    struct tail_job tail;
    struct seal_opened opened = {0};
    rc = fetch_ends(store, key, etag, &head, &tail, err);
    if (!rc)
        rc = open_header(store, key, identities, known, &head, &r->info, &opened, err);
    if (!rc)
        rc = open_payload(r, store, key, &head, &tail, &opened, err);
    seal_opened_done(&opened);
    object_head_done(&head);
    free(tail.bytes);
    if (rc) {
        object_reader_free(r);
        return rc;
    }
    *out = r;
    return 0;
}

const struct object_info *object_reader_info(const struct object_reader *r)
{
    return &r->info;
}

const struct pack_index *object_reader_index(const struct object_reader *r)
{
    return r->index;
}

int object_read_frames(struct object_reader *r, struct pack_decoder *scratch, uint64_t first,
                       unsigned count, uint8_t *const *outs, struct err *err)
{
    assert(count > 0 && first + count <= pack_index_frames(r->index));
    struct pack_span from = pack_index_span(r->index, first);
    struct pack_span to = pack_index_span(r->index, first + count - 1);
    size_t len = (size_t)(to.packed_off + to.packed_len - from.packed_off);
    auto_free uint8_t *packed = malloc(len);
    if (!packed)
        return err_errno(err, ENOMEM, "read %zu bytes of '%s'", len, r->path);
    int rc = source_read_at(r->packed, from.packed_off, packed, len, err);
    for (unsigned i = 0; i < count && !rc; i++) {
        struct pack_span span = pack_index_span(r->index, first + i);
        rc =
            pack_decode(scratch, packed + (span.packed_off - from.packed_off), &span, outs[i], err);
        if (rc)
            err_prefix(err, "frame %llu, from byte %llu of the file",
                       (unsigned long long)(first + i),
                       (unsigned long long)((first + i) * PACK_FRAME_BYTES));
    }
    return rc;
}

void object_reader_free(struct object_reader *r)
{
    if (!r)
        return;
    pack_index_free(r->index);
    source_free(r->packed);
    free(r);
}
