// Versions of objects in S3, and what an object lock holds: for prune alone.
#include "backend/store/s3_store.h"

#include "backend/base/scope.h"
#include "backend/s3/times.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const struct s3_call *call)
{
    return call->response.text ? call->response.text : "";
}

static int page(struct s3_store *s3, const char *prefix, const char *key, const char *id,
                struct xml_versions *out, struct err *err)
{
    struct s3_call call = {.method = "GET"};
    s3_call_query(&call, "versions", "");
    s3_call_query(&call, "prefix", prefix);
    s3_call_query(&call, "encoding-type", "url");
    s3_call_query(&call, "max-keys", "1000");
    if (key)
        s3_call_query(&call, "key-marker", key);
    if (key && id && *id)
        s3_call_query(&call, "version-id-marker", id);
    int result = s3_client_call(s3->client, &call, err);
    if (result == 0)
        result = xml_parse_versions(text_of(&call), call.response.text_len, out, err);
    s3_call_done(&call);
    return result;
}

static int emit(const struct xml_versions *list, size_t strip, const char *prefix,
                int (*each)(void *ctx, const struct store_version *), void *ctx, struct err *err)
{
    size_t prefix_len = strlen(prefix);
    for (size_t i = 0; i < list->count; i++) {
        const struct xml_version *version = &list->versions[i];
        if (strncmp(version->key, prefix, prefix_len) != 0 || strlen(version->key) <= strip)
            continue;
        int result = each(ctx, &(struct store_version){.key = version->key + strip,
                                                       .id = version->id,
                                                       .latest = version->latest,
                                                       .delete_marker = version->delete_marker,
                                                       .size = version->size,
                                                       .last_modified = version->last_modified});
        if (result != 0)
            return err_set(err, abs(result), "stopped");
    }
    return 0;
}

int s3_list_versions(struct store *store, const char *prefix,
                     int (*each)(void *ctx, const struct store_version *), void *ctx,
                     struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES];
    struct err local = {0};
    auto_free char *key = NULL;
    auto_free char *id = NULL;
    int result = s3_key(s3, prefix, full, &local);
    for (bool more = true; result == 0 && more;) {
        struct xml_versions list = {0};
        result = page(s3, full, key, id, &list, &local);
        if (result == 0)
            result = emit(&list, strlen(s3->prefix), full, each, ctx, &local);
        more = list.truncated;
        bool stands = more && key && id && list.next_key && list.next_id &&
                      strcmp(key, list.next_key) == 0 && strcmp(id, list.next_id) == 0;
        if (result == 0 && stands)
            result = err_set(&local, EUCLEAN, "the list of versions does not go on");
        free(key);
        free(id);
        key = take(list.next_key);
        id = take(list.next_id);
        xml_versions_done(&list);
    }
    if (result < 0) {
        err_prefix(&local, "list the versions of '%s'", prefix);
        return err_copy(err, &local);
    }
    return 0;
}

int s3_remove_version(struct store *store, const char *key, const char *id, struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES];
    struct err local = {0};
    int result = s3_key(s3, key, full, &local);
    if (result == 0) {
        struct s3_call call = {.method = "DELETE", .key = full};
        s3_call_query(&call, "versionId", id);
        result = s3_client_call(s3->client, &call, &local);
        if (result < 0 && call.response.status == 404 && result == -ENOENT)
            result = 0;
        s3_call_done(&call);
    }
    if (result < 0) {
        err_prefix(&local, "remove a version of '%s'", key);
        return err_copy(err, &local);
    }
    return 0;
}

// One of retention and legal hold. `out` stays "" where the bucket has no lock (400), the version no such setting (404), or the
// store no such thing.
static int ask(struct s3_store *s3, const char *full, const char *id, const char *what,
               const char *root, const char *name, char out[XML_WORD_BYTES], struct err *err)
{
    struct s3_call call = {.method = "GET", .key = full};
    s3_call_query(&call, what, "");
    s3_call_query(&call, "versionId", id);
    int result = s3_client_call(s3->client, &call, err);
    int status = call.response.status;
    out[0] = '\0';
    if (result == 0)
        result = xml_parse_word(text_of(&call), call.response.text_len, root, name, out, err);
    else if (status == 400 || status == 404 || result == -EOPNOTSUPP)
        result = strcmp(call.error.code, "NoSuchBucket") == 0 ? result : 0;
    s3_call_done(&call);
    return result;
}

int s3_ask_hold(struct store *store, const char *key, const char *id, struct store_hold *out,
                struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    char full[S3_KEY_BYTES], until[XML_WORD_BYTES], legal[XML_WORD_BYTES];
    struct store_hold hold = {0};
    struct err local = {0};
    int result = s3_key(s3, key, full, &local);
    if (result == 0)
        result = ask(s3, full, id, "retention", "Retention", "RetainUntilDate", until, &local);
    if (result == 0)
        result = ask(s3, full, id, "legal-hold", "LegalHold", "Status", legal, &local);
    if (result == 0 && *until && !times_parse_iso(until, &hold.until))
        result = err_set(&local, EUCLEAN, "the time until which it is locked is malformed");
    if (result < 0) {
        err_prefix(&local, "ask what a lock holds of '%s'", key);
        return err_copy(err, &local);
    }
    hold.legal_hold = strcmp(legal, "ON") == 0;
    *out = hold;
    return 0;
}
