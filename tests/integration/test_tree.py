"""The tree: listing, attributes, latest, status, and what is refused."""

import errno
import json
import os
import stat

import case
import mount
from case import Case, both_stores, pieces, put_file, wait_until

DAY = "db1/2024-11-22"


@both_stores
class Tree(Case):
    @case.short
    def test_listing_and_attributes(self):
        m = self.mount()
        put_file(m.make(DAY, "orders.sql"), pieces(3_000_000, "text"))
        put_file(m.make(DAY, "shop/toc.dat"), pieces(10))
        put_file(m.make("db2.example.com/2024-11-21/x.dump"), pieces(1))
        os.utime(m.path(DAY, "shop"), None)
        for _ in range(2):  # known by this mount, then read from the store
            self.assertEqual(sorted(os.listdir(m.path())), ["db1", "db2.example.com"])
            names = set(os.listdir(m.path("db1"))) - {"latest"}
            self.assertEqual(names, {"2024-11-22"})
            self.assertEqual(sorted(os.listdir(m.path(DAY))), ["orders.sql", "shop"])
            self.assertEqual(os.listdir(m.path(DAY, "shop")), ["toc.dat"])
            st = os.stat(m.path(DAY, "orders.sql"))
            self.assertEqual((st.st_size, stat.S_IMODE(st.st_mode) & 0o077), (3_000_000, 0))
            self.assertTrue(stat.S_ISREG(st.st_mode) and stat.S_ISDIR(os.stat(m.path(DAY)).st_mode))
            self.assertGreater(st.st_blocks * 512, 0)
            self.assertLess(st.st_blocks * 512, 1_000_000)  # what is stored
            self.assertEqual(st.st_blksize, 1 << 20)
            m.restart()

    def test_mtime_is_kept(self):
        m = self.mount()
        path = m.make(DAY, "orders.sql")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(fd, b"x")
        os.utime(fd, ns=(1_000_000_000_123_456_789, 1_000_000_000_123_456_789))  # cp -p does so before it closes
        os.close(fd)
        m.restart()
        self.assertEqual(os.stat(path).st_mtime_ns, 1_000_000_000_123_456_789)
        self.assertGreater(os.stat(path).st_ctime_ns, 1_700_000_000 * 10**9)

    @case.short
    def test_extended_attributes(self):
        m = self.mount()
        path = m.make(DAY, "orders.sql")
        get = lambda name: os.getxattr(path, "user.bakfs." + name).decode()
        with open(path, "wb") as f:
            f.write(b"x" * 100)
            f.flush()
            self.assertEqual(get("state"), "writing")
        self.assertEqual(get("state"), "sealed")
        self.assertEqual(get("key").rpartition("db1/")[1:], ("db1/", "2024-11-22/orders.sql.zst.age"))
        self.assertEqual(int(get("stored_size")), len(self.store.get(DAY + "/orders.sql.zst.age")))
        self.assertEqual(get("complete"), "unknown")
        self.assertTrue(get("etag") and get("recipients") and get("last_modified") and get("grace_until"))
        self.assertEqual(len(get("digest")), 64)
        with self.errno_is(errno.EPERM, errno.EOPNOTSUPP, errno.EACCES):
            os.setxattr(path, "user.bakfs.state", b"sealed")

    @case.short
    def test_latest(self):
        m = self.mount()
        for date, name in (("2024-11-20", "orders.sql"), ("2024-11-22", "orders.sql"), ("2024-11-21", "shop.dump")):
            put_file(m.make("db1", date, name), pieces(10))
        latest = m.path("db1/latest")
        self.assertEqual(sorted(os.listdir(latest)), ["orders", "shop"])
        self.assertEqual(os.readlink(latest + "/orders"), "../2024-11-22/orders.sql")
        self.assertEqual(os.readlink(latest + "/shop"), "../2024-11-21/shop.dump")
        self.assertEqual(os.stat(latest + "/orders").st_size, 10)
        with open(m.make("db1/2024-11-23/orders.sql"), "wb") as f:
            f.write(b"half")
            f.flush()
            self.assertEqual(os.readlink(latest + "/orders"), "../2024-11-22/orders.sql")  # not what is being written
        self.assertFalse([k for k in self.store.keys() if "latest" in k])

    @case.short
    def test_status(self):
        m = self.mount()
        self.assertNotIn(".bakfs", os.listdir(m.path()))
        with open(m.make(DAY, "orders.sql"), "wb") as f:
            f.write(b"x")
            f.flush()
            self.assertEqual([w["path"] for w in m.status()["writing"]], [DAY + "/orders.sql"])
        status = m.status()
        self.assertEqual((status["writing"], status["files_stored"], status["failures"]), ([], 1, []))
        self.assertTrue(status["identity"])
        json.dumps(status)

    @case.short
    def test_mkdir_rmdir_unlink(self):
        m = self.mount()
        os.makedirs(m.path(DAY, "a"))
        self.assertEqual(os.listdir(m.path(DAY)), ["a"])
        with self.errno_is(errno.EEXIST):
            os.mkdir(m.path(DAY, "a"))
        put_file(m.path(DAY, "a", "f"), [b"x"])
        with self.errno_is(errno.ENOTEMPTY):
            os.rmdir(m.path(DAY, "a"))
        os.unlink(m.path(DAY, "a", "f"))
        self.assertEqual(self.store.keys(), [])
        with self.errno_is(errno.ENOENT):
            os.stat(m.path(DAY, "a", "f"))
        os.rmdir(m.path(DAY, "a"))
        with self.errno_is(errno.ENOENT):
            os.rmdir(m.path(DAY, "a"))
        with self.errno_is(errno.ENOENT):
            os.unlink(m.path(DAY, "none.sql"))

    def test_what_does_nothing_and_what_is_refused(self):
        m = self.mount()
        path = m.make(DAY, "orders.sql")
        put_file(path, [b"x"])
        os.chmod(path, 0o777)
        os.chown(path, 1, 1)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode) & 0o077, 0)
        with self.errno_is(errno.EPERM):
            os.link(path, m.path(DAY, "hard"))
        with self.errno_is(errno.EPERM):
            os.mknod(m.path(DAY, "fifo"), 0o600 | stat.S_IFIFO)
        with self.errno_is(errno.EPERM):
            os.symlink("x", m.path(DAY, "soft"))
        self.assertGreater(os.statvfs(m.path()).f_namemax, 200)

    def test_no_lookup_makes_anything(self):
        m = self.mount()
        for name in ("db9", "db1/2024-11-22", "db1/latest/x", "db1/2024-11-22/x.sql"):
            with self.errno_is(errno.ENOENT):
                os.stat(m.path(name))
        with self.errno_is(errno.ENOENT):
            put_file(m.path("db1/2024-11-22/orders.sql"), [b"x"])  # no such directory
        self.assertEqual(os.listdir(m.path()), [])

    def test_many_files_in_one_directory(self):
        m = self.mount()
        os.makedirs(m.path(DAY, "pg"))
        names = ["%04d.dat" % i for i in range(1100)] if self.kind == "dir" else ["%04d.dat" % i for i in range(150)]
        for name in names:
            put_file(m.path(DAY, "pg", name), [b"x"])
        other = self.mount(identity=None)
        self.assertEqual(sorted(os.listdir(other.path(DAY, "pg"))), names)
        self.assertEqual(os.stat(other.path(DAY, "pg", names[-1])).st_size, 1)

    @case.short
    def test_verbs_list_and_confirm(self):
        m = self.mount()
        path = m.make(DAY, "orders.sql")
        code, _ = m.verb("confirm", "-c", m.conf, path)
        self.assertEqual(code, 1)
        put_file(path, pieces(12345, "text"))
        code, said = m.verb("confirm", "-c", m.conf, path)
        self.assertEqual(code, 0, said)
        code, said = m.verb("list", "-c", m.conf)
        self.assertEqual(code, 0, said)
        self.assertIn("orders.sql", said)
        code, said = m.verb("list", "--json", "-c", m.conf)
        self.assertEqual(code, 0, said)
        self.assertIn("12345", said)
        json.loads(said)

    def test_read_only(self):
        m = self.mount()
        put_file(m.make(DAY, "orders.sql"), [b"hello"])
        ro = self.mount({"seal": {"recipients": None}}, options=["-o", "ro"])
        with open(ro.path(DAY, "orders.sql"), "rb") as f:
            self.assertEqual(f.read(), b"hello")
        with self.errno_is(errno.EROFS):
            put_file(ro.path(DAY, "new.sql"), [b"x"])
        with self.errno_is(errno.EROFS):
            os.unlink(ro.path(DAY, "orders.sql"))

    def test_grace_over(self):
        """Once grace has passed nothing of it can be changed."""
        m = self.mount({"protect": {"grace": "0s"}})
        path = m.make(DAY, "orders.sql")
        put_file(path, [b"hello"])
        with self.errno_is(errno.EPERM):
            put_file(path, [b"other"])
        with self.errno_is(errno.EPERM):
            os.unlink(path)
        wait_until(lambda: "grace" in m.log())
        with open(path, "rb") as f:
            self.assertEqual(f.read(), b"hello")

    def test_unprivileged_users_see_nothing(self):
        m = self.mount()
        put_file(m.make(DAY, "orders.sql"), [b"x"])
        done = self.run_shell('runuser -u nobody -- cat "$1"', m.path(DAY, "orders.sql"))
        self.assertNotEqual(done.returncode, 0)


@both_stores
class Foreign(Case):
    @case.short
    def test_what_age_and_zstd_wrote(self):
        script = 'echo hello | zstd -3 -q | age -r "$1" > "$2"'
        name = os.path.join(self.tmp, "x.zst.age")
        self.run_ok("bash", "-c", script, "-", mount.RECIPIENT, name)
        with open(name, "rb") as f:
            data = f.read()
        self.store.put(DAY + "/x.zst.age", data)
        m = self.mount()
        path = m.path(DAY, "x")
        self.assertEqual(os.listdir(m.path(DAY)), ["x"])
        self.assertEqual(os.stat(path).st_size, len(data))
        self.assertEqual(os.getxattr(path, "user.bakfs.state"), b"unknown")
        with self.errno_is(errno.EIO):
            with open(path, "rb") as f:
                f.read()
        log = wait_until(lambda: [line for line in m.log().splitlines() if DAY + "/x" in line])
        self.assertIn("not written by bakfs", " ".join(log))

    @case.short
    def test_hostile_keys_are_hidden(self):
        m = self.mount()
        put_file(m.make(DAY, "orders.sql"), [b"hello"])
        good = self.store.get(DAY + "/orders.sql.zst.age")
        hostile = ["db1.zst.age", "db1/2024-11-22.zst.age", "db1/latest/orders.zst.age", "db1/x/y.zst.age",
                   "db1/2026-02-30/orders.sql.zst.age", "-db/2024-11-22/x.zst.age", DAY + "/plain.sql",
                   DAY + "/tab\there.sql.zst.age", DAY + "/new\nline.zst.age", DAY + "/del\x7f.zst.age",
                   DAY + "/" + "n" * 248 + ".zst.age" if self.kind == "s3" else "db1/loose.zst.age",
                   DAY + "/.zst.age", ".bakfs/status.json.zst.age", "x.zst.age"]
        if self.kind == "s3":
            hostile += [DAY + "/../up.sql.zst.age", DAY + "/./dot.sql.zst.age", DAY + "//double.sql.zst.age",
                        "/slash/2024-11-22/x.zst.age"]
        for key in hostile:
            self.store.put(key, good)
        m.restart()
        seen = []
        for base, dirs, names in os.walk(m.path(), onerror=self.fail):
            dirs[:] = [d for d in dirs if d != "latest"]
            seen += [os.path.relpath(os.path.join(base, n), m.point) for n in names]
        self.assertEqual(seen, [DAY + "/orders.sql"])
        with open(m.path(DAY, "orders.sql"), "rb") as f:
            self.assertEqual(f.read(), b"hello")
        put_file(m.path(DAY, "more.sql"), [b"more"])
        self.assertEqual(sorted(os.listdir(m.path(DAY))), ["more.sql", "orders.sql"])
