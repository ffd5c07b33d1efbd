// The spool: one unlinked file of slots of BLOCK_BYTES, for blocks that memory has no room for. Bounded by spool_max and,
// so that a backup never fills the database's disk, by spool_keep_free. The file is made when it is first needed; what a
// slot took goes back to the file system when the slot is put.
// For blocks.c alone. Threads: any; a slot has one owner at a time.
#pragma once

#include "backend/base/blocks.h"
#include "backend/base/err.h"

#include <stddef.h>
#include <stdint.h>

struct spool;

int spool_new(const struct blocks_conf *, struct spool **out, struct err *err);
void spool_free(struct spool *);
// -ENOSPC when a bound is reached (the sentence goes on after "memory is in use, and"), -EIO.
int spool_take(struct spool *, uint32_t *out_slot, struct err *err);
void spool_put(struct spool *, uint32_t slot);
int spool_read(struct spool *, uint32_t slot, size_t off, void *out, size_t len, struct err *err);
int spool_write(struct spool *, uint32_t slot, size_t off, const void *bytes, size_t len,
                struct err *err);
