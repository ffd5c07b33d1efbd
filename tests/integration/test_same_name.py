"""Two mounts write one name at the same moment: one wins whole, nothing is mixed, the other is told at its close."""

import errno
import hashlib
import os
import threading

import case
from case import MIB, Case, only

DAY = "db1/2024-11-22"
SMALL = {"limits": {"memory": "32M"}, "write": {"head": "1M"}}
TOLD = (errno.EEXIST, errno.ESTALE)


class SameName(Case):
    """Mixed into what follows."""

    def write(self, mount, path, body, both, results):
        """Everything up to close, then close together with the other one."""
        code = 0
        fd = None
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            for off in range(0, len(body), MIB):
                os.write(fd, body[off : off + MIB])
        except OSError as e:
            code = e.errno
        both.wait()
        if fd is not None:
            try:
                os.close(fd)
            except OSError as e:
                code = code or e.errno
        results[mount] = code

    def race(self, mounts, name, size):
        bodies = [hashlib.sha256(b"%d %s" % (i, name.encode())).digest() * (size // 32) for i in range(2)]
        bodies[1] += b"the longer one"
        results, both = {}, threading.Barrier(2)
        threads = [
            threading.Thread(target=self.write, args=(m, m.path(DAY, name), body, both, results))
            for m, body in zip(mounts, bodies)
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return bodies, [results[m] for m in mounts]

    def judged(self, reader, name, bodies, codes, label):
        """-> which one won"""
        self.assertEqual(codes.count(0), 1, label)
        winner = codes.index(0)
        self.assertIn(codes[1 - winner], TOLD, label)
        with open(reader.path(DAY, name), "rb") as f:
            self.assertTrue(f.read() == bodies[winner], "not the winner's: %s" % label)
        return winner

    def rounds(self, count, size, overwrites):
        mounts = [self.mount(SMALL), self.mount(SMALL)]
        reader = self.mount({"mount": {"refresh": "0s"}}, options=["-o", "ro"])
        os.makedirs(mounts[0].path(DAY))
        os.makedirs(mounts[1].path(DAY), exist_ok=True)
        wins, sizes = [0, 0], {}
        for i in range(count):
            name = "f%d" % i
            if overwrites:
                with open(mounts[i % 2].path(DAY, name), "wb") as f:
                    f.write(b"old")
                case.wait_until(lambda: all(name in os.listdir(m.path(DAY)) for m in mounts))
            bodies, codes = self.race(mounts, name, size)
            label = "round %d: %s" % (i, [errno.errorcode.get(c, c) for c in codes])
            wins[self.judged(reader, name, bodies, codes, label)] += 1
            sizes[name] = len(bodies[codes.index(0)])
        for m in mounts:  # the losers' mount sees the winners' files too
            case.wait_until(lambda: {n: os.stat(m.path(DAY, n)).st_size for n in os.listdir(m.path(DAY))} == sizes)
        self.assertEqual(self.store.leftovers(), [])
        return wins

    @case.short
    def test_two_create_small(self):
        self.rounds(10 if case.SHORT else 100, 32 * 1024, False)

    def test_two_overwrite_small(self):
        self.rounds(100, 32 * 1024, True)

    def test_two_create_in_parts(self):
        self.rounds(20, 11 * MIB, False)

    @case.short
    def test_two_overwrite_in_parts(self):
        self.rounds(4 if case.SHORT else 20, 11 * MIB, True)


@only("dir")
class SameNameDir(SameName):
    pass


@only("conditions")
class SameNameConditions(SameName):
    pass
