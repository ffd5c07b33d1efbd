// What only the directory store has to fear; what all stores have to do is in tests/contract.
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/dir.h"
#include "tests/support/pattern.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <cmocka.h>

struct rig {
    struct temp_dir dir;
    char path[300], outside[300];
    struct store *store;
};

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    if (!r || temp_dir_make(&r->dir) < 0)
        return -1;
    snprintf(r->path, sizeof(r->path), "%s/objects", r->dir.path);
    snprintf(r->outside, sizeof(r->outside), "%s/outside", r->dir.path);
    if (mkdir(r->path, 0700) < 0 || mkdir(r->outside, 0700) < 0 ||
        store_dir_new(r->path, &r->store, NULL) < 0)
        return -1;
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    store_free(r->store);
    temp_dir_remove(&r->dir);
    free(r);
    return 0;
}

static int put(struct rig *r, const char *key, struct err *err)
{
    struct pattern_source body = pattern_source(1, 0, 100);
    return r->store->ops->put(r->store, key, &body.source, NULL, NULL, err);
}

static int head(struct rig *r, const char *key)
{
    struct store_stat stat;
    return r->store->ops->head(r->store, key, &stat, NULL);
}

static const char *path_of(const struct rig *r, const char *name)
{
    static char path[2048];
    snprintf(path, sizeof(path), "%s/%s", r->path, name);
    return path;
}

static bool exists(const struct rig *r, const char *name)
{
    struct stat st;
    return lstat(path_of(r, name), &st) == 0;
}

static void make_file(const char *path)
{
    auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "secret", 6), 6);
}

static int count_entry(void *ctx, const struct store_entry *entry)
{
    (void)entry;
    ++*(unsigned *)ctx;
    return 0;
}

static unsigned count(struct rig *r, const char *prefix, bool fold)
{
    unsigned n = 0;
    bool more;
    struct err err;
    int rc = r->store->ops->list(r->store, prefix, NULL, fold, 1000, count_entry, &n, &more, &err);
    if (rc != 0)
        fail_msg("%s", err.text);
    return n;
}

// --- Tests ---

static void test_new(void **state)
{
    struct rig *r = *state;
    struct store *store = NULL;
    struct err err;
    assert_int_equal(store_dir_new("/nonexistent/bakfs", &store, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/bakfs"));
    make_file(path_of(r, "file"));
    assert_int_equal(store_dir_new(path_of(r, "file"), &store, &err), -ENOTDIR);
    assert_null(store);
    char expected[400];
    snprintf(expected, sizeof(expected), "dir:%s", r->path);
    assert_string_equal(r->store->id, expected);
    // the same store by another way has the same name: the journal goes by it
    snprintf(expected, sizeof(expected), "%s/../objects/.", r->outside);
    assert_int_equal(store_dir_new(expected, &store, NULL), 0);
    assert_string_equal(store->id, r->store->id);
    store_free(store);
}

static void test_impossible_keys(void **state)
{
    struct rig *r = *state;
    char wide[300], long_key[STORE_KEY_BYTES + 2];
    memset(wide, 'w', 256);
    memcpy(wide + 256, "/x", 3);
    memset(long_key, 'k', sizeof(long_key) - 1);
    for (size_t i = 200; i < sizeof(long_key) - 1; i += 200)
        long_key[i] = '/';
    long_key[sizeof(long_key) - 1] = '\0';
    const struct {
        const char *key;
        int code;
    } cases[] = {
        {"", EINVAL},
        {"/", EINVAL},
        {"/a", EINVAL},
        {"a/", EINVAL},
        {"a//b", EINVAL},
        {".", EINVAL},
        {"..", EINVAL},
        {"../outside/x", EINVAL},
        {"a/../b", EINVAL},
        {"a/./b", EINVAL},
        {"a/..", EINVAL},
        {".bakfs-tmp", EINVAL},
        {wide, ENAMETOOLONG},
        {long_key, ENAMETOOLONG},
        {".bakfs-tmp/x", EINVAL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        char id[STORE_UPLOAD_ID_BYTES];
        size_t len;
        unsigned n = 0;
        bool more;
        assert_int_equal(put(r, cases[i].key, &err), -cases[i].code);
        assert_true(strlen(err.text) > 0);
        assert_int_equal(r->store->ops->upload_begin(r->store, cases[i].key, id, NULL),
                         -cases[i].code);
        // no such object can be: that is no error of who asks
        assert_int_equal(head(r, cases[i].key), -ENOENT);
        assert_int_equal(
            r->store->ops->get(r->store, cases[i].key, NULL, 0, 1, &more, &len, NULL, NULL),
            -ENOENT);
        assert_int_equal(r->store->ops->remove(r->store, cases[i].key, NULL, NULL), 0);
        assert_int_equal(r->store->ops->list(r->store, cases[i].key, NULL, false, 10, count_entry,
                                             &n, &more, NULL),
                         0);
        assert_int_equal(n, 0);
    }
    assert_int_equal(count(r, "", false), 0);
}

static void test_longest_key(void **state)
{
    struct rig *r = *state;
    char key[STORE_KEY_BYTES + 1];
    memset(key, 'k', STORE_KEY_BYTES);
    key[STORE_KEY_BYTES] = '\0';
    for (size_t i = 255; i < STORE_KEY_BYTES - 1; i += 256)
        key[i] = '/'; // components of 255 bytes
    key[STORE_KEY_BYTES - 2] = '/';
    assert_int_equal(put(r, key, NULL), 0);
    assert_int_equal(head(r, key), 0);
    assert_int_equal(count(r, "", false), 1);
    assert_int_equal(r->store->ops->remove(r->store, key, NULL, NULL), 0);
    assert_int_equal(count(r, "", false), 0);
}

static void test_links_and_others(void **state)
{
    struct rig *r = *state;
    char secret[400];
    snprintf(secret, sizeof(secret), "%s/secret", r->outside);
    make_file(secret);
    assert_int_equal(symlink(secret, path_of(r, "link")), 0);
    assert_int_equal(symlink(r->outside, path_of(r, "linked")), 0);
    assert_int_equal(mkfifo(path_of(r, "fifo"), 0600), 0);
    assert_int_equal(mkdir(path_of(r, "directory"), 0700), 0);
    const char *const keys[] = {"link", "linked", "linked/secret", "fifo", "directory"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_int_equal(head(r, keys[i]), -ENOENT);
        assert_int_equal(r->store->ops->remove(r->store, keys[i], NULL, NULL), 0);
    }
    assert_int_equal(put(r, "linked/new", NULL), -ENOTDIR);
    assert_int_equal(count(r, "", false), 0);
    assert_int_equal(count(r, "", true), 0);
    assert_int_equal(count(r, "linked/", false), 0);
    assert_int_equal(access(secret, F_OK), 0);
    assert_true(exists(r, "link"));
    assert_true(exists(r, "directory"));
    // an object takes a link's place; where it led to is untouched
    assert_int_equal(put(r, "link", NULL), 0);
    struct stat st;
    assert_int_equal(stat(secret, &st), 0);
    assert_int_equal(st.st_size, 6);
    assert_int_equal(head(r, "link"), 0);
}

static void test_directory_in_the_way(void **state)
{
    struct rig *r = *state;
    struct err err;
    struct pattern_source body = pattern_source(1, 0, 1);
    struct store_cond absent = {.if_absent = true};
    assert_int_equal(put(r, "a/b", NULL), 0);
    assert_int_equal(put(r, "a", &err), -EISDIR);
    assert_non_null(strstr(err.text, "'a'"));
    assert_int_equal(r->store->ops->put(r->store, "a", &body.source, &absent, NULL, NULL), -EISDIR);
    assert_int_equal(put(r, "a/b/c", &err), -ENOTDIR);
    assert_int_equal(head(r, "a/b/c"), -ENOENT);
    assert_int_equal(head(r, "a/b"), 0);
    assert_int_equal(count(r, "", false), 1);
}

static unsigned temporaries(const struct rig *r)
{
    unsigned n = 0;
    DIR *dir = opendir(path_of(r, ".bakfs-tmp"));
    for (const struct dirent *e; dir && (e = readdir(dir));)
        n += strchr(e->d_name, '.') != e->d_name && strcmp(e->d_name, "lock") != 0;
    if (dir)
        closedir(dir);
    return n;
}

static int broken_read(struct source *source, uint64_t off, void *out, size_t len, struct err *err)
{
    (void)source;
    (void)off;
    (void)out;
    (void)len;
    return err_set(err, EBADMSG, "broken");
}

static void test_nothing_stays(void **state)
{
    struct rig *r = *state;
    const struct source_ops ops = {.read_at = broken_read};
    struct source broken = {.ops = &ops, .size = 10};
    assert_int_equal(r->store->ops->put(r->store, "x/y", &broken, NULL, NULL, NULL), -EBADMSG);
    assert_int_equal(put(r, "d/e", NULL), 0);
    assert_int_equal(put(r, "d", NULL), -EISDIR);
    assert_int_equal(r->store->ops->copy(r->store, "d/e", NULL, "d", NULL, NULL), -EISDIR);
    assert_int_equal(temporaries(r), 0);
    assert_int_equal(count(r, "", false), 1);
}

static void test_empty_directories_go(void **state)
{
    struct rig *r = *state;
    assert_int_equal(put(r, "h/d/p/one", NULL), 0);
    assert_int_equal(put(r, "h/d/two", NULL), 0);
    assert_int_equal(r->store->ops->remove(r->store, "h/d/p/one", NULL, NULL), 0);
    assert_false(exists(r, "h/d/p"));
    assert_true(exists(r, "h/d/two"));
    assert_int_equal(r->store->ops->remove(r->store, "h/d/two", NULL, NULL), 0);
    assert_false(exists(r, "h"));
    assert_true(exists(r, ".bakfs-tmp"));
    // an empty one that somebody made is no prefix
    assert_int_equal(mkdir(path_of(r, "empty"), 0700), 0);
    assert_int_equal(mkdir(path_of(r, "empty/inside"), 0700), 0);
    assert_int_equal(count(r, "", true), 0);
}

struct turns {
    struct rig *rig;
    const char *key;
    int rc;
};

static void *put_and_remove(void *ctx)
{
    struct turns *t = ctx;
    for (int i = 0; i < 50 && t->rc == 0; i++) {
        t->rc = put(t->rig, t->key, NULL);
        if (t->rc == 0)
            t->rc = head(t->rig, t->key);
        if (t->rc == 0)
            t->rc = t->rig->store->ops->remove(t->rig->store, t->key, NULL, NULL);
    }
    return NULL;
}

// Directories are made and removed under each other's hands.
static void test_making_and_removing(void **state)
{
    struct turns turns[3] = {{*state, "h/d/one", 0}, {*state, "h/d/two", 0}, {*state, "h/x", 0}};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_and_remove, &turns[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(turns[i].rc, 0);
    assert_int_equal(count(*state, "", false), 0);
}

static void test_conditional_remove(void **state)
{
    struct rig *r = *state;
    struct store_stat old, now;
    assert_int_equal(put(r, "f", NULL), 0);
    assert_int_equal(r->store->ops->head(r->store, "f", &old, NULL), 0);
    assert_int_equal(put(r, "f", NULL), 0);
    assert_int_equal(r->store->ops->head(r->store, "f", &now, NULL), 0);
    assert_int_equal(r->store->ops->remove(r->store, "f", old.etag, NULL), -ESTALE);
    assert_int_equal(head(r, "f"), 0);
    assert_int_equal(r->store->ops->remove(r->store, "f", now.etag, NULL), 0);
    assert_int_equal(head(r, "f"), -ENOENT);
}

// An upload is known by its link alone, so that a kill between two steps leaves nothing that cannot be listed.
static void test_killed_between(void **state)
{
    struct rig *r = *state;
    char id[STORE_UPLOAD_ID_BYTES], part[64];
    unsigned n = 0;
    bool more;
    assert_int_equal(r->store->ops->upload_begin(r->store, "k", id, NULL), 0);
    snprintf(part, sizeof(part), ".bakfs-tmp/%.32s.part", id);
    assert_int_equal(unlink(path_of(r, part)), 0);
    struct pattern_source body = pattern_source(1, 0, 10);
    struct store_part out;
    assert_int_equal(r->store->ops->put_part(r->store, "k", id, 1, 0, &body.source, &out, NULL),
                     -ENOENT);
    assert_int_equal(temporaries(r), 1);
    assert_int_equal(r->store->ops->upload_abort(r->store, "k", id, NULL), 0);
    assert_int_equal(temporaries(r), 0);
    // another key's upload is not this one's
    assert_int_equal(r->store->ops->upload_begin(r->store, "k", id, NULL), 0);
    assert_int_equal(r->store->ops->upload_abort(r->store, "other", id, NULL), 0);
    assert_int_equal(temporaries(r), 2);
    assert_int_equal(r->store->ops->upload_abort(r->store, "k", "../../../etc", NULL), 0);
    assert_int_equal(
        r->store->ops->list(r->store, "", NULL, false, 10, count_entry, &n, &more, NULL), 0);
    assert_int_equal(n, 0);
}

static void test_bad_completes(void **state)
{
    struct rig *r = *state;
    struct store *s = r->store;
    char id[STORE_UPLOAD_ID_BYTES];
    struct store_part parts[3], wrong[3];
    assert_int_equal(s->ops->upload_begin(s, "k", id, NULL), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct pattern_source body = pattern_source(1, i * 1000, 1000);
        assert_int_equal(
            s->ops->put_part(s, "k", id, i + 1, i * 1000, &body.source, &parts[i], NULL), 0);
    }
    // one missing in the middle, at the end, none at all, out of order, other sizes
    memcpy(wrong, parts, sizeof(parts));
    wrong[1] = parts[2];
    assert_int_equal(s->ops->upload_complete(s, "k", id, wrong, 2, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(s->ops->upload_complete(s, "k", id, parts, 2, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(s->ops->upload_complete(s, "k", id, parts, 0, NULL, NULL, NULL), -EINVAL);
    wrong[2] = parts[1];
    assert_int_equal(s->ops->upload_complete(s, "k", id, wrong, 3, NULL, NULL, NULL), -EINVAL);
    memcpy(wrong, parts, sizeof(parts));
    wrong[0].size = 999;
    assert_int_equal(s->ops->upload_complete(s, "k", id, wrong, 3, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(head(r, "k"), -ENOENT);
    assert_int_equal(s->ops->upload_complete(s, "k", id, parts, 3, NULL, NULL, NULL), 0);
    assert_int_equal(head(r, "k"), 0);
    assert_int_equal(temporaries(r), 0);
}

static void test_dead_puts(void **state)
{
    struct rig *r = *state;
    const char *const dead = ".bakfs-tmp/0123456789abcdef0123456789abcdef.put";
    const char *const living = ".bakfs-tmp/1123456789abcdef0123456789abcdef.put";
    assert_int_equal(put(r, "x", NULL), 0); // makes .bakfs-tmp
    make_file(path_of(r, dead));
    make_file(path_of(r, living));
    int fd = open(path_of(r, living), O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(r->store->ops->check(r->store, false, NULL), 0);
    assert_true(exists(r, dead));
    assert_int_equal(r->store->ops->check(r->store, true, NULL), 0);
    assert_false(exists(r, dead));
    assert_true(exists(r, living));
    close(fd);
    assert_int_equal(r->store->ops->check(r->store, true, NULL), 0);
    assert_false(exists(r, living));
}

static void test_deep_tree(void **state)
{
    struct rig *r = *state;
    char key[STORE_KEY_BYTES + 1];
    for (size_t i = 0; i < 510; i++)
        memcpy(key + 2 * i, "d/", 2);
    strcpy(key + 1020, "f");
    assert_int_equal(put(r, key, NULL), 0);
    assert_int_equal(count(r, "", false), 1);
    assert_int_equal(count(r, "d/d/", true), 1);
    assert_int_equal(r->store->ops->remove(r->store, key, NULL, NULL), 0);
    assert_false(exists(r, "d"));
}

// Generations within one tick of the kernel's clock have ETags of their own.
static void test_etags_differ(void **state)
{
    enum { COUNT = 60 };
    struct rig *r = *state;
    static char etags[COUNT][STORE_ETAG_BYTES];
    for (int i = 0; i < COUNT; i++) {
        struct store_stat stat;
        struct pattern_source body = pattern_source(1, 0, 10);
        assert_int_equal(r->store->ops->put(r->store, "f", &body.source, NULL, &stat, NULL), 0);
        memcpy(etags[i], stat.etag, sizeof(etags[i]));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(etags[i], etags[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new, setup, teardown),
        cmocka_unit_test_setup_teardown(test_impossible_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_longest_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links_and_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory_in_the_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_directories_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_making_and_removing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conditional_remove, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_between, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_completes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dead_puts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deep_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_etags_differ, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
