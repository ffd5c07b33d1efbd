// Attributes and errnos: what callers of the mount may see.
#include "fs/errmap.h"
#include "fs/xattr.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *value_of(const char *name, const struct xattr_facts *facts)
{
    static char value[XATTR_VALUE_BYTES];
    return xattr_value(xattr_find(name), facts, value) ? value : NULL;
}

static void a_stored_file_shows_all(void **state)
{
    (void)state;
    struct xattr_facts facts = {
        .path = "db1/2026-11-22/orders.sql",
        .is_file = true,
        .info = {.stat = {.size = 568, .etag = "e-1", .last_modified = {.tv_sec = 86400}},
                 .header = {.state = SEAL_OURS,
                            .len = 300,
                            .x25519_count = 2,
                            .record = {.flags = (uint32_t)SEAL_COMPLETE_NO
                                                << SEAL_FLAG_COMPLETE_SHIFT}}},
        .grace_until = {.tv_sec = 90000},
        .digest = {0xab, 0x01},
        .pid = 42,
    };
    assert_string_equal(value_of("user.bakfs.key", &facts), "db1/2026-11-22/orders.sql.zst.age");
    assert_string_equal(value_of("user.bakfs.state", &facts), "sealed");
    assert_string_equal(value_of("user.bakfs.stored_size", &facts), "568");
    assert_string_equal(value_of("user.bakfs.etag", &facts), "e-1");
    assert_string_equal(value_of("user.bakfs.last_modified", &facts), "1970-01-02T00:00:00Z");
    assert_string_equal(value_of("user.bakfs.recipients", &facts), "2");
    assert_string_equal(value_of("user.bakfs.complete", &facts), "no");
    assert_string_equal(value_of("user.bakfs.grace_until", &facts), "1970-01-02T01:00:00Z");
    assert_string_equal(value_of("user.bakfs.pid", &facts), "42");
    assert_memory_equal(value_of("user.bakfs.digest", &facts), "ab0100", 6);
    assert_int_equal(strlen(value_of("user.bakfs.digest", &facts)), 64);
}

static void what_is_not_known_is_not_there(void **state)
{
    (void)state;
    struct xattr_facts writing = {.path = "a/b/c", .is_file = true, .is_writing = true};
    assert_string_equal(value_of("user.bakfs.state", &writing), "writing");
    assert_null(value_of("user.bakfs.etag", &writing));
    struct xattr_facts failed = {.path = "a/b/c", .is_file = true, .is_failed = true};
    assert_string_equal(value_of("user.bakfs.state", &failed), "failed");
    struct xattr_facts foreign = {
        .path = "a/b/c", .is_file = true, .info = {.header = {.state = SEAL_FOREIGN}}};
    assert_string_equal(value_of("user.bakfs.state", &foreign), "unknown");
    assert_string_equal(value_of("user.bakfs.complete", &foreign), "unknown");
    assert_null(value_of("user.bakfs.grace_until", &foreign));
    struct xattr_facts directory = {.path = "a"};
    assert_null(value_of("user.bakfs.state", &directory));
    assert_non_null(value_of("user.bakfs.pid", &directory));
    assert_int_equal(xattr_find("user.other"), XATTR_NONE);
}

static void the_kernel_sees_no_odd_errno(void **state)
{
    (void)state;
    assert_int_equal(errmap(-ENOENT), ENOENT);
    assert_int_equal(errmap(-EACCES), EACCES);
    assert_int_equal(errmap(-ENOSPC), ENOSPC);
    assert_int_equal(errmap(-EBADMSG), EIO);
    assert_int_equal(errmap(-EUCLEAN), EIO);
    assert_int_equal(errmap(-EAGAIN), EIO);
    assert_int_equal(errmap(-12345), EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stored_file_shows_all),
        cmocka_unit_test(what_is_not_known_is_not_there),
        cmocka_unit_test(the_kernel_sees_no_odd_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
