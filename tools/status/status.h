// bakfs status from the inside: what there is to know is gathered (look.c), judged (judge.c, pure) and shown (text.c, json.c,
// metrics.c, html.c). verb.c reads the arguments. One thread.
//
// What is judged                                            | level
// ----------------------------------------------------------|------
// a configured database without any good backup             | BAD
// newest good backup older than `every` and an eighth of it | BAD
// a newer one than the newest good is unfinished for an     |
// hour, incomplete, or failed its verification; or the      |
// daemon could not store a file of it since                 | BAD
// no restore tried for `drill_every` and an eighth of it    | BAD
// the mount, its daemon or its clock do not work            | BAD
// a key that opened before does not open any more, or was   |
// not tried for a year                                      | BAD
// newest dump a tenth, or ten times, of the median before   | WARN
// a backup from the future                                  | WARN
// no key was ever tried; exit codes are not seen            | WARN
// not configured, and three times its own rhythm went by    | WARN
#pragma once

#include "backend/base/err.h"
#include "conf/conf.h"
#include "tools/catalog/backups.h"
#include "tools/catalog/meta.h"
#include "tools/daemon_status.h"
#include "tools/proof.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define STATUS_DAY_SECONDS 86400
#define STATUS_CALENDAR_DAYS 371 // 53 weeks

enum status_level { STATUS_OK, STATUS_WARN, STATUS_BAD };

struct status_note { // owned
    enum status_level level;
    char *text;
    char *type; // what to type next, or NULL
};

struct status_notes {
    struct status_note *list;
    size_t count;
};

// A look at backups that was left beside them: of the newest that restored, or what could be read at all.
struct status_drill {
    bool readable; // VERIFIED files could be read: what kind of look they were is known
    time_t at;     // of the newest PASS that restored; not readable: of the newest PASS. 0: none
    uint64_t restore_ms; // 0: not known
};

struct status_partition {
    char *host, *partition;
    const struct conf_database *conf; // NULL: not configured
    const struct backup *list;        // its backups, the oldest first
    size_t count, good;
    const struct backup *newest; // the newest good one, or NULL
    const struct backup *future; // a good one that a wrong clock dated, or NULL
    int64_t age_s;               // of the newest
    uint64_t every_s;            // configured; 0: never overdue
    int64_t rhythm_s;            // the median distance of the last ones; 0: too few
    uint64_t median7, median30;  // sizes of the good ones before the newest; 0: too few
    bool overdue, drill_overdue, strange_size;
    size_t bad_since;   // unfinished, incomplete, failed ones behind the newest good
    time_t verified_at; // of the newest PASS of any kind, 0: none
    struct status_drill drill;
    uint64_t drill_every_s;
    enum status_level level;
    struct status_notes notes;
};

enum status_proof {
    STATUS_PROOF_NEVER,
    STATUS_PROOF_OPENED,
    STATUS_PROOF_OVERDUE,
    STATUS_PROOF_FAILED
};

struct status_host {
    const char *host; // borrowed
    enum status_proof proof;
    time_t opened_at;
    const char *object; // of the proof; borrowed, or NULL
};

struct status { // what was found; `look` and the configuration outlive it
    time_t now;
    const char *point;
    struct status_partition *partitions; // the worst first
    size_t count;
    struct status_host *hosts;
    size_t host_count;
    struct status_notes notes; // of the mount and its daemon
    enum status_level level;
    size_t bad, warn; // partitions
    char *verdict;    // one sentence
};

struct status_look { // what was gathered
    time_t now;
    const char *point;
    const char *host, *partition; // wanted, or NULL
    struct err mount;             // the backups could not be seen
    struct backups backups;
    struct err daemon_err;
    struct daemon_status daemon;
    struct proofs proofs;
    // of a partition, by the newest backups: may be NULL
    int (*drill)(void *ctx, const struct backup *list, size_t count, time_t since,
                 struct status_drill *out);
    void *ctx;
};

// Gathers; what could not be had is in the look, for the judge.
void status_look(const struct conf *, const char *host, const char *partition,
                 struct status_look *out);
void status_look_done(struct status_look *);
int status_judge(const struct conf *, const struct status_look *, struct status *out,
                 struct err *err);
void status_done(struct status *);
// Parts of status_judge. False: no memory.
bool status_judge_daemon(struct status *, const struct status_look *);
int status_judge_hosts(struct status *, const struct status_look *, struct err *err);
int status_write_verdict(struct status *, struct err *err);
// Adds one, formatted. False: no memory.
bool status_note(struct status_notes *, enum status_level, const char *type, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));
void status_notes_done(struct status_notes *);
enum status_level status_notes_worst(const struct status_notes *);
const char *status_level_word(enum status_level); // "ok", "warning", "bad"

// The worst of it in three words, the same tomorrow: for a sentence about many.
const char *status_why(const struct status_partition *);

// What a UTC day of a partition saw: the calendar.
enum status_day { STATUS_DAY_NONE, STATUS_DAY_GOOD, STATUS_DAY_VERIFIED, STATUS_DAY_BAD };
// `first`: a day's number since the epoch. BAD: there were some, and none was good.
void status_days(const struct status_partition *, int64_t first, size_t count,
                 enum status_day *out);

// Newest against the median before it, in percent (-90: a tenth of it). False: too few to say.
bool status_trend(const struct status_partition *, int64_t *out_percent);

// --- Showing ---
void status_show_text(FILE *, const struct status *);
// The problems alone, a line or two each: for a mail.
void status_show_text_notes(FILE *, const struct status *, enum status_level at_least);
void status_show_json(FILE *, const struct status *, unsigned history_days);
void status_show_metrics(FILE *, const struct status *, const struct status_look *);
void status_show_html(FILE *, const struct status *, const struct status_look *,
                      unsigned history_days);
// How old, roughly: "90 s", "35 min", "7 hours", "2 days".
void status_span_text(uint64_t seconds, char out[32]);
