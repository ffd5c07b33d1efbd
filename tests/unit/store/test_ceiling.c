// The part plan as the upload sink walks it, up to the largest object, over a store that keeps no bytes.
//     test_ceiling         small ceilings, every way of reaching them
//     test_ceiling whole   all 10,000 parts of a daemon with 64 MiB: 118 GiB pass through memory
#include "backend/base/num.h"
#include "backend/base/scope.h"
#include "backend/store/plan.h"
#include "backend/store/upload.h"
#include "tests/support/sim_store.h"
#include "tests/support/uploads.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct rig {
    struct store *store;
    struct blocks *blocks;
    struct workers *uploaders;
    struct upload_env env;
    uint64_t ceiling; // of the objects that `open` begins
};

static void rig_begin(struct rig *r, unsigned parts_max, uint64_t memory_bytes)
{
    struct blocks_conf conf = {.memory_bytes = memory_bytes};
    assert_int_equal(sim_store_new(parts_max, &r->store), 0);
    assert_int_equal(blocks_new(&conf, &r->blocks, NULL), 0);
    assert_int_equal(workers_new("upload", 2, 2, &r->uploaders, NULL), 0);
    r->env = (struct upload_env){.store = r->store,
                                 .blocks = r->blocks,
                                 .uploaders = r->uploaders,
                                 .part_max = plan_part_max(memory_bytes)};
}

static void rig_end(struct rig *r)
{
    assert_int_equal(uploads_below(r->store, ""), 0);
    workers_free(r->uploaders);
    blocks_free(r->blocks);
    store_free(r->store);
}

// An object that is as large as can be.
static struct sink *fill(struct rig *r, uint64_t front)
{
    struct sink *sink;
    struct err err = {0};
    auto_free uint8_t *bytes = calloc(1, MIB);
    assert_non_null(bytes);
    r->ceiling = front;
    for (unsigned n = front ? 2 : 1; n <= r->store->limits.parts_max; n++)
        r->ceiling += plan_part_bytes(r->env.part_max, n);
    assert_int_equal(upload_sink_new(&r->env, "k", NULL, NULL, &sink, &err), 0);
    if (front)
        assert_int_equal(sink_open_front(sink, front, &err), 0);
    for (uint64_t at = front; at < r->ceiling;) {
        size_t n = min_u64(MIB, r->ceiling - at);
        if (sink_write(sink, bytes, n, &err) != 0)
            fail_msg("at %llu of %llu: %s", (unsigned long long)at, (unsigned long long)r->ceiling,
                     err.text);
        at += n;
    }
    return sink;
}

static void commits(struct rig *r, struct sink *sink, uint64_t front)
{
    struct err err = {0};
    struct store_stat stat;
    auto_free uint8_t *bytes = calloc(1, MIB);
    assert_non_null(bytes);
    for (uint64_t at = 0; at < front; at += MIB)
        assert_int_equal(sink_write_front(sink, bytes, MIB, &err), 0);
    if (sink_commit(sink, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(upload_sink_stat(sink)->size, r->ceiling);
    assert_int_equal(upload_sink_acked(sink), r->ceiling);
    assert_int_equal(r->store->ops->head(r->store, "k", &stat, NULL), 0);
    assert_int_equal(stat.size, r->ceiling);
    sink_free(sink);
}

static void one_byte_more(struct sink *sink, const char *ceiling)
{
    struct err err = {0};
    for (int i = 0; i < 2; i++) { // and it stays so
        assert_int_equal(sink_write(sink, "x", 1, &err), -EFBIG);
        assert_non_null(strstr(err.text, "[limits] memory"));
        if (!strstr(err.text, ceiling))
            fail_msg("no %s in: %s", ceiling, err.text);
    }
    sink_free(sink);
}

static void test_small(void **state)
{
    (void)state;
    const struct {
        unsigned parts_max;
        uint64_t memory_bytes, front;
        const char *ceiling;
    } cases[] = {
        {3, 0, 0, "24 MiB"},
        {3, 0, 5 * MIB, "21 MiB"},
        {1, 256 * MIB, 0, "8 MiB"},
        {210, 256 * MIB, 0, "1680 MiB"}, // a little into the parts that grow
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig r;
        rig_begin(&r, cases[i].parts_max, cases[i].memory_bytes);
        commits(&r, fill(&r, cases[i].front), cases[i].front);
        one_byte_more(fill(&r, cases[i].front), cases[i].ceiling);
        rig_end(&r);
    }
}

static void test_whole(void **state)
{
    (void)state;
    struct rig r;
    rig_begin(&r, PLAN_PARTS, 64 * MIB);
    struct sink *sink = fill(&r, 0);
    assert_int_equal(r.ceiling, plan_object_max(16 * MIB));
    assert_int_equal(r.ceiling / GIB, 118);
    one_byte_more(sink, "118 GiB");
    commits(&r, fill(&r, 0), 0); // all 10,000 parts in one complete
    rig_end(&r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest small[] = {cmocka_unit_test(test_small)};
    const struct CMUnitTest whole[] = {cmocka_unit_test(test_whole)};
    if (argc > 1 && strcmp(argv[1], "whole") == 0)
        return cmocka_run_group_tests(whole, NULL, NULL);
    return cmocka_run_group_tests(small, NULL, NULL);
}
