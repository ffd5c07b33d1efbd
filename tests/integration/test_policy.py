"""bakfs policy: what it prints is enough, and no more; without one of its actions something breaks."""

import contextlib
import json
import os
import subprocess
import time
import unittest

import case
import mount
import s3client
import stores
import test_prune
import verbs
from case import MIB, Case, only, pieces, put_file
from mount import Mount

DAY = "2024-11-22"


class Policies(Case):
    """A bucket of its own, and a user of its own who is allowed what the policy says."""

    headers = ()

    def setUp(self):
        super().setUp()
        self.store.close()
        self.store = stores.BucketStore("policy", dict(self.headers))
        self.addCleanup(self.store.close)
        self.user = "user-" + self.store.bucket.rsplit("-")[-1]
        stores.radosgw_admin("user", "create", "--uid=" + self.user, "--display-name=" + self.user,
                             "--access-key=" + self.user, "--secret-key=secret")
        self.addCleanup(stores.radosgw_admin, "user", "rm", "--uid=" + self.user)
        self.env = {"AWS_ACCESS_KEY_ID": self.user, "AWS_SECRET_ACCESS_KEY": "secret"}
        self.other = s3client.Client(self.store.endpoint, self.store.bucket, self.user, "secret")
        self.conf = os.path.join(self.tmp, "conf")
        with open(self.conf, "w", encoding="utf8") as f:
            f.write("[store]\nurl = %s\nendpoint = %s\nregion = us-east-1\n" % (self.store.url, self.store.endpoint))

    def policy(self, *words):
        return json.loads(self.run_ok(mount.BAKFS, "policy", "-c", self.conf, *words))

    def actions(self, policy):
        return [a for s in policy["Statement"] for a in s["Action"]]

    def allow(self, policy, without=None):
        policy = json.loads(json.dumps(policy))
        for statement in policy["Statement"]:
            statement["Principal"] = {"AWS": ["arn:aws:iam:::user/" + self.user]}
            statement["Action"] = [a for a in statement["Action"] if a != without]
        policy["Statement"] = [s for s in policy["Statement"] if s["Action"]]
        self.store.client.put_policy(json.dumps(policy))

    def refused_call(self, method, key="", query=(), body=b"", headers=()):
        with self.assertRaises(s3client.S3Error, msg="%s %s %s" % (method, key, query)) as caught:
            self.other.call(method, key, query, body, headers)
        self.assertEqual(caught.exception.status, 403, "%s %s %s" % (method, key, query))

    def refused_everywhere(self, *, may_read=True):
        """What none of them may. What is there stays as it is."""
        mine, theirs = ("%s%s/%s/orders.sql.zst.age" % (self.store.prefix, h, DAY) for h in ("db1", "db2"))
        before = self.store.versions()
        for method, key, query, body in (
                ("GET", theirs, (), b""), ("PUT", theirs, (), b"x"), ("DELETE", theirs, (), b""), ("DELETE", mine, (), b""),
                ("POST", theirs, {"uploads": ""}, b""), ("PUT", "elsewhere", (), b"x"), ("GET", "", {"policy": ""}, b""),
                ("PUT", "", {"policy": ""}, b"{}"), ("DELETE", "", {"policy": ""}, b""), ("GET", "", {"acl": ""}, b""),
                ("PUT", "", {"versioning": ""}, b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"),
                ("GET", "", {"list-type": "2", "prefix": self.store.prefix + "db2/"}, b""),
                ("GET", "", {"list-type": "2", "prefix": "elsewhere/"}, b""),
                ("DELETE", "", (), b"")):
            self.refused_call(method, key, query, body)
        if not may_read:
            self.refused_call("GET", mine)
        self.assertEqual(self.store.versions(), before)

    @contextlib.contextmanager
    def mounted(self, options=(), **how):
        m = Mount(self.store, {"mount": {"refresh": "100ms"}}, env=self.env, options=options, start=False, **how)
        try:
            yield m.start()
        finally:
            m.close()

    def no_mount(self, options=()):
        with self.assertRaises(mount.MountFailed) as caught:
            with self.mounted(options):
                pass
        return caught.exception.log


@only("s3")
class Writer(Policies):
    def use(self, m, number=0):
        """What a host does that makes backups."""
        directory = m.path("db1", DAY, "shop%d" % number)
        os.makedirs(directory)
        os.setxattr(directory, "user.bakfs.tool", b"test")
        digest = put_file(os.path.join(directory, "shop.dump"), pieces(20 * MIB))
        path = m.path("db1", DAY, "orders%d.sql" % number)
        put_file(path, [b"create table x();\n" * 1000])
        for p in (path, os.path.join(directory, "shop.dump")):
            self.assertEqual(m.verb("confirm", "-q", p), (0, ""))
        self.assertEqual(case.sha256_of(os.path.join(directory, "shop.dump")), digest)
        code, said = m.verb("list", "-c", m.conf, "--json", "db1")
        self.assertEqual(code, 0, said)
        self.assertIn("orders%d" % number, said)

    def test_enough_and_no_more(self):
        for host in ("db1", "db2"):
            self.store.put("%s/%s/orders.sql.zst.age" % (host, DAY), b"x")
        for i, words in enumerate((["--host", "db1"], [])):
            self.allow(self.policy("writer", *words))
            with self.mounted() as m:
                self.use(m, i)
                with self.errno_is(13, 5):
                    os.rename(m.path("db1", DAY, "orders%d.sql" % i), m.path("db1", DAY, "other%d.sql" % i))
                with self.errno_is(13, 5):
                    os.unlink(m.path("db1", DAY, "orders%d.sql" % i))
                self.assertIn("orders%d.sql" % i, os.listdir(m.path("db1", DAY)))
            if words:
                self.refused_everywhere()
        self.assertEqual(self.store.uploads(), [])
        # mistakes can be mended, by him who was allowed to
        self.allow(self.policy("writer", "--host", "db1", "--delete"))
        with self.mounted() as m:
            path = m.path("db1", DAY, "mistake.sql")
            put_file(path, [b"x"])
            os.rename(path, path + ".2")
            os.unlink(path + ".2")
        self.refused_call("DELETE", "%sdb2/%s/orders.sql.zst.age" % (self.store.prefix, DAY))
        self.assertFalse([k for k in self.store.keys() if "mistake" in k])

    def test_each_action_is_needed(self):
        policy = self.policy("writer", "--host", "db1")
        needed = set(self.actions(policy))
        for action in ("s3:ListBucket", "s3:PutObject", "s3:AbortMultipartUpload"):
            with self.subTest(action):
                self.allow(policy, without=action)
                self.no_mount()
            needed.remove(action)
        # it may back up all the same, and cannot see what is there (but its own objects: their ACL is the uploader's here)
        with contextlib.closing(Mount(self.store)) as m:
            put_file(m.make("db1", DAY, "before.sql"), [b"x"])
        self.allow(policy, without="s3:GetObject")
        with self.mounted() as m:
            put_file(m.make("db1", DAY, "after.sql"), [b"x"])
            before = m.path("db1", DAY, "before.sql")
            self.assertEqual(m.verb("confirm", "-q", before)[0], 1)
            with self.errno_is(5, 13):
                case.sha256_of(before)
        needed.remove("s3:GetObject")
        # for what a failure leaves: is an aborted upload gone, which did a lost answer begin? Without these it goes on, and
        # the bucket's lifecycle rule has to find them (but for its own here, as above)
        key = self.store.prefix + "db1/%s/x.sql.zst.age" % DAY
        began = self.store.client.call("POST", key, {"uploads": ""}).decode()
        upload = {"uploadId": began.split("<UploadId>")[1].split("<")[0]}
        for action, call in (("s3:ListMultipartUploadParts", (key, upload)), ("s3:ListBucketMultipartUploads", ("", {"uploads": ""}))):
            self.allow(policy)
            self.other.call("GET", *call)
            self.allow(policy, without=action)
            self.refused_call("GET", *call)
            with self.mounted() as m:
                put_file(m.make("db1", DAY, action[3:] + ".sql"), pieces(20 * MIB))
            needed.remove(action)
        self.assertEqual(needed, set())


@only("s3")
class Backups(Policies, verbs.VerbCase):
    def test_a_writer_makes_and_verifies_backups(self):
        """No removal is needed for it, nor for one that fails."""
        self.allow(self.policy("writer", "--host", "db1"))
        self.make_database("policy_db", "create table t as select generate_series(1, 1000) as n")
        self.ready({"database good": {"conninfo": self.conninfo("policy_db"), "host": "db1"},
                    "database bad": {"conninfo": self.conninfo("nosuchdb"), "host": "db1"}}, env=self.env)
        self.bakfs("backup", "good")
        self.bakfs("backup", "bad", code=1)
        self.bakfs("verify", "--full", "good")
        names = [k for k in self.store.keys() if k.startswith("db1/")]
        for end in (".META", ".PASS"):
            self.assertTrue([n for n in names if n.endswith(end + ".zst.age")], names)
        self.assertFalse([n for n in names if "/bad/" in n], names)


@only("s3")
class Reader(Policies):
    def test_enough_and_no_more(self):
        with contextlib.closing(Mount(self.store)) as m:
            digest = put_file(m.make("db1", DAY, "orders.sql"), pieces(3 * MIB))
            put_file(m.make("db2", DAY, "orders.sql"), [b"x"])
        ro = ["-o", "ro"]
        for words in ([], ["--host", "db1"]):
            policy = self.policy("reader", *words)
            self.allow(policy)
            with self.mounted(ro) as m:
                self.assertEqual(case.sha256_of(m.path("db1", DAY, "orders.sql")), digest)
                self.assertEqual(m.verb("list", "-c", m.conf, "db1")[0], 0)
        self.no_mount()  # to write
        self.refused_everywhere()
        self.refused_call("PUT", "%sdb1/%s/orders.sql.zst.age" % (self.store.prefix, DAY), body=b"x")
        self.assertEqual(sorted(self.actions(policy)), ["s3:GetObject", "s3:ListBucket"])
        self.allow(policy, without="s3:ListBucket")
        self.no_mount(ro)
        self.allow(policy, without="s3:GetObject")
        with self.mounted(ro) as m, self.errno_is(5, 13):
            case.sha256_of(m.path("db1", DAY, "orders.sql"))


@only("s3")
class Pruner(Policies):
    headers = {"x-amz-bucket-object-lock-enabled": "true"}.items()

    def fill(self, host="db1"):
        now = int(time.time())
        made = [test_prune.ours(host, "orders", now - d * 86400) for d in (40, 1)]
        made.append(test_prune.copied(host, "files", DAY, [(".sql", test_prune.YES, now, [])]))
        for b in made:
            for key, (body, _) in b.keys.items():
                self.store.put(key, body)
        return made

    def prune(self, *words, code=0):
        done = subprocess.run([mount.BAKFS, "prune", "-c", self.conf, "--keep-last", "1", "--yes", *words], text=True, check=False,
                              env=dict(os.environ, **self.env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, code, done.stdout)
        return done.stdout

    def test_enough_and_no_more(self):
        self.fill("db2")
        for words in (["--host", "db1"], []):
            old, new, files = self.fill()
            policy = self.policy("pruner", *words)
            self.allow(policy)
            said = self.prune("db1")
            self.assertNotIn("warning", said)
            self.assertEqual({k for k, _, _ in self.store.versions() if k.startswith("db1/")}, set(new.keys) | set(files.keys))
            if words:
                self.prune(code=1)  # the other host's too
                self.refused_everywhere()
                self.refused_call("PUT", self.store.prefix + next(iter(new.keys)), body=b"x")
        self.assertIn("1 backup goes", self.prune("db2", "orders", "--dry-run"))

    def test_each_action_is_needed(self):
        policy = self.policy("pruner", "--host", "db1")
        old = self.fill()[0]
        actions = set(self.actions(policy))
        for action in ("s3:ListBucket", "s3:ListBucketVersions", "s3:GetObjectRetention", "s3:GetObjectLegalHold",
                       "s3:DeleteObjectVersion"):
            self.allow(policy, without=action)
            self.prune("db1", code=1)
            self.assertTrue(set(old.keys) <= set(self.store.keys()), action)
            actions.remove(action)
        # without these it goes on: says what it cannot know, and asks each object whether a lock holds it
        self.allow(policy, without="s3:GetObject")
        self.assertIn("may not read (s3:GetObject)", self.prune("db1", "--dry-run"))
        self.allow(policy, without="s3:GetBucketObjectLockConfiguration")
        self.prune("db1")
        self.assertFalse(set(old.keys) & {k for k, _, _ in self.store.versions()})
        self.assertEqual(actions, {"s3:GetObject", "s3:GetBucketObjectLockConfiguration"})


@only("dir")
class Printed(Case):
    def conf(self, url):
        path = os.path.join(self.tmp, "conf")
        with open(path, "w", encoding="utf8") as f:
            f.write("[store]\nurl = %s\n" % url)
        return path

    def said(self, url, *words):
        done = subprocess.run([mount.BAKFS, "policy", "-c", self.conf(url), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_places(self):
        for url, words, resources, prefixes in (
                ("s3://b-1", [], ["arn:aws:s3:::b-1/*"], None),
                ("s3://b-1/", [], ["arn:aws:s3:::b-1/*"], None),
                ("s3://b-1/a/b//", [], ["arn:aws:s3:::b-1/a/b/*"], ["a/b/*"]),
                ("s3://b-1", ["--host", "db1"], ["arn:aws:s3:::b-1/db1/*"], ["", "db1/*"]),
                ("s3://b-1/p", ["--host", "db1"], ["arn:aws:s3:::b-1/p/db1/*"], ["p/", "p/db1/*"])):
            code, out, _ = self.said(url, "reader", *words)
            self.assertEqual(code, 0)
            listing, reading = json.loads(out)["Statement"]
            self.assertEqual(listing["Resource"], "arn:aws:s3:::b-1")
            self.assertEqual(listing.get("Condition"), prefixes and {"StringLike": {"s3:prefix": prefixes}})
            self.assertEqual(reading["Resource"], resources)

    def test_refusals(self):
        for url, words, code, text in (
                ("dir:/x", ["writer"], 1, "only a bucket has a policy"), ("s3://b-1/a*", ["writer"], 1, "pattern"),
                ("s3://b-1", ["writer", "--host", "db?"], 1, "pattern"), ("s3://b-1", ["writer", "--host", "a/b"], 2, "not a path"),
                ("s3://b-1", [], 2, "whose?"), ("s3://b-1", ["owner"], 2, "whose?"), ("s3://b-1", ["reader", "writer"], 2, "whose?"),
                ("s3://b-1", ["pruner", "--delete"], 2, "for a writer")):
            got, out, err = self.said(url, *words)
            self.assertEqual((got, out), (code, ""), err)
            self.assertIn(text, err)


if __name__ == "__main__":
    unittest.main()
