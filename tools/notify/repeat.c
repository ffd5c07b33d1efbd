#include "tools/notify/repeat.h"

#include "backend/base/scope.h"
#include "tools/notify/mime.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

// --- What is the same ---

static size_t digits(const char *p)
{
    size_t n = 0;
    while (isdigit((unsigned char)p[n]))
        n++;
    return n;
}

static bool is_date(const char *year, const char *month, const char *day)
{
    int m = (month[0] - '0') * 10 + month[1] - '0', d = (day[0] - '0') * 10 + day[1] - '0';
    return year[0] == '2' && year[1] == '0' && m >= 1 && m <= 12 && d >= 1 && d <= 31;
}

// Bytes of a date or time of our trees at `p`: 2026-11-22, 20261122, 20261122T031500Z; 0: none.
static size_t date_at(const char *p)
{
    size_t n = digits(p);
    if (n == 4 && p[4] == '-' && digits(p + 5) == 2 && p[7] == '-' && digits(p + 8) == 2)
        return is_date(p, p + 5, p + 8) ? 10 : 0;
    if (n != 8 || !is_date(p, p + 4, p + 6))
        return 0;
    if (p[8] == 'T' && digits(p + 9) == 6)
        return p[15] == 'Z' ? 16 : 15;
    return 8;
}

// Of today's and yesterday's backup only the date differs, and of what they say only numbers. malloc'ed.
static char *same_tomorrow(const char *text, bool any_number)
{
    char *out = mime_clean(text, false);
    if (!out)
        return NULL;
    char *to = out;
    for (const char *p = out; *p;) {
        size_t n = any_number ? digits(p) : date_at(p);
        if (n == 0 &&
            isdigit(
                (unsigned char)*p)) { // a whole number stays, or a part of it is taken for a date
            n = digits(p);
            memmove(to, p, n);
            to += n;
        } else {
            *to++ = n ? '#' : *p;
        }
        p += n ? n : 1;
    }
    *to = '\0';
    return out;
}

static bool reason_of(const struct notice *notice, char out[17])
{
    auto_free char *text = same_tomorrow(notice->summary, true);
    if (!text)
        return false;
    uint64_t hash = 0xcbf29ce484222325u; // FNV-1a: nobody gains by a collision
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        hash = (hash ^ *p) * 0x100000001b3u;
    snprintf(out, 17, "%016" PRIx64, hash);
    return true;
}

// --- The file ---

struct book {
    int lock;
    char path[PATH_MAX];
    struct json_object *subjects; // an array
};

static void book_close(struct book *book)
{
    json_object_put(book->subjects);
    if (book->lock >= 0)
        close(book->lock);
}

// What cannot be read is empty: it is told once more than needed.
static struct json_object *read_subjects(const char *path)
{
    struct json_object *all = json_object_from_file(path);
    if (all && json_object_is_type(all, json_type_array))
        return all;
    json_object_put(all);
    return json_object_new_array();
}

static bool book_open_in(const char *dir, struct book *book)
{
    char lock[PATH_MAX];
    if (!dir || *dir != '/' ||
        snprintf(book->path, sizeof(book->path), "%s/notices", dir) >= (int)sizeof(lock) - 8)
        return false;
    snprintf(lock, sizeof(lock), "%.*s.lock", (int)sizeof(lock) - 8, book->path);
    book->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (book->lock < 0 && errno == ENOENT && mkdir(dir, 0700) == 0)
        book->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return book->lock >= 0;
}

// The daemon's directory is not for everybody who makes backups: postgres has a book of its own, in the directory that its
// unit names (StateDirectory=), or below its home.
static bool book_open(const char *state_dir, struct book *book)
{
    const char *home = getenv("HOME");
    char own[PATH_MAX];
    *book = (struct book){.lock = -1};
    bool found = book_open_in(state_dir, book) || book_open_in(getenv("STATE_DIRECTORY"), book);
    if (!found && home && snprintf(own, sizeof(own), "%s/.bakfs", home) < (int)sizeof(own))
        found = book_open_in(own, book);
    while (found && flock(book->lock, LOCK_EX) != 0)
        if (errno != EINTR)
            return false;
    book->subjects = found ? read_subjects(book->path) : NULL;
    return book->subjects != NULL;
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static bool book_save(const struct book *book)
{
    char part[PATH_MAX];
    snprintf(part, sizeof(part), "%.*s.new", (int)sizeof(part) - 8, book->path);
    const char *text =
        json_object_to_json_string_ext(book->subjects, JSON_C_TO_STRING_NOSLASHESCAPE);
    auto_fd int fd = text ? open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)
                          : -1;
    if (fd < 0)
        return false;
    if (write_all(fd, text, strlen(text)) && fsync(fd) == 0 && rename(part, book->path) == 0)
        return true;
    unlink(part);
    return false;
}

// --- Entries ---

static int64_t number(const struct json_object *entry, const char *name)
{
    struct json_object *value = NULL;
    return json_object_object_get_ex(entry, name, &value) ? json_object_get_int64(value) : 0;
}

static bool put_number(struct json_object *entry, const char *name, int64_t n)
{
    struct json_object *value = json_object_new_int64(n);
    if (value && json_object_object_add(entry, name, value) == 0)
        return true;
    json_object_put(value);
    return false;
}

static bool is_text(const struct json_object *entry, const char *name, const char *text)
{
    struct json_object *value = NULL;
    return json_object_object_get_ex(entry, name, &value) &&
           json_object_is_type(value, json_type_string) &&
           strcmp(json_object_get_string(value), text) == 0;
}

static bool put_text(struct json_object *entry, const char *name, const char *text)
{
    struct json_object *value = json_object_new_string(text);
    if (value && json_object_object_add(entry, name, value) == 0)
        return true;
    json_object_put(value);
    return false;
}

// reason -> when it was told
static struct json_object *told_of(struct json_object *entry)
{
    struct json_object *told = NULL;
    if (json_object_object_get_ex(entry, "told", &told) &&
        json_object_is_type(told, json_type_object))
        return told;
    told = json_object_new_object();
    if (told && json_object_object_add(entry, "told", told) == 0)
        return told;
    json_object_put(told);
    return NULL;
}

static size_t find(const struct book *book, const char *verb, const char *what)
{
    size_t count = json_object_array_length(book->subjects), i = 0;
    for (; i < count; i++) {
        const struct json_object *entry = json_object_array_get_idx(book->subjects, i);
        if (is_text(entry, "verb", verb) && is_text(entry, "what", what))
            break;
    }
    return i;
}

static void drop_stale(struct book *book, time_t now)
{
    for (size_t i = json_object_array_length(book->subjects); i-- > 0;) {
        int64_t seen = number(json_object_array_get_idx(book->subjects, i), "seen");
        if (now - seen > REPEAT_FORGET_S)
            json_object_array_del_idx(book->subjects, i, 1);
    }
    size_t count = json_object_array_length(book->subjects);
    if (count > REPEAT_SUBJECTS) // the oldest stand first
        json_object_array_del_idx(book->subjects, 0, count - REPEAT_SUBJECTS);
}

static struct json_object *add(struct book *book, const char *verb, const char *what, int64_t since,
                               int64_t count, time_t now)
{
    struct json_object *entry = json_object_new_object();
    if (entry && put_text(entry, "verb", verb) && put_text(entry, "what", what) &&
        put_number(entry, "since", since) && put_number(entry, "count", count) &&
        put_number(entry, "seen", now) && json_object_array_add(book->subjects, entry) == 0)
        return entry;
    json_object_put(entry);
    return NULL;
}

// --- Judging ---

// Was this reason told within a day, or so many that one more is too many? A time in the future was told by a clock that
// was wrong.
static bool told_lately(struct json_object *told, const char *reason, time_t now)
{
    int known = 0;
    bool same = false;
    json_object_object_foreach(told, key, value)
    {
        int64_t when = json_object_get_int64(value);
        bool lately = when <= now && now - when < REPEAT_DAY_S;
        known += lately;
        same = same || (lately && strcmp(key, reason) == 0);
    }
    return same || known >= REPEAT_REASONS;
}

static void forget_old_reasons(struct json_object *told, time_t now)
{
    // json-c allows to delete the one that the walk stands at
    json_object_object_foreach(told, key, value)
    {
        int64_t when = json_object_get_int64(value);
        if (when > now || now - when >= REPEAT_DAY_S)
            json_object_object_del(told, key);
    }
}

static void judge_failure(struct book *book, const char *verb, const char *what, const char *reason,
                          time_t now, struct repeat *out)
{
    size_t at = find(book, verb, what);
    struct json_object *entry = at < json_object_array_length(book->subjects)
                                    ? json_object_array_get_idx(book->subjects, at)
                                    : add(book, verb, what, now, 0, now);
    struct json_object *told = entry ? told_of(entry) : NULL;
    if (!told)
        return;
    struct repeat found = {.since = (time_t)number(entry, "since"),
                           .count = (uint64_t)number(entry, "count") + 1};
    found.tell = !told_lately(told, reason, now);
    forget_old_reasons(told, now);
    if (!put_number(entry, "count", (int64_t)found.count) || !put_number(entry, "seen", now) ||
        (found.tell && !put_number(told, reason, now)))
        return;
    drop_stale(book, now);
    found.remembered = book_save(book);
    if (found.remembered)
        *out = found;
}

static void judge_pass(struct book *book, const char *verb, const char *what, struct repeat *out)
{
    size_t at = find(book, verb, what);
    if (at == json_object_array_length(book->subjects))
        return;
    const struct json_object *entry = json_object_array_get_idx(book->subjects, at);
    struct repeat found = {.tell = true,
                           .again = true,
                           .since = (time_t)number(entry, "since"),
                           .count = (uint64_t)number(entry, "count")};
    json_object_array_del_idx(book->subjects, at, 1);
    found.remembered = book_save(book);
    *out = found; // told twice is better than not at all
}

void repeat_judge(const char *state_dir, const struct notice *notice, time_t now,
                  struct repeat *out)
{
    *out = (struct repeat){.tell = !notice->pass, .count = 1, .since = now};
    auto_free char *verb = mime_clean(notice->verb, false);
    auto_free char *what = same_tomorrow(notice->what, false);
    char reason[17];
    struct book book;
    if (!verb || !what || !reason_of(notice, reason))
        return;
    if (book_open(state_dir, &book)) {
        if (notice->pass)
            judge_pass(&book, verb, what, out);
        else
            judge_failure(&book, verb, what, reason, now, out);
    }
    book_close(&book);
}

static void take_back(struct book *book, const struct notice *notice, const char *verb,
                      const char *what, time_t now, const struct repeat *judged)
{
    char reason[17];
    size_t at = find(book, verb, what);
    bool there = at < json_object_array_length(book->subjects);
    if (notice->pass && !there &&
        add(book, verb, what, judged->since, (int64_t)judged->count, now) == NULL)
        return;
    if (!notice->pass && there && reason_of(notice, reason)) {
        struct json_object *told = told_of(json_object_array_get_idx(book->subjects, at));
        if (told && number(told, reason) == now)
            json_object_object_del(told, reason);
    }
    (void)book_save(book); // it was told as well as it could be
}

void repeat_take_back(const char *state_dir, const struct notice *notice, time_t now,
                      const struct repeat *judged)
{
    if (!judged->remembered)
        return;
    auto_free char *verb = mime_clean(notice->verb, false);
    auto_free char *what = same_tomorrow(notice->what, false);
    struct book book;
    if (!verb || !what)
        return;
    if (book_open(state_dir, &book))
        take_back(&book, notice, verb, what, now, judged);
    book_close(&book);
}
