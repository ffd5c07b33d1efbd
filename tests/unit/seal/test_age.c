// The stock age opens what we sealed, and we what it sealed.
#include "backend/base/num.h"
#include "tests/unit/seal/seal_fixture.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK ((size_t)SEAL_CHUNK_BYTES)
#define MOST (3 * CHUNK)

static const size_t sizes[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 99};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static uint8_t plain[MOST], back[MOST + 1];
static char dir[] = "/tmp/bakfs-age-XXXXXX";
static char key_file[64], in_file[64], out_file[64];

static void write_file(const char *name, const void *bytes, size_t len)
{
    FILE *file = fopen(name, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static size_t read_file(const char *name, void *out, size_t room)
{
    FILE *file = fopen(name, "re");
    assert_non_null(file);
    size_t len = fread(out, 1, room, file);
    fclose(file);
    return len;
}

// Runs age, input from in_file, output into out_file.
static void run_age(const char *const args[4])
{
    extern char **environ;
    const char *argv[] = {"age", args[0], args[1], args[2], args[3], NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, in_file, O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    union {
        const char *const *in;
        char *const *out;
    } unconst = {.in = argv}; // posix_spawnp does not change them
    pid_t pid;
    int rc = posix_spawnp(&pid, "age", &actions, NULL, unconst.out, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0)
        fail_msg("age cannot be run: %s (Debian package age)", strerror(rc));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void seal_to_file(size_t len, size_t front, const struct recipient *recipients, size_t count)
{
    struct memory memory = {0};
    struct seal_randoms randoms;
    struct sink *sink;
    seal_randoms_fill(&randoms);
    assert_int_equal(
        seal_sink_new(memory_sink_new(&memory, 1, 0), recipients, count, &randoms, &sink, NULL), 0);
    struct seal_record record = fixed_record(len);
    seal_sink_set_record(sink, &record, PATH);
    if (front)
        assert_int_equal(sink_open_front(sink, front, NULL), 0);
    assert_int_equal(sink_write(sink, plain + front, len - front, NULL), 0);
    if (front)
        assert_int_equal(sink_write_front(sink, plain, front, NULL), 0);
    assert_int_equal(sink_commit(sink, NULL), 0);
    sink_free(sink);
    write_file(in_file, memory.bytes, memory.len);
    memory_done(&memory);
}

static void check_by_age(size_t len, size_t front, const struct recipient *recipients, size_t count)
{
    seal_to_file(len, front, recipients, count);
    run_age((const char *const[]){"-d", "-i", key_file, NULL});
    assert_int_equal(read_file(out_file, back, sizeof(back)), len);
    assert_memory_equal(back, plain, len);
}

static void test_age_opens_ours(void **state)
{
    (void)state;
    struct recipient recipient = fixed_recipient();
    for (size_t i = 0; i < SIZES; i++)
        check_by_age(sizes[i], 0, &recipient, 1);
    check_by_age(CHUNK, CHUNK, &recipient, 1);
    check_by_age(CHUNK + 1, CHUNK, &recipient, 1);
    check_by_age(2 * CHUNK + 99, CHUNK, &recipient, 1);
}

// Another record in the header, and age sees the same file.
static void test_rewritten(void **state)
{
    (void)state;
    struct recipient recipient = fixed_recipient();
    struct identity *identity = fixed_identity();
    for (size_t i = 0; i < SIZES; i++) {
        seal_to_file(sizes[i], 0, &recipient, 1);
        static uint8_t sealed[MOST + 4096];
        size_t len = read_file(in_file, sealed, sizeof(sealed));
        struct seal_opened opened;
        assert_int_equal(
            seal_header_open(sealed, len, &(struct identities){&identity, 1}, &opened, NULL), 0);
        struct seal_record record = fixed_record(sizes[i]);
        record.mtime.tv_sec++;
        assert_int_equal(seal_header_rewrite(sealed, len, opened.file_key, &record,
                                             "db1/2026-11-22/other.sql", NULL),
                         0);
        seal_opened_done(&opened);
        write_file(in_file, sealed, len);
        run_age((const char *const[]){"-d", "-i", key_file, NULL});
        assert_int_equal(read_file(out_file, back, sizeof(back)), sizes[i]);
        assert_memory_equal(back, plain, sizes[i]);
    }
    identity_free(identity);
}

static void test_several_recipients(void **state)
{
    (void)state;
    struct recipient list[SEAL_RECIPIENTS_MAX];
    for (size_t i = 0; i < SEAL_RECIPIENTS_MAX - 1; i++) {
        struct identity *other = NULL;
        assert_int_equal(identity_generate(&other, NULL), 0);
        identity_recipient(other, &list[i]);
        identity_free(other);
    }
    list[SEAL_RECIPIENTS_MAX - 1] = fixed_recipient();
    check_by_age(5, 0, list, SEAL_RECIPIENTS_MAX);
}

static void test_we_open_ages(void **state)
{
    (void)state;
    struct identity *identity = fixed_identity();
    for (size_t i = 0; i < SIZES; i++) {
        write_file(in_file, plain, sizes[i]);
        run_age((const char *const[]){"-r", RECIPIENT_TEXT, NULL, NULL});
        struct memory memory = {.bytes = malloc(MOST + 1024)};
        assert_non_null(memory.bytes);
        memory.len = read_file(out_file, memory.bytes, MOST + 1024);
        struct seal_header header;
        struct seal_opened opened;
        assert_int_equal(seal_header_parse(memory.bytes, memory.len, &header, NULL), 0);
        assert_int_equal(header.state, SEAL_FOREIGN);
        assert_int_equal(seal_header_open(memory.bytes, memory.len,
                                          &(struct identities){&identity, 1}, &opened, NULL),
                         0);
        struct source *source;
        assert_int_equal(
            seal_source_new(memory_source_new(&memory), header.len, opened.file_key, &source, NULL),
            0);
        assert_int_equal(source->size, sizes[i]);
        assert_int_equal(source_read_at(source, 0, back, sizes[i], NULL), 0);
        assert_memory_equal(back, plain, sizes[i]);
        source_free(source);
        seal_opened_done(&opened);
        memory_done(&memory);
    }
    identity_free(identity);
}

static int setup(void **state)
{
    (void)state;
    fill_pattern(plain, sizeof(plain));
    if (!mkdtemp(dir))
        return -1;
    snprintf(key_file, sizeof(key_file), "%s/key.txt", dir);
    snprintf(in_file, sizeof(in_file), "%s/in", dir);
    snprintf(out_file, sizeof(out_file), "%s/out", dir);
    write_file(key_file, IDENTITY_TEXT "\n", strlen(IDENTITY_TEXT) + 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(key_file);
    unlink(in_file);
    unlink(out_file);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_age_opens_ours),
        cmocka_unit_test(test_rewritten),
        cmocka_unit_test(test_several_recipients),
        cmocka_unit_test(test_we_open_ages),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
