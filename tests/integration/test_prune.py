"""bakfs prune: against a model of its own over random calendars; the dry run against the run; versions; locks."""

import contextlib
import datetime
import hashlib
import json
import os
import random
import subprocess
import tempfile
import time
import unittest

import case
import mount
import stores
import verbs
from case import both_stores, only

DAY = 86400
SUFFIX = ".zst.age"
YES, NO, UNKNOWN = b"40000000", b"80000000", b"00000000"
RULES = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


def utc(t):
    return datetime.datetime.fromtimestamp(t, datetime.timezone.utc)


def stamp(t):
    return utc(t).strftime("%Y%m%dT%H%M%SZ")


def date(t):
    return utc(t).strftime("%Y-%m-%d")


def header(flags=UNKNOWN):
    """The first bytes of an object: what is told without a key. Nobody opens the rest."""
    word = lambda n: b"A" * n
    return (b"age-encryption.org/v1\n-> bakfs/v1 " + b"%020d" % 100 + b" 20261122T031500.123456789Z 20261122T031642.000000001Z "
            + flags + b" " + word(43) + b"\n\n-> X25519 " + word(43) + b"\n" + word(43) + b"\n--- " + word(43) + b"\n" + bytes(80))


class Backup:
    """One backup as the generator made it: the model asks nothing else."""

    def __init__(self, host, partition, when, state, verified, path, keys, stored_at=0):
        self.stored_at = stored_at  # of what was copied in: its newest part
        self.host, self.partition, self.when, self.state, self.verified = host, partition, when, state, verified
        self.path, self.keys = path, keys  # key -> (bytes, mtime or None)


def ours(host, partition, when, kind="good", day=None, name_host=None):
    """kind: good, pass, fail, pass-fail, fail-pass, unfinished, no dump"""
    directory = "%s/%s/%s" % (host, day or date(when), partition)
    stem = "%s/%s.%s.%s" % (directory, name_host or host, stamp(when), partition)
    rnd = random.Random(stem)
    names = {".globals.sql": b"g", ".schema.sql": b"s"}
    if kind != "no dump":
        names.update(rnd.choice([{".dump": b"d"}, {".sql": b"d"}, {".dir/toc.dat": b"t", ".dir/1.dat": b"1", ".dir/2.dat": b"2"}]))
    if kind != "unfinished":
        names[".META"] = b"m"
    for i, word in enumerate(w for w in kind.split("-") if w in ("pass", "fail")):
        names[".VERIFIED.%s.%s" % (stamp(when + (i + 1) * 3600), word.upper())] = b"v"
    last = kind.split("-")[-1]
    state = "good" if last in ("good", "pass") else "bad"
    return Backup(host, partition, when, state, last == "pass", stem, {stem + n + SUFFIX: (b, None) for n, b in names.items()})


def time_of(day, modified):
    begin = int(datetime.datetime.fromisoformat(day).replace(tzinfo=datetime.timezone.utc).timestamp())
    return modified if begin - DAY <= modified < begin + 2 * DAY else begin + DAY - 1


def copied_directory(host, partition, day, modified, flags=UNKNOWN, verdict=None):
    path = "%s/%s/%s" % (host, day, partition)
    keys = {path + "/toc.dat" + SUFFIX: (header(flags), modified), path + "/base/1" + SUFFIX: (header(flags), modified - 5)}
    if verdict:
        keys["%s/%s.VERIFIED.%s.%s" % (path, partition, stamp(modified + 60), verdict) + SUFFIX] = (header(), modified + 9 * DAY)
    state = "bad" if flags == NO or verdict == "FAIL" else "good"
    return Backup(host, partition, time_of(day, modified), state, verdict == "PASS" and state == "good", path, keys, modified)


def copied(host, partition, day, files):
    """Files of one PARTITION directly in DATE: [(name behind it, flags, stored at, verdicts)]"""
    base = "%s/%s/%s" % (host, day, partition)
    keys, bad, verified = {}, False, False
    for end, flags, modified, verdicts in files:
        keys[base + end + SUFFIX] = (header(flags), modified)
        for i, verdict in enumerate(verdicts):
            keys["%s%s.VERIFIED.%s.%s" % (base, end, stamp(modified + 60 * i), verdict) + SUFFIX] = (header(), modified + 9 * DAY)
        bad = bad or flags == NO or verdicts[-1:] == ["FAIL"]
        verified = verified or verdicts[-1:] == ["PASS"]
    when = time_of(day, max(f[2] for f in files))
    first = partition.partition(".")[0]
    return Backup(host, first, when, "bad" if bad else "good", verified and not bad, "%s/%s/%s.*" % (host, day, first), keys,
                  max(f[2] for f in files))


def stored(rnd, when, now):
    """When a copy was stored: near its DATE, at the edges of what is near, or at any time."""
    begin = when // DAY * DAY
    edges = [begin - DAY - 1, begin - DAY, begin, begin + 2 * DAY - 1, begin + 2 * DAY, rnd.randrange(now - 900 * DAY, now)]
    return when if rnd.random() < 0.6 else rnd.choice(edges)


def random_files(rnd, when, now):
    found = []
    for end in rnd.sample([".sql", ".schema.sql", ".items.sql.gz", ".20261122.dump"], rnd.choice([1, 1, 2, 3])):
        modified = stored(rnd, when, now)
        flags = rnd.choices([YES, UNKNOWN, NO], [4, 4, 1])[0]
        found.append((end, flags, modified, rnd.choice([[], [], [], ["PASS"], ["FAIL"], ["PASS", "FAIL"], ["FAIL", "PASS"]])))
    return found


def calendar(rnd, host, partition, now):
    """Random backups of one partition, no path twice."""
    found = {}
    style = rnd.choice(["daily", "hourly", "irregular", "bursts", "years", "few", "new year"])
    t = now - rnd.randrange(3 * DAY)
    if style == "new year":  # where weeks and years end differently
        year = utc(now).year - rnd.randrange(6)
        t = int(datetime.datetime(year, 1, 5, tzinfo=datetime.timezone.utc).timestamp()) + rnd.randrange(DAY)
    for _ in range(rnd.choice([1, 2, 10, 25]) if style != "few" else rnd.randrange(3)):
        t -= {"daily": DAY, "hourly": 3600, "irregular": int(rnd.expovariate(1 / (2 * DAY))), "years": rnd.randrange(200 * DAY),
              "bursts": rnd.choice([0, 1, 60, 20 * DAY]), "few": 9 * DAY, "new year": DAY}[style]
        kind = rnd.choices(["good", "pass", "fail", "pass-fail", "fail-pass", "unfinished", "no dump", "file", "directory"],
                           [10, 3, 1, 1, 1, 2, 1, 4, 1])[0]
        when = t
        if rnd.random() < 0.03:
            when = now + 600 + rnd.randrange(40 * DAY)  # a clock was wrong
        if kind == "file":
            b = copied(host, partition, date(when), random_files(rnd, when, now))
        elif kind == "directory" and not any("/%s/%s/" % (date(when), partition) in p for p in found):
            modified = stored(rnd, when, now)
            b = copied_directory(host, partition, date(when), modified, rnd.choice([YES, UNKNOWN, NO]),
                                 rnd.choice([None, None, "PASS", "FAIL"]))
        elif kind == "directory" or "%s/%s/%s" % (host, date(when), partition) in found:
            continue
        else:
            b = ours(host, partition, when, kind, date(when + rnd.choice([0, 0, DAY])), rnd.choice([host, host, "other"]))
            if any(p == b.path.rsplit("/", 1)[0] for p in found):
                continue
        found.setdefault(b.path, b)
    return list(found.values())


def periods_of(rule, t):
    u = utc(t)
    year, week, _ = u.isocalendar()
    return {"hourly": (u.year, u.month, u.day, u.hour), "daily": (u.year, u.month, u.day), "weekly": (year, week),
            "monthly": (u.year, u.month), "yearly": (u.year,)}[rule]


def model(backups, rules, now):
    """-> the paths that stay. Written from the help alone."""
    stays = set()
    groups = {}
    for b in backups:
        groups.setdefault((b.host, b.partition), []).append(b)
    for group in groups.values():
        age = lambda b: (b.when, b.path)
        recent = {b.path for b in group if b.stored_at > now - DAY and b.state == "good"}
        stays |= recent
        good = [b for b in group if b.state == "good" and b.when <= now and b.path not in recent]
        good.sort(key=age, reverse=True)
        stays |= {b.path for b in group if b.when > now}
        if not good:
            stays |= {b.path for b in group}
            continue
        stays.add(good[0].path)
        stays |= {b.path for b in [g for g in good if g.verified][:1]}
        stays |= {b.path for b in group if b.state == "bad" and (age(b) > age(good[0]) or now - b.when < 7 * DAY)}
        if "within" in rules:
            stays |= {b.path for b in group if now - b.when <= rules["within"] * DAY}
        stays |= {b.path for b in good[: rules.get("last", 0)]}
        for rule in RULES[1:]:
            newest = {}
            for b in reversed(good):
                newest[periods_of(rule, b.when)] = b.path
            stays |= {newest[p] for p in sorted(newest, reverse=True)[: rules.get(rule, 0)]}
    return stays


def random_rules(rnd):
    rules = {r: rnd.choice([1, 2, 3, 7, 20]) for r in rnd.sample(RULES, rnd.randrange(1, 4))}
    if rnd.random() < 0.3:
        rules["within"] = rnd.choice([1, 10, 100])
    return rules


def words(rules):
    return [w for r, n in rules.items() for w in ("--keep-" + r, "%d%s" % (n, "d" if r == "within" else ""))]


class Prune:
    """self.store is filled by self.fill; no mount is needed."""

    def setUp(self):
        self.store = stores.KINDS[self.kind]()
        self.addCleanup(self.store.close)
        self.conf = self.write_conf()

    def write_conf(self, more=""):
        handle, path = tempfile.mkstemp(prefix="bakfs-prune-")
        self.addCleanup(os.unlink, path)
        with open(handle, "w", encoding="utf8") as f:
            settings = dict(self.store.settings, url=self.store.url)
            f.write("[store]\n" + "".join("%s = %s\n" % item for item in settings.items()) + more)
        return path

    def fill(self, backups, extra=()):
        for b in backups:
            for key, (body, modified) in b.keys.items():
                self.store.put(key, body)
                if modified and self.kind == "dir":
                    os.utime(os.path.join(self.store.root, key), (modified, modified))
        for key in extra:
            self.store.put(key, b"x")

    def prune(self, *args, code=0, conf=None, text=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "BAKFS_"))}
        done = subprocess.run([mount.BAKFS, "prune", "-c", conf or self.conf, *args], env=dict(env, **self.store.env), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, input=text or "")
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.said = done.stderr
        return done.stdout

    def decided(self, *args, code=0, conf=None):
        return json.loads(self.prune("--json", *args, code=code, conf=conf))


@only("dir")
class Model(Prune):
    def test_a_thousand_calendars(self):
        rnd = random.Random(20261122)
        now = int(datetime.datetime.now().timestamp())
        backups, calendars = [], 0
        for i in range(60):
            for partition in rnd.sample(["orders", "shop.eu", "a-b", "x"], rnd.randrange(1, 3)):
                backups += calendar(rnd, "h%d" % i, partition, now)
                calendars += 1
        strays = ["h1/%s/.orders.sql.Xx12%s" % (date(now), SUFFIX), "h2/%s/orders.VERIFIED.%s.PASS%s" % (date(now - 9e7), stamp(now), SUFFIX)]
        self.fill(backups, strays + ["foreign", "h1/notes.txt", "h1/%s/orders.zst" % date(now), "h1/2026-02-30/orders.sql" + SUFFIX])
        rounds, each = 0, [{r: 3} for r in RULES] + [{"within": 30}]
        while rounds < 1000 or each:
            rules = each.pop() if each else random_rules(rnd)
            answer = self.decided("--dry-run", *words(rules))
            now = int(datetime.datetime.strptime(answer["now"], "%Y-%m-%dT%H:%M:%S%z").timestamp())
            self.assertEqual({b["path"] for b in answer["backups"]}, {b.path for b in backups})
            stays = {b["path"] for b in answer["backups"] if b["keep"]}
            self.assertEqual(stays, model(backups, rules, now), rules)
            whens = {b["path"]: b["when"] for b in answer["backups"]}
            for b in backups:
                self.assertEqual(whens[b.path], utc(b.when).strftime("%Y-%m-%dT%H:%M:%SZ"))
            self.assertEqual(answer["strays"], len(strays))
            for b in answer["backups"]:
                self.assertTrue(b["why"])
            rounds += calendars


@both_stores
class Run(Prune):
    """What was said is what is done, and nothing else."""

    def test_dry_run_is_the_run(self):
        rnd = random.Random(7)
        now = int(datetime.datetime.now().timestamp())
        rounds = 30 if self.kind == "dir" else 5
        for i in range(rounds):
            host = "h%d" % i
            backups = [b for p in ("orders", "shop")[: rnd.randrange(1, 3)] for b in calendar(rnd, host, p, now)]
            if self.kind == "s3":  # its times are its own
                backups = [b for b in backups if all(m is None for _, m in b.keys.values())][:12]
            other = ours("z" + host, "orders", now - 400 * DAY)
            self.fill(backups + [other], ["%s/%s/orders.d/.x%s" % (host, date(now), SUFFIX)])
            before = set(self.store.keys())
            if not backups:
                continue
            rules = words(random_rules(rnd))
            dry = self.decided(host, "--dry-run", *rules)
            self.assertEqual(set(self.store.keys()), before)
            run = self.decided(host, "--yes", *rules)
            goes = {b["path"] for b in dry["backups"] if not b["keep"]}
            self.assertEqual([(b["path"], b["keep"], b["why"]) for b in run["backups"]],
                             [(b["path"], b["keep"], b["why"]) for b in dry["backups"]])
            self.assertEqual({b["path"] for b in run["backups"] if b["removed"]}, goes)
            gone = {k for b in backups if b.path in goes for k in b.keys}
            self.assertEqual(set(self.store.keys()), before - gone)
            again = self.decided(host, "--yes", *rules)
            self.assertEqual([b for b in again["backups"] if not b["keep"]], [])

    @case.short
    def test_what_is_said(self):
        now = int(datetime.datetime.now().timestamp())
        old, new = ours("db1", "orders", now - 40 * DAY), ours("db1", "orders", now - DAY, "pass")
        self.fill([old, new, ours("db1", "shop", now - 50 * DAY), ours("db1", "shop", now + 3 * DAY)])
        said = self.prune("--keep-daily", "1", "--dry-run")
        self.assertRegex(said, r"(?m)^go +%s +\d+ B +%s +\(no rule keeps it\)$" % (utc(old.when).strftime("%Y-%m-%dT%H:%M:%SZ"), old.path))
        self.assertRegex(said, r"(?m)^keep .* %s +\(newest, newest verified, daily %s\)$" % (new.path, date(new.when)))
        self.assertIn("3 backups stay; 1 backup goes", said)
        self.assertIn("nothing was removed", said)
        self.assertIn("1 backup is from the future", self.said)
        # nobody is there who could say yes
        self.prune("--keep-daily", "1", code=2)
        self.assertIn("--yes", self.said)
        self.prune("db1", "nothing", "--keep-last", "1", "--yes", code=1)
        self.assertIn("no backup of db1 nothing", self.said)
        for wrong in ([], ["--keep-last", "0"], ["--keep-last", "x"], ["--keep-within", "3"], ["--keep-last", "1", "a/b"],
                      ["--keep-last", "1", "a", "b", "c"]):
            self.prune("--yes", *wrong, code=2)
        self.assertEqual(len(self.store.keys()), len(old.keys) + len(new.keys) + sum(1 for k in self.store.keys() if "/shop/" in k))
        self.prune("db1", "orders", "--keep-daily", "1", "--yes")
        self.assertFalse([k for k in self.store.keys() if k in old.keys])

    def test_what_was_cut_is_finished(self):
        """Without META it is unfinished, and goes with the next run."""
        now = int(datetime.datetime.now().timestamp())
        cut, new = ours("db1", "orders", now - 40 * DAY, "pass"), ours("db1", "orders", now - DAY)
        self.fill([cut, new])
        for key in list(cut.keys):
            if "META" in key or "VERIFIED" in key:
                self.store.delete(key)
        found = self.decided("--keep-daily", "99", "--yes")["backups"]
        self.assertEqual([(b["keep"], b["why"].split(":")[0], b["removed"]) for b in found],
                         [(False, "unfinished", True), (True, "newest, daily " + date(new.when), False)])
        self.assertEqual(self.store.keys(), sorted(new.keys))


@both_stores
class Real(verbs.VerbCase):
    def test_backups_that_bakfs_made(self):
        """The oldest goes, while the mount looks on; what stays is whole."""
        self.make_database("prune_db", "create table t as select generate_series(1, 1000) as n")
        formats = {"custom": "a", "directory": "b", "plain": "c"}
        self.ready({"database " + name: {"conninfo": self.conninfo("prune_db"), "host": "db1", "partition": "orders", "format": f}
                    for f, name in formats.items()})
        for name in formats.values():
            second = int(time.time())
            self.bakfs("backup", name, env=self.store.env)
            mount.wait_until(lambda second=second: int(time.time()) > second)  # the next one has another name
        before = self.store.keys()
        answer = json.loads(self.bakfs("prune", "--keep-last", "2", "--yes", "--json", env=self.store.env))
        self.assertEqual([(b["keep"], b["removed"]) for b in answer["backups"]], [(False, True), (True, False), (True, False)])
        gone = answer["backups"][0]["path"]
        self.assertEqual(self.store.keys(), [k for k in before if not k.startswith(gone + ".")])
        self.assertLess(len(self.store.keys()), len(before))
        day = os.path.dirname(gone)
        mount.wait_until(lambda: not [n for n in os.listdir(self.mounted.path(day)) if n.startswith(os.path.basename(gone))])
        self.bakfs("verify", "--full", "db1", "orders")


@only("dir")
class Asking(Prune):
    def answer(self, text):
        """-> (exit code, what a person at a terminal saw)"""
        master, slave = os.openpty()
        with open(master, "rb", buffering=0) as ours_end:
            command = [mount.BAKFS, "prune", "-c", self.conf, "--keep-last", "1"]
            done = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave)
            os.close(slave)
            os.write(master, text.encode())
            seen = b""
            with contextlib.suppress(OSError):  # the other end was closed
                while True:
                    piece = ours_end.read(4096)
                    if not piece:
                        break
                    seen += piece
            return done.wait(60), seen.decode()

    def test_a_person_is_asked(self):
        now = int(datetime.datetime.now().timestamp())
        old, new = ours("db1", "orders", now - 40 * DAY), ours("db1", "orders", now - DAY)
        self.fill([old, new])
        for text in ("no\n", "y\n", "yes please\n", "\x04"):
            code, seen = self.answer(text)
            self.assertEqual(code, 1, seen)
            self.assertIn("Remove 1 backup (", seen)
            self.assertIn("nothing was removed", seen)
            self.assertEqual(len(self.store.keys()), len(old.keys) + len(new.keys))
        code, seen = self.answer("yes\n")
        self.assertEqual(code, 0, seen)
        self.assertTrue(seen.rstrip().endswith("1 backup removed, 1 kept"), seen)
        self.assertEqual(self.store.keys(), sorted(new.keys))
        self.assertEqual(self.answer("")[0], 0)  # nothing goes: nobody is asked


@only("dir")
class Failing(Prune):
    def test_who_is_told(self):
        """PASS after a run, FAIL when it could not; nothing of a dry run."""
        state = tempfile.mkdtemp(prefix="bakfs-prune-")
        self.addCleanup(subprocess.run, ["rm", "-rf", state], check=True)
        told = os.path.join(state, "told")
        self.conf = self.write_conf("[mount]\nstate = %s\n[notify]\ncommand = cat >> %s\non = always\n" % (state, told))
        now = int(datetime.datetime.now().timestamp())
        self.fill([ours("db1", "orders", now - d * DAY) for d in (40, 1)])
        self.prune("--keep-last", "1", "--dry-run")
        self.assertFalse(os.path.exists(told))
        self.prune("--keep-last", "1", "--yes")
        with open(told, encoding="utf8") as f:
            said = f.read()
        self.assertIn("PASS: bakfs prune all", said)
        self.assertIn("1 backup removed, 1 kept", said)
        self.prune("db9", "--keep-last", "1", "--yes", code=1)
        with open(told, encoding="utf8") as f:
            said = f.read()
        self.assertIn("FAIL: bakfs prune db9", said)
        self.assertIn("no backup of db9", said)

    def test_one_that_cannot_go(self):
        """The others go all the same; what is left of it is no finished backup."""
        now = int(datetime.datetime.now().timestamp())
        stuck, old, new = (ours("db1", "orders", now - d * DAY) for d in (60, 40, 1))
        self.fill([stuck, old, new])
        dump = next(k for k in stuck.keys if k.endswith(("dump" + SUFFIX, "dir/1.dat" + SUFFIX, ".sql" + SUFFIX)))
        path = os.path.join(self.store.root, os.path.dirname(dump))
        # root writes everywhere: only an immutable file stays
        if subprocess.run(["chattr", "+i", os.path.join(self.store.root, dump)], stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("no immutable files here")
        try:
            answer = self.decided("--keep-last", "1", "--yes", code=1)
        finally:
            subprocess.run(["chattr", "-i", os.path.join(self.store.root, dump)], check=True)
        self.assertEqual([b["removed"] for b in answer["backups"]], [False, True, False])
        self.assertIn("failure", answer["backups"][0])
        self.assertIn("is not removed", self.said)
        self.assertFalse([n for n in os.listdir(path) if "META" in n])
        self.decided("--keep-last", "1", "--yes")
        self.assertEqual(self.store.keys(), sorted(new.keys))


@only("s3")
class Versions(Prune):
    def setUp(self):
        super().setUp()
        self.store.close()

    def use(self, store):
        self.store = store
        self.addCleanup(store.close)
        self.conf = self.write_conf()

    def test_nothing_is_left(self):
        """Older versions and delete markers go with the backup; those of others stay."""
        self.use(stores.BucketStore("versioned", versioning=True))
        now = int(datetime.datetime.now().timestamp())
        old, new, removed = (ours("db1", "orders", now - d * DAY) for d in (40, 1, 60))
        self.fill([old, removed])
        self.fill([old, new])
        some = sorted(old.keys)[0]
        self.store.delete(some)
        self.store.put(some, b"again")
        for key in removed.keys:  # somebody did it by hand, just now
            self.store.delete(key)
        kept = {v for v in self.store.versions() if v[0] in new.keys or v[0] in removed.keys}
        answer = self.decided("--keep-last", "1", "--yes")
        self.assertEqual({v[0] for v in self.store.versions()}, set(new.keys) | set(removed.keys))
        self.assertEqual(set(self.store.versions()), kept)
        why = {b["path"]: b["why"] for b in answer["backups"]}
        self.assertIn("only old versions are left", why[removed.path])
        self.assertEqual(next(b["pieces"] for b in answer["backups"] if b["path"] == old.path), 2 * len(old.keys) + 2)

    def test_credentials_of_its_own(self):
        self.use(stores.BucketStore("profile"))
        now = int(datetime.datetime.now().timestamp())
        self.fill([ours("db1", "orders", now - d * DAY) for d in (40, 1)])
        keys = self.store.env
        with tempfile.NamedTemporaryFile("w", prefix="bakfs-prune-") as f:
            f.write("[default]\naws_access_key_id = nobody\naws_secret_access_key = x\n[pruner]\naws_access_key_id = %s\n"
                    "aws_secret_access_key = %s\n" % (keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"]))
            f.flush()
            self.store.env = {"AWS_SHARED_CREDENTIALS_FILE": f.name}
            self.prune("--keep-last", "1", "--yes", code=1)
            self.conf = self.write_conf("prune_profile = pruner\n")
            self.prune("--keep-last", "1", "--yes")
            self.assertNotIn(keys["AWS_SECRET_ACCESS_KEY"], self.said)
        self.assertFalse([k for k in self.store.keys() if stamp(now - 40 * DAY) in k])

    def test_a_lock_holds(self):
        """All of a backup stays while any of it is held, and it is said until when."""
        self.use(stores.BucketStore("locked", {"x-amz-bucket-object-lock-enabled": "true"}))
        now = int(datetime.datetime.now().timestamp())
        until, legal, old, new = (ours("db1", "orders", now - d * DAY) for d in (60, 50, 40, 1))
        self.fill([until, legal, old, new])
        ids = {key: version for key, version, _ in self.store.versions()}
        dump = sorted(until.keys)[-1]
        self.store.configure(dump, "retention", "<Retention %s><Mode>GOVERNANCE</Mode><RetainUntilDate>2099-02-03T04:05:06Z"
                             "</RetainUntilDate></Retention>", versionId=ids[dump])
        held = sorted(legal.keys)[0]
        self.store.configure(held, "legal-hold", "<LegalHold %s><Status>ON</Status></LegalHold>", versionId=ids[held])
        dry = self.decided("--keep-last", "1", "--dry-run")
        run = self.decided("--keep-last", "1", "--yes")
        self.assertEqual([(b["keep"], b["why"]) for b in run["backups"]], [(b["keep"], b["why"]) for b in dry["backups"]])
        self.assertEqual([(b["keep"], b["why"]) for b in run["backups"]][:3],
                         [(True, "a lock holds it until 2099-02-03 04:05:06 UTC"), (True, "a legal hold holds it"),
                          (False, "no rule keeps it")])
        self.assertEqual({v[0] for v in self.store.versions()}, set(until.keys) | set(legal.keys) | set(new.keys))
        self.store.configure(held, "legal-hold", "<LegalHold %s><Status>OFF</Status></LegalHold>", versionId=ids[held])
        self.decided("--keep-last", "1", "--yes")
        self.assertEqual({v[0] for v in self.store.versions()}, set(until.keys) | set(new.keys))


if __name__ == "__main__":
    unittest.main()
