"""What is refused, with which errno or exit code, and the sentence that says what to do."""

import errno
import json
import os
import re
import subprocess

import case
import mount
import stores
from case import Case, both_stores, only, put_file, wait_until

DAY = "db1/2024-11-22"


@both_stores
class Names(Case):
    def refused_path(self, m, path, *codes, directory=False):
        """Making it fails, its directories apart; nothing is stored."""
        parent = os.path.dirname(path)
        with self.errno_is(*codes):
            if parent:
                os.makedirs(m.path(parent), exist_ok=True)
            if directory:
                os.mkdir(m.path(path))
            else:
                put_file(m.path(path), [b"x"])

    @case.short
    def test_rules_of_the_tree(self):
        m = self.mount()
        for path in ("-db/2024-11-22", "db 1/2024-11-22", ".hidden/2024-11-22", "db1/2026-02-30", "db1/2062-01-01",
                     "db1/2026-13-01", "db1/22-11-2026", "db1/2026-11-2", "db1/today"):
            with self.subTest(path=path):
                self.refused_path(m, path + "/orders.sql", errno.EINVAL)
        for path in ("orders.sql", "db1/orders.sql"):
            with self.subTest(path=path):
                self.refused_path(m, path, errno.EINVAL)
        wait_until(lambda: re.search(r"\w+/\d{4}-\d\d-\d\d/", m.log()))  # a correct path is shown
        self.assertEqual(self.store.keys(), [])

    @case.short
    def test_names(self):
        m = self.mount()
        os.makedirs(m.path(DAY))
        self.refused_path(m, DAY + "/tab\there.sql", errno.EINVAL)
        self.refused_path(m, DAY + "/del\x7f.sql", errno.EINVAL)
        self.refused_path(m, DAY + "/line\nbreak.sql", errno.EINVAL)
        self.refused_path(m, DAY + "/x.zst.age", errno.EINVAL)
        self.refused_path(m, DAY + "/dir.zst", errno.EINVAL, directory=True)
        with self.errno_is(errno.EILSEQ):
            put_file(os.fsencode(m.path(DAY)) + b"/latin-\xe9.sql", [b"x"])
        self.refused_path(m, DAY + "/" + "n" * 248, errno.ENAMETOOLONG)
        put_file(m.path(DAY, "n" * 247), [b"x"])
        put_file(m.path(DAY, "größe – 数.sql"), [b"x"])
        self.assertEqual(sorted(os.listdir(m.path(DAY))), sorted(["n" * 247, "größe – 数.sql"]))

    def test_key_length(self):
        """1,024 bytes with PREFIX and suffix fit, 1,025 do not."""
        m = self.mount()
        prefix = len(getattr(self.store, "prefix", ""))
        room = 1024 - prefix - len(".zst.age")
        deep = DAY + "/orders"
        while len(deep) + 201 + 20 < room:
            deep += "/" + "d" * 200
        os.makedirs(m.path(deep))
        fits = "f" * (room - len(deep) - 1)
        if len(fits) > 247:
            deep, fits = deep + "/" + "e" * 100, fits[101:]
            os.makedirs(m.path(deep))
        put_file(m.path(deep, fits), [b"x"])
        self.assertEqual(max(len(k.encode()) for k in self.store.keys()) + prefix, 1024)
        with self.errno_is(errno.ENAMETOOLONG):
            put_file(m.path(deep, fits + "f"), [b"x"])


@both_stores
class Mounts(Case):
    def says(self, failed, *words):
        self.assertEqual(failed.code, 1, failed.log)
        for word in words:
            self.assertIn(word, failed.log)
        self.assertLess(len(failed.log.strip().splitlines()), 3, failed.log)  # one sentence

    @case.short
    def test_configuration(self):
        self.says(self.refused({"write": {"levle": "3"}}), "levle", "level")
        self.says(self.refused({"notify": {"smtp": "localhost"}}), "smtp://host")
        self.says(self.refused({"limits": {"bandwidth": "1M"}}), "not yet")
        self.says(self.refused({"write": {"level": "99"}}), "level")
        self.says(self.refused({"seal": {"recipients": None}}), "recipients")
        self.says(self.refused({"seal": {"recipients": "age1wrong"}}), "age1")
        missing = os.path.join(self.tmp, "none.txt")
        self.says(self.refused({"seal": {"identity": missing}}), missing)

    @case.short
    def test_identity_that_others_can_read(self):
        m = mount.Mount(self.store, start=False)
        self.addCleanup(m.close)
        os.chmod(m.key, 0o644)
        with self.assertRaises(mount.MountFailed) as caught:
            m.start()
        self.says(caught.exception, "key.txt")

    @case.short
    def test_mount_point(self):
        m = self.mount()
        self.says(self.refused({"mount": {"point": m.point}}), m.point, "already")
        full = os.path.join(self.tmp, "full")
        os.mkdir(full)
        with open(os.path.join(full, "file"), "w", encoding="ascii"):
            pass
        self.says(self.refused({"mount": {"point": full}}), full, "not empty")
        self.assertEqual(os.listdir(full), ["file"])
        self.says(self.refused({"mount": {"point": full + "/none"}}), full)

    @case.short
    def test_without_the_identity(self):
        m = self.mount(identity=None)
        path = m.make(DAY, "orders.sql")
        put_file(path, [b"hello"])
        self.assertEqual(os.stat(path).st_size, 5)
        with self.errno_is(errno.EACCES):
            open(path, "rb").close()
        wait_until(lambda: DAY + "/orders.sql" in m.log())
        self.assertIn("recipient", m.log())
        reader = self.mount()
        with open(reader.path(DAY, "orders.sql"), "rb") as f:
            self.assertEqual(f.read(), b"hello")

    @case.short
    def test_an_identity_that_does_not_fit(self):
        put_file(self.mount().make(DAY, "orders.sql"), [b"hello"])
        m = self.mount(identity=mount.STRANGER_IDENTITY)
        with self.errno_is(errno.EACCES):
            open(m.path(DAY, "orders.sql"), "rb").close()
        self.assertEqual(os.stat(m.path(DAY, "orders.sql")).st_size, 5)

    def test_in_the_background(self):
        """Without -f: back only once it works, and one sentence with exit code 1 when it does not."""
        m = mount.Mount(self.store, start=False)
        self.addCleanup(m.close)
        code, said = m.verb("mount", "-c", m.conf)
        self.assertEqual(code, 0, said)
        self.assertTrue(m.is_mounted())
        put_file(m.make(DAY, "orders.sql"), [b"x"])
        code, said = m.verb("umount", m.point)
        self.assertEqual(code, 0, said)
        self.assertFalse(m.is_mounted())
        self.assertEqual(self.store.keys(), [DAY + "/orders.sql.zst.age"])
        m.store.url += "-none/nowhere"
        m.write_conf({"store": {"url": m.store.url, "deadline": "3s"}}, mount.IDENTITY)
        if self.kind == "dir":
            code, said = m.verb("mount", "-c", m.conf)
            self.assertEqual((code, m.is_mounted()), (1, False), said)

    def test_umount_while_a_file_is_open(self):
        m = self.mount()
        path = m.make(DAY, "orders.sql")
        put_file(path, [b"x"])
        with open(path, "rb"):
            code, said = m.verb("umount", m.point)
            self.assertEqual(code, 1, said)
            self.assertTrue(m.is_mounted())
        code, said = m.verb("umount", m.point)
        self.assertEqual(code, 0, said)
        self.assertEqual(m.wait(), 0)


@only("s3")
class Endpoints(Case):
    def says(self, failed, *words):
        self.assertEqual(failed.code, 1, failed.log)
        for word in words:
            self.assertIn(word, failed.log)

    @case.short
    def test_credentials_and_places(self):
        bad = dict(self.store.env, AWS_SECRET_ACCESS_KEY="wrong")
        self.says(self.refused(env=bad), "secret")
        bad = dict(self.store.env, AWS_ACCESS_KEY_ID="nobody")
        self.says(self.refused(env=bad), "access key")
        self.says(self.refused({"store": {"url": "s3://no-such-bucket-here"}}), "no-such-bucket-here")
        self.says(self.refused({"store": {"endpoint": "http://127.0.0.1:1"}}), "127.0.0.1:1")
        self.says(self.refused({"store": {"endpoint": "http://no-such-host.invalid"}}), "no-such-host.invalid")
        self.says(self.refused(env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}), "AWS_ACCESS_KEY_ID")

    def test_credentials_that_may_only_read(self):
        put_file(self.mount().make(DAY, "orders.sql"), [b"hello"])
        name = "reader-" + os.path.basename(self.tmp)[-8:].replace("_", "x")
        stores.radosgw_admin("user", "create", "--uid=" + name, "--display-name=" + name, "--access-key=" + name,
                             "--secret-key=readersecret")
        self.addCleanup(stores.radosgw_admin, "user", "rm", "--uid=" + name)
        bucket = self.store.bucket
        statement = {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/" + name]},
                     "Action": ["s3:GetObject", "s3:ListBucket", "s3:GetBucketLocation"],
                     "Resource": ["arn:aws:s3:::" + bucket, "arn:aws:s3:::%s/*" % bucket]}
        self.store.client.put_policy(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        env = {"AWS_ACCESS_KEY_ID": name, "AWS_SECRET_ACCESS_KEY": "readersecret"}
        self.says(self.refused(env=env), "-o ro")
        ro = self.mount(env=env, options=["-o", "ro"])
        with open(ro.path(DAY, "orders.sql"), "rb") as f:
            self.assertEqual(f.read(), b"hello")


@only("dir")
class Directories(Case):
    def test_directory_that_may_only_be_read(self):
        put_file(self.mount().make(DAY, "orders.sql"), [b"hello"])
        bound = os.path.join(self.tmp, "bound")
        os.mkdir(bound)
        subprocess.run(["mount", "--bind", self.store.root, bound], check=True)
        self.addCleanup(subprocess.run, ["umount", bound], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", bound], check=True)
        failed = self.refused({"store": {"url": "dir:" + bound}})
        self.assertEqual(failed.code, 1)
        self.assertIn("-o ro", failed.log)
        ro = self.mount({"store": {"url": "dir:" + bound}}, options=["-o", "ro"])
        self.addCleanup(ro.stop)
        with open(ro.path(DAY, "orders.sql"), "rb") as f:
            self.assertEqual(f.read(), b"hello")

    def test_no_such_directory(self):
        failed = self.refused({"store": {"url": "dir:" + self.tmp + "/none"}})
        self.assertEqual(failed.code, 1)
        self.assertIn(self.tmp + "/none", failed.log)
