// Keys from files and lists, and the files that are refused.
#include "conf/keys.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/bakfs-keys.XXXXXX";
static char path[64], public_key[64], secret_key[128];

static int make(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/key", dir);
    struct identity *identity = NULL;
    if (identity_generate(&identity, NULL) != 0)
        return -1;
    struct recipient recipient;
    identity_recipient(identity, &recipient);
    recipient_format(&recipient, public_key);
    struct secret *text = identity_format(identity);
    if (text)
        snprintf(secret_key, sizeof(secret_key), "%s", (const char *)text->bytes);
    secret_free(text);
    identity_free(identity);
    return *secret_key ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir);
}

static void put(const char *text, mode_t mode)
{
    unlink(path);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static struct conf conf_of(char *recipients, char *identity)
{
    return (struct conf){.seal = {.recipients = recipients, .identity = identity}};
}

static void recipients_of_list(void **state)
{
    (void)state;
    char list[256];
    struct recipient *found = NULL;
    size_t count = 0;
    struct err err = {0};
    snprintf(list, sizeof(list), "%s, %s", public_key, public_key);
    struct conf conf = conf_of(list, (char[]){""});
    assert_int_equal(keys_load_recipients(&conf, &found, &count, &err), 0);
    assert_int_equal(count, 2);
    char back[64];
    recipient_format(&found[1], back);
    assert_string_equal(back, public_key);
    free(found);
    found = NULL;

    list[10] = list[10] == 'q' ? 'p' : 'q'; // the checksum sees it
    assert_true(keys_load_recipients(&conf, &found, &count, &err) < 0);
    assert_non_null(strstr(err.text, "[seal] recipients: "));
    conf = conf_of((char[]){""}, (char[]){""});
    assert_int_equal(keys_load_recipients(&conf, &found, &count, &err), -EINVAL);
    assert_non_null(strstr(err.text, "no recipients"));
    conf = conf_of((char[]){","}, (char[]){""});
    assert_int_equal(keys_load_recipients(&conf, &found, &count, &err), -EINVAL);
    assert_int_equal(keys_load_recipients(&conf, &found, &count, NULL), -EINVAL);
    assert_null(found);
    assert_int_equal(count, 2); // untouched by failures
}

static void recipients_of_file(void **state)
{
    (void)state;
    char text[256];
    struct recipient *found = NULL;
    size_t count = 0;
    struct err err = {0};
    struct conf conf = conf_of(path, (char[]){""});
    snprintf(text, sizeof(text), "# mine\n\n%s\n", public_key);
    put(text, 0644);
    assert_int_equal(keys_load_recipients(&conf, &found, &count, &err), 0);
    assert_int_equal(count, 1);
    free(found);
    found = NULL;
    put("# nobody\n", 0644);
    assert_true(keys_load_recipients(&conf, &found, &count, &err) < 0);
    put(public_key, 0644);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(keys_load_recipients(&conf, &found, &count, &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
}

static void identities_of_file(void **state)
{
    (void)state;
    char text[256];
    struct identities found = {.count = 7};
    struct err err = {0};
    struct conf conf = conf_of((char[]){""}, (char[]){""});
    assert_int_equal(keys_load_identities(&conf, &found, &err), 0);
    assert_int_equal(found.count, 0);

    conf = conf_of((char[]){""}, path);
    snprintf(text, sizeof(text), "# created: now\n%s\n", secret_key);
    put(text, 0600);
    assert_int_equal(keys_load_identities(&conf, &found, &err), 0);
    assert_int_equal(found.count, 1);
    struct recipient recipient;
    char back[64];
    identity_recipient(found.list[0], &recipient);
    recipient_format(&recipient, back);
    assert_string_equal(back, public_key);
    identities_done(&found);
}

static void identities_refused(void **state)
{
    (void)state;
    struct identities found = {.count = 7};
    struct err err = {0};
    struct conf conf = conf_of((char[]){""}, path);
    unlink(path);
    assert_int_equal(keys_load_identities(&conf, &found, &err), -ENOENT);
    static const mode_t open_modes[] = {0640, 0604, 0660, 0610, 0601, 0644};
    for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
        put(secret_key, open_modes[i]);
        assert_int_equal(keys_load_identities(&conf, &found, &err), -EACCES);
        assert_non_null(strstr(err.text, "chmod 600"));
    }
    put("# none\n", 0600);
    assert_true(keys_load_identities(&conf, &found, &err) < 0);
    put("AGE-SECRET-KEY-1NONSENSE\n", 0600);
    assert_true(keys_load_identities(&conf, &found, &err) < 0);
    assert_null(strstr(err.text, "NONSENSE")); // a key that is nearly right is a secret
    assert_non_null(strstr(err.text, path));

    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); // must not wait for a writer
    assert_int_equal(keys_load_identities(&conf, &found, &err), -EINVAL);
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(keys_load_identities(&conf, &found, NULL), -EINVAL);
    assert_int_equal(found.count, 7);
}

static void too_long(void **state)
{
    (void)state;
    struct err err = {0};
    struct identities found;
    struct conf conf = conf_of((char[]){""}, path);
    char *text = malloc(65538);
    assert_non_null(text);
    memset(text, '#', 65537);
    text[65537] = '\0';
    put(text, 0600);
    assert_int_equal(keys_load_identities(&conf, &found, &err), -EFBIG);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recipients_of_list), cmocka_unit_test(recipients_of_file),
        cmocka_unit_test(identities_of_file), cmocka_unit_test(identities_refused),
        cmocka_unit_test(too_long),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
