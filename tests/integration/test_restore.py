"""bakfs restore: what was there when it was backed up, or nothing; and never anything to a database that exists."""

import contextlib
import glob
import hashlib
import os
import pty
import re
import signal
import socket
import subprocess
import time

import case
import mount
from case import both_stores, only, put_file, wait_until
from postgres import Postgres, as_postgres
from verbs import Inbox, VerbCase

SHOP = '''
create type state as enum ('new', 'sent');
create table customers (id serial primary key, name text not null);
create table orders (id serial primary key, customer int references customers, state state default 'new', note text);
create index orders_state on orders (state);
create table lines (id bigserial primary key, "order" int not null references orders on delete cascade, what text);
create table log (at timestamptz default now(), what text);
create table "Weird ""table""" ("a=b" int);
create view open_orders as select o.id, c.name from orders o join customers c on c.id = o.customer where o.state = 'new';
create function total() returns bigint language sql as 'select count(*) from orders';
insert into customers (name) select 'customer ' || i from generate_series(1, 50) i;
insert into orders (customer, note) select 1 + i % 50, 'note ' || i from generate_series(1, 400) i;
insert into lines ("order", what) select 1 + i % 400, 'line ' || i from generate_series(1, 1000) i;
insert into log (what) select 'log ' || i from generate_series(1, 300) i;
'''

# what is restored waits at its first row until a file is there: then something can happen to it
GATE = """
create function gate() returns bool language plpgsql as $$ begin
  while current_database() <> '%s' and (pg_stat_file('%s', true)).size is null loop perform pg_sleep(0.02); end loop;
  return true; end $$;
create table a_gate (id int, filler text, constraint waits check (id <> 0 or gate()));
alter table a_gate alter filler set storage external;
insert into a_gate select i, repeat(md5(i::text), 200) from generate_series(0, %d) i;
"""


class RestoreCase(VerbCase):
    def sections(self, **keys):
        return {"database orders": {"conninfo": self.conninfo("orders"), "host": "db1", **keys}}

    def backed_up(self, script=SHOP, sections=None, **keys):
        """A database orders, a mount, a backup of it. -> its dump below the mount"""
        self.make_database("orders", script)
        self.ready(dict(self.sections(**keys), **(sections or {})))
        return self.backup("orders")

    def backup(self, name):
        self.bakfs("backup", name)
        return self.newest("dump", "dir", "sql")

    def newest(self, *suffixes):
        found = []
        for suffix in suffixes:
            found += glob.glob(self.mounted.path("*/2*/*/*Z.*." + suffix))
        found = [f for f in found if not f.endswith((".globals.sql", ".schema.sql"))]
        return os.path.relpath(max(found, key=lambda f: os.path.basename(f).split(".")[-3]), self.mounted.point)

    def restore(self, *words, into=None, code=0, says=None, **how):
        if into:
            self.addCleanup(self.drop_database, into)
            words += ("--into", into)
        said = self.bakfs("restore", *words, code=code, **how)
        last = said.rstrip("\n").split("\n")[-1]
        if "--dry-run" not in words:
            self.assertTrue(last.startswith({0: "PASS ", 1: "FAIL ", 3: "FAIL "}.get(code, "")), said)
        if says:
            self.assertRegex(said, says)
        return said

    def count(self, database, table):
        return int(self.pg.query(database, "select count(*) from " + table))

    def leaves_nothing(self, before):
        self.assertEqual(self.databases(), before)

    def rewrite_meta(self, change):
        """What a META says, changed, and its end made right again."""
        path = self.mounted.path(self.newest("META"))
        with open(path, "rb") as f:
            body = change(f.read().rpartition(b"sha256 = ")[0])
        put_file(path, [body + b"sha256 = " + hashlib.sha256(body).hexdigest().encode() + b"\n"])


@both_stores
class Restore(RestoreCase):
    @case.short
    def test_while_the_source_goes_on(self):
        """pgbench writes all the time: what is restored is the snapshot, not what the source is now."""
        self.make_database("orders")
        self.pg.run("pgbench", "-i", "-q", "-s", "2", "orders", stdout=subprocess.DEVNULL)
        m = self.ready(self.sections())
        bench = subprocess.Popen([self.pg.tool("pgbench"), "-n", "-c", "2", "-T", "600", "orders"], env=self.pg.env,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: self.count("orders", "pgbench_history") > 50)
            self.bakfs("backup", "orders")
            then = self.count("orders", "pgbench_history")
            said = self.restore("orders", "--yes", into="orders_new")
            wait_until(lambda: self.count("orders", "pgbench_history") > then)
        finally:
            bench.terminate()
            bench.wait()
        with open(m.path(self.newest("META")), encoding="utf8") as f:
            counts = dict(re.findall(r"^rows = public\.(\w+)\t(\d+)$", f.read(), re.M))
        self.assertEqual(len(counts), 4, counts)
        for table, rows in counts.items():
            self.assertEqual(self.count("orders_new", table), int(rows), table)
        # money in, money out: a snapshot in the middle of a transaction would not add up
        total = "select sum(%s) from pgbench_%s"
        self.assertEqual(self.pg.query("orders_new", total % ("bbalance", "branches")), self.pg.query("orders_new", total % ("delta", "history")))
        self.assertIn("PASS orders_new: restored, and as it was when it was backed up", said)
        self.assertGreater(self.count("orders", "pgbench_history"), int(counts["pgbench_history"]))

    def test_a_flipped_byte(self):
        """In the dump of each format, and of what people copied in: FAIL, by name, and no database is left."""
        noise = "create table noise as select i, md5(i::text) || md5((i * 7)::text) x from generate_series(1, 60000) i;"
        dump = self.backed_up(noise)
        plain = self.mounted.make("db1", "2026-11-20", "orders.sql")
        self.pg.run("pg_dump", "-f", plain, "orders")
        before = self.databases()
        for path in (dump, "db1/2026-11-20/orders.sql"):
            key = path + ".zst.age"
            data = self.store.get(key)
            at = len(data) * 3 // 5
            self.store.put(key, data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        self.mounted.restart()
        self.restore(self.mounted.path(dump), "--yes", "--into", "broken", code=1, says=r"FAIL restore broken: pg_restore exited with 1")
        said = self.restore(self.mounted.path("db1/2026-11-20/orders.sql"), "--yes", "--into", "broken", code=1)
        self.assertRegex(said, r"FAIL restore broken: read .*/db1/2026-11-20/orders.sql")
        self.leaves_nothing(before)


@only("dir")
class Ways(RestoreCase):
    def test_all_formats_and_properties(self):
        setup = SHOP + """
            alter database orders set work_mem = '7MB'; alter database orders set search_path = "$user", public, "odd, name";
            alter role postgres in database orders set statement_timeout = '77s';
            comment on database orders is 'it''s ours'; revoke connect on database orders from public;
            alter database orders connection limit 33;
        """
        self.make_database("orders", setup)
        sections = self.sections()
        for name, keys in (("folder", {"format": "directory", "jobs": "2"}), ("plain", {"format": "plain"})):
            sections["database " + name] = dict(sections["database orders"], **keys)
        self.ready(sections)
        facts = ("select datconnlimit, (select array_agg(a order by a::text) from unnest(datacl) a), shobj_description(oid, 'pg_database'), pg_encoding_to_char(encoding), datcollate "
                 "from pg_database where datname = '%s'")
        settings = ("select setrole, (select array_agg(c order by c) from unnest(setconfig) c) from pg_db_role_setting s join pg_database d on d.oid = setdatabase where datname = '%s' "
                    "order by 1")
        for name in ("orders", "folder", "plain"):
            self.bakfs("backup", name)
            into = "into_" + name
            self.restore(name, "--yes", into=into)
            for query in (facts, settings):
                self.assertEqual(self.pg.query("postgres", query % into), self.pg.query("postgres", query % "orders"), name)
            self.assertEqual(self.count(into, "lines"), 1000)
            self.assertEqual(self.pg.query(into, "select count(*) > 3 from pg_statistic"), "t")

    def test_at(self):
        """Each of three backups by a time; a bad or a failed one only by force."""
        self.make_database("orders", "create table t (i int)")
        self.ready(self.sections())
        stamps = []
        for i in range(3):
            self.pg.query("orders", "insert into t values (%d)" % i)
            dump = self.backup("orders")
            stamps.append(dump.split("Z.")[0].split(".")[-1] + "Z")
            second = int(time.time())
            wait_until(lambda s=second: int(time.time()) > s)  # STEM has no fractions
        for i, stamp in enumerate(stamps):
            self.restore("orders", "--at", stamp, "--yes", into="t%d" % i)
            self.assertEqual(self.count("t%d" % i, "t"), i + 1)
        put_file(self.mounted.path(dump.rsplit(".", 1)[0] + ".VERIFIED.%s.FAIL" % stamps[2]), [b"x"])
        said = self.restore("orders", "--dry-run", code=0).partition("WARNING")
        self.assertIn(stamps[1], said[0])
        self.restore("db1", "orders", "--dry-run", "--force", says="WARNING .*verification failed")
        os.unlink(self.mounted.path(self.newest("META")))
        self.assertIn(stamps[1], self.restore("orders", "--dry-run"))
        self.restore("orders", "--at", "2001-01-01", code=1, says="the oldest is of")
        self.restore("orders", "--at", "2026-10-25 02:30", code=2, says="twice", env={"TZ": "Europe/Berlin"})
        self.restore("orders", "--at", "soon", code=2)

    def test_replace(self):
        """Sessions end, the names are exchanged, the old one is kept with all that it had."""
        name = "ö" * 31 + "x"  # 63 bytes
        self.make_database(name, "create table t as select 1 as i; alter database \"%s\" set work_mem = '9MB';" % name)
        self.ready({"database orders": {"conninfo": "host=%s user=postgres dbname='%s'" % (self.pg.socket, name), "host": "db1"}})
        self.bakfs("backup", "orders")
        self.pg.query(name, "insert into t values (2); grant connect on database \"%s\" to pg_monitor" % name)
        before = self.databases()
        # not confirmed: nothing to ask, and the wrong word
        said = self.restore("orders", "--replace", code=2, says="add --yes")
        self.assertIn("its sessions are ended (0 now)", said)
        self.assertEqual(self.typed(b"yes\n", "orders", "--replace"), 2)
        self.leaves_nothing(before)
        session = subprocess.Popen([self.pg.tool("psql"), "-Xq", name], env=self.pg.env, stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        session.stdin.write(b"select pg_sleep(600);\n")
        session.stdin.flush()
        running = "select count(*) from pg_stat_activity where datname = '%s' and state = 'active'" % name
        wait_until(lambda: self.pg.query("postgres", running) == "1")
        self.assertEqual(self.typed(name.encode() + b"\n", "orders", "--replace"), 0)
        session.wait(30)
        session.stdin.close()
        old = [d for d in self.databases() if d not in before]
        self.assertEqual(len(old), 1)
        self.addCleanup(self.drop_database, old[0])
        self.assertRegex(old[0], r"^ö{19}_before_\d{8}T\d{6}Z$")
        self.assertEqual((self.count(name, "t"), self.count(old[0], "t")), (1, 2))
        self.assertEqual(self.pg.query(name, "show work_mem"), "9MB")
        acl = "select datacl from pg_database where datname = '%s'"
        self.assertEqual(self.pg.query("postgres", acl % name), self.pg.query("postgres", acl % old[0]))

    def typed(self, text, *words):
        """The exit code with a terminal, on which somebody types."""
        master, slave = pty.openpty()
        process = subprocess.Popen(self.command("restore", *words), stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        said = b""
        with contextlib.suppress(OSError):
            while b"database to replace it: " not in said:
                said += os.read(master, 4096)
            os.write(master, text)
            while True:
                said += os.read(master, 4096)
        os.close(master)
        return process.wait(60)

    def test_a_difference_is_never_swapped(self):
        self.backed_up()
        self.rewrite_meta(lambda body: body.replace(b"rows = public.lines\t1000\n", b"rows = public.lines\t1001\n"))
        before = self.databases()
        said = self.restore("orders", "--replace", "--yes", code=3, says="rows public.lines")
        made = [d for d in self.databases() if d not in before]
        self.assertEqual(len(made), 1)
        self.addCleanup(self.drop_database, made[0])
        self.assertIn(made[0], said)
        self.assertEqual(self.count(made[0], "lines"), 1000)

    def test_what_the_server_lacks(self):
        """Roles and extensions are looked for before the first byte; what is said to type works."""
        self.pg.query("postgres", "create role \"Shop app\"")
        self.addCleanup(self.pg.query, "postgres", "drop role if exists \"Shop app\"")
        self.backed_up(SHOP + "alter table orders owner to \"Shop app\"; grant select on lines to \"Shop app\";")
        self.pg.query("orders", "drop owned by \"Shop app\" cascade; drop role \"Shop app\"")
        before = self.databases()
        said = self.restore("orders", "--yes", "--into", "new", code=1, says="role Shop app")
        self.leaves_nothing(before)
        self.restore("orders", "--yes", "--no-owner", "--no-privileges", into="without")
        line = re.search(r"(?m)^FAIL .* type: (psql .* postgres), or", said).group(1)
        self.run_ok("sh", "-c", line, env={"PATH": os.environ["PATH"], "PGHOST": "/nowhere"})
        self.restore("orders", "--yes", into="new")
        self.assertEqual(self.pg.query("new", "select tableowner from pg_tables where tablename = 'orders'"), "Shop app")
        self.drop_database("new")
        self.rewrite_meta(lambda body: body.replace(b"extension = plpgsql\t", b"extension = nosuch\tschema x\nextension = plpgsql\t"))
        said = self.bakfs("restore", "orders", "--dry-run", code=1)
        self.assertIn("extension nosuch: is in the backup, and this server does not have it", said)
        self.restore("orders", "--yes", "--into", "x" * 64, code=1, says="64 bytes long")

    def test_some_tables(self):
        self.backed_up()
        said = self.restore("orders", "--table", "orders", "--table", "public.lines", "--yes", into="some")
        self.assertIn("PASS", said)
        tables = self.pg.query("some", "select string_agg(tablename, ' ' order by tablename) from pg_tables where schemaname = 'public'")
        self.assertEqual(tables, "lines orders")
        self.assertEqual((self.count("some", "orders"), self.count("some", "lines")), (400, 1000))
        keys = self.pg.query("some", "select string_agg(conname, ' ' order by conname) from pg_constraint where contype = 'f'")
        self.assertEqual(keys, "lines_order_fkey")
        self.assertEqual(self.pg.query("some", "select nextval('orders_id_seq')"), "401")
        before = self.databases()
        self.restore("orders", "--table", "ordres", "--yes", "--into", "none", code=1, says="no table of that name")
        said = self.bakfs("restore", "orders", "--table", "ordres", "--into", "none", "--dry-run", code=1)
        self.assertIn("no table of that name", said)
        self.leaves_nothing(before)
        self.restore("orders", "--table", "orders", "--replace", code=2)

    def test_what_people_copied_in(self):
        self.make_database("orders", SHOP)
        m = self.ready()
        day = ("db1", "2026-11-20")
        self.pg.run("pg_dump", "-f", m.make(*day, "a.sql"), "orders")
        self.pg.run("pg_dump", "-Fc", "-Z0", "-f", m.make(*day, "b.dump"), "orders")
        self.pg.run("pg_dump", "-Ft", "-f", m.make(*day, "c.tar"), "orders")
        self.pg.run("pg_dump", "-C", "-f", m.make(*day, "d.sql"), "orders")
        put_file(m.make(*day, "e.sql"), [b"-- MariaDB dump 10.19\n-- Dump completed on 2026-11-22\n"])
        put_file(m.make(*day, "f.sql.gz"), [b"\x1f\x8b\x08\x00" + bytes(100)])
        for name in ("a.sql", "b.dump", "c.tar"):
            said = self.restore(m.path(*day, name), "--yes", into="copied", says="nothing to compare with")
            self.assertEqual(self.count("copied", "lines"), 1000, said)
            self.drop_database("copied")
        before = self.databases()
        self.restore(m.path(*day, "d.sql"), "--yes", "--into", "copied", code=1, says=r"another database by itself \(.connect\)")
        self.restore(m.path(*day, "e.sql"), "--yes", "--into", "copied", code=1, says="restore_command")
        self.restore(m.path(*day, "f.sql.gz"), "--yes", "--into", "copied", code=1, says="gzip -dc")
        self.restore(m.path(*day, "a.sql"), "--replace", "--into", "orders", "--yes", code=1, says="no META")
        self.leaves_nothing(before)

    def test_another_engine(self):
        """Its command gets the dump on its standard input, and a read error is not the end of it."""
        out = os.path.join(self.tmp, "restored")
        m = self.ready({"database shop": {"host": "db1", "dump_command": "seq 1 300000", "restore_command": "cat > $BAKFS_INTO"}})
        self.bakfs("backup", "shop")
        self.restore("shop", "--yes", code=1, says="--into")
        said = self.restore("shop", "--into", out, "--yes", code=0)
        self.assertIn("read all of it", said)
        with open(out, "rb") as f:
            self.assertEqual(hashlib.sha256(f.read()).hexdigest(), case.sha256_of(m.path(self.newest("dump"))))
        with open(m.conf, encoding="utf8") as f:
            text = f.read()
        for command, says in (("head -c 10 > $BAKFS_INTO", "did not read all"), ("echo bad >&2; exit 5", "exited with 5: bad")):
            with open(m.conf, "w", encoding="utf8") as f:
                f.write(text.replace("cat > $BAKFS_INTO", command))
            self.restore("shop", "--into", out, "--yes", code=1, says=says)

    def test_a_subscription_never_touches_the_publisher(self):
        with socket.socket() as publisher:
            publisher.bind(("127.0.0.1", 0))
            publisher.listen()
            publisher.setblocking(False)
            script = "create table t (i int); create subscription s connection 'host=127.0.0.1 port=%d dbname=x' publication p with (connect = false)"
            dump = self.backed_up(script % publisher.getsockname()[1])
            self.addCleanup(self.unsubscribe, "orders")
            said = self.restore("orders", "--yes", into="subscribed", says="subscription s: disabled")
            self.addCleanup(self.unsubscribe, "subscribed")
            self.assertIn("PASS", said)
            self.assertEqual(self.pg.query("subscribed", "select subenabled from pg_subscription s join pg_database d on d.oid = subdbid "
                                           "where datname = 'subscribed'"), "f")
            # what fails after the subscription was made is dropped with it
            plain = self.mounted.make("db1", "2026-11-19", "cut.sql")
            self.pg.run("pg_dump", "-f", plain, "orders")
            self.assertTrue(dump)
            with self.assertRaises(BlockingIOError):
                publisher.accept()

    def unsubscribe(self, database):
        self.pg.query(database, "alter subscription s disable; alter subscription s set (slot_name = none)")
        self.pg.query(database, "drop subscription s")


@only("dir")
class Failures(RestoreCase):
    """One clear sentence, exit 1, a mail, and no database that was not there."""

    def gated(self, rows=2000, **keys):
        self.gate = os.path.join(self.pg.dir, "gate-%d" % time.monotonic_ns())
        self.addCleanup(lambda: os.path.exists(self.gate) and os.unlink(self.gate))
        self.inbox = Inbox()
        self.addCleanup(self.inbox.close)
        mail = {"notify": {"smtp": self.inbox.url, "from": "bakfs@example.com", "to": "ops@example.com"}}
        return self.backed_up(GATE % ("orders", self.gate, rows), mail, **keys)

    def started(self, *words, pg=None):
        """A restore that waits at the gate."""
        process = subprocess.Popen(self.command("restore", *words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        waiting = "select count(*) from pg_stat_activity where query like 'COPY public.a_gate %' and application_name = 'bakfs restore'"
        wait_until(lambda: (pg or self.pg).query("postgres", waiting) == "1")
        return process

    def ended(self, process, says, code=1):
        said = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, code, said)
        self.assertRegex(said.rstrip("\n").split("\n")[-1], "^FAIL .*" + says)
        wait_until(lambda: any(s.startswith("FAIL bakfs restore") for s in self.inbox.subjects()))
        return said

    def test_stopped_and_killed(self):
        self.gated()
        before = self.databases()
        process = self.started("orders", "--into", "stopped", "--yes")
        process.send_signal(signal.SIGTERM)
        self.ended(process, "stopped by signal 15")
        self.leaves_nothing(before)
        process = self.started("orders", "--into", "stopped", "--yes", "-j", "2")
        with open("/proc/%d/task/%d/children" % (process.pid, process.pid), encoding="ascii") as f:
            os.kill(int(f.read().split()[0]), signal.SIGKILL)
        self.ended(process, "pg_restore was killed by signal 9")
        self.leaves_nothing(before)

    def test_names_that_cannot_be_exchanged(self):
        """What was restored is kept, and the line that is said puts it there."""
        self.gated()
        process = self.started("orders", "--replace", "--yes")
        made = self.pg.query("postgres", "select datname from pg_database where datname like 'bakfs\\_restore\\_%'")
        self.addCleanup(self.drop_database, made)
        # another one was as far in the same second
        old = "orders_before_" + made.split("_")[-2]
        self.make_database(old)
        with open(self.gate, "w", encoding="ascii"):
            pass
        said = self.ended(process, "the restored database is kept as " + made)
        self.drop_database(old)
        by_hand = re.search(r"(?m)^  to exchange them by hand, when nobody uses it:  (.*)$", said).group(1)
        for statement in by_hand.split("; "):
            self.pg.query("postgres", statement)
        self.assertIn(old, self.databases())
        self.assertNotIn(made, self.databases())

    def test_a_damaged_dump(self):
        self.gated()
        key = [k for k in self.store.keys() if ".dump." in k][0]
        self.mounted.stop()
        self.store.put(key, self.store.get(key)[:-100])
        self.mounted.start()
        self.restore("orders", "--into", "damaged", "--yes", "--force", code=1, says="is damaged, or the store does not answer")

    def test_a_lost_mount(self):
        self.gated(rows=12000)  # 77 MB: more than was read ahead
        before = self.databases()
        process = self.started("orders", "--into", "lost", "--yes")
        self.mounted.daemon.kill()
        self.mounted.daemon.wait()
        self.mounted.daemon = None
        with open(self.gate, "w", encoding="ascii"):
            pass
        self.ended(process, "the daemon of this mount is gone; type: bakfs umount --lazy && bakfs mount")
        self.leaves_nothing(before)
        self.restore("orders", "--into", "lost", "--yes", code=1, says="bakfs umount --lazy")
        self.mounted.kill()
        self.restore("orders", "--into", "lost", "--yes", code=1, says="bakfs mount")

    def test_the_server_goes_away(self):
        self.gated()
        other = Postgres()
        self.addCleanup(other.close)
        to = "host=%s user=postgres" % other.socket
        process = self.started("orders", "--into", "gone", "--yes", "--to", to, pg=other)
        as_postgres(other.tool("pg_ctl"), "-D", other.data, "-m", "immediate", "-w", "stop", cwd="/", stdout=subprocess.DEVNULL)
        said = self.ended(process, "database gone is left there.* DROP DATABASE \"gone\"")
        self.assertIn("server closed the connection", said)
        self.restore("orders", "--into", "gone", "--yes", "--to", to, code=1, says="Connection refused|No such file")
        as_postgres(other.tool("pg_ctl"), "-D", other.data, "-o", "-k %s -c listen_addresses=" % other.socket, "-l", other.data + "/log",
                    "-w", "start", cwd="/", stdout=subprocess.DEVNULL)
        other.query("postgres", re.search("DROP DATABASE \"gone\"", said).group(0))

    def test_passwords(self):
        """A wrong one is one sentence; none is taken on the command line; none is shown."""
        self.backed_up("create table t (i int)")
        hba = self.pg.data + "/pg_hba.conf"
        with open(hba, encoding="utf8") as f:
            text = f.read()
        self.pg.query("postgres", "create role locked login createdb password 'rightsecret'")
        self.addCleanup(self.pg.query, "postgres", "drop role locked")
        with open(hba, "w", encoding="utf8") as f:
            f.write("local all locked scram-sha-256\n" + text)
        self.pg.query("postgres", "select pg_reload_conf()")
        self.addCleanup(self.pg.query, "postgres", "select pg_reload_conf()")
        self.addCleanup(lambda: open(hba, "w", encoding="utf8").write(text))
        to = ("--to", "host=%s user=locked" % self.pg.socket, "--no-owner", "--no-privileges")
        said = self.restore("orders", "--into", "new", "--yes", *to, code=1, says="FAIL .*password authentication failed",
                            env={"PGPASSWORD": "wrongsecret"})
        self.assertNotIn("wrongsecret", said)
        said = self.restore("orders", *to, "--yes", into="new", env={"PGPASSWORD": "rightsecret"})
        self.assertNotIn("rightsecret", said)
        for conninfo in ("host=x password=rightsecret", "postgresql://locked:rightsecret@x/y", "host=x PassWord = y"):
            said = self.bakfs("restore", "orders", "--to", conninfo, code=2)
            self.assertIn("no password belongs on a command line", said)
            self.assertNotIn("rightsecret", said)

    def test_a_full_disk_on_the_server(self):
        self.gated(rows=5000)  # 32 MB
        tmpfs = os.path.join(self.tmp, "tmpfs")
        os.mkdir(tmpfs)
        os.chmod(self.tmp, 0o755)
        self.run_ok("mount", "-t", "tmpfs", "-o", "size=12m,mode=755", "tmpfs", tmpfs)
        self.addCleanup(subprocess.run, ["umount", "-l", tmpfs], check=True)
        os.mkdir(tmpfs + "/space")
        subprocess.run(["chown", "postgres", tmpfs + "/space"], check=True)
        # new databases are made there: template0 names no place, so the role's own does
        self.pg.query("postgres", "create tablespace small location '%s/space'" % tmpfs)
        self.addCleanup(self.pg.query, "postgres", "drop tablespace small")
        self.pg.query("postgres", "create role tight superuser login; alter role tight set default_tablespace = small")
        self.addCleanup(self.pg.query, "postgres", "drop role tight")
        before = self.databases()
        with open(self.gate, "w", encoding="ascii"):
            pass
        to = "host=%s user=tight options='-c default_tablespace=small'" % self.pg.socket
        said = self.restore("orders", "--into", "full", "--yes", "--no-tablespaces", "--to", to, code=1)
        self.assertIn("No space left on device", said)
        self.leaves_nothing(before)
