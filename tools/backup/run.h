// A backup with what people see of it: progress, warnings, the sentence and the hint when it fails, and the notice. For
// `bakfs backup` and `bakfs migrate`. One thread.
#pragma once

#include "conf/conf.h"
#include "tools/backup/make.h"

#include <stdint.h>

// `verb`: "backup" or "migrate". A failure is told already: on stderr, and by notice. -errno.
int backup_run(const struct conf *, const struct conf_database *, const char *verb,
               struct backup_made *out);
