"""bakfs status: what is well, what is not, for a terminal, programs, Prometheus, a browser and a mailbox."""

import datetime
import errno
import hashlib
import json
import os
import re
import struct
import subprocess
import unittest
import zlib

import case
import mount
from case import Case, both_stores, only, put_file
from verbs import Inbox, VerbCase

HOST = "db1.example.com"
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
HEADER = re.compile(rb"-> bakfs/v1 \d{20} \S+ \S+")
CHROMIUM = "/usr/bin/chromium"


def stamp(when):
    return when.strftime("%Y%m%dT%H%M%SZ")


def ini(section, **values):
    """As META.md says: with its end."""
    text = "[%s]\n" % section + "".join("%s = %s\n" % item for item in values.items()) + "[end]\n"
    text = text.encode()
    return text + b"sha256 = %s\n" % hashlib.sha256(text).hexdigest().encode()


def verified(when, how="restore", restore_ms=754000):
    at = when.strftime("%Y-%m-%dT%H:%M:%S.000000000Z")
    return ini("verified", version=1, how=how, by="test", result="pass", at=at, duration_ms=restore_ms + 1000,
               restore_ms=restore_ms, bytes=1000, reason="")


class Forge:
    """Puts objects into a directory store by the thousand. Their headers are true; what is behind them is not theirs, which
    only shows when they are opened."""

    def __init__(self, store, sample):
        self.root, self.sample = store.root, sample

    def put(self, path, size, when):
        record = b"-> bakfs/v1 %020d %s %s" % (size, (when.strftime("%Y%m%dT%H%M%S") + ".000000000Z").encode(),
                                              (when.strftime("%Y%m%dT%H%M%S") + ".000000000Z").encode())
        with open(os.path.join(self.root, path + ".zst.age"), "wb") as f:
            f.write(HEADER.sub(record, self.sample, count=1))

    def backup(self, partition, when, size, ends=(".globals.sql", ".schema.sql", ".META"), passed=True):
        place = os.path.join(HOST, when.strftime("%Y-%m-%d"), partition)
        os.makedirs(os.path.join(self.root, place), exist_ok=True)
        stem = os.path.join(place, "%s.%s.%s" % (HOST, stamp(when), partition))
        self.put(stem + ".dump", size, when)
        for end in ends:
            self.put(stem + end, 5000, when)
        if passed is not None:
            self.put("%s.VERIFIED.%s.%s" % (stem, stamp(when), "PASS" if passed else "FAIL"), 300, when)


def pixels(path):
    """Width, height and the different colours of a PNG, roughly: enough to tell a page from a blank."""
    with open(path, "rb") as f:
        data = f.read()
    width, height = struct.unpack(">II", data[16:24])
    body, at = b"", 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return width, height, len(set(zlib.decompress(body)))


@only("dir")
class StatusYear(Case):
    """400 days of 20 partitions, each with what it takes to be noticed."""

    def make_year(self):
        m = self.mount({"mount": {"refresh": "5s"}})
        put_file(m.make("db0/2026-11-01/x.sql"), [b"x" * 1000])
        forge = Forge(self.store, self.store.get("db0/2026-11-01/x.sql.zst.age"))
        self.store.delete("db0/2026-11-01/x.sql.zst.age")
        m.stop()
        for part in range(20):
            for day in range(400):
                self.one(forge, part, day)
        sections = {"database d%02d" % part: {"host": HOST, "partition": "part%02d" % part, "drill_every": "60d"} for part in range(6)}
        sections["database ghost"] = {"host": HOST}
        m.write_conf(dict(sections, mount={"refresh": "5s"}), mount.IDENTITY)
        m.start()
        return m

    def one(self, forge, part, day):
        when, name = NOW - DAY * (day + 0.1), "part%02d" % part
        size = 10**8 * (part + 1) + (400 - day) * 10**6 * (part % 5)
        how = {"passed": True if day % 7 == 3 else None}
        if part == 1 and day < 3:
            return  # overdue
        if part == 2 and day == 0:
            size //= 20  # suddenly small
        if part == 3 and day == 0:
            when, how["ends"] = NOW - DAY * 0.4, (".globals.sql",)  # died four hours after midnight
        if part == 4 and day < 100:
            how["passed"] = None  # no drill
        if part == 5 and day in (5, 40, 41, 42):
            how["passed"] = False
        if part == 6 and 100 < day < 120:
            return
        if part == 7 and day > 90:
            return  # a young one
        forge.backup(name, when, size, **how)

    def test_a_year(self):
        m = self.make_year()
        html, metrics = os.path.join(self.tmp, "status.html"), os.path.join(self.tmp, "bakfs.prom")
        code, said = m.verb("status", "-c", m.conf, "--json", "--history", "30")
        self.assertEqual(code, 1, said)
        self.look_at_json(json.loads(said))
        code, said = m.verb("status", "-c", m.conf)
        self.assertEqual(code, 1, said)
        self.look_at_text(said)
        code, said = m.verb("status", "-c", m.conf, "--html", html, "--metrics", metrics)
        self.assertEqual(code, 1, said)
        self.look_at_metrics(metrics)
        self.look_at_page(html)
        self.assertEqual([n for n in os.listdir(self.tmp) if n.startswith(("status.html.", "bakfs.prom."))], [])

    def look_at_json(self, said):
        rows = {row["partition"]: row for row in said["partitions"]}
        self.assertEqual(len(rows), 21)
        self.assertEqual((said["level"], said["well"]), ("bad", False))
        self.assertEqual([row["partition"] for row in said["partitions"]][:4], ["ghost", "part01", "part03", "part04"])
        self.assertIsNone(rows["ghost"]["newest"])
        self.assertTrue(rows["part01"]["overdue"])
        self.assertEqual(rows["part01"]["backups"], 397)
        self.assertEqual(rows["part02"]["level"], "warning")
        self.assertEqual(rows["part02"]["size_trend_percent"], -95)
        self.assertEqual((rows["part03"]["level"], rows["part03"]["not_good_since"]), ("bad", 1))
        self.assertTrue(rows["part04"]["drill_overdue"])
        self.assertEqual((rows["part05"]["good"], rows["part05"]["level"]), (396, "ok"))
        self.assertEqual(rows["part00"]["newest"]["size"], 10**8)
        self.assertEqual(len(rows["part00"]["history"]), 30)
        history = rows["part01"]["history"]
        self.assertEqual(history[(NOW - DAY).strftime("%Y-%m-%d")], "none")
        self.assertEqual(said["hosts"], [{"host": HOST, "key_proof": "never", "key_proved_at": None, "key_proof_object": None}])

    def look_at_text(self, said):
        self.assertRegex(said, r"\ANot well: 4 of 21 databases: ghost on db1.example.com \(no backup at all\)")
        self.assertRegex(said, r"(?m)^! +db1.example.com +ghost +none .*\n +it has no backup at all; type: bakfs backup ghost$")
        self.assertRegex(said, r"overdue: the newest good backup is 3 days old, wanted every 1 day; type: bakfs backup d01\n")
        self.assertRegex(said, r"the last backup is not good: it is unfinished: .*Z\.part03\.dump\)")
        self.assertIn("suddenly small", said)

    def look_at_metrics(self, path):
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o644)
        with open(path, encoding="utf8") as f:
            text = f.read()
        self.assertIn('bakfs_backup_overdue{host="%s",partition="part01"} 1\n' % HOST, text)
        self.assertIn('bakfs_backup_overdue{host="%s",partition="part00"} 0\n' % HOST, text)
        self.assertIn("bakfs_level 2\n", text)
        seen = set()
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                self.assertNotIn(line, seen)
                seen.add(line)
            elif not line.startswith("# HELP "):
                self.assertRegex(line, r'^bakfs_[a-z_]+(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? -?[0-9.e+-]+$')
                self.assertIn("# TYPE %s gauge" % re.split(r"[{ ]", line)[0], seen)

    def look_at_page(self, path):
        with open(path, encoding="utf8") as f:
            page = f.read()
        self.assertIn("<h1>Not well: 4 of 21 databases: ghost on", page)
        self.assertNotRegex(page, r"(?i)<script|<link|<img|https?://|url\(|@import")
        self.assertIn('name="viewport"', page)
        self.assertLess(len(page), 2_000_000)
        if not os.path.exists(CHROMIUM):
            self.skipTest("no chromium")
        for width in (1280, 390):
            self.photograph(path, width)
        self.does_not_scroll_sideways(path, page)

    def chromium(self, *words):
        command = (CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + self.tmp + "/chromium", *words)
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=120).stdout

    def photograph(self, path, width):
        """SHOTS=DIR keeps the pictures, for people."""
        picture = os.path.join(os.environ.get("SHOTS", self.tmp), "status-%d.png" % width)
        self.chromium("--screenshot=" + picture, "--hide-scrollbars", "--window-size=%d,2000" % width, "file://" + path)
        self.assertEqual(pixels(picture)[:2], (width, 2000))
        self.assertGreater(pixels(picture)[2], 60)
        self.assertGreater(os.path.getsize(picture), 50_000)

    def does_not_scroll_sideways(self, path, page):
        """The page in frames as wide as telephones and screens, from a page that measures it."""
        with open(os.path.join(self.tmp, "measured.html"), "w", encoding="utf8") as f:
            f.write(page)
        measure = os.path.join(self.tmp, "measure.html")
        with open(measure, "w", encoding="utf8") as f:
            f.write("<body>" + "".join('<iframe src="measured.html" style="border:0;width:%dpx;height:800px"></iframe>' % width
                                       for width in (320, 390, 768, 1280)))
            f.write("<script>onload=()=>{document.title=[...document.querySelectorAll('iframe')].map(f=>{let d=f.contentDocument"
                    ".documentElement;return d.scrollWidth-d.clientWidth+'/'+d.clientWidth}).join(' ')}</script>")
        said = self.chromium("--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom", "file://" + measure).decode()
        title = re.search(r"<title>(.*?)</title>", said)
        self.assertIsNotNone(title, said[-2000:])
        self.assertRegex(title.group(1), r"^0/3\d\d 0/3\d\d 0/7\d\d 0/12\d\d$")


@both_stores
class Status(Case):
    def conf(self, **more):
        return {"database orders": {"host": HOST}, **more}

    def backup(self, m, when, drill=None, partition="orders", size=5000):
        stem = "%s.%s.%s" % (HOST, stamp(when), partition)
        place = (HOST, when.strftime("%Y-%m-%d"), partition)
        put_file(m.make(*place, stem + ".dump"), [b"PGDMP" + os.urandom(size)])
        put_file(m.make(*place, stem + ".META"), [ini("meta", version=1)])
        if drill:
            put_file(m.make(*place, "%s.VERIFIED.%s.PASS" % (stem, stamp(drill))), [verified(drill)])
        return stem

    @case.short
    def test_well_and_not(self):
        """From nothing at all to a drill, and what the mailbox hears of it."""
        inbox = Inbox()
        self.addCleanup(inbox.close)
        m = self.mount(self.conf(notify={"smtp": inbox.url, "from": "bakfs@example.com", "to": "dba@example.com", "on": "always"}))
        code, said = m.verb("status", "-c", m.conf, "--notify")
        self.assertEqual(code, 1, said)
        self.assertIn("orders on db1.example.com (no backup at all)", said)
        self.assertEqual(m.verb("status", "-c", m.conf, "--notify")[0], 1)
        self.assertEqual(len(inbox.mails), 1, inbox.subjects())
        self.assertRegex(inbox.subjects()[0], "^FAIL bakfs status")
        self.assertIn("bakfs backup orders", inbox.mails[0][2])
        drill = NOW - datetime.timedelta(hours=1)
        stem = self.backup(m, NOW - datetime.timedelta(hours=2), drill)
        code, said = m.verb("status", "-c", m.conf, "--notify")
        self.assertEqual((code, said), (0, ""))
        self.assertEqual(len(inbox.mails), 2, inbox.subjects())
        self.assertRegex(inbox.subjects()[1], "^PASS")
        self.assertEqual(m.verb("status", "-c", m.conf, "--notify")[0], 0)
        self.assertEqual(len(inbox.mails), 2, inbox.subjects())
        code, said = m.verb("status", "orders", "-c", m.conf, "--json")
        self.assertEqual(code, 0, said)
        row = json.loads(said)["partitions"][0]
        self.assertEqual(row["recovery_ms"], 754000)
        self.assertEqual(row["drill_at"], drill.strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.assertEqual(os.path.basename(row["newest"]["path"]), stem + ".dump")
        self.assertEqual(row["newest"]["size"], 5005)
        code, said = m.verb("status", "-c", m.conf)
        self.assertRegex(said, r"orders .* 1 hour ago, took 12 min")

    def test_list_shows_what_is_finished_and_verified(self):
        m = self.mount(self.conf())
        good = self.backup(m, NOW - 2 * DAY, NOW - DAY)
        bad = "%s.%s.orders" % (HOST, stamp(NOW - DAY))
        place = (HOST, (NOW - DAY).strftime("%Y-%m-%d"))
        put_file(m.make(*place, "orders", bad + ".dir", "toc.dat"), [b"x" * 100])
        put_file(m.make(*place, "orders", bad + ".dir", "1.dat"), [b"x" * 1000])
        put_file(m.make(*place, "users.sql"), [b"x"])
        put_file(m.make(*place, "cluster", "PG_VERSION"), [b"15"])
        put_file(m.make(*place, "cluster", "base", "1"), [b"x"])
        code, said = m.verb("list", "--json", "-c", m.conf)
        self.assertEqual(code, 0, said)
        rows = [(row["file"], row["size"], row["finished"], row["verified"]) for row in json.loads(said)]
        self.assertEqual(rows, [("orders/%s.dump" % good, 5005, True, True), ("cluster/PG_VERSION", 2, True, None), ("cluster/base/1", 1, True, None),
                                ("orders/%s.dir" % bad, 1100, False, None), ("users.sql", 1, True, None)])
        code, said = m.verb("list", HOST, "orders", "-c", m.conf)
        self.assertRegex(said, r"%s\.dump .* yes +yes\n" % re.escape(good))
        self.assertRegex(said, r"%s\.dir .* - +NO\n" % re.escape(bad))
        self.assertIn("1 of these is no backup", said)

    def names(self, m, date):
        """What the attribute says -> (directories, {file: facts})."""
        lines = os.getxattr(m.path(HOST, date), "user.bakfs.names").decode().splitlines()
        files = [line.split("\t") for line in lines if not line.endswith("/")]
        return sorted(line[:-1] for line in lines if line.endswith("/")), {line[0]: line[1:] for line in files}

    def test_all_names_of_a_date_at_once(self):
        m = self.mount(self.conf(mount={"refresh": "60s"}))
        when = NOW - DAY
        date = when.strftime("%Y-%m-%d")
        self.backup(m, when, when)
        for part in (("orders.sql",), ("orders.schema.sql",), (".x.sql.Xa",), ("c", "PG_VERSION"), ("c", "base", "1", "2"), ("made", "sub", "x")):
            put_file(m.make(HOST, date, *part), [b"x" * len(part)])
        os.makedirs(m.path(HOST, date, "empty"))
        dirs, files = self.names(m, date)
        top = m.path(HOST, date)
        walked = [(base, d, f) for base, d, f in os.walk(top) if base.count("/") <= top.count("/") + 1]
        self.assertEqual(dirs, sorted(os.path.relpath(os.path.join(base, n), top) for base, d, _ in walked for n in d))
        self.assertEqual(sorted(files), sorted(os.path.relpath(os.path.join(base, n), top) for base, _, f in walked for n in f))
        for name, facts in files.items():
            st = os.stat(os.path.join(top, name))
            stored = os.getxattr(os.path.join(top, name), "user.bakfs.stored_size").decode()
            self.assertEqual(facts, [str(st.st_size), stored, str(int(st.st_ctime)), "unknown"], name)
        for path in (m.path(HOST), os.path.join(top, "c"), os.path.join(top, "orders.sql"), m.path(HOST, "latest")):
            with self.errno_is(errno.ENODATA):
                os.getxattr(path, "user.bakfs.names")
        # while something is written there every directory is read, and that says the same
        said = [m.verb("list", "-c", m.conf, "--json") for _ in range(2)]
        with open(m.make(HOST, date, "late", "x.sql"), "wb") as f:
            f.write(b"x")
            f.flush()
            with self.errno_is(errno.ENODATA):
                os.getxattr(top, "user.bakfs.names")
            code, walking = m.verb("list", "-c", m.conf, "--json")
        self.assertEqual(code, 0, walking)
        age = re.compile(r'"age_s": \d+, ')
        rows = [age.sub("", line).rstrip(",") for line in walking.splitlines() if '"late/' not in line]
        self.assertEqual(rows, [age.sub("", line).rstrip(",") for line in said[1][1].splitlines()])
        self.assertIn("late/x.sql", self.names(m, date)[1])

    def test_directories(self):
        """What pg_dump -Fd makes, and what was copied in as a directory: their sizes, and a dump in one that stops short."""
        m = self.mount(self.conf())
        for days in range(5, 0, -1):
            when = NOW - DAY * days
            stem = "%s.%s.orders" % (HOST, stamp(when))
            place = (HOST, when.strftime("%Y-%m-%d"))
            for name in ("toc.dat", "1.dat"):
                put_file(m.make(*place, "orders", stem + ".dir", name), [b"x" * (1000 * (6 - days))])
            put_file(m.make(*place, "orders", stem + ".META"), [ini("meta", version=1)])
            put_file(m.make(*place, "copied", "a.dump"), [b"x" * 10])
            put_file(m.make(*place, "copied", "sub", "b"), [b"x" * 20])
        put_file(m.make(*place, "copied", "c.sql"), [b"--\n-- PostgreSQL database dump\n--\n\nSET x;\n"])
        code, said = m.verb("status", "-c", m.conf, "--json")
        rows = {row["partition"]: row for row in json.loads(said)["partitions"]}
        self.assertEqual((rows["orders"]["newest"]["size"], rows["orders"]["size_median_7"]), (10000, 6000), said)
        self.assertEqual((rows["copied"]["good"], rows["copied"]["backups"], rows["copied"]["newest"]["size"]), (4, 5, 30))
        self.assertEqual((code, rows["orders"]["level"], rows["copied"]["level"]), (1, "ok", "bad"))

    def test_more_names_than_fit(self):
        m = self.mount(self.conf())
        date = (NOW - DAY).strftime("%Y-%m-%d")
        put_file(m.make(HOST, date, "orders", "a" * 200 + "000"), [b"x"])
        if self.kind == "dir":  # an object a name; another is like it
            with open(os.path.join(self.store.root, HOST, date, "orders", "a" * 200 + "000.zst.age"), "rb") as f:
                sample = f.read()
            for i in range(1, 400):
                self.store.put("%s/%s/orders/%s%03d.zst.age" % (HOST, date, "a" * 200, i), sample)
            m.restart()
            with self.errno_is(errno.E2BIG):
                os.getxattr(m.path(HOST, date), "user.bakfs.names")
        code, said = m.verb("status", "-c", m.conf, "--json")
        self.assertEqual(code, 0, said)
        self.assertEqual(json.loads(said)["partitions"][0]["newest"]["size"], 400 if self.kind == "dir" else 1)

    def test_a_key_is_proved(self):
        m = self.mount(self.conf())
        self.backup(m, NOW - datetime.timedelta(hours=2), NOW - datetime.timedelta(hours=1))
        self.assertIn("was never proved", m.verb("status", "-c", m.conf)[1])
        m.verb("doctor", "-c", m.conf, "--identity", m.key)
        proof = os.path.join(m.state, "key-proof.ini")
        code, said = m.verb("status", "-c", m.conf, "--json")
        self.assertEqual((code, json.loads(said)["level"]), (0, "ok"), said)
        self.assertEqual(json.loads(said)["hosts"][0]["key_proof"], "opened")
        with open(proof, encoding="ascii") as f:
            text = f.read()
        self.assertIn(mount.RECIPIENT, text)
        self.assertNotIn("AGE-SECRET-KEY", text.upper())
        old = (NOW - 400 * DAY).strftime("%Y-%m-%dT")
        text = re.sub(r"(?m)^((?:opened_)?at = )\d{4}-\d\d-\d\dT", r"\g<1>" + old, text)
        body = text[: text.index("sha256 = ")].encode()
        with open(proof, "wb") as f:
            f.write(body + b"sha256 = %s\n" % hashlib.sha256(body).hexdigest().encode())
        code, said = m.verb("status", "-c", m.conf)
        self.assertEqual(code, 1, said)
        self.assertIn("last proved 400 days ago", said)

    def test_what_cannot_be_read(self):
        """Without a key the names still say when it was verified; without a mount everything is told at once."""
        m = self.mount(self.conf(), identity=None)
        at = NOW - datetime.timedelta(hours=1)
        self.backup(m, NOW - datetime.timedelta(hours=2), at)
        code, said = m.verb("status", "-c", m.conf, "--json")
        row = json.loads(said)["partitions"][0]
        self.assertEqual((code, row["recovery_ms"], row["verified_at"]), (0, None, at.strftime("%Y-%m-%dT%H:%M:%SZ")), said)
        m.stop()
        metrics = os.path.join(self.tmp, "bakfs.prom")
        code, said = m.verb("status", "-c", m.conf, "--metrics", metrics)
        self.assertEqual(code, 1)
        self.assertIn("nothing is mounted there; type: bakfs mount", said)
        self.assertNotRegex(said, "type: .*type: ")
        with open(metrics, encoding="ascii") as f:
            self.assertIn("bakfs_up 0\n", f.read())
        code, said = m.verb("status", "-c", m.conf, "--html", "/nonexistent/x.html")
        self.assertEqual(code, 1)
        self.assertIn("write /nonexistent/x.html", said)


@only("dir")
class StatusOfDrills(VerbCase, Case):
    def test_how_long_a_restore_takes(self):
        """What backup and drill leave is what status reads. A look of another kind, later, hides no drill."""
        self.make_database("status_drill", "create table t as select generate_series(1, 1000) i")
        self.pg.run("psql", "-XqAt", "-d", "postgres", "-c", "create role status_driller login createdb")
        self.addCleanup(self.pg.run, "psql", "-XqAt", "-d", "postgres", "-c", "drop role status_driller")
        self.ready({"database orders": {"conninfo": self.conninfo("status_drill"), "host": HOST},
                    "restore": {"drill_conninfo": "host=%s user=status_driller dbname=postgres" % self.pg.socket}})
        self.bakfs("status", code=1)
        self.bakfs("backup", "orders")
        row = json.loads(self.bakfs("status", "--json"))["partitions"][0]
        self.assertEqual((row["drill_at"], row["recovery_ms"], row["name"], row["good"]), (None, None, "orders", 1))
        self.bakfs("drill")
        row = json.loads(self.bakfs("status", "--json"))["partitions"][0]
        self.assertGreater(row["recovery_ms"], 0)
        self.assertIsNotNone(row["drill_at"])
        self.assertEqual((row["backups"], row["good"], row["newest"]["verified"]), (1, 1, True))
        self.bakfs("verify", "--quick")
        again = json.loads(self.bakfs("status", "--json"))["partitions"][0]
        self.assertEqual((again["drill_at"], again["recovery_ms"]), (row["drill_at"], row["recovery_ms"]))
        self.assertRegex(self.bakfs("list"), r"orders\.dump .* yes +yes\n")


if __name__ == "__main__":
    unittest.main()
