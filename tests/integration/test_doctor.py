"""bakfs doctor: what it finds, what --fix takes and what it leaves alone; and what is found out about conditions."""

import json
import os
import subprocess
import time

import case
import mount
from case import MIB, Case, both_stores, only, pieces, put_file, wait_until
from mount import Mount

DAY = "db1/2024-11-22"


class Doctor(Case):
    """What the tests share."""

    def examine(self, m, *args, code=0):
        """-> [(level, what)], by --json"""
        got, said = m.verb("doctor", "-c", m.conf, "--json", "--no-immutable", *args)
        self.assertEqual(got, code, said)
        found = json.loads(said)
        for finding in found:
            self.assertEqual(set(finding), {"group", "level", "what", "why", "type"})
            self.assertIn(finding["level"], ("ok", "note", "problem"))
        return [(f["level"], f["what"]) for f in found]

    def problems(self, m, *args, code=1):
        return [what for level, what in self.examine(m, *args, code=code) if level == "problem"]

    def well(self, **how):
        """A mount that nothing is wrong with."""
        how.setdefault("conf", {}).setdefault("seal", {})["recipients"] = "%s,%s" % (mount.RECIPIENT, mount.STRANGER)
        m = self.mount(**how)
        self.examine(m, "--fix")
        return m


@both_stores
class Findings(Doctor):
    @case.short
    def test_all_well(self):
        m = self.mount({"seal": {"recipients": "%s,%s" % (mount.RECIPIENT, mount.STRANGER)}})
        put_file(m.make(DAY, "orders.sql"), [b"x" * 1000])
        self.assertEqual(self.problems(m), ["%s can be written under the mount" % m.point])
        found = self.examine(m, "--fix")
        self.assertIn(("ok", "closed the directory under the mount, " + m.point), found)
        found = self.examine(m, "--deep", "--identity", m.key)
        self.assertIn(("ok", "mounted at " + m.point), found)
        self.assertIn(("ok", "2 recipients, this host's own key and others"), found)
        self.assertIn(("ok", "1 keys listed, each header read"), found)
        self.assertIn(("ok", "host db1: the key opens %s/orders.sql (1000 bytes)" % DAY), found)
        self.assertEqual(self.store.keys(), [DAY + "/orders.sql.zst.age"])  # nothing is left of the look
        self.assertEqual(self.store.leftovers(), [])
        m.stop()
        self.assertEqual(os.stat(m.point).st_mode & 0o7777, 0)
        code, said = m.verb("doctor", "-c", m.conf)
        self.assertEqual(code, 0, said)
        self.assertIn("\nobjects\n  ok       1 keys listed", said)
        self.assertIn("all well", said)

    def test_conf(self):
        m = self.well()
        os.chmod(m.key, 0o644)
        os.chmod(m.conf, 0o666)
        found = self.problems(m)
        self.assertEqual(len(found), 2, found)
        self.assertIn("mode 0666", found[0])
        self.assertIn("group or others may use it", found[1])

    def test_no_store(self):
        m = self.well()
        m.stop()
        bad = {"dir": {"url": "dir:/nonexistent/store"}, "s3": {"url": "s3://no-such-bucket-%d" % os.getpid()}}[self.kind]
        other = Mount(self.store, {"store": bad}, start=False)
        self.addCleanup(other.close)
        found = self.problems(other)
        self.assertTrue(found[0].startswith("the store: "), found)

    @case.short
    def test_names(self):
        m = self.well()
        put_file(m.make(DAY, "orders.sql"), [b"x" * 1000])
        m.stop()
        body = self.store.get(DAY + "/orders.sql.zst.age")
        for key in ("README", DAY + "/orders.sql.zst", "db1/2024-13-01/a.zst.age", DAY + "/orders.sql/a.zst.age"):
            self.store.put(key, body)
        found = self.examine(m, code=1)
        said = [what for _, what in found]
        self.assertIn(("note", "not of bakfs: README"), found)
        self.assertIn(("note", "both sealed and not: %s/orders.sql.zst" % DAY), found)
        self.assertIn(("problem", "hidden, because of its name: db1/2024-13-01/a.zst.age"), found)
        self.assertIn("a file stands where a directory is: %s/orders.sql and %s/orders.sql/a.zst.age" % (DAY, DAY), said)
        before = self.store.keys()
        self.examine(m, "--fix", code=1)
        self.assertEqual(self.store.keys(), before)  # never anybody's bytes

    @case.short
    def test_identity(self):
        """The newest of each host, and a key that does not fit."""
        m = self.well()
        for path in (DAY + "/old.sql", "db2/2024-11-23/other.sql"):
            put_file(m.make(path), [b"x" * 1000])
        time_of_old = time.time()
        wait_until(lambda: time.time() > time_of_old + 1.1)  # S3 counts seconds
        put_file(m.make("db1/2024-11-21/new.sql"), [b"y" * 2000])
        found = self.examine(m, "--identity", m.key)
        self.assertIn(("ok", "host db1: the key opens db1/2024-11-21/new.sql (2000 bytes)"), found)
        self.assertIn(("ok", "host db2: the key opens db2/2024-11-23/other.sql (1000 bytes)"), found)
        stranger = os.path.join(self.tmp, "stranger.txt")
        with open(os.open(stranger, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as f:
            f.write(mount.STRANGER_IDENTITY + "\n")
        self.examine(m, "--identity", stranger)  # the escrow key opens them as well
        with open(stranger, "w", encoding="ascii") as f:
            made = self.run_ok(mount.BAKFS, "keygen").decode().split("\n")
            f.writelines(line + "\n" for line in made if line.startswith("AGE-SECRET-KEY"))
        self.assertEqual(self.problems(m, "--identity", stranger),
                         ["host db1: the key does not open db1/2024-11-21/new.sql",
                          "host db2: the key does not open db2/2024-11-23/other.sql"])
        os.chmod(stranger, 0o640)
        code, said = m.verb("doctor", "-c", m.conf, "--identity", stranger)
        self.assertEqual(code, 1)
        self.assertIn("group or others may use it", said)

    @case.short
    def test_deep(self):
        m = self.well()
        put_file(m.make(DAY, "a.sql"), [b"x" * 1000])
        put_file(m.make(DAY, "b.sql"), [b"x" * 1000])
        m.stop()
        self.examine(m, "--deep")  # equal, but sealed each for itself
        key = DAY + "/a.sql.zst.age"
        body = self.store.get(key)
        self.store.put(DAY + "/copy.sql.zst.age", body)
        self.store.put(DAY + "/garbage.sql.zst.age", b"garbage")
        self.store.put(DAY + "/empty.sql.zst.age", b"")
        self.store.put(DAY + "/newer.sql.zst.age", body.replace(b"bakfs/v1", b"bakfs/v2", 1))
        self.examine(m)
        found = self.problems(m, "--deep")
        self.assertEqual(found, [
            "cannot be read: %s/empty.sql.zst.age" % DAY,
            "cannot be read: %s/garbage.sql.zst.age" % DAY,
            "cannot be read: %s/newer.sql.zst.age" % DAY,
            "one payload under two keys: %s and %s/copy.sql.zst.age" % (key, DAY),
        ])

    @case.short
    def test_orphans(self):
        """What a killed daemon left is a note until nobody touched it for a week."""
        m = self.well()
        with open(m.make(DAY, "orders.sql"), "wb", buffering=0) as f:
            for piece in pieces(40 * MIB):
                f.write(piece)
            wait_until(self.store.uploads)
            found = self.examine(m, "--fix")
            self.assertIn(("ok", "no upload was left behind; 1 under way"), found)
            m.kill()
            try:
                f.close()
            except OSError:
                pass
        key = DAY + "/orders.sql.zst.age"
        found = self.examine(m, "--fix")
        self.assertIn(("note", "a daemon was killed while it stored " + key), found)
        self.assertEqual(self.store.uploads(), [key])
        if self.kind == "dir":
            tmp = os.path.join(self.store.root, ".bakfs-tmp")
            for days, gone in ((6, False), (8, True)):
                when = time.time() - days * 24 * 3600
                for name in os.listdir(tmp):
                    os.utime(os.path.join(tmp, name), (when, when), follow_symlinks=False)
                self.assertEqual(len(self.problems(m, code=int(gone))), gone)
                self.examine(m, "--fix")
                self.assertEqual(self.store.uploads(), [] if gone else [key])

    @case.short
    def test_read_only(self):
        """Nothing is tried that writes."""
        m = self.well(options=["-o", "ro"])
        found = self.examine(m)
        self.assertIn(("ok", "mounted at %s, read-only" % m.point), found)
        self.assertNotIn(("ok", "it can be written"), found)
        self.assertEqual(self.store.keys(), [])
        self.assertEqual([n for n in os.listdir(m.state) if n.startswith("conditions-")], [])

    def test_updatedb_is_left_out_or_absent(self):
        m = self.well()
        found = [what for level, what in self.examine(m) if "updatedb" in what]
        self.assertEqual(len(found), 1, found)

    def test_many_keys(self):
        """A listing, and nothing per object: more keys than a page, quickly and in little memory."""
        m = self.well()
        m.stop()
        count = 2500 if self.kind == "dir" else 1100
        for i in range(count):
            self.store.put("db1/2024-11-22/t%05d.sql.zst.age" % i, b"")
        script = 'ulimit -v 400000; exec "$@"'
        done = subprocess.run(["bash", "-c", script, "-", mount.BAKFS, "doctor", "-c", m.conf], env=m.environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("%d keys listed" % count, done.stdout)


@both_stores
class Capabilities(Doctor):
    def test_blind(self):
        m = Mount(self.store, {"seal": {"recipients": "%s,%s" % (mount.RECIPIENT, mount.STRANGER)}}, start=False)
        self.addCleanup(m.close)
        real = mount.BAKFS
        wrapper = os.path.join(self.tmp, "bakfs")
        with open(wrapper, "w", encoding="ascii") as f:
            f.write('#!/bin/sh\nexec setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace "%s" "$@"\n' % real)
        os.chmod(wrapper, 0o755)
        mount.BAKFS = wrapper
        try:
            m.start()
        finally:
            mount.BAKFS = real
        self.examine(m, "--fix", code=1)
        self.assertEqual(self.problems(m), ["the daemon cannot see how other programs end"])


@only("s3")
class OtherUploads(Doctor):
    def test_left_alone(self):
        m = self.well()
        client = self.store.client
        client.call("POST", self.store.prefix + "somebody/elses", {"uploads": ""})
        client.call("POST", self.store.prefix + DAY + "/ours.sql.zst.age", {"uploads": ""})
        found = self.examine(m, "--fix")
        self.assertIn(("note", "1 uploads that are no backups of bakfs"), found)
        self.assertTrue(any(w.startswith("1 uploads that no daemon of this host knows") for _, w in found), found)
        self.assertEqual(len(self.store.uploads()), 2)

    def test_bucket(self):
        m = self.well()
        found = self.examine(m)
        self.assertIn(("note", "no lifecycle rule aborts unfinished uploads"), found)
        self.assertIn(("note", "conditions of requests: put honoured, complete of an upload ignored"), found)


def requests_before_complete(front, key):
    """What was asked about a key between its last part and its Complete."""
    names = [r.op for r in front.seen() if r.key.endswith(key)]
    end = names.index("CompleteMultipartUpload")
    start = max(i for i in range(end) if names[i].startswith("UploadPart"))
    return names[start + 1 : end]


class Conditions(Doctor):
    """The probe of a mount, through a front that counts."""

    put = "honoured"
    complete = None
    looks = None

    def test_probe(self):
        front = self.store.front
        m = self.mount()
        self.assertEqual(m.status()["conditions"], {"put": self.put, "complete": self.complete})
        self.assertTrue([r for r in front.forget() if ".bakfs-probe/" in r.key])
        self.assertEqual(self.store.keys(), [])
        self.assertEqual(self.store.uploads(), [])
        put_file(m.make(DAY, "orders.sql"), pieces(40 * MIB))
        self.assertEqual("HeadObject" in requests_before_complete(front, DAY + "/orders.sql.zst.age"), self.looks)
        m.restart()  # remembered
        self.assertEqual([r for r in front.seen() if ".bakfs-probe/" in r.key], [])
        self.assertEqual(m.status()["conditions"], {"put": self.put, "complete": self.complete})
        files = [n for n in os.listdir(m.state) if n.startswith("conditions-")]
        self.assertEqual(len(files), 1)
        os.unlink(os.path.join(m.state, files[0]))
        m.stop()
        found = self.examine(m, "--fix")
        if self.complete == "honoured":
            self.assertIn(("ok", "conditions of requests are honoured"), found)
        self.assertTrue([r for r in front.seen() if ".bakfs-probe/" in r.key])
        self.assertEqual(self.store.keys(), [DAY + "/orders.sql.zst.age"])


@only("conditions")
class ConditionsHonoured(Conditions):
    complete = "honoured"
    looks = False


@only("front")
class ConditionsIgnored(Conditions):
    complete = "ignored"
    looks = True

    def test_refused_is_unknown(self):
        """Who may not remove leaves nothing, and writes all the same."""
        front = self.store.front
        front.fail("500", op="DeleteObject", times=None)
        m = self.mount({"store": {"deadline": "2s"}})
        self.assertEqual(m.status()["conditions"], {"put": "unknown", "complete": "unknown"})
        front.heal()
        self.assertEqual(self.store.keys(), [])
        put_file(m.make(DAY, "orders.sql"), [b"x" * 1000])
        self.assertEqual(self.store.keys(), [DAY + "/orders.sql.zst.age"])
