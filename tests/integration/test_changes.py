"""Changing what is stored: in place, through handles that live on, beside readers, without an identity."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time

import case
from case import MIB, both_stores, only, put_file, wait_until
from mount import IDENTITY

DAY = "db1/2024-11-22"

HEIR = """
import os, sys
if os.fork():
    os.write(1, b"header\\n")
    os._exit(0)
os.read(3, 1)       # until the parent is gone and its close was judged
os.write(1, b"body\\n")
os.close(1)
"""

APPEND = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
sys.stdin.read()
for i in range(200):
    os.write(fd, b"%s %d\\n" % (sys.argv[2].encode(), i))
os.close(fd)
"""

# Writers that die while they change a file, and somebody who sets its length and its time all the while.
KILLED = """
import os, random, sys, time
end = time.monotonic() + 6
while time.monotonic() < end:
    if os.fork():
        os.wait()
        continue
    try:
        fd = os.open(sys.argv[1], random.choice([os.O_WRONLY | os.O_TRUNC, os.O_RDWR, os.O_RDWR | os.O_TRUNC]))
        for _ in range(3):
            time.sleep(random.random() * 0.01)
            os.pwrite(fd, b"K" * random.choice([10, 200000]), random.randrange(100000))
    finally:
        os.kill(os.getpid(), 9)
"""

SETTER = """
import os, random, sys, time
end = time.monotonic() + 6
while time.monotonic() < end:
    try:
        os.utime(sys.argv[1], (1, random.randrange(1 << 30)))
        os.truncate(sys.argv[1], random.randrange(1, 100000))
    except OSError:
        pass
    time.sleep(random.random() * 0.01)
"""


def pattern(size, salt=0):
    return bytes((i * 7 + i // 251 + salt) % 256 for i in range(4096)) * (size // 4096 + 1)


def read(path):
    with open(path, "rb") as f:
        return f.read()


@both_stores
class Changes(case.Case):
    def stored(self, m, path):
        """Through another mount: what the store has."""
        other = self.mount(options=["-o", "ro"])
        try:
            return read(other.path(path))
        finally:
            other.stop()

    def change(self, path, off, data, flags=os.O_WRONLY):
        fd = os.open(path, flags)
        try:
            os.pwrite(fd, data, off)
        finally:
            os.close(fd)

    @case.short
    def test_no_page_outlives_its_object(self):
        m = self.mount()
        path = m.make(DAY, "f")
        data = bytearray(pattern(3 * MIB)[: 3 * MIB + 5])
        put_file(path, [bytes(data)])
        self.assertEqual(read(path), data)  # its pages are known to the kernel now
        for off, new in ((0, b"start"), (MIB - 2, b"across"), (3 * MIB + 5, b"the end"), (4 * MIB, b"behind a hole")):
            self.change(path, off, new)
            data[len(data) :] = bytes(max(0, off - len(data)))
            data[off : off + len(new)] = new
            self.assertEqual(read(path), data, off)
            self.assertEqual(os.stat(path).st_size, len(data))
        os.truncate(path, MIB + 1)
        self.assertEqual(read(path), data[: MIB + 1])
        os.truncate(path, 2 * MIB)
        data = data[: MIB + 1] + bytes(MIB - 1)
        self.assertEqual(read(path), data)
        os.truncate(path, 0)
        self.assertEqual(read(path), b"")
        self.assertEqual(self.stored(m, DAY + "/f"), b"")

    @case.short
    def test_a_reader_never_sees_a_mixture(self):
        m = self.mount()
        path = m.make(DAY, "f")
        old = pattern(6 * MIB)[: 6 * MIB]
        put_file(path, [old])
        with open(path, "rb", buffering=0) as reader:
            seen = reader.read(4096)
            fd = os.open(path, os.O_RDWR)
            os.pwrite(fd, b"NEW" * 1000, 5 * MIB)
            os.ftruncate(fd, 5 * MIB + 3000)
            self.assertEqual(os.pread(fd, 3000, 5 * MIB), b"NEW" * 1000)
            self.assertEqual(os.pread(fd, 10, 100), old[100:110])
            seen += reader.read(MIB)
            os.close(fd)
            try:
                while True:
                    piece = reader.read(MIB)
                    if not piece:
                        break
                    seen += piece
                self.assertEqual(seen, old)
            except OSError as e:
                self.assertEqual(e.errno, errno.EIO)
                self.assertEqual(seen, old[: len(seen)])
            self.assertEqual(os.stat(path).st_size, 5 * MIB + 3000)
        self.assertEqual(read(path), old[: 5 * MIB] + b"NEW" * 1000)
        with open(path, "r+b", buffering=0) as writer:
            self.assertEqual(len(read(path)), 5 * MIB + 3000)  # by another inode
            os.truncate(writer.fileno(), 77)
            os.stat(path)
        self.assertEqual(os.stat(path).st_size, 77)
        self.assertEqual(read(path), old[:77])

    @case.short
    def test_a_change_that_fails_leaves_what_was(self):
        m = self.mount()
        path = m.make(DAY, "f")
        old = pattern(2 * MIB)[: 2 * MIB]
        put_file(path, [old])
        self.assertEqual(read(path), old)
        killed = "import os, signal, sys; f = os.open(sys.argv[1], os.O_RDWR); os.ftruncate(f, 100); os.pwrite(f, b'x' * 50, 7); os.kill(os.getpid(), signal.SIGKILL)"
        done = subprocess.run([sys.executable, "-c", killed, path], check=False)
        self.assertEqual(done.returncode, -signal.SIGKILL)
        wait_until(lambda: "killed by signal 9" in m.log())
        self.assertEqual(read(path), old)
        self.assertEqual(os.stat(path).st_size, len(old))
        self.assertEqual(m.verb("confirm", path)[0], 1)  # what stands there is not what was written last

    def test_an_heir_goes_on_where_the_last_writer_stopped(self):
        m = self.mount()
        path = m.make(DAY, "f")
        gate, go = os.pipe()
        with open(path, "wb", buffering=0) as f:
            parent = subprocess.Popen([sys.executable, "-c", HEIR], stdout=f, pass_fds=[gate], preexec_fn=lambda: os.dup2(gate, 3))
        self.assertEqual(parent.wait(), 0)
        wait_until(lambda: "stored path" in m.log())
        self.assertEqual(read(path), b"header\n")
        os.write(go, b"x")
        wait_until(lambda: m.log().count("stored path") == 2)
        self.assertEqual(read(path), b"header\nbody\n")
        os.close(go)
        os.close(gate)

    def test_appending_from_several_processes(self):
        m = self.mount()
        path = m.make(DAY, "f")
        put_file(path, [b"first\n"])
        writers = [subprocess.Popen([sys.executable, "-c", APPEND, path, name], stdin=subprocess.PIPE) for name in "abcd"]
        for w in writers:
            w.stdin.close()
        for w in writers:
            self.assertEqual(w.wait(), 0, m.log())
        lines = read(path).decode().splitlines()
        self.assertEqual(lines[0], "first")
        for name in "abcd":
            self.assertEqual([x for x in lines if x.startswith(name)], ["%s %d" % (name, i) for i in range(200)])
        self.assertEqual(len(lines), 801)

    @case.short
    def test_without_an_identity(self):
        m = self.mount(identity=None)
        path = m.make(DAY, "f")
        old = pattern(2 * MIB)[: 2 * MIB]
        put_file(path, [old])
        self.change(path, MIB, b"changed")  # by the key this mount remembers
        new = old[:MIB] + b"changed" + old[MIB + 7 :]
        self.assertEqual(self.stored(m, DAY + "/f"), new)
        fd = os.open(path, os.O_RDWR)
        with self.errno_is(errno.EACCES):  # but it reads nothing of what is stored,
            os.pread(fd, 10, 0)
        os.pwrite(fd, b"x", 0)
        with self.errno_is(errno.EACCES):  # nor of what it lies over
            os.pread(fd, 10, MIB)
        os.close(fd)
        with self.errno_is(errno.EACCES):
            read(path)
        new = b"x" + new[1:]
        self.assertEqual(self.stored(m, DAY + "/f"), new)
        m.restart()  # the keys are gone
        with self.errno_is(errno.EACCES):
            self.change(path, 0, b"y")
        self.assertIn("write it anew as a whole", m.log())
        self.assertEqual(self.stored(m, DAY + "/f"), new)
        put_file(path, [b"anew"])
        self.assertEqual(self.stored(m, DAY + "/f"), b"anew")

    def test_a_large_file_is_appended_to_with_little_spool(self):
        m = self.mount({"write": {"spool_max": "8M"}})
        path = m.make(DAY, "f")
        old = pattern(40 * MIB)[: 40 * MIB]
        put_file(path, [old])
        self.run_ok("bash", "-c", 'echo end >> "$1"', "-", path)
        self.assertEqual(read(path), old + b"end\n")

    @case.short
    def test_more_is_appended_than_the_spool_takes(self):
        """pg_dumpall -f: each database is appended to the file, which was closed before."""
        for identity in (IDENTITY, None):
            m = self.mount({"write": {"spool_max": "8M", "head": "1M"}, "limits": {"memory": "32M"}}, identity=identity)
            path = m.make(DAY, "f%d" % bool(identity))
            head, more = pattern(3000000)[:3000000], os.urandom(30 * MIB)
            put_file(path, [head])
            fd = os.open(path, os.O_RDWR | os.O_APPEND)
            for off in range(0, len(more), MIB):
                os.write(fd, more[off : off + MIB])
            if not identity:
                for off in (0, len(head) + 7):
                    with self.assertRaises(PermissionError):
                        os.pread(fd, 100, off)
            os.close(fd)
            self.assertEqual(self.stored(m, path[len(m.point) + 1 :]) == head + more, True)

    @case.short
    def test_a_renamed_file_is_read_by_its_own_handle(self):
        m = self.mount()
        path, other = m.make(DAY, "f"), m.make(DAY, "g")
        put_file(path, [b"old" * 20])
        handle = os.open(path, os.O_RDWR)
        os.rename(path, other)
        new = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.write(new, b"new" * 20)
        change = os.open(other, os.O_RDWR)
        os.pwrite(change, b"OLD", 0)
        self.assertEqual(os.pread(handle, 100, 0), b"OLD" + b"old" * 19)
        for fd in (change, new, handle):
            os.close(fd)
        self.assertEqual(self.stored(m, DAY + "/f"), b"new" * 20)
        self.assertEqual(self.stored(m, DAY + "/g"), b"OLD" + b"old" * 19)

    @case.short
    def test_the_time_of_a_removed_file_is_nobody_elses(self):
        m = self.mount()
        path = m.make(DAY, "f")
        put_file(path, [b"old"])
        handle = os.open(path, os.O_RDWR)
        os.unlink(path)
        new = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.write(new, b"new")
        os.utime(handle, (1, 1))
        os.close(new)
        self.assertGreater(os.stat(path).st_mtime, 1)
        os.utime(path, (2, 2))
        os.utime(handle, (3, 3))
        self.assertEqual(os.stat(path).st_mtime, 2)
        os.close(handle)
        wait_until(lambda: self.mtime_elsewhere(m, DAY + "/f") == 2)

    def mtime_elsewhere(self, m, path):
        other = self.mount(options=["-o", "ro"])
        try:
            return os.stat(other.path(path)).st_mtime
        finally:
            other.stop()

    def test_lengths_and_times_while_writers_die(self):
        m = self.mount()
        path = m.make(DAY, "f")
        put_file(path, [b"O" * 100000])
        end = time.monotonic() + 60
        players = [subprocess.Popen([sys.executable, "-c", text, path]) for text in (KILLED, SETTER) * 2]
        while any(player.poll() is None for player in players):
            with contextlib.suppress(OSError):
                self.assertEqual(read(path).rstrip(b"\0").strip(b"O"), b"")
            self.assertLess(time.monotonic(), end, "they wait for each other")
        self.assertEqual([player.wait() for player in players], [0] * 4)
        self.assertEqual(self.stored(m, DAY + "/f").rstrip(b"\0").strip(b"O"), b"")

    @case.short
    def test_truncating_to_the_length_it_had(self):
        m, n = self.mount({"mount": {"refresh": "1h"}}), self.mount()
        path = m.make(DAY, "f")
        put_file(path, [b"old" * 20])
        self.assertEqual(os.stat(path).st_size, 60)
        put_file(n.path(DAY, "f"), [b"new" * 30])
        os.truncate(path, 60)
        self.assertEqual(self.stored(m, DAY + "/f"), b"new" * 20)

    def test_an_empty_file_is_there_at_once(self):
        m = self.mount()
        for i in range(20):  # its release comes a moment after its close
            a, b = m.make(DAY, "a%d" % i), m.path(DAY, "b%d" % i)
            os.close(os.open(a, os.O_WRONLY | os.O_CREAT, 0o600))
            os.rename(a, b)
            os.close(os.open(a, os.O_RDWR | os.O_CREAT, 0o600))
            os.unlink(a)
        self.assertEqual(sorted(os.listdir(m.path(DAY))), sorted("b%d" % i for i in range(20)))

    @case.short
    def test_an_idle_descriptor_follows_what_others_write(self):
        m = self.mount()
        path = m.make(DAY, "f")
        put_file(path, [b"first\n"])
        done = self.run_shell('exec 3>>"$1" && cat "$1" && echo x >> "$1" && echo y >&3 && exec 3>&- && cat "$1"', path)
        self.assertEqual(done.stdout.decode(), "first\nfirst\nx\ny\n")
        fd = os.open(path, os.O_RDWR)
        self.assertEqual(os.pread(fd, 5, 0), b"first")
        self.assertEqual(read(path)[:5], b"first")
        os.truncate(path, 3)
        self.assertEqual(os.pread(fd, 10, 0), b"fir")
        put_file(path, [b"anew, and longer"])
        self.assertEqual(os.pread(fd, 100, 0), b"anew, and longer")
        os.pwrite(fd, b"A", 0)
        os.close(fd)
        self.assertEqual(read(path), b"Anew, and longer")


@only("front")
class ChangesThatCannotBegin(case.Case):
    def check(self, identity):
        m = self.mount({"store": {"deadline": "1s"}}, identity=identity)
        path = m.make(DAY, "f")
        for op in ("GetObject", "HeadObject"):
            put_file(path, [b"old\n"])
            self.store.front.fail("500", op=op, times=None)
            fd = os.open(path, os.O_WRONLY | os.O_APPEND)
            with self.assertRaises(TimeoutError):
                os.write(fd, b"first\n")
            self.store.front.heal()
            for again in (lambda: os.write(fd, b"second\n"), lambda: os.ftruncate(fd, 0), lambda: os.ftruncate(fd, 4), lambda: os.fsync(fd), lambda: os.close(fd)):
                with self.assertRaises(TimeoutError):
                    again()
            self.assertEqual(m.status()["failures"][0]["path"], DAY + "/f")
            self.assertEqual(m.verb("confirm", path)[0], 1)
            self.assertEqual(os.stat(path).st_size, 4)
            with open(path, "ab") as f:
                f.write(b"third\n")
            self.assertEqual(m.verb("confirm", path)[0], 0)
            self.assertEqual(os.stat(path).st_size, 10)
            os.unlink(path)

    @case.short
    def test_nothing_is_stored_without_it(self):
        """A shell goes on after an `echo` that failed."""
        self.check(IDENTITY)

    def test_without_an_identity(self):
        self.check(None)
