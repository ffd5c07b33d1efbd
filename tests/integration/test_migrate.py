"""bakfs migrate: a backup before and after, what changed, and the line that brings the old state back."""

import os
import re
import shlex

import mount
from case import only
from verbs import Inbox, VerbCase

SCHEMA = "create table orders (id serial primary key, item text); insert into orders (item) select 'x' from generate_series(1, 100);"


@only("dir")
class Migrate(VerbCase):
    def setUp(self):
        super().setUp()
        self.make_database("orders", SCHEMA)
        self.ready({"database orders": {"conninfo": self.conninfo("orders"), "host": "db1"}})

    def script(self, sql, end=""):
        """Waits for no lock of ours: it would end after a second."""
        path = os.path.join(self.tmp, "migrate.sh")
        command = [self.pg.tool("psql"), "-Xq", "-v", "ON_ERROR_STOP=1", "-h", self.pg.socket, "-U", "postgres", "-d", "orders"]
        with open(path, "w", encoding="utf8") as f:
            f.write("#!/bin/sh -e\n%s <<'SQL'\nset lock_timeout = '1s';\n%s\nSQL\n%s\n" % (shlex.join(command), sql, end))
        os.chmod(path, 0o755)
        return path

    def type(self, line):
        path = os.path.dirname(mount.BAKFS) + ":" + os.environ["PATH"]
        self.run_ok("sh", "-c", line, cwd="/", env=dict(os.environ, PATH=path))

    def metas(self):
        return [n for n in self.names_below("db1") if n.endswith(".META")]

    def test_one_that_succeeds(self):
        script = self.script("alter table orders add column paid boolean; delete from orders where id <= 10;")
        said = self.bakfs("migrate", "orders", "--", script)
        self.assertEqual(len(self.metas()), 2)
        self.assertIn("public.orders.paid", said)
        self.assertRegex(said, r"rows public\.orders: 90, was 100")
        self.assertIn("migrated", said)

    def test_one_that_fails(self):
        script = self.script("alter table orders drop column item; delete from orders where id <= 10;", "exit 7")
        said = self.bakfs("migrate", "orders", "--", script, code=7)
        self.assertEqual(len(self.metas()), 1)
        self.assertIn("migrate.sh exited with 7", said)
        self.assertIn("public.orders.item", said)
        line = re.search(r"^  (bakfs restore orders --at \S+ --replace.*)$", said, re.M).group(1)
        self.type(line + " --yes")
        self.assertEqual(self.pg.query("orders", "select count(item) from orders"), "100")
        kept = [d for d in self.databases() if d.startswith("orders_before")]
        self.assertEqual(len(kept), 1)
        self.addCleanup(self.drop_database, kept[0])

    def test_each_failure_is_told_with_a_line_of_its_own(self):
        inbox = Inbox()
        self.addCleanup(inbox.close)
        conf = {"smtp": inbox.url, "to": "ops@example.com"}
        self.ready({"database orders": {"conninfo": self.conninfo("orders"), "host": "db1"}, "notify": conf})
        lines = []
        for count in (1, 2):
            said = self.bakfs("migrate", "orders", "--", "false", code=1)
            lines.append(re.search(r"^  (bakfs restore orders --at \S+ --replace.*)$", said, re.M).group(1))
            self.assertIn(lines[-1], inbox.wait(count)[-1].get_content())
        self.assertNotEqual(*lines)
        self.bakfs("migrate", "orders", "--", "true")
        self.assertRegex(str(inbox.wait(3)[-1]["Subject"]), "^PASS again bakfs migrate orders")

    def test_on_a_host_without_an_identity(self):
        self.ready({"database orders": {"conninfo": self.conninfo("orders"), "host": "db2"}}, identity=None)
        said = self.bakfs("migrate", "orders", "--", "true")
        self.assertIn("no identity of this host opens it", said)
        self.assertRegex(said, r"comes back with: bakfs restore orders --at \S+ --replace")
        said = self.bakfs("migrate", "orders", "--", "sh", "-c", "exit 5", code=5)
        self.assertRegex(said, r"(?m)^  bakfs restore orders --at \S+ --replace")

    def test_nothing_is_run_without_a_backup(self):
        marker = os.path.join(self.tmp, "ran")
        self.pg.query("postgres", "alter database orders allow_connections false")
        said = self.bakfs("migrate", "orders", "--", "touch", marker, code=1)
        self.assertIn("the command was not run", said)
        self.assertFalse(os.path.exists(marker))
        self.bakfs("migrate", "orders", code=2)
        self.bakfs("migrate", "orders", "true", code=2)
