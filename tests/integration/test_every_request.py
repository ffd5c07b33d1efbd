"""A store that fails the Nth request of everything that changes it, in every way: what the program is told and what is
stored agree, and nothing is left behind."""

import concurrent.futures
import contextlib
import os
import subprocess

import case
import stores
from case import MIB, Case, only, wait_until
from mount import Mount

DAY = "db1/2024-11-22"
SMALL = {"limits": {"memory": "32M"}, "write": {"head": "1M"}}  # parts of 8 MiB, the first of 5
ONCE = ("500", "503", "reset", "lost")
FOR_EVER = ("500", "503", "reset", "hang", "lost-hang")
REQUESTS_MAX = 60  # a bound for what never ends

# a program that checks close and nothing else
CLOSER = """
import sys
f = open(sys.argv[2], "wb", 0)
f.write(open(sys.argv[1], "rb").read())
f.close()
"""


class Rig:
    """A mount over a front of its own, and the contents that are written through it."""

    def __init__(self, test, deadline):
        self.test, self.store = test, stores.FrontStore()
        test.addCleanup(self.store.close)
        self.front = self.store.front
        self.mount = Mount(self.store, dict(SMALL, store={"deadline": deadline}), start=False)
        test.addCleanup(self.mount.close)
        self.mount.start()
        self.count = 0
        self.sources = {}
        for name, size in (("old", 100), ("small", 3000), ("parts", 15 * MIB)):
            self.sources[name] = os.path.join(self.mount.dir, name)
            with open(self.sources[name], "wb") as f:
                f.write(os.urandom(size))
        os.makedirs(self.mount.path(DAY))

    def read(self, path):
        with contextlib.suppress(FileNotFoundError):
            with open(path, "rb") as f:
                return f.read()
        return None

    def stored(self, path):
        """What a second look sees: the store itself for whether there is an object, the mount for what is in it."""
        key = "%s/%s.zst.age" % (DAY, os.path.basename(path))
        there = self.store.client.etag(self.store.prefix + key) is not None
        wait_until(lambda: os.path.exists(path) == there)
        return self.read(path)

    def write(self, program, source, path):
        """-> whether the program says that it is stored"""
        if program == "shell":  # the store is well again when somebody asks
            done = self.run('sh -c \'cat "$0" > "$1"\' "$1" "$2"', source, path)
            self.front.heal()
            return self.mount.verb("confirm", path)[0] == 0, done
        done = self.run({"cp": 'exec cp "$1" "$2"', "close": 'exec python3 -c "$3" "$1" "$2"'}[program], source, path, CLOSER)
        return done.returncode == 0, done

    @staticmethod
    def run(script, *args):
        return subprocess.run(["bash", "-c", script, "-", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=120)

    def one(self, what, program, kind, nth, times):
        """One write with one fault. -> False when there was no such request any more"""
        source, overwrites = what
        self.count += 1
        path = self.mount.path(DAY, "f%d" % self.count)
        old = None
        if overwrites:
            old = self.read(self.sources["old"])
            with open(path, "wb") as f:
                f.write(old)
        self.front.forget()
        fault = self.front.fail(kind, nth=nth, times=times)
        said, done = self.write(program, self.sources[source], path)
        self.front.heal()
        self.agree(path, said, old, self.read(self.sources[source]), fault, (what, program, kind, nth, times), done)
        if not fault.happened.is_set():
            self.test.assertTrue(said, done.stdout)
        return fault.happened.is_set()

    def agree(self, path, said, old, new, fault, label, done):
        test, now = self.test, self.stored(path)
        label = "%s: said %s, %s; requests: %s" % (label, said, done.stdout.decode(errors="replace"), self.front.seen())
        test.assertIn(now, (None, old, new), "a mixture: " + label)
        if said:
            test.assertTrue(now == new, "told of success: " + label)
        elif not (fault.times is None and fault.action in ("lost", "lost-hang")):  # there nobody can know
            test.assertTrue(now == old, "told of failure, and it is %s: %s" % ("there" if now == new else "gone", label))
        logged = [f["path"] for f in self.mount.status()["failures"]]
        relative = os.path.relpath(path, self.mount.point)
        if said:
            test.assertNotIn(relative, logged, label)
            test.assertIn("stored path=%s " % relative, self.mount.log(), label)
        elif now != new:
            test.assertNotIn("stored path=%s bytes=%d " % (relative, len(new)), self.mount.log(), label)

    def nothing_left(self):
        self.test.assertEqual(self.store.uploads(), [])


WHATS = [("small", False), ("parts", False), ("small", True), ("parts", True)]


@only("front")
class EveryRequest(Case):
    def sweep(self, rig, whats, program, kind, times):
        for what in whats:
            nth = 1
            while rig.one(what, program, kind, nth, times):
                nth += 1
                self.assertLess(nth, REQUESTS_MAX, (what, kind))
            self.assertGreater(nth, 1, (what, kind))

    def once(self, kind, program="cp", whats=WHATS):
        """Tried again, so never told of."""
        rig = Rig(self, "60s")
        self.sweep(rig, whats, program, kind, 1)
        rig.nothing_left()
        self.assertEqual(rig.mount.status()["failures"], [])

    @case.short
    def test_500_once(self):
        self.once("500", whats=WHATS[:3])

    def test_503_once(self):
        self.once("503", program="close", whats=WHATS[1:])

    @case.short
    def test_reset_once(self):
        self.once("reset", program="close", whats=WHATS[1:3])

    @case.short
    def test_lost_once(self):
        self.once("lost")

    def test_lost_once_and_the_shell(self):
        self.once("lost", program="shell", whats=WHATS[1:3])

    def for_ever(self, kind, program, whats=WHATS):
        """From the Nth on until the deadline: told of. Later, when the store is well, nothing is left."""
        rig = Rig(self, "1s")
        self.sweep(rig, whats, program, kind, None)
        rig.mount.restart()
        rig.nothing_left()

    def together(self, jobs):
        """They wait for deadlines most of the time."""
        with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
            for done in [pool.submit(self.for_ever, *job) for job in jobs]:
                done.result()

    @case.short
    def test_500_until_the_deadline(self):
        self.together([("500", "cp", [what]) for what in WHATS])

    def test_503_until_the_deadline(self):
        self.together([("503", "shell", [what]) for what in WHATS])

    def test_reset_until_the_deadline(self):
        self.together([("reset", "close", [what]) for what in WHATS])

    def test_lost_until_the_deadline(self):
        self.together([("lost", "cp", [what]) for what in WHATS])

    def test_hang_until_the_deadline(self):
        self.together([("hang", "cp", [what]) for what in WHATS])

    def test_hang_answered_until_the_deadline(self):
        self.together([("lost-hang", "shell", [what]) for what in WHATS])

    def test_one_hang(self):
        """Longer than the deadline: a failure like others, unless it was carried out."""
        rigs = [Rig(self, "2s") for _ in range(4)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [("hang", "cp", WHATS[0]), ("hang", "shell", WHATS[3]), ("lost-hang", "close", WHATS[1]), ("lost-hang", "cp", WHATS[2])]
            for done in [pool.submit(self.sweep, rig, [what], program, kind, 1) for rig, (kind, program, what) in zip(rigs, jobs)]:
                done.result()
        for rig in rigs:
            rig.mount.restart()
            rig.nothing_left()
