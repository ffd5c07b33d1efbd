"""What the tests share: one test class becomes two, one for each store."""

import contextlib
import errno
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import unittest

import mount
import s3client
import stores
from mount import Mount, wait_until  # noqa: F401  (the tests take it from here)

MIB = 1 << 20
SHORT = False  # run.py: a selection, for the sanitizers


def both_stores(cls):
    """Registers CLASS_dir and CLASS_s3 in the module of CLASS."""
    module = sys.modules[cls.__module__]
    for kind in stores.KINDS:
        name = "%s_%s" % (cls.__name__, kind)
        sub = type(name, (cls, unittest.TestCase), {"kind": kind, "__module__": cls.__module__})
        setattr(module, name, sub)
    return cls


def only(kind):
    """The same for one store, or a front of stores.FRONTS."""
    def register(cls):
        name = "%s_%s" % (cls.__name__, kind)
        sub = type(name, (cls, unittest.TestCase), {"kind": kind, "__module__": cls.__module__})
        setattr(sys.modules[cls.__module__], name, sub)
        return cls

    return register


def short(function):
    """In the selection that runs with the sanitizers too."""
    function.short = True
    return function


class Case:
    """Mixed into unittest.TestCase by both_stores."""

    def setUp(self):
        if not os.path.exists("/dev/fuse"):
            self.skipTest("no /dev/fuse")
        self.store = {**stores.KINDS, **stores.FRONTS}[self.kind]()
        self.addCleanup(self.store.close)
        self.tmp = tempfile.mkdtemp(prefix="bakfs-test-")
        self.addCleanup(subprocess.run, ["rm", "-rf", self.tmp], check=True)

    def mount(self, conf=None, **how):
        m = Mount(self.store, conf, start=False, **how)
        self.addCleanup(m.close)
        return m.start()

    def refused(self, conf=None, **how):
        """A mount that must fail: MountFailed."""
        m = Mount(how.pop("store", self.store), conf, start=False, **how)
        try:
            with self.assertRaises(mount.MountFailed) as caught:
                m.start()
            self.assertFalse(m.is_mounted())
            return caught.exception
        finally:
            m.close()

    def printed_bucket(self, name):
        """The bucket that the documentation names: for one test at a time of all that use this server, empty before and after."""
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) # the kernel lets it go with its process
        self.addCleanup(lock.close)
        bucket = s3client.Client(self.store.endpoint, name, self.store.access, self.store.secret)
        def is_ours():
            with contextlib.suppress(OSError):
                lock.bind("\0bakfs-tests %s/%s" % (self.store.endpoint, name))
                return True
        wait_until(is_ours, 600)
        bucket.make_bucket()
        def empty():
            for key in bucket.keys(""):
                bucket.delete(key)
        empty()
        self.addCleanup(empty)
        return bucket

    @contextlib.contextmanager
    def errno_is(self, *codes):
        with self.assertRaises(OSError) as caught:
            yield
        self.assertIn(caught.exception.errno, codes, errno.errorcode.get(caught.exception.errno))

    def run_ok(self, *command, **how):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **how)
        self.assertEqual(done.returncode, 0, "%s: %s" % (command, done.stdout.decode(errors="replace")))
        return done.stdout

    def run_shell(self, text, *args):
        return subprocess.run(["bash", "-c", text, "-", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)

    def object_of(self, path):
        """A local copy of the object of a file: (name, bytes)."""
        data = self.store.get(path + ".zst.age")
        name = os.path.join(self.tmp, hashlib.sha1(path.encode()).hexdigest() + ".zst.age")
        with open(name, "wb") as f:
            f.write(data)
        return name, data

    def opened_by_tools(self, path):
        """SHA-256 of what `age -d | zstd -d` makes of the object, and the unsealed object's file name."""
        name, _ = self.object_of(path)
        key = os.path.join(self.tmp, "key.txt")
        with open(key, "w", encoding="ascii") as f:
            f.write(mount.IDENTITY + "\n")
        packed = name[: -len(".age")]
        script = 'set -o pipefail; age -d -i "$1" < "$2" | tee "$3" | zstd -dq | sha256sum'
        out = self.run_ok("bash", "-c", script, "-", key, name, packed)
        return out.split()[0].decode(), packed


def sha256_of(path):
    total = hashlib.sha256()
    with open(path, "rb") as f:
        while True:
            piece = f.read(MIB)
            if not piece:
                return total.hexdigest()
            total.update(piece)


def put_file(path, pieces):
    """Writes a file on the mount in order; close's error is the caller's. -> SHA-256"""
    total = hashlib.sha256()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for piece in pieces:
            total.update(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.close(fd)
        raise
    os.close(fd)
    return total.hexdigest()


def pieces(size, kind="noise", piece=MIB):
    """`size` bytes of zeros, text, noise or a mixture, in pieces. Noise does not compress within a frame."""
    text = b"INSERT INTO orders VALUES (17, 'three', NULL, 2026);\n"
    block = {"zeros": bytes(piece), "text": (text * (piece // len(text) + 2))[:piece], "noise": os.urandom(piece)}
    block = dict(block, mixed=block["noise"][: piece // 5] + block["text"][piece // 5 :])[kind]
    number = 0
    while size:
        head = number.to_bytes(8, "big") if kind in ("noise", "mixed") else b""
        part = (head + block[len(head) :])[: min(size, piece)]
        yield part
        size -= len(part)
        number += 1
