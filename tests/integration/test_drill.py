"""bakfs drill and verify --restore: the backup comes back, its time is measured; what does not is named and told, and nothing is
left on the server."""

import hashlib
import json
import os
import re
import signal
import subprocess
import time

import case
from case import both_stores, only, put_file, wait_until
from verbs import Inbox, VerbCase

TABLES = """
create table orders (id bigserial primary key, what text not null, at timestamptz default now());
insert into orders (what) select md5(i::text) from generate_series(1, 2000) i;
create index orders_what on orders (what);
create view recent as select * from orders where id > 100;
create function twice(i int) returns int language sql as 'select i * 2';
create table empty (x int check (x > 0));
"""


class Drilled(VerbCase):
    def ready(self, sections=None, **how):
        self.pg.query("postgres", "do $$ begin create role drill login createdb; exception when duplicate_object then null; end $$")
        conf = {"restore": {"drill_conninfo": self.drill_server()}, "database orders": {"conninfo": self.conninfo("orders"), "host": "db1"}}
        for section, keys in (sections or {}).items():
            conf.setdefault(section, {}).update(keys)
        return super().ready(conf, **how)

    def drill_server(self, user="drill", database="postgres"):
        return "host=%s user=%s dbname=%s" % (self.pg.socket, user, database)

    def with_mail(self, on="always"):
        inbox = Inbox()
        self.addCleanup(inbox.close)
        return inbox, {"notify": {"smtp": inbox.url, "from": "a@example.com", "to": "b@example.com", "on": on}}

    def backup(self, database="orders"):
        self.bakfs("backup", database)

    def newest(self, suffix):
        top = self.mounted.path("db1")
        return [os.path.relpath(os.path.join(top, n), self.mounted.point) for n in self.names_below("db1") if n.endswith(suffix)][-1]

    def marks(self):
        return [os.path.join("db1", n) for n in self.names_below("db1") if ".VERIFIED." in n]

    def assert_no_scratch(self):
        self.assertEqual([d for d in self.databases() if d.startswith("bakfs_")], [])


@both_stores
class Drill(Drilled):
    @case.short
    def test_every_format_comes_back(self):
        inbox, notify = self.with_mail()
        self.make_database("orders", TABLES)
        formats = {"orders": "custom", "dirs": "directory", "text": "plain"}
        self.ready(dict(notify, **{"database " + n: {"conninfo": self.conninfo("orders"), "host": "db1", "format": f,
                                                     "drill_every": "1d"} for n, f in formats.items()}))
        # what the role of the drill may not do: owners, grants, event triggers; a body and data that look so
        self.pg.query("orders", """grant select on all tables in schema public to pg_monitor;
            create function looks() returns event_trigger language plpgsql as $f$
            begin
            alter table t owner to nobody;
            end $f$;
            create event trigger watch on ddl_command_end when tag in ('CREATE RULE') execute function looks();
            create table text_of as select E'ALTER TABLE public.t OWNER TO nobody;'::text as line""")
        for name in formats:
            self.backup(name)
        said = self.bakfs("drill")
        self.assertEqual(said.count("PASS  "), 3, said)
        self.assertEqual(len(re.findall(r"recovery time \d+\.\d s", said)), 3, said)
        self.assertIn("the drill server is the server that was dumped", said)
        self.assert_no_scratch()
        marks = self.marks()
        self.assertEqual([m.rpartition(".")[2] for m in marks], ["PASS"] * 3)
        with open(self.mounted.path(marks[0]), encoding="utf8") as f:
            text = f.read()
        self.assertIn("how = restore", text)
        self.assertRegex(text, r"restore_ms = [1-9]")
        wait_until(lambda: len([s for s in inbox.subjects() if "drill" in s]) == 3)
        mail = [m for m in inbox.mails if "PASS bakfs drill orders" in m[2]]
        self.assertIn("recovery time", mail[0][2])
        # none is due now
        self.assertEqual(self.bakfs("drill", "--due"), "")
        said = self.bakfs("verify", "--restore", "orders")
        self.assertRegex(said, r"PASS  \S+\.dump  restore: ")
        self.assert_no_scratch()

    def test_a_corrupt_backup_fails_with_a_mail_that_says_which(self):
        inbox, notify = self.with_mail("failure")
        self.make_database("orders", TABLES)
        self.make_database("other", "create table t as select 1 as x")
        self.ready(dict(notify, **{"database other": {"conninfo": self.conninfo("other"), "host": "db1"}}))
        self.backup()
        older = self.newest(".dump")
        stamp = re.search(r"\d{8}T\d{6}Z", older).group()
        wait_until(lambda: time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) > stamp)
        self.backup()
        self.backup("other")
        newest = [n for n in self.names_below("db1") if n.endswith("orders.dump")][-1]
        key = "db1/%s.zst.age" % newest
        data = self.store.get(key)
        at = len(data) * 2 // 3
        self.store.put(key, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        self.mounted.restart()
        said = self.bakfs("drill", code=3)
        self.assertIn("FAIL  db1/%s" % newest, said)
        self.assertRegex(said, r"PASS  \S+other\.dump")  # it goes on
        self.assertIn("bakfs restore orders --at " + stamp, said)
        self.assert_no_scratch()
        wait_until(lambda: inbox.mails)
        self.assertEqual([s for s in inbox.subjects() if not s.startswith("FAIL bakfs drill orders")], [])
        body = inbox.mails[0][2].replace("=\n", "").replace("=\r\n", "")
        self.assertIn(os.path.basename(newest), body)
        self.assertIn("bakfs restore orders --at " + stamp, body)
        self.assertEqual(len([m for m in self.marks() if m.endswith("FAIL")]), 1)


@only("dir")
class DrillRefuses(Drilled):
    def test_bad_backups(self):
        """Unfinished, truncated, with a file that is gone, without a backup at all."""
        self.make_database("orders", TABLES)
        self.ready({"protect": {"mode": "off"}, "database orders": {"format": "directory"}})
        said = self.bakfs("drill", code=3)
        self.assertIn("there is no backup of db1 orders: bakfs backup orders", said)
        self.backup()
        meta = self.mounted.path(self.newest(".META"))
        with open(meta, "rb") as f:
            text = f.read()
        os.unlink(meta)
        self.assertIn("unfinished: its META is missing", self.bakfs("drill", code=3))
        put_file(meta, [text])
        self.bakfs("drill", "orders")
        data = self.mounted.path(sorted(n for n in (os.path.join("db1", x) for x in self.names_below("db1")) if re.search(r"/\d+\.dat$", n))[0])
        with open(data, "rb") as f:
            rows = f.read()
        put_file(data, [rows[: len(rows) // 2]])
        self.assertRegex(self.bakfs("drill", code=3), r"FAIL  .*\.dat: has \d+ bytes, META says \d+")
        os.unlink(data)
        rows = json.loads(self.bakfs("drill", "--json", code=3))
        self.assertEqual([(r["name"], r["result"]) for r in rows], [("orders", "fail")])
        self.assertIn("missing, META lists it", rows[0]["reason"])
        self.assert_no_scratch()

    def test_a_cut_dump_that_somebody_copied_in(self):
        self.make_database("orders", TABLES)
        self.ready()
        self.pg.run("pg_dump", "-Fc", "-f", self.mounted.make("db1/2024-11-21/orders.dump"), "orders")
        said = self.bakfs("drill")
        self.assertIn("nothing says what should be in it", said)
        with open(self.mounted.path("db1/2024-11-21/orders.dump"), "rb") as f:
            data = f.read()
        put_file(self.mounted.make("db1/2024-11-22/orders.dump"), [data[: len(data) * 3 // 4]])
        said = self.bakfs("drill", code=3)
        self.assertIn("FAIL  db1/2024-11-22/orders.dump", said)
        self.assert_no_scratch()

    def test_differences_are_named(self):
        self.make_database("orders", TABLES)
        self.ready()
        self.backup()
        meta = self.mounted.path(self.newest(".META"))
        with open(meta, encoding="utf8") as f:
            text = f.read()
        text = text[: text.rindex("sha256 =")].replace("rows = public.orders\t2000", "rows = public.orders\t2001")
        text += "sha256 = %s\n" % hashlib.sha256(text.encode()).hexdigest()
        put_file(meta, [text.encode()])
        said = self.bakfs("drill", code=3)
        self.assertIn("rows public.orders", said)
        self.assertIn("2001", said)
        self.assert_no_scratch()

    def refuses(self, sentence, conninfo):
        with open(self.mounted.conf, encoding="utf8") as f:
            text = f.read()
        with open(self.mounted.conf, "w", encoding="utf8") as f:
            f.write(re.sub(r"(?m)^drill_conninfo = .*$", "drill_conninfo = " + conninfo, text))
        said = self.bakfs("drill", code=1)
        self.assertIn(sentence, said)
        self.assertEqual(self.marks(), [], "that is no fault of the backup")
        self.assert_no_scratch()

    def test_refusals(self):
        self.make_database("orders", TABLES)
        self.ready()
        self.backup()
        self.pg.query("postgres", "create role weak login")
        self.addCleanup(self.pg.query, "postgres", "drop role weak")
        self.refuses("CREATE ROLE bakfs_drill LOGIN CREATEDB", self.drill_server("postgres"))
        self.refuses('ALTER ROLE "weak" CREATEDB', self.drill_server("weak"))
        self.refuses("names the very database that was dumped", self.drill_server(database="orders"))
        self.refuses("the drill server", "host=%s port=1 user=drill" % self.pg.socket)
        self.refuses("there is no server to restore into", "")
        self.bakfs("drill", "nosuch", code=1)
        self.mounted.stop()
        self.assertIn("bakfs mount", self.bakfs("drill", code=1))

    def test_left_overs_of_a_killed_drill_are_dropped_and_nobody_else_s(self):
        self.make_database("orders", TABLES)
        self.ready()
        self.backup()
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        old, new = "bakfs_drill_orders_20240101T000000Z_1a2b", "bakfs_drill_orders_%s_1a2b" % now
        strange, named = "bakfs_verify_orders_20240101T000000Z_1a2b", "bakfs_drill_mine"
        for name in (old, new, strange, named):
            self.pg.run("createdb", "-T", "template0", "-O", "postgres" if name == strange else "drill", name)
            self.addCleanup(self.drop_database, name)
        said = self.bakfs("drill")
        self.assertIn("dropped " + old, said)
        self.assertEqual([d for d in self.databases() if d.startswith("bakfs_")], sorted((named, new, strange)))

    def test_stopped_in_the_middle(self):
        """kill -TERM: no scratch database is left, no verdict."""
        self.make_database("orders", TABLES + "create function slow(i int) returns int language plpgsql immutable as "
                           "'begin perform pg_sleep(0.01); return i; end'; create table t as select i from generate_series(1,3000) i; "
                           "alter table t add check (public.slow(i) > 0) not valid;")
        self.ready()
        self.backup()
        running = subprocess.Popen(self.command("drill"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wait_until(lambda: [d for d in self.databases() if d.startswith("bakfs_drill_orders_")])
        running.send_signal(signal.SIGTERM)
        said = running.communicate(timeout=60)[0]
        self.assertEqual(running.returncode, 1, said)
        self.assertIn("stopped", said)
        self.assert_no_scratch()
        self.assertEqual(self.marks(), [])

    def test_another_engine(self):
        into = os.path.join(self.tmp, "into")
        self.ready({"database lite": {"host": "db1", "dump_command": "echo 'create table t(x);'",
                                      "restore_command": "cat > %s; env | grep BAKFS_ | sort >> %s" % (into, into)}})
        self.backup("lite")
        said = self.bakfs("drill", "lite")
        self.assertIn("PASS", said)
        with open(into, encoding="utf8") as f:
            text = f.read()
        self.assertIn("create table t(x);", text)
        self.assertIn("BAKFS_DRILL=1", text)
        self.assertRegex(text, "BAKFS_INTO=bakfs_drill_lite_")


