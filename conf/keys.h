// The keys that the configuration names: [seal] recipients and identity. Any thread.
#pragma once

#include "backend/base/err.h"
#include "backend/seal/seal.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <stddef.h>

// From a file, or a list in the configuration. At least one; free() the array. None configured: EINVAL.
int keys_load_recipients(const struct conf *, struct recipient **out, size_t *out_count,
                         struct err *err);
// None configured: none, and 0. A file that is missing is ENOENT, one that others can read EACCES.
int keys_load_identities(const struct conf *, struct identities *out, struct err *err);
// Does one of the identities open what is sealed for the recipients?
bool keys_fit(const struct identities *, const struct recipient *recipients, size_t count);
