"""What PASS and FAIL are worth: what was not looked at is said, and what cannot be looked at is not called different."""

import os
import subprocess

from case import only, put_file
from test_restore import SHOP, RestoreCase
from test_verify import STEM, TOP, Verified, pg_dump


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

    def test_rows_that_were_not_counted_are_said(self):
        self.backed_up(counts="off")
        said = self.restore("orders", "--yes", into="other")
        self.assertIn("note  rows: not counted in the backup: that all of them are there is not proved", said)
        self.assertIn("PASS other: restored, its definitions as they were when it was backed up; its rows were not counted",
                      said)

    def test_what_options_leave_out_excuses_nothing_else(self):
        # -x leaves out grants: that a table is gone is no less of a difference
        self.backed_up(dump_options="-x", script=SHOP + "grant select on log to public;")
        self.assertIn("note  grant table public.log to PUBLIC: not there", self.restore("orders", "--yes", into="other"))
        self.rewrite_meta(lambda text: text.replace(b"\ntable = public.log\t", b"\ntable = public.less\t"))
        said = self.restore("orders", "--yes", into="another", code=3)
        self.assertIn("FAIL  table public.less: missing", said)

    def test_sql_that_no_restore_takes_is_not_made(self):
        self.make_database("orders", SHOP)
        for options, good in (("--create", False), ("-v -c", False), ("--clean --if-exists", True)):
            self.ready(self.sections(format="plain", dump_options=options))
            said = self.bakfs("backup", "orders", code=0 if good else 1)
            self.assertEqual("in the plain format makes SQL that cannot be restored" in said, not good, said)
        self.restore("orders", "--yes", into="other")

    def test_nothing_at_all_is_not_well(self):
        self.ready()
        said = self.bakfs("status", code=1)
        self.assertIn("Not well: there is no backup at all", said)


@only("dir")
class WhileItIsMade(Verified):
    """A backup that another host is making right now: no META yet, and nobody here knows of it."""

    def begun(self):
        """One that is whole, and a later one of which META is not there yet. -> (its META's path, what will stand in it)"""
        self.ready({"protect": {"mode": "off"}})
        self.put({".dump": pg_dump(500)})
        stem = STEM.replace("031500Z", "041500Z")
        self.assertNotEqual(stem, STEM)
        self.put({".dump": pg_dump(600)}, stem=stem)
        meta = self.mounted.path(TOP, stem + ".META")
        with open(meta, "rb") as f:
            text = f.read()
        os.unlink(meta)
        return meta, text

    def test_it_is_not_called_bad(self):
        meta, text = self.begun()
        said = self.bakfs("verify", "--full")
        self.assertIn("1 being written now: the one before it instead", said)
        self.assertEqual([m[: len(STEM)] for m in self.marks()], [STEM])
        put_file(meta, [text])
        self.assertNotIn("failed", self.bakfs("list", "db1", "orders"))

    def test_a_verdict_on_it_does_not_stay(self):
        meta, text = self.begun()
        self.assertIn("unfinished", self.bakfs("verify", "--all", code=3))
        self.assertFalse([m for m in self.marks() if "041500Z" in m])
        put_file(meta, [text])
        self.bakfs("verify", "--all", "--quick")


@only("front")
class WhileTheStoreIsWrong(Verified):
    def test_a_store_that_does_not_serve_damages_nothing(self):
        """The bucket is not where it was, its certificate is not the right one: no word about any backup."""
        self.ready()
        self.put({".dump": pg_dump(5000)})
        self.bakfs("verify", "--full", "--all")
        for op in ("HeadObject", "GetObject"):
            self.mounted.restart()
            self.store.front.fail("400", times=None, op=op)
            said = self.bakfs("verify", "--full", code=1)
            self.assertNotIn("damaged", said)
            self.store.front.heal()
        self.assertEqual([m[-4:] for m in self.marks()], ["PASS"])
        self.bakfs("verify", "--full")


@only("dir")
class InOnePlace(RestoreCase):
    def test_two_at_once(self):
        """One database in two ways, by two timers of the same second: neither takes away what the other made."""
        self.make_database("orders", SHOP)
        sections = self.sections()
        sections["database again"] = dict(sections["database orders"], partition="orders")
        self.ready(sections)
        for count in (2, 4):
            running = [subprocess.Popen(self.command("backup", name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                       for name in ("orders", "again")]
            said = [process.communicate()[0] for process in running]
            self.assertEqual([process.returncode for process in running], [0, 0], said)
            metas = [name for name in self.names_below("db1") if name.endswith(".META")]
            self.assertEqual(len(metas), count, said)
