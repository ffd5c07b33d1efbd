// The digest of a plain file as backend/FORMAT.md defines it (3.4), of bytes that come in order: what user.bakfs.digest and
// META say of it. Pure, one thread a digest.
#pragma once

#include <stddef.h>

#define DIGEST_TEXT_BYTES 65

struct digest;

struct digest *digest_new(void); // NULL: no memory
void digest_update(struct digest *, const void *data, size_t len);
void digest_final(struct digest *, char out[DIGEST_TEXT_BYTES]); // hexadecimal; once
void digest_free(struct digest *);
