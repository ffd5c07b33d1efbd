// Times as people write them. Pure, but for the time zone (TZ), any thread.
#pragma once

#include "backend/base/err.h"

#include <time.h>

#define WHEN_TEXT_BYTES 144

// "2026-11-21" (the end of that local day: the newest backup of it is meant), "2026-11-21 03:00[:15]",
// "2026-11-21T03:00:15Z", "...+02:00", "... CEST" (names of the local zone), "yesterday 03:00", "yesterday 3am", "today",
// "now", "03:00" (the last time it was that late), "2h ago", "3 days ago", "1h 30m ago", "20261121T031500Z",
// "@1795300000". A local time that comes twice or never (the clock changes): EINVAL, and the sentence writes both with their
// zone, to choose from. A date without a time means the end of that day, "today" and "yesterday" too.
int when_parse(const char *text, time_t now, time_t *out, struct err *err);
// "2026-11-21 03:15:00 UTC (04:15:00 CET, 2 hours ago)"
void when_text(time_t t, time_t now, char out[WHEN_TEXT_BYTES]);
void when_age(time_t from, time_t now,
              char out[32]); // "2 hours", "3 days", "now"; of what is to come "in 2 hours"
void when_stamp(time_t t, char out[20]); // YYYYMMDDThhmmssZ, as name_stamp reads it
