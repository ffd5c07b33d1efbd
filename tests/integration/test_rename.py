"""Renames within grace: files and directories, by whom and how; and times that are set after the commit."""

import contextlib
import ctypes
import errno
import itertools
import os
import threading

import case
from case import MIB, Case, both_stores, pieces, put_file, sha256_of, wait_until

DAY = "db1/2024-11-22"


def content(path):
    with open(path, "rb") as f:
        return f.read()


@both_stores
class Rename(Case):
    def stored(self):
        return [k[: -len(".zst.age")] for k in self.store.keys()]

    def whole(self, path, digest):
        """The object under the new key is right by the stock tools, too."""
        self.assertEqual(self.opened_by_tools(path)[0], digest)

    @case.short
    def test_a_file(self):
        m = self.mount()
        digest = put_file(m.make(DAY, "orders", "a"), pieces(3 * MIB, "mixed"))
        old = os.stat(m.path(DAY, "orders", "a"))
        self.run_ok("mv", m.path(DAY, "orders", "a"), m.path(DAY, "orders", "b"))
        self.assertEqual(os.listdir(m.path(DAY, "orders")), ["b"])
        with self.errno_is(errno.ENOENT):
            os.stat(m.path(DAY, "orders", "a"))
        new = os.stat(m.path(DAY, "orders", "b"))
        self.assertEqual((new.st_size, new.st_mtime_ns, new.st_ctime_ns), (old.st_size, old.st_mtime_ns, old.st_ctime_ns))
        self.assertEqual(sha256_of(m.path(DAY, "orders", "b")), digest)
        self.assertEqual(self.stored(), [DAY + "/orders/b"])
        self.whole(DAY + "/orders/b", digest)
        # the old name is free, and the new one can be renamed again
        put_file(m.path(DAY, "orders", "a"), [b"other"])
        self.run_ok("mv", m.path(DAY, "orders", "b"), m.path(DAY, "orders", "c"))
        self.assertEqual(sorted(os.listdir(m.path(DAY, "orders"))), ["a", "c"])
        self.assertEqual(content(m.path(DAY, "orders", "a")), b"other")
        m.restart()
        self.assertEqual(sha256_of(m.path(DAY, "orders", "c")), digest)
        self.assertEqual(self.store.leftovers(), [])

    def test_a_large_file(self):
        """More than a first part: the rest is copied by the store."""
        m = self.mount()
        digest = put_file(m.make(DAY, "orders", "a"), pieces(40 * MIB))
        self.run_ok("mv", m.path(DAY, "orders", "a"), m.path(DAY, "b.dump"))
        self.assertEqual(sha256_of(m.path(DAY, "b.dump")), digest)
        self.whole(DAY + "/b.dump", digest)
        self.assertEqual(self.store.leftovers(), [])
        self.assertEqual(self.stored(), [DAY + "/b.dump"])

    @case.short
    def test_over_another(self):
        m = self.mount()
        put_file(m.make(DAY, "a"), [b"new"])
        put_file(m.path(DAY, "b"), [b"old content"])
        with open(m.path(DAY, "b"), "rb") as held:
            os.rename(m.path(DAY, "a"), m.path(DAY, "b"))
            self.assertEqual(os.fstat(held.fileno()).st_size, 11)
        self.assertEqual(content(m.path(DAY, "b")), b"new")
        self.assertEqual(self.stored(), [DAY + "/b"])

    def test_flags_and_kinds(self):
        m = self.mount()
        put_file(m.make(DAY, "p", "a"), [b"a"])
        put_file(m.path(DAY, "p", "b"), [b"b"])
        libc = ctypes.CDLL(None, use_errno=True)

        def renameat2(old, new, flags):
            done = libc.renameat2(-100, old.encode(), -100, new.encode(), flags)
            return 0 if done == 0 else ctypes.get_errno()

        self.assertEqual(renameat2(m.path(DAY, "p", "a"), m.path(DAY, "p", "b"), 1), errno.EEXIST)
        self.assertEqual(renameat2(m.path(DAY, "p", "a"), m.path(DAY, "p", "b"), 2), errno.EINVAL)
        self.assertEqual(renameat2(m.path(DAY, "p", "a"), m.path(DAY, "p", "c"), 1), 0)
        put_file(m.path(DAY, "f"), [b"f"])
        with self.errno_is(errno.EISDIR):
            os.rename(m.path(DAY, "f"), m.path(DAY, "p"))
        with self.errno_is(errno.ENOTDIR):
            os.rename(m.path(DAY, "p"), m.path(DAY, "f"))
        with self.errno_is(errno.EINVAL):
            os.rename(m.path(DAY, "p", "c"), m.path("db1", "c"))  # no file stands there
        with self.errno_is(errno.EINVAL):
            os.rename(m.path(DAY, "p"), m.path(DAY, "p.zst"))
        with self.errno_is(errno.EPERM):
            os.rename(m.path(DAY), m.path("db1", "2024-11-21"))
        with self.errno_is(errno.EPERM):
            os.rename(m.path("db1"), m.path("db2"))
        self.assertEqual(sorted(os.listdir(m.path(DAY, "p"))), ["b", "c"])

    @case.short
    def test_being_written(self):
        m = self.mount()
        put_file(m.make(DAY, "p", "a"), [b"a"])
        with open(m.path(DAY, "p", "w"), "wb", buffering=0) as f:
            f.write(b"x")
            for old, new in (("p/w", "p/v"), ("p/a", "p/w"), ("p", "q")):
                with self.errno_is(errno.EBUSY):
                    os.rename(m.path(DAY, old), m.path(DAY, new))
        os.rename(m.path(DAY, "p"), m.path(DAY, "q"))
        self.assertEqual(sorted(os.listdir(m.path(DAY, "q"))), ["a", "w"])

    @case.short
    def test_a_directory(self):
        m = self.mount()
        sums = {}
        for i in range(30):
            name = "%s/f%d" % (("", "sub", "sub/deep")[i % 3], i)
            sums[name.lstrip("/")] = put_file(m.make(DAY, "p", name.lstrip("/")), [b"content %d" % i])
        os.makedirs(m.path(DAY, "p", "empty", "within"))
        inside = os.open(m.path(DAY, "p", "sub"), os.O_RDONLY | os.O_DIRECTORY)
        self.run_ok("mv", m.path(DAY, "p"), m.path(DAY, "q"))
        with self.errno_is(errno.ENOENT):
            os.listdir(m.path(DAY, "p"))
        self.assertEqual(os.listdir(m.path(DAY)), ["q"])
        self.assertEqual(sorted(os.listdir(m.path(DAY, "q"))), sorted(["empty", "sub"] + [n for n in sums if "/" not in n]))
        self.assertEqual(os.listdir(m.path(DAY, "q", "empty")), ["within"])
        for name, digest in sums.items():
            self.assertEqual(sha256_of(m.path(DAY, "q", name)), digest)
        # who stands in it, stands in it still
        self.assertIn("deep", os.listdir(inside))
        fd = os.open("made", os.O_WRONLY | os.O_CREAT, dir_fd=inside)
        os.write(fd, b"made")
        os.close(fd)
        os.close(inside)
        self.assertEqual(sorted(self.stored()), sorted([DAY + "/q/" + n for n in sums] + [DAY + "/q/sub/made"]))
        # it goes on as any directory: created in, renamed back, removed
        put_file(m.path(DAY, "q", "late"), [b"x"])
        self.run_ok("mv", m.path(DAY, "q"), m.path(DAY, "p"))
        self.assertTrue(os.path.exists(m.path(DAY, "p", "sub", "made")))
        self.run_ok("rm", "-r", m.path(DAY, "p"))
        self.assertEqual(os.listdir(m.path(DAY)), [])
        self.assertEqual(self.stored(), [])

    def test_directories_that_were_only_made(self):
        m = self.mount()
        os.makedirs(m.path(DAY, "p", "sub"))
        os.makedirs(m.path(DAY, "empty"))
        os.rename(m.path(DAY, "p"), m.path(DAY, "empty"))
        self.assertEqual(os.listdir(m.path(DAY)), ["empty"])
        self.assertEqual(os.listdir(m.path(DAY, "empty")), ["sub"])
        put_file(m.path(DAY, "empty", "sub", "a"), [b"a"])
        os.makedirs(m.path(DAY, "other"))
        with self.errno_is(errno.ENOTEMPTY):
            os.rename(m.path(DAY, "other"), m.path(DAY, "empty"))
        os.rename(m.path(DAY, "empty"), m.path(DAY, "other"))
        self.assertEqual(os.listdir(m.path(DAY)), ["other"])
        os.unlink(m.path(DAY, "other", "sub", "a"))
        os.rmdir(m.path(DAY, "other", "sub"))
        os.rmdir(m.path(DAY, "other"))
        self.assertEqual(os.listdir(m.path(DAY)), [])

    def test_writers_in_a_directory_that_moves(self):
        """Whatever close() called stored is there once, where the directory is; the old name does not come back."""
        m = self.mount()
        put_file(m.make(DAY, "p", "sub", "keep"), [b"keep"])
        good, moved = {}, threading.Event()

        def write(k):
            for i in itertools.count():
                if moved.is_set():
                    return
                name, data = "w%d-%d" % (k, i), os.urandom(100)
                with contextlib.suppress(OSError):
                    put_file(m.path(DAY, "pq"[i // 7 % 2], "sub", name), [data])
                    good[name] = data

        writers = [threading.Thread(target=write, args=(k,)) for k in range(3)]
        for w in writers:
            w.start()
        names, count = ["p", "q"], 0
        while count < 12:
            with contextlib.suppress(OSError):
                os.rename(m.path(DAY, names[0]), m.path(DAY, names[1]))
                names.reverse()
                count += 1
        moved.set()
        for w in writers:
            w.join()
        m.restart()
        self.assertEqual(os.listdir(m.path(DAY)), ["p"])
        found = {n: content(m.path(DAY, "p", "sub", n)) for n in os.listdir(m.path(DAY, "p", "sub"))}
        self.assertEqual(found.pop("keep"), b"keep")
        self.assertEqual(found, good)

    def test_into_another_host_and_date(self):
        m = self.mount()
        digest = put_file(m.make(DAY, "p", "a"), [b"a" * 1000])
        os.makedirs(m.path("db2/2024-11-23"))
        os.rename(m.path(DAY, "p"), m.path("db2/2024-11-23/p"))
        self.assertEqual(sha256_of(m.path("db2/2024-11-23/p/a")), digest)
        self.assertEqual(os.readlink(m.path("db2/latest/p")), "../2024-11-23/p")
        self.assertEqual(os.listdir(m.path(DAY)), [])

    @case.short
    def test_without_identity(self):
        """Own files of this mount can be renamed; others cannot."""
        m = self.mount(identity=None)
        digest = put_file(m.make(DAY, "p", "a"), [b"a" * 1000])
        os.rename(m.path(DAY, "p", "a"), m.path(DAY, "p", "b"))
        os.rename(m.path(DAY, "p"), m.path(DAY, "q"))
        self.whole(DAY + "/q/b", digest)
        m.restart()
        with self.errno_is(errno.EACCES):
            os.rename(m.path(DAY, "q", "b"), m.path(DAY, "q", "c"))
        with self.errno_is(errno.EACCES):
            os.rename(m.path(DAY, "q"), m.path(DAY, "p"))
        self.assertIn("identity", m.log())
        self.assertEqual(self.stored(), [DAY + "/q/b"])

    def test_mv_in_and_out(self):
        m = self.mount()
        local = os.path.join(self.tmp, "local")
        os.makedirs(os.path.join(local, "sub"))
        for name in ("a", "sub/b"):
            with open(os.path.join(local, name), "wb") as f:
                f.write(name.encode() * 1000)
        os.makedirs(m.path(DAY))
        self.run_ok("mv", local, m.path(DAY, "p"))
        self.assertEqual(content(m.path(DAY, "p", "sub", "b")), b"sub/b" * 1000)
        self.run_ok("mv", m.path(DAY, "p"), local)
        with open(os.path.join(local, "sub", "b"), "rb") as f:
            self.assertEqual(f.read(), b"sub/b" * 1000)
        self.assertEqual(self.stored(), [])

    def test_an_open_file(self):
        """What was opened before goes on being that file, or fails: never another's bytes."""
        m = self.mount()
        put_file(m.make(DAY, "a"), pieces(8 * MIB))
        put_file(m.path(DAY, "b"), [b"other"])
        with open(m.path(DAY, "a"), "rb", buffering=0) as f:
            first = f.read(4096)
            os.rename(m.path(DAY, "a"), m.path(DAY, "c"))
            os.rename(m.path(DAY, "b"), m.path(DAY, "a"))
            self.assertEqual(os.fstat(f.fileno()).st_size, 8 * MIB)
            f.seek(0)
            try:
                self.assertEqual(f.read(4096), first)
            except OSError as e:
                self.assertEqual(e.errno, errno.EIO)
        self.assertEqual(content(m.path(DAY, "a")), b"other")
        self.assertEqual(content(m.path(DAY, "c"))[:4096], first)


@both_stores
class Times(Case):
    STAMP = 1_600_000_000_123_456_789

    def mtime(self, m, name):
        return os.stat(m.path(DAY, name)).st_mtime_ns

    @case.short
    def test_after_the_commit(self):
        m = self.mount()
        digest = put_file(m.make(DAY, "a"), [b"a" * 100000])
        committed = os.stat(m.path(DAY, "a")).st_ctime_ns
        os.utime(m.path(DAY, "a"), ns=(0, self.STAMP))
        self.assertEqual(self.mtime(m, "a"), self.STAMP)
        m.restart()  # what waits is stored before the daemon ends
        self.assertEqual(self.mtime(m, "a"), self.STAMP)
        self.assertEqual(os.stat(m.path(DAY, "a")).st_ctime_ns, committed)
        self.assertEqual(sha256_of(m.path(DAY, "a")), digest)
        self.assertEqual(self.opened_by_tools(DAY + "/a")[0], digest)

    def test_by_itself(self):
        """Seconds later, while the file is open and read, and changed again."""
        m = self.mount()
        put_file(m.make(DAY, "a"), pieces(4 * MIB))
        before = self.store.get(DAY + "/a.zst.age")
        with open(m.path(DAY, "a"), "rb", buffering=0) as f:
            first = f.read(100)
            os.utime(m.path(DAY, "a"), ns=(0, self.STAMP))
            wait_until(lambda: self.store.get(DAY + "/a.zst.age") != before)
            f.seek(3 * MIB)
            self.assertEqual(len(f.read(100)), 100)
            f.seek(0)
            self.assertEqual(f.read(100), first)
        self.assertEqual(self.mtime(m, "a"), self.STAMP)
        self.assertEqual(m.restart() and self.mtime(m, "a"), self.STAMP)

    def test_with_the_rename(self):
        m = self.mount()
        put_file(m.make(DAY, ".a.XyZ"), [b"a"])
        os.utime(m.path(DAY, ".a.XyZ"), ns=(0, self.STAMP))
        os.rename(m.path(DAY, ".a.XyZ"), m.path(DAY, "a"))
        self.assertEqual(self.mtime(m, "a"), self.STAMP)
        m.kill()  # nothing waits any more
        m.start()
        self.assertEqual(self.mtime(m, "a"), self.STAMP)

    @case.short
    def test_rsync_twice(self):
        m = self.mount()
        local = os.path.join(self.tmp, "local")
        os.makedirs(os.path.join(local, "sub"))
        for i, name in enumerate(("a", "b", "sub/c")):
            with open(os.path.join(local, name), "wb") as f:
                f.write(os.urandom(10000))
            os.utime(os.path.join(local, name), (1_500_000_000 + i, 1_500_000_000 + i))
        os.makedirs(m.path(DAY, "p"))
        self.run_ok("rsync", "-a", local + "/", m.path(DAY, "p") + "/")
        second = self.run_ok("rsync", "-ai", local + "/", m.path(DAY, "p") + "/").decode()
        self.assertNotIn(">f", second)
        m.restart()
        third = self.run_ok("rsync", "-ai", local + "/", m.path(DAY, "p") + "/").decode()
        self.assertNotIn(">f", third)
        self.run_ok("diff", "-r", local, m.path(DAY, "p"))
        self.assertEqual(self.store.leftovers(), [])

    def test_dropped_by_an_overwrite(self):
        m = self.mount()
        put_file(m.make(DAY, "a"), [b"one"])
        os.utime(m.path(DAY, "a"), ns=(0, self.STAMP))
        put_file(m.path(DAY, "a"), [b"second"])
        self.assertNotEqual(self.mtime(m, "a"), self.STAMP)
        m.restart()
        self.assertNotEqual(self.mtime(m, "a"), self.STAMP)
        self.assertEqual(content(m.path(DAY, "a")), b"second")

    @case.short
    def test_where_it_cannot_be_stored(self):
        """No key, or grace is over: it succeeds, and changes nothing."""
        m = self.mount(identity=None)
        put_file(m.make(DAY, "a"), [b"one"])
        m.restart()
        before = self.mtime(m, "a")
        self.run_ok("touch", "-d", "2020-01-01", m.path(DAY, "a"))
        self.assertEqual(self.mtime(m, "a"), before)
        m.restart()
        self.assertEqual(self.mtime(m, "a"), before)
