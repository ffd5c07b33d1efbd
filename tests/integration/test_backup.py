"""bakfs backup: what it makes, of which snapshot, and that a failure leaves nothing that looks like a backup."""

import configparser
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile

import case
from case import both_stores, only, wait_until
from postgres import Postgres, as_postgres
from verbs import Inbox, VerbCase

SCHEMA = '''
create table orders (id serial primary key, item text not null, at timestamptz default now());
insert into orders (item) select 'item ' || i from generate_series(1, 1000) i;
create table "Weird ""table""" ("a=b" int);
create view recent as select * from orders where at > now() - interval '1 day';
'''


class BackupCase(VerbCase):
    def setUp(self):
        super().setUp()
        self.inbox = Inbox()
        self.addCleanup(self.inbox.close)

    def sections(self, **keys):
        orders = {"conninfo": self.conninfo("orders"), "host": "db1", **keys}
        notify = {"smtp": self.inbox.url, "from": "bakfs@example.com", "to": "ops@example.com", "on": "always"}
        return {"database orders": orders, "notify": notify}

    def meta(self, path):
        """META as anybody reads it: its end by sha256sum, the rest by INI."""
        with open(path, "rb") as f:
            data = f.read()
        body, _, last = data[:-1].rpartition(b"\n")
        self.assertEqual(last.decode(), "sha256 = " + hashlib.sha256(body + b"\n").hexdigest())
        ini = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes=";", interpolation=None)
        ini.read_string(data.decode())
        lines = data.decode().split("\n")
        facts = [line.split(" = ", 1) for line in lines[lines.index("[facts]") + 1 : lines.index("[end]")]]
        files = [line.split(" = ", 1)[1].split("\t") for line in lines if line.startswith("file = ")]
        return ini["meta"], files, [(kind, *rest.split("\t")) for kind, rest in facts]

    def answer_of(self, said):
        """The parts of one backup from the answer of --json."""
        answer = json.loads(said)
        stem = answer["meta"][: -len(".META")]
        self.assertEqual(os.path.basename(stem).split(".")[1], answer["at"])
        return answer, stem

    def fails(self, *words, says, mails=1, code=1):
        """One clear sentence, a FAIL mail, and nothing that looks like a backup."""
        said = self.bakfs("backup", "orders", *words, code=code)
        self.assertRegex(said, says)
        self.assertRegex(said.splitlines()[0], r"^bakfs backup: ")
        self.assertIn("hint: ", said)
        self.nothing_left()
        wait_until(lambda: len(self.inbox.mails) >= mails)
        self.assertTrue(self.inbox.subjects()[-1].startswith("FAIL bakfs backup orders"), self.inbox.subjects())
        return said

    def nothing_left(self):
        self.assertEqual([k for k in self.store.keys() if k.startswith("db1/")], [])
        wait_until(lambda: self.store.uploads() == [])

    def connections(self):
        return self.pg.query("postgres", "select count(*) from pg_stat_activity where application_name like 'bakfs%'")


@both_stores
class Backup(BackupCase):
    @case.short
    def test_all_three_formats(self):
        self.make_database("orders", SCHEMA)
        sections = self.sections(**{"check.items": "select count(*), min(item) from public.orders"})
        for name, keys in (("plain", {"format": "plain"}), ("folder", {"format": "directory", "jobs": "2"})):
            sections["database " + name] = dict(sections["database orders"], **keys)
        m = self.ready(sections)
        for name, suffix in (("orders", ".dump"), ("plain", ".sql"), ("folder", ".dir")):
            answer, stem = self.answer_of(self.bakfs("backup", name, "--json"))
            self.assertEqual(answer["dump"], stem + suffix)
            meta, files, facts = self.meta(m.path(answer["meta"]))
            self.assertEqual((meta["name"], meta["host"], meta["partition"], meta["engine"]), (name, "db1", name, "postgresql"))
            self.assertEqual(meta["database"], "orders")
            self.assertTrue(meta["dump_tool"].startswith("pg_dump (PostgreSQL)"), meta["dump_tool"])
            self.assertIn(("rows", "public.orders", "1000"), facts)
            self.assertIn(("check", "items", "1000\\titem 1"), facts)
            self.assertTrue(any(f[0] == "column" for f in facts))
            # every file of it, with the digest that the daemon tells, and nothing else
            top = os.path.dirname(m.path(answer["meta"]))
            there = {n for n in self.names_below(os.path.dirname(answer["meta"])) if not n.endswith(".META")}
            self.assertEqual({f[0] for f in files}, there)
            for file, size, digest in files:
                path = os.path.join(top, file)
                self.assertEqual(os.stat(path).st_size, int(size))
                self.assertEqual(os.getxattr(path, "user.bakfs.digest").decode(), digest)
            if suffix == ".sql":
                self.assertEqual(os.getxattr(m.path(answer["dump"]), "user.bakfs.complete"), b"yes")
            with open(m.path(stem + ".schema.sql"), encoding="utf8") as f:
                self.assertIn("CREATE TABLE public.orders", f.read())
            with open(m.path(stem + ".globals.sql"), encoding="utf8") as f:
                self.assertIn("CREATE ROLE postgres", f.read())
            self.assertEqual(os.readlink(m.path("db1/latest", name)).split("/")[-1], name)
            self.assertIn("whole", self.bakfs("confirm", m.path(os.path.dirname(answer["dump"]))))
        self.restores(m.path(answer["dump"]))
        self.assertEqual(len([s for s in self.inbox.subjects() if s.startswith("PASS bakfs backup")]), 3)
        self.assertEqual(self.connections(), "0")

    def restores(self, dump):
        self.make_database("again")
        self.pg.run("pg_restore", "-e", "-d", "again", dump)
        self.assertEqual(self.pg.query("again", "select count(*) from orders"), "1000")

    def test_a_failure_leaves_nothing(self):
        self.make_database("orders", SCHEMA)
        m = self.ready(self.sections())
        self.pg.query("orders", "create function bad() returns int language sql as 'select 1'")
        with self.no_tool(m):
            self.fails(says=r"pg_dump exited with 3: pg_dump: error: the disk is on fire")
        self.bakfs("backup", "orders")
        wait_until(lambda: self.inbox.subjects()[-1].startswith("PASS"))

    def no_tool(self, m):
        return FakeTools(self, m)


class FakeTools:
    """pg_dump that writes for a while and fails: a bindir in the configuration."""

    def __init__(self, case_, m, script='echo "pg_dump: error: the disk is on fire" >&2; exit 3'):
        self.case, self.mounted = case_, m
        self.dir = os.path.join(case_.tmp, "bin")
        os.makedirs(self.dir, exist_ok=True)
        real = case_.pg.tool("pg_dump")
        with open(os.path.join(self.dir, "pg_dump"), "w", encoding="ascii") as f:
            f.write('#!/bin/bash\ncase "$*" in *--version*|-V) exec %s --version ;; *" -s") exec %s "$@" ;; esac\n'
                    'for f; do :; done\nhead -c 40000000 /dev/urandom > "$f"\n%s\n' % (real, real, script))
        os.chmod(os.path.join(self.dir, "pg_dump"), 0o755)
        shutil.copy(case_.pg.tool("pg_dumpall"), os.path.join(self.dir, "pg_dumpall"))

    def __enter__(self):
        with open(self.mounted.conf, encoding="utf8") as f:
            self.before = f.read()
        with open(self.mounted.conf, "w", encoding="utf8") as f:
            f.write(self.before.replace("[database orders]\n", "[database orders]\nbindir = %s\n" % self.dir))
        return self

    def __exit__(self, *_):
        with open(self.mounted.conf, "w", encoding="utf8") as f:
            f.write(self.before)


@only("dir")
class Failures(BackupCase):
    """Each: one clear sentence, exit 1, a FAIL mail, nothing that looks like a backup."""

    def begin(self, **keys):
        self.make_database("orders", SCHEMA)
        return self.ready(self.sections(**keys))

    def while_dumping(self, m, script):
        """bakfs backup whose pg_dump wrote 40 MB and waits: (process, pid of that pg_dump)."""
        fifo = os.path.join(self.tmp, "fifo")
        os.mkfifo(fifo)
        tools = FakeTools(self, m, 'echo $$ > %s\n%s' % (fifo, script))
        with tools:
            running = subprocess.Popen(self.command("backup", "orders"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            with open(fifo, encoding="ascii") as f:
                pid = int(f.read())
        return running, pid

    def while_really_dumping(self, pg):
        """The same with the real pg_dump, which has written 25 MB and reads a foreign table: (process, pid of what that
        table's rows come from)."""
        fifo = os.path.join(pg.dir, "begun")
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        pg.query("orders", """create table big as select repeat(md5(i::text), 25) from generate_series(1, 30000) i;
            create extension file_fdw; create server files foreign data wrapper file_fdw;
            create foreign table zzz (line text) server files options (program 'echo $$ > %s; exec sleep 600')""" % fifo)
        running = subprocess.Popen(self.command("backup", "orders"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        came = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        try:
            pid = wait_until(lambda: running.poll() is None and os.read(came, 32) or running.poll() is not None and b"0")
        finally:
            os.close(came)
            os.unlink(fifo)
        self.assertIsNone(running.poll(), running.stdout.read() if running.poll() is not None else "")
        return running, int(pid)

    def ended(self, running, says, mails=1):
        said = running.communicate(timeout=60)[0]
        self.assertEqual(running.returncode, 1, said)
        self.assertRegex(said, says)
        wait_until(lambda: len(self.inbox.mails) >= mails)
        self.assertTrue(self.inbox.subjects()[-1].startswith("FAIL bakfs backup orders"), self.inbox.subjects())
        return said

    def test_pg_dump_is_killed(self):
        m = self.begin()
        running, pid = self.while_dumping(m, "exec sleep 600")
        os.kill(pid, signal.SIGKILL)
        self.ended(running, r"pg_dump was killed by signal 9 \(Killed\)")
        self.nothing_left()
        self.assertEqual(self.connections(), "0")

    def test_the_real_pg_dump_is_killed(self):
        m = self.begin(dump_options="--include-foreign-data=files")
        running, rows = self.while_really_dumping(self.pg)
        with open("/proc/%d/task/%d/children" % (running.pid, running.pid), encoding="ascii") as f:
            dumper = int(f.read().split()[0])
        with open("/proc/%d/comm" % dumper, encoding="ascii") as f:
            self.assertEqual(f.read(), "pg_dump\n")
        self.assertIn(".orders.dump", m.status()["writing"][0]["path"])
        os.kill(dumper, signal.SIGKILL)
        self.ended(running, r"pg_dump was killed by signal 9 \(Killed\)")
        self.nothing_left()
        os.kill(rows, signal.SIGTERM) # the server's process ends with it
        wait_until(lambda: self.connections() == "0")

    def test_interrupted(self):
        m = self.begin()
        running, pid = self.while_dumping(m, "exec sleep 600")
        said = self.bakfs("backup", "orders", code=1)
        self.assertIn("another backup of orders is running (pid %d)" % running.pid, said)
        running.send_signal(signal.SIGINT)
        self.ended(running, r"stopped by signal 2 \(Interrupt\)", mails=2)
        self.assertFalse(os.path.exists("/proc/%d" % pid))
        self.nothing_left()

    def test_the_mount_is_lost(self):
        m = self.begin()
        running, _ = self.while_dumping(m, "while kill -0 %d 2>/dev/null; do sleep 0.1; done; echo x >> \"$f\" || exit 1; exit 1" % m.daemon.pid)
        m.daemon.kill()
        m.daemon.wait()
        m.daemon = None
        said = self.ended(running, "the mount .* was lost")
        self.assertIn("hint: bakfs umount --lazy && bakfs mount", said)
        subprocess.run(["umount", "-l", m.point], check=True)
        self.assertEqual(os.listdir(m.point), [])
        said = self.bakfs("backup", "orders", code=1)
        self.assertIn("nothing is mounted there", said)
        self.assertIn("hint: bakfs mount", said)
        self.nothing_left_in_store()

    def test_what_to_type_fits_the_failure(self):
        m = self.begin()
        with open(m.conf, encoding="utf8") as f:
            text = f.read()
        with open(m.conf, "w", encoding="utf8") as f:
            f.write(text + "[database odd]\nconninfo = gibberish\n")
        self.assertIn("hint: write the conninfo of [database NAME] like that", self.bakfs("backup", "odd", code=1))
        with open(m.conf, "w", encoding="utf8") as f:
            f.write(text)
        m.stop()
        m.options = ["-o", "ro"]
        m.start()
        self.assertIn("hint: bakfs umount && bakfs mount, without -o ro", self.bakfs("backup", "orders", code=1))

    def nothing_left_in_store(self):
        self.assertEqual([k for k in self.store.keys() if "META" in k], [])

    def test_no_server(self):
        self.ready(self.sections(conninfo="host=127.0.0.1 port=1 dbname=orders"))
        self.fails(says="connect to the database: .*refused")

    def test_the_mount_is_read_only(self):
        self.make_database("orders", SCHEMA)
        self.ready(self.sections(), options=["-o", "ro"])
        self.assertIn("read-only", self.fails(says="the mount is read-only"))

    def test_the_store_is_full(self):
        self.make_database("orders", "create table noise as select md5(i::text) || md5((-i)::text) as x from generate_series(1, 200000) i;")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "bakfs-test", self.store.root], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.store.root], check=True)
        self.ready(self.sections())
        said = self.fails(says="pg_dump exited with 1: pg_dump: error: .*(No space left on device|Input/output error)")
        self.assertRegex(said, "hint: (df -h|journalctl -t bakfs)")

    def test_a_wrong_password_and_a_server_that_goes_away(self):
        pg = Postgres()
        self.addCleanup(pg.close)
        pg.run("createdb", "orders")
        pg.query("postgres", "create role app login password 'right'")
        with open(pg.data + "/pg_hba.conf", "w", encoding="ascii") as f:
            f.write("local all postgres trust\nlocal all all scram-sha-256\n")
        pg.query("postgres", "select pg_reload_conf()")
        self.ready(self.sections(conninfo="host=%s user=app dbname=orders" % pg.socket))
        said = self.bakfs("backup", "orders", code=1, env={"PGPASSWORD": "geheim"})
        self.assertRegex(said, "connect to the database: .*password authentication failed")
        self.assertIn(".pgpass", said)
        wait_until(lambda: self.inbox.mails)
        self.assertNotIn("geheim", said + self.inbox.mails[0][2])
        self.nothing_left()
        self.mounted.stop()
        self.ready(self.sections(conninfo="host=%s user=postgres dbname=orders" % pg.socket, dump_options="--include-foreign-data=files"))
        running, _ = self.while_really_dumping(pg)
        as_postgres(pg.tool("pg_ctl"), "-D", pg.data, "-m", "immediate", "-w", "stop", cwd="/", stdout=subprocess.DEVNULL)
        self.ended(running, "server closed the connection", mails=2)
        self.nothing_left()
        as_postgres(pg.tool("pg_ctl"), "-D", pg.data, "-o", "-k " + pg.socket + " -c listen_addresses=", "-l", pg.data + "/log",
                    "-w", "start", cwd="/", stdout=subprocess.DEVNULL)


@only("dir")
class Beside(BackupCase):
    def test_the_snapshot_and_those_who_write_meanwhile(self):
        """META says what the dump holds, whatever is written after its snapshot."""
        self.make_database("orders", SCHEMA)
        m = self.ready(self.sections())
        script = 'PGUSER=postgres PGHOST=%s %s -qXd orders -c "insert into public.orders (item) select 1 from generate_series(1, 500)"; exec %s "$@"' % (
            self.pg.socket, self.pg.tool("psql"), self.pg.tool("pg_dump"))
        with FakeTools(self, m, script):
            answer, _ = self.answer_of(self.bakfs("backup", "orders", "--json"))
        self.assertEqual(self.pg.query("orders", "select count(*) from orders"), "1500")
        _, _, facts = self.meta(m.path(answer["meta"]))
        self.assertIn(("rows", "public.orders", "1000"), facts)
        self.make_database("again")
        self.pg.run("pg_restore", "-e", "-d", "again", m.path(answer["dump"]))
        self.assertEqual(self.pg.query("again", "select count(*) from orders"), "1000")

    def test_a_host_without_an_identity(self):
        self.make_database("orders", SCHEMA)
        m = self.ready(self.sections(), identity=None)
        answer, _ = self.answer_of(self.bakfs("backup", "orders", "--json"))
        self.assertEqual(m.stop(), 0)
        reader = self.mount()
        _, files, _ = self.meta(reader.path(answer["meta"]))
        self.assertEqual(len(files), 3)
        for name, _, digest in files:
            path = reader.path(os.path.dirname(answer["meta"]), name)
            self.assertEqual(os.getxattr(path, "user.bakfs.digest").decode(), digest)

    def test_sqlite(self):
        path = os.path.join(self.tmp, "shop.db")
        with sqlite3.connect(path) as db:
            db.execute("create table t (i int)")
            db.executemany("insert into t values (?)", [(i,) for i in range(100)])
        sections = self.sections()
        copy = os.path.join(self.tmp, "copy.db")
        sections["database shop"] = {"host": "db1", "dump_command": "sqlite3 %s .dump" % path,
                                     "restore_command": 'sqlite3 -bail "%s/$BAKFS_INTO"' % self.tmp}
        sections["database cut"] = {"host": "db1", "dump_command": "echo 'create table'; echo 'Error: disk I/O error' >&2; exit 1"}
        m = self.ready(sections)
        answer, _ = self.answer_of(self.bakfs("backup", "shop", "--json"))
        meta, files, facts = self.meta(m.path(answer["meta"]))
        self.assertEqual((meta["engine"], meta["format"], len(files), facts), ("command", "command", 1, []))
        said = self.bakfs("restore", "shop", "--into", "copy.db", "--yes")
        self.assertRegex(said.splitlines()[-1], "^PASS copy.db: ")
        with sqlite3.connect(copy) as again:
            self.assertEqual(again.execute("select count(*) from t").fetchone(), (100,))
        said = self.bakfs("backup", "cut", code=1)
        self.assertIn("dump_command exited with 1: Error: disk I/O error", said)
        self.assertIn("hint: it failed by itself: type what dump_command says in a shell", said)
        self.assertFalse([k for k in self.store.keys() if "cut" in k])

    def test_mariadb(self):
        server = MariaDb()
        self.addCleanup(server.close)
        server.query("create database shop; create table shop.t (i int); insert into shop.t values (1), (2), (3)")
        dump = "mariadb-dump --no-defaults -S %s --single-transaction" % server.socket
        sections = self.sections()
        restore = 'mariadb --no-defaults -S %s -u root "$BAKFS_INTO"' % server.socket
        sections["database shop"] = {"host": "db1", "dump_command": dump + " shop", "restore_command": restore}
        sections["database gone"] = {"host": "db1", "dump_command": dump + " nosuchdb"}
        sections["database cut"] = {"host": "db1", "dump_command": dump + " shop | head -c 900"}
        m = self.ready(sections)
        answer, _ = self.answer_of(self.bakfs("backup", "shop", "--json"))
        self.assertEqual(os.getxattr(m.path(answer["dump"]), "user.bakfs.complete"), b"yes")
        server.query("create database again")
        said = self.bakfs("restore", "shop", "--into", "again", "--yes")
        self.assertRegex(said.splitlines()[-1], "^PASS again: restore_command read all of it")
        self.assertEqual(server.query("select count(*) from again.t").split()[-1], "3")
        said = self.bakfs("restore", "shop", "--into", "nosuchdb", "--yes", code=1)
        self.assertRegex(said, "FAIL .*Unknown database 'nosuchdb'")
        self.assertIn("nosuchdb", self.bakfs("backup", "gone", code=1))
        self.assertIn("stopped short", self.bakfs("backup", "cut", code=1))
        self.assertFalse([k for k in self.store.keys() if "cut" in k or "gone" in k])


class MariaDb:
    """A server of our own in a temporary directory."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="bakfs-maria-")
        self.socket = os.path.join(self.dir, "s")
        shutil.chown(self.dir, "mysql")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        data = os.path.join(self.dir, "data")
        subprocess.run(["mariadb-install-db", "--no-defaults", "--user=mysql", "--datadir=" + data, "--skip-test-db",
                        "--auth-root-authentication-method=normal"], check=True, **quiet)
        self.server = subprocess.Popen(["mariadbd", "--no-defaults", "--user=mysql", "--datadir=" + data, "--socket=" + self.socket,
                                        "--skip-networking", "--pid-file=" + os.path.join(self.dir, "pid"),
                                        "--innodb-flush-log-at-trx-commit=0"], **quiet)
        wait_until(lambda: subprocess.run(["mariadb", "--no-defaults", "-S", self.socket, "-u", "root", "-e", "select 1"],
                                          check=False, **quiet).returncode == 0)

    def query(self, text, database="mysql", **how):
        words = ["mariadb", "--no-defaults", "-S", self.socket, "-u", "root", "-N", "-D", database] + (["-e", text] if text else [])
        return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **how).stdout

    def close(self):
        self.server.terminate()
        self.server.wait(60)
        shutil.rmtree(self.dir, ignore_errors=True)
