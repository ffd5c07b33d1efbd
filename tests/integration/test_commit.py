"""When a file is committed, and when it never is."""

import errno
import os
import signal
import subprocess
import sys

import case
from case import MIB, Case, both_stores, pieces, put_file, wait_until

DAY = "db1/2024-11-22"


@both_stores
class Commit(Case):
    def stored(self):
        return [os.path.basename(k)[: -len(".zst.age")] for k in self.store.keys()]

    def content(self, m, name):
        with open(m.path(DAY, name), "rb") as f:
            return f.read()

    @case.short
    def test_shells(self):
        m = self.mount()
        os.makedirs(m.path(DAY))
        self.assertEqual(self.run_shell('echo one > "$1"', m.path(DAY, "a")).returncode, 0)
        self.assertEqual(self.run_shell('exec 3>"$1"; echo one >&3; echo two >&3', m.path(DAY, "b")).returncode, 0)
        self.assertEqual(self.run_shell('(echo one; /bin/echo two; cat /etc/hostname) > "$1"', m.path(DAY, "c")).returncode, 0)
        self.assertEqual(self.run_shell(': > "$1"', m.path(DAY, "empty")).returncode, 0)
        self.assertEqual(self.run_shell('yes | head -n 100000 > "$1"', m.path(DAY, "yes")).returncode, 0)
        wait_until(lambda: sorted(self.stored()) == ["a", "b", "c", "empty", "yes"])
        self.assertEqual(self.content(m, "b"), b"one\ntwo\n")
        self.assertTrue(self.content(m, "c").startswith(b"one\ntwo\n"))
        self.assertEqual(self.content(m, "yes"), b"y\n" * 100000)
        self.assertEqual(self.content(m, "empty"), b"")

    @case.short
    def test_close_waits_for_the_store(self):
        m = self.mount()
        put_file(m.make(DAY, "a"), [b"x" * 1000])
        self.assertEqual(self.stored(), ["a"])  # at once: close() returned

    def test_a_child_that_writes_on(self):
        """The opener closes while its child still writes: only the child's end commits."""
        m = self.mount()
        path = m.make(DAY, "a")
        read, write = os.pipe()
        with open(path, "wb", buffering=0) as f:
            f.write(b"parent ")
            child = subprocess.Popen(["cat"], stdin=read, stdout=f)
            os.write(write, b"child ")
            wait_until(lambda: m.status()["writing"][0]["bytes"] == 13)
        os.close(read)
        self.assertEqual(self.stored(), [])
        os.write(write, b"end")
        os.close(write)
        self.assertEqual(child.wait(), 0)
        wait_until(lambda: self.stored() == ["a"])
        self.assertEqual(self.content(m, "a"), b"parent child end")

    @case.short
    def test_a_killed_writer_makes_no_backup(self):
        m = self.mount()
        path = m.make(DAY, "a")
        script = "import os,sys\nf=open(sys.argv[1],'wb',buffering=0)\nf.write(b'x'*1000000)\nprint('written',flush=True)\nsys.stdin.read()"
        for number in (signal.SIGKILL, signal.SIGTERM):
            child = subprocess.Popen([sys.executable, "-c", script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.assertEqual(child.stdout.readline(), b"written\n")
            child.send_signal(number)
            child.wait()
            child.stdin.close()
            child.stdout.close()
            wait_until(lambda: not m.status()["writing"])
            self.assertEqual(self.stored(), [])
        failures = m.status()["failures"]
        self.assertEqual({f["path"] for f in failures}, {DAY + "/a"})
        self.assertIn(DAY + "/a", m.log())

    @case.short
    def test_a_writer_that_fails_makes_no_backup(self):
        m = self.mount()
        os.makedirs(m.path(DAY))
        # the shell opened the file, its child wrote and failed: sticks, whatever the shell does afterwards
        self.run_shell('/bin/sh -c "echo half; exit 3" > "$1"; true', m.path(DAY, "a"))
        self.run_shell('/bin/sh -c "exit 1" > "$1"', m.path(DAY, "nothing"))
        wait_until(lambda: not m.status()["writing"])
        self.assertEqual(self.stored(), [])
        self.assertEqual(self.run_shell('echo whole > "$1"', m.path(DAY, "a")).returncode, 0)
        self.assertEqual(self.stored(), ["a"])
        self.assertEqual(self.content(m, "a"), b"whole\n")

    def test_publish_failed(self):
        m = self.mount({"write": {"publish_failed": "yes"}})
        os.makedirs(m.path(DAY))
        self.run_shell('/bin/sh -c "echo half; exit 3" > "$1"', m.path(DAY, "a"))
        wait_until(lambda: self.stored() == ["a"])

    @case.short
    def test_the_head_is_rewritten(self):
        """As pg_dump -Fc does with its table of contents."""
        m = self.mount()
        path = m.make(DAY, "a")
        for size in (5 * MIB, 40 * MIB):
            plain = bytearray(b"".join(pieces(size)))
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            for off in range(0, size, MIB):
                os.write(fd, plain[off : off + MIB])
            for off, text in ((131, b"table of contents"), (0, b"PGXXX"), (MIB - 3, b"across"), (15 * MIB, b"late")):
                if off < size:
                    os.pwrite(fd, text, off)
                    plain[off : off + len(text)] = text
            os.close(fd)
            m.restart()
            self.assertEqual(self.content(m, "a"), bytes(plain))

    def test_a_rewrite_behind_the_head_fails_and_sticks(self):
        m = self.mount()
        fd = os.open(m.make(DAY, "a"), os.O_WRONLY | os.O_CREAT, 0o600)
        for piece in pieces(60 * MIB):
            os.write(fd, piece)
        with self.errno_is(errno.EIO):
            os.pwrite(fd, b"late", 30 * MIB)
        with self.errno_is(errno.EIO):
            os.write(fd, b"more")
        with self.errno_is(errno.EIO):
            os.close(fd)
        self.assertEqual(self.stored(), [])
        wait_until(lambda: DAY + "/a" in m.log())

    def test_holes_are_zeros(self):
        m = self.mount()
        fd = os.open(m.make(DAY, "a"), os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, b"begin")
        os.lseek(fd, 3 * MIB, os.SEEK_SET)
        os.write(fd, b"end")
        os.ftruncate(fd, 4 * MIB)
        os.close(fd)
        m.restart()
        self.assertEqual(self.content(m, "a"), b"begin" + bytes(3 * MIB - 5) + b"end" + bytes(MIB - 3))

    def test_an_overwrite_that_fails_leaves_the_old_one(self):
        m = self.mount()
        put_file(m.make(DAY, "a"), [b"old"])
        self.run_shell('/bin/sh -c "echo new; exit 1" > "$1"', m.path(DAY, "a"))
        wait_until(lambda: not m.status()["writing"])
        m.restart()
        self.assertEqual(self.content(m, "a"), b"old")
        put_file(m.path(DAY, "a"), [b"newer"])
        m.restart()
        self.assertEqual(self.content(m, "a"), b"newer")

    def test_reopened_and_synced(self):
        """pg_dump -f opens its finished file again, O_RDWR, and calls fsync."""
        m = self.mount()
        path = m.make(DAY, "a")
        put_file(path, [b"x" * 1000])
        before = self.store.get(DAY + "/a.zst.age")
        fd = os.open(path, os.O_RDWR)
        os.fsync(fd)
        os.close(fd)
        self.assertEqual(self.store.get(DAY + "/a.zst.age"), before)
