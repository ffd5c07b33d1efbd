"""Random sequences of operations on the mount and in a plain directory: model/runner.py says what may differ, and why.

BAKFS_MODEL_SEED=N runs only the sequence of that seed, with BAKFS_MODEL_COUNT=N so many from there on. A failing one is shrunk and
printed (BAKFS_MODEL_SHRINK=no: printed).
"""

import os
import shutil
import tempfile
import unittest

import case
from case import Case, both_stores
from model.generate import sequence
from model.runner import MIB, Difference, Runner
from model.shrink import shrink

DAY = "db1/2024-11-22"
COUNT = {"dir": 800, "s3": 400}
COUNT_SHORT = 60
COUNT_SPOOL = 150
BATCH = 100  # sequences whose contents are compared again by a second mount
CONF = {"write": {"head": "1M"}, "limits": {"memory": "64M"}}

# Sequences that failed once.
W, R, RW, CREAT, TRUNC, APPEND = os.O_WRONLY, os.O_RDONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_APPEND
REGRESSIONS = [
    ("written through a handle of a file that was removed, while another is made under its name", [
        ("open", 0, 0, "c", W | CREAT | TRUNC), ("close", 0), ("open", 0, 4, "c", RW), ("unlink", 0, "c"),
        ("open", 0, 2, "c", RW | CREAT), ("pwrite", 4, 5020, 1048576, 686), ("pwrite", 2, 0, 10, 1), ("close", 4),
    ]),
    ("written through a handle of a file that was renamed", [
        ("mkdir", 0, "d"), ("open", 1, 0, "a", RW | CREAT), ("close", 0), ("open", 0, 1, "a", RW), ("rename", 0, "a", "d/b"),
        ("pwrite", 1, 0, 1048577, 33), ("stat", 1, "d/b"), ("close", 1), ("stat", 1, "d/b"), ("stat", 1, "a"),
    ]),
    ("an idle descriptor, and others that read, append and cut", [
        ("open", 0, 0, "a", W | CREAT), ("write", 0, 5000, 3), ("close", 0), ("open", 0, 1, "a", W | APPEND), ("open", 1, 2, "a", R), ("read", 2, 5000),
        ("close", 2), ("open", 1, 3, "a", W | APPEND), ("write", 3, 10, 4), ("close", 3), ("truncate", 1, "a", 5003), ("write", 1, 7, 5), ("close", 1),
    ]),
    ("a rewrite across the end of the head, by a duplicate", [
        ("open", 0, 1, "a", W | CREAT | TRUNC), ("open", 1, 3, "a", W | CREAT | APPEND), ("write", 3, 461, 489),
        ("open", 1, 5, "a", RW | CREAT | TRUNC), ("close", 5), ("close", 3), ("write", 1, 1048575, 854),
        ("pwrite", 1, 65536, 3145727, 283), ("dup", 1, 2), ("close", 1), ("write", 2, 7319, 776),
    ]),
    ("a write across the end of the head that is taken in part", [
        ("open", 1, 2, "b", W | CREAT), ("write", 2, 3145728, 129), ("pwrite", 2, 5471, 3145728, 437),
    ]),
    ("cut by its name while it is open", [
        ("open", 1, 1, "a", RW | CREAT), ("exit", 1, 0), ("open", 1, 5, "a", RW), ("truncate", 1, "a", 65535),
        ("pwrite", 5, 4096, 65536, 8), ("pread", 5, 0, 100000),
    ]),
    ("a hole in the head that is filled when the head was full", [
        ("open", 1, 4, "a", W | CREAT | TRUNC), ("pwrite", 4, 1048576, 6563, 912), ("write", 4, 2097151, 550),
    ]),
    ("read back while it is streamed", [
        ("open", 1, 5, "c", W | CREAT), ("open", 0, 0, "c", RW | CREAT), ("write", 0, 2097152, 715), ("pread", 0, 65537, 3145727),
    ]),
    ("a reader of a file that was given up, and made anew", [
        ("open", 0, 4, "a", W | CREAT | TRUNC), ("open", 0, 5, "a", R), ("pwrite", 4, 1050910, 1048577, 395),
        ("pwrite", 4, 65536, 1048576, 929), ("open", 0, 0, "a", RW | CREAT), ("write", 0, 2045, 192), ("pread", 5, 0, 100),
    ]),
]


class Sequences:
    """Numbers the directories of a runner, and shrinks what fails."""

    def __init__(self, runner):
        self.runner, self.count = runner, 0

    def top(self):
        self.count += 1
        return "%s/p%d" % (DAY, self.count)

    def failure(self, ops):
        """The difference, or None."""
        try:
            self.runner.run(ops, self.top())
            return None
        except Difference as e:
            return str(e)

    def shrunk(self, ops):
        """-> (operations, difference)"""
        least = shrink(ops, lambda some: self.failure(some) is not None)
        return least, self.failure(least) or "which passes when it is run again"


def printed(ops):
    return "[\n" + "".join("    %r,\n" % (op,) for op in ops) + "]"


@both_stores
class Model(Case):
    def setUp(self):
        super().setUp()
        self.m = self.runner = self.sequences = self.plain = None

    def begin(self, seek="head"):
        self.m = self.mount({**CONF, "write": {**CONF["write"], "seek": seek}})
        self.plain = os.path.join(self.tmp, "plain")
        os.mkdir(self.plain)
        self.runner = Runner(self.m.point, self.plain, MIB, streams=seek == "head")
        self.addCleanup(self.runner.close)
        self.sequences = Sequences(self.runner)

    def one(self, ops, name):
        said = self.sequences.failure(ops)
        if said is None:
            return
        if os.environ.get("BAKFS_MODEL_SHRINK") != "no":
            ops, again = self.sequences.shrunk(ops)
            said += "\nshrunk: " + again
        self.fail("%s: %s\n%s\nthe daemon's last lines:\n%s" % (name, said, printed(ops), self.m.log()[-2000:]))

    def stored_the_same(self):
        """What a second mount of the store finds is what the plain directory has."""
        other = self.mount(options=["-o", "ro"])
        for base, _, names in os.walk(self.plain):
            for name in names:
                path = os.path.join(base, name)
                twin = os.path.join(other.point, os.path.relpath(path, self.plain))
                self.assertEqual(case.sha256_of(twin), case.sha256_of(path), path)
        expected = sum(len(names) for _, _, names in os.walk(self.plain))
        self.assertEqual(len(self.store.keys()), expected)
        other.close()
        for base in os.listdir(os.path.join(self.plain, DAY)):
            shutil.rmtree(os.path.join(self.plain, DAY, base))
            shutil.rmtree(os.path.join(self.m.point, DAY, base))

    def many(self, count):
        first = int(os.environ.get("BAKFS_MODEL_SEED", "1"))
        if "BAKFS_MODEL_SEED" in os.environ:
            count = 1
        count = int(os.environ.get("BAKFS_MODEL_COUNT", count))
        for seed in range(first, first + count):
            self.one(sequence(seed), "seed %d" % seed)
            if (seed - first) % BATCH == BATCH - 1:
                self.stored_the_same()
        self.stored_the_same()
        self.assertEqual(self.store.leftovers(), [])

    @case.short
    def test_regressions(self):
        self.begin()
        for name, ops in REGRESSIONS:
            with self.subTest(name):
                self.one(ops, name)

    @case.short
    def test_some(self):
        self.begin()
        self.many(COUNT_SHORT)

    def test_many(self):
        self.begin()
        self.many(COUNT[self.kind])

    def test_seek_spool(self):
        """Nothing is streamed: anything can be rewritten and read back."""
        self.begin("spool")
        self.many(COUNT_SPOOL)


@case.only("dir")
class Harness:
    """The harness itself, on two plain directories: it is silent where nothing differs, and finds what does."""

    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="bakfs-test-")
        self.addCleanup(shutil.rmtree, self.tmp, True)

    def sequences(self, wrong=None):
        places = [os.path.join(tempfile.mkdtemp(dir=self.tmp), side) for side in ("mount", "plain")]
        runner = Runner(*places, MIB, is_plain=True, wrong=wrong)
        self.addCleanup(runner.close)
        return Sequences(runner)

    @case.short
    def test_nothing_differs(self):
        quiet = self.sequences()
        for seed in range(300):
            said = quiet.failure(sequence(seed))
            self.assertIsNone(said, "seed %d: %s" % (seed, said))

    def found(self, wrong):
        loud = self.sequences(wrong)
        for seed in range(300):
            ops = sequence(seed)
            if loud.failure(ops) is not None:
                return loud.shrunk(ops)
        return self.fail("300 sequences did not find it")

    @case.short
    def test_a_lost_byte_is_found(self):
        """A write of 4097 bytes that loses one."""
        def wrong(op):
            return ("pwrite", op[1], op[2], op[3] - 1, op[4]) if op[0] == "pwrite" and op[3] >= 4097 else op

        ops, said = self.found(wrong)
        self.assertLessEqual(len(ops), 5, ops)
        self.assertIn("pwrite", said)

    @case.short
    def test_a_truncation_to_another_size_is_found(self):
        ops, _ = self.found(lambda op: ("ftruncate", op[1], op[2] + 1) if op[0] == "ftruncate" else op)
        self.assertLessEqual(len(ops), 5, ops)
        self.assertIn("ftruncate", [op[0] for op in ops])

    @case.short
    def test_an_append_at_the_wrong_place_is_found(self):
        def wrong(op):
            return ("open", op[1], op[2], op[3] & ~os.O_APPEND) if op[0] == "open" else op

        ops, _ = self.found(wrong)
        self.assertLessEqual(len(ops), 5, ops)
        self.assertTrue(any(op[0] == "open" and op[4] & os.O_APPEND for op in ops))
