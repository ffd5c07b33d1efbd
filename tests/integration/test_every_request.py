"""A store that fails the Nth request of everything that changes it, in every way: what the program is told and what is
stored agree, and nothing is left behind."""

import concurrent.futures
import contextlib
import os
import queue
import subprocess

import case
import stores
from case import MIB, Case, only, wait_until
from mount import Mount

DAY = "db1/2024-11-22"
SMALL = {"limits": {"memory": "32M"}, "write": {"head": "1M"}}  # parts of 8 MiB, the first of 5
ONCE = ("500", "503", "reset", "lost")
FOR_EVER = ("500", "503", "reset", "hang", "lost-hang")
RIGS = 12  # at the same time: they wait for deadlines

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
        self.count, self.asked = 0, 0
        self.moves = []
        self.sources = {}
        for name, size in (("old", 100), ("small", 3000), ("parts", 11 * MIB)):
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
            self.asked = len(self.front.seen())
            return self.mount.verb("confirm", path)[0] == 0, done
        done = self.run({"cp": 'exec cp "$1" "$2"', "close": 'exec python3 -c "$3" "$1" "$2"'}[program], source, path, CLOSER)
        self.asked = len(self.front.seen())
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
        test.assertTrue(now in (None, old, new), "a mixture: " + label)
        if said:
            test.assertTrue(now == new, "told of success: " + label)
        elif not (fault.times is None and fault.action in ("lost", "lost-hang")):  # there nobody can know
            test.assertTrue(now == old, "told of failure, and it is %s: %s" % ("there" if now == new else "gone", label))
        logged = [f["path"] for f in self.mount.status()["failures"]]
        relative = os.path.relpath(path, self.mount.point)
        if not said and now == new:
            reasons = [f["reason"] for f in self.mount.status()["failures"] if f["path"] == relative]
            test.assertIn("ask 'bakfs confirm'", " ".join(reasons), label)
        if said:
            test.assertNotIn(relative, logged, label)
            test.assertIn("stored path=%s " % relative, self.mount.log(), label)
        elif now != new:
            test.assertNotIn("stored path=%s bytes=%d " % (relative, len(new)), self.mount.log(), label)

    def move(self, what, program, kind, nth, times):
        """One rename with one fault; judged by moved(). -> whether there was such a request"""
        source, overwrites = what
        self.count += 1
        before, after = (self.mount.path(DAY, name % self.count) for name in ("g%d", "h%d"))
        body, old = self.read(self.sources[source]), self.read(self.sources["old"])
        for path, content in ((before, body),) + (((after, old),) if overwrites else ()):
            with open(path, "wb") as f:
                f.write(content)
        self.front.forget()
        fault = self.front.fail(kind, nth=nth, times=times)
        done = self.run('exec mv "$1" "$2"', before, after)
        self.asked = len(self.front.seen())
        self.front.heal()
        label = "%s: %s; requests: %s" % ((what, kind, nth, times), done.stdout.decode(errors="replace"), self.front.seen())
        self.moves.append((before, after, body, old if overwrites else None, done.returncode == 0, times is None, label))
        return fault.happened.is_set()

    def moved(self):
        """One name has it, as the program was told. When the store goes away for good between the copy and the removal there
        is no way back: then it is whole under the new name, and perhaps under both."""
        for before, after, body, old, said, for_good, label in self.moves:
            there = self.stored(before), self.stored(after)
            fine = [(None, body)] if said else [(body, old)]
            if for_good:
                fine += [(None, body)] + ([(body, body)] if old else [])
            looks = [self.names(t, body, old) for t in (there, *fine)]
            self.test.assertTrue(there in fine, "said %s: %s; are %s, should be %s" % (said, label, looks[0], looks[1:]))

    @staticmethod
    def names(there, body, old):
        return tuple("whole" if t == body else "the old one" if t is not None and t == old else t and "something else" for t in there)

    def requests(self, what, program):
        """How many a write takes with nothing wrong, once the mount knows its surroundings."""
        for _ in range(2):
            (self.move if program == "mv" else self.one)(what, program, "none", 1 << 30, 1)
        return self.asked


CASES = [("small", False), ("parts", False), ("small", True), ("parts", True)]


@only("front")
class EveryRequest(Case):
    def sweep(self, jobs, deadline, times, rigs):
        """jobs: (what, program, kind). Each with every Nth request. -> the rigs, whose uploads are gone"""
        with concurrent.futures.ThreadPoolExecutor(rigs) as pool:
            idle = queue.SimpleQueue()
            made = list(pool.map(lambda _: Rig(self, deadline), range(rigs)))
            counts = {job[:2]: made[0].requests(*job[:2]) for job in jobs}
            for rig in made:
                idle.put(rig)

            def run(what, program, kind, nth):
                rig = idle.get()
                try:
                    return (rig.move if program == "mv" else rig.one)(what, program, kind, nth, times)
                finally:
                    idle.put(rig)

            todo = [pool.submit(run, *job, nth) for job in jobs for nth in range(1, counts[job[:2]] + 1)]
            happened = sum(t.result() for t in todo)
        # a listing that is still fresh spares some a request
        self.assertGreater(happened, 0.7 * len(todo), counts)
        return made

    def once(self, kind, program="cp", cases=CASES):
        """Tried again, so never told of."""
        for rig in self.sweep([(what, program, kind) for what in cases], "60s", 1, 3):
            self.assertEqual(rig.store.uploads(), [])
            self.assertEqual(rig.mount.status()["failures"], [])
            rig.moved()

    @case.short
    def test_500_once(self):
        self.once("500", cases=CASES[:3])

    def test_503_once(self):
        self.once("503", program="close", cases=CASES[1:3])

    @case.short
    def test_reset_once(self):
        self.once("reset", program="close", cases=CASES[1:3])

    @case.short
    def test_lost_once(self):
        self.once("lost")

    def test_lost_once_and_the_shell(self):
        self.once("lost", program="shell", cases=CASES[1:3])

    def until_the_deadline(self, jobs, deadline="1s", times=None):
        """Told of. Later, when the store is well, nothing is left."""
        rigs = self.sweep(jobs, deadline, times, RIGS)
        with concurrent.futures.ThreadPoolExecutor(RIGS) as pool:
            list(pool.map(lambda rig: rig.mount.restart(), rigs))
        for rig in rigs:
            self.assertEqual(rig.store.uploads(), [])
            rig.moved()

    @case.short
    def test_500_and_503_from_there_on(self):
        self.until_the_deadline([(what, "cp", "500") for what in CASES[1:3]] + [(what, "shell", "503") for what in (CASES[0], CASES[3])])

    def test_resets_from_there_on(self):
        self.until_the_deadline([(what, "close", "reset") for what in CASES[1:3]] + [(what, "cp", "lost") for what in (CASES[0], CASES[3])])

    def test_hanging_from_there_on(self):
        self.until_the_deadline([(what, "cp", "hang") for what in CASES[:2]] + [(what, "shell", "lost-hang") for what in CASES[2:]])

    def test_one_that_hangs(self):
        """Longer than the deadline: a failure like others, unless it was carried out."""
        jobs = [(CASES[0], "cp", "hang"), (CASES[3], "shell", "hang"), (CASES[1], "close", "lost-hang"), (CASES[2], "cp", "lost-hang")]
        self.until_the_deadline(jobs, "2s", 1)

    @case.short
    def test_a_rename_once(self):
        self.once("500", "mv", CASES[1:2])
        self.once("lost", "mv", CASES[1:3])

    def test_a_rename_once_reset(self):
        self.once("503", "mv", CASES[3:])
        self.once("reset", "mv", CASES[:1])

    def test_a_rename_from_there_on(self):
        self.until_the_deadline([(what, "mv", kind) for what, kind in zip(CASES[1:3], ("500", "reset"))])

    def test_a_rename_hanging_from_there_on(self):
        self.until_the_deadline([(what, "mv", kind) for what, kind in ((CASES[0], "lost"), (CASES[3], "hang"))])
