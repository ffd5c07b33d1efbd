"""What everyday tools do to files: exit 0, and exactly the bytes that they wrote, on a host with an identity and without."""

import errno
import os
import shutil
import subprocess
import sys
import tarfile

import case
import mount
from case import MIB, Case, both_stores, pieces, sha256_of, wait_until

DAY = "db1/2024-11-22"
OLD = 1700000000  # a time that nobody gets by chance


class Tools(Case):
    """A command is run on the mount and in a plain directory beside it; both must look the same afterwards."""

    identity = mount.IDENTITY

    def setUp(self):
        super().setUp()
        self.m = self.mount(identity=self.identity)
        self.reader = None
        self.plain = os.path.join(self.tmp, "plain")
        self.sources = os.path.join(self.tmp, "sources")
        self.day = self.m.path(DAY, "orders")
        for path in (self.day, self.plain, self.sources):
            os.makedirs(path)

    def source(self, name, size=300000, kind="mixed"):
        path = os.path.join(self.sources, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.writelines(pieces(size, kind))
        os.utime(path, (OLD, OLD))
        return path

    def both(self, script, *args):
        """A bash script in each of the two directories."""
        for place in (self.day, self.plain):
            done = subprocess.run(["bash", "-ec", script, "-", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  cwd=place, check=False)
            said = done.stdout.decode(errors="replace")
            self.assertEqual(done.returncode, 0, "%s: %s\n%s" % (place, said, self.m.log()[-3000:]))
            if place == self.day:
                self.assertNotIn("Input/output error", said)

    @staticmethod
    def tree(top):
        found = {}
        for base, dirs, names in os.walk(top, onerror=lambda e: (_ for _ in ()).throw(e)):
            dirs.sort()
            for name in names:
                path = os.path.join(base, name)
                found[os.path.relpath(path, top)] = (os.stat(path).st_size, sha256_of(path))
        return found

    def same(self, times=False):
        """By a mount that can read, and was not asked before: what the store has. With an identity by this one too."""
        wait_until(lambda: not self.m.status()["writing"])
        expected = self.tree(self.plain)
        if self.identity:
            self.assertEqual(self.tree(self.day), expected)
        if self.reader:
            self.reader.close()
        self.reader = self.mount(options=["-o", "ro"])
        stored = self.reader.path(DAY, "orders")
        self.assertEqual(self.tree(stored) if os.path.isdir(stored) else {}, expected)
        keys = sorted("%s/orders/%s.zst.age" % (DAY, name) for name in expected)
        self.assertEqual(self.store.keys(), keys)
        self.assertEqual(self.store.leftovers(), [])
        self.assertEqual(self.m.status()["failures"], [])
        if times:
            for name in expected:
                for top in (self.day, stored):
                    self.assertEqual(os.stat(os.path.join(top, name)).st_mtime, OLD, name)

    def three_files(self):
        for name, size in (("tree/a", 100), ("tree/b/c", 3 * MIB + 1), ("tree/empty", 0)):
            self.source(name, size)
        return os.path.join(self.sources, "tree")

    # --- copying ---

    @case.short
    def test_cp(self):
        tree = self.three_files()
        self.both('cp -r "$1" r; cp "$1"/b/c over; cp "$1"/a over', tree)
        self.same()

    @case.short
    def test_cp_a(self):
        tree = self.three_files()
        self.both('cp -a "$1" .', tree)
        wait_until(lambda: not self.m.status().get("pending_mtimes"))
        self.same(times=True)

    def test_cp_sparse(self):
        path = os.path.join(self.sources, "sparse")
        with open(path, "wb") as f:
            for off in (0, 2 * MIB, 25 * MIB):
                f.seek(off)
                f.write(b"x" * 70000)
            f.truncate(27 * MIB)
        self.both('cp --sparse=always "$1" always; cp "$1" auto; cp --sparse=never "$1" never', path)
        self.same()

    @case.short
    def test_install(self):
        self.both('install -D -m 644 "$1" d/e/file; install -D "$1" d/e/file', self.source("a"))
        self.same()

    def rsync(self, *args):
        out = self.run_ok("rsync", "-a", "--itemize-changes", "--stats", *args).decode()
        counts = [line for line in out.splitlines() if line.startswith("Number of regular files transferred")]
        return int(counts[0].split(":")[1]), out

    @case.short
    def test_rsync(self):
        tree = self.three_files()
        self.assertEqual(self.rsync(tree, self.day)[0], 3)
        again, said = self.rsync(tree, self.day)
        self.assertEqual(again, 0, said)
        self.both('[ -e tree ] || cp -a "$1" .', tree)
        self.same(times=True)
        # and for the next daemon
        self.m.restart()
        again, said = self.rsync(tree, self.day)
        self.assertEqual(again, 0, said)

    def test_rsync_of_a_changed_file(self):
        tree = self.three_files()
        self.rsync(tree, self.day)
        with open(tree + "/a", "wb") as f:
            f.write(b"changed")
        self.assertEqual(self.rsync(tree, self.day)[0], 1)
        self.both('[ -e tree ] || cp -a "$1" .', tree)
        self.same()

    def test_rsync_inplace(self):
        tree = self.three_files()
        self.assertEqual(self.rsync("--inplace", tree, self.day)[0], 3)
        self.assertEqual(self.rsync("--inplace", tree, self.day)[0], 0)
        with open(tree + "/b/c", "r+b") as f:
            f.seek(MIB)
            f.write(b"changed")
            f.truncate(2 * MIB)
        self.assertEqual(self.rsync("--inplace", tree, self.day)[0], 1)
        if self.identity:
            with open(tree + "/b/c", "r+b") as f:
                f.write(b"delta")
            self.assertEqual(self.rsync("--inplace", "--no-whole-file", "--ignore-times", tree, self.day)[0], 3)
        self.both('[ -e tree ] || cp -a "$1" .', tree)
        self.same()

    @case.short
    def test_tar(self):
        tree = self.three_files()
        archive = os.path.join(self.tmp, "a.tar")
        with tarfile.open(archive, "w") as tar:
            tar.add(tree, "tree")
        self.both('tar xf "$1"; tar xf "$1"', archive)  # the second one unlinks first
        wait_until(lambda: not self.m.status().get("pending_mtimes"))
        self.same(times=True)

    def test_tar_makes(self):
        self.both('tar cf out.tar -C "$1" tree; tar czf - -C "$1" --format=gnu tree > piped.tgz', os.path.dirname(self.three_files()))
        wait_until(lambda: not self.m.status()["writing"])
        for name in ("out.tar", "piped.tgz"):
            os.unlink(os.path.join(self.plain, name))
            self.run_ok("cp", self.readable("orders/" + name), os.path.join(self.plain, name))
            self.run_ok("tar", "df", os.path.join(self.plain, name), "-C", self.sources)
        self.same()

    def readable(self, name):
        """A local copy of a file of the mount, by a mount that has the identity."""
        reader = self.mount(options=["-o", "ro"])
        path = os.path.join(self.tmp, "copy")
        shutil.copyfile(reader.path(DAY, name), path)
        reader.close()
        return path

    @case.short
    def test_mv(self):
        self.source("in"), self.source("big", 20 * MIB)
        self.both('cp "$1"/* .; mv in inside; mkdir d; mv inside d; mv big d/large; mv d e; cp "$1"/big e/2; mv e/2 e/inside',
                  self.sources)
        self.same()
        before = {name: sha256_of(os.path.join(self.sources, name)) for name in os.listdir(self.sources)}
        self.run_ok("mv", os.path.join(self.sources, "in"), os.path.join(self.sources, "big"), self.day)
        self.assertEqual(os.listdir(self.sources), [])
        if self.identity:
            self.run_ok("mv", os.path.join(self.day, "in"), os.path.join(self.day, "big"), self.sources)
            self.assertEqual({n: sha256_of(os.path.join(self.sources, n)) for n in before}, before)
            self.same()

    # --- changing in place ---

    @case.short
    def test_dd_notrunc(self):
        self.both('cp "$1" f; '
                  'dd if="$2" of=f conv=notrunc bs=1000 count=3; '
                  'dd if="$2" of=f conv=notrunc bs=1000 count=7 seek=100; '
                  'dd if="$2" of=f conv=notrunc,fsync bs=300000 count=1 seek=1; '
                  'dd if="$2" of=f conv=notrunc oflag=append bs=777 count=2',
                  self.source("f"), self.source("new"))
        self.same()

    def test_dd_notrunc_of_40_mib(self):
        args = (self.source("f", 40 * MIB), self.source("new", 3 * MIB))
        self.both('cp "$1" f; dd if="$2" of=f conv=notrunc bs=64K', *args)
        self.both('dd if="$2" of=f conv=notrunc bs=1M seek=20', *args)
        self.both('dd if="$2" of=f conv=notrunc bs=100000 seek=419', *args)
        self.same()

    @case.short
    def test_truncate(self):
        self.both('cp "$1" down; cp "$1" up; cp "$1" zero; cp "$1" same; truncate -s 100001 down; truncate -s 5000001 up; '
                  'truncate -s 0 zero; truncate -s +0 same; truncate -s 3M new; truncate -s -1 down', self.source("f"))
        self.same()

    @case.short
    def test_append(self):
        self.both('echo one >> f; echo two >> f; cp "$1" g; echo three >> g; tee -a f g < "$1" > /dev/null; '
                  'for i in {1..20}; do echo "$i" >> lines; done', self.source("f"))
        self.same()

    @case.short
    def test_shell(self):
        self.both('exec 3>f; echo a >&3; echo b >&3; exec 3>&-; '
                  '{ echo 1; /bin/echo 2; } > g; '
                  'exec 4<>h; echo x >&4; exec 4>&-; '
                  ': > empty; : >> empty2; echo x > empty3; : > empty3')
        self.same()

    def test_pipes(self):
        self.both('split -b 100000 "$1" part.; gzip -nc "$1" > gz; zstd -q "$1" -o f.zst; zstd -qc "$1" > c.zst; '
                  'openssl enc -aes-256-cbc -nosalt -pass pass:x -pbkdf2 -in "$1" -out enc; tee t1 t2 t3 < "$1" > t4; '
                  'cat "$1" "$1" | dd of=piped bs=64K iflag=fullblock; sort -o sorted "$1"; yes | head -n 1000000 > yes',
                  self.source("f", 3 * MIB, "text"))
        self.same()

    @case.short
    def test_python(self):
        script = ("f = open('f', 'r+b'); f.seek(1000); f.write(b'in the middle'); f.seek(0, 2); f.write(b'at the end'); f.close()\n"
                  "f = open('g', 'w+b'); f.write(b'x' * 100000); f.seek(5); assert f.read(5) == b'xxxxx'; f.seek(10)\n"
                  "f.write(b'y'); f.truncate(50000); f.close()\n"
                  "f = open('g', 'ab'); f.write(b'more'); f.close()\n")
        self.both('cp "$1" f; "$2" -c "$3"', self.source("f"), sys.executable, script)
        self.same()

    def test_a_small_change_of_an_older_file(self):
        """Stored by another daemon: to change it, it must be read."""
        self.both('cp "$1" f', self.source("f", 3 * MIB))
        self.m.restart()
        if self.identity:
            self.both('printf changed | dd of=f conv=notrunc bs=1 seek=1000000; echo end >> f')
        else:
            before = self.store.get(DAY + "/orders/f.zst.age")
            done = self.run_shell('echo end >> "$1"', os.path.join(self.day, "f"))
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(self.store.get(DAY + "/orders/f.zst.age"), before)
            self.both('cp "$1" f; rm -f g; cp "$1" g', self.source("g", MIB))  # nothing old must be read for that
            return
        self.same()

    # --- programs with formats of their own ---

    @case.short
    def test_sqlite(self):
        db = os.path.join(self.tmp, "source.db")
        self.run_ok("sqlite3", db, "create table t(a integer primary key, b text);"
                    "with recursive n(i) as (select 1 union all select i+1 from n where i < 20000) "
                    "insert into t select i, hex(randomblob(40)) from n;")
        self.run_ok("sqlite3", db, ".backup '%s'" % os.path.join(self.day, "b.db"), cwd=self.tmp)
        wait_until(lambda: not self.m.status()["writing"])
        copy = self.readable("orders/b.db")
        sums = "select count(*), sum(length(b)), min(b), max(b) from t; pragma integrity_check;"
        self.assertEqual(self.run_ok("sqlite3", copy, sums), self.run_ok("sqlite3", db, sums))
        shutil.copyfile(copy, os.path.join(self.plain, "b.db"))
        self.same()

    @case.short
    def test_zip(self):
        tree = self.three_files()
        archive = os.path.join(self.day, "a.zip")
        self.run_ok("zip", "-qr", archive, "tree", cwd=os.path.dirname(tree))
        if self.identity:  # it reads the old one
            self.run_ok("zip", "-q", archive, self.source("more"), cwd=self.tmp)
        wait_until(lambda: not self.m.status()["writing"])
        copy = self.readable("orders/a.zip")
        listed = self.run_ok("unzip", "-tq", copy) if shutil.which("unzip") else self.run_ok(
            sys.executable, "-m", "zipfile", "-t", copy)
        self.assertNotIn(b"bad", listed.lower())
        shutil.copyfile(copy, os.path.join(self.plain, "a.zip"))
        self.same()

    @case.short
    def test_editors(self):
        """They read what they change."""
        if not self.identity:
            path = os.path.join(self.day, "f")
            self.both('cp "$1" f', self.source("f"))
            self.m.restart()
            self.assertNotEqual(self.run_shell('sed -i s/a/b/ "$1"', path).returncode, 0)
            self.same()
            return
        self.both('cp "$1" f; sed -i s/three/four/ f; perl -pi -e s/orders/clients/ f; perl -pi.orig -e s/NULL/0/ f; '
                  'gzip -nk f; gzip -nf f; gunzip f.gz; sort -ro f f', self.source("f", 300000, "text"))
        self.same()


@both_stores
class Patterns(Tools):
    pass


@both_stores
class PatternsWithoutIdentity(Tools):
    identity = None


@both_stores
class Seek(Case):
    """[write] seek: what can be rewritten of a file that is opened write-only."""

    def setUp(self):
        super().setUp()
        self.path = None

    def begin(self, seek):
        m = self.mount({"write": {"seek": seek}})
        self.path = m.make(DAY, "a")
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        return m, fd

    def test_spool(self):
        """Anywhere, as O_RDWR can."""
        m, fd = self.begin("spool")
        plain = bytearray()
        for piece in pieces(30 * MIB):
            os.write(fd, piece)
            plain += piece
        for off in (131, 20 * MIB - 5, 30 * MIB - 1):
            os.pwrite(fd, b"rewritten", off)
            plain[off : off + 9] = b"rewritten"
        os.ftruncate(fd, 25 * MIB)
        os.close(fd)
        other = self.mount(options=["-o", "ro"])
        with open(other.path(DAY, "a"), "rb") as f:
            self.assertTrue(f.read() == bytes(plain[: 25 * MIB]))
        self.assertEqual(m.status()["failures"], [])

    @case.short
    def test_no(self):
        m, fd = self.begin("no")
        os.write(fd, b"in order ")
        with self.errno_is(errno.ESPIPE):
            os.lseek(fd, 0, os.SEEK_SET)
        with self.errno_is(errno.ESPIPE):
            os.pwrite(fd, b"late", 0)
        os.write(fd, b"only")
        os.close(fd)
        with open(self.path, "rb") as f:
            self.assertEqual(f.read(), b"in order only")
            f.seek(3)
            self.assertEqual(f.read(), b"order only")
        self.run_ok("dd", "if=/dev/zero", "of=" + self.path, "bs=1M", "count=3")
        with open(self.path, "r+b") as f:  # not streamed: seekable
            f.seek(MIB)
            f.write(b"changed")
        m.restart()
        with open(self.path, "rb") as f:
            self.assertEqual(f.read(), bytes(MIB) + b"changed" + bytes(2 * MIB - 7))
