// A notice as a mail: nothing gets out of its place, everything can be read.
#include "backend/base/scope.h"
#include "tools/notify/message.h"
#include "tools/notify/mime.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOON 1795348800 // 2026-11-22 12:00:00 UTC

static const struct message_context plain = {.host = "db1", .now = NOON, .count = 1, .since = NOON};

static struct message made(const struct notice *notice, const struct message_context *context)
{
    struct message m;
    struct err err = {0};
    if (message_make(notice, context, &m, &err) != 0)
        fail_msg("%s", err.text);
    return m;
}

static char *mail_of(const struct message *m)
{
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(message_mail(m, "a@b", "c@d, e", "1.2", &text, &len, NULL), 0);
    assert_int_equal(strlen(text), len);
    return text;
}

static void subjects(void **state)
{
    (void)state;
    struct notice notice = {
        .verb = "backup", .what = "orders", .summary = "pg_dump exited with 1", .body = "Next: x"};
    struct message m = made(&notice, &plain);
    assert_string_equal(m.subject, "FAIL bakfs backup orders on db1: pg_dump exited with 1");
    assert_string_equal(m.text,
                        "FAIL: bakfs backup orders on db1\n\npg_dump exited with 1\n\nNext: "
                        "x\n\nhost db1, 2026-11-22 12:00:00 UTC, bakfs " BAKFS_VERSION "\n");
    message_done(&m);

    notice.pass = true;
    notice.body = NULL;
    m = made(&notice, &plain);
    assert_string_equal(m.subject, "PASS bakfs backup orders on db1: pg_dump exited with 1");
    message_done(&m);

    struct message_context again = plain;
    again.again = true;
    again.count = 3;
    again.since = NOON - 86400;
    m = made(&notice, &again);
    assert_int_equal(strncmp(m.subject, "PASS again bakfs backup orders on db1: ", 39), 0);
    assert_non_null(strstr(m.text, "\nIt had failed 3 times since 2026-11-21 12:00:00 UTC.\n"));
    message_done(&m);

    notice.pass = false;
    again.told_daily = true;
    m = made(&notice, &again);
    assert_non_null(strstr(m.text, "\nThis has failed 3 times since 2026-11-21 12:00:00 UTC.\n"));
    assert_non_null(strstr(m.text, "told again after a day"));
    message_done(&m);
}

static void long_ones_are_cut(void **state)
{
    (void)state;
    char summary[1200];
    for (size_t i = 0; i < sizeof(summary) - 1; i++) // two bytes each: the cut must not part them
        summary[i] = i % 2 ? '\xa4' : '\xc3';
    summary[sizeof(summary) - 2] = 'x';
    summary[sizeof(summary) - 1] = '\0';
    struct message m = made(&(struct notice){.verb = "v", .what = "w", .summary = summary}, &plain);
    size_t len = strlen(m.subject);
    assert_true(len <= 203 && len > 190);
    assert_string_equal(m.subject + len - 3, "...");
    auto_free char *clean = mime_clean(m.subject, false);
    assert_string_equal(clean, m.subject);
    assert_non_null(strstr(m.text, "\xa4x\n")); // all of it stands in the text
    message_done(&m);
}

// A name of somebody else's making adds no header, no line, no order to a terminal.
static void nothing_is_injected(void **state)
{
    (void)state;
    static const struct notice notice = {
        .verb = "mount\r\nBcc: x@y",
        .what = "a\nSubject: PASS\r\n\r\nbody",
        .summary = "esc \x1b[31m del \x7f csi \xc2\x9b nul\x01 bad \xff over \xc0\xaf half \xc3",
        .body = "one\r\n.\r\ntwo\t\x1b]0;x\x07\n",
    };
    struct message m = made(&notice, &plain);
    auto_free char *mail = mail_of(&m);
    char *body = strstr(mail, "\r\n\r\n");
    assert_non_null(body);
    assert_null(strstr(mail, "\nBcc"));
    char *second = strstr(mail, "\r\nSubject:");
    assert_non_null(second);
    assert_null(strstr(second + 2, "\nSubject:"));
    for (const char *p = mail; *p; p++) {
        assert_true((unsigned char)*p >= 0x20 || *p == '\r' || *p == '\n' || *p == '\t');
        assert_true(*p != '\n' || (p > mail && p[-1] == '\r'));
        assert_true((unsigned char)*p < 0x7f);
    }
    assert_non_null(strstr(m.summary, "esc ?[31m del ? csi ? nul? bad ? over ?? half ?"));
    assert_string_equal(m.body, "one?\n.?\ntwo\t?]0;x?\n");
    message_done(&m);
}

// Reads encoded words and folding back. `out` has room.
static void decode_header(const char *from, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (; strncmp(from, "=?UTF-8?B?", 10) == 0; from += strspn(from, " \r\n")) {
        const char *end = strstr(from + 10, "?=");
        assert_non_null(end);
        assert_true(end + 2 - from <= 75);
        uint32_t bits = 0, count = 0;
        for (const char *p = from + 10; p < end && *p != '='; p++) {
            const char *digit = strchr(digits, *p);
            assert_non_null(digit);
            bits = bits << 6 | (uint32_t)(digit - digits);
            count += 6;
            if (count >= 8) {
                count -= 8;
                *out++ = (char)(bits >> count & 0xff);
            }
        }
        from = end + 2;
    }
    *out = '\0';
}

static char *header(const char *value)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    mime_header(out, "Subject", value);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(strncmp(text, "Subject: ", 9), 0);
    return text;
}

static void headers(void **state)
{
    (void)state;
    auto_free char *plain_one = header("FAIL bakfs");
    assert_string_equal(plain_one, "Subject: FAIL bakfs\r\n");
    static const char folded[] = "one two three four five six seven eight nine ten eleven twelve "
                                 "thirteen fourteen fifteen sixteen seventeen eighteen nineteen";
    auto_free char *long_one = header(folded);
    char joined[256] = "";
    for (char *p = long_one, *end; *p; p = end) {
        end = strstr(p, "\r\n");
        assert_non_null(end);
        assert_true(end - p <= 78);
        strncat(joined, p, (size_t)(end - p));
        end += 2;
        assert_true(*end == '\0' || *end == ' ');
    }
    assert_string_equal(joined + 9, folded);

    static const char *const encoded[] = {
        "Stra\xc3\x9f"
        "e \xe2\x82\xac \xf0\x9f\x90\x98",
        "looks like =?UTF-8?B?eA==?= one",
        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
        "\xc3"
        "\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
        "x\xc3\xa4\xc3\xa4\xc3\xa4"};
    for (size_t i = 0; i < sizeof(encoded) / sizeof(encoded[0]); i++) {
        auto_free char *text = header(encoded[i]);
        char back[512];
        decode_header(text + 9, back);
        assert_string_equal(back, encoded[i]);
    }
}

static void decode_quoted_printable(const char *from, char *out)
{
    size_t column = 0;
    for (; *from; from++) {
        if (*from == '\r') {
            assert_true(column <= 76);
            assert_true(column == 0 || (from[-1] != ' ' && from[-1] != '\t'));
            column = 0;
            continue;
        }
        column += *from != '\n';
        if (from[0] == '=' && from[1] == '\r') {
            from++; // a soft break
            from++;
            column = 0;
            continue;
        }
        unsigned code = 0;
        if (*from == '=') {
            assert_int_equal(sscanf(from + 1, "%2X", &code), 1);
            from += 2;
            column += 2;
        }
        *out++ = code ? (char)code : *from;
    }
    *out = '\0';
}

static void bodies(void **state)
{
    (void)state;
    char line[3000];
    memset(line, 'a', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    const char *const texts[] = {"plain = text \n.\n",
                                 "Gr\xc3\xbc\xc3\x9f"
                                 "e \n=3D\n\t\n.dot \t\nend ",
                                 line};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *text = NULL, back[4000];
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        assert_non_null(out);
        mime_body(out, texts[i]);
        assert_int_equal(fclose(out), 0);
        const char *body = strstr(text, "\r\n\r\n");
        assert_non_null(body);
        bool is_plain = strstr(text, "Encoding: 7bit") != NULL;
        assert_int_equal(is_plain, i == 0);
        if (is_plain)
            assert_string_equal(body + 4, "plain = text \r\n.\r\n");
        else
            decode_quoted_printable(body + 4, back);
        if (!is_plain)
            assert_string_equal(back, texts[i]);
        free(text);
    }
}

static void senders(void **state)
{
    (void)state;
    static const struct notice notice = {.verb = "v", .what = "w", .summary = "s"};
    static const char *const hosts[][2] = {{"db1.example.com", "bakfs@db1.example.com"},
                                           {"h>\r\nRCPT TO:<x", "bakfs@hRCPTTOx"},
                                           {"", "bakfs@localhost"},
                                           {"-.", "bakfs@localhost"}};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct message_context context = plain;
        context.host = hosts[i][0];
        struct message m = made(&notice, &context);
        auto_free char *made_up = message_sender(&m, ""), *given = message_sender(&m, "me@here");
        assert_string_equal(made_up, hosts[i][1]);
        assert_string_equal(given, "me@here");
        message_done(&m);
    }
}

static void dates(void **state)
{
    (void)state;
    setenv("TZ", "Asia/Kolkata", 1);
    tzset();
    struct message m = made(&(struct notice){.verb = "v", .what = "w", .summary = "s"}, &plain);
    auto_free char *mail = mail_of(&m);
    assert_int_equal(strncmp(mail, "Date: Sun, 22 Nov 2026 17:30:00 +0530\r\n", 39), 0);
    setenv("TZ", "America/New_York", 1);
    tzset();
    auto_free char *other = mail_of(&m);
    assert_int_equal(strncmp(other, "Date: Sun, 22 Nov 2026 07:00:00 -0500\r\n", 39), 0);
    assert_non_null(strstr(other, "\r\nMessage-ID: <1.2@db1>\r\n"));
    unsetenv("TZ");
    tzset();
    message_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subjects),
        cmocka_unit_test(long_ones_are_cut),
        cmocka_unit_test(nothing_is_injected),
        cmocka_unit_test(headers),
        cmocka_unit_test(bodies),
        cmocka_unit_test(senders),
        cmocka_unit_test(dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
