"""Files of every edge size: in, out, equal; sizes true before anything was opened, without the identity too."""

import os
import subprocess

import case
import seekable
from case import MIB, Case, both_stores, pieces, put_file, sha256_of

DAY = "db1/2024-11-22/orders"
KIB = 1024
SIZES = [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1]
SIZES += [n * MIB + d for n in (1, 4, 5, 8, 16) for d in (-1, 0, 1)]
SIZES += [17 * MIB, 33 * MIB]
LARGE = [100 * MIB + 1]
KINDS = ("zeros", "text", "noise")


@both_stores
class Sizes(Case):
    @case.short
    def test_in_and_out(self):
        writer = self.mount()
        sums, sizes = {}, SIZES + ([] if case.SHORT else LARGE)
        for size in sizes:
            for kind in KINDS:
                name = "%s/%s-%d.sql" % (DAY, kind, size)
                sums[name] = size, put_file(writer.make(name), pieces(size, kind))
        for name, (size, _) in sums.items():
            self.assertEqual(os.stat(writer.path(name)).st_size, size)
        writer.restart()
        self.check_sizes_without_identity(sums)
        for name, (size, digest) in sums.items():
            with self.subTest(name=name):
                self.assertEqual(sha256_of(writer.path(name)), digest)
                self.assertEqual(os.stat(writer.path(name)).st_size, size)
        self.check_objects(sums)

    def check_sizes_without_identity(self, sums):
        listing = self.mount(identity=None)
        said = self.run_ok("ls", "-lR", listing.path()).decode()
        got = {}
        for line in said.splitlines():
            words = line.split()
            if line.startswith("-"):
                got["%s/%s" % (DAY, words[8])] = int(words[4])
        self.assertEqual(got, {name: size for name, (size, _) in sums.items()})

    def check_objects(self, sums):
        """Opened by the two standard tools, and by the seekable format's own rules."""
        for name, (size, digest) in sums.items():
            if size > 9 * MIB and "noise" not in name:
                continue  # the same ways, seen above and below
            with self.subTest(object=name):
                opened, packed = self.opened_by_tools(name)
                self.assertEqual(opened, digest)
                with open(packed, "rb") as f:
                    facts = seekable.check(f.read(), lambda plain: None)
                self.assertEqual(facts["plain"], size)

    def test_one_byte_writes_and_odd_reads(self):
        m = self.mount()
        path, plain = m.make(DAY, "bytes.sql"), os.urandom(5000)
        with open(path, "wb", buffering=0) as f:
            for byte in plain:
                f.write(bytes([byte]))
        m.restart()
        with open(path, "rb", buffering=0) as f:
            for off, length in ((0, 1), (4999, 1), (17, 4096), (4990, 100), (5000, 1), (123, 0), (6000, 5)):
                self.assertEqual(os.pread(f.fileno(), length, off), plain[off : off + length])

    def test_random_reads(self):
        m = self.mount()
        path = m.make(DAY, "random.sql")
        whole = b"".join(pieces(20 * MIB + 12345))
        put_file(path, [whole])
        m.restart()
        with open(path, "rb", buffering=0) as f:
            for i in range(200):
                off = (i * 7919 * 4099) % len(whole)
                length = 1 + (i * 104729) % (3 * MIB if i % 10 == 0 else 65536)
                self.assertEqual(self.pread(f.fileno(), length, off), whole[off : off + length], (off, length))

    @staticmethod
    def pread(fd, length, off):
        out = b""
        while length:
            piece = os.pread(fd, length, off)
            if not piece:
                break
            out, off, length = out + piece, off + len(piece), length - len(piece)
        return out

    @case.short
    def test_cp_and_cmp(self):
        """With the tools that people use."""
        m = self.mount()
        source = os.path.join(self.tmp, "dump.sql")
        with open(source, "wb") as f:
            f.writelines(pieces(21 * MIB + 7, "text"))
        target = m.make(DAY, "dump.sql")
        self.run_ok("cp", source, target)
        self.run_ok("cmp", source, target)
        m.restart()
        self.run_ok("cmp", source, target)

    def test_tar_from_the_mount(self):
        m = self.mount()
        os.makedirs(m.path(DAY, "deep", "er"))
        for name in ("a", "deep/b", "deep/er/c"):
            put_file(m.path(DAY, name), pieces(70000))
        out = os.path.join(self.tmp, "all.tar")
        subprocess.run(["tar", "-C", m.path("db1/2024-11-22"), "-cf", out, "orders"], check=True)
        listed = self.run_ok("tar", "tf", out).decode().split()
        self.assertEqual(sorted(n for n in listed if not n.endswith("/")), ["orders/a", "orders/deep/b", "orders/deep/er/c"])
