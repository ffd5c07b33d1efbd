"""The end of the daemon while files are written: umount, SIGTERM, kill -9."""

import os
import subprocess

import case
from case import MIB, Case, both_stores, pieces, put_file, sha256_of, wait_until

DAY = "db1/2024-11-22"


@both_stores
class Ends(Case):
    def setUp(self):
        super().setUp()
        self.source = os.path.join(self.tmp, "source")
        with open(self.source, "wb") as f:
            f.writelines(pieces(150 * MIB))
        self.digest = sha256_of(self.source)

    def copy(self, m, name="orders.sql"):
        """A cp that runs, of which something is in the store."""
        child = subprocess.Popen(["cp", self.source, m.make(DAY, name)], stderr=subprocess.DEVNULL)
        self.addCleanup(child.wait)
        wait_until(lambda: child.poll() is not None or self.sent(m, name))
        return child

    @staticmethod
    def sent(m, name):
        return any(w["path"] == DAY + "/" + name and w["stored_bytes"] for w in m.status()["writing"])

    def whole_or_absent(self, m, returned):
        """What a copy that ended with `returned` left."""
        path = m.path(DAY, "orders.sql")
        if os.path.exists(path):
            self.assertEqual(sha256_of(path), self.digest)
        else:
            self.assertNotEqual(returned, 0, "cp said it was done, and nothing is there")

    @case.short
    def test_sigterm(self):
        m = self.mount()
        child = self.copy(m)
        m.terminate()
        returned = child.wait(300)
        self.assertEqual(m.wait(), 0, m.log())
        self.assertFalse(m.is_mounted())
        self.assertEqual(self.store.leftovers(), [])
        m.start()
        self.whole_or_absent(m, returned)

    def test_sigterm_waits_for_an_open_file(self):
        """It drains: a file that is being written may be finished."""
        m = self.mount()
        with open(m.make(DAY, "slow.sql"), "wb", buffering=0) as f:
            f.write(b"first ")
            m.terminate()
            wait_until(lambda: "waiting for 1" in m.log())
            f.write(b"second")
        self.assertEqual(m.wait(), 0)
        m.start()
        with open(m.path(DAY, "slow.sql"), "rb") as f:
            self.assertEqual(f.read(), b"first second")

    def test_drain_deadline(self):
        """After it the file is given up, loudly, and nothing of it stays."""
        m = self.mount({"mount": {"drain_deadline": "1s"}})
        f = os.open(m.make(DAY, "stuck.sql"), os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(f, b"x" * 1000)
        m.terminate()
        m.wait()
        with self.assertRaises(OSError):
            os.close(f)
        self.assertIn("drain_deadline", m.log())
        self.assertEqual((self.store.keys(), self.store.leftovers()), ([], []))

    def test_umount(self):
        m = self.mount()
        child = self.copy(m)
        code, said = m.verb("umount", m.point)  # busy while cp holds the file
        returned = child.wait(300)
        if code != 0:
            self.assertIn("busy", said.lower())
            code, said = m.verb("umount", m.point)
            self.assertEqual(code, 0, said)
        self.assertEqual(m.wait(), 0)
        m.start()
        self.whole_or_absent(m, returned)
        self.assertEqual(self.store.leftovers(), [])

    @case.short
    def test_kill_9(self):
        """Absent or whole, no upload stays, and another daemon's upload is not touched."""
        other = self.mount()
        theirs = open(other.make(DAY, "theirs.sql"), "wb", buffering=0)
        self.addCleanup(theirs.close)
        for piece in pieces(40 * MIB):
            theirs.write(piece)
        os.fsync(theirs.fileno())
        wait_until(lambda: self.store.uploads() == [DAY + "/theirs.sql.zst.age"])

        m = self.mount()
        child = self.copy(m)
        self.assertIn(DAY + "/orders.sql.zst.age", self.store.uploads() + self.store.keys())
        m.kill()
        returned = child.wait(300)
        m.start()
        self.whole_or_absent(m, returned)
        self.assertEqual(self.store.uploads(), [DAY + "/theirs.sql.zst.age"])

        theirs.write(b"end")
        theirs.close()
        third = self.mount()
        self.assertEqual(os.stat(third.path(DAY, "theirs.sql")).st_size, 40 * MIB + 3)
        self.assertEqual(len(sha256_of(third.path(DAY, "theirs.sql"))), 64)
        self.assertEqual(self.store.leftovers(), [])

    def test_kill_9_at_many_moments(self):
        m = self.mount()
        for i in range(6):
            name = "f%d" % i
            child = subprocess.Popen(["cp", self.source, m.make(DAY, name)], stderr=subprocess.DEVNULL)
            bound = i * 20 * MIB
            wait_until(lambda: child.poll() is not None
                       or any(w["bytes"] > bound for w in m.status()["writing"]))
            m.kill()
            returned = child.wait(300)
            m.start()
            if os.path.exists(m.path(DAY, name)):
                self.assertEqual(sha256_of(m.path(DAY, name)), self.digest)
            else:
                self.assertNotEqual(returned, 0)
            self.assertEqual(self.store.uploads(), [])
        put_file(m.make(DAY, "after"), [b"x"])
