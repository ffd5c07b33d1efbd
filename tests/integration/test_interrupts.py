"""Who waits for a store that answers never can be killed, and what it was writing is not stored. Other signals do not
disturb anybody."""

import os
import signal
import subprocess
import sys
import time

import case
from case import MIB, Case, only, pieces, put_file, wait_until

DAY = "db1/2024-11-22"
GONE_SECONDS = 5  # a second is meant; the machine may be busy. The store's deadline is far beyond

# writes what it reads from its standard input until that ends, then closes
WRITER = """
import os, signal, sys
exec(sys.argv[2])
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.write(fd, b"first")
print("open", flush=True)
total = 5
while True:
    piece = sys.stdin.buffer.read(1 << 20)
    if not piece:
        break
    while piece:
        piece = piece[os.write(fd, piece):]
os.close(fd)
signal.setitimer(signal.ITIMER_REAL, 0)
"""

DEFAULT = "signal.signal(signal.SIGINT, signal.SIG_DFL)"
# one that has handlers, and gets them all the time
NOISY = """
count = 0
def note(number, frame):
    global count
    count += 1
signal.signal(signal.SIGALRM, note)
signal.signal(signal.SIGCHLD, note)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
"""

# one thread writes without end, the other ends the process as it is told on standard input
THREADS = """
import os, resource, signal, sys, threading
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
os.write(fd, b"first")
block = os.urandom(1 << 20)
def write():
    while True:
        os.write(fd, block)
threading.Thread(target=write, daemon=True).start()
print("open", threading.enumerate()[1].native_id, flush=True)
exec(sys.stdin.readline())
"""


class Stuck(Case):
    """What both tests of stuck calls need."""

    def setUp(self):
        super().setUp()
        self.front = self.store.front
        self.m = self.mount({"store": {"deadline": "1h"}, "mount": {"drain_deadline": "1s"}, "limits": {"memory": "64M"}})

    def hang(self, op=None, match=None):
        return self.front.fail("hang", times=None, op=op, match=match)

    def spawn(self, *command, **how):
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **how)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stdin.close)
        self.addCleanup(child.wait)
        self.addCleanup(self.front.heal)
        self.addCleanup(child.kill)
        return child

    def writer(self, name, before=DEFAULT):
        child = self.spawn(sys.executable, "-c", WRITER, self.m.make(DAY, name), before)
        self.assertEqual(child.stdout.readline(), b"open\n")
        return child

    def feed(self, child, count):
        """Noise, that fills memory when nothing goes to the store. Stops when it is not taken."""
        os.set_blocking(child.stdin.fileno(), False)
        for piece in pieces(count):
            view = memoryview(piece)
            end = time.monotonic() + 2
            while view:
                try:
                    view = view[os.write(child.stdin.fileno(), view) :]
                    end = time.monotonic() + 2
                except BlockingIOError:
                    if time.monotonic() > end:
                        return
                    time.sleep(0.01)

    def blocked(self, child):
        """Waits until the process waits for the daemon."""
        wait_until(lambda: self.in_fuse(child.pid), 30)

    @staticmethod
    def in_fuse(pid):
        with open("/proc/%d/stack" % pid, encoding="ascii") as f:
            return "fuse" in f.read()

    def dies_of(self, child, number):
        child.send_signal(number)
        began = time.monotonic()
        self.assertEqual(child.wait(60), -number)
        self.assertLess(time.monotonic() - began, GONE_SECONDS)

    def stored(self):
        return [os.path.basename(k)[: -len(".zst.age")] for k in self.store.keys()]

    def nothing_stays(self, *names):
        """Once the store is back nothing of the files is there, nor goes on."""
        self.front.heal()
        wait_until(lambda: not self.m.status()["writing"])
        wait_until(lambda: not self.store.leftovers())
        for name in names:
            self.assertNotIn(name, self.stored())
            self.assertFalse(os.path.exists(self.m.path(DAY, name)))


SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)


@only("front")
class Interrupts(Stuck):
    @case.short
    def test_killed_in_close(self):
        for number in SIGNALS:
            name = "close-%d" % number
            child = self.writer(name)
            self.feed(child, 30 * MIB)
            stuck = self.hang()
            child.stdin.close()
            self.assertTrue(stuck.happened.wait(30))
            self.blocked(child)
            self.dies_of(child, number)
            self.nothing_stays(name)
            self.assertIn("killed by signal %d" % number, self.m.log())

    @case.short
    def test_killed_in_write(self):
        for number in SIGNALS:
            name = "write-%d" % number
            child = self.writer(name)
            stuck = self.hang(match=lambda r: r.method in ("PUT", "POST"))
            self.feed(child, 200 * MIB)
            self.assertTrue(stuck.happened.wait(30))
            self.blocked(child)
            self.dies_of(child, number)
            self.nothing_stays(name)

    @case.short
    def test_killed_while_it_reads_or_looks(self):
        put_file(self.m.make(DAY, "stored"), pieces(20 * MIB))
        commands = (["cat", self.m.path(DAY, "stored")], ["stat", self.m.path("db1", "2024-11-21")], ["ls", self.m.path("db1")])
        for number in SIGNALS:
            for command in commands:
                self.m.restart()  # it remembers nothing
                stuck = self.hang()
                child = self.spawn(*command)
                self.assertTrue(stuck.happened.wait(30))
                self.blocked(child)
                self.dies_of(child, number)
                self.front.heal()
        with open(self.m.path(DAY, "stored"), "rb") as f:
            self.assertEqual(sum(len(p) for p in iter(lambda: f.read(MIB), b"")), 20 * MIB)

    @case.short
    def test_dying_with_the_file_open(self):
        """Its last close is called by the kernel when it is dead already, and waits for the store's answer to the abort."""
        child = self.writer("open")
        self.feed(child, 60 * MIB)
        wait_until(lambda: self.front.seen("UploadPart"))
        wait_until(lambda: not self.in_fuse(child.pid))
        self.hang()
        self.dies_of(child, signal.SIGKILL)
        self.nothing_stays("open")

    def test_complete_was_sent(self):
        """Its result stands, though nobody heard of it."""
        child = self.writer("complete")
        self.feed(child, 40 * MIB)
        sent = self.front.fail("lost-hang", op="CompleteMultipartUpload")
        child.stdin.close()
        self.assertTrue(sent.happened.wait(60))
        wait_until(lambda: self.stored() == ["complete"])
        self.dies_of(child, signal.SIGTERM)
        self.front.heal()
        wait_until(lambda: not self.m.status()["writing"])
        self.assertEqual(self.stored(), ["complete"])
        self.assertEqual(self.store.leftovers(), [])
        with open(self.m.path(DAY, "complete"), "rb") as f:
            self.assertEqual(len(f.read()), 40 * MIB + 5)

    @case.short
    def test_other_signals_interrupt_nobody(self):
        """SIGALRM and SIGCHLD all the while; SIGTERM that is blocked, ignored, or handled."""
        blocks = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])"
        ignores = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
        handles = "signal.signal(signal.SIGTERM, lambda *a: None)"
        children = [self.writer(str(i), how) for i, how in enumerate((NOISY, blocks, ignores, handles))]
        stuck = self.hang(match=lambda r: r.method in ("PUT", "POST"))
        for child in children:
            child.stdin.close()
        self.assertTrue(stuck.happened.wait(30))
        for child in children:
            self.blocked(child)
        for _ in range(20):
            children[0].send_signal(signal.SIGCHLD)
            for child in children[1:]:
                child.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        for child in children:
            self.assertIsNone(child.poll())
        self.front.heal()
        for child in children:
            self.assertEqual(child.wait(60), 0)
        self.assertEqual(self.stored(), ["0", "1", "2", "3"])

    def threads(self, name):
        """-> a process one thread of which is stuck in write()"""
        stuck = self.hang(match=lambda r: r.method in ("PUT", "POST"))
        child = self.spawn(sys.executable, "-c", THREADS, self.m.make(DAY, name))
        tid = int(child.stdout.readline().split()[1])
        self.assertTrue(stuck.happened.wait(30))
        wait_until(lambda: self.stays_in_fuse(tid))
        return child

    def stays_in_fuse(self, tid):
        """At five looks: it is not just between two writes."""
        for _ in range(5):
            if not self.in_fuse(tid):
                return False
            time.sleep(0.1)
        return True

    def tell(self, child, text):
        child.stdin.write(text.encode() + b"\n")
        child.stdin.flush()

    @case.short
    def test_threads_of_a_process_that_is_killed(self):
        for number, how in ((signal.SIGTERM, ""), (signal.SIGQUIT, ""), (signal.SIGABRT, "os.abort()")):
            name = "threads-%d" % number
            child = self.threads(name)
            began = time.monotonic()
            if how:
                self.tell(child, how)
            else:
                child.send_signal(number)
            self.assertEqual(child.wait(60), -number)
            self.assertLess(time.monotonic() - began, GONE_SECONDS)
            self.nothing_stays(name)

    @case.short
    def test_threads_of_a_process_that_exits(self):
        """It ends as it means to: its last write is waited for, and its file is stored if it exits with 0."""
        for status, stored in ((0, ["exit-0"]), (3, ["exit-0"])):
            child = self.threads("exit-%d" % status)
            self.tell(child, "os._exit(%d)" % status)
            with self.assertRaises(subprocess.TimeoutExpired):
                child.wait(2)
            self.front.heal()
            self.assertEqual(child.wait(60), status)
            self.assertEqual(self.stored(), stored)

    @case.short
    def test_the_connection_is_aborted(self):
        child = self.writer("aborted")
        control = os.path.join(self.tmp, "control")
        os.mkdir(control)
        self.run_ok("mount", "-t", "fusectl", "none", control)
        try:
            number = str(os.minor(os.stat(self.m.point).st_dev))
            with open(os.path.join(control, number, "abort"), "w", encoding="ascii") as f:
                f.write("1")
        finally:
            self.run_ok("umount", control)
        self.m.wait(60)
        self.m.kill()  # takes the dead mount away
        child.stdin.close()
        self.assertEqual(child.wait(60), 1)
        self.assertEqual((self.stored(), self.store.leftovers()), ([], []))

    @case.short
    def test_the_daemon_ends_though_calls_are_stuck(self):
        put_file(self.m.make(DAY, "stored"), pieces(20 * MIB))
        child = self.writer("stuck")
        self.feed(child, 30 * MIB)
        stuck = self.hang()
        child.stdin.close()
        looker = self.spawn("cat", self.m.path(DAY, "stored"))
        self.assertTrue(stuck.happened.wait(30))
        self.blocked(child)
        self.blocked(looker)
        self.m.terminate()
        self.assertEqual(self.m.wait(60), 1)
        self.assertFalse(self.m.is_mounted())
        self.assertEqual(child.wait(60), 1)
        self.assertIn("the store does not answer", self.m.log())
        self.front.heal()
        self.m.start()
        self.assertEqual((self.stored(), self.store.leftovers()), (["stored"], []))
