"""What PASS and FAIL are worth: what was not looked at is said, and what cannot be looked at is not called different."""

import os

from case import only
from test_restore import RestoreCase


@only("dir")
class Verdicts(RestoreCase):
    def without_databases(self):
        """A configuration that knows the mount and a server, as on a bare machine."""
        path = os.path.join(self.tmp, "bare.conf")
        with open(path, "w", encoding="utf8") as f:
            f.write("[mount]\npoint = %s\n[restore]\nconninfo = %s\n" % (self.mounted.point, self.conninfo("postgres")))
        return path

    def test_a_bare_machine_does_not_know_the_queries(self):
        dump = self.backed_up(**{"check.many": "select count(*) from orders", "migration_query": "select 7"})
        said = self.restore(self.mounted.path(dump), "-c", self.without_databases(), "--yes", into="bare")
        self.assertIn("note  check many: not asked: its query is not in the configuration of this host; 400 in the backup",
                      said)
        self.assertIn("note  migration query: not asked", said)

    def test_a_query_that_fails_is_a_difference_and_loses_nothing(self):
        self.backed_up(**{"check.here": "select 1 / (current_database() = 'orders')::int"})
        said = self.restore("orders", "--yes", into="other", code=3)
        self.assertIn("note  check.here: division by zero", said)
        self.assertIn("FAIL  check here: no answer, was 1", said)
        self.assertEqual(self.count("other", "orders"), 400)

    def test_queries_may_ask_for_tables_that_were_not_wanted(self):
        self.backed_up(**{"check.many": "select count(*) from orders"})
        self.restore("orders", "--table", "log", "--yes", into="some")
        self.assertEqual(self.count("some", "log"), 300)
