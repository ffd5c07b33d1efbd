// The answer to ListObjectVersions.
#include "backend/base/scope.h"
#include "backend/s3/times.h"
#include "backend/s3/uri.h"
#include "backend/s3/xml.h"
#include "backend/s3/xml_walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 10000

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static void replace_text(struct xml_walk *walk, char **field)
{
    free(*field);
    *field = strdup(walk->text);
    if (!*field)
        xml_walk_stop(walk, ENOMEM, "no memory for an answer");
}

static bool is_entry(const char *name)
{
    return is(name, "Version") || is(name, "DeleteMarker");
}

static void opened(struct xml_walk *walk, const char *name)
{
    struct xml_versions *list = walk->out;
    if (walk->depth != 2 || !is_entry(name))
        return;
    if (list->count == ENTRIES_MAX) {
        xml_walk_stop(walk, EUCLEAN, "a page of a listing has too many entries");
        return;
    }
    if ((list->count & (list->count - 1)) == 0) { // full at each power of two
        size_t room = list->count ? 2 * list->count : 1;
        void *grown = reallocarray(list->versions, room, sizeof(*list->versions));
        if (!grown) {
            xml_walk_stop(walk, ENOMEM, "no memory for a listing");
            return;
        }
        list->versions = grown;
    }
    list->versions[list->count++] = (struct xml_version){.delete_marker = is(name, "DeleteMarker")};
}

static void entry_closed(struct xml_walk *walk, const char *name, struct xml_version *version)
{
    if (is(name, "Key")) {
        replace_text(walk, &version->key);
    } else if (is(name, "VersionId")) {
        replace_text(walk, &version->id);
    } else if (is(name, "IsLatest")) {
        version->latest = is(walk->text, "true");
    } else if (is(name, "Size")) {
        char *end = NULL;
        errno = 0;
        version->size = strtoull(walk->text, &end, 10);
        if (errno || *end || walk->text[0] < '0' || walk->text[0] > '9')
            xml_walk_stop(walk, EUCLEAN, "a size is malformed");
    } else if (is(name, "LastModified") && !times_parse_iso(walk->text, &version->last_modified)) {
        xml_walk_stop(walk, EUCLEAN, "a time is malformed");
    }
}

static void closed(struct xml_walk *walk, const char *name, const char *parent)
{
    struct xml_versions *list = walk->out;
    // AWS and Ceph name the root differently
    if (walk->depth == 1 && !is(name, "ListVersionsResult") &&
        !is(name, "ListBucketVersionsResult"))
        xml_walk_stop(walk, EUCLEAN, "the answer is no list of versions");
    else if (walk->depth == 2 && is(name, "IsTruncated"))
        list->truncated = is(walk->text, "true");
    else if (walk->depth == 2 && is(name, "NextKeyMarker"))
        replace_text(walk, &list->next_key);
    else if (walk->depth == 2 && is(name, "NextVersionIdMarker"))
        replace_text(walk, &list->next_id);
    else if (walk->depth == 2 && is(name, "EncodingType"))
        walk->encoded = is(walk->text, "url");
    else if (walk->depth == 3 && is_entry(parent))
        entry_closed(walk, name, &list->versions[list->count - 1]);
}

// The key as a marker: Ceph says that it encodes, encodes keys, and leaves the marker as it is. It is the last key of
// the page, so that tells which of both was done.
static int decode_marker(struct xml_versions *list, struct err *err)
{
    for (size_t i = list->count; i > 0; i--)
        if (is(list->versions[i - 1].key, list->next_key))
            return 0;
    if (!uri_decode(list->next_key))
        return err_set(err, EUCLEAN, "the list of versions goes on at a malformed key");
    return 0;
}

static int finish(struct xml_versions *list, bool encoded, struct err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct xml_version *version = &list->versions[i];
        if (!version->key || !version->id)
            return err_set(err, EUCLEAN, "a version in the list has no key or no id");
        if (encoded && !uri_decode(version->key))
            version->key[0] = '\0'; // no key of ours
    }
    if (list->truncated && (!list->next_key || !*list->next_key))
        return err_set(err, EUCLEAN, "the list of versions goes on but does not say where");
    return encoded && list->next_key ? decode_marker(list, err) : 0;
}

int xml_parse_versions(const char *text, size_t len, struct xml_versions *out, struct err *err)
{
    struct xml_versions list = {0};
    struct xml_walk walk = {.opened = opened, .closed = closed, .out = &list};
    int result = xml_walk_run(&walk, text, len, err);
    if (result == 0)
        result = finish(&list, walk.encoded, err);
    if (result < 0)
        xml_versions_done(&list);
    else
        *out = list;
    return result;
}

void xml_versions_done(struct xml_versions *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->versions[i].key);
        free(list->versions[i].id);
    }
    free(list->versions);
    free(list->next_key);
    free(list->next_id);
    *list = (struct xml_versions){0};
}
