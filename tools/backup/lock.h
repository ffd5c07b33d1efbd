// One backup of a NAME at a time on this host. One thread.
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"

// -> a descriptor that holds the lock until it is closed; -EBUSY: who has it.
int backup_lock(const struct conf *, const struct conf_database *, struct err *err);
// The same of HOST and PARTITION, which NAMEs may share: waits for the other one, whose names of this second they would be.
int backup_lock_place(const struct conf *, const struct conf_database *, struct err *err);
