"""Protection: once grace has passed nobody changes, removes or moves away a backup through the mount."""

import ctypes
import errno
import mmap
import os
import shutil
import time

import case
from case import Case, both_stores, put_file

import agefile
import builder

DAY = "db1/2024-11-22"
HOST_IDENTITY = agefile.identity_encode(builder.identity("host"))
LATE = 0x10000000
TOOL = 0x20000000


def renameat2(old, new, flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def overwrite(path, flags, data=b"x", at=0):
    fd = os.open(path, flags)
    try:
        os.pwrite(fd, data, at)
    finally:
        os.close(fd)


class Aged:
    """Objects whose commit lies in the past."""

    def put_aged(self, path, seconds, flags=b"40000000"):
        stamp = time.strftime("%Y%m%dT%H%M%S.000000000Z", time.gmtime(time.time() - seconds)).encode()

        def record(args):
            return args[:3] + [stamp] + args[4:]

        body = builder.Object(path.replace("/", "-"), [b"content of " + path.encode()], path=path, flags=flags, record=record).build()
        self.store.put(path + ".zst.age", body)

    def flags_of(self, path):
        line = self.store.get(path + ".zst.age").split(b"\n")[1]
        return int(line.split()[5], 16)

    def objects(self):
        return {k: self.store.get(k) for k in self.store.keys()}


@both_stores
class Protect(Aged, Case):
    def ways(self, m, local):
        """(name, what is tried, errnos it may have)"""
        a, b, d = m.path(DAY, "orders", "a"), m.path(DAY, "b.sql"), m.path(DAY, "orders")
        perm = (errno.EPERM,)
        fresh = m.path(DAY, "fresh")

        def opened(flags, act):
            fd = os.open(a, flags)
            try:
                act(fd)
            finally:
                os.close(fd)

        def mapped(fd):
            with mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as pages:
                pages[0:1] = b"x"
                pages.flush()

        return [
            ("open O_TRUNC", lambda: os.open(a, os.O_WRONLY | os.O_TRUNC), perm),
            ("open O_CREAT O_TRUNC", lambda: os.open(a, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), perm),
            ("write O_WRONLY", lambda: overwrite(a, os.O_WRONLY), perm),
            ("write O_RDWR", lambda: overwrite(a, os.O_RDWR), perm),
            ("write past the end", lambda: overwrite(a, os.O_RDWR, at=1 << 24), perm),
            ("append", lambda: opened(os.O_WRONLY | os.O_APPEND, lambda fd: os.write(fd, b"x")), perm),
            ("truncate to 0", lambda: os.truncate(a, 0), perm),
            ("truncate up", lambda: os.truncate(a, 1 << 20), perm),
            ("ftruncate", lambda: opened(os.O_RDWR, lambda fd: os.ftruncate(fd, 1)), perm),
            ("rename away", lambda: os.rename(a, m.path(DAY, "orders", "c")), perm),
            ("rename away, elsewhere", lambda: os.rename(b, m.path(DAY, "new", "b.sql")), perm),
            ("rename over", lambda: os.rename(fresh, b), perm),
            ("rename exchange", lambda: renameat2(a, b, 2), (errno.EINVAL,)),
            ("rename its directory", lambda: os.rename(d, m.path(DAY, "gone")), perm),
            ("rename DATE", lambda: os.rename(m.path(DAY), m.path("db1/2024-11-21")), perm),
            ("rename HOST", lambda: os.rename(m.path("db1"), m.path("db2")), perm),
            ("unlink", lambda: os.unlink(a), perm),
            ("rm -r", lambda: shutil.rmtree(d), perm),
            ("rmdir", lambda: os.rmdir(d), (errno.ENOTEMPTY,)),
            ("link over", lambda: os.link(fresh, a), (errno.EEXIST, errno.EPERM)),
            ("symlink over", lambda: os.symlink(fresh, a), (errno.EEXIST, errno.EPERM)),
            ("mkdir over", lambda: os.mkdir(a), (errno.EEXIST,)),
            ("fallocate", lambda: opened(os.O_RDWR, lambda fd: os.posix_fallocate(fd, 0, 1 << 20)), (errno.EPERM, errno.EOPNOTSUPP)),
            ("mmap", lambda: opened(os.O_RDWR, mapped), (errno.EPERM, errno.ENODEV)),
            ("sendfile", lambda: opened(os.O_WRONLY, lambda fd: os.sendfile(fd, local, 0, 3)), perm),
            ("setxattr", lambda: os.setxattr(a, "user.x", b"y"), (errno.EPERM, errno.EOPNOTSUPP)),
            ("setxattr complete", lambda: os.setxattr(a, "user.bakfs.complete", b"no"), (errno.EPERM, errno.EOPNOTSUPP)),
        ]

    COMMANDS = [
        'cp "$2" "$1"', 'cp --remove-destination "$2" "$1"', 'cp -f "$2" "$1"', 'dd if="$2" of="$1" conv=notrunc status=none',
        'sed -i s/a/b/ "$1"', 'rsync --inplace "$2" "$1"', 'rsync "$2" "$1"', 'ln -f "$2" "$1"', 'install "$2" "$1"',
        'tar -C "$(dirname "$1")" -xf "$3"', 'tar -C "$(dirname "$1")" --overwrite -xf "$3"', 'echo x > "$1"', 'echo x >> "$1"',
        'truncate -s 3 "$1"', 'mv -f "$2.copy" "$1"', 'mv "$1" "$4"', 'rm -f "$1"', 'rm -rf "$(dirname "$1")"',
        'perl -pi -e s/a/b/ "$1"', 'fallocate -l 1M "$1"', 'shred -n 1 "$1"', 'tee "$1" < "$2" > /dev/null',
    ]

    @case.short
    def test_nothing_changes_it(self):
        m = self.mount()
        put_file(m.make(DAY, "orders", "a"), [b"a" * 100000])
        put_file(m.path(DAY, "b.sql"), [b"b" * 1000])
        m.stop()
        m.write_conf({"protect": {"grace": "0s"}}, True)
        m.start()
        os.mkdir(m.path(DAY, "new"))
        before = self.objects()
        local = os.path.join(self.tmp, "a")
        for name in (local, local + ".copy"):
            with open(name, "wb") as f:
                f.write(b"aa other\n")
        self.run_ok("tar", "-C", self.tmp, "-cf", local + ".tar", "a")
        with open(local, "rb") as f:
            for name, act, codes in self.ways(m, f.fileno()):
                if name == "rename over":
                    put_file(m.path(DAY, "fresh"), [b"fresh"])
                    before = self.objects()
                with self.subTest(name):
                    with self.errno_is(*codes):
                        act()
                    self.assertEqual(self.objects(), before)
        for command in self.COMMANDS:
            with self.subTest(command):
                done = self.run_shell(command, m.path(DAY, "orders", "a"), local, local + ".tar", os.path.join(self.tmp, "moved"))
                self.assertNotEqual(done.returncode if command != 'mv "$1" "$4"' else 1, 0, command)
                self.assertEqual({k: v for k, v in self.objects().items() if k in before}, before)
        self.assertIn("grace", m.log())
        # and what only looks like a change
        self.run_ok("chmod", "600", m.path(DAY, "b.sql"))
        self.run_ok("touch", m.path(DAY, "b.sql"))
        os.close(os.open(m.path(DAY, "b.sql"), os.O_RDWR))
        m.restart()
        self.assertEqual({k: v for k, v in self.objects().items() if k in before}, before)

    @case.short
    def test_a_six_hour_upload(self):
        """Its first file is old, its newest is not: it may be renamed."""
        self.put_aged(DAY + "/orders/toc", 6 * 3600)
        self.put_aged(DAY + "/orders/data", 600)
        m = self.mount(identity=HOST_IDENTITY)
        with self.errno_is(errno.EPERM):
            os.rename(m.path(DAY, "orders", "toc"), m.path(DAY, "orders", "other"))
        os.rename(m.path(DAY, "orders"), m.path(DAY, "renamed"))
        with open(m.path(DAY, "renamed", "toc"), "rb") as f:
            self.assertEqual(f.read(), b"content of db1/2024-11-22/orders/toc")
        self.assertEqual(self.store.keys(), [DAY + "/renamed/data.zst.age", DAY + "/renamed/toc.zst.age"])
        self.assertEqual(os.listdir(m.path(DAY)), ["renamed"])

    @case.short
    def test_history_stays(self):
        """Not by renaming HOST, DATE, PARTITION or below; nor after something was added."""
        self.put_aged(DAY + "/orders/toc", 30 * 86400)
        self.put_aged(DAY + "/orders/sub/data", 30 * 86400)
        self.put_aged("db1/2024-12-01/young/a", 600)
        m = self.mount(identity=HOST_IDENTITY)
        old = self.objects()

        def moves():
            for a, b in (("db1", "db2"), (DAY, "db1/2024-11-20"), (DAY + "/orders", DAY + "/gone"),
                         (DAY + "/orders", "db1/2024-12-01/gone"), (DAY + "/orders/sub", DAY + "/orders/gone")):
                with self.errno_is(errno.EPERM):
                    os.rename(m.path(a), m.path(b))
            self.assertEqual({k: v for k, v in self.objects().items() if k in old}, old)

        moves()
        put_file(m.path(DAY, "orders", "x.VERIFIED.20241222T000000Z.PASS"), [b"ok"])
        self.assertTrue(self.flags_of(DAY + "/orders/x.VERIFIED.20241222T000000Z.PASS") & LATE)
        moves()
        put_file(m.path(DAY, "orders", "sub", "another"), [b"ok"])
        moves()
        # what is brought in from elsewhere is late as well: a file, and a whole directory
        put_file(m.make("db1/2024-12-02/fresh/f"), [b"fresh"])
        self.assertFalse(self.flags_of("db1/2024-12-02/fresh/f") & LATE)
        with self.errno_is(errno.EPERM):
            os.rename(m.path("db1/2024-12-02/fresh/f"), m.path(DAY, "orders", "toc"))
        os.rename(m.path("db1/2024-12-02/fresh/f"), m.path(DAY, "orders", "f"))
        self.assertTrue(self.flags_of(DAY + "/orders/f") & LATE)
        moves()
        put_file(m.make("db1/2024-12-02/fresh/g"), [b"fresh"])
        os.rename(m.path("db1/2024-12-02/fresh"), m.path(DAY, "orders", "fresh"))
        self.assertTrue(self.flags_of(DAY + "/orders/fresh/g") & LATE)
        moves()
        # a young partition of its own beside it moves as it likes
        os.rename(m.path("db1/2024-12-01/young"), m.path("db1/2024-12-01/renamed"))

    def test_all_of_it_late(self):
        """Where there is nothing else, the late ones count."""
        self.put_aged(DAY + "/p/a", 600, b"50000000")
        self.put_aged(DAY + "/q/a", 7200, b"50000000")
        m = self.mount(identity=HOST_IDENTITY)
        os.rename(m.path(DAY, "p"), m.path(DAY, "p2"))
        with self.errno_is(errno.EPERM):
            os.rename(m.path(DAY, "q"), m.path(DAY, "q2"))

    def test_off(self):
        self.put_aged(DAY + "/p/a", 86400)
        m = self.mount({"protect": {"mode": "off"}}, identity=HOST_IDENTITY)
        put_file(m.path(DAY, "p", "b"), [b"b"])
        self.assertFalse(self.flags_of(DAY + "/p/b") & LATE)
        os.rename(m.path(DAY, "p"), m.path(DAY, "q"))
        os.rename(m.path(DAY, "q", "a"), m.path(DAY, "q", "c"))
        os.unlink(m.path(DAY, "q", "c"))
        with self.errno_is(errno.EPERM):
            os.rename(m.path(DAY), m.path("db1/2024-11-21"))

    def test_written_by_a_tool(self):
        m = self.mount()
        os.makedirs(m.path(DAY, "p"))
        os.makedirs(m.path(DAY, "q"))
        os.setxattr(m.path(DAY, "p"), "user.bakfs.tool", b"1")
        put_file(m.path(DAY, "p", "a"), [b"a"])
        put_file(m.path(DAY, "q", "a"), [b"a"])
        self.assertTrue(self.flags_of(DAY + "/p/a") & TOOL)
        self.assertFalse(self.flags_of(DAY + "/q/a") & TOOL)
