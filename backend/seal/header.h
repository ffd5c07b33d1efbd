// The age header as bytes: what seal.h does not show to other rooms. Pure.
#pragma once

#include "backend/seal/seal.h"

// Writes seal_header_length(count) bytes: the record, a stanza for each recipient, the MAC. -EUCLEAN: a recipient that cannot be
// one.
int header_encode(const struct seal_record *, const struct recipient *recipients, size_t count,
                  const struct seal_randoms *, uint8_t *out, struct err *err);
