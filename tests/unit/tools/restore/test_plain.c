// What is taken out of a plain dump, and what only looks like it.
#include "tools/restore/plain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ENTRY(name, type)                                                                          \
    "--\n-- Name: " name "; Type: " type "; Schema: public; Owner: app\n--\n\n"

struct taken {
    char *text;
    size_t len;
};

static int take_all(void *ctx, const char *data, size_t len, struct err *err)
{
    (void)err;
    struct taken *t = ctx;
    t->text = realloc(t->text, t->len + len + 1);
    assert_non_null(t->text);
    memcpy(t->text + t->len, data, len);
    t->len += len;
    t->text[t->len] = '\0';
    return 0;
}

static void check_in_pieces(const struct plain_options *options, const char *text, size_t piece,
                            const char *expected)
{
    struct taken t = {.text = NULL};
    struct plain *p = plain_new(options, take_all, &t);
    assert_non_null(p);
    size_t len = strlen(text);
    for (size_t at = 0; at < len; at += piece)
        assert_int_equal(plain_pass(p, text + at, len - at < piece ? len - at : piece, NULL), 0);
    assert_int_equal(plain_end(p, NULL), 0);
    plain_free(p);
    assert_string_equal(t.text ? t.text : "", expected);
    free(t.text);
}

static void check(const struct plain_options *options, const char *text, const char *expected)
{
    check_in_pieces(options, text, 1, expected);
    check_in_pieces(options, text, 7, expected);
    check_in_pieces(options, text, SIZE_MAX / 2, expected);
}

static const struct plain_options nothing, all = {true, true, true, true};

static void owners(void **state)
{
    (void)state;
    static const char text[] = ENTRY(
        "t", "TABLE") "CREATE TABLE public.t (a int);\n\n\n"
                      "ALTER TABLE public.t OWNER TO app;\n\nALTER TABLE public.t CLUSTER ON i;\n";
    check(&nothing, text, text);
    check(
        &all, text,
        ENTRY(
            "t",
            "TABLE") "CREATE TABLE public.t (a int);\n\n\n\nALTER TABLE public.t CLUSTER ON i;\n");
    check(&(struct plain_options){.no_privileges = true}, text, text);
}

static void data_is_no_statement(void **state)
{
    (void)state;
    static const char text[] =
        "--\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: app\n--\n\n"
        "COPY public.t (a) FROM stdin;\n"
        "ALTER TABLE public.t OWNER TO app;\n"
        "--\n-- Name: x; Type: ACL; Schema: public; Owner: app\n--\n"
        "SET default_tablespace = '';\nlast\n\\.\n\n\n";
    check(&all, text, text);
}

// pg_dump --inserts: what looks like a statement, or an entry, may stand in a row.
static void rows_of_inserts_are_no_statements(void **state)
{
    (void)state;
    static const char text[] =
        ENTRY("it's", "TABLE DATA") "INSERT INTO public.\"it's\" VALUES (1, 'it''s\n"
                                    "ALTER TABLE public.t OWNER TO app;\n"
                                    "COPY public.t (a) FROM stdin;\n"
                                    "--\n-- Name: x; Type: ACL; Schema: public; Owner: app\n--\n"
                                    "\"end');\n"
                                    "INSERT INTO public.\"it's\" VALUES (2, 'more');\n\n";
    check(&all, text, text);
    static const char behind[] = ENTRY("t", "TABLE") "CREATE TABLE public.t (a text DEFAULT 'a\n"
                                                     "b''');\n\n\n";
    char whole[sizeof(text) + sizeof(behind) + 100], less[sizeof(whole)];
    snprintf(whole, sizeof(whole), "%s%sALTER TABLE public.t OWNER TO app;\n\n", text, behind);
    snprintf(less, sizeof(less), "%s%s\n", text, behind);
    check(&all, whole, less);
}

static void bodies_are_no_statements(void **state)
{
    (void)state;
    static const char text[] =
        ENTRY("f()", "FUNCTION") "CREATE FUNCTION public.f() RETURNS void\n    LANGUAGE plpgsql\n  "
                                 "  AS $_$\nBEGIN\n"
                                 "ALTER TABLE public.t OWNER TO app;\n"
                                 "--\n-- Name: x; Type: ACL; Schema: public; Owner: app\n--\n"
                                 "COPY t FROM stdin;\n execute $$x$1$$; END\n$_$;\n\n\n";
    check(&all, text, text);
    static const char owner[] = "ALTER FUNCTION public.f() OWNER TO app;\n";
    char with[2048];
    snprintf(with, sizeof(with), "%s%s", text, owner);
    check(&all, with, text);
    static const char comment[] = ENTRY(
        "t", "COMMENT") "COMMENT ON TABLE public.t IS 'x\nALTER TABLE public.t OWNER TO app;\n';\n";
    check(&all, comment, comment);
}

static void entries(void **state)
{
    (void)state;
    static const char head[] =
        "SET default_tablespace = '';\n" ENTRY("t", "TABLE") "CREATE TABLE t (a int);\n\n";
    static const char acl[] = ENTRY("TABLE t", "ACL") "GRANT ALL ON TABLE t TO other;\n\n";
    static const char trigger[] =
        ENTRY("e", "EVENT TRIGGER") "CREATE EVENT TRIGGER e ON ddl_command_start\n   EXECUTE "
                                    "FUNCTION f();\n\n";
    static const char tail[] =
        ENTRY("odd; Type: ACL; x", "TABLE") "CREATE TABLE odd (a int);\n\n-- end";
    char text[4096];
    snprintf(text, sizeof(text), "%s%s%s%s", head, acl, trigger, tail);
    check(&nothing, text, text);
    struct taken t = {.text = NULL};
    struct plain *p = plain_new(&all, take_all, &t);
    assert_int_equal(plain_pass(p, text, strlen(text), NULL), 0);
    assert_int_equal(plain_end(p, NULL), 0);
    plain_free(p);
    assert_null(strstr(t.text, "GRANT"));
    assert_null(strstr(t.text, "EVENT"));
    assert_null(strstr(t.text, "EXECUTE"));
    assert_null(strstr(t.text, "tablespace"));
    assert_non_null(strstr(t.text, "CREATE TABLE t (a int);"));
    assert_non_null(strstr(t.text, "CREATE TABLE odd (a int);"));
    assert_non_null(strstr(t.text, "-- end"));
    free(t.text);
}

static void long_lines(void **state)
{
    (void)state;
    size_t len = 1 << 20;
    char *text = malloc(len + 64), *expected;
    assert_non_null(text);
    memset(text, 'x', len);
    strcpy(text + len, "\nALTER TABLE t OWNER TO app;\nend\n");
    memcpy(text, "ALTER ", 6);
    expected = strdup(text);
    strcpy(expected + len, "\nend\n");
    check_in_pieces(&all, text, 4096, expected);
    check_in_pieces(&all, text, SIZE_MAX / 2, expected);
    free(expected);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners),
        cmocka_unit_test(data_is_no_statement),
        cmocka_unit_test(rows_of_inserts_are_no_statements),
        cmocka_unit_test(bodies_are_no_statements),
        cmocka_unit_test(entries),
        cmocka_unit_test(long_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
