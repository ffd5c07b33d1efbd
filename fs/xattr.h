// What tools need to know of a file, as read-only extended attributes `user.bakfs.*`. Pure.
#pragma once

#include "backend/object.h"

#include <stdbool.h>
#include <sys/types.h>

#define XATTR_VALUE_BYTES 2048

enum xattr_name {
    XATTR_NONE,
    XATTR_KEY, // of the object, without PREFIX
    XATTR_STATE, // writing, sealed, unknown; failed: its last write was, what is stored is older; damaged: it
                 // does not hold together (asked where an identity is)
    XATTR_STORED_SIZE,
    XATTR_ETAG,
    XATTR_LAST_MODIFIED, // by the store
    XATTR_DIGEST,        // FORMAT.md 3.4, hexadecimal
    XATTR_RECIPIENTS,    // how many
    XATTR_COMPLETE,      // yes, no, unknown
    XATTR_GRACE_UNTIL,   // from then on it cannot be changed; absent where nothing is protected
    XATTR_PID,           // of the daemon; on any file or directory
    // of HOST/DATE while nothing in it is being written: a line for each name in it and in its directories, up to 64 KiB of
    // them. "NAME/" a directory; "NAME", behind it, where known, TAB SIZE TAB STORED TAB COMMITTED (seconds) TAB COMPLETE
    XATTR_NAMES,
};

struct xattr_facts {
    const char *path;
    bool is_file, is_writing, is_failed, is_damaged;
    struct object_info info;
    struct timespec grace_until;
    uint8_t digest[PACK_DIGEST_BYTES];
    pid_t pid;
};

enum xattr_name xattr_find(const char *name);
// False: the file has no such attribute (ENODATA).
bool xattr_value(enum xattr_name, const struct xattr_facts *, char out[XATTR_VALUE_BYTES]);
