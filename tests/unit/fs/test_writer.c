// Writers over a directory store. What the kernel would hold as descriptors of the mount are descriptors of a plain file
// here: a writer knows its file by inode number only, and looks for it in /proc.
#include "fs/writer.h"

#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/plan.h"
#include "tests/support/temp_dir.h"

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

#define PATH "db1/2026-11-22/orders.sql"

static struct fixture {
    struct temp_dir dir, spool;
    struct store *store;
    struct blocks *blocks;
    struct workers *packers, *uploaders;
    struct recipient recipient;
    struct object_env env;
    struct writers *writers;
    unsigned committed, failed;
    struct object_info info;
    char reason[ERR_TEXT_BYTES];
    int fd; // the descriptor of the file, as the kernel would show it
    uint64_t ino;
} fix;

static void on_committed(void *ctx, const char *path, const struct object_info *info,
                         const struct object_key *key)
{
    (void)key;
    struct fixture *f = ctx;
    assert_string_equal(path, PATH);
    f->committed++;
    f->info = *info;
}

static void on_failed(void *ctx, const char *path, const struct err *err)
{
    struct fixture *f = ctx;
    assert_string_equal(path, PATH);
    f->failed++;
    snprintf(f->reason, sizeof(f->reason), "%s", err->text);
}

static int set_up(void **state)
{
    (void)state;
    struct err err;
    memset(&fix, 0, sizeof(fix));
    assert_int_equal(temp_dir_make(&fix.dir), 0);
    assert_int_equal(temp_dir_make(&fix.spool), 0);
    assert_int_equal(store_dir_new(fix.dir.path, &fix.store, &err), 0);
    struct blocks_conf blocks = {.memory_bytes = 64 * MIB,
                                 .spool_dir = fix.spool.path,
                                 .spool_max_bytes = GIB,
                                 .spool_keep_free_percent = 1};
    assert_int_equal(blocks_new(&blocks, &fix.blocks, &err), 0);
    assert_int_equal(workers_new("pack", 2, 8, &fix.packers, &err), 0);
    assert_int_equal(workers_new("upload", 2, 8, &fix.uploaders, &err), 0);
    struct identity *identity;
    assert_int_equal(identity_generate(&identity, &err), 0);
    identity_recipient(identity, &fix.recipient);
    identity_free(identity);
    fix.env = (struct object_env){
        .upload = {.store = fix.store,
                   .blocks = fix.blocks,
                   .uploaders = fix.uploaders,
                   .part_max = plan_part_max(64 * MIB)},
        .pack = {.blocks = fix.blocks,
                 .packers = fix.packers,
                 .packer_count = 2,
                 .level = 1,
                 .head_bytes = 2 * MIB},
        .recipients = &fix.recipient,
        .recipient_count = 1,
    };
    struct writers_conf conf = {.object = &fix.env,
                                .store = fix.store,
                                .committed = on_committed,
                                .failed = on_failed,
                                .ctx = &fix};
    assert_int_equal(writers_new(&conf, &fix.writers, &err), 0);
    char path[512];
    snprintf(path, sizeof(path), "%s/held", fix.spool.path);
    fix.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat stat;
    assert_int_equal(fstat(fix.fd, &stat), 0);
    fix.ino = stat.st_ino;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (fix.fd >= 0)
        close(fix.fd);
    writers_free(fix.writers);
    workers_free(fix.packers);
    workers_free(fix.uploaders);
    blocks_free(fix.blocks);
    store_free(fix.store);
    temp_dir_remove(&fix.dir);
    temp_dir_remove(&fix.spool);
    return 0;
}

static struct writer *begin(void)
{
    struct writer *w;
    struct err err = {0};
    struct store_cond cond = {.if_absent = true};
    int rc = writers_begin(fix.writers, PATH, fix.ino, &cond, getpid(), &w, &err);
    if (rc)
        fail_msg("%s", err.text);
    return w;
}

static void write_text(struct writer *w, uint64_t off, const char *text)
{
    struct err err = {0};
    if (writer_write(w, getpid(), off, text, strlen(text), &err) != 0)
        fail_msg("%s", err.text);
}

static void let_go(void)
{
    close(fix.fd);
    fix.fd = -1;
}

static bool is_stored(void)
{
    struct store_stat stat;
    return fix.store->ops->head(fix.store, PATH OBJECT_SUFFIX, &stat, NULL) == 0;
}

static void last_close_commits(void **state)
{
    (void)state;
    struct err err;
    struct writer *w = begin();
    write_text(w, 0, "hello");
    // another descriptor of this process is open: a flush is not the last
    assert_int_equal(writer_flush(w, getpid(), &err), 0);
    assert_int_equal(fix.committed, 0);
    assert_false(is_stored());
    write_text(w, 5, " world");
    let_go();
    assert_int_equal(writer_flush(w, getpid(), &err), 0);
    assert_int_equal(fix.committed, 1);
    assert_int_equal(fix.info.header.record.size, 11);
    assert_true(is_stored());
    // again: nothing happens; and nothing more is taken
    assert_int_equal(writer_flush(w, getpid(), &err), 0);
    assert_int_equal(writer_write(w, getpid(), 11, "!", 1, &err), -EPERM);
    writer_release(w);
    assert_int_equal(fix.committed, 1);
    assert_int_equal(fix.failed, 0);
}

static void nothing_written_waits_for_the_release(void **state)
{
    (void)state;
    struct err err;
    struct writer *w = begin();
    let_go();
    // Python's `with open() as f: Popen(stdout=f)` closes before the child wrote
    assert_int_equal(writer_flush(w, getpid(), &err), 0);
    assert_int_equal(fix.committed, 0);
    writer_release(w);
    assert_int_equal(fix.committed, 1);
    assert_int_equal(fix.info.header.record.size, 0);
}

static void handles_share_a_file(void **state)
{
    (void)state;
    struct writer *w = begin(), *other;
    struct err err;
    struct store_cond cond = {0};
    assert_int_equal(writers_begin(fix.writers, PATH, 7, &cond, getpid(), &other, &err), -EBUSY);
    other = writers_join(fix.writers, PATH, getpid());
    assert_ptr_equal(other, w);
    write_text(w, 0, "one");
    write_text(other, 3, "two");
    struct writer_look look;
    assert_true(writers_look(fix.writers, PATH, &look));
    assert_int_equal(look.size, 6);
    assert_true(writers_is_writing_below(fix.writers, "db1/2026-11-22"));
    assert_false(writers_is_writing_below(fix.writers, "db1/2026-11-2"));
    assert_false(writers_is_writing_below(fix.writers, PATH));
    writer_release(other);
    assert_int_equal(fix.committed, 0);
    writer_release(w);
    assert_int_equal(fix.committed, 1);
    assert_false(writers_is_writing(fix.writers, PATH));
}

static void holes_and_lengths_are_zeros(void **state)
{
    (void)state;
    struct err err;
    struct writer *w = begin();
    write_text(w, 3 * MIB, "x");
    write_text(w, 10, "head");
    assert_int_equal(writer_truncate(w, 5 * MIB, &err), 0);
    writer_release(w);
    assert_int_equal(fix.info.header.record.size, 5 * MIB);
}

static void what_left_cannot_be_changed(void **state)
{
    (void)state;
    struct err err;
    struct writer *w = begin();
    write_text(w, 6 * MIB, "x"); // the head is 2 MiB
    assert_int_equal(writer_write(w, getpid(), 3 * MIB, "y", 1, &err), -EIO);
    // latched: nothing is stored whatever follows
    assert_int_equal(writer_write(w, getpid(), 6 * MIB + 1, "z", 1, &err), -EIO);
    let_go();
    assert_int_equal(writer_flush(w, getpid(), &err), -EIO);
    assert_int_equal(writer_sync(w, &err), -EIO);
    writer_release(w);
    assert_int_equal(fix.committed, 0);
    assert_int_equal(fix.failed, 1);
    assert_false(is_stored());
}

static void cutting_is_latched_and_zero_starts_anew(void **state)
{
    (void)state;
    struct err err;
    struct writer *w = begin();
    write_text(w, 0, "old content");
    assert_int_equal(writer_truncate(w, 0, &err), 0);
    write_text(w, 0, "new");
    assert_int_equal(writer_truncate(w, 3, &err), 0);
    writer_release(w);
    assert_int_equal(fix.info.header.record.size, 3);

    assert_int_equal(fix.store->ops->remove(fix.store, PATH OBJECT_SUFFIX, NULL, &err), 0);
    w = begin();
    write_text(w, 0, "abc");
    assert_int_equal(writer_truncate(w, 2, &err), -EIO);
    writer_release(w);
    assert_int_equal(fix.failed, 1);
    assert_false(is_stored());
}

static void the_later_of_two_is_told(void **state)
{
    (void)state;
    struct err err;
    struct writer *w = begin();
    write_text(w, 0, "mine");
    // another mount stores under the name in between
    struct object_writer *o;
    struct object_info info;
    assert_int_equal(object_create(&fix.env, PATH, &(struct store_cond){0}, NULL, &o, &err), 0);
    assert_int_equal(packer_write(object_writer_packer(o), "theirs", 6, &err), 0);
    assert_int_equal(object_writer_commit(o, &(struct object_times){0}, &info, &err), 0);
    object_writer_free(o);
    let_go();
    assert_int_equal(writer_flush(w, getpid(), &err), -EEXIST);
    writer_release(w);
    struct store_stat stat;
    assert_int_equal(fix.store->ops->head(fix.store, PATH OBJECT_SUFFIX, &stat, &err), 0);
    assert_string_equal(stat.etag, info.stat.etag);
}

static void drain_waits_for_the_last(void **state)
{
    (void)state;
    struct writer *w = begin();
    write_text(w, 0, "x");
    assert_int_equal(writers_drain(fix.writers, 1), 1);
    writer_release(w);
    assert_int_equal(writers_drain(fix.writers, 60000), 0);
}

static void an_ended_session_judges_what_is_left(void **state)
{
    (void)state;
    struct writer *w = begin();
    write_text(w, 0, "x");
    writer_abandon(w); // still held by this process: not whole
    writers_free(take(fix.writers));
    assert_int_equal(fix.failed, 1);
    assert_false(is_stored());
}

static void an_ended_session_believes_no_silence(void **state)
{
    (void)state;
    struct writer *w = begin();
    write_text(w, 0, "x");
    let_go(); // not held any more, but no flush said that it was closed well
    writer_abandon(w);
    writers_free(take(fix.writers));
    assert_int_equal(fix.committed, 0);
    assert_false(is_stored());
}

static void an_ended_session_keeps_a_touched_file(void **state)
{
    (void)state;
    struct err err;
    struct writer *w = begin();
    let_go();
    assert_int_equal(writer_flush(w, getpid(), &err), 0);
    writer_abandon(w); // only the release was lost
    writers_free(take(fix.writers));
    assert_int_equal(fix.committed, 1);
    assert_true(is_stored());
}

static void an_open_that_never_arrived_makes_no_file(void **state)
{
    (void)state;
    writer_drop(begin());
    assert_int_equal(fix.committed, 0);
    assert_int_equal(fix.failed, 1);
    assert_false(is_stored());
}

int main(void)
{
#define WRITER_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WRITER_TEST(last_close_commits),
        WRITER_TEST(nothing_written_waits_for_the_release),
        WRITER_TEST(handles_share_a_file),
        WRITER_TEST(holes_and_lengths_are_zeros),
        WRITER_TEST(what_left_cannot_be_changed),
        WRITER_TEST(cutting_is_latched_and_zero_starts_anew),
        WRITER_TEST(the_later_of_two_is_told),
        WRITER_TEST(drain_waits_for_the_last),
        WRITER_TEST(an_ended_session_judges_what_is_left),
        WRITER_TEST(an_ended_session_believes_no_silence),
        WRITER_TEST(an_ended_session_keeps_a_touched_file),
        WRITER_TEST(an_open_that_never_arrived_makes_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
