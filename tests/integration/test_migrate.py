"""bakfs migrate: a backup before and after, what changed, and the line that brings the old state back."""

import os
import re
import shlex

from case import only
from verbs import VerbCase

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
        line = re.search(r"^  bakfs (restore orders --at \S+ --replace)$", said, re.M).group(1)
        self.bakfs(*line.split(), "--yes")
        self.assertEqual(self.pg.query("orders", "select count(item) from orders"), "100")
        kept = [d for d in self.databases() if d.startswith("orders_before")]
        self.assertEqual(len(kept), 1)
        self.addCleanup(self.drop_database, kept[0])

    def test_nothing_is_run_without_a_backup(self):
        marker = os.path.join(self.tmp, "ran")
        self.pg.query("postgres", "alter database orders allow_connections false")
        said = self.bakfs("migrate", "orders", "--", "touch", marker, code=1)
        self.assertIn("the command was not run", said)
        self.assertFalse(os.path.exists(marker))
        self.bakfs("migrate", "orders", code=2)
        self.bakfs("migrate", "orders", "true", code=2)
