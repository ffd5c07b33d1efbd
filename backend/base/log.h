// The log: one line a message, "sentence key=value ...", to stderr and, once log_to_syslog was called (a daemon in
// the background), to syslog instead. Threads: any. Never logs secrets; callers see to it.
// Debug lines appear when BAKFS_DEBUG is set in the environment.
// Only fs/ops.c, the tops of workers and the mains of tools log above debug; libraries return errors.
#pragma once

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_to_syslog(const char *ident);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
