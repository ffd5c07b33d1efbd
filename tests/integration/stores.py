"""The two stores that every test runs over, as another client sees them."""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import front  # noqa: E402
import s3client  # noqa: E402

_count = itertools.count(1)


class DirStore:
    kind = "dir"

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="bakfs-store-")
        self.url = "dir:" + self.root
        self.env = {}
        self.settings = {}

    def keys(self):
        found = []
        for base, dirs, names in os.walk(self.root):
            if base == self.root and ".bakfs-tmp" in dirs:
                dirs.remove(".bakfs-tmp")
            found += [os.path.relpath(os.path.join(base, n), self.root) for n in names]
        return sorted(found)

    def uploads(self):
        """Keys of uploads in progress: the links in .bakfs-tmp say them."""
        tmp = os.path.join(self.root, ".bakfs-tmp")
        found = []
        for name in os.listdir(tmp) if os.path.isdir(tmp) else []:
            with contextlib.suppress(OSError):
                found.append(os.readlink(os.path.join(tmp, name)).partition("key:")[2])
        return sorted(found)

    def leftovers(self):
        """What stands there besides objects and the lock."""
        tmp = os.path.join(self.root, ".bakfs-tmp")
        return [n for n in os.listdir(tmp) if n != "lock"] if os.path.isdir(tmp) else []

    def get(self, key):
        with open(os.path.join(self.root, key), "rb") as f:
            return f.read()

    def put(self, key, body):
        path = os.path.join(self.root, key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "wb") as f:
            f.write(body)
        os.rename(path + ".new", path)

    def delete(self, key):
        os.unlink(os.path.join(self.root, key))

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)


class S3Store:
    kind = "s3"

    def __init__(self):
        self.endpoint, self.bucket = os.environ["RGW_ENDPOINT"], os.environ["RGW_BUCKET"]
        self.access, self.secret = os.environ["RGW_ACCESS_KEY"], os.environ["RGW_SECRET_KEY"]
        self.client = s3client.Client(self.endpoint, self.bucket, self.access, self.secret)
        self.prefix = "t%d-%s/" % (next(_count), uuid.uuid4().hex[:8])
        self.url = "s3://%s/%s" % (self.bucket, self.prefix[:-1])
        self.env = {"AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret}
        self.settings = {"endpoint": self.endpoint, "region": "us-east-1"}

    def keys(self):
        return sorted(k[len(self.prefix) :] for k in self.client.keys(self.prefix))

    def uploads(self):
        return sorted(k[len(self.prefix) :] for k in self.client.uploads(self.prefix))

    leftovers = uploads

    def get(self, key):
        return self.client.get(self.prefix + key)

    def put(self, key, body):
        self.client.put(self.prefix + key, body)

    def delete(self, key):
        self.client.delete(self.prefix + key)

    def close(self):
        for key in self.client.keys(self.prefix):
            self.client.delete(key)


class BucketStore(S3Store):
    """A bucket of its own, set up as asked."""

    def __init__(self, name, headers=(), versioning=False):
        super().__init__()
        self.bucket = "%s-%s" % (name, self.prefix.rsplit("-")[-1][:-1])
        self.client = s3client.Client(self.endpoint, self.bucket, self.access, self.secret)
        self.client.call("PUT", headers=dict(headers))
        if versioning:
            self.configure("", "versioning", "<VersioningConfiguration %s><Status>Enabled</Status></VersioningConfiguration>")
        self.url = "s3://%s/%s" % (self.bucket, self.prefix[:-1])

    def configure(self, key, what, text, headers=(), **query):
        text = text % 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
        self.client.call("PUT", key and self.prefix + key, dict(query, **{what: ""}), text.encode(), dict(headers))

    def versions(self):
        """[(key, id, is a marker)]"""
        tree = s3client.ElementTree.fromstring(self.client.call("GET", query={"versions": ""}))
        ns = s3client.NS
        return [(e.findtext(ns + "Key")[len(self.prefix) :], e.findtext(ns + "VersionId"), e.tag.endswith("DeleteMarker"))
                for e in tree if e.tag in (ns + "Version", ns + "DeleteMarker")]

    def close(self):
        for key, version, _ in self.versions():
            self.client.call("DELETE", self.prefix + key, {"versionId": version}, headers={"x-amz-bypass-governance-retention": "true"})
        self.client.call("DELETE")


class FrontStore(S3Store):
    """The same through a front that fails as asked: `self.front`. What the tests ask for themselves goes past it."""

    conditions = False

    def __init__(self):
        super().__init__()
        self.front = front.Front(self.endpoint, self.access, self.secret, self.conditions)
        self.settings = dict(self.settings, endpoint=self.front.url)

    def close(self):
        self.front.close()
        super().close()


class ConditionsStore(FrontStore):
    """One that honours conditions on CompleteMultipartUpload."""

    conditions = True


def radosgw_admin(*args):
    """For what only the gateway's operator can do (users)."""
    conf = os.path.join(os.environ["RGW_DIR"], "ceph.conf")
    return subprocess.run(["radosgw-admin", "-c", conf, *args], stdout=subprocess.PIPE, check=True, text=True).stdout


KINDS = {"dir": DirStore, "s3": S3Store}
FRONTS = {"front": FrontStore, "conditions": ConditionsStore}  # for @only; they run where s3 does
