"""Memory: bounded at any number of writers; one writer alone uses no local file."""

import hashlib
import os
import threading

import case
from case import MIB, Case, both_stores, pieces, put_file, sha256_of

DAY = "db1/2024-11-22"
# what the daemon may have besides its budget; a sanitizer's shadow is not judged
BESIDES = 64 * MIB


@both_stores
class Memory(Case):
    def writers(self, count, size, memory, conf=None):
        m = self.mount(dict({"limits": {"memory": memory}}, **(conf or {})))
        os.makedirs(m.path(DAY))
        sums, errors = {}, []

        def write(i):
            try:
                sums[i] = put_file(m.path(DAY, "f%d.sql" % i), pieces(size))
            except OSError as e:
                errors.append(e)

        threads = [threading.Thread(target=write, args=(i,)) for i in range(count)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(400)
        self.assertFalse([t for t in threads if t.is_alive()], "a writer hangs: " + m.log())
        self.assertEqual((errors, len(sums)), ([], count), m.log())
        status = m.status()
        peak = m.peak_rss()
        for i, digest in sums.items():
            self.assertEqual(sha256_of(m.path(DAY, "f%d.sql" % i)), digest)
        read_peak = m.peak_rss()
        budget = int(memory[:-1]) * MIB
        self.assertLess(peak, budget + BESIDES)
        self.assertLess(read_peak, budget + BESIDES)
        self.assertLessEqual(status["memory_peak_bytes"], budget)
        return m, status

    def test_one_writer_uses_no_local_file(self):
        m, status = self.writers(1, 400 * MIB, "256M")
        self.assertEqual(status["spool_peak_bytes"], 0)
        self.assertEqual(os.listdir(m.spool), [])
        self.assertFalse([p for p in m.open_files() if p.startswith(m.spool)])

    def test_one_writer_with_little_memory(self):
        self.writers(1, 200 * MIB, "64M")

    def test_8_writers(self):
        self.writers(8, 100 * MIB, "256M")

    def test_40_writers(self):
        self.writers(40, 40 * MIB, "256M")

    def test_40_writers_with_little_memory(self):
        self.writers(40, 24 * MIB, "64M")

    def test_one_source_to_twelve_files(self):
        """tee writes to all of them in turn: no writer may wait for another's memory."""
        m = self.mount({"limits": {"memory": "64M"}})
        os.makedirs(m.path(DAY))
        source = os.path.join(self.tmp, "source")
        digest = hashlib.sha256()
        with open(source, "wb") as f:
            for piece in pieces(24 * MIB):
                f.write(piece)
                digest.update(piece)
        names = [m.path(DAY, "t%d.sql" % i) for i in range(12)]
        done = self.run_shell('tee "${@:2}" < "$1" >/dev/null', source, *names)
        self.assertEqual(done.returncode, 0, m.log())
        for name in names:
            self.assertEqual(sha256_of(name), digest.hexdigest())

    def test_readers_within_the_budget(self):
        m = self.mount({"limits": {"memory": "64M"}})
        put_file(m.make(DAY, "big.sql"), pieces(150 * MIB))
        m.restart()
        threads = [threading.Thread(target=sha256_of, args=(m.path(DAY, "big.sql"),)) for _ in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertLess(m.peak_rss(), 64 * MIB + BESIDES)
