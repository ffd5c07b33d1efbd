"""Dumps of a real database: copied in, read back, opened by other tools, restored from the mount."""

import os
import subprocess
import unittest

import seekable
from case import Case, both_stores, sha256_of
from postgres import Postgres

DAY = "db1/2024-11-22"
SCALE = int(os.environ.get("BAKFS_TEST_PGBENCH_SCALE", "75"))  # 75: a database of more than 1 GB
DUMPS = {"orders.sql": ["-Fp"], "orders.z0.dump": ["-Fc", "-Z0"], "orders.dump": ["-Fc"]}
PG = None


def setUpModule():
    global PG
    PG = Postgres()
    unittest.addModuleCleanup(PG.close)
    PG.make_database(SCALE)


@both_stores
class Dumps(Case):
    def setUp(self):
        super().setUp()
        self.pg = PG

    def test_copied_in_and_opened(self):
        if SCALE >= 75:
            self.assertGreater(int(self.pg.query("bench", "select pg_database_size('bench')")), 10**9)
        m = self.mount()
        os.makedirs(m.path(DAY))
        sources = {name: self.pg.dump(name, *args) for name, args in DUMPS.items()}
        for name, source in sources.items():
            self.run_ok("cp", source, m.path(DAY, name))
        m.restart()
        for name, source in sources.items():
            self.run_ok("cmp", source, m.path(DAY, name))
            digest = sha256_of(source)
            opened, packed = self.opened_by_tools(DAY + "/" + name)
            self.assertEqual(opened, digest)
            with open(packed, "rb") as f:
                self.assertEqual(seekable.check(f.read(), lambda plain: None)["plain"], os.stat(source).st_size)

    def test_dumped_onto_the_mount_and_restored_from_it(self):
        m = self.mount()
        os.makedirs(m.path(DAY))
        counts = self.pg.query("bench", "select count(*), sum(abalance) from pgbench_accounts")
        path = m.path(DAY, "orders.dump")
        self.pg.run("pg_dump", "-Fc", "-Z0", "-f", path, "bench")  # goes back into the head
        with open(m.path(DAY, "redirected.dump"), "wb") as f:
            self.pg.run("pg_dump", "-Fc", "-Z0", "-t", "pgbench_branches", "bench", stdout=f)
        m.restart()
        listed = self.pg.run("pg_restore", "-l", path, stdout=subprocess.PIPE).stdout
        self.assertIn(b"TABLE DATA public pgbench_accounts", listed)
        self.assertIn(b"pgbench_branches", self.pg.run("pg_restore", "-l", m.path(DAY, "redirected.dump"),
                                                       stdout=subprocess.PIPE).stdout)
        database = "restored_" + self.kind
        self.pg.run("createdb", database)
        self.pg.run("pg_restore", "-j2", "-d", database, path)
        self.assertEqual(self.pg.query(database, "select count(*), sum(abalance) from pgbench_accounts"), counts)
        self.pg.run("dropdb", database)

    def test_parts_of_it(self):
        m = self.mount()
        os.makedirs(m.path(DAY))
        source, path = self.pg.dump("orders.sql", "-Fp"), m.path(DAY, "orders.sql")
        self.run_ok("cp", source, path)
        m.restart()
        size = os.stat(source).st_size
        self.assertEqual(os.stat(path).st_size, size)
        for script in ("head -c 1000000", "tail -c 1000000", "tail -n 20", "dd status=none bs=1M skip=100 count=3",
                       "dd status=none bs=4096 skip=%d" % (size // 4096 - 3), "head -n 3"):
            digest = {p: self.run_shell(script.replace("dd ", "dd if=%s " % p) + ("" if "dd " in script else " " + p)).stdout
                      for p in (source, path)}
            self.assertTrue(digest[source])
            self.assertEqual(digest[source], digest[path], script)

    def test_directory_and_tar_formats(self):
        m = self.mount()
        os.makedirs(m.path(DAY))
        tables = ["-t", "pgbench_branches", "-t", "pgbench_tellers"]
        self.pg.run("pg_dump", "-Fd", "-j2", "-f", m.path(DAY, "orders"), *tables, "bench")
        self.pg.run("pg_dump", "-Ft", "-f", m.path(DAY, "orders.tar"), *tables, "bench")
        m.restart()
        self.assertIn(b"pgbench_tellers", self.pg.run("pg_restore", "-l", m.path(DAY, "orders"), stdout=subprocess.PIPE).stdout)
        self.assertIn(b"toc.dat", self.run_ok("tar", "tf", m.path(DAY, "orders.tar")))
        self.pg.run("createdb", "tables_" + self.kind)
        self.pg.run("pg_restore", "-j2", "-d", "tables_" + self.kind, m.path(DAY, "orders"))
        self.pg.run("dropdb", "tables_" + self.kind)

    def test_no_such_database_makes_no_backup(self):
        m = self.mount()
        os.makedirs(m.path(DAY))
        done = self.run_shell('PGHOST=%s PGUSER=postgres pg_dump nosuchdb > "$1"' % self.pg.socket, m.path(DAY, "none.sql"))
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.store.keys(), [])
