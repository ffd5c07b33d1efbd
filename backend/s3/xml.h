// S3's XML: parsing of answers and the one document that is sent. Pure functions over buffers; what a server may send
// is bounded (depth, text of an element, number of entries), document types are refused.
// Errors: EUCLEAN an answer that makes no sense, ENOMEM.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define XML_ETAG_BYTES 128
#define XML_ID_BYTES 512

struct xml_entry { // of ListObjectsV2
    char *key;     // decoded
    bool is_prefix;
    uint64_t size;
    struct timespec last_modified;
    char etag[XML_ETAG_BYTES]; // without quotes
    bool cold;
};

struct xml_list {
    struct xml_entry *entries; // keys and prefixes together, in byte order
    size_t count;
    bool truncated;
    char *token; // of the next page, or NULL
};
int xml_parse_list(const char *text, size_t len, struct xml_list *out, struct err *err);
void xml_list_done(struct xml_list *);

struct xml_upload {
    char *key, *id;
    struct timespec initiated;
};
struct xml_uploads {
    struct xml_upload *uploads;
    size_t count;
    bool truncated;
    char *next_key, *next_id; // markers of the next page, or NULL
};
// `asked`: encoding-type=url was asked for, so keys are decoded. (Ceph encodes them without saying so; it does not encode
// the markers.)
int xml_parse_uploads(const char *text, size_t len, bool asked, struct xml_uploads *out,
                      struct err *err);
void xml_uploads_done(struct xml_uploads *);

struct xml_version {
    char *key, *id;
    bool latest, delete_marker;
    uint64_t size;
    struct timespec last_modified;
};
struct xml_versions {
    struct xml_version *versions; // as they came
    size_t count;
    bool truncated;
    char *next_key, *next_id; // markers of the next page, or NULL
};
// Keys are decoded where the answer says that it encoded them; keys that no C string can hold are "".
int xml_parse_versions(const char *text, size_t len, struct xml_versions *out, struct err *err);
void xml_versions_done(struct xml_versions *);

int xml_parse_begun(const char *text, size_t len, char out_id[XML_ID_BYTES], struct err *err);

// CompleteMultipartUpload, CopyObject and UploadPartCopy.
struct xml_result {
    char etag[XML_ETAG_BYTES];     // "" from Ceph for a Complete
    struct timespec last_modified; // zero when it was not said
};
int xml_parse_result(const char *text, size_t len, struct xml_result *out, struct err *err);

// ListParts: when the newest part of this page was put (zero when there is none), and where the next page goes on (0: no
// further one).
struct xml_parts {
    struct timespec newest;
    unsigned next;
};
int xml_parse_parts(const char *text, size_t len, struct xml_parts *out, struct err *err);
// GetBucketLifecycleConfiguration: the days after which unfinished uploads of all keys below `prefix` are aborted (the
// smallest number of the rules that say so); 0: no rule does.
int xml_parse_abort_days(const char *text, size_t len, const char *prefix, unsigned *out,
                         struct err *err);
// The text of element `name` directly in a root of that name; "" when it is not there.
#define XML_WORD_BYTES 32
int xml_parse_word(const char *text, size_t len, const char *root, const char *name,
                   char out[XML_WORD_BYTES], struct err *err);

struct xml_error {
    char code[64], message[256], region[64];
};
// 0 and the code of an <Error> document; code "" when the document is well-formed and something else. -EUCLEAN when it is
// no XML at all.
int xml_parse_error(const char *text, size_t len, struct xml_error *out, struct err *err);

struct xml_part {
    unsigned number;
    const char *etag;
};
// The body of CompleteMultipartUpload, malloc'ed.
int xml_make_complete(const struct xml_part *parts, unsigned count, char **out, size_t *out_len,
                      struct err *err);
