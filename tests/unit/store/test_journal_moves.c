// Moves that a daemon began and did not end.
#include "backend/store/journal.h"
#include "tests/support/temp_dir.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct rig {
    struct temp_dir dir;
    char state[300];
    struct store *store, *other;
    struct journal *journal;
    char seen[512]; // what was given to settle
    int answer;
} rig;

static int make_store(const char *name, struct store **out)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", rig.dir.path, name);
    return mkdir(path, 0700) < 0 ? -errno : store_dir_new(path, out, NULL);
}

static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    if (temp_dir_make(&rig.dir) < 0 || make_store("objects", &rig.store) < 0 ||
        make_store("other", &rig.other) < 0)
        return -1;
    snprintf(rig.state, sizeof(rig.state), "%s/state", rig.dir.path);
    return journal_open(rig.state, &rig.journal, NULL);
}

static int teardown(void **state)
{
    (void)state;
    journal_close(rig.journal);
    store_free(rig.store);
    store_free(rig.other);
    temp_dir_remove(&rig.dir);
    return 0;
}

static int settle(void *ctx, const struct journal_move *move, struct err *err)
{
    assert_ptr_equal(ctx, &rig);
    size_t used = strlen(rig.seen);
    snprintf(rig.seen + used, sizeof(rig.seen) - used, "%d%s %s>%s;", (int)move->kind,
             move->copied ? "c" : "", move->from, move->to);
    return rig.answer ? err_set(err, -rig.answer, "not now") : 0;
}

static int recover(void)
{
    rig.seen[0] = '\0';
    return journal_recover_moves(rig.state, rig.store, settle, &rig, NULL);
}

static struct journal_entry *begin(struct store *store, enum journal_move_kind kind,
                                   const char *from, const char *to)
{
    struct journal_move move = {.kind = kind, .from = from, .to = to};
    struct journal_entry *entry;
    assert_int_equal(journal_move(rig.journal, store, &move, &entry, NULL), 0);
    return entry;
}

static unsigned journals(void)
{
    unsigned count = 0;
    DIR *dir = opendir(rig.state);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));)
        count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

// As a killed daemon leaves it: lines, and a lock that is free.
static void die(void)
{
    journal_close(rig.journal);
    rig.journal = NULL;
}

static void what_was_ended_is_forgotten(void **state)
{
    (void)state;
    struct journal_entry *entry = begin(rig.store, JOURNAL_MOVE_FILE, "a", "b");
    assert_int_equal(journal_move_copied(entry, NULL), 0);
    journal_end(entry);
    die();
    assert_int_equal(recover(), 0);
    assert_string_equal(rig.seen, "");
    assert_int_equal(journals(), 0);
}

static void what_was_left_is_settled_once(void **state)
{
    (void)state;
    journal_leave(begin(rig.store, JOURNAL_MOVE_DIR, "h/d/a b%\xc3\xa4", "h/d/c"));
    struct journal_entry *entry = begin(rig.store, JOURNAL_MOVE_OVER, "x", "y");
    assert_int_equal(journal_move_copied(entry, NULL), 0);
    journal_leave(entry);
    journal_end(begin(rig.store, JOURNAL_MOVE_FILE, "p", "q"));
    die();
    assert_int_equal(recover(), 0);
    assert_string_equal(rig.seen, "3 h/d/a b%\xc3\xa4>h/d/c;2c x>y;");
    assert_int_equal(journals(), 0);
    assert_int_equal(recover(), 0);
    assert_string_equal(rig.seen, "");
}

static void the_living_and_other_stores_are_let_be(void **state)
{
    (void)state;
    journal_leave(begin(rig.store, JOURNAL_MOVE_FILE, "a", "b"));
    assert_int_equal(recover(), 0); // the daemon lives
    assert_string_equal(rig.seen, "");
    journal_leave(begin(rig.other, JOURNAL_MOVE_FILE, "c", "d"));
    die();
    assert_int_equal(recover(), 0);
    assert_string_equal(rig.seen, "1 a>b;");
    assert_int_equal(journals(), 1); // of the other store
}

static void what_could_not_be_settled_comes_again(void **state)
{
    (void)state;
    journal_leave(begin(rig.store, JOURNAL_MOVE_FILE, "a", "b"));
    die();
    rig.answer = -EIO;
    assert_int_equal(recover(), -EIO);
    assert_int_equal(journals(), 1);
    rig.answer = 0;
    assert_int_equal(recover(), 0);
    assert_string_equal(rig.seen, "1 a>b;");
    assert_int_equal(journals(), 0);
}

// Each of the two recoveries takes its own lines and leaves the other's.
static void uploads_are_not_moves(void **state)
{
    (void)state;
    char id[STORE_UPLOAD_ID_BYTES];
    struct journal_entry *upload;
    assert_int_equal(journal_begin(rig.journal, rig.store, "k", &upload, NULL), 0);
    assert_int_equal(rig.store->ops->upload_begin(rig.store, "k", id, NULL), 0);
    assert_int_equal(journal_set_id(upload, id, NULL), 0);
    journal_leave(upload);
    journal_leave(begin(rig.store, JOURNAL_MOVE_FILE, "k", "l"));
    die();
    unsigned aborted = 0;
    assert_int_equal(journal_recover(rig.state, rig.store, &aborted, NULL), 0);
    assert_int_equal(aborted, 1);
    assert_int_equal(journals(), 1);
    assert_int_equal(recover(), 0);
    assert_string_equal(rig.seen, "1 k>l;");
    assert_int_equal(journals(), 0);
}

int main(void)
{
#define MOVES_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        MOVES_TEST(what_was_ended_is_forgotten),
        MOVES_TEST(what_was_left_is_settled_once),
        MOVES_TEST(the_living_and_other_stores_are_let_be),
        MOVES_TEST(what_could_not_be_settled_comes_again),
        MOVES_TEST(uploads_are_not_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
