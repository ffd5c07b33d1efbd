#include "tests/unit/fs/tree_fixture.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t clock_ms(void *ctx)
{
    return ((struct fixture *)ctx)->now_ms;
}

int fixture_begin(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct store *dir = NULL;
    if (!f)
        return -1;
    // thousands of small files: in memory where there is such a place
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(f->root, sizeof(f->root), "%s/test_tree.XXXXXX", base);
    snprintf(f->state, sizeof(f->state), "%s/test_state.XXXXXX", base);
    if (!mkdtemp(f->root) || !mkdtemp(f->state) || store_dir_new(f->root, &dir, NULL))
        return -1;
    f->store = count_store_new(dir);
    f->now_ms = 1000000;
    f->conf = (struct tree_conf){
        .store = &f->store->store,
        .state_dir = f->state,
        .fetchers = 32,
        .refresh_ms = 5000,
        .memory_bytes = 32 << 20,
        .clock_ms = clock_ms,
        .clock_ctx = f,
    };
    *state = f;
    return tree_new(&f->conf, &f->tree, NULL);
}

static int drop(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

int fixture_end(void **state)
{
    struct fixture *f = *state;
    tree_free(f->tree);
    store_free(&f->store->store);
    nftw(f->root, drop, 16, FTW_DEPTH | FTW_PHYS);
    nftw(f->state, drop, 16, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

void fixture_reopen(struct fixture *f)
{
    tree_free(f->tree);
    f->tree = NULL;
    assert_int_equal(tree_new(&f->conf, &f->tree, NULL), 0);
}

void fixture_counts_reset(struct fixture *f)
{
    f->store->heads = f->store->gets = f->store->lists = f->store->others = 0;
}

static void make_dirs(struct fixture *f, char *path)
{
    for (char *slash = path + strlen(f->root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        if (mkdir(path, 0700) && errno != EEXIST)
            fail_msg("mkdir %s", path);
        *slash = '/';
    }
}

void put_raw(struct fixture *f, const char *key, const char *bytes)
{
    char path[STORE_KEY_BYTES + 64];
    snprintf(path, sizeof(path), "%s/%s", f->root, key);
    FILE *file = fopen(path, "wx");
    if (!file && errno == EEXIST)
        remove(path); // a new inode, so a new ETag
    else if (!file)
        make_dirs(f, path);
    if (!file)
        file = fopen(path, "wx");
    assert_non_null(file);
    assert_true(fputs(bytes, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

void put_again(struct fixture *f, const char *from, const char *path)
{
    char old[STORE_KEY_BYTES + 64], new[STORE_KEY_BYTES + 64];
    snprintf(old, sizeof(old), "%s/%s" OBJECT_SUFFIX, f->root, from);
    snprintf(new, sizeof(new), "%s/%s" OBJECT_SUFFIX, f->root, path);
    if (link(old, new) == 0)
        return;
    make_dirs(f, new);
    assert_int_equal(link(old, new), 0);
}

void put_object(struct fixture *f, const char *path, uint64_t size, uint32_t flags,
                time_t committed)
{
    char key[STORE_KEY_BYTES + 1], header[1024], when[32];
    struct tm tm;
    gmtime_r(&committed, &tm);
    strftime(when, sizeof(when), "%Y%m%dT%H%M%S.000000000Z", &tm);
    snprintf(key, sizeof(key), "%s" OBJECT_SUFFIX, path);
    // who cannot open it cannot check the MAC: any will do for a listing
    snprintf(header, sizeof(header),
             "age-encryption.org/v1\n"
             "-> bakfs/v1 %020llu 20260101T000000.000000000Z %s %08x "
             "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\n"
             "-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
             "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
             "--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
             (unsigned long long)size, when, flags);
    put_raw(f, key, header);
}

void drop_object(struct fixture *f, const char *path)
{
    char key[STORE_KEY_BYTES + 1];
    snprintf(key, sizeof(key), "%s" OBJECT_SUFFIX, path);
    struct store *inner = f->store->inner;
    assert_int_equal(inner->ops->remove(inner, key, NULL, NULL), 0);
}

struct object_info info_of(struct fixture *f, const char *path)
{
    char key[STORE_KEY_BYTES + 1];
    struct object_info info;
    snprintf(key, sizeof(key), "%s" OBJECT_SUFFIX, path);
    assert_int_equal(object_probe(f->store->inner, key, NULL, &info, NULL), 0);
    return info;
}

int lookup(struct fixture *f, const char *path, struct tree_stat *out)
{
    struct tree_stat own;
    struct err err = {0};
    int rc = tree_lookup(f->tree, path, out ? out : &own, &err);
    assert_int_equal(err.code, -rc);
    return rc;
}

const char *names_in(struct fixture *f, const char *path)
{
    static char text[4096];
    struct tree_list *list = NULL;
    struct err err = {0};
    int rc = tree_read_dir(f->tree, path, &list, &err);
    if (rc == -ENOENT)
        return "-ENOENT";
    if (rc)
        fail_msg("%s", err.text);
    char *p = text;
    *p = '\0';
    for (size_t i = 0; i < list->count; i++)
        p += snprintf(p, sizeof(text) - (size_t)(p - text), "%s%s%s", i ? " " : "",
                      list->names[i].name, list->names[i].kind == TREE_DIR ? "/" : "");
    tree_list_free(list);
    return text;
}

unsigned find_all(struct fixture *f, const char *path)
{
    struct tree_list *list = NULL;
    unsigned files = 0;
    assert_int_equal(tree_read_dir(f->tree, path, &list, NULL), 0);
    for (size_t i = 0; i < list->count; i++) {
        char below[STORE_KEY_BYTES + 1];
        snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", list->names[i].name);
        files += list->names[i].kind == TREE_DIR ? find_all(f, below) : 1;
    }
    tree_list_free(list);
    return files;
}
