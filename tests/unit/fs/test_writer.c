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
    struct object_key key;
    char reason[ERR_TEXT_BYTES];
    int fd; // the descriptor of the file, as the kernel would show it
    uint64_t ino;
} fix;

static void on_committed(void *ctx, const struct writer_end *end)
{
    struct fixture *f = ctx;
    assert_string_equal(end->path, PATH);
    f->committed++;
    f->info = *end->info;
    f->key = *end->key;
}

static void on_failed(void *ctx, const struct writer_end *end)
{
    struct fixture *f = ctx;
    assert_string_equal(end->path, PATH);
    f->failed++;
    snprintf(f->reason, sizeof(f->reason), "%s", end->failure->text);
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

static struct writer *begin_as(struct writer_begin begin)
{
    struct writer *w;
    struct err err = {0};
    begin.path = PATH;
    begin.ino = fix.ino;
    begin.tid = getpid();
    int rc = writers_begin(fix.writers, &begin, &w, &err);
    if (rc)
        fail_msg("%s", err.text);
    return w;
}

static struct writer *begin(void)
{
    return begin_as((struct writer_begin){.cond = {.if_absent = true}});
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
    assert_int_equal(writer_write(w, getpid(), 11, "!", 1, &err), -ESTALE);
    assert_true(writer_is_stored(w));
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
    struct writer_begin again = {.path = PATH, .ino = 7, .tid = getpid()};
    assert_int_equal(writers_begin(fix.writers, &again, &other, &err), -EBUSY);
    other = writers_join(fix.writers, PATH, 7, getpid(), 0);
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

// Truncated by name, it was opened by somebody else before it was committed: that one's bytes are not whole yet.
static void who_joined_commits(void **state)
{
    (void)state;
    struct writer *w = begin(), *other;
    struct err err;
    assert_int_equal(writer_truncate(w, 3, &err), 0);
    other = writers_join(fix.writers, PATH, 7, getpid(), 0);
    assert_ptr_equal(other, w);
    write_text(other, 0, "hal");
    assert_int_equal(writer_commit(w, &err), 0);
    assert_int_equal(fix.committed, 0);
    writer_release(w);
    write_text(other, 3, "ves");
    assert_int_equal(fix.committed, 0);
    writer_release(other);
    assert_int_equal(fix.committed, 1);
    assert_int_equal(fix.info.header.record.size, 6);
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

// What is stored, read with its key.
static void assert_stored(const void *bytes, size_t len)
{
    struct err err = {0};
    struct object_reader *reader;
    if (object_open(fix.store, PATH, NULL, NULL, &fix.key, &reader, &err))
        fail_msg("%s", err.text);
    assert_int_equal(object_reader_info(reader)->header.record.size, len);
    struct pack_decoder *decoder;
    assert_int_equal(pack_decoder_new(&decoder, &err), 0);
    auto_free uint8_t *frame = malloc(PACK_FRAME_BYTES);
    assert_non_null(frame);
    for (size_t at = 0; at < len; at += PACK_FRAME_BYTES) {
        assert_int_equal(
            object_read_frames(reader, decoder, at / PACK_FRAME_BYTES, 1, &frame, &err), 0);
        assert_memory_equal(frame, (const uint8_t *)bytes + at,
                            min_u64(len - at, PACK_FRAME_BYTES));
    }
    pack_decoder_free(decoder);
    object_reader_free(reader);
}

static void streams_are_cut_where_they_are_held(void **state)
{
    (void)state;
    struct err err;
    auto_free uint8_t *bytes = calloc(1, 8 * MIB);
    assert_non_null(bytes);
    struct writer *w = begin();
    write_text(w, 0, "old content");
    assert_int_equal(writer_truncate(w, 0, &err), 0);
    write_text(w, 0, "abcdef");
    assert_int_equal(writer_truncate(w, 3, &err), 0);
    write_text(w, 5, "g");
    write_text(w, 6 * MIB, "x");                        // the head of 2 MiB is closed, frames left
    assert_int_equal(writer_truncate(w, MIB, &err), 0); // so this begins anew
    write_text(w, MIB, "y");
    writer_release(w);
    assert_int_equal(fix.failed, 0);
    memcpy(bytes, "abc\0\0g", 6);
    bytes[MIB] = 'y';
    assert_stored(bytes, MIB + 1);
}

static void what_left_cannot_be_cut(void **state)
{
    (void)state;
    struct err err;
    struct writer *w = begin();
    write_text(w, 6 * MIB, "x");
    assert_int_equal(writer_truncate(w, 3 * MIB, &err), -EIO);
    writer_release(w);
    assert_int_equal(fix.failed, 1);
    assert_false(is_stored());
}

static void too_long_is_latched(void **state)
{
    (void)state;
    struct err err;
    struct writer *w = begin();
    write_text(w, 0, "x");
    assert_int_equal(writer_write(w, getpid(), OBJECT_SIZE_MAX, "y", 1, &err), -EFBIG);
    writer_release(w);
    assert_int_equal(fix.failed, 1);
    assert_false(is_stored());
}

static void read_text(struct writer *w, uint64_t off, const char *text, size_t len)
{
    struct err err = {0};
    char bytes[256];
    size_t got = 0;
    if (writer_read(w, getpid(), false, off, bytes, sizeof(bytes), &got, &err))
        fail_msg("%s", err.text);
    assert_int_equal(got, len);
    assert_memory_equal(bytes, text, len);
}

static void drafts_take_any_pattern(void **state)
{
    (void)state;
    struct err err;
    auto_free uint8_t *bytes = calloc(1, 8 * MIB);
    assert_non_null(bytes);
    struct writer *w = begin_as((struct writer_begin){.as_draft = true});
    write_text(w, 6 * MIB, "x");
    write_text(w, 3 * MIB - 1, "across");
    write_text(w, 0, "start");
    read_text(w, 6 * MIB - 1, "\0x", 2);
    assert_int_equal(writer_truncate(w, 3 * MIB + 2, &err), 0);
    assert_int_equal(writer_truncate(w, 5 * MIB, &err), 0);
    read_text(w, 5 * MIB - 3, "\0\0\0", 3);
    assert_int_equal(writer_write(w, getpid(), WRITER_APPEND, "end", 3, &err), 0);
    writer_release(w);
    memcpy(bytes, "start", 5);
    memcpy(bytes + 3 * MIB - 1, "acr", 3);
    memcpy(bytes + 5 * MIB, "end", 3);
    assert_stored(bytes, 5 * MIB + 3);
    assert_int_equal(blocks_usage(fix.blocks).spool_bytes, 0);
}

static struct object_reader *open_stored(void)
{
    struct err err = {0};
    struct object_reader *reader;
    if (object_open(fix.store, PATH, NULL, NULL, &fix.key, &reader, &err))
        fail_msg("%s", err.text);
    return reader;
}

static void drafts_lie_over_what_is_stored(void **state)
{
    (void)state;
    struct err err;
    auto_free uint8_t *bytes = malloc(8 * MIB);
    assert_non_null(bytes);
    memset(bytes, 'o', 8 * MIB);
    struct writer *w = begin();
    assert_int_equal(writer_write(w, getpid(), 0, bytes, 7 * MIB + 5, &err), 0);
    writer_release(w);

    struct writer_begin over = {.as_draft = true, .base = open_stored(), .may_read_base = true};
    w = begin_as(over);
    write_text(w, 2 * MIB - 1, "new");
    write_text(w, 7 * MIB + 5, "end");
    read_text(w, 7 * MIB + 4, "oend", 4);
    assert_true(blocks_usage(fix.blocks).spool_bytes <= 3 * BLOCK_BYTES); // what changed alone
    writer_release(w);
    memcpy(bytes + 2 * MIB - 1, "new", 3);
    memcpy(bytes + 7 * MIB + 5, "end", 3);
    assert_stored(bytes, 7 * MIB + 8);

    over.base = open_stored();
    over.may_read_base = false;
    w = begin_as(over);
    char byte;
    size_t got;
    assert_int_equal(writer_read(w, getpid(), false, 0, &byte, 1, &got, &err), -EACCES);
    assert_int_equal(writer_truncate(w, MIB + 3, &err), 0);
    assert_int_equal(writer_truncate(w, 2 * MIB + 3, &err), 0); // what was cut off never comes back
    writer_release(w);
    memset(bytes + MIB + 3, 0, MIB);
    assert_stored(bytes, 2 * MIB + 3);
    assert_int_equal(fix.failed, 0);
}

static void drafts_in_order_go_on_as_streams(void **state)
{
    (void)state;
    struct err err;
    auto_free uint8_t *bytes = malloc(12 * MIB);
    assert_non_null(bytes);
    for (size_t i = 0; i < 12 * MIB; i++)
        bytes[i] = (uint8_t)(i % 251);
    struct blocks_conf small = {.memory_bytes = 64 * MIB,
                                .spool_dir = fix.spool.path,
                                .spool_max_bytes = 3 * BLOCK_BYTES,
                                .spool_keep_free_percent = 1};
    struct blocks *blocks, *whole = fix.blocks;
    assert_int_equal(blocks_new(&small, &blocks, &err), 0);
    fix.env.upload.blocks = fix.env.pack.blocks = blocks;

    struct writer *w = begin_as((struct writer_begin){.as_draft = true});
    for (size_t at = 0; at < 12 * MIB; at += 100000)
        assert_int_equal(
            writer_write(w, getpid(), at, bytes + at, min_u64(100000, 12 * MIB - at), &err), 0);
    char byte;
    size_t got;
    assert_int_equal(writer_read(w, getpid(), false, 7, &byte, 1, &got, &err), 0); // held still
    assert_int_equal(byte, 7);
    assert_int_equal(writer_read(w, getpid(), false, 5 * MIB, &byte, 1, &got, &err), -EBUSY);
    writer_release(w);
    assert_stored(bytes, 12 * MIB);

    w = begin_as((struct writer_begin){.as_draft = true});
    write_text(w, 10, "not");
    write_text(w, 0, "in order");
    assert_int_equal(writer_write(w, getpid(), 20, bytes, 4 * MIB, &err), -ENOSPC);
    assert_int_equal(writer_write(w, getpid(), 0, "x", 1, &err), -ENOSPC); // latched
    writer_release(w);
    assert_int_equal(fix.failed, 1);
    assert_stored(bytes, 12 * MIB);
    fix.env.upload.blocks = fix.env.pack.blocks = whole;
    blocks_free(blocks);
}

static void a_doomed_writer_stores_nothing(void **state)
{
    (void)state;
    struct err err;
    struct writer *w = begin();
    write_text(w, 0, "half");
    writers_doom(fix.writers, fix.ino + 1, getpid(), SIGKILL, true); // another file
    writers_doom(fix.writers, fix.ino, 4711, SIGKILL, false);        // one that inherited it
    write_text(w, 4, "way");
    writers_doom(fix.writers, fix.ino, 4711, SIGKILL, true); // one that was about to write it
    assert_int_equal(writer_write(w, getpid(), 7, "more", 4, &err), -EIO);
    let_go();
    assert_int_equal(writer_flush(w, getpid(), &err), -EIO);
    writer_release(w);
    assert_false(is_stored());
    assert_non_null(strstr(fix.reason, "process 4711, was killed by signal 9"));
    w = begin();
    write_text(w, 0, "half");
    writers_doom(fix.writers, fix.ino, getpid(), SIGTERM, false); // in its close, as a writer
    assert_int_equal(writer_flush(w, getpid(), &err), -EIO);
    writer_release(w);
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
        WRITER_TEST(who_joined_commits),
        WRITER_TEST(holes_and_lengths_are_zeros),
        WRITER_TEST(what_left_cannot_be_changed),
        WRITER_TEST(streams_are_cut_where_they_are_held),
        WRITER_TEST(what_left_cannot_be_cut),
        WRITER_TEST(too_long_is_latched),
        WRITER_TEST(drafts_take_any_pattern),
        WRITER_TEST(drafts_lie_over_what_is_stored),
        WRITER_TEST(drafts_in_order_go_on_as_streams),
        WRITER_TEST(a_doomed_writer_stores_nothing),
        WRITER_TEST(the_later_of_two_is_told),
        WRITER_TEST(drain_waits_for_the_last),
        WRITER_TEST(an_ended_session_judges_what_is_left),
        WRITER_TEST(an_ended_session_believes_no_silence),
        WRITER_TEST(an_ended_session_keeps_a_touched_file),
        WRITER_TEST(an_open_that_never_arrived_makes_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
