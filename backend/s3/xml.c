#include "backend/s3/xml.h"

#include "backend/base/scope.h"
#include "backend/s3/times.h"
#include "backend/s3/uri.h"
#include "backend/s3/xml_walk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 10000

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static char *copy_text(struct xml_walk *walk)
{
    char *copy = strdup(walk->text);
    if (!copy)
        xml_walk_stop(walk, ENOMEM, "no memory for an answer");
    return copy;
}

static void replace_text(struct xml_walk *walk, char **field)
{
    free(*field);
    *field = copy_text(walk);
}

static void copy_etag(struct xml_walk *walk, char out[XML_ETAG_BYTES])
{
    const char *text = walk->text;
    size_t len = walk->text_len;
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') {
        text++;
        len -= 2;
    }
    if (len >= XML_ETAG_BYTES) {
        xml_walk_stop(walk, EUCLEAN, "an ETag is too long");
        return;
    }
    memcpy(out, text, len);
    out[len] = '\0';
}

// For texts that people read: what does not fit is lost.
static void copy_cut(struct xml_walk *walk, char *out, size_t room)
{
    size_t len = walk->text_len < room ? walk->text_len : room - 1;
    memcpy(out, walk->text, len);
    out[len] = '\0';
}

static void parse_time(struct xml_walk *walk, struct timespec *out)
{
    if (!times_parse_iso(walk->text, out))
        xml_walk_stop(walk, EUCLEAN, "a time is malformed");
}

static void parse_bool(struct xml_walk *walk, bool *out)
{
    *out = is(walk->text, "true");
}

// The array with one more element, zeroed; NULL, and the old one stays, when that cannot be.
static void *append(struct xml_walk *walk, void *array, size_t *count, size_t size)
{
    if (*count == ENTRIES_MAX) {
        xml_walk_stop(walk, EUCLEAN, "a page of a listing has too many entries");
        return NULL;
    }
    if ((*count & (*count - 1)) == 0) { // full at each power of two
        array = realloc(array, (*count ? 2 * *count : 1) * size);
        if (!array) {
            xml_walk_stop(walk, ENOMEM, "no memory for a listing");
            return NULL;
        }
    }
    memset((char *)array + *count * size, 0, size);
    (*count)++;
    return array;
}

// --- ListObjectsV2 ---

static void list_opened(struct xml_walk *walk, const char *name)
{
    struct xml_list *list = walk->out;
    if (walk->depth != 2 || (!is(name, "Contents") && !is(name, "CommonPrefixes")))
        return;
    struct xml_entry *entries = append(walk, list->entries, &list->count, sizeof(*list->entries));
    if (entries) {
        list->entries = entries;
        entries[list->count - 1].is_prefix = is(name, "CommonPrefixes");
    }
}

static void list_entry_closed(struct xml_walk *walk, const char *name, struct xml_entry *entry)
{
    if (is(name, entry->is_prefix ? "Prefix" : "Key")) {
        replace_text(walk, &entry->key);
    } else if (is(name, "Size")) {
        char *end;
        errno = 0;
        entry->size = strtoull(walk->text, &end, 10);
        if (errno || *end || end == walk->text || walk->text[0] == '-')
            xml_walk_stop(walk, EUCLEAN, "a size is malformed");
    } else if (is(name, "ETag")) {
        copy_etag(walk, entry->etag);
    } else if (is(name, "LastModified")) {
        parse_time(walk, &entry->last_modified);
    } else if (is(name, "StorageClass")) {
        entry->cold = is(walk->text, "GLACIER") || is(walk->text, "DEEP_ARCHIVE");
    }
}

static void list_closed(struct xml_walk *walk, const char *name, const char *parent)
{
    struct xml_list *list = walk->out;
    if (walk->depth == 1 && !is(name, "ListBucketResult"))
        xml_walk_stop(walk, EUCLEAN, "the answer is no listing");
    else if (walk->depth == 2 && is(name, "IsTruncated"))
        parse_bool(walk, &list->truncated);
    else if (walk->depth == 2 && is(name, "NextContinuationToken"))
        replace_text(walk, &list->token);
    else if (walk->depth == 2 && is(name, "EncodingType"))
        walk->encoded = is(walk->text, "url");
    else if (walk->depth == 3 && (is(parent, "Contents") || is(parent, "CommonPrefixes")))
        list_entry_closed(walk, name, &list->entries[list->count - 1]);
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct xml_entry *)a)->key, ((const struct xml_entry *)b)->key);
}

// Keys that no C string can hold are dropped: the contract hides what breaks its rules.
static int list_finish(struct xml_list *list, bool encoded, struct err *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct xml_entry *entry = &list->entries[i];
        if (!entry->key)
            return err_set(err, EUCLEAN, "an entry of the listing has no key");
        if (encoded && !uri_decode(entry->key)) {
            free(take(entry->key));
            continue;
        }
        struct xml_entry moved = *entry;
        entry->key = NULL;
        list->entries[kept++] = moved;
    }
    list->count = kept;
    if (kept)
        qsort(list->entries, kept, sizeof(*list->entries), compare_entries);
    if (list->truncated && !list->token)
        return err_set(err, EUCLEAN, "the listing goes on but does not say where");
    return 0;
}

int xml_parse_list(const char *text, size_t len, struct xml_list *out, struct err *err)
{
    struct xml_list list = {0};
    struct xml_walk walk = {.opened = list_opened, .closed = list_closed, .out = &list};
    int result = xml_walk_run(&walk, text, len, err);
    if (result == 0)
        result = list_finish(&list, walk.encoded, err);
    if (result < 0)
        xml_list_done(&list);
    else
        *out = list;
    return result;
}

void xml_list_done(struct xml_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->entries[i].key);
    free(list->entries);
    free(list->token);
    *list = (struct xml_list){0};
}

// --- ListMultipartUploads ---

static void uploads_opened(struct xml_walk *walk, const char *name)
{
    struct xml_uploads *list = walk->out;
    if (walk->depth != 2 || !is(name, "Upload"))
        return;
    struct xml_upload *uploads = append(walk, list->uploads, &list->count, sizeof(*list->uploads));
    if (uploads)
        list->uploads = uploads;
}

static void uploads_closed(struct xml_walk *walk, const char *name, const char *parent)
{
    struct xml_uploads *list = walk->out;
    if (walk->depth == 1 && !is(name, "ListMultipartUploadsResult")) {
        xml_walk_stop(walk, EUCLEAN, "the answer is no list of uploads");
    } else if (walk->depth == 2) {
        if (is(name, "IsTruncated"))
            parse_bool(walk, &list->truncated);
        else if (is(name, "NextKeyMarker"))
            replace_text(walk, &list->next_key);
        else if (is(name, "NextUploadIdMarker"))
            replace_text(walk, &list->next_id);
        else if (is(name, "EncodingType"))
            walk->encoded = is(walk->text, "url");
    } else if (walk->depth == 3 && is(parent, "Upload")) {
        struct xml_upload *upload = &list->uploads[list->count - 1];
        if (is(name, "Key"))
            replace_text(walk, &upload->key);
        else if (is(name, "UploadId"))
            replace_text(walk, &upload->id);
        else if (is(name, "Initiated"))
            parse_time(walk, &upload->initiated);
    }
}

static int uploads_finish(struct xml_uploads *list, bool asked, bool said, struct err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct xml_upload *upload = &list->uploads[i];
        if (!upload->key || !upload->id)
            return err_set(err, EUCLEAN, "an upload in the list has no key or no id");
        if (asked && !uri_decode(upload->key))
            upload->key[0] = '\0'; // no key of ours
    }
    if (asked && said && list->next_key && !uri_decode(list->next_key))
        return err_set(err, EUCLEAN, "the list of uploads goes on at a malformed key");
    if (list->truncated && !list->next_key)
        return err_set(err, EUCLEAN, "the list of uploads goes on but does not say where");
    return 0;
}

int xml_parse_uploads(const char *text, size_t len, bool asked, struct xml_uploads *out,
                      struct err *err)
{
    struct xml_uploads list = {0};
    struct xml_walk walk = {.opened = uploads_opened, .closed = uploads_closed, .out = &list};
    int result = xml_walk_run(&walk, text, len, err);
    if (result == 0)
        result = uploads_finish(&list, asked, walk.encoded, err);
    if (result < 0)
        xml_uploads_done(&list);
    else
        *out = list;
    return result;
}

void xml_uploads_done(struct xml_uploads *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->uploads[i].key);
        free(list->uploads[i].id);
    }
    free(list->uploads);
    free(list->next_key);
    free(list->next_id);
    *list = (struct xml_uploads){0};
}

// --- the small ones ---

static void begun_closed(struct xml_walk *walk, const char *name, const char *parent)
{
    if (walk->depth == 2 && is(parent, "InitiateMultipartUploadResult") && is(name, "UploadId")) {
        if (walk->text_len < XML_ID_BYTES) // one cut short would be another upload's
            copy_cut(walk, walk->out, XML_ID_BYTES);
    }
}

int xml_parse_begun(const char *text, size_t len, char out_id[XML_ID_BYTES], struct err *err)
{
    char id[XML_ID_BYTES] = "";
    struct xml_walk walk = {.closed = begun_closed, .out = id};
    int result = xml_walk_run(&walk, text, len, err);
    if (result < 0)
        return result;
    if (!id[0])
        return err_set(err, EUCLEAN, "the answer has no usable UploadId");
    memcpy(out_id, id, sizeof(id));
    return 0;
}

static void result_closed(struct xml_walk *walk, const char *name, const char *parent)
{
    (void)parent;
    struct xml_result *result = walk->out;
    if (walk->depth == 1 && !is(name, "CompleteMultipartUploadResult") &&
        !is(name, "CopyObjectResult") && !is(name, "CopyPartResult"))
        xml_walk_stop(walk, EUCLEAN, "the answer is no result");
    if (walk->depth != 2)
        return;
    if (is(name, "ETag"))
        copy_etag(walk, result->etag);
    else if (is(name, "LastModified"))
        parse_time(walk, &result->last_modified);
}

int xml_parse_result(const char *text, size_t len, struct xml_result *out, struct err *err)
{
    struct xml_result parsed = {0};
    struct xml_walk walk = {.closed = result_closed, .out = &parsed};
    int result = xml_walk_run(&walk, text, len, err);
    if (result < 0)
        return result;
    *out = parsed;
    return 0;
}

static void error_closed(struct xml_walk *walk, const char *name, const char *parent)
{
    struct xml_error *error = walk->out;
    if (walk->depth != 2 || !is(parent, "Error"))
        return;
    if (is(name, "Code"))
        copy_cut(walk, error->code, sizeof(error->code));
    else if (is(name, "Message"))
        copy_cut(walk, error->message, sizeof(error->message));
    else if (is(name, "Region"))
        copy_cut(walk, error->region, sizeof(error->region));
}

int xml_parse_error(const char *text, size_t len, struct xml_error *out, struct err *err)
{
    struct xml_error error = {0};
    struct xml_walk walk = {.closed = error_closed, .out = &error};
    int result = xml_walk_run(&walk, text, len, err);
    if (result < 0)
        return result;
    if (is(walk.names[1], "Error") && !error.code[0])
        snprintf(error.code, sizeof(error.code), "UnknownError");
    *out = error;
    return 0;
}

static void put_escaped(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '&')
            fputs("&amp;", to);
        else if (*text == '<')
            fputs("&lt;", to);
        else if (*text == '>')
            fputs("&gt;", to);
        else if (*text == '"')
            fputs("&quot;", to);
        else
            fputc(*text, to);
    }
}

int xml_make_complete(const struct xml_part *parts, unsigned count, char **out, size_t *out_len,
                      struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    if (!to)
        return err_set(err, ENOMEM, "no memory for the list of parts");
    fputs("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", to);
    for (unsigned i = 0; i < count; i++) {
        fprintf(to, "<Part><PartNumber>%u</PartNumber><ETag>&quot;", parts[i].number);
        put_escaped(to, parts[i].etag);
        fputs("&quot;</ETag></Part>", to);
    }
    fputs("</CompleteMultipartUpload>", to);
    bool failed = ferror(to);
    if (fclose(to) != 0 || failed) {
        free(text);
        return err_set(err, ENOMEM, "no memory for the list of parts");
    }
    *out = text;
    *out_len = len;
    return 0;
}
