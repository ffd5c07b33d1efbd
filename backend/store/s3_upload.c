// Multipart uploads in S3.
#include "backend/store/s3_store.h"

#include "backend/base/clock.h"
#include "backend/base/log.h"
#include "backend/base/scope.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_SLACK_SECONDS 5

// --- the uploads begun here and their tokens ---

static int begun_add(struct s3_store *s3, const char *id, const char *token, struct err *err)
{
    size_t len = strlen(id) + 1;
    struct s3_begun *begun = malloc(sizeof(*begun) + len);
    if (!begun)
        return err_set(err, ENOMEM, "no memory for an upload");
    memcpy(begun->id, id, len);
    memcpy(begun->token, token, S3_TOKEN_BYTES);
    auto_unlock pthread_mutex_t *held = scope_lock(&s3->lock);
    begun->next = s3->begun;
    s3->begun = begun;
    return 0;
}

// The token of an upload, "" for one begun by another daemon; forgets it if `forget`.
static void begun_token(struct s3_store *s3, const char *id, bool forget,
                        char token[S3_TOKEN_BYTES])
{
    struct s3_begun *gone = NULL;
    token[0] = '\0';
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&s3->lock);
        for (struct s3_begun **at = &s3->begun; *at; at = &(*at)->next) {
            if (strcmp((*at)->id, id) != 0)
                continue;
            memcpy(token, (*at)->token, S3_TOKEN_BYTES);
            if (forget) {
                gone = *at;
                *at = gone->next;
            }
            break;
        }
    }
    free(gone);
}

// --- begin, parts ---

// Several tries may have begun one each, whose answers were lost: `keep` is the one that is known. What the journal does
// after a kill (journal.h has the rule, and why it harms nobody) is done here at once.
struct strays {
    struct s3_store *s3;
    const char *key, *keep;
    time_t since;
};

static int abort_stray(void *ctx, const struct store_upload *upload)
{
    struct strays *strays = ctx;
    struct store *store = &strays->s3->base;
    struct timespec touched;
    if (strcmp(upload->key, strays->key) != 0 || strcmp(upload->id, strays->keep) == 0 ||
        upload->initiated.tv_sec < strays->since - CLOCK_SLACK_SECONDS)
        return 0;
    int result = s3_upload_touched(store, upload->key, upload->id, &touched, NULL);
    if (result == 0 && touched.tv_sec == 0)
        result = s3_upload_abort(store, upload->key, upload->id, NULL);
    return result == -ENOENT ? 0 : result;
}

static int abort_strays(struct s3_store *s3, const char *key, const char *keep, time_t since,
                        struct err *err)
{
    struct strays strays = {.s3 = s3, .key = key, .keep = keep, .since = since};
    int result = s3_list_uploads(&s3->base, key, abort_stray, &strays, err);
    if (result == -EACCES) { // who may not look leaves them to the bucket's lifecycle rule
        log_debug("s3: uploads of '%s' that nobody knows may be left", key);
        return 0;
    }
    return result;
}

static int begin_full(struct s3_store *s3, const char *key, const char *full,
                      char out_id[STORE_UPLOAD_ID_BYTES], struct err *err)
{
    char token[S3_TOKEN_BYTES], id[XML_ID_BYTES];
    s3_make_token(token);
    time_t since = s3_client_now(s3->client).tv_sec;
    struct s3_call call = {.method = "POST", .key = full};
    s3_call_query(&call, "uploads", "");
    s3_call_header(&call, S3_TOKEN_HEADER, token);
    int result = s3_client_call(s3->client, &call, err);
    if (result == 0)
        result = xml_parse_begun(call.response.text ? call.response.text : "",
                                 call.response.text_len, id, err);
    bool strays = call.maybe_done;
    s3_call_done(&call);
    if (result == 0)
        result = begun_add(s3, id, token, err);
    if (result == 0 && strays) {
        result = abort_strays(s3, key, id, since, err);
        if (result < 0) { // then none is left known: the journal's rule finds them all
            s3_upload_abort(&s3->base, key, id, NULL);
            return err_set(err, EIO, "an answer was lost, and what it began cannot be looked for");
        }
    }
    if (result == 0)
        memcpy(out_id, id, strlen(id) + 1);
    return result;
}

int s3_upload_begin(struct store *store, const char *key, char out_id[STORE_UPLOAD_ID_BYTES],
                    struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES];
    struct err local = {0};
    int result = s3_key(s3, key, full, &local);
    if (result == 0)
        result = begin_full(s3, key, full, out_id, &local);
    if (result < 0) {
        err_prefix(&local, "begin upload of '%s'", key);
        return err_copy(err, &local);
    }
    return 0;
}

int s3_put_part(struct store *store, const char *key, const char *id, unsigned number, uint64_t off,
                struct source *body, struct store_part *out, struct err *err)
{
    (void)off; // S3 joins parts by their numbers
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES], number_text[16];
    struct err local = {0};
    snprintf(number_text, sizeof(number_text), "%u", number);
    struct s3_call call = {.method = "PUT", .key = full, .body = body};
    s3_call_query(&call, "partNumber", number_text);
    s3_call_query(&call, "uploadId", id);
    struct store_part part = {.number = number, .size = body->size};
    int result = s3_key(s3, key, full, &local);
    if (result == 0)
        result = s3_client_call(s3->client, &call, &local);
    if (result == 0)
        result = s3_etag(&call.response, part.etag, &local);
    else if (result == -ENOENT)
        result = err_set(&local, ENOENT, "the upload is gone: somebody aborted or completed it");
    s3_call_done(&call);
    if (result < 0) {
        err_prefix(&local, "put part %u of '%s'", number, key);
        return err_copy(err, &local);
    }
    *out = part;
    return 0;
}

// --- complete ---

struct completion {
    const char *full, *id;
    const char *body;
    size_t body_len;
    uint64_t size; // of all parts
    const struct store_cond *cond;
    char token[S3_TOKEN_BYTES];
};

// After a Complete that was answered with success: the object as it stands, if it can be seen and is still this one. (By
// its token when the answer has no ETag.)
static int completed_stat(struct s3_store *s3, const struct completion *done, const char *etag,
                          struct store_stat *out, struct err *err)
{
    struct store_stat stat;
    char token[S3_TOKEN_BYTES];
    int result = s3_look(s3, done->full, 0, &stat, token, NULL);
    if (result == -ENOENT)
        return err_set(err, EIO, "the store said it is complete, but it is not there");
    if (result == 0 && (etag[0] ? strcmp(stat.etag, etag) == 0
                                : done->token[0] && strcmp(token, done->token) == 0)) {
        if (stat.size != done->size)
            return err_set(err, EIO, "the store joined %" PRIu64 " bytes to an object of %" PRIu64,
                           done->size, stat.size);
        *out = stat;
        return 0;
    }
    *out = (struct store_stat){.size = done->size, .last_modified = s3_client_now(s3->client)};
    snprintf(out->etag, sizeof(out->etag), "%s", etag);
    return 0;
}

// Whether the store has forgotten the upload: completed or aborted.
static bool upload_gone(struct s3_store *s3, const char *full, const char *id)
{
    struct s3_call call = {.method = "GET", .key = full, .deadline_ms = S3_LOOK_DEADLINE_MS};
    s3_call_query(&call, "uploadId", id);
    s3_call_query(&call, "max-parts", "1");
    bool gone = s3_client_call(s3->client, &call, NULL) < 0 && call.response.status == 404;
    s3_call_done(&call);
    return gone;
}

static int complete_refused(const struct s3_call *call, int result, const struct completion *done,
                            struct err *err)
{
    bool replaces = done->cond && done->cond->if_match;
    if (call->response.status == 412 || strcmp(call->error.code, "ConditionalRequestConflict") == 0)
        return err_set(err, EEXIST, "somebody else has %s it", replaces ? "replaced" : "made");
    if (result == -ENOENT && replaces && strcmp(call->error.code, "NoSuchKey") == 0)
        return err_set(err, EEXIST, "somebody else has removed it");
    if (result == -ENOENT)
        return err_set(err, ENOENT, "the upload is gone: somebody aborted or completed it");
    return result;
}

// One Complete. 0 done, 1 to be tried again (err says why), else -errno. Whenever it may have been carried out although
// it failed, the store is asked: for the upload first, then for the object. (Ceph answers a Complete of an upload that
// is gone with 500 for ever.)
static int complete_once(struct s3_store *s3, struct s3_call *call, const struct completion *done,
                         struct store_stat *out, struct err *err)
{
    struct xml_result answer;
    int result = s3_client_call(s3->client, call, err);
    if (result == 0) {
        result = xml_parse_result(call->response.text, call->response.text_len, &answer, err);
        if (result == 0)
            return completed_stat(s3, done, answer.etag, out, err);
    }
    bool gone = call->response.status == 404;
    if (!gone && call->maybe_done)
        gone = upload_gone(s3, done->full, done->id);
    if ((gone || call->response.status == 412) &&
        s3_is_mine(s3, done->full, done->token, done->size, out))
        return 0; // this try or an earlier one had done it, its answer was lost
    if (gone)
        return complete_refused(call, -ENOENT, done, err);
    return call->transient ? 1 : complete_refused(call, result, done, err);
}

static int complete_full(struct s3_store *s3, const struct completion *done, struct store_stat *out,
                         struct err *err)
{
    char size[24], quoted[S3_QUOTED_BYTES];
    snprintf(size, sizeof(size), "%" PRIu64, done->size);
    struct s3_call asked = {.method = "POST",
                            .key = done->full,
                            .text = done->body,
                            .text_len = done->body_len,
                            .late_error = true,
                            .once = true};
    s3_call_query(&asked, "uploadId", done->id);
    s3_call_header(&asked, "x-amz-mp-object-size", size);
    if (done->cond && done->cond->if_absent)
        s3_call_header(&asked, "if-none-match", "*");
    if (done->cond && done->cond->if_match) {
        int result = s3_quote_write(s3, done->cond->if_match, quoted, err);
        if (result < 0)
            return result;
        s3_call_header(&asked, "if-match", quoted);
    }
    uint64_t since = clock_ms();
    bool maybe_done = false;
    for (unsigned tries = 1;; tries++) {
        struct s3_call call = asked;
        int result = complete_once(s3, &call, done, out, err);
        maybe_done |= call.maybe_done;
        s3_call_done(&call);
        if (result <= 0)
            return result;
        if (!s3_client_pause(tries, since, s3->deadline_ms))
            return err_set(err, ETIMEDOUT, "%s, %u tries in %u s%s", err->text, tries,
                           s3->deadline_ms / 1000, maybe_done ? S3_MAYBE_DONE : "");
    }
}

// The list of parts as Complete wants it, and how many bytes they are together.
static int complete_body(const struct store_part *parts, unsigned count, char **out,
                         size_t *out_len, uint64_t *out_size, struct err *err)
{
    struct xml_part *listed = calloc(count ? count : 1, sizeof(*listed));
    if (!listed)
        return err_set(err, ENOMEM, "no memory for the list of parts");
    uint64_t size = 0;
    for (unsigned i = 0; i < count; i++) {
        listed[i] = (struct xml_part){.number = parts[i].number, .etag = parts[i].etag};
        size += parts[i].size;
    }
    int result = xml_make_complete(listed, count, out, out_len, err);
    free(listed);
    if (result == 0)
        *out_size = size;
    return result;
}

int s3_upload_complete(struct store *store, const char *key, const char *id,
                       const struct store_part *parts, unsigned count,
                       const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES];
    struct completion done = {.full = full, .id = id, .cond = cond};
    struct store_stat stat = {0};
    struct err local = {0};
    auto_free char *body = NULL;
    begun_token(s3, id, false, done.token);
    int result = s3_key(s3, key, full, &local);
    if (result == 0)
        result = complete_body(parts, count, &body, &done.body_len, &done.size, &local);
    done.body = body;
    if (result == 0)
        result = s3_precheck(s3, full, cond, s3->base.limits.complete_conditions, &local);
    if (result == 0)
        result = complete_full(s3, &done, &stat, &local);
    if (result < 0) {
        err_prefix(&local, "complete '%s'", key);
        return err_copy(err, &local);
    }
    begun_token(s3, id, true, done.token);
    if (out)
        *out = stat;
    return 0;
}

// --- abort ---

// 0 when nothing is left of the upload, 1 when parts stand there still.
static int abort_once(struct s3_store *s3, const char *full, const char *id, struct err *err)
{
    struct s3_call drop = {.method = "DELETE", .key = full};
    s3_call_query(&drop, "uploadId", id);
    int result = s3_client_call(s3->client, &drop, err);
    bool gone = strcmp(drop.error.code, "NoSuchUpload") == 0 || drop.response.status == 404;
    s3_call_done(&drop);
    if (result < 0)
        return gone ? 0 : result;
    struct s3_call look = {.method = "GET", .key = full};
    s3_call_query(&look, "uploadId", id);
    s3_call_query(&look, "max-parts", "1");
    result = s3_client_call(s3->client, &look, err);
    gone = result < 0 && look.response.status == 404;
    bool blind = result == -EACCES; // who may not look has at least aborted
    s3_call_done(&look);
    if (gone || blind)
        return 0;
    return result < 0 ? result : 1;
}

int s3_upload_abort(struct store *store, const char *key, const char *id, struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES], token[S3_TOKEN_BYTES];
    struct err local = {0};
    int result = s3_key(s3, key, full, &local);
    uint64_t since = clock_ms();
    for (unsigned round = 1; result == 0; round++) {
        result = abort_once(s3, full, id, &local);
        if (result <= 0)
            break;
        // parts that were under way came after the abort
        result = s3_client_pause(round, since, s3->deadline_ms)
                     ? 0
                     : err_set(&local, ETIMEDOUT, "parts of it stay although it was aborted");
    }
    if (result < 0) {
        err_prefix(&local, "abort upload of '%s'", key);
        return err_copy(err, &local);
    }
    begun_token(s3, id, true, token);
    return 0;
}

// --- list uploads ---

static int uploads_page(struct s3_store *s3, bool encoded, const char *prefix,
                        const char *key_marker, const char *id_marker, struct xml_uploads *out,
                        struct err *err)
{
    struct s3_call call = {.method = "GET"};
    s3_call_query(&call, "uploads", "");
    if (encoded)
        s3_call_query(&call, "encoding-type", "url");
    s3_call_query(&call, "max-uploads", "1000");
    s3_call_query(&call, "prefix", prefix);
    if (key_marker)
        s3_call_query(&call, "key-marker", key_marker);
    if (key_marker && id_marker)
        s3_call_query(&call, "upload-id-marker", id_marker);
    int result = s3_client_call(s3->client, &call, err);
    if (result == 0)
        result = xml_parse_uploads(call.response.text ? call.response.text : "",
                                   call.response.text_len, encoded, out, err);
    s3_call_done(&call);
    return result;
}

// Plain first: whether and what of an encoded list is encoded is not the same everywhere. But a key with a control
// character makes a plain one that is no XML.
static int uploads_page_any(struct s3_store *s3, const char *prefix, const char *key_marker,
                            const char *id_marker, struct xml_uploads *out, struct err *err)
{
    int result = uploads_page(s3, false, prefix, key_marker, id_marker, out, err);
    if (result == -EUCLEAN)
        result = uploads_page(s3, true, prefix, key_marker, id_marker, out, err);
    return result;
}

int s3_list_uploads(struct store *store, const char *prefix,
                    int (*each)(void *ctx, const struct store_upload *), void *ctx, struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES];
    struct err local = {0};
    int result = s3_key(s3, prefix, full, &local);
    size_t strip = strlen(s3->prefix);
    auto_free char *key_marker = NULL, *id_marker = NULL;
    for (bool more = true; result == 0 && more;) {
        struct xml_uploads list = {0};
        result = uploads_page_any(s3, full, key_marker, id_marker, &list, &local);
        for (size_t i = 0; result == 0 && i < list.count; i++) {
            if (strncmp(list.uploads[i].key, full, strlen(full)) != 0)
                continue;
            struct store_upload upload = {.key = list.uploads[i].key + strip,
                                          .id = list.uploads[i].id,
                                          .initiated = list.uploads[i].initiated};
            int stopped = each(ctx, &upload);
            if (stopped)
                result = err_set(&local, stopped < 0 ? -stopped : stopped, "stopped");
        }
        more = list.truncated;
        // a server that repeats its page would never end
        if (result == 0 && more && key_marker && strcmp(key_marker, list.next_key) == 0 &&
            strcmp(id_marker ? id_marker : "", list.next_id ? list.next_id : "") == 0)
            result = err_set(&local, EUCLEAN, "the list of uploads does not go on");
        free(key_marker);
        free(id_marker);
        key_marker = take(list.next_key);
        id_marker = take(list.next_id);
        xml_uploads_done(&list);
    }
    if (result < 0) {
        err_prefix(&local, "list uploads of '%s'", prefix);
        return err_copy(err, &local);
    }
    return 0;
}
