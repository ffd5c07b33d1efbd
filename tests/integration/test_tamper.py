"""Objects that somebody or something changed in the store: EIO and a log line, never wrong bytes, never a short file."""

import errno
import os

import agefile
import case
import reader
from case import MIB, Case, both_stores, pieces, put_file, wait_until
from mount import SECRET

DAY = "db1/2024-11-22"


def layout(data, path):
    """Where things stand in an object: header length, marks, sealed ranges of padding alone (flips there go unseen), and
    the recipients (a broken one is somebody else's)."""
    stanzas, header_len, _, _ = reader.parse_header(data)
    file_key = reader.unwrap(stanzas, [SECRET])
    payload = reader.open_payload(data[header_len:], file_key)
    entries, start = reader.parse_table(payload)
    first, step = header_len + 16, agefile.CHUNK + agefile.TAG
    marks, silent, at = {"trailer": start - entries[-1][0], "table": start}, set(), 0
    live = set()
    for packed, plain, _ in entries:
        if plain or at + packed == start:
            live.update(range(at // agefile.CHUNK, (at + packed - 1) // agefile.CHUNK + 1))
        at += packed
    live.update(range(start // agefile.CHUNK, (len(payload) - 1) // agefile.CHUNK + 1))
    silent = set(range(-(-len(payload) // agefile.CHUNK))) - live
    return header_len, {k: first + v // agefile.CHUNK * step + v % agefile.CHUNK for k, v in marks.items()}, [
        range(first + i * step, first + (i + 1) * step) for i in sorted(silent)
    ], range(data.index(b"\n-> X25519"), data.index(b"\n--- "))


def positions(data, header_len, marks, count):
    """Every part of the object, densely where it is small."""
    size = len(data)
    found = set(range(0, header_len, 7 if count > 40 else 37)) | {header_len - 1, header_len, header_len + 15}
    found |= {header_len + 16, marks["trailer"], marks["trailer"] + 9, marks["trailer"] + 40, marks["table"]}
    found |= {marks["table"] + 9, size - 1, size - 16, size - 17, size - 30}
    found |= {header_len + 16 + i * (size - header_len - 17) // count for i in range(count)}
    return sorted(found)


@both_stores
class Tampered(Case):
    def read_whole(self, path):
        """-> bytes, or the errno"""
        try:
            with open(path, "rb", buffering=0) as f:
                out = b""
                while True:
                    piece = f.read(MIB)
                    if not piece:
                        return out
                    out += piece
        except OSError as e:
            return e.errno

    def hold(self, size, kind, count):
        """Writes a file, makes a broken copy of its object for each sampled position and length, reads each."""
        m = self.mount()
        plain = b"".join(pieces(size, kind))
        names = ["f%04d" % i for i in range(3 * count + 200)]
        put_file(m.make(DAY, "whole"), [plain])
        data = self.store.get(DAY + "/whole.zst.age")
        header_len, marks, silent, others = layout(data, DAY + "/whole")
        flips = positions(data, header_len, marks, count)
        cuts = sorted({0, 1, 21, 22, header_len - 1, header_len, header_len + 16, len(data) - 1, len(data) - 17}
                      | {i * len(data) // count for i in range(1, count)})
        cases = [("flip", p) for p in flips] + [("cut", p) for p in cuts] + [("more", 0)]
        made = {}
        for name, (what, at) in zip(names, cases):
            # its own path, so that nothing is known of it yet
            put_file(m.path(DAY, name), [plain])
            good = self.store.get("%s/%s.zst.age" % (DAY, name))
            self.assertEqual(len(good), len(data))
            bad = {"flip": lambda: good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1 :],
                   "cut": lambda: good[:at], "more": lambda: good + b"\0"}[what]()
            self.store.put("%s/%s.zst.age" % (DAY, name), bad)
            made[name] = what, at
        m.restart()
        for name, (what, at) in made.items():
            got = self.read_whole(m.path(DAY, name))
            if got == plain and what == "flip" and any(at in r for r in silent):
                continue  # nobody reads padding
            self.assertNotIsInstance(got, bytes, "%s at %d of %d was read" % (what, at, len(data)))
            right = (errno.EIO, errno.EACCES) if what == "flip" and at in others else (errno.EIO,)
            self.assertIn(got, right, "%s at %d of %d: %s" % (what, at, len(data), errno.errorcode[got]))
        self.assertEqual(self.read_whole(m.path(DAY, "whole")), plain)
        self.assertGreater(len(made), 20)
        return m, names[0], silent

    @case.short
    def test_small(self):
        m, first, _ = self.hold(3000, "noise", 20 if case.SHORT else 60)
        wait_until(lambda: "%s/%s" % (DAY, first) in m.log())

    def test_several_frames(self):
        self.hold(3 * MIB + 5, "noise", 25)

    def test_a_head_with_a_gap(self):
        _, _, silent = self.hold(33 * MIB, "mixed", 12)
        self.assertTrue(silent)  # else there was no gap

    @case.short
    def test_exchanged_and_copied(self):
        m = self.mount()
        put_file(m.make(DAY, "a.sql"), [b"a" * 1000])
        put_file(m.path(DAY, "b.sql"), [b"b" * 1000])
        a, b = self.store.get(DAY + "/a.sql.zst.age"), self.store.get(DAY + "/b.sql.zst.age")
        self.store.put(DAY + "/a.sql.zst.age", b)
        self.store.put(DAY + "/b.sql.zst.age", a)
        self.store.put(DAY + "/copy.sql.zst.age", a)
        self.store.put("db2/2024-11-22/a.sql.zst.age", a)
        m.restart()
        for name in ("db1/2024-11-22/a.sql", "db1/2024-11-22/b.sql", "db1/2024-11-22/copy.sql", "db2/2024-11-22/a.sql"):
            self.assertEqual(self.read_whole(m.path(name)), errno.EIO, name)
            wait_until(lambda: name in m.log())
        self.assertIn(DAY + "/a.sql", m.log())  # what it was

    @case.short
    def test_confirm_sees_damage(self):
        m = self.mount()
        path = m.make(DAY, "a.sql")
        put_file(path, [b"".join(pieces(3 * MIB, "noise"))])
        put_file(m.path(DAY, "b.sql"), [b"b"])
        good, other = self.store.get(DAY + "/a.sql.zst.age"), self.store.get(DAY + "/b.sql.zst.age")
        self.assertEqual(m.verb("confirm", path)[0], 0)
        flipped = bytearray(good)
        flipped[40] ^= 1  # a digit of SIZE
        for bad in (good[:430], good[: len(good) // 2], good[:-1], bytes(flipped), other):
            self.store.put(DAY + "/a.sql.zst.age", bad)
            code, said = m.verb("confirm", path)
            self.assertEqual(code, 1, said)
        self.store.put(DAY + "/a.sql.zst.age", good)
        self.assertEqual(m.verb("confirm", path), (0, m.verb("confirm", path)[1]))

    def test_confirm_sees_that_it_was_removed_in_the_store(self):
        """What the mount knows a moment long is no answer, and who reads it learns that nobody removed it here."""
        m = self.mount({"mount": {"refresh": "1h"}}, identity=None)
        for name in ("a.sql", "b.sql"):
            put_file(m.make(DAY, name), [b"x" * 1000])
        self.store.delete(DAY + "/a.sql.zst.age")
        self.assertEqual(os.stat(m.path(DAY, "a.sql")).st_size, 1000)
        code, said = m.verb("confirm", m.path(DAY, "a.sql"))
        self.assertEqual(code, 1)
        self.assertIn("the store has nothing under that name", said)
        self.assertRegex(m.log(), r"error: gone: .*path=%s/a\.sql" % DAY)
        os.unlink(m.path(DAY, "b.sql"))
        code, said = m.verb("confirm", m.path(DAY, "b.sql"))
        self.assertEqual(code, 1)
        self.assertIn("no such file", said)
        self.assertNotIn("b.sql", "".join(line for line in m.log().splitlines() if "gone:" in line))

    def test_tools_do_not_take_it_for_good(self):
        """cp and cat of a broken file fail, and leave no short file with exit status 0."""
        m = self.mount()
        put_file(m.make(DAY, "a.sql"), pieces(5 * MIB))
        data = self.store.get(DAY + "/a.sql.zst.age")
        for name, bad in (("flipped", data[: 4 * MIB] + b"\0\1\2\3" + data[4 * MIB + 4 :]), ("cut", data[: 4 * MIB])):
            self.store.put(DAY + "/a.sql.zst.age", bad)
            m.restart()
            for tool in ("cp", "dd"):
                out = os.path.join(self.tmp, name)
                command = {"cp": 'cp "$1" "$2"', "dd": 'dd status=none bs=1M if="$1" of="$2"'}[tool]
                self.assertNotEqual(self.run_shell(command, m.path(DAY, "a.sql"), out).returncode, 0, (name, tool))
