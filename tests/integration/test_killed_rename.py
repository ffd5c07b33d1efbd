"""A daemon that is killed while it renames a directory: the next mount finds all old or all new, and nothing twice."""

import contextlib
import os
import threading

import case
import stores
from case import MIB, Case, pieces, put_file, sha256_of, wait_until

DAY = "db1/2024-11-22"
FILES = 40


class Killed(Case):
    def fill(self, m):
        """Small files, and one whose copy has parts."""
        sums = {}
        for i in range(FILES):
            name = "%s%02d" % ("sub/" if i % 2 else "", i)
            sums[name] = put_file(m.make(DAY, "p", name), [b"content %d" % i])
        sums["large"] = put_file(m.path(DAY, "p", "large"), pieces(12 * MIB))
        return sums

    def rename_and_die(self, m, arm):
        """Renames; `arm` has the daemon killed in the middle. Whether it still came through is not known."""

        def rename():
            with contextlib.suppress(OSError):
                os.rename(m.path(DAY, "p"), m.path(DAY, "q"))

        mover = threading.Thread(target=rename)
        arm(m, mover)
        mover.join()
        m.kill()

    def all_old_or_all_new(self, m, sums):
        names = [k[: -len(".zst.age")] for k in self.store.keys()]
        old = sorted(DAY + "/p/" + n for n in sums)
        new = sorted(DAY + "/q/" + n for n in sums)
        self.assertIn(sorted(names), (old, new))
        where = "p" if sorted(names) == old else "q"
        self.assertEqual(os.listdir(m.path(DAY)), [where])
        for name, digest in sums.items():
            self.assertEqual(sha256_of(m.path(DAY, where, name)), digest)
        self.assertEqual(self.store.leftovers(), [])
        journals = [n for n in os.listdir(m.state) if n.startswith("uploads-")]
        self.assertEqual(len(journals), 1)  # the living one's
        return where

    def died(self):
        """Before the next mount."""

    def rounds(self, points):
        m = self.mount()
        sums = self.fill(m)
        ends = set()
        for point in points:
            self.rename_and_die(m, self.arm_at(*point))
            self.died()
            m.start()
            ends.add(self.all_old_or_all_new(m, sums))
            if os.path.exists(m.path(DAY, "q")):
                os.rename(m.path(DAY, "q"), m.path(DAY, "p"))
        return ends


@case.only("dir")
class KilledDir(Killed):
    def arm_at(self, count, where):
        """When so many files stand under the new name, or are gone from under the old one."""

        def seen():
            found = 0
            for _, _, names in os.walk(os.path.join(self.store.root, DAY, where)):
                found += len([n for n in names if n.endswith(".age")])
            return found

        def arm(m, mover):
            mover.start()
            wait_until(lambda: (seen() >= count if where == "q" else seen() <= FILES + 1 - count) or not mover.is_alive())
            m.daemon.kill()

        return arm

    @case.short
    def test_at_some_points(self):
        self.rounds([(1, "q"), (20, "q"), (FILES + 1, "q"), (1, "p"), (20, "p")])

    def test_at_many_points(self):
        self.rounds([(n, "q") for n in range(1, FILES + 2, 16)] + [(n, "p") for n in range(1, FILES + 2, 16)])


@case.only("s3")
class KilledBehind(Killed):
    def setUp(self):
        super().setUp()
        self.store.close()
        self.store = stores.FrontStore()
        self.addCleanup(self.store.close)

    def arm_at(self, nth, which):
        """At the nth request of the rename: before it is forwarded, or when it was answered."""

        def arm(m, mover):
            daemon = m.daemon  # the object: the test's threads must not touch the mount now
            self.store.front.fail(lambda _: daemon.kill(), nth=nth, **which)
            mover.start()

        return arm

    def died(self):
        self.store.front.heal()

    @case.short
    def test_at_some_points(self):
        ends = self.rounds([
            (1, {"op": "PutObject"}), (20, {"op": "PutObject"}), (1, {"op": "UploadPartCopy"}),
            (1, {"op": "CompleteMultipartUpload"}), (1, {"op": "DeleteObject"}), (20, {"op": "DeleteObject"})])
        self.assertEqual(ends, {"p", "q"})

    def test_at_many_points(self):
        ends = self.rounds([(n, {}) for n in range(1, 240, 40)])
        self.assertEqual(ends, {"p", "q"})
