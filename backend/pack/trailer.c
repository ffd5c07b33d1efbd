#include "backend/pack/trailer.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/pack/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CRITICAL 0x80000000u
#define VERSION_BYTES 8
static const char version_mark[VERSION_BYTES + 1] = "bakfs/v1";

enum record_type {
    RECORD_SIZE = 1,
    RECORD_DIGEST = 2,
    RECORD_SALT = 3,
    RECORD_COMPLETE = 4,
    RECORD_PATH = 5,
    RECORD_INDEX = 6,
    RECORD_VERSION = 7,
};

static const struct record_rule {
    uint32_t type; // as it stands in the object
    uint32_t min, max;
    bool required;
} rules[] = {
    {RECORD_SIZE | CRITICAL, 8, 8, true},
    {RECORD_DIGEST | CRITICAL, PACK_DIGEST_BYTES, PACK_DIGEST_BYTES, true},
    {RECORD_SALT, PACK_SALT_BYTES, PACK_SALT_BYTES, true},
    {RECORD_COMPLETE, 1, 1, true},
    {RECORD_PATH, 1, TRAILER_PATH_MAX, false},
    {RECORD_INDEX, 16, UINT32_MAX, false},
    {RECORD_VERSION, 1, TRAILER_VERSION_MAX, false},
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

// --- Writing ---

static uint8_t *put_record(uint8_t *p, uint32_t type, const void *bytes, size_t len)
{
    if (len == 0)
        return p;
    put_le32(p, type);
    put_le32(p + 4, (uint32_t)len);
    memcpy(p + 8, bytes, len);
    return p + 8 + len;
}

int trailer_encode(const struct pack_trailer *t, const struct trailer_index *index, uint8_t **out,
                   size_t *out_len, struct err *err)
{
    size_t path_len = t->path ? strlen(t->path) : 0;
    size_t version_len = t->version ? strlen(t->version) : 0;
    assert(path_len <= TRAILER_PATH_MAX && version_len <= TRAILER_VERSION_MAX);
    size_t room = FRAME_SKIP_HEADER + VERSION_BYTES + RULES * 8 + 8 + PACK_DIGEST_BYTES +
                  PACK_SALT_BYTES + 1 + path_len + index->len + version_len;
    uint8_t *frame = malloc(room);
    if (!frame)
        return err_set(err, ENOMEM, "no memory for the trailer");
    uint8_t size[8], *p = frame + FRAME_SKIP_HEADER;
    put_le64(size, t->size);
    memcpy(p, version_mark, VERSION_BYTES);
    p += VERSION_BYTES;
    p = put_record(p, RECORD_SIZE | CRITICAL, size, sizeof(size));
    p = put_record(p, RECORD_DIGEST | CRITICAL, t->digest, sizeof(t->digest));
    p = put_record(p, RECORD_SALT, t->salt, sizeof(t->salt));
    p = put_record(p, RECORD_COMPLETE, &t->complete, 1);
    p = put_record(p, RECORD_PATH, t->path, path_len);
    p = put_record(p, RECORD_INDEX, index->bytes, index->len);
    p = put_record(p, RECORD_VERSION, t->version, version_len);
    size_t len = (size_t)(p - frame);
    assert(len <= room);
    frame_put_skippable(frame, FRAME_MAGIC_TRAILER, (uint32_t)(len - FRAME_SKIP_HEADER));
    *out = frame;
    *out_len = len;
    return 0;
}

// --- Reading ---

struct records { // where each known record's bytes are
    const uint8_t *bytes[RULES];
    uint32_t len[RULES];
};

static int note_record(uint32_t type, const uint8_t *bytes, uint32_t len, struct records *found,
                       struct err *err)
{
    for (size_t i = 0; i < RULES; i++) {
        if (rules[i].type != type)
            continue;
        if (len < rules[i].min || len > rules[i].max)
            return err_set(err, EUCLEAN, "trailer: record 0x%08x of %u bytes", type, len);
        found->bytes[i] = bytes;
        found->len[i] = len;
        return 0;
    }
    if (type & CRITICAL)
        return err_set(err, EUCLEAN,
                       "trailer: record 0x%08x is unknown and critical: made by a newer bakfs; "
                       "read it with that one",
                       type);
    return 0;
}

static int find_records(const uint8_t *p, size_t rest, struct records *found, struct err *err)
{
    uint32_t last = 0;
    for (bool first = true; rest > 0; first = false) {
        if (rest < 8)
            return err_set(err, EUCLEAN, "trailer: %zu bytes behind the last record", rest);
        uint32_t type = get_le32(p), len = get_le32(p + 4), order = type & ~CRITICAL;
        if (!first && order <= last)
            return err_set(err, EUCLEAN, "trailer: record 0x%08x out of order", type);
        if (len > rest - 8)
            return err_set(err, EUCLEAN, "trailer: record 0x%08x ends beyond it", type);
        int rc = note_record(type, p + 8, len, found, err);
        if (rc < 0)
            return rc;
        last = order;
        p += 8 + len;
        rest -= 8 + len;
    }
    for (size_t i = 0; i < RULES; i++)
        if (rules[i].required && !found->bytes[i])
            return err_set(err, EUCLEAN, "trailer: record 0x%08x is missing", rules[i].type);
    return 0;
}

// The bytes of a record that find_records did not let go missing.
static const uint8_t *required(const struct records *found, enum record_type type)
{
    const uint8_t *bytes = found->bytes[type - 1];
    assert(bytes);
    return bytes;
}

static int copy_text(const struct records *found, enum record_type type, char **out,
                     struct err *err)
{
    const uint8_t *bytes = found->bytes[type - 1];
    uint32_t len = found->len[type - 1];
    if (!bytes)
        return 0;
    char *text = malloc((size_t)len + 1);
    if (!text)
        return err_set(err, ENOMEM, "no memory for the trailer");
    // Any bytes may stand there; they are told, and no reason to refuse a backup.
    for (uint32_t i = 0; i < len; i++)
        text[i] = bytes[i] ? (char)bytes[i] : '?';
    text[len] = '\0';
    *out = text;
    return 0;
}

static int check_frame(const uint8_t *bytes, size_t len, struct err *err)
{
    if (len < FRAME_SKIP_HEADER + VERSION_BYTES || get_le32(bytes) != FRAME_MAGIC_TRAILER ||
        get_le32(bytes + 4) != len - FRAME_SKIP_HEADER)
        return err_set(err, EUCLEAN,
                       "the frame in front of the seek table is not a trailer of %zu bytes", len);
    if (memcmp(bytes + FRAME_SKIP_HEADER, version_mark, VERSION_BYTES) != 0)
        return err_set(err, EUCLEAN, "trailer: it is not one of '%s'", version_mark);
    return 0;
}

int trailer_parse(const uint8_t *bytes, size_t len, struct pack_trailer *out,
                  struct trailer_index *out_index, struct err *err)
{
    struct records found = {0};
    struct pack_trailer t = {0};
    int rc = check_frame(bytes, len, err);
    if (rc == 0)
        rc = find_records(bytes + FRAME_SKIP_HEADER + VERSION_BYTES,
                          len - FRAME_SKIP_HEADER - VERSION_BYTES, &found, err);
    if (rc < 0)
        return rc;
    t.size = get_le64(required(&found, RECORD_SIZE));
    memcpy(t.digest, required(&found, RECORD_DIGEST), sizeof(t.digest));
    memcpy(t.salt, required(&found, RECORD_SALT), sizeof(t.salt));
    t.complete = required(&found, RECORD_COMPLETE)[0];
    if (t.complete > 3)
        return err_set(err, EUCLEAN, "trailer: completeness %u", t.complete);
    rc = copy_text(&found, RECORD_PATH, &t.path, err);
    if (rc == 0)
        rc = copy_text(&found, RECORD_VERSION, &t.version, err);
    if (rc < 0) {
        trailer_done(&t);
        return rc;
    }
    *out = t;
    *out_index = (struct trailer_index){found.bytes[RECORD_INDEX - 1], found.len[RECORD_INDEX - 1]};
    return 0;
}

void trailer_done(struct pack_trailer *t)
{
    free(t->path);
    free(t->version);
    t->path = t->version = NULL;
}
