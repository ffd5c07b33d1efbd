#include "fs/xattr.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    enum xattr_name which;
} names[] = {
    {"user.bakfs.key", XATTR_KEY},
    {"user.bakfs.state", XATTR_STATE},
    {"user.bakfs.stored_size", XATTR_STORED_SIZE},
    {"user.bakfs.etag", XATTR_ETAG},
    {"user.bakfs.last_modified", XATTR_LAST_MODIFIED},
    {"user.bakfs.digest", XATTR_DIGEST},
    {"user.bakfs.recipients", XATTR_RECIPIENTS},
    {"user.bakfs.complete", XATTR_COMPLETE},
    {"user.bakfs.grace_until", XATTR_GRACE_UNTIL},
    {"user.bakfs.pid", XATTR_PID},
    {"user.bakfs.names", XATTR_NAMES},
};

enum xattr_name xattr_find(const char *name)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].which;
    return XATTR_NONE;
}

static void put_time(struct timespec when, char out[XATTR_VALUE_BYTES])
{
    struct tm tm;
    gmtime_r(&when.tv_sec, &tm);
    strftime(out, XATTR_VALUE_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static const char *complete_word(const struct object_info *info)
{
    if (info->header.state != SEAL_OURS)
        return "unknown";
    switch (info->header.record.flags >> SEAL_FLAG_COMPLETE_SHIFT) {
    case SEAL_COMPLETE_YES:
        return "yes";
    case SEAL_COMPLETE_NO:
        return "no";
    default:
        return "unknown";
    }
}

bool xattr_value(enum xattr_name which, const struct xattr_facts *facts,
                 char out[XATTR_VALUE_BYTES])
{
    const struct object_info *info = &facts->info;
    if (which == XATTR_PID) {
        snprintf(out, XATTR_VALUE_BYTES, "%d", facts->pid);
        return true;
    }
    if (!facts->is_file)
        return false;
    bool stored = !facts->is_writing, is_ours = info->header.state == SEAL_OURS;
    switch (which) {
    case XATTR_KEY:
        snprintf(out, XATTR_VALUE_BYTES, "%s%s", facts->path, OBJECT_SUFFIX);
        return true;
    case XATTR_STATE:
        strcpy(out, facts->is_writing   ? "writing"
                    : facts->is_failed  ? "failed"
                    : facts->is_damaged ? "damaged"
                    : is_ours           ? "sealed"
                                        : "unknown");
        return true;
    case XATTR_STORED_SIZE:
        snprintf(out, XATTR_VALUE_BYTES, "%" PRIu64, info->stat.size);
        return stored;
    case XATTR_ETAG:
        snprintf(out, XATTR_VALUE_BYTES, "%s", info->stat.etag);
        return stored;
    case XATTR_LAST_MODIFIED:
        put_time(info->stat.last_modified, out);
        return stored;
    case XATTR_DIGEST:
        for (size_t i = 0; i < PACK_DIGEST_BYTES; i++)
            snprintf(out + 2 * i, 3, "%02x", facts->digest[i]);
        return stored;
    case XATTR_RECIPIENTS:
        snprintf(out, XATTR_VALUE_BYTES, "%u",
                 info->header.x25519_count + info->header.other_count);
        return stored && info->header.len > 0;
    case XATTR_COMPLETE:
        strcpy(out, facts->is_writing ? "unknown" : complete_word(info));
        return true;
    case XATTR_GRACE_UNTIL:
        put_time(facts->grace_until, out);
        return stored && facts->grace_until.tv_sec != 0;
    case XATTR_NONE:
    case XATTR_PID:
    case XATTR_NAMES:
        break;
    }
    return false;
}
