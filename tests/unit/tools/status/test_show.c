// Whatever a name is, the page, the metrics and the JSON stay what they are.
#include "tools/status/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char odd[] = "a<b>&\"c'\\\xc3\xb6\xff";

static char *shown(void (*show)(FILE *, const struct status *, const struct status_look *))
{
    struct backup backup = {.host = (char[]){"db1"},
                            .date = (char[]){"2026-11-22"},
                            .partition = odd,
                            .dump = odd,
                            .when = 1795317300,
                            .finished = true,
                            .size = 100};
    struct status_note note = {.level = STATUS_BAD, .text = odd, .type = odd};
    struct status_partition p = {.host = (char[]){"db1"},
                                 .partition = odd,
                                 .list = &backup,
                                 .count = 1,
                                 .good = 1,
                                 .newest = &backup,
                                 .level = STATUS_BAD,
                                 .notes = {.list = &note, .count = 1}};
    struct status_look *look = calloc(1, sizeof(*look));
    struct status s = {.now = 1795320000,
                       .point = "/mnt/bak",
                       .partitions = &p,
                       .count = 1,
                       .level = STATUS_BAD,
                       .bad = 1,
                       .verdict = odd};
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(look);
    assert_non_null(out);
    show(out, &s, look);
    assert_int_equal(fclose(out), 0);
    free(look);
    return text;
}

static void html(FILE *out, const struct status *s, const struct status_look *look)
{
    status_show_html(out, s, look, 30);
}

static void json(FILE *out, const struct status *s, const struct status_look *look)
{
    (void)look;
    status_show_json(out, s, 3);
}

static void text(FILE *out, const struct status *s, const struct status_look *look)
{
    (void)look;
    status_show_text(out, s);
    status_show_text_notes(out, s, STATUS_WARN);
}

static void the_page(void **state)
{
    (void)state;
    char *page = shown(html);
    assert_non_null(strstr(page, "<h1>a&#60;b&#62;&#38;&#34;c&#39;\\\xc3\xb6&#xfffd;</h1>"));
    assert_null(strstr(page, "a<b>"));
    assert_null(strchr(page, '\xff'));
    assert_non_null(strstr(page, "A good backup on 1 of 1 days"));
    free(page);
}

static void the_metrics(void **state)
{
    (void)state;
    char *page = shown(status_show_metrics);
    assert_non_null(
        strstr(page, "bakfs_backup_size_bytes{host=\"db1\",partition=\"a<b>&\\\"c'\\\\\xc3\xb6"
                     "\xef\xbf\xbd\"} 100\n"));
    assert_non_null(strstr(page, "bakfs_backup_timestamp_seconds{host=\"db1\",partition="));
    assert_non_null(strstr(page, "} 1795317300\n"));
    assert_null(strstr(page, "recovery_seconds{")); // not known: no such line
    free(page);
}

static void the_json(void **state)
{
    (void)state;
    char *page = shown(json);
    assert_non_null(strstr(page, "\"verdict\": \"a<b>&\\\"c'\\\\\xc3\xb6\\ufffd\""));
    assert_non_null(strstr(page,
                           "\"history\": {\"2026-11-20\": \"none\", \"2026-11-21\": \"none\", "
                           "\"2026-11-22\": \"good\"}"));
    assert_non_null(strstr(page, "\"recovery_ms\": null"));
    free(page);
}

static void the_text(void **state)
{
    (void)state;
    char *page = shown(text);
    assert_non_null(strstr(page, "2026-11-22 03:15 UTC"));
    free(page);
}

static void words(void **state)
{
    (void)state;
    char out[32];
    static const struct {
        uint64_t value;
        const char *span;
    } cases[] = {{0, "0 s"},
                 {999, "16 min"},
                 {86400, "1 day"},
                 {1000000, "11 days"},
                 {UINT64_MAX, "213503982334601 days"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        status_span_text(cases[i].value, out);
        assert_string_equal(out, cases[i].span);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page), cmocka_unit_test(the_metrics), cmocka_unit_test(the_json),
        cmocka_unit_test(the_text), cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
