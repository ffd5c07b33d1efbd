// Copies inside S3: the bytes do not come here.
#include "backend/store/s3_store.h"

#include "backend/base/num.h"
#include "backend/s3/uri.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_BYTES (3 * S3_KEY_BYTES + 300)

static int copy_source(const struct s3_store *s3, const char *from, char out[SOURCE_BYTES],
                       struct err *err)
{
    size_t used = (size_t)snprintf(out, SOURCE_BYTES, "/%s/", s3->bucket);
    if (!uri_encode(from, true, out + used, SOURCE_BYTES - used))
        return err_set(err, ENAMETOOLONG, "the key is too long");
    return 0;
}

// An answer of 200 may hold the refusal too, if the copying had begun.
static int copied(struct s3_call *call, int result, struct xml_result *out, struct err *err)
{
    if (result == 0)
        result = xml_parse_result(call->response.text, call->response.text_len, out, err);
    if (result == 0 && !out->etag[0])
        return err_set(err, EUCLEAN, "the answer has no ETag");
    if (call->response.status == 412 || strcmp(call->error.code, "PreconditionFailed") == 0)
        return err_set(err, ESTALE, "another object stands there now");
    if (strcmp(call->error.code, "NoSuchUpload") == 0)
        return err_set(err, ENOENT, "the upload is gone: somebody aborted or completed it");
    return result;
}

static int copy_whole(struct s3_store *s3, const char *from, const struct store_stat *from_stat,
                      const char *to, struct store_stat *out, struct err *err)
{
    char source[SOURCE_BYTES], quoted[S3_QUOTED_BYTES];
    struct s3_call call = {.method = "PUT", .key = to, .late_error = true};
    int result = copy_source(s3, from, source, err);
    if (result == 0)
        result = s3_quote(from_stat->etag, quoted, err);
    if (result < 0)
        return result;
    s3_call_header(&call, "x-amz-copy-source", source);
    s3_call_header(&call, "x-amz-copy-source-if-match", quoted);
    struct xml_result answer;
    result = copied(&call, s3_client_call(s3->client, &call, err), &answer, err);
    s3_call_done(&call);
    if (result < 0)
        return result;
    *out = (struct store_stat){.size = from_stat->size, .last_modified = answer.last_modified};
    snprintf(out->etag, sizeof(out->etag), "%s", answer.etag);
    return 0;
}

// For servers that do not honour x-amz-copy-source-if-match here (Ceph 16 does not): what stood there before and stands
// there afterwards stood there in between. Also when another object was why it was refused (416, it is shorter).
static int postcheck(struct s3_store *s3, const char *from, const char *if_match, int result,
                     const struct s3_call *call, struct err *err)
{
    struct store_stat stat = {0};
    struct err look = {0};
    bool refused = result < 0 && call->response.status >= 400 && call->response.status < 500;
    if (s3->aws || (result < 0 && !refused))
        return result;
    int seen = s3_look(s3, from, 0, &stat, NULL, &look);
    if (seen == 0 && strcmp(stat.etag, if_match) != 0)
        return err_set(err, ESTALE, "another object stands there now");
    return result < 0 || seen == 0 ? result : err_copy(err, &look);
}

static int copy_range(struct s3_store *s3, const char *from, const char *if_match,
                      uint64_t from_off, const char *to, const char *id, struct store_part *part,
                      struct err *err)
{
    char source[SOURCE_BYTES], quoted[S3_QUOTED_BYTES], range[64], number[16];
    snprintf(number, sizeof(number), "%u", part->number);
    snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, from_off,
             from_off + part->size - 1);
    // Ceph 16 decodes the source twice here, and so may take another object
    if (strchr(from, '%') && !s3->aws)
        return err_set(err, EOPNOTSUPP,
                       "a store other than AWS is not trusted to copy parts of a key with '%%'");
    struct s3_call call = {.method = "PUT", .key = to, .late_error = true};
    int result = copy_source(s3, from, source, err);
    if (result == 0)
        result = s3_quote(if_match, quoted, err);
    if (result < 0)
        return result;
    s3_call_query(&call, "partNumber", number);
    s3_call_query(&call, "uploadId", id);
    s3_call_header(&call, "x-amz-copy-source", source);
    s3_call_header(&call, "x-amz-copy-source-range", range);
    s3_call_header(&call, "x-amz-copy-source-if-match", quoted);
    struct xml_result answer;
    result = copied(&call, s3_client_call(s3->client, &call, err), &answer, err);
    result = postcheck(s3, from, if_match, result, &call, err);
    s3_call_done(&call);
    if (result == 0)
        snprintf(part->etag, sizeof(part->etag), "%s", answer.etag);
    return result;
}

int s3_copy_part(struct store *store, const char *key, const char *id, unsigned number,
                 uint64_t off, const char *from, const char *if_match, uint64_t from_off,
                 uint64_t len, struct store_part *out, struct err *err)
{
    (void)off; // S3 joins parts by their numbers
    struct s3_store *s3 = s3_of(store);
    char full_from[S3_KEY_BYTES], full_to[S3_KEY_BYTES];
    struct store_part part = {.number = number, .size = len};
    struct err local = {0};
    uint64_t end;
    int result = s3_key(s3, from, full_from, &local);
    if (result == 0)
        result = s3_key(s3, key, full_to, &local);
    if (result == 0 && (len == 0 || !add_u64(from_off, len, &end)))
        result = err_set(&local, EINVAL, "there is no such range");
    if (result == 0 && len > store->limits.put_max)
        result = err_set(&local, EFBIG, "%" PRIu64 " bytes are more than a part holds", len);
    if (result == 0)
        result = copy_range(s3, full_from, if_match, from_off, full_to, id, &part, &local);
    if (result < 0) {
        err_prefix(&local, "copy part %u of '%s' from '%s'", number, key, from);
        return err_copy(err, &local);
    }
    *out = part;
    return 0;
}

static int copy_into(struct s3_store *s3, const char *from, const struct store_stat *from_stat,
                     const char *to, const char *id, uint64_t part_bytes, unsigned count,
                     struct store_stat *out, struct err *err)
{
    char full_from[S3_KEY_BYTES], full_to[S3_KEY_BYTES];
    struct store_part *parts = calloc(count, sizeof(*parts));
    if (!parts)
        return err_set(err, ENOMEM, "no memory for the list of parts");
    int result = s3_key(s3, from, full_from, err);
    if (result == 0)
        result = s3_key(s3, to, full_to, err);
    for (unsigned i = 0; result == 0 && i < count; i++) {
        uint64_t off = i * part_bytes;
        parts[i].number = i + 1;
        parts[i].size = min_u64(part_bytes, from_stat->size - off);
        result = copy_range(s3, full_from, from_stat->etag, off, full_to, id, &parts[i], err);
    }
    if (result == 0)
        result = s3_upload_complete(&s3->base, to, id, parts, count, NULL, out, err);
    free(parts);
    return result;
}

int s3_copy_parts(struct s3_store *s3, const char *from, const struct store_stat *from_stat,
                  const char *to, uint64_t part_bytes, struct store_stat *out, struct err *err)
{
    char id[STORE_UPLOAD_ID_BYTES];
    uint64_t count = div_up_u64(from_stat->size, part_bytes);
    if (count == 0 || count > s3->base.limits.parts_max)
        return err_set(err, EFBIG, "%" PRIu64 " bytes cannot be copied in parts", from_stat->size);
    int result = s3_upload_begin(&s3->base, to, id, err);
    if (result < 0)
        return result;
    result = copy_into(s3, from, from_stat, to, id, part_bytes, (unsigned)count, out, err);
    if (result < 0)
        s3_upload_abort(&s3->base, to, id, NULL); // the first failure is the one to tell
    return result;
}

int s3_copy(struct store *store, const char *from, const char *if_match, const char *to,
            struct store_stat *out, struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full_from[S3_KEY_BYTES], full_to[S3_KEY_BYTES];
    struct store_stat from_stat, stat;
    struct err local = {0};
    int result = s3_key(s3, from, full_from, &local);
    if (result == 0)
        result = s3_key(s3, to, full_to, &local);
    if (result == 0)
        result = s3_look(s3, full_from, 0, &from_stat, NULL, &local);
    if (result == 0 && if_match && strcmp(from_stat.etag, if_match) != 0)
        result = err_set(&local, ESTALE, "another object stands there now");
    if (result == 0)
        result = from_stat.size > s3->base.limits.put_max
                     ? s3_copy_parts(s3, from, &from_stat, to, S3_COPY_PART_BYTES, &stat, &local)
                     : copy_whole(s3, full_from, &from_stat, full_to, &stat, &local);
    if (result < 0) {
        err_prefix(&local, "copy '%s' to '%s'", from, to);
        return err_copy(err, &local);
    }
    if (out)
        *out = stat;
    return 0;
}
