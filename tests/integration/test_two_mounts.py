"""Two mounts of one store: nothing of a file is seen before it is committed, then all; replaced files are read whole."""

import errno
import hashlib
import os
import threading

import case
from case import MIB, Case, both_stores, pieces, put_file, sha256_of, wait_until

DAY = "db1/2024-11-22"


@both_stores
class TwoMounts(Case):
    @case.short
    def test_nothing_before_the_commit(self):
        a, b = self.mount(), self.mount()
        path = a.make(DAY, "orders.sql")
        total = hashlib.sha256()
        with open(path, "wb", buffering=0) as f:
            for piece in pieces(60 * MIB):
                f.write(piece)
                total.update(piece)
            os.fsync(f.fileno())
            wait_until(self.store.uploads)  # parts are in the store
            self.assertEqual(self.store.keys(), [])
            self.assertEqual(os.listdir(b.path()), [])
            with self.errno_is(errno.ENOENT):
                os.stat(b.path(DAY, "orders.sql"))
            self.assertEqual(os.stat(path).st_size, 60 * MIB)
        wait_until(lambda: os.path.exists(b.path(DAY, "orders.sql")))
        self.assertEqual(os.stat(b.path(DAY, "orders.sql")).st_size, 60 * MIB)
        self.assertEqual(sha256_of(b.path(DAY, "orders.sql")), total.hexdigest())

    @case.short
    def test_a_replaced_file_is_the_old_or_the_new_one(self):
        a, b = self.mount(), self.mount()
        path = a.make(DAY, "orders.sql")
        versions = {}

        def write(i):
            body = [hashlib.sha256(b"%d" % i).digest() * (32768 // (1 + i % 3))] * (3 + 2 * (i % 4))
            versions[hashlib.sha256(b"".join(body)).hexdigest()] = i
            put_file(path, body)

        write(0)
        done, seen, wrong, errors = threading.Event(), set(), [], []

        def read():
            while not done.is_set():
                try:
                    seen.add(sha256_of(b.path(DAY, "orders.sql")))
                except OSError as e:
                    errors.append(e.errno)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for t in readers:
            t.start()
        try:
            for i in range(1, 12 if case.SHORT else 40):
                write(i)
        finally:
            done.set()
            for t in readers:
                t.join()
        wrong = [s for s in seen if s not in versions]
        self.assertEqual(wrong, [])
        self.assertTrue(seen)
        # a file replaced in mid-read may fail, as such
        self.assertLessEqual(set(errors), {errno.EIO, errno.ESTALE})
        latest = max(versions.values())
        wait_until(lambda: versions[sha256_of(b.path(DAY, "orders.sql"))] == latest)

    def test_an_open_file_is_never_a_mix(self):
        """Pinned to what it was opened as: after the replacement it goes on with the old bytes, or fails."""
        a, b = self.mount(), self.mount()
        old, new = os.urandom(12 * MIB), os.urandom(12 * MIB)
        path = a.make(DAY, "orders.sql")
        put_file(path, [old])
        wait_until(lambda: os.path.exists(b.path(DAY, "orders.sql")))
        with open(b.path(DAY, "orders.sql"), "rb", buffering=0) as f:
            self.assertEqual(os.pread(f.fileno(), 1000, 0), old[:1000])
            put_file(path, [new])
            for off in range(0, 12 * MIB, MIB):
                try:
                    self.assertEqual(os.pread(f.fileno(), 1000, off), old[off : off + 1000])
                except OSError as e:
                    self.assertIn(e.errno, (errno.EIO, errno.ESTALE))

    def test_removed_by_another(self):
        a, b = self.mount(), self.mount()
        put_file(a.make(DAY, "orders.sql"), [b"x"])
        wait_until(lambda: os.path.exists(b.path(DAY, "orders.sql")))
        os.unlink(a.path(DAY, "orders.sql"))
        wait_until(lambda: not os.path.exists(b.path(DAY, "orders.sql")))

    def test_two_hosts_one_name(self):
        """Whoever is later gets EEXIST, or wins whole where the store cannot tell; never a mix."""
        a, b = self.mount(), self.mount()
        fa = os.open(a.make(DAY, "orders.sql"), os.O_WRONLY | os.O_CREAT, 0o600)
        fb = os.open(b.make(DAY, "orders.sql"), os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fa, b"a" * MIB)
        os.write(fb, b"b" * 2 * MIB)
        os.close(fa)
        with self.errno_is(errno.EEXIST):
            os.close(fb)
        with open(self.mount().path(DAY, "orders.sql"), "rb") as f:
            self.assertEqual(f.read(), b"a" * MIB)
