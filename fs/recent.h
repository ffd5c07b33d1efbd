// Keys of what this mount stored lately: with them it changes, renames and re-dates its own files within grace, on a host
// without an identity too. They never leave the memory; one goes when its file's grace is over, or when it is
// among the oldest of too many.
// Threads: any.
#pragma once

#include "backend/object.h"

#include <stdbool.h>
#include <time.h>

#define RECENTS_MAX 16384

struct recents;

int recents_new(struct recents **out, struct err *err);
void recents_free(struct recents *);
// The object under `path` with this ETag has this key, until `until` ({0}: for as long as there is room). One a path.
// `now`: what is over by then goes. Without memory it is forgotten: then an identity must do.
void recents_put(struct recents *, const char *path, const char *etag, const struct object_key *,
                 struct timespec until, struct timespec now);
// Wipe *out after use.
bool recents_get(struct recents *, const char *path, const char *etag, struct object_key *out);
bool recents_has(struct recents *, const char *path);
void recents_drop(struct recents *, const char *path);
