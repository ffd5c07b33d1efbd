"""Every way PostgreSQL's own tools write a backup, straight onto the mount, and each restored to a running server."""

import contextlib
import os
import shutil
import subprocess
import threading
import unittest

import case
from case import MIB, Case, both_stores
from postgres import Postgres

DAY = "db1/2024-11-22"
SCALE = int(os.environ.get("BAKFS_TEST_PGBENCH_SCALE", "75"))  # 75: a dump of 1 GB
SPOOL_MOST = 48 * MIB
CREATED = (16, 51)  # seven integers of the custom format's header: when it was dumped
EMPTY_DIRS = ("pg_commit_ts", "pg_dynshmem", "pg_logical/mappings", "pg_logical/snapshots", "pg_notify", "pg_replslot",
              "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase",
              "pg_wal/archive_status", "pg_xact")
LARGE = MANY = SMALL = None  # clusters


def setUpModule():
    global LARGE, MANY, SMALL
    LARGE, MANY, SMALL = Lazy(make_large), Lazy(lambda pg: None), Lazy(make_small)
    for lazy in (LARGE, MANY, SMALL):
        unittest.addModuleCleanup(lazy.close)


class Lazy:
    """A cluster that is made when a test first wants it."""

    def __init__(self, make):
        self.make, self.pg = make, None

    def get(self):
        if not self.pg:
            self.pg = Postgres()
            self.make(self.pg)
        return self.pg

    def close(self):
        if self.pg:
            self.pg.close()


def make_large(pg):
    """A small table between two that are a hundred times its size, in the order in which pg_dump writes them."""
    pg.run("createdb", "shop")
    rows = SCALE * 32_000
    for name, count in (("a_before", rows), ("m_middle", rows // 100), ("z_after", rows)):
        pg.query("shop", "create table %s (id int, x text)" % name)
        pg.query("shop", "insert into %s select i, repeat(md5(i::text), 6) from generate_series(1, %d) i" % (name, count))


def make_small(pg, databases=("orders",)):
    for name in databases:
        pg.run("createdb", name)
        pg.query(name, "create table t (id int primary key, x text); create table empty (); create table u (id int primary key, x text)")
        pg.query(name, "insert into t select i, md5(i::text) from generate_series(1, 50000) i; insert into u select * from t")
        pg.query(name, "select lo_from_bytea(0, 'a large object')")


def make_tables(pg, database, count):
    pg.run("createdb", database)
    # as wide as it takes to make 2 kB of the table of contents each
    pg.query(database, """do $$
        declare columns text := (select string_agg('measured_value_number_' || n || ' numeric(12,2)', ', ') from generate_series(1, 22) n);
        begin for i in 1..%d loop
            execute format('create table t%%s (%%s)', i, columns);
            if i %% 500 = 0 then commit; end if;
        end loop; end $$""" % count)


def differing(a, b):
    """Offset of the first byte in which two files differ but for the time they were dumped, or None."""
    if os.stat(a).st_size != os.stat(b).st_size:
        return min(os.stat(a).st_size, os.stat(b).st_size)
    with open(a, "rb") as fa, open(b, "rb") as fb:
        for off in range(0, os.stat(a).st_size, 4 * MIB):
            x, y = fa.read(4 * MIB), fb.read(4 * MIB)
            if off == 0:
                x, y = (p[: CREATED[0]] + p[CREATED[1] :] for p in (x, y))
            if x != y:
                return off
    return None


class Ways(Case):
    @contextlib.contextmanager
    def snapshot(self, pg, database):
        session, name = pg.snapshot(database)
        try:
            yield name
        finally:
            session.stdin.close()
            session.wait()
            session.stdout.close()

    def check_streamed(self, m):
        self.assertLessEqual(m.status()["spool_peak_bytes"], SPOOL_MOST)

    def dump_twice(self, m, pg, database, name, redirected, *args):
        """pg_dump of one snapshot to local disk and onto the mount; -> its path there."""
        local, path = os.path.join(self.tmp, name), m.make(DAY, name)
        with self.snapshot(pg, database) as snapshot:
            args = ("-Fc", "--snapshot", snapshot, *args, database)
            pg.run("pg_dump", "-f", local, *args)
            if redirected:
                command = 'exec "$0" "$@" > "$TARGET"'
                done = subprocess.run(["sh", "-c", command, pg.tool("pg_dump"), *args], env=dict(pg.env, TARGET=path),
                                      stderr=subprocess.PIPE, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
            else:
                pg.run("pg_dump", "-f", path, *args)
        self.check_streamed(m)
        m.restart()
        self.assertIsNone(differing(local, path))
        os.unlink(local)
        return path

    @contextlib.contextmanager
    def server(self, backup):
        pg = Postgres(backup)
        try:
            yield pg
        finally:
            pg.close()

    def restored(self, pg, name):
        """A new database of that name, dropped in the end."""
        self.addCleanup(pg.run, "dropdb", "--if-exists", "-f", name)
        pg.run("createdb", "-T", "template0", name)
        return name

    def check_orders(self, pg, database, source):
        for query in ("select count(*), md5(string_agg(x, '' order by id)) from t", "select count(*) from u",
                      "select count(*) from empty", "select convert_from(lo_get(oid), 'UTF8') from pg_largeobject_metadata"):
            self.assertEqual(pg.query(database, query), source.query("orders", query), query)


@both_stores
class Custom(Ways):
    def large_dump(self, redirected):
        pg, m = LARGE.get(), self.mount()
        path = self.dump_twice(m, pg, "shop", "shop.dump", redirected, "-Z0")
        if SCALE >= 75:
            self.assertGreater(os.stat(path).st_size, 900 * MIB)
        stored = int(os.getxattr(path, "user.bakfs.stored_size"))
        m.restart()
        before = m.status()["fetched_bytes"]
        database = self.restored(pg, "middle_" + self.kind)
        pg.run("pg_restore", "-e", "-t", "m_middle", "-d", database, path)
        fetched = m.status()["fetched_bytes"] - before
        query = "select count(*), sum(hashtext(x)::bigint) from m_middle"
        self.assertEqual(pg.query(database, query), pg.query("shop", query))
        # its table of contents and its part of the data, each with what was read ahead
        self.assertLess(fetched, stored // 10 + 16 * MIB, "of %d" % stored)

    def test_large_by_name(self):
        self.large_dump(False)

    def test_large_redirected(self):
        self.large_dump(True)

    def many_tables(self, count, redirected):
        pg, m = MANY.get(), self.mount()
        database = "tables%d" % count
        if not pg.query("postgres", "select 1 from pg_database where datname = '%s'" % database):
            make_tables(pg, database, count)
        path = self.dump_twice(m, pg, database, "tables.dump", redirected)
        self.assertGreater(os.stat(path).st_size, count * 1900)  # nearly all of it the table of contents
        listed = pg.run("pg_restore", "-l", path, stdout=subprocess.PIPE).stdout
        self.assertEqual(listed.count(b" TABLE DATA public t"), count)
        # pg_dump writes offsets where it could go back: one table is restored without reading all the others
        target = self.restored(pg, "one_" + self.kind)
        pg.run("pg_restore", "-e", "-t", "t%d" % (count // 2), "-d", target, path)
        self.assertEqual(pg.query(target, "select count(*) from pg_tables where schemaname = 'public'"), "1")

    @case.short
    def test_5000_tables(self):
        self.many_tables(5000, False)

    def test_5000_tables_redirected(self):
        self.many_tables(5000, True)

    def test_12000_tables(self):
        self.many_tables(12000, False)

    @case.short
    def test_default_compression(self):
        pg, m = SMALL.get(), self.mount()
        path = self.dump_twice(m, pg, "orders", "orders.dump", False)
        database = self.restored(pg, "custom_" + self.kind)
        pg.run("pg_restore", "-e", "-j2", "-d", database, path)
        self.check_orders(pg, database, pg)


@both_stores
class Others(Ways):
    @case.short
    def test_directory(self):
        pg, m = SMALL.get(), self.mount()
        path = m.make(DAY, "orders")
        pg.run("pg_dump", "-Fd", "-j2", "-f", path, "orders")
        m.restart()
        database = self.restored(pg, "directory_" + self.kind)
        pg.run("pg_restore", "-e", "-j2", "-d", database, path)
        self.check_orders(pg, database, pg)

    @case.short
    def test_tar(self):
        pg, m = SMALL.get(), self.mount()
        path = m.make(DAY, "orders.tar")
        pg.run("pg_dump", "-Ft", "-f", path, "orders")
        self.check_streamed(m)
        m.restart()
        database = self.restored(pg, "tar_" + self.kind)
        pg.run("pg_restore", "-e", "-d", database, path)
        self.check_orders(pg, database, pg)

    @case.short
    def test_plain(self):
        pg, m = SMALL.get(), self.mount()
        path = m.make(DAY, "orders.sql")
        pg.run("pg_dump", "-f", path, "orders")
        m.restart()
        self.assertEqual(os.getxattr(path, "user.bakfs.complete"), b"yes")
        database = self.restored(pg, "plain_" + self.kind)
        pg.run("psql", "-Xq1", "-v", "ON_ERROR_STOP=1", "-f", path, database, stdout=subprocess.DEVNULL)
        self.check_orders(pg, database, pg)

    def test_cluster(self):
        """pg_dumpall -f lets each pg_dump append to the file."""
        pg, m = Postgres(), self.mount()
        self.addCleanup(pg.close)
        make_small(pg, ("orders", "users"))
        path = m.make(DAY, "all.sql")
        pg.run("pg_dumpall", "-f", path)
        m.restart()
        self.assertEqual(os.getxattr(path, "user.bakfs.complete"), b"yes")
        fresh = Postgres()
        self.addCleanup(fresh.close)
        # "role postgres already exists": without ON_ERROR_STOP, as its manual says
        fresh.run("psql", "-Xq", "-f", path, "postgres", stdout=subprocess.DEVNULL)
        self.check_orders(fresh, "orders", pg)
        self.assertEqual(fresh.query("users", "select count(*) from t"), "50000")


@both_stores
class Base(Ways):
    def switch_wal(self, pg, until):
        """WAL segments come and go while the backup runs."""
        while not until.is_set():
            pg.query("postgres", "select txid_current(); select pg_switch_wal()")

    def run_while_it_writes(self, pg, *command):
        ended = threading.Event()
        busy = threading.Thread(target=self.switch_wal, args=(pg, ended))
        busy.start()
        try:
            pg.run(*command)
        finally:
            ended.set()
            busy.join()

    def test_received_wal(self):
        """pg_receivewal: NAME.partial is filled with zeros, then written, then renamed."""
        pg, m = SMALL.get(), self.mount({"write": {"head": "4M"}})
        path = os.path.dirname(m.make(DAY, "wal/first"))
        end = pg.query("postgres", "select pg_current_wal_lsn() + 3 * 16777216")
        self.run_while_it_writes(pg, "pg_receivewal", "-n", "-D", path, "--endpos", end)
        m.restart()
        whole = [n for n in os.listdir(path) if not n.endswith(".partial")]
        self.assertGreaterEqual(len(whole), 2)
        for name in whole:
            self.run_ok("cmp", os.path.join(path, name), os.path.join(pg.data, "pg_wal", name))

    def check_server(self, data, source):
        with self.server(data) as pg:
            self.check_orders(pg, "orders", source)
            pg.query("orders", "insert into t values (-1, 'it lives')")

    def unpack(self, m, path):
        data = os.path.join(self.tmp, "data")
        os.mkdir(data)
        self.run_ok("tar", "xf", os.path.join(path, "base.tar"), "-C", data)
        self.run_ok("tar", "xf", os.path.join(path, "pg_wal.tar"), "-C", os.path.join(data, "pg_wal"))
        shutil.copy(os.path.join(path, "backup_manifest"), data)
        self.run_ok(SMALL.get().tool("pg_verifybackup"), "-n", data)
        return data

    def test_tar(self):
        pg, m = SMALL.get(), self.mount()
        path = m.make(DAY, "cluster/base.tar")
        pg.run("pg_basebackup", "-c", "fast", "-Ft", "-D", os.path.dirname(path))
        self.assertIn("backup_manifest", os.listdir(os.path.dirname(path)))
        m.restart()
        self.check_server(self.unpack(m, os.path.dirname(path)), pg)

    def test_tar_while_it_writes(self):
        """pg_wal.tar: each segment is first 16 MiB of zeros, then written, then its header once more."""
        pg, m = SMALL.get(), self.mount()
        path = os.path.dirname(m.make(DAY, "cluster/base.tar"))
        self.run_while_it_writes(pg, "pg_basebackup", "-c", "fast", "-Ft", "-r", "20M", "-D", path)
        self.assertGreater(os.stat(os.path.join(path, "pg_wal.tar")).st_size, 40 * MIB)
        m.restart()
        self.check_server(self.unpack(m, path), pg)

    def test_plain(self):
        # a segment, 16 MiB, is larger than the head
        pg, m = SMALL.get(), self.mount({"write": {"head": "4M"}})
        path = os.path.dirname(m.make(DAY, "cluster/PG_VERSION"))
        self.run_while_it_writes(pg, "pg_basebackup", "-c", "fast", "-Fp", "-D", path)
        self.assertFalse([n for n in os.listdir(path) if n.endswith(".tmp")])
        m.restart()
        data = os.path.join(self.tmp, "data")
        self.run_ok("cp", "-r", path, data)
        for name in EMPTY_DIRS:  # a store of objects has none
            os.makedirs(os.path.join(data, name), exist_ok=True)
        self.run_ok(pg.tool("pg_verifybackup"), "-n", data)
        self.check_server(data, pg)
