"""kill -9 of the daemon in the middle of an upload: after a remount the file is absent or whole, or the old one, and
nothing else is left. Points are events: bytes that were written, the Nth request, the Nth change below the store."""

import contextlib
import ctypes
import os
import struct
import subprocess
import threading

import case
from case import MIB, Case, both_stores, only

DAY = "db1/2024-11-22"
SMALL = {"limits": {"memory": "32M"}, "write": {"head": "1M"}}  # parts of 8 MiB, the first of 5
SIZE = 15 * MIB
STEP = 64 * 1024
OLD = b"yesterday's\n" * 1000

IN_CREATE, IN_MOVED_TO, IN_MODIFY, IN_DELETE = 0x100, 0x80, 0x2, 0x200


class Events:
    """Calls `at(n)` for the Nth change in a directory, in a thread."""

    libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, path, at):
        self.fd = self.libc.inotify_init1(os.O_CLOEXEC)
        if self.libc.inotify_add_watch(self.fd, path.encode(), IN_CREATE | IN_MOVED_TO | IN_MODIFY | IN_DELETE) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", path)
        self.at, self.stop = at, os.eventfd(0, os.EFD_CLOEXEC)
        self.count = 0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        import select

        while True:
            ready, _, _ = select.select([self.fd, self.stop], [], [])
            if self.stop in ready:
                return
            data = os.read(self.fd, 65536)
            while data:
                length = struct.unpack_from("iIII", data)[3]
                data = data[16 + length :]
                self.count += 1
                self.at(self.count)

    def close(self):
        os.eventfd_write(self.stop, 1)
        self.thread.join()
        os.close(self.fd)
        os.close(self.stop)


class Killed(Case):
    """Mixed into what follows."""

    def setUp(self):
        super().setUp()
        self.body = os.urandom(SIZE)
        self.mounted = self.mount(SMALL)
        self.rounds = 0
        self.kills = 0
        os.makedirs(self.mounted.path(DAY))
        with open(self.mounted.path(DAY, "keeps-the-directory"), "wb") as f:
            f.write(b"x")

    def kill(self, *_):
        daemon = self.mounted.daemon
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()
            self.kills += 1

    def write(self, path, size, at=None):
        """-> whether close said that it is stored. `at`: kill when so many bytes are written; -1: before close"""
        fd = None
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            for off in range(0, size, STEP):
                if at is not None and off >= at >= 0:
                    self.kill()
                os.write(fd, self.body[off : min(size, off + STEP)])
            if at == -1:
                self.kill()
            gone, fd = fd, None
            os.close(gone)
            return True
        except OSError:
            return False
        finally:
            if fd is not None:
                with contextlib.suppress(OSError):
                    os.close(fd)

    def round(self, overwrites, size=SIZE, at=None, before=lambda: None, after=lambda: None):
        """One upload and its remount. -> whether the daemon was killed"""
        m = self.mounted
        self.rounds += 1
        path = m.path(DAY, "f%d" % self.rounds)
        if overwrites:
            with open(path, "wb") as f:
                f.write(OLD)
        kills = self.kills
        before()
        said = self.write(path, size, at)
        after()
        killed = self.kills > kills
        if not killed:
            self.assertTrue(said)
            self.kill()
        m.kill()
        m.start()
        label = "round %d, %d bytes, overwrites %s, said %s" % (self.rounds, size, overwrites, said)
        self.assertEqual(self.store.leftovers(), [], label)
        try:
            with open(path, "rb") as f:
                now = f.read()
        except FileNotFoundError:
            now = None
        new = self.body[:size]
        self.assertTrue(now in (new, OLD if overwrites else None), "a mixture: " + label)
        if said:
            self.assertTrue(now == new, "stored, and lost: " + label)
        return killed

    def by_bytes(self, points):
        for i in range(points):
            at = -1 if i == points - 1 else SIZE * i // points
            self.assertTrue(self.round(i % 2 == 1, at=at))


@both_stores
class KilledDaemon(Killed):
    @case.short
    def test_while_it_is_written(self):
        self.by_bytes(4 if case.SHORT else 100)


@only("front")
class KilledDaemonRequests(Killed):
    def sweep(self, overwrites, size, answered, points):
        """Before the Nth request is forwarded (it is carried out all the same: it was sent), or before its answer is."""
        front = self.store.front

        def before():
            front.forget()
            front.fail(self.kill, nth=nth, answered=answered)

        def after():
            front.heal()
            front.wait_idle()

        for nth in points:
            if not self.round(overwrites, size, before=before, after=after):
                return nth
        return None

    @case.short
    def test_requests_of_an_upload(self):
        points = (2, 4, 6) if case.SHORT else range(1, 99)
        for answered in (False, True):
            for overwrites in (False, True):
                last = self.sweep(overwrites, SIZE, answered, points)
                self.assertTrue(case.SHORT or last > 6, last)

    def test_requests_of_a_small_file(self):
        for answered in (False, True):
            for overwrites in (False, True):
                self.assertLess(self.sweep(overwrites, 1000, answered, range(1, 99)), 20)

    @case.short
    def test_a_create_that_nobody_knows(self):
        """Two hosts: what one left is aborted, what the other has just begun is not harmed."""
        front, store = self.store.front, self.store
        path = self.mounted.path(DAY, "orders.sql")
        other = self.mount(SMALL)
        front.fail(self.kill, op="CreateMultipartUpload", answered=True)
        self.assertFalse(self.write(path, SIZE))
        front.heal()
        self.assertEqual(store.uploads(), [DAY + "/orders.sql.zst.age"])
        # the other host's upload has no part yet while the first one mounts again
        held, go = threading.Event(), threading.Event()

        def hold(_):
            held.set()
            go.wait(60)

        front.fail(hold, op="UploadPart")
        source = os.path.join(self.tmp, "body")
        with open(source, "wb") as f:
            f.write(self.body)
        # not by a thread: what this process starts would close its file, too, and wait for the part that is held
        writer = subprocess.Popen(["cp", source, other.path(DAY, "orders.sql")])
        try:
            self.assertTrue(held.wait(60))
            self.assertEqual(len(store.uploads()), 2)
            self.mounted.kill()
            self.mounted.start()
        finally:
            go.set()
            code = writer.wait()
        self.assertEqual(code, 0)
        with open(path, "rb") as f:
            self.assertTrue(f.read() == self.body)
        self.assertEqual(store.uploads(), [])


@only("dir")
class KilledDaemonFiles(Killed):
    def sweep(self, overwrites, size, points):
        tmp = os.path.join(self.store.root, ".bakfs-tmp")
        for nth in points:
            events = []

            def before():
                events.append(Events(tmp, lambda n: self.kill() if n == nth else None))

            def after():
                events.pop().close()

            if not self.round(overwrites, size, before=before, after=after):
                return nth
        return None

    @case.short
    def test_changes_of_files(self):
        for overwrites in (False, True):
            # each part is written in pieces of 256 KiB: events beyond these are the last ones
            self.sweep(overwrites, SIZE, (1, 2, 3) if case.SHORT else (1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 58, 59, 60, 61, 62, 63, 64))
            self.sweep(overwrites, 1000, (1, 2) if case.SHORT else range(1, 9))
