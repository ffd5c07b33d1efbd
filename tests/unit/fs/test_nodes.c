#include "fs/nodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PATH "db1/2026-11-22/orders.sql"

static struct nodes *nodes;

static int set_up(void **state)
{
    (void)state;
    struct err err;
    return nodes_new(&nodes, &err);
}

static int tear_down(void **state)
{
    (void)state;
    nodes_free(nodes);
    return 0;
}

static struct tree_stat file_of(const char *etag)
{
    struct tree_stat stat = {.kind = TREE_FILE};
    snprintf(stat.info.stat.etag, sizeof(stat.info.stat.etag), "%s", etag);
    return stat;
}

static void one_inode_per_etag(void **state)
{
    (void)state;
    struct tree_stat a = file_of("a"), b = file_of("b");
    struct node *first = nodes_found(nodes, PATH, NODE_FILE, &a);
    assert_ptr_equal(nodes_found(nodes, PATH, NODE_FILE, &a), first);
    struct node *second = nodes_found(nodes, PATH, NODE_FILE, &b);
    assert_int_not_equal(first->ino, second->ino);
    assert_false(nodes_is_current(nodes, first));
    assert_true(nodes_is_current(nodes, second));
    // the old one lives while the kernel holds it
    assert_ptr_equal(nodes_by_ino(nodes, first->ino), first);
    assert_string_equal(nodes_stat(nodes, first).info.stat.etag, "a");
    uint64_t ino = first->ino;
    nodes_forget(nodes, ino, 1);
    assert_ptr_equal(nodes_by_ino(nodes, ino), first);
    nodes_forget(nodes, ino, 1);
    assert_null(nodes_by_ino(nodes, ino));
    assert_true(nodes_is_current(nodes, second));
}

static void a_file_of_our_own_keeps_its_inode(void **state)
{
    (void)state;
    struct tree_stat writing = {.kind = TREE_FILE}, stored = file_of("a");
    struct node *node = nodes_found(nodes, PATH, NODE_FILE, &writing);
    assert_ptr_equal(nodes_found(nodes, PATH, NODE_FILE, &writing), node);
    nodes_committed(nodes, PATH, NULL, 0, &stored);
    assert_ptr_equal(nodes_found(nodes, PATH, NODE_FILE, &stored), node);
    // not one that stands for something else
    struct tree_stat other = file_of("b");
    nodes_committed(nodes, PATH, NULL, 0, &other);
    assert_string_equal(nodes_stat(nodes, node).info.stat.etag, "a");
}

static void a_failed_overwrite_is_undone(void **state)
{
    (void)state;
    struct tree_stat writing = {.kind = TREE_FILE}, stored = file_of("a");
    struct node *node = nodes_found(nodes, PATH, NODE_FILE, &stored);
    assert_true(nodes_update(nodes, node, "a", &writing));
    nodes_given_up(nodes, PATH, NULL, 0);
    assert_true(nodes_is_current(nodes, node));
    assert_string_equal(nodes_stat(nodes, node).info.stat.etag, "a");
    nodes_given_up(nodes, PATH, NULL, 0); // nothing is being written
    assert_string_equal(nodes_stat(nodes, node).info.stat.etag, "a");

    struct node *created = nodes_found(nodes, "db1/2026-11-22/new", NODE_FILE, &writing);
    nodes_given_up(nodes, "db1/2026-11-22/new", NULL, 0);
    assert_false(nodes_is_current(nodes, created));
}

static void another_kind_is_another_inode(void **state)
{
    (void)state;
    struct tree_stat dir = {.kind = TREE_DIR}, file = file_of("a");
    uint64_t ino = nodes_found(nodes, PATH, NODE_DIR, &dir)->ino;
    assert_int_not_equal(nodes_found(nodes, PATH, NODE_FILE, &file)->ino, ino);
}

static void numbers_are_unlike_others(void **state)
{
    (void)state;
    struct tree_stat file = file_of("a");
    assert_true(nodes_found(nodes, PATH, NODE_FILE, &file)->ino > UINT32_MAX);
    assert_string_equal(nodes_by_ino(nodes, NODE_ROOT_INO)->path, "");
    nodes_forget(nodes, NODE_ROOT_INO, 5); // stays
    assert_non_null(nodes_by_ino(nodes, NODE_ROOT_INO));
    struct node *node = nodes_found(nodes, PATH, NODE_FILE, &file);
    nodes_detach(nodes, PATH, "other");
    assert_true(nodes_is_current(nodes, node));
    assert_false(nodes_update(nodes, node, "other", &file));
    struct tree_stat next = file_of("b");
    assert_true(nodes_update(nodes, node, "a", &next));
    nodes_detach(nodes, PATH, "b");
    assert_false(nodes_is_current(nodes, node));
    nodes_detach(nodes, "never/2026-11-22/seen", NULL);
}

static struct node *found(const char *path, enum node_kind kind, const char *etag)
{
    struct tree_stat stat = file_of(etag);
    if (kind == NODE_DIR)
        stat = (struct tree_stat){.kind = TREE_DIR};
    return nodes_found(nodes, path, kind, &stat);
}

static void a_renamed_file_keeps_its_inode(void **state)
{
    (void)state;
    struct node *node = found("h/d/a", NODE_FILE, "1"), *other = found("h/d/b", NODE_FILE, "2");
    const char *old_path = node->path;
    nodes_renamed(nodes, "h/d/a", "h/d/b");
    struct tree_stat now = file_of("3");
    nodes_rewritten(nodes, "h/d/b", "1", &now);
    assert_string_equal(node->path, "h/d/b");
    assert_string_equal(old_path, "h/d/a"); // who read it before may go on with it
    assert_true(nodes_is_current(nodes, node));
    assert_false(nodes_is_current(nodes, other));
    assert_ptr_equal(found("h/d/b", NODE_FILE, "3"), node);
    assert_ptr_not_equal(found("h/d/a", NODE_FILE, "1"), node);
}

static void what_is_below_a_renamed_directory_goes_along(void **state)
{
    (void)state;
    char path[64];
    struct node *files[100], *dir = found("h/d/p", NODE_DIR, ""), *near = NULL;
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "h/d/p/%d/f", i);
        files[i] = found(path, NODE_FILE, "e");
    }
    near = found("h/d/p.sql", NODE_FILE, "e");
    nodes_renamed(nodes, "h/d/p", "h/d/longer");
    assert_string_equal(dir->path, "h/d/longer");
    assert_string_equal(near->path, "h/d/p.sql");
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "h/d/longer/%d/f", i);
        assert_string_equal(files[i]->path, path);
        assert_ptr_equal(found(path, NODE_FILE, "e"), files[i]);
    }
    assert_ptr_not_equal(found("h/d/p", NODE_DIR, ""), dir);
}

static void a_rewritten_object_is_the_same_payload(void **state)
{
    (void)state;
    struct node *node = found(PATH, NODE_FILE, "1");
    struct tree_stat second = file_of("2"), third = file_of("3"), writing = {.kind = TREE_FILE};
    nodes_rewritten(nodes, PATH, "other", &third); // it went on meanwhile: nothing is done
    assert_true(nodes_is_payload(nodes, node, "1"));
    nodes_rewritten(nodes, PATH, "1", &second);
    assert_true(nodes_is_payload(nodes, node, "1"));
    assert_true(nodes_is_payload(nodes, node, "2"));
    assert_false(nodes_is_payload(nodes, node, "3"));
    assert_true(nodes_update(nodes, node, "2", &writing)); // overwritten
    assert_false(nodes_is_payload(nodes, node, "1"));
}

int main(void)
{
#define NODES_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        NODES_TEST(one_inode_per_etag),
        NODES_TEST(a_file_of_our_own_keeps_its_inode),
        NODES_TEST(a_failed_overwrite_is_undone),
        NODES_TEST(another_kind_is_another_inode),
        NODES_TEST(numbers_are_unlike_others),
        NODES_TEST(a_renamed_file_keeps_its_inode),
        NODES_TEST(what_is_below_a_renamed_directory_goes_along),
        NODES_TEST(a_rewritten_object_is_the_same_payload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
