// The pieces of the page. One thread.
#pragma once

#include "tools/status/status.h"

// The year of one partition as squares, and a sentence that says the same.
void html_calendar(FILE *, const struct status_partition *, time_t now, unsigned days);
// Sizes of the good backups of these days as a line.
void html_sizes(FILE *, const struct status_partition *, time_t now, unsigned days);
extern const char html_style[];
