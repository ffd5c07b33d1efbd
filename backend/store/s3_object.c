// Objects in S3: read, listed, put and removed by single requests.
#include "backend/store/s3_store.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/s3/times.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int s3_head(struct store *store, const char *key, struct store_stat *out, struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES];
    struct err local = {0};
    int result = s3_key(s3, key, full, &local);
    if (result == 0)
        result = s3_look(s3, full, 0, out, NULL, &local);
    if (result < 0) {
        err_prefix(&local, "head '%s'", key);
        return err_copy(err, &local);
    }
    return 0;
}

// What a range needs beside the answer: an empty one, or an empty object.
static int stat_only(struct s3_store *s3, const char *full, const char *if_match, size_t *out_len,
                     struct store_stat *out, struct err *err)
{
    struct store_stat stat;
    int result = s3_look(s3, full, 0, &stat, NULL, err);
    if (result < 0)
        return result;
    if (if_match && strcmp(stat.etag, if_match) != 0)
        return err_set(err, ESTALE, "another object stands there now");
    *out_len = 0;
    if (out)
        *out = stat;
    return 0;
}

// "bytes START-LAST/..."
static bool parse_range(const char *text, uint64_t *out_start, uint64_t *out_last)
{
    char *end;
    if (strncmp(text, "bytes ", 6) != 0 || text[6] < '0' || text[6] > '9')
        return false;
    *out_start = strtoull(text + 6, &end, 10);
    if (end[0] != '-' || end[1] < '0' || end[1] > '9')
        return false;
    *out_last = strtoull(end + 1, &end, 10);
    return *end == '/';
}

// Where a ranged answer starts; the range asked for is [off, ...) or, for a tail, the last bytes.
static int range_start(const struct s3_call *call, const struct store_stat *stat, uint64_t *out,
                       struct err *err)
{
    uint64_t start = 0, last = 0;
    if (call->response.status == 206) {
        const char *range = http_header(&call->response, "content-range");
        if (!range || !parse_range(range, &start, &last) || last < start ||
            last - start != call->response.into_len - 1)
            return err_set(err, EUCLEAN, "the answer's Content-Range does not fit its bytes");
    } else if (call->response.into_len != stat->size) {
        return err_set(err, EUCLEAN, "the answer is %zu bytes of an object of %" PRIu64,
                       call->response.into_len, stat->size);
    }
    *out = start;
    return 0;
}

// One ranged GET into buf. `tail`: the last len bytes, off is not used.
static int get_range(struct s3_store *s3, const char *full, const char *if_match, bool tail,
                     uint64_t off, size_t len, void *buf, size_t *out_len, struct store_stat *out,
                     struct err *err)
{
    char range[64], quoted[S3_QUOTED_BYTES];
    uint64_t last;
    if (len == 0 || !add_u64(off, len - 1, &last))
        return stat_only(s3, full, if_match, out_len, out, err);
    if (tail)
        snprintf(range, sizeof(range), "bytes=-%zu", len);
    else
        snprintf(range, sizeof(range), "bytes=%" PRIu64 "-%" PRIu64, off, last);
    struct s3_call call = {.method = "GET", .key = full, .into = buf, .into_len = len};
    s3_call_header(&call, "range", range);
    if (if_match) {
        int result = s3_quote(if_match, quoted, err);
        if (result < 0)
            return result;
        s3_call_header(&call, "if-match", quoted);
    }
    int result = s3_client_call(s3->client, &call, err);
    struct store_stat stat = {0};
    uint64_t start = 0;
    if (result < 0 && call.response.status == 416)
        result = stat_only(s3, full, if_match, out_len, out, err);
    else if (result < 0 && call.response.status == 412)
        result = err_set(err, ESTALE, "another object stands there now");
    else if (result == 0)
        result = s3_stat(&call, &stat, err);
    if (result == 0 && call.response.status != 416) {
        result = range_start(&call, &stat, &start, err);
        uint64_t want = tail ? stat.size - min_u64(stat.size, len) : off;
        uint64_t want_len = min_u64(len, stat.size - min_u64(stat.size, want));
        if (result == 0 && if_match && strcmp(stat.etag, if_match) != 0)
            result = err_set(err, ESTALE, "another object stands there now");
        else if (result == 0 && (start != want || call.response.into_len != want_len))
            result = err_set(err, EUCLEAN, "the server sent another range than was asked for");
        if (result == 0) {
            *out_len = call.response.into_len;
            if (out)
                *out = stat;
        }
    }
    s3_call_done(&call);
    return result;
}

static int get_any(struct store *store, const char *key, const char *if_match, bool tail,
                   uint64_t off, size_t len, void *buf, size_t *out_len, struct store_stat *out,
                   struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES];
    struct err local = {0};
    int result = s3_key(s3, key, full, &local);
    if (result == 0)
        result = get_range(s3, full, if_match, tail, off, len, buf, out_len, out, &local);
    if (result < 0) {
        err_prefix(&local, "get '%s'", key);
        return err_copy(err, &local);
    }
    return 0;
}

int s3_get(struct store *store, const char *key, const char *if_match, uint64_t off, size_t len,
           void *buf, size_t *out_len, struct store_stat *out, struct err *err)
{
    return get_any(store, key, if_match, false, off, len, buf, out_len, out, err);
}

int s3_get_tail(struct store *store, const char *key, const char *if_match, size_t len, void *buf,
                size_t *out_len, struct store_stat *out, struct err *err)
{
    return get_any(store, key, if_match, true, 0, len, buf, out_len, out, err);
}

// --- list ---

static int list_page(struct s3_store *s3, const char *prefix, const char *start_after,
                     const char *token, bool fold, unsigned max, struct xml_list *out,
                     struct err *err)
{
    char count[16];
    snprintf(count, sizeof(count), "%u", max);
    struct s3_call call = {.method = "GET"};
    s3_call_query(&call, "list-type", "2");
    s3_call_query(&call, "encoding-type", "url");
    s3_call_query(&call, "max-keys", count);
    s3_call_query(&call, "prefix", prefix);
    if (fold)
        s3_call_query(&call, "delimiter", "/");
    if (token)
        s3_call_query(&call, "continuation-token", token);
    else if (*start_after)
        s3_call_query(&call, "start-after", start_after);
    int result = s3_client_call(s3->client, &call, err);
    if (result == 0)
        result = xml_parse_list(call.response.text ? call.response.text : "",
                                call.response.text_len, out, err);
    s3_call_done(&call);
    return result;
}

// Hands on what belongs to the page: below the prefix, behind `after`. How many, or the error of `each`.
static int list_emit(const struct xml_list *list, size_t strip, const char *prefix,
                     const char *after, bool fold,
                     int (*each)(void *ctx, const struct store_entry *), void *ctx)
{
    size_t prefix_len = strlen(prefix), after_len = strlen(after);
    bool passed_prefix = fold && after_len && after[after_len - 1] == '/';
    int emitted = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct xml_entry *entry = &list->entries[i];
        if (strncmp(entry->key, prefix, prefix_len) != 0 || strlen(entry->key) <= strip)
            continue;
        if (strcmp(entry->key, after) <= 0 ||
            (passed_prefix && strncmp(entry->key, after, after_len) == 0))
            continue;
        struct store_entry given = {
            .key = entry->key + strip,
            .is_prefix = entry->is_prefix,
            .stat = {.size = entry->size,
                     .last_modified = entry->last_modified,
                     .cold = entry->cold},
        };
        snprintf(given.stat.etag, sizeof(given.stat.etag), "%s", entry->etag);
        int result = each(ctx, &given);
        if (result != 0)
            return result < 0 ? result : -result;
        emitted++;
    }
    return emitted;
}

// Servers repeat the prefix in their answer, and half a character there is no XML. The rest is compared in list_emit.
static void cut_half_character(char *text)
{
    size_t len = strlen(text), at = len;
    while (at > 0 && len - at < 3 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
        at--;
    if (at == 0)
        return;
    unsigned char lead = (unsigned char)text[at - 1];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (len - at + 1 < need)
        text[at - 1] = '\0';
}

int s3_list(struct store *store, const char *prefix, const char *after, bool fold, unsigned max,
            int (*each)(void *ctx, const struct store_entry *), void *ctx, bool *out_more,
            struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full_prefix[S3_KEY_BYTES], asked[S3_KEY_BYTES], full_after[S3_KEY_BYTES] = "";
    char start[S3_KEY_BYTES + 8];
    struct err local = {0};
    int result = s3_key(s3, prefix, full_prefix, &local);
    if (result == 0 && after && *after)
        result = s3_key(s3, after, full_after, &local);
    if (result == 0) {
        memcpy(asked, full_prefix, sizeof(asked));
        cut_half_character(asked);
    }
    // Everything below a folded prefix is passed: the last code point there is comes after all of it.
    size_t len = strlen(full_after);
    bool passed = fold && len && full_after[len - 1] == '/';
    snprintf(start, sizeof(start), "%s%s", full_after, passed ? "\xf4\x8f\xbf\xbf" : "");
    auto_free char *token = NULL;
    bool more = true;
    if (max == 0 || max > 1000)
        max = 1000;
    // A server may answer with less than a page, and of a page nothing may be left: on to the next one then.
    for (unsigned emitted = 0; result == 0 && more && emitted < max;) {
        struct xml_list list = {0};
        result = list_page(s3, asked, start, token, fold, max - emitted, &list, &local);
        if (result < 0)
            break;
        int count = list_emit(&list, strlen(s3->prefix), full_prefix, full_after, fold, each, ctx);
        if (count < 0)
            result = err_set(&local, -count, "stopped");
        else
            emitted += (unsigned)count;
        more = list.truncated;
        free(token);
        token = take(list.token);
        xml_list_done(&list);
    }
    if (result < 0) {
        err_prefix(&local, "list '%s'", prefix);
        return err_copy(err, &local);
    }
    *out_more = more;
    return 0;
}

// --- put and remove ---

// What a put's answer tells of the object; its time is the server's of that answer.
static int put_stat(struct s3_store *s3, const struct s3_call *call, uint64_t size,
                    struct store_stat *out, struct err *err)
{
    struct store_stat stat = {0};
    int result = s3_etag(&call->response, stat.etag, err);
    if (result < 0)
        return result;
    stat.size = size;
    const char *date = http_header(&call->response, "date");
    if (!date || !times_parse_http(date, &stat.last_modified.tv_sec))
        stat.last_modified = s3_client_now(s3->client);
    *out = stat;
    return 0;
}

static int put_full(struct s3_store *s3, const char *full, struct source *body,
                    const struct store_cond *cond, struct store_stat *out, struct err *err)
{
    char token[S3_TOKEN_BYTES], quoted[S3_QUOTED_BYTES];
    s3_make_token(token);
    struct s3_call call = {.method = "PUT", .key = full, .body = body};
    s3_call_header(&call, S3_TOKEN_HEADER, token);
    if (cond && cond->if_absent)
        s3_call_header(&call, "if-none-match", "*");
    if (cond && cond->if_match) {
        int result = s3_quote_write(s3, cond->if_match, quoted, err);
        if (result < 0)
            return result;
        s3_call_header(&call, "if-match", quoted);
    }
    int result = s3_client_call(s3->client, &call, err);
    int status = call.response.status;
    struct store_stat stat;
    if (result == 0) {
        result = put_stat(s3, &call, body->size, &stat, err);
    } else if ((call.maybe_done || status == 412) &&
               s3_is_mine(s3, full, token, body->size, &stat)) {
        result = 0; // an earlier try had done it, its answer was lost
    } else if (status == 412 || (cond && cond->if_match && result == -ENOENT)) {
        result = err_set(err, EEXIST, "somebody else has %s it",
                         cond && cond->if_match ? "replaced" : "made");
    } else if (call.maybe_done && call.transient) {
        result = err_set(err, err->code, "%s%s", err->text, S3_MAYBE_DONE);
    }
    if (result == 0)
        *out = stat;
    s3_call_done(&call);
    return result;
}

int s3_put(struct store *store, const char *key, struct source *body, const struct store_cond *cond,
           struct store_stat *out, struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES];
    struct store_stat stat;
    struct err local = {0};
    int result = s3_key(s3, key, full, &local);
    if (result == 0 && body->size > s3->base.limits.put_max)
        result = err_set(&local, EFBIG, "%" PRIu64 " bytes are too many for one put", body->size);
    if (result == 0)
        result = s3_precheck(s3, full, cond, s3->base.limits.put_conditions, &local);
    if (result == 0)
        result = put_full(s3, full, body, cond, &stat, &local);
    if (result < 0) {
        err_prefix(&local, "put '%s'", key);
        return err_copy(err, &local);
    }
    if (out)
        *out = stat;
    return 0;
}

// If-Match on DELETE is honoured by few servers: looked at before on the others.
static int remove_full(struct s3_store *s3, const char *full, const char *if_match, struct err *err)
{
    char quoted[S3_QUOTED_BYTES];
    struct s3_call call = {.method = "DELETE", .key = full};
    if (if_match) {
        int result = s3_quote_write(s3, if_match, quoted, err);
        struct store_stat stat;
        if (result == 0 && !s3->aws) {
            result = s3_look(s3, full, 0, &stat, NULL, err);
            if (result == -ENOENT)
                return 0;
            if (result == 0 && strcmp(stat.etag, if_match) != 0)
                result = err_set(err, ESTALE, "another object stands there now");
        }
        if (result < 0)
            return result;
        s3_call_header(&call, "if-match", quoted);
    }
    int result = s3_client_call(s3->client, &call, err);
    if (result == -ENOENT)
        result = 0;
    else if (result < 0 && call.response.status == 412)
        result = err_set(err, ESTALE, "another object stands there now");
    s3_call_done(&call);
    return result;
}

int s3_remove(struct store *store, const char *key, const char *if_match, struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES];
    struct err local = {0};
    int result = s3_key(s3, key, full, &local);
    if (result == 0)
        result = remove_full(s3, full, if_match, &local);
    if (result < 0) {
        err_prefix(&local, "remove '%s'", key);
        return err_copy(err, &local);
    }
    return 0;
}
