"""Writers that die, in every way that they are started, make no backup; innocents beside them do."""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import unittest

import case
import mount
from case import MIB, Case, both_stores, sha256_of, wait_until

DAY = "db1/2024-11-22"

# WRITER MIB HOW [FILE]: writes so many MiB to FILE or its standard output, then ends so: a signal's number, or exit STATUS
WRITER = os.path.join(tempfile.gettempdir(), "bakfs-test-writer-%d.py" % os.getpid())
WRITER_TEXT = """
import os, signal, sys
size, how = int(sys.argv[1]), sys.argv[2]
fd = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if len(sys.argv) > 3 else 1
piece = b"INSERT INTO orders VALUES (17, 'three', NULL);" * 22796
for _ in range(size):
    view = memoryview(piece)[: 1 << 20]
    while view:
        view = view[os.write(fd, view) :]
if how.startswith("exit"):
    os._exit(int(how[4:]))
if how != "9":
    signal.signal(int(how), signal.SIG_DFL)
os.kill(os.getpid(), int(how))
os._exit(77)
"""

STARTS = {
    "directly": ["python3"],
    "sh": ["sh", "-c", 'python3 "$1" "$2" "$3" > "$4"', "-"],
    "sh, which goes on": ["sh", "-c", 'exec > "$4"; python3 "$1" "$2" "$3"; true', "-"],
    "bash, which goes on": ["bash", "-c", '{ python3 "$1" "$2" "$3"; } > "$4"; true', "-"],
    "a pipe's last stage": ["bash", "-c", 'yes 2>/dev/null | python3 "$1" "$2" "$3" > "$4"', "-"],
}
ENDS = {
    "SIGKILL": (str(int(signal.SIGKILL)), "signal 9"),
    "SIGTERM": (str(int(signal.SIGTERM)), "signal 15"),
    "SIGABRT": (str(int(signal.SIGABRT)), "signal 6"),
    "SIGINT": (str(int(signal.SIGINT)), "signal 2"),
    "exit 1": ("exit1", "status 1"),
}


def setUpModule():
    with open(WRITER, "w", encoding="ascii") as f:
        f.write(WRITER_TEXT)
    unittest.addModuleCleanup(os.unlink, WRITER)


class Deaths(Case):
    def stored(self):
        return [os.path.basename(k)[: -len(".zst.age")] for k in self.store.keys()]

    def start(self, start, size, how, path):
        command = [word.replace("python3", sys.executable) for word in STARTS[start] + [WRITER, str(size), how, path]]
        env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, timeout=60,
                              check=False).returncode

    def none_is_stored(self, size):
        m = self.mount()
        os.makedirs(m.path(DAY))
        for number, (start, end) in enumerate(itertools.product(STARTS, ENDS)):
            how, reason = ENDS[end]
            name = "f%d" % number
            with self.subTest("%s, %s, after %d MiB" % (start, end, size)):
                self.start(start, size, how, m.path(DAY, name))
                wait_until(lambda: not m.status()["writing"])
                self.assertEqual(self.stored(), [], m.log()[-1000:])
                self.assertFalse(os.path.exists(m.path(DAY, name)))
                failure = m.status()["failures"][0]
                self.assertEqual(failure["path"], DAY + "/" + name)
                if size:
                    self.assertIn(reason, failure["reason"])
                self.assertIn(DAY + "/" + name, m.log())
        self.assertEqual(self.store.leftovers(), [])


@both_stores
class Writers(Deaths):
    @case.short
    def test_before_the_first_byte(self):
        self.none_is_stored(0)

    @case.short
    def test_after_a_little(self):
        self.none_is_stored(1)

    def test_after_100_mib(self):
        self.none_is_stored(100)

    @case.short
    def test_exit_0_with_the_file_open(self):
        m = self.mount()
        os.makedirs(m.path(DAY))
        for number, (start, size) in enumerate(itertools.product(STARTS, (0, 3))):
            name = "f%d" % number
            with self.subTest("%s, %d MiB" % (start, size)):
                self.assertEqual(self.start(start, size, "exit0", m.path(DAY, name)), 0)
                wait_until(lambda: not m.status()["writing"])  # an empty one is stored by its release
                self.assertIn(name, self.stored())
                self.assertEqual(os.stat(m.path(DAY, name)).st_size, size * MIB)
        self.assertEqual(m.status()["failures"], [])

    @case.short
    def test_an_old_file_stays(self):
        """Overwritten, or changed in place, by one that dies."""
        m = self.mount()
        path = m.make(DAY, "f")
        changer = ("import os, sys\nfd = os.open(sys.argv[1], os.O_RDWR)\nos.pwrite(fd, b'x' * 100000, 5)\n"
                   "os.ftruncate(fd, 70000)\nos.kill(os.getpid(), 9)")
        with open(path, "wb") as f:
            f.write(b"old" * 1000)
        for number in range(4):
            if number == 2:
                m.restart()  # now it is no file of this mount's own
            if number % 2:
                self.start("directly", 2, "9", path)
            else:
                done = subprocess.run([sys.executable, "-c", changer, path], check=False)
                self.assertEqual(done.returncode, -9)
            wait_until(lambda: not m.status()["writing"])
            with open(path, "rb") as f:
                self.assertEqual(f.read(), b"old" * 1000)
            self.assertEqual(len(m.status()["failures"]), number % 2 + 1)
        self.assertEqual(self.stored(), ["f"])


@both_stores
class Innocents(Deaths):
    def shell_stores(self, m, script, expected):
        path = m.make(DAY, "f")
        done = self.run_shell(script, path)
        self.assertEqual(done.returncode, 0, done.stdout)
        wait_until(lambda: not m.status()["writing"])
        with open(path, "rb") as f:
            self.assertEqual(f.read(), expected)
        self.assertEqual(m.status()["failures"], [])
        os.unlink(path)

    @case.short
    def test_shells(self):
        m = self.mount()
        self.shell_stores(m, 'exec 3>"$1"; yes | head -n 50000 >&3', b"y\n" * 50000)
        self.shell_stores(m, 'exec 3>"$1"; yes | head -n 5 >&3; echo end >&3; exec 3>&-', b"y\n" * 5 + b"end\n")
        self.shell_stores(m, 'exec 3>"$1"; echo a >&3; (kill -9 $BASHPID) 4>&1; /bin/false; echo b >&3', b"a\nb\n")
        self.shell_stores(m, 'exec 3>"$1"; sleep 100 & echo a >&3; kill -9 $!; wait $! || echo b >&3', b"a\nb\n")
        self.shell_stores(m, 'yes | head -n 5 | tee "$1" | head -n 5 > /dev/null', b"y\n" * 5)
        self.shell_stores(m, '{ timeout 0.01 sleep 10; echo x; } > "$1"', b"x\n")

    @case.short
    def test_a_program_that_executes_another(self):
        """execve closes the file under a lock that some files of /proc wait for: who reads them then waits for ever."""
        m = self.mount()
        os.makedirs(os.path.join(m.point, DAY))
        program = ("import os, sys\n"
                   "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)\n"
                   "os.write(fd, bytes(1000))\n"
                   "os.execv('/bin/sh', ['sh', '-c', 'exit %s' % sys.argv[2]])\n")
        for code in (0, 1): # what comes after the file was closed does not concern it
            path = os.path.join(m.point, DAY, "exec%d" % code)
            writer = subprocess.Popen([sys.executable, "-c", program, path, str(code)])
            try:
                self.assertEqual(writer.wait(60), code)
            finally:
                writer.kill()
            with open(path, "rb") as f:
                self.assertEqual(f.read(), bytes(1000))

    @case.short
    def test_a_parent_that_closes_first(self):
        m = self.mount()
        path = m.make(DAY, "f")
        for last in (b"", b"more"):
            with open(path, "wb", buffering=0) as f:
                child = subprocess.Popen([sys.executable, "-c", "import os, sys; os.write(1, b'first '); sys.stdin.read(); "
                                          "os.write(1, sys.argv[1].encode())", last], stdin=subprocess.PIPE, stdout=f)
                wait_until(lambda: m.status()["writing"][0]["bytes"] == 6)
            child.stdin.close()
            self.assertEqual(child.wait(), 0)
            with open(path, "rb") as f:
                self.assertEqual(f.read(), b"first " + last)
        self.assertEqual(m.status()["failures"], [])

    @case.short
    def test_readers_that_die_beside_the_writer(self):
        m = self.mount()
        path = m.make(DAY, "f")
        with open(path, "wb", buffering=0) as f:
            f.write(b"first ")
            self.assertNotEqual(self.run_shell('timeout -s KILL 1 cat "$1"', path).returncode, 0)
            script = 'exec 5<"$1"; echo open; read x'
            for number in (9, 15):
                reader = subprocess.Popen(["bash", "-c", script, "-", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                self.assertEqual(reader.stdout.readline(), b"open\n")
                reader.send_signal(number)
                reader.wait()
                reader.stdin.close()
                reader.stdout.close()
            f.write(b"second")
        with open(path, "rb") as f:
            self.assertEqual(f.read(), b"first second")

    @case.short
    def test_a_writer_with_alarms(self):
        """SIGALRM every millisecond, SIGCHLD all the while: no call is cut short that was not, none fails."""
        m = self.mount()
        path = m.make(DAY, "f")
        script = ("import hashlib, os, signal, subprocess, sys\n"
                  "count = [0, 0]\n"
                  "def on(number, frame): count[number == signal.SIGCHLD] += 1\n"
                  "signal.signal(signal.SIGALRM, on); signal.signal(signal.SIGCHLD, on)\n"
                  "signal.setitimer(signal.ITIMER_REAL, .001, .001)\n"
                  "total = hashlib.sha256()\n"
                  "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)\n"
                  "children = []\n"
                  "for i in range(64):\n"
                  "    if i % 8 == 0: children.append(subprocess.Popen(['true'], close_fds=True))\n"
                  "    piece = i.to_bytes(8, 'big') + os.urandom((1 << 20) - 8)\n"
                  "    total.update(piece); view = memoryview(piece)\n"
                  "    while view: view = view[os.write(fd, view):]\n"
                  "    if i % 16 == 0: os.fsync(fd)\n"
                  "os.close(fd)\n"
                  "signal.setitimer(signal.ITIMER_REAL, 0)\n"
                  "for c in children: c.wait()\n"
                  "assert count[0] > 20 and count[1] > 2, count\n"
                  "print(total.hexdigest())\n")
        said = self.run_ok(sys.executable, "-c", script, path).decode().strip()
        self.assertEqual(m.status()["failures"], [])
        self.assertEqual(sha256_of(path), said)


@both_stores
class Blind(Deaths):
    """What the daemon cannot see it says, and what a signal ends it still knows without CAP_SYS_PTRACE."""

    @case.short
    def test_without_cap_sys_ptrace(self):
        m = self.mount(under=["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"])
        self.assertEqual(m.status()["exit_codes"], "blind")
        self.assertIn("CAP_SYS_PTRACE", m.log())
        os.makedirs(m.path(DAY))
        for number, end in enumerate(("SIGKILL", "SIGTERM")):
            for start in ("directly", "sh", "bash, which goes on"):
                self.start(start, 2, ENDS[end][0], m.path(DAY, "killed%d" % number))
                wait_until(lambda: not m.status()["writing"])
                self.assertEqual(self.stored(), [], "%s, %s" % (start, end))
        self.good_writers(m)

    def good_writers(self, m):
        path = m.path(DAY, "good")
        for script, expected in (("cp /etc/passwd $1", None), ('exec 3>$1; echo a >&3; /bin/echo b >&3; echo c >&3', b"a\nb\nc\n"),
                                 ("(/bin/echo x; /bin/echo y) > $1", b"x\ny\n"), ("echo x > $1; echo y >> $1", b"x\ny\n")):
            done = self.run_shell(script, path)
            self.assertEqual(done.returncode, 0, done.stdout)
            wait_until(lambda: not m.status()["writing"])
            if expected is None:
                with open("/etc/passwd", "rb") as f:
                    expected = f.read()
            with open(path, "rb") as f:
                self.assertEqual(f.read(), expected, script)
            os.unlink(path)

    @case.short
    def test_a_writer_in_a_pid_namespace_below(self):
        """It is seen from above."""
        m = self.mount()
        os.makedirs(m.path(DAY))
        for end, stored in (("exit1", []), ("exit0", ["f"])):
            command = ["unshare", "--pid", "--fork", sys.executable, WRITER, "2", end, m.path(DAY, "f")]
            subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
            wait_until(lambda: not m.status()["writing"])
            self.assertEqual(self.stored(), stored, end)

    @case.short
    def test_a_daemon_in_a_pid_namespace(self):
        """Its callers outside have no number there."""
        m = Outside(self.store, start=False, under=["unshare", "--pid", "--fork", "--kill-child"])
        self.addCleanup(m.close)
        m.start()
        os.makedirs(m.path(DAY))
        self.good_writers(m)
        self.assertEqual(m.status()["exit_codes"], "blind")


class Outside(mount.Mount):
    """unshare stands before the daemon, and passes no signals on."""

    def terminate(self):
        with open("/proc/%d/task/%d/children" % (self.daemon.pid, self.daemon.pid), encoding="ascii") as f:
            os.kill(int(f.read().split()[0]), signal.SIGTERM)
