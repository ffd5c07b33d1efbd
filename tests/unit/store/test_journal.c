#include "backend/store/journal.h"

#include "backend/base/scope.h"
#include "tests/support/fault_store.h"
#include "tests/support/pattern.h"
#include "tests/support/temp_dir.h"
#include "tests/support/uploads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#define KEY "db1/2026-11-22/a b%\xc3\xa4.zst.age"

struct rig {
    struct temp_dir dir;
    char state[300];
    struct store *store, *other;
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    char path[300];
    if (!r || temp_dir_make(&r->dir) < 0)
        return -1;
    snprintf(r->state, sizeof(r->state), "%s/state", r->dir.path);
    snprintf(path, sizeof(path), "%s/objects", r->dir.path);
    if (mkdir(path, 0700) < 0 || store_dir_new(path, &r->store, NULL) < 0)
        return -1;
    snprintf(path, sizeof(path), "%s/other objects", r->dir.path);
    if (mkdir(path, 0700) < 0 || store_dir_new(path, &r->other, NULL) < 0)
        return -1;
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    store_free(r->store);
    store_free(r->other);
    temp_dir_remove(&r->dir);
    free(r);
    return 0;
}

// --- Helpers ---

static unsigned uploads(struct store *store)
{
    return uploads_below(store, "");
}

// The journals in the directory of state; the last one's path.
static unsigned journals(const struct rig *r, char out_path[600])
{
    unsigned count = 0;
    DIR *dir = opendir(r->state);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        count++;
        if (out_path)
            snprintf(out_path, 600, "%s/%s", r->state, e->d_name);
    }
    closedir(dir);
    return count;
}

static unsigned recover(const struct rig *r, struct store *store)
{
    unsigned aborted = 99;
    struct err err;
    if (journal_recover(r->state, store, &aborted, &err) != 0)
        fail_msg("%s", err.text);
    return aborted;
}

enum stage { LINE_ONLY, NO_ID, WITH_ID };

// What a daemon does for an upload, as far as `stage`.
static int begin(struct journal *journal, struct store *store, const char *key, enum stage stage)
{
    struct journal_entry *entry = NULL;
    char id[STORE_UPLOAD_ID_BYTES];
    int rc = journal_begin(journal, store, key, &entry, NULL);
    if (rc == 0 && stage >= NO_ID)
        rc = store->ops->upload_begin(store, key, id, NULL);
    if (rc == 0 && stage >= WITH_ID)
        rc = journal_set_id(entry, id, NULL);
    journal_leave(entry); // never ended, as a killed daemon leaves it
    return rc;
}

struct daemon {
    pid_t pid;
};

// Another process with a journal in which `work` was done. It lives, and waits.
static struct daemon daemon_start(const struct rig *r,
                                  int (*work)(struct journal *, const struct rig *))
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct journal *journal;
        if (journal_open(r->state, &journal, NULL) != 0 || work(journal, r) != 0 ||
            write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1); // 0: it failed
    close(ready[0]);
    return (struct daemon){pid};
}

static void daemon_kill(struct daemon d)
{
    int status;
    assert_int_equal(kill(d.pid, SIGKILL), 0);
    assert_int_equal(waitpid(d.pid, &status, 0), d.pid);
    assert_true(WIFSIGNALED(status));
}

static int work_all(struct journal *j, const struct rig *r)
{
    int rc = begin(j, r->store, "line only", LINE_ONLY);
    if (rc == 0)
        rc = begin(j, r->store, KEY, WITH_ID);
    if (rc == 0)
        rc = begin(j, r->store, "no id", NO_ID);
    if (rc == 0)
        rc = begin(j, r->other, "elsewhere", WITH_ID);
    return rc;
}

static int work_with_id(struct journal *j, const struct rig *r)
{
    return begin(j, r->store, KEY, WITH_ID);
}

static int work_no_id(struct journal *j, const struct rig *r)
{
    return begin(j, r->store, KEY, NO_ID);
}

static int work_line_only(struct journal *j, const struct rig *r)
{
    return begin(j, r->store, KEY, LINE_ONLY);
}

// --- Tests ---

static void test_nothing_left(void **state)
{
    struct rig *r = *state;
    struct journal *journal;
    struct journal_entry *entries[3];
    char path[600];
    struct stat st;
    assert_int_equal(recover(r, r->store), 0); // no directory yet
    assert_int_equal(journal_open(r->state, &journal, NULL), 0);
    assert_int_equal(stat(r->state, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(journal_begin(journal, r->store, KEY, &entries[i], NULL), 0);
        assert_int_equal(journal_set_id(entries[i], "an id", NULL), 0);
    }
    assert_int_equal(journals(r, path), 1);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size > 0);
    for (int i = 0; i < 3; i++)
        journal_end(entries[i]);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 0); // it does not grow for ever
    journal_close(journal);
    assert_int_equal(journals(r, NULL), 0);
    journal_end(NULL);
    journal_leave(NULL);
    journal_close(NULL);
}

static void test_killed(void **state)
{
    struct rig *r = *state;
    char foreign[STORE_UPLOAD_ID_BYTES];
    assert_int_equal(r->store->ops->upload_begin(r->store, "foreign", foreign, NULL), 0);
    daemon_kill(daemon_start(r, work_all));
    assert_int_equal(uploads(r->store), 3);
    assert_int_equal(recover(r, r->store), 2);
    assert_int_equal(uploads(r->store), 1);
    assert_int_equal(uploads(r->other), 1);
    assert_int_equal(journals(r, NULL), 1); // the other store's entry still stands there
    assert_int_equal(recover(r, r->store), 0);
    assert_int_equal(recover(r, r->other), 1);
    assert_int_equal(uploads(r->other), 0);
    assert_int_equal(journals(r, NULL), 0);
    assert_int_equal(uploads(r->store), 1); // nobody touched the foreign one
}

static void test_living(void **state)
{
    struct rig *r = *state;
    struct journal *own;
    struct daemon living = daemon_start(r, work_with_id);
    struct daemon dead = daemon_start(r, work_with_id);
    assert_int_equal(journal_open(r->state, &own, NULL), 0);
    assert_int_equal(begin(own, r->store, KEY, WITH_ID), 0);
    daemon_kill(dead);
    assert_int_equal(uploads(r->store), 3);
    assert_int_equal(recover(r, r->store), 1);
    assert_int_equal(uploads(r->store), 2);
    daemon_kill(living);
    assert_int_equal(recover(r, r->store), 1);
    assert_int_equal(uploads(r->store), 1); // this process's own
    journal_close(own);
}

// Without an id: whichever of the key have no part, and none that has one.
static void test_no_id_several(void **state)
{
    struct rig *r = *state;
    char writing[STORE_UPLOAD_ID_BYTES], other[STORE_UPLOAD_ID_BYTES];
    struct pattern_source body = pattern_source(1, 0, 100);
    struct store_part part;
    daemon_kill(daemon_start(r, work_no_id));
    assert_int_equal(r->store->ops->upload_begin(r->store, KEY, writing, NULL), 0);
    assert_int_equal(
        r->store->ops->put_part(r->store, KEY, writing, 1, 0, &body.source, &part, NULL), 0);
    assert_int_equal(r->store->ops->upload_begin(r->store, KEY, other, NULL), 0);
    assert_int_equal(recover(r, r->store), 2);
    assert_int_equal(uploads(r->store), 1);
    assert_int_equal(journals(r, NULL), 0);
    assert_int_equal(
        r->store->ops->upload_complete(r->store, KEY, writing, &part, 1, NULL, NULL, NULL), 0);
}

// The one upload of the key belongs to a daemon that lives: with its id known, or not yet.
static void test_no_id_of_the_living(void **state)
{
    struct rig *r = *state;
    int (*const works[])(struct journal *, const struct rig *) = {work_with_id, work_no_id};
    for (int i = 0; i < 2; i++) {
        daemon_kill(daemon_start(r, work_line_only));
        struct daemon living = daemon_start(r, works[i]);
        assert_int_equal(recover(r, r->store), 0);
        assert_int_equal(uploads(r->store), 1);
        daemon_kill(living);
        assert_int_equal(recover(r, r->store), 1);
        recover(r, r->store);
        assert_int_equal(uploads(r->store), 0);
        assert_int_equal(journals(r, NULL), 0);
    }
}

// An upload begun long before or after the line is not the line's.
static void test_no_id_other_time(void **state)
{
    struct rig *r = *state;
    const int64_t away[] = {-3600, 7200};
    for (int i = 0; i < 2; i++) {
        char id[STORE_UPLOAD_ID_BYTES], path[600];
        daemon_kill(daemon_start(r, work_line_only));
        assert_int_equal(r->store->ops->upload_begin(r->store, KEY, id, NULL), 0);
        snprintf(path, sizeof(path), "%s/objects/.bakfs-tmp/%.40s.key", r->dir.path, id);
        struct timespec begun = r->store->ops->now(r->store);
        begun.tv_sec += away[i];
        assert_int_equal(
            utimensat(AT_FDCWD, path, (struct timespec[2]){begun, begun}, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(recover(r, r->store), 0);
        assert_int_equal(uploads(r->store), 1);
        assert_int_equal(journals(r, NULL), 0); // the line began nothing
        assert_int_equal(r->store->ops->upload_abort(r->store, KEY, id, NULL), 0);
    }
}

static void append(const char *path, const char *text)
{
    auto_fd int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void test_torn(void **state)
{
    struct rig *r = *state;
    const char *const ends[] = {
        "begin 2 17", "id 1 0123", "end 1", "begin 2 17 dir:/x key",
        "nonsense\n\n \nbegin\nbegin x\nid 77 z\nend\nbegin 3 4 %zz %\nend 9\n"};
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        char path[600];
        daemon_kill(daemon_start(r, work_all));
        assert_int_equal(journals(r, path), 1);
        append(path, ends[i]);
        assert_int_equal(recover(r, r->store), 2);
        assert_int_equal(recover(r, r->other), 1); // what was written behind half a line is read
        assert_int_equal(uploads(r->store) + uploads(r->other), 0);
        assert_int_equal(journals(r, NULL), 0);
    }
}

static void test_leave(void **state)
{
    struct rig *r = *state;
    struct journal *journal;
    struct journal_entry *entry, *later;
    char id[STORE_UPLOAD_ID_BYTES];
    assert_int_equal(journal_open(r->state, &journal, NULL), 0);
    assert_int_equal(journal_begin(journal, r->store, KEY, &entry, NULL), 0);
    assert_int_equal(r->store->ops->upload_begin(r->store, KEY, id, NULL), 0);
    assert_int_equal(journal_set_id(entry, id, NULL), 0);
    journal_leave(entry);
    assert_int_equal(journal_begin(journal, r->store, "later", &later, NULL), 0);
    journal_end(later);
    journal_close(journal);
    assert_int_equal(journals(r, NULL), 1);
    assert_int_equal(recover(r, r->store), 1);
    assert_int_equal(uploads(r->store), 0);
    assert_int_equal(journals(r, NULL), 0);
}

// A store that does not answer now: nothing is forgotten, and what could be done is.
static void test_recovery_fails(void **state)
{
    struct rig *r = *state;
    struct store *faulty;
    assert_int_equal(fault_store_new(r->store, &faulty), 0);
    for (unsigned nth = 1; nth <= 3; nth++) {
        struct fault fault = {.op = FAULT_ANY, .nth = nth, .code = ETIMEDOUT};
        unsigned aborted = 99;
        struct err err = {0};
        daemon_kill(daemon_start(r, work_all));
        fault_store_set(faulty, &fault);
        assert_int_equal(journal_recover(r->state, faulty, &aborted, &err), -ETIMEDOUT);
        assert_true(strlen(err.text) > 0);
        assert_int_equal(aborted, 99);
        fault_store_set(faulty, &(struct fault){0});
        assert_int_equal(journals(r, NULL), 1);
        recover(r, faulty);
        assert_int_equal(uploads(r->store), 0);
        assert_int_equal(recover(r, r->other), 1);
        assert_int_equal(journals(r, NULL), 0);
    }
    store_free(faulty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_living, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_id_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_id_of_the_living, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_id_other_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recovery_fails, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
