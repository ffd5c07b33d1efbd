// Judging dumps by their ends: what the tools write, whole and cut at every byte.
#include "backend/base/num.h"
#include "backend/complete.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// pg_dump 15.18
#define KEY "76TApbmhFA4GYhpCnn7Xb0ax6TOGXqzoccPo7pHYcKnS3yCeA3MzF6lE7YCNeff"
#define PG_HEAD "--\n-- PostgreSQL database dump\n--\n\n"
#define PG_VERSIONS                                                                                \
    "-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)\n"                             \
    "-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)\n\n"
#define PG_SETS "SET statement_timeout = 0;\nSET lock_timeout = 0;\n"
#define PG_COPY "\nCOPY public.t (i, x) FROM stdin;\n1\tx\n\\.\n\n\n"
#define PG_END "--\n-- PostgreSQL database dump complete\n--\n\n"
#define PG_OLD PG_HEAD PG_VERSIONS PG_SETS PG_COPY PG_END
#define PG_NEW                                                                                     \
    PG_HEAD "\\restrict " KEY "\n\n" PG_VERSIONS PG_SETS PG_COPY PG_END "\\unrestrict " KEY "\n\n"
#define PG_VERBOSE                                                                                 \
    PG_HEAD "\\restrict " KEY "\n\n" PG_VERSIONS                                                   \
            "-- Started on 2026-11-22 13:47:42 UTC\n\n" PG_SETS PG_COPY                            \
            "-- Completed on 2026-11-22 13:47:42 UTC\n\n" PG_END "\\unrestrict " KEY "\n\n"
// pg_dumpall
#define ALL_HEAD "--\n-- PostgreSQL database cluster dump\n--\n\n"
#define ALL_ROLES                                                                                  \
    "SET default_transaction_read_only = off;\n\n--\n-- Roles\n--\n\nCREATE ROLE postgres;\n\n"
#define ALL_DATABASE(name) "--\n-- Database \"" name "\" dump\n--\n\n\\connect " name "\n\n"
#define ALL_END "--\n-- PostgreSQL database cluster dump complete\n--\n\n"
#define ALL_OLD ALL_HEAD ALL_ROLES ALL_DATABASE("a") PG_OLD ALL_DATABASE("b") PG_OLD ALL_END
#define ALL_NEW                                                                                    \
    ALL_HEAD "\\restrict " KEY "\n\n" ALL_ROLES "\\unrestrict " KEY "\n\n" ALL_DATABASE("a")       \
        PG_NEW ALL_DATABASE("b") PG_NEW ALL_END
#define ALL_VERBOSE                                                                                \
    ALL_HEAD "-- Started on 2026-11-22 13:47:43 UTC\n\n\\restrict " KEY "\n\n" ALL_ROLES PG_NEW    \
             "-- Completed on 2026-11-22 13:47:43 UTC\n\n" ALL_END
#define ALL_GLOBALS                                                                                \
    ALL_HEAD "\\restrict " KEY "\n\n" ALL_ROLES                                                    \
             "--\n-- User Configurations\n--\n\n\n\n\n\n\n\n\n\\unrestrict " KEY "\n\n" ALL_END
// mysqldump 8.0, mariadb-dump 10.11, with their dates padded
#define MY_HEAD                                                                                    \
    "-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)\n--\n"                                \
    "-- Host: localhost    Database: orders\n"                                                     \
    "-- ------------------------------------------------------\n-- Server version\t8.0.36\n\n"
#define MY_BODY                                                                                    \
    "DROP TABLE IF EXISTS `t`;\nINSERT INTO `t` VALUES (1,'x');\nUNLOCK TABLES;\n"                 \
    "/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n\n"
#define MY_END "-- Dump completed on 2026-11-22  3:15:00\n"
#define MARIA_HEAD                                                                                 \
    "-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)\n--\n"          \
    "-- Host: localhost    Database: orders\n"                                                     \
    "-- ------------------------------------------------------\n-- Server version\t10.11.6\n\n"
#define SANDBOX "/*M!999999\\- enable the sandbox mode */ \n"

static const struct {
    const char *text;
    const char *first; // what alone is whole too, if it holds several
} whole[] = {
    {PG_OLD, NULL},
    {PG_NEW, NULL},
    {PG_VERBOSE, NULL},
    {ALL_OLD, NULL},
    {ALL_NEW, NULL},
    {ALL_VERBOSE, NULL},
    {ALL_GLOBALS, NULL},
    {MY_HEAD MY_BODY MY_END, NULL},
    {MY_HEAD MY_BODY "-- Dump completed\n", NULL}, // --skip-dump-date
    {MARIA_HEAD MY_BODY "-- Dump completed on 2026-11-22 13:15:00\n", NULL},
    {SANDBOX MARIA_HEAD MY_BODY MY_END, NULL},
    {"\xEF\xBB\xBF" PG_OLD, NULL},
    {PG_OLD PG_OLD, PG_OLD}, // one behind the other
    {PG_NEW PG_NEW, PG_NEW},
    {PG_NEW ALL_GLOBALS, PG_NEW},
    {PG_OLD "\n", PG_OLD},
};
#define WHOLE (sizeof(whole) / sizeof(*whole))

// With windows of exactly the size that is promised.
static enum seal_complete judge(const char *bytes, size_t len)
{
    size_t first = min_u64(len, COMPLETE_FIRST_BYTES), last = min_u64(len, COMPLETE_LAST_BYTES);
    // on the heap, so that a sanitizer sees a step beyond
    char *head = malloc(first + 1), *tail = malloc(last + 1);
    assert_true(head && tail);
    memcpy(head, bytes, first);
    memcpy(tail, bytes + len - last, last);
    head = realloc(head, first ? first : 1);
    tail = realloc(tail, last ? last : 1);
    enum seal_complete said = complete_judge(len, head, first, tail, last);
    // more than promised must not change it, unless all of the file is seen as its end
    if (len > COMPLETE_LAST_BYTES)
        assert_int_equal(complete_judge(len, bytes, len, tail, last), said);
    free(head);
    free(tail);
    return said;
}

static char *with_crlf(const char *text)
{
    char *out = malloc(2 * strlen(text) + 1), *at = out;
    assert_non_null(out);
    for (; *text; text++) {
        if (*text == '\n')
            *at++ = '\r';
        *at++ = *text;
    }
    *at = '\0';
    return out;
}

// The same with so much data in it that both windows see only their part.
static char *with_data(const char *text)
{
    static const char row[] = "INSERT INTO t VALUES (17, 'three');\n";
    size_t rows = 300;
    const char *middle = strstr(text, "\nCOPY");
    middle = middle ? middle + 1 : strstr(text, "\nDROP");
    middle = middle ? middle + (*middle == '\n') : strstr(text, "CREATE ROLE");
    assert_non_null(middle);
    char *out = malloc(strlen(text) + rows * strlen(row) + 1), *at = out;
    assert_non_null(out);
    memcpy(at, text, (size_t)(middle - text));
    at += middle - text;
    for (size_t i = 0; i < rows; i++, at += strlen(row))
        memcpy(at, row, strlen(row));
    strcpy(at, middle);
    return out;
}

static void check_cuts(const char *text, const char *first)
{
    size_t len = strlen(text);
    assert_int_equal(judge(text, len), SEAL_COMPLETE_YES);
    for (size_t cut = 0; cut < len; cut++) {
        bool may_be_whole = first && cut == strlen(first);
        enum seal_complete said = judge(text, cut);
        if (may_be_whole ? said != SEAL_COMPLETE_YES : said == SEAL_COMPLETE_YES)
            fail_msg("cut at %zu of %zu: %d: %s", cut, len, (int)said, text);
        // Known by its head, and no mark was reached: cut, beyond doubt.
        if (cut > 200 && !memmem(text, cut, "omplete", 7))
            assert_int_equal(said, SEAL_COMPLETE_NO);
    }
}

static void what_the_tools_write_whole_and_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < WHOLE; i++) {
        const char *first = whole[i].first;
        char *crlf = with_crlf(whole[i].text), *first_crlf = with_crlf(first ? first : "");
        char *big = with_data(whole[i].text), *big_crlf = with_crlf(big);
        check_cuts(whole[i].text, first);
        check_cuts(crlf, first ? first_crlf : NULL);
        assert_int_equal(judge(big, strlen(big)), SEAL_COMPLETE_YES);
        assert_int_equal(judge(big_crlf, strlen(big_crlf)), SEAL_COMPLETE_YES);
        for (size_t cut = 4200; cut < 10000; cut += 97)
            assert_int_equal(judge(big, cut), SEAL_COMPLETE_NO);
        free(crlf);
        free(first_crlf);
        free(big);
        free(big_crlf);
    }
}

static void edges(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum seal_complete want;
    } cases[] = {
        {"", SEAL_COMPLETE_NO},
        {"x", SEAL_COMPLETE_UNKNOWN},
        {"\n", SEAL_COMPLETE_UNKNOWN},
        {"PGDMP\001\016", SEAL_COMPLETE_UNKNOWN},
        {"CREATE TABLE t ();\n", SEAL_COMPLETE_UNKNOWN},
        {PG_END, SEAL_COMPLETE_UNKNOWN}, // an end without a head
        {MY_END, SEAL_COMPLETE_UNKNOWN},
        {SANDBOX, SEAL_COMPLETE_UNKNOWN},
        {"--\n", SEAL_COMPLETE_UNKNOWN},
        {"--\n-- PostgreSQL database dump\n", SEAL_COMPLETE_UNKNOWN},
        {PG_HEAD, SEAL_COMPLETE_NO},
        {MY_HEAD, SEAL_COMPLETE_NO},
        {"-- PostgreSQL database dump\n" PG_END, SEAL_COMPLETE_UNKNOWN},
        // the mark without its last line end, or with words behind it
        {PG_HEAD PG_SETS "--\n-- PostgreSQL database dump complete\n--\n", SEAL_COMPLETE_UNKNOWN},
        {PG_HEAD PG_SETS "--\n-- PostgreSQL database dump complete\n", SEAL_COMPLETE_UNKNOWN},
        {PG_OLD "ANALYZE;\n", SEAL_COMPLETE_UNKNOWN},
        {MY_HEAD MY_BODY MY_END "-- by cron\n", SEAL_COMPLETE_UNKNOWN},
        {MY_HEAD MY_BODY "-- Dump completed on 2026-11-22", SEAL_COMPLETE_NO},
        {MY_HEAD MY_BODY "-- Dump completed on a Sunday, yes\n", SEAL_COMPLETE_UNKNOWN},
        // restricted, and the key is not taken back
        {PG_HEAD "\\restrict " KEY "\n\n" PG_SETS PG_COPY PG_END, SEAL_COMPLETE_UNKNOWN},
        // a row that looks like the mark: escaped keys tell
        {PG_HEAD "\\restrict " KEY "\n\n" PG_SETS "COPY t (x) FROM stdin;\n" PG_END,
         SEAL_COMPLETE_UNKNOWN},
        {PG_HEAD PG_SETS "COPY t (x) FROM stdin;\n-- PostgreSQL database dump complete\nabc\n",
         SEAL_COMPLETE_UNKNOWN},
        // stopped between two databases, or globals and one database
        {ALL_HEAD ALL_ROLES ALL_DATABASE("a") PG_OLD, SEAL_COMPLETE_UNKNOWN},
        {ALL_GLOBALS PG_NEW, SEAL_COMPLETE_UNKNOWN},
        {ALL_HEAD ALL_ROLES ALL_DATABASE("a") PG_OLD ALL_DATABASE("b"), SEAL_COMPLETE_NO},
        {ALL_HEAD ALL_ROLES ALL_DATABASE("a") PG_OLD ALL_DATABASE("b") PG_HEAD, SEAL_COMPLETE_NO},
        // the second dump of two is cut
        {PG_OLD PG_HEAD PG_SETS, SEAL_COMPLETE_NO},
        {MY_HEAD MY_BODY MY_END MARIA_HEAD MY_BODY, SEAL_COMPLETE_NO},
        // the other family's words say nothing
        {PG_HEAD PG_SETS MY_END, SEAL_COMPLETE_NO},
        {MY_HEAD MY_BODY PG_END, SEAL_COMPLETE_NO},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (judge(cases[i].text, strlen(cases[i].text)) != cases[i].want)
            fail_msg("case %zu: %d", i, (int)judge(cases[i].text, strlen(cases[i].text)));
    assert_int_equal(judge("PGDMP\0\0\0", 8), SEAL_COMPLETE_UNKNOWN);
}

// The mark has to be seen however its window falls.
static void windows_at_every_place(void **state)
{
    (void)state;
    static const char tail[] = PG_END "\\unrestrict " KEY "\n\n";
    char text[8192];
    for (size_t filler = 4000; filler < 4000 + 2 * COMPLETE_LAST_BYTES; filler += 7) {
        strcpy(text, PG_HEAD "\\restrict " KEY "\n\n" PG_SETS);
        size_t len = strlen(text);
        memset(text + len, 'x', filler); // one long line
        text[len + filler] = '\n';
        strcpy(text + len + filler + 1, tail);
        len = strlen(text);
        assert_int_equal(judge(text, len), SEAL_COMPLETE_YES);
        assert_int_equal(judge(text, len - strlen(tail)), SEAL_COMPLETE_NO);
    }
}

static void empty_files_of_a_data_directory(void **state)
{
    (void)state;
    assert_true(complete_may_be_empty("db1/2026-11-22/cluster/base/5/2619"));
    assert_true(complete_may_be_empty("db1/2026-11-22/cluster/base/2619"));
    assert_true(complete_may_be_empty("db1/2026-11-22/cluster/standby.signal"));
    assert_false(complete_may_be_empty("db1/2026-11-22/cluster/orders.sql"));
    assert_false(complete_may_be_empty("db1/2026-11-22/cluster/.signal.sql"));
    assert_false(complete_may_be_empty("db1/2026-11-22/orders.sql"));
    assert_false(complete_may_be_empty("db1/2026-11-22/orders.signal"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_tools_write_whole_and_cut),
        cmocka_unit_test(edges),
        cmocka_unit_test(windows_at_every_place),
        cmocka_unit_test(empty_files_of_a_data_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
