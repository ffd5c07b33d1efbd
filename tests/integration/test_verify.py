"""bakfs verify: what is good is called good, and each kind of damage is found, named, told, and remembered beside the backup."""

import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import signal
import subprocess

import case
import zstandard
from case import MIB, both_stores, only, pieces, put_file, wait_until
from mount import Mount
from test_complete import pg_dump
from verbs import Inbox, VerbCase

DAY = "2024-11-22"
STEM = "db1.20241122T031500Z.orders"
TOP = "db1/%s/orders" % DAY


def digest_of(data):
    """backend/FORMAT.md 3.4, of less than a GiB."""
    frames = b"".join(hashlib.sha256(data[i : i + MIB]).digest() for i in range(0, len(data), MIB))
    return hashlib.sha256(hashlib.sha256(frames).digest() if data else b"").hexdigest()


def meta_of(files, **keys):
    """A META by hand: {name: bytes} -> bytes"""
    meta = dict({"version": "1", "name": "orders", "host": "db1", "partition": "orders", "engine": "postgresql", "format": "custom",
                 "database": "orders", "system_identifier": "", "server_version": "150000", "tool": "bakfs 0", "dump_tool": "x",
                 "dump": STEM + ".dump", "globals": "", "schema": ""}, **keys)
    text = "[meta]\n" + "".join("%s = %s\n" % item for item in meta.items())
    text += "[files]\n" + "".join("file = %s\t%d\t%s\n" % (n, len(d), digest_of(d)) for n, d in sorted(files.items()))
    text += "[facts]\n[end]\n"
    return (text + "sha256 = %s\n" % hashlib.sha256(text.encode()).hexdigest()).encode()


class Verified(VerbCase):
    """Without PostgreSQL: backups by hand."""

    def setUp(self):
        case.Case.setUp(self)

    def ready(self, sections=None, **how):
        self.mounted = self.mount(sections or {}, **how)
        return self.mounted

    def put(self, files, stem=STEM, top=TOP, meta=None, **keys):
        """A backup as bakfs backup makes one: files {suffix: bytes}."""
        os.makedirs(self.mounted.path(top), exist_ok=True)
        os.setxattr(self.mounted.path(top), "user.bakfs.tool", b"1")
        named = {stem + suffix: data for suffix, data in files.items()}
        for name, data in named.items():
            put_file(self.mounted.make(top, name), [data[i : i + MIB] for i in range(0, len(data), MIB)] or [b""])
        put_file(self.mounted.path(top, stem + ".META"), [meta or meta_of(named, **keys)])

    def copy(self, path, data):
        put_file(self.mounted.make(path), [data] if data else [b""])
        if not data:  # stored by its last release, which nobody waits for
            wait_until(lambda: os.getxattr(self.mounted.path(path), "user.bakfs.state") == b"sealed")

    def marks(self, *parts):
        return [n for n in self.names_below(*(parts or (TOP,))) if ".VERIFIED." in n]

    def change(self, path, how):
        """The object, changed in the store behind the mount's back."""
        key = path + ".zst.age"
        self.store.put(key, how(self.store.get(key)))
        self.mounted.restart()


def flipped(data):
    at = len(data) * 2 // 3
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


WHOLE = {".sql": pg_dump(60_000), ".globals.sql": pg_dump(100), ".schema.sql": pg_dump(100)}


@both_stores
class Verify(Verified):
    @case.short
    def test_good_ones_at_each_level(self):
        self.ready()
        noise = b"PGDMP" + b"".join(pieces(3 * MIB + 5))
        self.put(WHOLE, format="plain", dump=STEM + ".sql")
        self.copy("db2/%s/shop.sql" % DAY, pg_dump(1000))
        self.copy("db2/%s/bin.img" % DAY, noise)
        said = self.bakfs("verify")
        self.assertEqual(said.count("PASS  "), 3, said)
        self.assertIn("PASS: 3 good, 0 bad", said)
        self.assertEqual(self.marks("db1") + self.marks("db2"), [])  # quick leaves none
        said = self.bakfs("verify", "db1", "orders")
        self.assertRegex(said, r"PASS  %s/%s.sql  full: 3 files, [\d.]+ \w+ read" % (TOP, STEM))
        self.assertIn("fetches", said)
        marks = self.marks()
        self.assertEqual(len(marks), 1, marks)
        self.assertRegex(marks[0], r"^%s\.VERIFIED\.\d{8}T\d{6}Z\.PASS$" % re.escape(STEM))
        rows = json.loads(self.bakfs("verify", "--full", "--json").partition("\n")[2])
        self.assertEqual([(r["host"], r["result"], r["level"]) for r in rows], [("db1", "pass", "full"), ("db2", "pass", "full"), ("db2", "pass", "full")])
        self.assertEqual(rows[1]["bytes"], len(noise))
        self.assertEqual(len(self.marks("db2")), 2)
        self.assertEqual(os.readlink(self.mounted.path("db2/latest/bin")), "../%s/bin.img" % DAY)

    def test_objects_that_somebody_changed(self):
        inbox = Inbox()
        self.addCleanup(inbox.close)
        self.ready({"notify": {"smtp": inbox.url, "from": "a@example.com", "to": "b@example.com", "on": "failure"}})
        older, files = "db1.20241121T031500Z.orders", {".dump": b"".join(pieces(5 * MIB)), ".globals.sql": pg_dump(100)}
        self.put(files, stem=older, top="db1/2024-11-21/orders", dump=older + ".dump")
        self.put(files)
        path = "%s/%s.dump" % (TOP, STEM)
        good = self.store.get(path + ".zst.age")
        self.change(path, flipped)
        self.bakfs("verify", "--quick", "db1", "orders")  # ends and tables are whole: quick does not see it
        said = self.bakfs("verify", "db1", "orders", code=3)
        self.assertIn("FAIL  %s" % path, said)
        self.assertIn("%s.dump: damaged" % STEM, said)
        self.assertIn("the newest good one is of 2024-11-21 03:15:00 UTC", said)
        self.assertIn("bakfs restore db1 orders --at 20241121T031500Z", said)
        self.assertRegex(self.marks()[0], "FAIL$")
        wait_until(lambda: inbox.mails)
        self.assertRegex(inbox.subjects()[0], "^FAIL bakfs verify db1 orders")
        body = inbox.mails[0][2]
        self.assertIn("damaged", body)
        self.assertIn("bakfs restore db1 orders --at 20241121T031500Z", body)
        # cut, and exchanged: even quick sees it
        for how in (lambda d: d[:-20], lambda d: self.store.get("db1/2024-11-21/orders/%s.dump.zst.age" % older)):
            self.change(path, how)
            self.assertIn("damaged", self.bakfs("verify", "--quick", "db1", "orders", code=3))
        self.change(path, lambda d: good)
        self.bakfs("verify", "db1", "orders")
        self.assertRegex(self.marks()[-1], "PASS$")

    def test_a_file_that_is_missing_added_or_another(self):
        self.ready({"protect": {"mode": "off"}})
        tree = {".dir/toc.dat": b"x" * 100, ".dir/17.dat": b"row\n" * 100, ".globals.sql": pg_dump(100)}
        self.put(tree, format="directory", dump=STEM + ".dir")
        self.bakfs("verify", "--quick", "db1", "orders")
        path = self.mounted.path(TOP, STEM + ".dir", "17.dat")
        os.unlink(path)
        self.assertIn("%s.dir/17.dat: missing" % STEM, self.bakfs("verify", "--quick", "db1", "orders", code=3))
        put_file(path, [b"row\n" * 99])
        self.assertIn("17.dat: has 396 bytes, META says 400", self.bakfs("verify", "--quick", "db1", "orders", code=3))
        put_file(path, [b"rOw\n" * 100])
        self.assertIn("17.dat: its digest is", self.bakfs("verify", "--quick", "db1", "orders", code=3))
        put_file(path, [b"row\n" * 100])
        put_file(self.mounted.path(TOP, STEM + ".dir", "18.dat"), [b"1"])
        self.assertIn("18.dat: META does not list it", self.bakfs("verify", "--quick", "db1", "orders", code=3))
        os.unlink(self.mounted.path(TOP, STEM + ".dir", "18.dat"))
        meta = self.mounted.path(TOP, STEM + ".META")
        with open(meta, "rb") as f:
            text = f.read()
        put_file(meta, [text.replace(b"engine = postgresql", b"engine = other")])
        self.assertIn("META cannot be read", self.bakfs("verify", "--quick", "db1", "orders", code=3))
        os.unlink(meta)
        self.assertIn("unfinished: its META is missing", self.bakfs("verify", "--quick", code=3))
        put_file(meta, [text])
        self.bakfs("verify", "--quick")


@only("dir")
class VerifyInside(Verified):
    def packed(self, data):
        yield "gz", gzip.compress(data, 1)
        yield "zst", zstandard.ZstdCompressor(write_checksum=True).compress(data)
        yield "xz", lzma.compress(data, preset=0)

    def test_what_is_inside(self):
        self.ready()
        whole = pg_dump(300_000)
        wanted = {}
        for kind, good in self.packed(whole):
            wanted["good-%s.sql.%s" % (kind, kind)] = good, ""
            wanted["cut-%s.sql.%s" % (kind, kind)] = good[: len(good) * 2 // 3], "is cut"
            wanted["nested-%s.gz" % kind] = gzip.compress(good[:-100]), "is cut"
        for kind, half in self.packed(whole[: len(whole) // 2]):
            wanted["half-%s.sql.%s" % (kind, kind)] = half, "stops short"
        for kind, none in self.packed(b""):
            wanted["none-%s.sql.%s" % (kind, kind)] = none, "nothing in it"
        wanted["plain.sql"] = whole[:-400], "stops short"
        wanted["empty.sql"] = b"", "it is empty"
        wanted["custom.dump"] = b"PGDMP\1\x0e\0\4\x08\1\1" + bytes(500), "table of contents"
        for name, (data, _) in wanted.items():
            self.copy("db1/%s/%s" % (DAY, name), data)
        said = self.bakfs("verify", "--full", "--json", "--all", code=3)
        rows = {os.path.basename(r["backup"]): r for r in json.loads(said[said.index("[") :])}
        for name, (_, why) in wanted.items():
            row = rows[name]
            self.assertEqual(row["result"], "fail" if why else "pass", row)
            self.assertIn(why, row["reason"])
        self.assertEqual(len([n for n in self.marks("db1") if n.endswith(".FAIL")]), sum(1 for _, why in wanted.values() if why))

    def test_real_archives_of_pg_dump(self):
        self.pg = __import__("verbs").shared_postgres()
        self.made = []
        self.ready()
        self.make_database("inside", "create table a as select i, md5(i::text) from generate_series(1,5000) i; create table e(i int); "
                                     "select lo_from_bytea(0, ''); select lo_from_bytea(0, 'x')")
        for name, args in (("c.dump", ["-Fc"]), ("c0.dump", ["-Fc", "-Z0"]), ("t.tar", ["-Ft"]), ("d", ["-Fd", "-Z1"]), ("s.dump", ["-Fc", "-s"])):
            out = self.mounted.make("db1", DAY, name)
            self.pg.run("pg_dump", "-f", out, *args, "inside")
            if os.path.isfile(out):
                with open(out, "rb") as f:
                    data = f.read()
                self.copy("db2/%s/%s" % (DAY, name), data[: len(data) * 3 // 4])
        said = self.bakfs("verify", "--full", "--all", "db1/")
        self.assertEqual(said.count("PASS  "), 5, said)
        said = self.bakfs("verify", "--full", "--all", "db2/", code=3)
        self.assertEqual(said.count("FAIL  db2"), 4, said)
        self.mounted.restart()
        shutil.rmtree(self.mounted.path("db1", DAY, "d"), ignore_errors=True)
        self.pg.run("pg_dump", "-f", self.mounted.path("db1", DAY, "d"), "-Fd", "-Z0", "inside")
        data = [n for n in os.listdir(self.mounted.path("db1", DAY, "d")) if re.match(r"\d+\.dat", n)]
        os.unlink(self.mounted.path("db1", DAY, "d", data[0]))
        self.assertIn("%s is missing" % data[0], self.bakfs("verify", "--full", self.mounted.path("db1", DAY, "d"), code=3))

    def test_which_ones(self):
        """The newest of each partition; all; a sample; a path; what passed is skipped."""
        self.ready()
        for day in range(1, 11):
            for host in ("db1", "db2"):
                self.copy("%s/2024-11-%02d/orders.sql" % (host, day), pg_dump(100 * day))
        names = [line for line in self.bakfs("verify", "--dry-run").splitlines() if line.startswith("db")]
        self.assertEqual(names, ["db1/2024-11-10/orders.sql", "db2/2024-11-10/orders.sql"])
        self.assertEqual(len(self.bakfs("verify", "--all", "--dry-run").splitlines()), 21)
        self.assertEqual(len(self.bakfs("verify", "--sample", "25%", "--dry-run").splitlines()), 6)
        self.assertEqual(len(self.bakfs("verify", "--sample", "1%", "--dry-run").splitlines()), 2)
        said = self.bakfs("verify", self.mounted.path("db1/2024-11-03/orders.sql"), "db2/2024-11-04/orders.sql")
        self.assertEqual(re.findall(r"PASS  (\S+)", said), ["db1/2024-11-03/orders.sql", "db2/2024-11-04/orders.sql"])
        said = self.bakfs("verify", "--all", "--full")
        self.assertIn("2 passed within 3 days and are skipped", said)
        self.assertIn("18 good", said)
        self.assertIn("20 passed", self.bakfs("verify", "--all", "--full"))
        self.assertIn("20 good", self.bakfs("verify", "--all", "--full", "--again"))
        self.bakfs("verify", "--quick", "--full", code=2)
        self.bakfs("verify", "--sample", "0", code=2)
        self.assertIn("no HOST", self.bakfs("verify", "nosuch", code=1))

    def test_stopped_goes_on(self):
        self.ready({"limits": {"memory": "64M"}})
        for day in range(1, 9):
            put_file(self.mounted.make("db1", "2024-11-%02d" % day, "a.img"), pieces(24 * MIB))
        running = subprocess.Popen(self.command("verify", "--all", "--full"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        first = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
        self.assertEqual(running.returncode, 1, (first, out, err))
        self.assertIn("the same command goes on from here", err)
        done = (first + out).count("PASS  ")
        self.assertGreaterEqual(done, 1)
        self.assertLess(done, 8)
        self.assertEqual([n for n in self.marks("db1") if n.endswith("FAIL")], [])
        said = self.bakfs("verify", "--all", "--full")
        self.assertEqual(said.count("PASS  "), 8 - done, said)

    def test_without_a_key_and_read_only(self):
        self.ready()
        self.put(WHOLE, format="plain", dump=STEM + ".sql")
        first = self.mounted
        first.stop()
        blind = Mount(self.store, identity=None)
        self.addCleanup(blind.close)
        self.mounted = blind
        said = self.bakfs("verify")
        self.assertIn("no identity", said)
        said = self.bakfs("verify", "--full", code=1)
        self.assertIn("no identity on this host fits", said)
        self.assertEqual(self.marks(), [])
        blind.stop()
        self.mounted = Mount(self.store, options=["-o", "ro"])
        self.addCleanup(self.mounted.close)
        said = self.bakfs("verify", "--full")
        self.assertIn("the mount is read-only", said)
        self.mounted.stop()
        self.assertIn("bakfs mount", self.bakfs("verify", code=1))


@only("front")
class VerifyNetwork(Verified):
    def test_a_store_that_does_not_answer_is_no_failure_of_the_backup(self):
        self.ready({"store": {"deadline": "2s"}})
        self.put({".dump": b"".join(pieces(3 * MIB))})
        self.mounted.restart()
        self.store.front.fail("500", op="GetObject", times=None)
        said = self.bakfs("verify", "--full", "db1", "orders", code=1)
        self.assertIn("?     " + TOP, said)
        self.store.front.heal()
        self.assertEqual(self.marks(), [])
