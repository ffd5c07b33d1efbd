// What a mount asks of its S3 store before it says it is mounted. Every sentence says what to do.
#include "backend/store/s3_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_DEADLINE_MS 10000
#define CLOCK_LIMIT_MS 300000

static int check_read(struct s3_store *s3, struct err *err)
{
    struct s3_call call = {.method = "GET", .deadline_ms = CHECK_DEADLINE_MS};
    if (s3->deadline_ms < CHECK_DEADLINE_MS)
        call.deadline_ms = s3->deadline_ms;
    s3_call_query(&call, "list-type", "2");
    s3_call_query(&call, "max-keys", "1");
    s3_call_query(&call, "prefix", s3->prefix);
    int result = s3_client_call(s3->client, &call, err);
    struct xml_list list;
    if (result == 0 && xml_parse_list(call.response.text ? call.response.text : "",
                                      call.response.text_len, &list, err) == 0) {
        xml_list_done(&list);
    } else if (result == 0) {
        result = err_prefix(err, "%s is no S3 server, or a proxy stands before it", s3->endpoint);
    } else if (strcmp(call.error.code, "NoSuchBucket") == 0) {
        result = err_set(err, ENOENT,
                         "there is no bucket '%s' at %s: create it, or mend the store's URL",
                         s3->bucket, s3->endpoint);
    } else if (strcmp(call.error.code, "AccessDenied") == 0) {
        result = err_set(err, EACCES,
                         "the credentials may not list bucket '%s' at %s: their policy must allow "
                         "s3:ListBucket",
                         s3->bucket, s3->endpoint);
    } else if (result == -ENOENT) {
        result = err_set(err, EIO, "%s answers 404 for bucket '%s': is it an S3 endpoint?",
                         s3->endpoint, s3->bucket);
    } else if (call.response.failure != HTTP_UNREACHABLE &&
               call.response.failure != HTTP_UNTRUSTED) { // these name the endpoint themselves
        result = err_prefix(err, "bucket '%s' at %s", s3->bucket, s3->endpoint);
    }
    s3_call_done(&call);
    return result;
}

static int check_clock(struct s3_store *s3, struct err *err)
{
    int64_t offset = s3_client_clock_offset_ms(s3->client);
    int64_t apart = offset < 0 ? -offset : offset;
    if (s3->ignore_clock || apart <= CLOCK_LIMIT_MS)
        return 0;
    return err_set(err, EIO,
                   "this host's clock is %lld s %s the store's: times of backups would be wrong; "
                   "mend the clock, or mount read-only, or set clock = ignore",
                   (long long)(apart / 1000), offset > 0 ? "behind" : "ahead of");
}

// An upload begun and aborted needs the permissions of writing and leaves nothing.
static int check_write(struct s3_store *s3, struct err *err)
{
    char token[S3_TOKEN_BYTES], key[64], id[STORE_UPLOAD_ID_BYTES];
    s3_make_token(token);
    snprintf(key, sizeof(key), ".bakfs-check-%s", token);
    int result = s3_upload_begin(&s3->base, key, id, err);
    if (result == 0)
        result = s3_upload_abort(&s3->base, key, id, err);
    if (result == -EACCES)
        return err_prefix(err,
                          "the credentials may not write to bucket '%s' (s3:PutObject, "
                          "s3:AbortMultipartUpload, s3:ListMultipartUploadParts): mount with -o "
                          "ro, or use others",
                          s3->bucket);
    if (result < 0)
        return err_prefix(err, "a trial write to bucket '%s' failed", s3->bucket);
    return 0;
}

int s3_check(struct store *store, bool writable, struct err *err)
{
    struct s3_store *s3 = s3_of(store);
    struct err local = {0}; // err_prefix needs the sentence, the caller may not
    int result = check_read(s3, &local);
    if (result == 0 && writable)
        result = check_clock(s3, &local);
    if (result == 0 && writable)
        result = check_write(s3, &local);
    return result < 0 ? err_copy(err, &local) : 0;
}
