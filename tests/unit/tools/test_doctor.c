// The checks of doctor over a store with chosen contents, with a clock that is moved: what is told, what --fix takes, and
// what it leaves alone.
#include "backend/base/scope.h"
#include "backend/store/dir.h"
#include "backend/store/journal.h"
#include "tests/support/fault_store.h"
#include "tests/support/sim_store.h"
#include "tests/support/temp_dir.h"
#include "tests/support/uploads.h"
#include "tools/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OURS "db1/2026-11-22/orders.sql.zst.age"
#define DAY (24 * 60 * 60)

static struct temp_dir dir;
static struct store *store;
static struct conf conf;
static struct doctor d;
static char *said;
static size_t said_len;
static struct store_facts facts_said;
static struct store_ops changed;
static int64_t offset_ms;

static int setup_with(struct store *of)
{
    store = of;
    conf = (struct conf){.mount.state = dir.path, .mount.point = dir.path};
    d = (struct doctor){.conf = &conf, .store = store, .group = "test"};
    d.now = store->ops->now(store);
    d.out = open_memstream(&said, &said_len);
    return d.out ? 0 : -1;
}

static int setup_sim(void **state)
{
    (void)state;
    struct store *sim;
    return temp_dir_make(&dir) < 0 || sim_store_new(100, &sim) < 0 ? -1 : setup_with(sim);
}

static int setup_dir(void **state)
{
    (void)state;
    struct store *of;
    return temp_dir_make(&dir) < 0 || store_dir_new(dir.path, &of, NULL) < 0 ? -1 : setup_with(of);
}

static int teardown(void **state)
{
    (void)state;
    fclose(d.out);
    free(said);
    said = NULL;
    store_free(store);
    temp_dir_remove(&dir);
    return 0;
}

static void says(const char *text)
{
    fflush(d.out);
    if (!strstr(said, text))
        fail_msg("'%s' is not in:\n%s", text, said);
}

static void says_not(const char *text)
{
    fflush(d.out);
    if (said && strstr(said, text))
        fail_msg("'%s' is in:\n%s", text, said);
}

// What was said is forgotten.
static void run(void (*check)(struct doctor *))
{
    fflush(d.out);
    rewind(d.out);
    d.problems = d.findings = 0;
    d.group_told = NULL;
    check(&d);
    fputc('\0', d.out);
    fflush(d.out);
}

// --- Uploads ---

static unsigned uploads(void)
{
    return uploads_below(store, "");
}

static void begin(const char *key, char id[STORE_UPLOAD_ID_BYTES])
{
    assert_int_equal(store->ops->upload_begin(store, key, id, NULL), 0);
}

static void test_orphans(void **state)
{
    (void)state;
    char id[STORE_UPLOAD_ID_BYTES];
    run(doctor_orphans);
    says("no upload was left behind; 0 under way");
    begin(OURS, id);
    begin("somebody/elses", id);
    begin("db1/nodate/x.zst.age", id);
    run(doctor_orphans);
    says("note     1 uploads that no daemon of this host knows");
    says("2 uploads that are no backups of bakfs");
    assert_int_equal(d.problems, 0);

    struct timespec today = d.now;
    d.now.tv_sec = today.tv_sec + 7 * DAY - 60;
    d.fix = true;
    run(doctor_orphans);
    assert_int_equal(uploads(), 3);
    assert_int_equal(d.problems, 0);

    d.now.tv_sec = today.tv_sec + 8 * DAY;
    d.fix = false;
    run(doctor_orphans);
    says("problem  an upload of " OURS " was left behind, untouched for 8 days");
    says("type: bakfs doctor --fix");
    assert_int_equal(d.problems, 1);
    assert_int_equal(uploads(), 3);

    d.fix = true;
    run(doctor_orphans);
    says("aborted an upload of " OURS);
    says_not("somebody/elses");
    assert_int_equal(d.problems, 0);
    assert_int_equal(uploads(), 2); // never anybody else's
}

static struct timespec touched_when;
static int touched_code;

static int touched(struct store *s, const char *key, const char *id, struct timespec *out,
                   struct err *err)
{
    (void)s, (void)key, (void)id;
    if (touched_code)
        return err_set(err, touched_code, "list the parts: told to fail");
    *out = touched_when;
    return 0;
}

// Old, but a part came yesterday: a dump of ten days.
static void test_long_upload(void **state)
{
    (void)state;
    char id[STORE_UPLOAD_ID_BYTES];
    changed = *store->ops;
    changed.upload_touched = touched;
    store->ops = &changed;
    begin(OURS, id);
    d.fix = true;
    touched_when.tv_sec = d.now.tv_sec + 10 * DAY;
    d.now.tv_sec += 11 * DAY;
    run(doctor_orphans);
    assert_int_equal(uploads(), 1);
    assert_int_equal(d.problems, 0);
    says("1 uploads that no daemon");
    // who may not look may not abort either
    touched_code = EACCES;
    run(doctor_orphans);
    assert_int_equal(uploads(), 1);
    says("it is left alone");
    touched_code = ENOENT; // ended just now
    run(doctor_orphans);
    says("no upload was left behind");
    touched_code = 0;
    d.now.tv_sec += 7 * DAY;
    run(doctor_orphans);
    assert_int_equal(uploads(), 0);
}

static void test_live_journal(void **state)
{
    (void)state;
    struct journal *journal;
    struct journal_entry *entry;
    char id[STORE_UPLOAD_ID_BYTES];
    assert_int_equal(journal_open(dir.path, &journal, NULL), 0);
    assert_int_equal(journal_begin(journal, store, OURS, &entry, NULL), 0);
    begin(OURS, id);
    d.now.tv_sec += 30 * DAY;
    d.fix = true;
    run(doctor_orphans); // no id yet: the key alone
    says("1 under way");
    assert_int_equal(uploads(), 1);
    assert_int_equal(journal_set_id(entry, id, NULL), 0);
    run(doctor_orphans);
    says("1 under way");
    run(doctor_journals);
    says("no daemon of this host left work behind");
    assert_int_equal(uploads(), 1);
    // a second upload of that key is not the daemon's
    begin(OURS, id);
    run(doctor_orphans);
    assert_int_equal(uploads(), 1);
    journal_leave(entry);
    journal_close(journal); // as if it had been killed
    run(doctor_journals);
    says("note     a daemon was killed while it stored " OURS);
    assert_int_equal(journal_open(dir.path, &journal, NULL), 0);
    struct journal_move move = {.kind = JOURNAL_MOVE_DIR, .from = "db1/a", .to = "db1/b"};
    assert_int_equal(journal_move(journal, store, &move, &entry, NULL), 0);
    journal_leave(entry);
    journal_close(journal);
    run(doctor_journals);
    says("note     a daemon was killed while it moved db1/a to db1/b: the next mount");
    says("a daemon was killed while it stored " OURS);
    run(doctor_orphans);
    assert_int_equal(uploads(), 0);
}

static void test_failing_store(void **state)
{
    (void)state;
    struct store *faulty, *sim = store;
    char id[STORE_UPLOAD_ID_BYTES];
    begin(OURS, id);
    assert_int_equal(fault_store_new(sim, &faulty), 0);
    d.store = faulty;
    d.fix = true;
    d.now.tv_sec += 8 * DAY;
    fault_store_set(faulty, &(struct fault){.op = FAULT_LIST_UPLOADS, .nth = 1, .code = EACCES});
    run(doctor_orphans);
    says("whether some were left behind is not known");
    fault_store_set(faulty, &(struct fault){.op = FAULT_UPLOAD_ABORT, .nth = 1, .code = EACCES});
    run(doctor_orphans);
    assert_int_equal(d.problems, 1);
    fault_store_set(faulty, &(struct fault){.op = FAULT_FACTS, .nth = 1, .code = EIO});
    run(doctor_facts);
    assert_int_equal(d.problems, 0);
    fault_store_set(faulty, &(struct fault){.op = FAULT_LIST, .nth = 1, .code = EIO});
    run(doctor_objects);
    says("not all objects were looked at");
    assert_int_equal(d.problems, 1);
    store_free(faulty);
}

// --- A directory ---

static void put_file(const char *name, int64_t age_seconds)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/%s", dir.path, name);
    assert_true(n > 0 && (size_t)n < sizeof(path));
    for (char *p = path + strlen(dir.path) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        (void)mkdir(path, 0700);
        *p = '/';
    }
    auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    struct timespec times[2] = {{.tv_sec = d.now.tv_sec - age_seconds}};
    times[1] = times[0];
    assert_int_equal(futimens(fd, times), 0);
}

static bool is_there(const char *name)
{
    return faccessat(((struct dir_store *)store)->root, name, F_OK, 0) == 0;
}

#define PUT_OLD DIR_TMP "/0123456789abcdef0123456789abcdef.put"
#define PUT_NEW DIR_TMP "/1123456789abcdef0123456789abcdef.put"
#define NOT_OURS DIR_TMP "/notes.put"

static void test_temporary(void **state)
{
    (void)state;
    d.opened.dir_path = dir.path;
    run(doctor_temporary);
    says("no temporary file was left behind");
    put_file(PUT_OLD, 8 * DAY);
    put_file(PUT_NEW, 6 * DAY);
    put_file(NOT_OURS, 80 * DAY);
    run(doctor_temporary);
    says("problem  the temporary file " PUT_OLD);
    assert_int_equal(d.problems, 1);
    assert_true(is_there(PUT_OLD));
    d.fix = true;
    run(doctor_temporary);
    assert_int_equal(d.problems, 0);
    assert_false(is_there(PUT_OLD));
    assert_true(is_there(PUT_NEW));
    assert_true(is_there(NOT_OURS));
}

static void test_names(void **state)
{
    (void)state;
    static const char *const good[] = {"db1/2026-11-22/a.sql.zst.age", "db1/2026-11-22/b/c.zst.age",
                                       "db1/2026-11-22/b-c.zst.age"};
    for (size_t i = 0; i < 3; i++)
        put_file(good[i], 0);
    run(doctor_objects);
    says("ok       3 keys listed; --deep");
    assert_int_equal(d.findings, 1);

    put_file("README", 0);
    put_file("db1/2026-11-22/a.sql.zst", 0);
    put_file("db1/2026-13-22/x.zst.age", 0);
    put_file("db1/2026-11-22/c\001d.zst.age", 0);
    put_file("db1/2026-11-22/a.sql/x.zst.age", 0);
    put_file("db1/2026-11-22/a.sql/y.zst.age", 0);
    put_file("db1/2026-11-22/a.sql.more.zst.age", 0); // lies between the file and the directory
    run(doctor_objects);
    says("note     not of bakfs: README");
    says("note     not sealed: db1/2026-11-22/a.sql.zst");
    says("note     both sealed and not: db1/2026-11-22/a.sql.zst");
    says("problem  hidden, because of its name: db1/2026-13-22/x.zst.age: '2026-13-22' is not a "
         "DATE");
    says("hidden, because of its name: db1/2026-11-22/c?d.zst.age");
    says("a file stands where a directory is: db1/2026-11-22/a.sql and "
         "db1/2026-11-22/a.sql/x.zst.age");
    says_not("a.sql/y.zst.age"); // told once
    says("10 keys listed");
    assert_int_equal(d.problems, 3);
}

static void test_many(void **state)
{
    (void)state;
    char name[64];
    for (int i = 0; i < 1203; i++) {
        snprintf(name, sizeof(name), "foreign-%04d", i);
        put_file(name, 0);
    }
    run(doctor_objects);
    says("foreign-0019");
    says_not("foreign-0020");
    says("and 1183 more keys that are not of bakfs; type: bakfs doctor --all");
    says("1203 keys listed"); // over the end of a page
    d.all = true;
    run(doctor_objects);
    says("foreign-1202");
    says_not("more keys");
}

// One of tests/vectors, under a path that is its own or another.
static void put_vector(const char *name, const char *key)
{
    char from[4096];
    uint8_t bytes[65536];
    snprintf(from, sizeof(from), VECTORS "/store/db1/2026-11-22/%s.zst.age", name);
    put_file(key, 0);
    auto_fd int in = open(from, O_RDONLY | O_CLOEXEC);
    auto_fd int out = openat(((struct dir_store *)store)->root, key, O_WRONLY | O_CLOEXEC);
    assert_true(in >= 0 && out >= 0);
    ssize_t len = read(in, bytes, sizeof(bytes));
    assert_true(len > 0);
    assert_int_equal(write(out, bytes, (size_t)len), len);
}

static void test_headers(void **state)
{
    (void)state;
    d.deep = true;
    put_vector("hello.sql", "db1/2026-11-22/hello.sql.zst.age");
    put_vector("two-recipients.sql", "db1/2026-11-22/two.sql.zst.age");
    run(doctor_objects);
    says("2 keys listed, each header read");
    assert_int_equal(d.findings, 1);
    put_vector("hello.sql", "db1/2026-11-22/again.sql.zst.age");
    put_vector("newer.sql", "db1/2026-11-22/newer.sql.zst.age");
    put_vector("header-unending.sql", "db1/2026-11-22/unending.sql.zst.age");
    put_vector("not-age.sql", "db1/2026-11-22/other.sql.zst.age");
    put_vector("no-record.sql", "db1/2026-11-22/foreign.sql.zst.age");
    put_file("db1/2026-11-22/empty.sql.zst.age", 0);
    char name[64];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "db2/2026-11-22/%03d.sql.zst.age", i);
        put_vector("hello.sql", name);
    }
    run(doctor_objects);
    says("cannot be read: db1/2026-11-22/newer.sql.zst.age: made by a newer bakfs");
    says("cannot be read: db1/2026-11-22/foreign.sql.zst.age: an age file that bakfs did not make");
    says("cannot be read: db1/2026-11-22/empty.sql.zst.age: it ends before its payload begins");
    says("cannot be read: db1/2026-11-22/unending.sql.zst.age");
    says("cannot be read: db1/2026-11-22/other.sql.zst.age");
    says("one payload under two keys: db1/2026-11-22/again.sql.zst.age and "
         "db1/2026-11-22/hello.sql.zst.age");
    says("and 281 more objects that are there twice");
    says_not("two.sql");
    assert_int_equal(d.problems, 5 + DOCTOR_SHOWN);
}

static void status_is(const char *text)
{
    put_file(".bakfs/status.json", 0);
    auto_fd int out = openat(((struct dir_store *)store)->root, ".bakfs/status.json",
                             O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(out >= 0);
    assert_int_equal(write(out, text, strlen(text)), (ssize_t)strlen(text));
}

static void test_daemon_status(void **state)
{
    (void)state;
    struct daemon_status status;
    assert_int_equal(daemon_status_read(dir.path, &status, NULL), -ENOENT);
    static const char *const bad[] = {"", "{", "[]", "{\"store\": 1, \"exit_codes\": \"seen\"}",
                                      "{\"store\": \"s\"}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        status_is(bad[i]);
        assert_int_equal(daemon_status_read(dir.path, &status, NULL), -EUCLEAN);
    }
    status_is("{\"store\": \"dir:/s\", \"exit_codes\": \"blind\", \"read_only\": true,"
              " \"pid_namespace\": 4026531836, \"clock_offset_ms\": -5, \"files_failed\": 3}");
    assert_int_equal(daemon_status_read(dir.path, &status, NULL), 0);
    assert_string_equal(status.store, "dir:/s");
    assert_true(status.blind && status.read_only && !status.has_identity);
    assert_true(status.pid_namespace == 4026531836);
    assert_int_equal(status.clock_offset_ms, -5);
    assert_int_equal(status.files_failed, 3);
}

static void test_probe_left(void **state)
{
    (void)state;
    put_file(".bakfs-probe/00", 0);
    put_file(".bakfs-probe/01", 2 * 3600);
    run(doctor_objects);
    says("note     2 objects of a probe");
    d.fix = true;
    run(doctor_objects);
    says("removed .bakfs-probe/01, which a probe left");
    assert_true(is_there(".bakfs-probe/00"));
    assert_false(is_there(".bakfs-probe/01"));
}

static void test_json(void **state)
{
    (void)state;
    d.json = true;
    run(doctor_orphans);
    says("\n  {\"group\": \"test\", \"level\": \"ok\", \"what\": \"no upload was left behind; 0 "
         "under "
         "way\", \"why\": null, \"type\": null}");
}

// --- The store as a whole ---

static int facts(struct store *s, struct store_facts *out, struct err *err)
{
    (void)s, (void)err;
    *out = facts_said;
    return 0;
}

static int64_t clock_offset(struct store *s)
{
    (void)s;
    return offset_ms;
}

static void test_facts(void **state)
{
    (void)state;
    run(doctor_facts);
    assert_int_equal(d.findings, 0); // a directory has none of it
    changed = *store->ops;
    changed.facts = facts;
    changed.clock_offset_ms = clock_offset;
    store->ops = &changed;
    facts_said = (struct store_facts){
        .abort_rule = STORE_FACT_NO, .versioning = STORE_FACT_NO, .lock = STORE_FACT_NO};
    run(doctor_facts);
    says("note     no lifecycle rule aborts unfinished uploads");
    says("AbortIncompleteMultipartUpload");
    says("no older versions");
    says("no object lock");
    assert_int_equal(d.problems, 0);
    facts_said = (struct store_facts){.abort_rule = STORE_FACT_YES,
                                      .abort_days = 1,
                                      .versioning = STORE_FACT_REFUSED,
                                      .lock = STORE_FACT_YES};
    run(doctor_facts);
    assert_int_equal(d.problems, 1); // a dump of two days is cut off
    says("may not ask for versioning");
    says("ok       the bucket has object lock");
    facts_said.abort_days = 7;
    run(doctor_facts);
    says("ok       the lifecycle aborts unfinished uploads after 7 days");

    run(doctor_clock);
    says("ok       clock: 0 ms apart");
    offset_ms = -31000;
    run(doctor_clock);
    says("note     this host's clock is 31 s ahead of the store's");
    offset_ms = 301000;
    run(doctor_clock);
    says("problem  this host's clock is 301 s behind the store's");
    run(doctor_write);
    assert_int_equal(d.findings, 0); // told already
}

static void test_conditions(void **state)
{
    (void)state;
    d.mounted = d.daemon.read_only = true;
    run(doctor_conditions);
    run(doctor_write);
    assert_int_equal(d.findings, 0); // nothing is tried
    d.mounted = false;
    run(doctor_conditions);
    says("ok       conditions of requests are honoured");
    store->limits.complete_conditions = false;
    run(doctor_conditions);
    says("note     conditions of requests: put honoured, complete of an upload ignored");
}

// --- This host ---

static void updatedb(const char *text, const char *wanted, bool had)
{
    bool found = !had;
    auto_free char *out = doctor_updatedb_text(text, "/mnt/bak", &found);
    assert_non_null(out);
    assert_string_equal(out, wanted);
    assert_int_equal(found, had);
}

static void test_updatedb_text(void **state)
{
    (void)state;
    updatedb("", "PRUNEFS = \"fuse.bakfs\"\n", false);
    updatedb("PRUNENAMES=\".git\"", "PRUNENAMES=\".git\"\nPRUNEFS = \"fuse.bakfs\"\n", false);
    updatedb("a\nPRUNEFS=\"NFS afs\"\nb\n", "a\nPRUNEFS=\"NFS afs fuse.bakfs\"\nb\n", false);
    updatedb(" PRUNEFS\t= \"\"\n", " PRUNEFS\t= \" fuse.bakfs\"\n", false);
    updatedb("# PRUNEFS=\"fuse.bakfs\"\nPRUNEFS=\"x\"\n",
             "# PRUNEFS=\"fuse.bakfs\"\nPRUNEFS=\"x fuse.bakfs\"\n", false);
    updatedb("PRUNEFS=\"x fuse.bakfs2\"\n", "PRUNEFS=\"x fuse.bakfs2 fuse.bakfs\"\n", false);
    updatedb("PRUNEFS=\"x Fuse.bakfs y\"\n", "PRUNEFS=\"x Fuse.bakfs y\"\n", true);
    updatedb("PRUNEPATHS=\"/tmp /mnt/bak\"\n", "PRUNEPATHS=\"/tmp /mnt/bak\"\n", true);
    updatedb("PRUNEPATHS=\"/mnt/bakery\"\n",
             "PRUNEPATHS=\"/mnt/bakery\"\nPRUNEFS = \"fuse.bakfs\"\n", false);
    updatedb("PRUNEFS=\"no end\n", "PRUNEFS=\"no end\nPRUNEFS = \"fuse.bakfs\"\n", false);
}

static void test_updatedb(void **state)
{
    (void)state;
    char path[4096], text[256] = "";
    snprintf(path, sizeof(path), "%s/updatedb.conf", dir.path);
    d.updatedb_conf = path;
    run(doctor_updatedb);
    says("ok       updatedb is not set up here");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("PRUNEFS=\"nfs\"\n", file);
    fclose(file);
    assert_int_equal(chmod(path, 0640), 0);
    run(doctor_updatedb);
    says("does not name fuse.bakfs");
    assert_int_equal(d.problems, 1);
    d.fix = true;
    run(doctor_updatedb);
    assert_int_equal(d.problems, 0);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    assert_string_equal(text, "PRUNEFS=\"nfs fuse.bakfs\"\n");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    run(doctor_updatedb);
    says("ok       updatedb leaves the mount out");
}

static void test_exit_codes(void **state)
{
    (void)state;
    struct stat own;
    d.mounted = true;
    run(doctor_exit_codes);
    says("ok       the daemon sees how programs end");
    d.daemon.blind = true;
    run(doctor_exit_codes);
    says("CAP_SYS_PTRACE");
    assert_int_equal(d.problems, 1);
    d.daemon.blind = false;
    assert_int_equal(stat("/proc/self/ns/pid", &own), 0);
    d.daemon.pid_namespace = own.st_ino;
    run(doctor_exit_codes);
    assert_int_equal(d.problems, 0);
    d.daemon.pid_namespace++;
    run(doctor_exit_codes);
    says("problem  the daemon is in another PID namespace");
    d.daemon.read_only = true; // nobody writes
    run(doctor_exit_codes);
    assert_int_equal(d.findings, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_orphans, setup_sim, teardown),
        cmocka_unit_test_setup_teardown(test_orphans, setup_dir, teardown),
        cmocka_unit_test_setup_teardown(test_long_upload, setup_sim, teardown),
        cmocka_unit_test_setup_teardown(test_live_journal, setup_sim, teardown),
        cmocka_unit_test_setup_teardown(test_failing_store, setup_sim, teardown),
        cmocka_unit_test_setup_teardown(test_temporary, setup_dir, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup_dir, teardown),
        cmocka_unit_test_setup_teardown(test_many, setup_dir, teardown),
        cmocka_unit_test_setup_teardown(test_probe_left, setup_dir, teardown),
        cmocka_unit_test_setup_teardown(test_headers, setup_dir, teardown),
        cmocka_unit_test_setup_teardown(test_daemon_status, setup_dir, teardown),
        cmocka_unit_test_setup_teardown(test_json, setup_sim, teardown),
        cmocka_unit_test_setup_teardown(test_facts, setup_sim, teardown),
        cmocka_unit_test_setup_teardown(test_conditions, setup_sim, teardown),
        cmocka_unit_test(test_updatedb_text),
        cmocka_unit_test_setup_teardown(test_updatedb, setup_sim, teardown),
        cmocka_unit_test_setup_teardown(test_exit_codes, setup_sim, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
