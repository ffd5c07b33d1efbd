"""Sessions that end under their writers, programs that end in odd ways, names that change under their readers."""

import contextlib
import errno
import os
import subprocess
import sys

import case
from case import MIB, Case, both_stores, put_file, wait_until

DAY = "db1/2024-11-22"

# writes until it is told otherwise, then exits as programs do
WRITER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.write(fd, b"x" * (1 << 20))
print("written", flush=True)
try:
    while True:
        os.write(fd, b"y" * (1 << 20))
        sys.stdin.read(1)
except OSError:
    sys.exit(1)
"""

OPENER = """
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)
print("open", flush=True)
sys.stdin.read()
sys.exit(1)
"""

# a runtime with threads (Go, Java) that leaves its output open and exits with 0 from a thread of its own
THREADS = """
import os, sys, threading
for _ in range(8):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
os.write(1, b"from a thread\\n" * 1000)
threading.Thread(target=os._exit, args=(int(sys.argv[1]),)).start()
threading.Event().wait()
"""


@both_stores
class HardEnds(Case):
    def stored(self):
        return [os.path.basename(k)[: -len(".zst.age")] for k in self.store.keys()]

    def spawn(self, script, *args, **how):
        child = subprocess.Popen([sys.executable, "-c", script, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **how)
        self.addCleanup(child.stdin.close)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        self.assertTrue(child.stdout.readline())
        return child

    @case.short
    def test_the_deadline_ends_four_writers(self):
        m = self.mount({"mount": {"drain_deadline": "1s"}})
        for i in range(4):
            self.spawn(WRITER, m.make(DAY, "f%d" % i))
        m.terminate()
        m.wait()
        self.assertEqual((self.store.keys(), self.store.leftovers()), ([], []))

    @case.short
    def test_a_forced_unmount_stores_no_part(self):
        m = self.mount()
        good = m.make(DAY, "good")
        put_file(good, [b"good" * 1000])
        self.spawn(WRITER, m.path(DAY, "half"))
        self.spawn(OPENER, good)
        subprocess.run(["umount", "-f", m.point], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["umount", "-l", m.point], stderr=subprocess.DEVNULL, check=False)
        m.wait()
        self.assertEqual(self.stored(), ["good"])
        m.start()
        with open(m.path(DAY, "good"), "rb") as f:
            self.assertEqual(f.read(), b"good" * 1000)

    @case.short
    def test_threads_that_end_with_their_process(self):
        m = self.mount()
        os.makedirs(m.path(DAY))
        for status, expected in ((0, ["f0"]), (3, ["f0"])):
            command = '"$2" -c "$3" "$4" > "$1"; exit $?'
            done = self.run_shell(command, m.path(DAY, "f%d" % status), sys.executable, THREADS, str(status))
            self.assertEqual(done.returncode, status, done.stdout)
            self.assertEqual(self.stored(), expected)  # at once: its exit waited for the store

    @case.short
    def test_appending_to_what_another_mount_just_stored(self):
        a, b = self.mount(), self.mount({"mount": {"refresh": "1h"}})
        os.makedirs(a.path(DAY))
        put_file(a.path(DAY, "first"), [b"1"])
        self.assertEqual(os.listdir(b.path(DAY)), ["first"])  # believed for an hour
        put_file(a.path(DAY, "orders.sql"), [b"theirs" * 1000])
        self.assertEqual(self.run_shell('echo appended >> "$1"', b.path(DAY, "orders.sql")).returncode, 0)
        with open(a.path(DAY, "orders.sql"), "rb") as f:
            self.assertEqual(f.read(), b"theirs" * 1000 + b"appended\n")

    def rest_is(self, reader, seen, old):
        """Reads on to the end: the old bytes, or an error."""
        try:
            while True:
                piece = reader.read(MIB)
                if not piece:
                    self.assertEqual(len(seen), len(old))
                    self.assertTrue(seen == old)
                    return
                seen += piece
        except OSError as e:
            self.assertEqual(e.errno, errno.EIO)

    @case.short
    def test_a_reader_keeps_its_object(self):
        """Removed and made anew, or overwritten, through the same mount: all of the old bytes, or an error."""
        m = self.mount()
        old = os.urandom(4 * MIB)
        for flags in (os.O_EXCL, os.O_TRUNC):
            path = m.make(DAY, "orders.sql")
            put_file(path, [old])
            with open(path, "rb", buffering=0) as reader:
                seen = reader.read(100000)
                if flags == os.O_EXCL:
                    os.unlink(path)
                new = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
                with open(new, "wb", buffering=0) as writer:
                    writer.write(b"short")
                    self.assertEqual(os.fstat(reader.fileno()).st_size, len(old))
                    wait_until(lambda: os.stat(path).st_size == 5)
                    self.rest_is(reader, seen, old)
            with open(path, "rb") as f:
                self.assertEqual(f.read(), b"short")

    @case.short
    def test_confirm_knows_that_the_last_write_failed(self):
        m = self.mount()
        path = m.make(DAY, "orders.sql")
        put_file(path, [b"yesterday's"])
        self.assertEqual(m.verb("confirm", path)[0], 0)
        self.run_shell('(exec 3>"$1"; echo half >&3; exit 3)', path)
        wait_until(lambda: not m.status()["writing"])
        code, said = m.verb("confirm", path)
        self.assertEqual(code, 1, said)
        self.assertIn("older", said)
        with open(path, "rb") as f:
            self.assertEqual(f.read(), b"yesterday's")
        put_file(path, [b"today's"])
        self.assertEqual(m.verb("confirm", path)[0], 0)

    def test_reading_what_is_still_empty(self):
        m = self.mount()
        path = m.make(DAY, "orders.sql")
        with open(path, "wb", buffering=0):
            done = self.run_shell('cat "$1"', path)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(os.strerror(errno.EBUSY), done.stdout.decode())
            with open(path, "rb", buffering=0) as own:  # who writes it may read it
                self.assertEqual(own.read(10), b"")

    @case.short
    def test_a_killed_daemon_whose_files_are_held(self):
        m = self.mount()
        fd = os.open(m.make(DAY, "held"), os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, b"x")
        m.daemon.kill()
        m.daemon.wait()
        m.daemon = None
        code, said = m.verb("mount", "-c", m.conf)
        self.assertEqual(code, 1)
        self.assertIn("umount --lazy", said)
        code, said = m.verb("umount", m.point)
        self.assertEqual(code, 1)
        self.assertIn("umount --lazy", said)
        self.assertEqual(m.verb("umount", "--lazy", m.point)[0], 0)
        m.start()
        with self.errno_is(errno.ENOTCONN, errno.ECONNABORTED):
            os.write(fd, b"y")
        with contextlib.suppress(OSError):
            os.close(fd)
        self.assertEqual(self.stored(), [])

    @case.short
    def test_every_refusal_has_its_line(self):
        m = self.mount()
        os.makedirs(m.path("db1"))
        names = ["no-date-%d" % i for i in range(30)]
        for name in names:
            with self.errno_is(errno.EINVAL):
                os.mkdir(m.path("db1", name))
        for name in names:
            self.assertIn("'%s'" % name, m.log())

    def test_a_head_that_is_no_whole_number_of_frames(self):
        refused = self.refused({"write": {"head": "1500K"}})
        self.assertIn("head", str(refused))
