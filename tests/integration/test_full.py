"""No room: in the store, in the spool, in memory. Clear errors or waiting; no deadlock, nothing lost."""

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading

import case
import stores
from case import MIB, Case, both_stores, only, pieces, put_file, sha256_of
from mount import Mount

DAY = "db1/2024-11-22"
FULL = (errno.ENOSPC,)


class SmallDirStore(stores.DirStore):
    """On a file system of its own, which is full soon."""

    def __init__(self, megabytes):
        super().__init__()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dM" % megabytes, "tmpfs", self.root], check=True)

    def fill(self, free_bytes):
        """Leaves so much free."""
        ballast = os.path.join(self.root, ".ballast")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ballast)
        about = os.statvfs(self.root)
        with open(ballast, "wb") as f:
            os.posix_fallocate(f.fileno(), 0, max(1, about.f_bavail * about.f_frsize - free_bytes))

    def close(self):
        subprocess.run(["umount", "-l", self.root], check=False)
        super().close()


@only("dir")
class FullStore(Case):
    def setUp(self):
        super().setUp()
        self.small = SmallDirStore(48)
        self.addCleanup(self.small.close)
        self.m = Mount(self.small, {"limits": {"memory": "32M"}, "write": {"head": "1M"}}, start=False)
        self.addCleanup(self.m.close)
        self.m.start()
        os.makedirs(self.m.path(DAY))

    def sweep(self, size, step, overwrites):
        """Room for nothing, for a bit more, ... until it fits."""
        body = os.urandom(size)
        free, failed = 0, 0
        for i in range(200):
            name = "f%d" % i
            path = self.m.path(DAY, name)
            old = None
            if overwrites:
                self.small.fill(4 * MIB)
                old = b"yesterday's\n" * 100
                with open(path, "wb") as f:
                    f.write(old)
            self.small.fill(free)
            code = 0
            try:
                put_file(path, [body[off : off + MIB] for off in range(0, size, MIB)])
            except OSError as e:
                code = e.errno
            self.assertEqual(self.small.leftovers(), [], (i, free))
            there = os.path.exists(os.path.join(self.small.root, DAY, name + ".zst.age"))
            if code == 0:
                self.assertGreater(failed, 1)
                with open(path, "rb") as f:
                    self.assertTrue(f.read() == body)
                return
            failed += 1
            self.assertIn(code, FULL, free)
            self.assertEqual(there, overwrites)
            self.assertIn("No space left", self.m.status()["failures"][0]["reason"])
            self.assertEqual(self.m.verb("confirm", path)[0], 1)
            if overwrites:
                with open(path, "rb") as f:
                    self.assertEqual(f.read(), old)
                os.unlink(path)
            free += step
        self.fail("it never fits")

    @case.short
    def test_small_files(self):
        self.sweep(200 * 1000, 40 * 1024, False)
        self.sweep(200 * 1000, 80 * 1024, True)

    @case.short
    def test_parts(self):
        self.sweep(11 * MIB, 2 * MIB, False)
        self.sweep(11 * MIB, 3 * MIB, True)

    def test_the_shell_and_confirm(self):
        self.small.fill(100 * 1024)
        path = self.m.path(DAY, "orders.sql")
        self.run_shell('sh -c \'head -c 3000000 /dev/urandom > "$0"\' "$1"', path)
        self.assertEqual(self.m.verb("confirm", path)[0], 1)
        self.small.fill(20 * MIB)
        self.assertEqual(self.run_shell('head -c 3000000 /dev/urandom > "$1"', path).returncode, 0)
        self.assertEqual(self.m.verb("confirm", path)[0], 0)


@both_stores
class FullSpool(Case):
    def open_many(self, m, count, size):
        """Files whose bytes all stay here until they are closed: each is smaller than its head."""
        sums, codes = {}, []
        fds = []
        for i in range(count):
            fds.append(os.open(m.make(DAY, "f%d" % i), os.O_WRONLY | os.O_CREAT, 0o600))
            codes.append(0)
            sums[i] = hashlib.sha256()
        for _ in range(size // MIB):
            for i, fd in enumerate(fds):
                if codes[i]:
                    continue
                piece = os.urandom(MIB)
                try:
                    os.write(fd, piece)
                    sums[i].update(piece)
                except OSError as e:
                    codes[i] = e.errno
        for i, fd in enumerate(fds):
            try:
                os.close(fd)
            except OSError as e:
                codes[i] = codes[i] or e.errno
        return codes, sums

    def judge(self, m, codes, sums):
        self.assertIn(0, codes)
        self.assertTrue(any(codes), "the spool was never full")
        for i, code in enumerate(codes):
            path = m.path(DAY, "f%d" % i)
            if code == 0:
                self.assertEqual(sha256_of(path), sums[i].hexdigest())
                continue
            self.assertIn(code, FULL)
            self.assertFalse(os.path.exists(path))
        self.assertEqual(self.store.leftovers(), [])
        self.assertRegex(" ".join(f["reason"] for f in m.status()["failures"]), "spool")

    @case.short
    def test_spool_max(self):
        m = self.mount({"limits": {"memory": "32M"}, "write": {"spool_max": "24M"}})
        self.judge(m, *self.open_many(m, 12, 12 * MIB))
        put_file(m.path(DAY, "later"), pieces(20 * MIB))  # all of it was given back

    @case.short
    def test_no_space_for_the_spool(self):
        spool = tempfile.mkdtemp(prefix="bakfs-spool-")
        self.addCleanup(shutil.rmtree, spool, ignore_errors=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24M", "tmpfs", spool], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", spool], check=False)
        m = self.mount({"limits": {"memory": "32M"}, "write": {"spool": spool}})
        self.judge(m, *self.open_many(m, 12, 12 * MIB))
        put_file(m.path(DAY, "later"), pieces(20 * MIB))


@both_stores
class Crowd(Case):
    @case.short
    def test_sixteen_writers_and_sixteen_readers(self):
        m = self.mount({"limits": {"memory": "64M"}})
        size = (6 if case.SHORT else 24) * MIB
        there = m.make(DAY, "there")
        expected = put_file(there, pieces(size))
        wrong, sums = [], {}

        def write(i):
            try:
                sums[i] = put_file(m.path(DAY, "f%d" % i), pieces(size, "mixed"))
            except OSError as e:
                wrong.append(e)

        def read():
            try:
                if sha256_of(there) != expected:
                    wrong.append("wrong bytes")
            except OSError as e:
                wrong.append(e)

        threads = [threading.Thread(target=write, args=(i,)) for i in range(16)]
        threads += [threading.Thread(target=read) for _ in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(300)
        self.assertFalse(any(t.is_alive() for t in threads), "a deadlock")
        self.assertEqual(wrong, [])
        for i, total in sums.items():
            self.assertEqual(sha256_of(m.path(DAY, "f%d" % i)), total)

    @case.short
    def test_tee(self):
        """One program, twelve files, and room for the heads of few."""
        m = self.mount({"limits": {"memory": "64M"}})
        os.makedirs(m.path(DAY))
        source = os.path.join(self.tmp, "source")
        with open(source, "wb") as f:
            f.writelines(pieces((18 if case.SHORT else 30) * MIB))
        paths = [m.path(DAY, "f%d" % i) for i in range(12)]
        done = self.run_shell('source=$1; shift; exec timeout 300 tee "$@" < "$source" > /dev/null', source, *paths)
        self.assertEqual(done.returncode, 0, done.stdout)
        for path in paths:
            self.assertEqual(sha256_of(path), sha256_of(source))
