// The daemon's side of the journal: journal_recover.c reads what others left.
#include "backend/store/journal.h"

#include "backend/base/scope.h"
#include "backend/store/journal_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

struct journal {
    int dir, fd;
    char name[JOURNAL_NAME_BYTES];

    pthread_mutex_t lock; // members below are under it
    uint64_t next;
    unsigned open, left;
    off_t len;
    bool broken; // half a line could not be taken back
};

struct journal_entry {
    struct journal *journal;
    uint64_t number;
};

// Makes the file and locks it. -EAGAIN: a recovering daemon took it for dead in between, it is gone again.
static int make_file(struct journal *j, struct err *err)
{
    uint64_t chance;
    if (getrandom(&chance, sizeof(chance), 0) != (ssize_t)sizeof(chance))
        return err_errno(err, EIO, "random bytes");
    snprintf(j->name, sizeof(j->name), JOURNAL_PREFIX "%016" PRIx64 JOURNAL_SUFFIX, chance);
    auto_fd int fd =
        openat(j->dir, j->name, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, errno, "make the journal of uploads ([mount] state)");
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return err_errno(err, errno, "lock the journal of uploads ([mount] state)");
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_errno(err, errno, "make the journal of uploads ([mount] state)");
    if (st.st_nlink == 0)
        return err_set(err, EAGAIN, "the journal of uploads is removed all the time");
    if (fsync(j->dir) < 0)
        return err_errno(err, errno, "make the journal of uploads ([mount] state)");
    j->fd = fd;
    fd = -1;
    return 0;
}

int journal_open(const char *dir, struct journal **out, struct err *err)
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "make the directory of state '%s' ([mount] state)", dir);
    auto_fd int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return err_errno(err, errno, "open the directory of state '%s' ([mount] state)", dir);
    auto_free struct journal *j = calloc(1, sizeof(*j));
    if (!j)
        return err_set(err, ENOMEM, "journal of uploads: out of memory");
    j->dir = dir_fd;
    int rc = -EAGAIN;
    for (int i = 0; i < 100 && rc == -EAGAIN; i++)
        rc = make_file(j, err);
    if (rc < 0)
        return rc == -EAGAIN ? err_set(err, EIO, "make a journal in '%s': no luck", dir) : rc;
    pthread_mutex_init(&j->lock, NULL);
    j->next = 1;
    dir_fd = -1;
    *out = take(j);
    return 0;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->open == 0 && j->left == 0)
        unlinkat(j->dir, j->name, 0);
    close(j->fd); // and unlocks
    close(j->dir);
    pthread_mutex_destroy(&j->lock);
    free(j);
}

// With the lock held: lines must not mix. The sync, which takes long, is the caller's, without it.
static int append(struct journal *j, const char *line, struct err *err)
{
    if (j->broken)
        return err_set(err, EIO, "the journal of uploads ([mount] state) is damaged: mount again");
    size_t len = strlen(line);
    ssize_t n = write(j->fd, line, len);
    if (n == (ssize_t)len) {
        j->len += n;
        return 0;
    }
    int code = n < 0 ? errno : ENOSPC;
    if (ftruncate(j->fd, j->len) < 0)
        j->broken = true;
    return err_errno(err, code, "write the journal of uploads ([mount] state)");
}

static int append_synced(struct journal *j, const char *line, struct err *err)
{
    int rc;
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&j->lock);
        rc = append(j, line, err);
    }
    if (rc == 0 && fdatasync(j->fd) < 0)
        rc = err_errno(err, errno, "write the journal of uploads ([mount] state)");
    return rc;
}

// A line with a number of its own; `words` is what follows the store. Synced.
static int begin(struct journal *j, const char *verb, struct store *store, const char *words,
                 struct journal_entry **out, struct err *err)
{
    char store_text[3 * sizeof(store->id)];
    char line[sizeof(store_text) + 2 * (3 * STORE_KEY_BYTES + 1) + 80];
    auto_free struct journal_entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return err_set(err, ENOMEM, "journal of uploads: out of memory");
    entry->journal = j;
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&j->lock);
        entry->number = j->next++;
        j->open++; // before the line: an end at this moment must not empty the file
    }
    journal_encode(store->id, store_text);
    snprintf(line, sizeof(line), "%s %" PRIu64 " %" PRId64 " %s %s\n", verb, entry->number,
             (int64_t)store->ops->now(store).tv_sec, store_text, words);
    int rc = append_synced(j, line, err);
    if (rc < 0) {
        journal_end(take(entry));
        return rc;
    }
    *out = take(entry);
    return 0;
}

int journal_begin(struct journal *j, struct store *store, const char *key,
                  struct journal_entry **out, struct err *err)
{
    char words[3 * STORE_KEY_BYTES + 1];
    assert(strlen(key) <= STORE_KEY_BYTES);
    journal_encode(key, words);
    return begin(j, "begin", store, words, out, err);
}

int journal_move(struct journal *j, struct store *store, const struct journal_move *move,
                 struct journal_entry **out, struct err *err)
{
    char from[3 * STORE_KEY_BYTES + 1], to[sizeof(from)], words[2 * sizeof(from) + 8];
    assert(strlen(move->from) <= STORE_KEY_BYTES && strlen(move->to) <= STORE_KEY_BYTES);
    journal_encode(move->from, from);
    journal_encode(move->to, to);
    snprintf(words, sizeof(words), "%s %s %s", from, to, journal_move_word(move->kind));
    return begin(j, "move", store, words, out, err);
}

int journal_move_copied(struct journal_entry *entry, struct err *err)
{
    char line[40];
    snprintf(line, sizeof(line), "copied %" PRIu64 "\n", entry->number);
    return append_synced(entry->journal, line, err);
}

int journal_set_id(struct journal_entry *entry, const char *upload_id, struct err *err)
{
    char id_text[3 * STORE_UPLOAD_ID_BYTES];
    char line[sizeof(id_text) + 32];
    assert(strlen(upload_id) < STORE_UPLOAD_ID_BYTES);
    journal_encode(upload_id, id_text);
    snprintf(line, sizeof(line), "id %" PRIu64 " %s\n", entry->number, id_text);
    return append_synced(entry->journal, line, err);
}

// Not synced, and its failure is no harm: a recovery that does not see it aborts an upload that is gone already.
void journal_end(struct journal_entry *entry)
{
    if (!entry)
        return;
    struct journal *j = entry->journal;
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&j->lock);
        j->open--;
        if (j->open == 0 && j->left == 0 && ftruncate(j->fd, 0) == 0) {
            j->len = 0;
            j->broken = false;
        } else {
            char line[32];
            snprintf(line, sizeof(line), "end %" PRIu64 "\n", entry->number);
            (void)append(j, line, NULL);
        }
    }
    free(entry);
}

void journal_leave(struct journal_entry *entry)
{
    if (!entry)
        return;
    {
        auto_unlock pthread_mutex_t *held = scope_lock(&entry->journal->lock);
        entry->journal->open--;
        entry->journal->left++;
    }
    free(entry);
}
