// The answers to what doctor asks: parts of an upload, and how the bucket is set up.
#include "backend/base/clock.h"
#include "backend/s3/times.h"
#include "backend/s3/xml.h"
#include "backend/s3/xml_walk.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool parse_number(const char *text, unsigned *out)
{
    char *end = NULL;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number > UINT32_MAX)
        return false;
    *out = (unsigned)number;
    return true;
}

// --- ListParts ---

struct parts {
    struct xml_parts said;
    bool truncated;
};

static void see_newest(struct xml_walk *walk, struct parts *parts)
{
    struct timespec when;
    if (!times_parse_iso(walk->text, &when)) {
        xml_walk_stop(walk, EUCLEAN, "a time is malformed");
        return;
    }
    if (clock_is_newer(when, parts->said.newest))
        parts->said.newest = when;
}

static void parts_closed(struct xml_walk *walk, const char *name, const char *parent)
{
    struct parts *parts = walk->out;
    if (walk->depth == 1 && !is(name, "ListPartsResult"))
        xml_walk_stop(walk, EUCLEAN, "the answer is no list of parts");
    else if (walk->depth == 2 && is(name, "IsTruncated"))
        parts->truncated = is(walk->text, "true");
    else if (walk->depth == 2 && is(name, "NextPartNumberMarker"))
        (void)parse_number(walk->text, &parts->said.next);
    else if (walk->depth == 3 && is(parent, "Part") && is(name, "LastModified"))
        see_newest(walk, parts);
}

int xml_parse_parts(const char *text, size_t len, struct xml_parts *out, struct err *err)
{
    struct parts parts = {0};
    struct xml_walk walk = {.closed = parts_closed, .out = &parts};
    int result = xml_walk_run(&walk, text, len, err);
    if (result < 0)
        return result;
    if (!parts.truncated)
        parts.said.next = 0;
    else if (parts.said.next == 0)
        return err_set(err, EUCLEAN, "the list of parts goes on but does not say where");
    *out = parts.said;
    return 0;
}

// --- GetBucketLifecycleConfiguration ---

struct lifecycle {
    const char *prefix;
    unsigned days; // of all rules that fit
    // of the rule in hand
    bool enabled, covers;
    unsigned rule_days;
};

static void lifecycle_opened(struct xml_walk *walk, const char *name)
{
    struct lifecycle *l = walk->out;
    if (walk->depth == 2 && is(name, "Rule")) {
        l->enabled = false;
        l->covers = true;
        l->rule_days = 0;
    }
}

static void rule_done(struct lifecycle *l)
{
    bool fits = l->enabled && l->covers && l->rule_days > 0;
    if (fits && (l->days == 0 || l->rule_days < l->days))
        l->days = l->rule_days;
}

// Any element of a filter narrows the rule. Of prefixes we know whether all our keys are below; tags and sizes are not
// those of every upload.
static void lifecycle_closed(struct xml_walk *walk, const char *name, const char *parent)
{
    struct lifecycle *l = walk->out;
    if (walk->depth == 1 && !is(name, "LifecycleConfiguration"))
        xml_walk_stop(walk, EUCLEAN, "the answer is no lifecycle configuration");
    else if (walk->depth == 2 && is(name, "Rule"))
        rule_done(l);
    else if (walk->depth == 3 && is(name, "Status"))
        l->enabled = is(walk->text, "Enabled");
    else if (is(name, "Prefix"))
        l->covers = l->covers && strncmp(l->prefix, walk->text, walk->text_len) == 0;
    else if (is(name, "Tag") || is(name, "ObjectSizeGreaterThan") || is(name, "ObjectSizeLessThan"))
        l->covers = false;
    else if (is(parent, "AbortIncompleteMultipartUpload") && is(name, "DaysAfterInitiation"))
        (void)parse_number(walk->text, &l->rule_days);
}

int xml_parse_abort_days(const char *text, size_t len, const char *prefix, unsigned *out,
                         struct err *err)
{
    struct lifecycle lifecycle = {.prefix = prefix};
    struct xml_walk walk = {
        .opened = lifecycle_opened, .closed = lifecycle_closed, .out = &lifecycle};
    int result = xml_walk_run(&walk, text, len, err);
    if (result == 0)
        *out = lifecycle.days;
    return result;
}

// --- Versioning, object lock ---

struct word {
    const char *root, *name;
    char text[XML_WORD_BYTES];
};

static void word_closed(struct xml_walk *walk, const char *name, const char *parent)
{
    (void)parent;
    struct word *word = walk->out;
    if (walk->depth == 1 && !is(name, word->root))
        xml_walk_stop(walk, EUCLEAN, "the answer is about something else");
    else if (walk->depth == 2 && is(name, word->name) && walk->text_len < XML_WORD_BYTES)
        memcpy(word->text, walk->text, walk->text_len + 1);
}

int xml_parse_word(const char *text, size_t len, const char *root, const char *name,
                   char out[XML_WORD_BYTES], struct err *err)
{
    struct word word = {.root = root, .name = name};
    struct xml_walk walk = {.closed = word_closed, .out = &word};
    int result = xml_walk_run(&walk, text, len, err);
    if (result == 0)
        memcpy(out, word.text, sizeof(word.text));
    return result;
}
