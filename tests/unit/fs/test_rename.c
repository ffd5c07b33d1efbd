// Renames over a directory store whose requests fail, each in turn: what the call says and what is stored agree, and what
// could not be put right is put right by the next mount.
#include "fs/rename.h"

#include "backend/base/num.h"
#include "backend/store/plan.h"
#include "fs/rewrite.h"
#include "fs/stack.h"
#include "tests/support/fault_store.h"
#include "tests/support/temp_dir.h"
#include "tests/support/uploads.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define DAY "db1/2026-11-22"
#define FILES 5

static struct fixture {
    struct temp_dir dir;
    char state[300], objects[300];
    struct store *files; // below the faults
    struct conf conf;
    struct stack stack;
    struct recipient recipient;
    unsigned made; // stores so far
} fix;

static void open_stack(struct stack *s)
{
    struct err err;
    s->conf = &fix.conf;
    assert_int_equal(fault_store_new(fix.files, &s->store), 0);
    struct blocks_conf blocks = {.memory_bytes = 64 * MIB,
                                 .spool_dir = fix.dir.path,
                                 .spool_max_bytes = GIB,
                                 .spool_keep_free_percent = 1};
    assert_int_equal(blocks_new(&blocks, &s->blocks, &err), 0);
    assert_int_equal(workers_new("pack", 1, 4, &s->packers, &err), 0);
    assert_int_equal(workers_new("upload", 2, 4, &s->uploaders, &err), 0);
    assert_int_equal(journal_open(fix.state, &s->journal, &err), 0);
    s->object_env = (struct object_env){
        .upload = {.store = s->store,
                   .blocks = s->blocks,
                   .uploaders = s->uploaders,
                   .journal = s->journal,
                   .part_max = plan_part_max(64 * MIB)},
        .pack = {.blocks = s->blocks,
                 .packers = s->packers,
                 .packer_count = 1,
                 .level = 1,
                 .head_bytes = MIB},
        .recipients = &fix.recipient,
        .recipient_count = 1,
    };
    struct tree_conf tree = {
        .store = s->store, .fetchers = 2, .refresh_ms = 1, .memory_bytes = MIB};
    assert_int_equal(tree_new(&tree, &s->tree, &err), 0);
    struct writers_conf writers = {.object = &s->object_env, .store = s->store};
    assert_int_equal(writers_new(&writers, &s->writers, &err), 0);
    assert_int_equal(nodes_new(&s->nodes, &err), 0);
    assert_int_equal(recents_new(&s->recents, &err), 0);
    assert_int_equal(protect_new(&s->protect, &err), 0);
    assert_int_equal(claims_new(&s->claims, &err), 0);
    assert_int_equal(status_new(&s->status, &err), 0);
    assert_int_equal(mtimes_new(s, 3600 * 1000, &s->mtimes, &err), 0);
}

// Without a last word: as a daemon that dies, but for its memory.
static void close_stack(struct stack *s)
{
    mtimes_free(s->mtimes, 0);
    writers_free(s->writers);
    tree_free(s->tree);
    nodes_free(s->nodes);
    recents_free(s->recents);
    protect_free(s->protect);
    claims_free(s->claims);
    status_free(s->status);
    workers_free(s->packers);
    workers_free(s->uploaders);
    blocks_free(s->blocks);
    journal_close(s->journal);
    store_free(s->store);
    *s = (struct stack){0};
}

static int set_up(void **state)
{
    (void)state;
    struct err err;
    memset(&fix, 0, sizeof(fix));
    if (temp_dir_make(&fix.dir) < 0)
        return -1;
    snprintf(fix.state, sizeof(fix.state), "%s/state", fix.dir.path);
    fix.conf.protect.on = true;
    fix.conf.protect.grace_ms = 3600 * 1000;
    fix.conf.limits.memory_bytes = 64 * MIB;
    struct identity *identity;
    assert_int_equal(identity_generate(&identity, &err), 0);
    identity_recipient(identity, &fix.recipient);
    identity_free(identity);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    temp_dir_remove(&fix.dir);
    return 0;
}

// A store of its own for each try.
static void begin(void)
{
    snprintf(fix.objects, sizeof(fix.objects), "%s/objects%u", fix.dir.path, fix.made++);
    assert_int_equal(mkdir(fix.objects, 0700), 0);
    assert_int_equal(store_dir_new(fix.objects, &fix.files, NULL), 0);
    open_stack(&fix.stack);
}

static void end(void)
{
    close_stack(&fix.stack);
    store_free(fix.files);
}

struct payload {
    uint8_t nonce[SEAL_NONCE_BYTES];
};

static struct payload put(const char *path, const char *text)
{
    struct stack *s = &fix.stack;
    struct object_writer *w;
    struct object_info info;
    struct object_key key;
    struct payload out;
    struct store_cond cond = {.if_absent = true};
    assert_int_equal(object_create(&s->object_env, path, &cond, NULL, &w, NULL), 0);
    assert_int_equal(packer_write(object_writer_packer(w), text, strlen(text), NULL), 0);
    struct timespec now = s->store->ops->now(s->store);
    struct object_times times = {.mtime = now, .committed = now};
    assert_int_equal(object_writer_commit(w, &times, &info, NULL), 0);
    object_writer_key(w, &key);
    object_writer_free(w);
    recents_put(s->recents, path, info.stat.etag, &key, (struct timespec){0}, now);
    tree_committed(s->tree, path, &info);
    memcpy(out.nonce, key.nonce, sizeof(out.nonce));
    return out;
}

static bool holds(const char *path, const struct payload *p)
{
    struct payload found;
    struct object_info info;
    int rc = rewrite_nonce(fix.files, path, found.nonce, &info, NULL);
    assert_true(rc == 0 || rc == -ENOENT);
    return rc == 0 && memcmp(found.nonce, p->nonce, sizeof(found.nonce)) == 0;
}

static bool is_there(const char *path)
{
    struct payload found;
    struct object_info info;
    return rewrite_nonce(fix.files, path, found.nonce, &info, NULL) == 0;
}

static int settle(void *ctx, const struct journal_move *move, struct err *err)
{
    return rename_recover(ctx, move, err);
}

// The daemon is gone, the store is well; the next mount comes.
static void remount(void)
{
    unsigned aborted = 0;
    struct err err = {0};
    close_stack(&fix.stack);
    if (journal_recover(fix.state, fix.files, &aborted, &err) != 0 ||
        journal_recover_moves(fix.state, fix.files, settle, fix.files, &err) != 0)
        fail_msg("%s", err.text);
    open_stack(&fix.stack);
}

static void no_uploads(void)
{
    assert_int_equal(uploads_below(fix.files, ""), 0);
}

static bool sees(const char *path)
{
    struct tree_stat stat;
    return tree_lookup(fix.stack.tree, path, &stat, NULL) == 0;
}

// --- Files ---

static void file_round(const struct fault *fault, bool over)
{
    struct payload a, b = {{0}};
    begin();
    a = put(DAY "/a", "content of a");
    if (over)
        b = put(DAY "/b", "what is replaced");
    struct err err = {0};
    fault_store_set(fix.stack.store, fault);
    int rc = rename_path(&fix.stack, DAY "/a", DAY "/b", 0, &err);
    fault_store_set(fix.stack.store, &(struct fault){0});
    bool old = holds(DAY "/a", &a), new = holds(DAY "/b", &a);
    if (rc == 0) {
        assert_true(new && !is_there(DAY "/a"));
        assert_true(sees(DAY "/b") && !sees(DAY "/a"));
    } else {
        assert_true(*err.text);
        assert_true(old || new); // never lost
        if (!fault->forever) {
            assert_true(old);
            assert_true(over || !new);
        }
    }
    remount();
    old = holds(DAY "/a", &a);
    new = holds(DAY "/b", &a);
    assert_true(rc == 0 ? new && !old : old != new || (over && old));
    if (over && !new)
        assert_true(holds(DAY "/b", &b));
    if (!over && !new)
        assert_false(is_there(DAY "/b"));
    no_uploads();
    end();
}

// Every request of a rename goes wrong once, or from then on.
// `step`: of those that go on failing.
static void rounds(void (*one)(const struct fault *, bool), bool flag, unsigned most, unsigned step)
{
    static const enum fault_kind kinds[] = {FAULT_FAIL, FAULT_LOST};
    for (unsigned k = 0; k < 2; k++)
        for (int forever = 0; forever < 2; forever++)
            for (unsigned nth = 1; nth <= most; nth += forever ? step : 1)
                one(&(struct fault){.op = FAULT_ANY,
                                    .kind = kinds[k],
                                    .nth = nth,
                                    .forever = forever,
                                    .code = EIO},
                    flag);
}

static unsigned requests(void)
{
    return fault_store_calls(fix.stack.store, FAULT_ANY);
}

static void every_request_of_a_file(void **state)
{
    (void)state;
    begin();
    put(DAY "/a", "a");
    unsigned before = requests();
    assert_int_equal(rename_path(&fix.stack, DAY "/a", DAY "/b", 0, NULL), 0);
    unsigned count = requests() - before;
    end();
    assert_in_range(count, 4, 12);
    rounds(file_round, false, count + 3, 1);
}

static void every_request_of_a_replaced_file(void **state)
{
    (void)state;
    rounds(file_round, true, 14, 1);
}

// --- Directories ---

static void dir_round(const struct fault *fault, bool flag)
{
    (void)flag;
    struct payload p[FILES];
    char from[FILES][64], to[FILES][64], text[32];
    begin();
    for (int i = 0; i < FILES; i++) {
        snprintf(from[i], sizeof(from[i]), DAY "/p/%s%d", i % 2 ? "sub/" : "", i);
        snprintf(to[i], sizeof(to[i]), DAY "/q/%s%d", i % 2 ? "sub/" : "", i);
        snprintf(text, sizeof(text), "file %d", i);
        p[i] = put(from[i], text);
    }
    struct err err = {0};
    fault_store_set(fix.stack.store, fault);
    int rc = rename_path(&fix.stack, DAY "/p", DAY "/q", 0, &err);
    fault_store_set(fix.stack.store, &(struct fault){0});
    for (int pass = 0; pass < 2; pass++) {
        int old = 0, new = 0;
        for (int i = 0; i < FILES; i++) {
            bool is_old = holds(from[i], &p[i]), is_new = holds(to[i], &p[i]);
            assert_true(is_old || is_new);
            old += is_old;
            new += is_new;
            if (rc == 0)
                assert_true(sees(to[i]) && !sees(from[i]));
        }
        if (rc == 0)
            assert_true(old == 0 && new == FILES);
        else if (pass > 0 || !fault->forever) // all old, or all new
            assert_true((old == FILES && new == 0) || (old == 0 && new == FILES));
        remount();
    }
    no_uploads();
    end();
}

static void every_request_of_a_directory(void **state)
{
    (void)state;
    rounds(dir_round, false, 40, 4);
}

// --- Two mounts ---

static void *rename_it(void *arg)
{
    struct err *err = arg;
    rename_path(&fix.stack, DAY "/a", DAY "/b", 0, err);
    return NULL;
}

// Another mount's copy is there first: who goes on with it would remove the old one, and the other mount, if it fails, the
// copy.
static void somebody_elses_copy_is_not_ours(void **state)
{
    (void)state;
    begin();
    struct payload a = put(DAY "/a", "content of a");
    struct tree_stat stat;
    assert_int_equal(tree_lookup_now(fix.stack.tree, DAY "/a", &stat, NULL), 0);
    struct object_key key;
    assert_true(recents_get(fix.stack.recents, DAY "/a", stat.info.stat.etag, &key));
    struct err err = {0};
    pthread_t thread;
    fault_store_hold(fix.stack.store, FAULT_PUT);
    assert_int_equal(pthread_create(&thread, NULL, rename_it, &err), 0);
    fault_store_wait_held(fix.stack.store, 1);

    struct object_env other = fix.stack.object_env;
    other.upload.store = fix.files;
    struct object_change change = {.to = DAY "/b", .cond = {.if_absent = true}};
    struct object_info copy;
    assert_int_equal(
        object_rewrite(&other, DAY "/a", stat.info.stat.etag, &key, &change, &copy, NULL), 0);
    fault_store_release(fix.stack.store);
    pthread_join(thread, NULL);
    assert_int_equal(err.code, EEXIST);
    assert_true(holds(DAY "/a", &a));
    // it fails, and takes its copy back
    assert_int_equal(rewrite_remove(fix.files, DAY "/b", copy.stat.etag, NULL), 0);
    remount();
    assert_true(holds(DAY "/a", &a));
    end();
}

// --- What stands in the way ---

static void claimed_paths_wait_or_are_busy(void **state)
{
    (void)state;
    struct claims *claims;
    assert_int_equal(claims_new(&claims, NULL), 0);
    struct claim dir = {.path = "h/d/p", .other = "h/d/q", .is_long = true};
    assert_int_equal(claims_take(claims, &dir, NULL), 0);
    static const char *const busy[] = {"h/d/p", "h/d/p/x/y", "h/d", "h/d/q/a"};
    for (size_t i = 0; i < sizeof(busy) / sizeof(*busy); i++) {
        struct claim c = {.path = busy[i]};
        assert_int_equal(claims_take(claims, &c, NULL), -EBUSY);
    }
    struct claim near = {.path = "h/d/p.sql", .other = "h/d/pq"};
    assert_int_equal(claims_take(claims, &near, NULL), 0);
    claims_drop(claims, &dir);
    struct claim again = {.path = "h/d/p/x", .is_long = true};
    assert_int_equal(claims_take(claims, &again, NULL), 0);
    claims_drop(claims, &near);
    claims_drop(claims, &again);
    claims_free(claims);
}

static void too_many_files_for_the_memory(void **state)
{
    (void)state;
    begin();
    char path[64];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), DAY "/p/%d", i);
        put(path, "x");
    }
    fix.conf.limits.memory_bytes = (uint64_t)2 * 1024 * 4;
    assert_int_equal(rename_path(&fix.stack, DAY "/p", DAY "/q", 0, NULL), -EFBIG);
    fix.conf.limits.memory_bytes = 64 * MIB;
    assert_int_equal(rename_path(&fix.stack, DAY "/p", DAY "/q", 0, NULL), 0);
    end();
}

// A time that waits goes with the rename, or stays with the old name.
static void a_pending_time(void **state)
{
    (void)state;
    begin();
    struct stack *s = &fix.stack;
    put(DAY "/a", "a");
    struct tree_stat stat;
    struct timespec mtime = {.tv_sec = 1500000000, .tv_nsec = 5}, shown;
    assert_int_equal(tree_lookup(s->tree, DAY "/a", &stat, NULL), 0);
    mtimes_set(s->mtimes, DAY "/a", &stat.info, mtime);
    assert_true(mtimes_look(s->mtimes, DAY "/a", stat.info.stat.etag, &shown));
    fault_store_set(s->store, &(struct fault){.op = FAULT_PUT, .nth = 1, .code = EIO});
    assert_int_equal(rename_path(s, DAY "/a", DAY "/b", 0, NULL), -EIO);
    assert_true(mtimes_look(s->mtimes, DAY "/a", stat.info.stat.etag, &shown));
    assert_int_equal(shown.tv_sec, mtime.tv_sec);
    assert_int_equal(rename_path(s, DAY "/a", DAY "/b", 0, NULL), 0);
    assert_false(mtimes_look(s->mtimes, DAY "/a", stat.info.stat.etag, &shown));
    struct timespec committed = stat.info.header.record.committed;
    assert_int_equal(tree_lookup_now(s->tree, DAY "/b", &stat, NULL), 0);
    assert_int_equal(stat.info.header.record.mtime.tv_sec, mtime.tv_sec);
    assert_int_equal(stat.info.header.record.mtime.tv_nsec, mtime.tv_nsec);
    assert_int_equal(stat.info.header.record.committed.tv_sec, committed.tv_sec);
    end();
}

// A dead daemon's move touches nothing that is not provably a copy.
static void recovery_lets_others_be(void **state)
{
    (void)state;
    begin();
    struct payload a = put(DAY "/p/1", "a"), b = put(DAY "/q/1", "b"), c = put(DAY "/q/2", "c");
    static const struct journal_move moves[] = {
        {.kind = JOURNAL_MOVE_DIR, .from = DAY "/p", .to = DAY "/q"},
        {.kind = JOURNAL_MOVE_DIR, .copied = true, .from = DAY "/p", .to = DAY "/q"},
        {.kind = JOURNAL_MOVE_OVER, .from = DAY "/p/1", .to = DAY "/q/1"},
        {.kind = JOURNAL_MOVE_FILE, .copied = true, .from = DAY "/q/2", .to = DAY "/q/none"},
        {.kind = JOURNAL_MOVE_FILE, .from = DAY "/p/none", .to = DAY "/q/2"},
    };
    for (size_t i = 0; i < sizeof(moves) / sizeof(*moves); i++)
        assert_int_equal(rename_recover(fix.files, &moves[i], NULL), 0);
    assert_true(holds(DAY "/p/1", &a) && holds(DAY "/q/1", &b) && holds(DAY "/q/2", &c));
    end();
}

int main(void)
{
#define RENAME_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        RENAME_TEST(every_request_of_a_file),       RENAME_TEST(every_request_of_a_replaced_file),
        RENAME_TEST(every_request_of_a_directory),  RENAME_TEST(claimed_paths_wait_or_are_busy),
        RENAME_TEST(too_many_files_for_the_memory), RENAME_TEST(a_pending_time),
        RENAME_TEST(recovery_lets_others_be),       RENAME_TEST(somebody_elses_copy_is_not_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
