// The three ways S3 writes a time. Pure; no locale.
#pragma once

#include <stdbool.h>
#include <time.h>

#define TIMES_AMZ_BYTES 17 // "20260131T235959Z" and its end

bool times_parse_http(const char *text, time_t *out);         // "Sun, 22 Nov 2026 10:41:17 GMT"
bool times_parse_iso(const char *text, struct timespec *out); // "2026-11-22T10:41:17.123Z"
void times_format_amz(time_t when, char out[TIMES_AMZ_BYTES]);
