// The rules of the tree: which names there may be. Pure.
//
//     HOST / DATE / PARTITION / FILE...        HOST / DATE / PARTITION.FORMAT        HOST / latest / PARTITION
// Paths have no leading slash; the root is "". A refusal's sentence says which rule, and shows a correct path.
#pragma once

#include "backend/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define PATH_COMPONENT_BYTES 247
#define PATH_LATEST "latest"
#define PATH_STATUS_DIR ".bakfs"
#define PATH_STATUS_FILE ".bakfs/status.json"

// 0 root, 1 HOST, 2 DATE (or a file's level never), 3 PARTITION or a file in DATE, ...
unsigned path_depth(const char *path);

// May `path` be created, as a directory or a file? `prefix_len`: bytes of the store's PREFIX, for the key's length.
// `now` by the store's clock: DATE is not past tomorrow (UTC). EILSEQ not UTF-8, EINVAL rule, ENAMETOOLONG; a directory of
// a place where only files are, and the reverse, EINVAL.
int path_check_create(const char *path, bool is_dir, size_t prefix_len, struct timespec now,
                      struct err *err);
// Could `path` be a file of the tree, whoever made it? The same rules but for tomorrow. For listings: what does not hold
// is hidden.
bool path_is_file(const char *path);
// Could `path` be a directory with files below?
bool path_is_dir(const char *path);

// The file's path of a key (without PREFIX): false when it does not end in OBJECT_SUFFIX or breaks the rules.
// `out` has at least strlen(key) + 1 bytes.
bool path_from_key(const char *key, char *out);

// The PARTITION that a path of depth 3 or more belongs to: its third component, for a file directly in DATE up to its
// first dot. False for names that begin with a dot, which never count as a backup.
bool path_partition(const char *path, bool is_file, char out[PATH_COMPONENT_BYTES + 1]);
