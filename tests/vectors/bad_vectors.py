"""Objects that violate one rule of backend/FORMAT.md each: (Object, who notices, rule)."""

import struct

import agefile
from builder import EMPTY_SUM, FRAME, Object, padding, skippable, zstd_frame

HELLO = [b"hello"]
TWO = [bytes(FRAME), b"tail"]


def put(index, value):
    """A hook: element `index` of a list becomes `value`."""
    return lambda items: items[:index] + [value] + items[index + 1 :]


def field(at, fmt, value):
    """A hook: a number inside bytes; `at` may count from the end."""
    def bend(data):
        i = at if at >= 0 else len(data) + at
        return data[:i] + struct.pack(fmt, value) + data[i + struct.calcsize(fmt) :]

    return bend


def flip(at):
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if at >= 0 else flip_end(data, at)


def flip_end(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + (data[at + 1 :] if at != -1 else b"")


def record_value(kind, value):
    return lambda records: [(k, value if k == kind else v) for k, v in records]


def without(kind):
    return lambda records: [r for r in records if r[0] != kind]


def entry(index, packed=0, plain=0, checksum=0):
    def bend(entries):
        e = list(entries)
        c, d, s = e[index]
        e[index] = (c + packed, d + plain, s ^ checksum)
        return e

    return bend


# name -> hook of the record's arguments; all are malformed records
RECORD = {
    "size-19-digits": put(1, b"0000000000000000005"),
    "size-sign": put(1, b"+0000000000000000005"),
    "size-2-to-63": put(1, b"09223372036854775808"),
    "mtime-no-such-day": put(2, b"20260229T031500.123456789Z"),
    "mtime-month-13": put(2, b"20261322T031500.123456789Z"),
    "mtime-hour-24": put(2, b"20261122T240000.000000000Z"),
    "mtime-second-60": put(2, b"20261231T235960.000000000Z"),
    "mtime-year-0": put(2, b"00001122T031500.123456789Z"),
    "mtime-no-fraction": put(2, b"20261122T031500Z"),
    "mtime-lower-case": put(2, b"20261122t031500.123456789z"),
    "committed-no-such-day": put(3, b"20260631T031642.000000001Z"),
    "flags-upper-case": put(4, b"4FFF0000"),
    "flags-7-digits": put(4, b"4000000"),
    "pathtag-padded": lambda a: a[:5] + [a[5] + b"="],
    "pathtag-short": lambda a: a[:5] + [a[5][:-1]],
    "pathtag-not-canonical": lambda a: a[:5] + [a[5][:-1] + bytes([a[5][-1] + 1])],
    "pathtag-url-base64": lambda a: a[:5] + [b"-_" + a[5][2:]],
    "argument-missing": lambda a: a[:5],
}


def header_rules():
    for name, hook in RECORD.items():
        yield Object(name, HELLO, record=hook), "open", "record"
    yield Object("record-second", HELLO, stanzas=lambda s: s[1:] + s[:1]), "open", "record"
    yield Object("record-twice", HELLO, stanzas=lambda s: s + s[:1]), "open", "record"
    yield Object("record-after-grease", HELLO, stanzas=lambda s: [b"-> bakfs/sig1\n\n"] + s), "open", "record"
    yield Object("no-record", HELLO, stanzas=lambda s: s[1:]), "open", "foreign"
    yield Object("other-record", HELLO, record=put(0, b"bakfs/v01")), "open", "foreign"
    yield Object("newer", HELLO, record=lambda a: [b"bakfs/v2", b"what", b"ever"]), "open", "newer"
    yield Object("newer-10", HELLO, record=put(0, b"bakfs/v10")), "open", "newer"
    yield Object("critical-flag", HELLO, flags=b"40000001"), "open", "newer"
    yield Object("critical-flag-high", HELLO, flags=b"40008000"), "open", "newer"
    yield Object("not-age", HELLO, object=lambda o: b"x" + o[1:]), "open", "header"
    yield Object("header-unending", HELLO, header=lambda h: h[:-1] + b"A" * 70), "open", "header"
    yield Object("header-crlf", HELLO, header=lambda h: h.replace(b"\n", b"\r\n")), "open", "header"
    yield Object("body-line-65", HELLO, stanzas=lambda s: s + [b"-> x\n" + b"A" * 68 + b"\n\n"]), "open", "header"
    yield Object("body-not-base64", HELLO, stanzas=lambda s: s + [b"-> x\nAA==\n"]), "open", "header"
    yield Object("argument-empty", HELLO, stanzas=lambda s: s + [b"-> x  y\n\n"]), "open", "header"
    yield Object("x25519-three-arguments", HELLO, stanzas=lambda s: s + [s[1].replace(b"\n", b" x\n", 1)]), "open", "header"
    yield Object("x25519-short-body", HELLO, stanzas=lambda s: s + [s[1][:-3] + b"\n"]), "open", "header"
    low = b"-> X25519 " + agefile.b64_encode(bytes(32)) + b"\n" + agefile.b64_encode(bytes(32)) + b"\n"
    yield Object("x25519-low-order", HELLO, stanzas=lambda s: [s[0], low] + s[1:]), "open", "header"
    yield Object("mac-flipped", HELLO, header=lambda h: h[:-10] + bytes([h[-10] ^ 1]) + h[-9:]), "open", "mac"
    yield Object("mac-of-other-record", HELLO, header=lambda h: h.replace(b"T031500.", b"T031501.")), "open", "mac"
    yield Object("argument-added-later", HELLO, header=lambda h: h.replace(b"\n\n", b" x\n\n", 1)), "open", "mac"
    yield Object("stranger", HELLO, recipients=["stranger"]), "open", "no-identity"
    yield Object("other-path", HELLO, tag_path="db1/2026-11-21/other-path.sql"), "open", "path"
    yield Object("path-with-slash", HELLO, tag_path="/db1/2026-11-22/path-with-slash.sql"), "open", "path"
    yield Object("path-with-suffix", HELLO, tag_path="db1/2026-11-22/path-with-suffix.sql.zst.age"), "open", "path"


def chunk_rules():
    yield Object("cut-byte", HELLO, object=lambda o: o[:-1]), "open", "chunk"
    yield Object("cut-tag", HELLO, object=lambda o: o[:-16]), "open", "chunk"
    yield Object("cut-payload", HELLO, sealed=lambda c: []), "open", "chunk"
    yield Object("cut-nonce", HELLO, object=lambda o: o[: o.index(b"\n--- ") + 49 + 15]), "open", "chunk"
    yield Object("byte-behind", HELLO, object=lambda o: o + b"\0"), "open", "chunk"
    yield Object("flipped-payload", HELLO, object=flip(-100)), "open", "chunk"
    yield Object("flipped-nonce", HELLO, object=lambda o: flip(o.index(b"\n--- ") + 49)(o)), "open", "chunk"
    yield Object("not-final", HELLO, final=lambda i, n: False), "open", "chunk"
    yield Object("empty-payload", HELLO, payload=lambda p: b""), "open", "table"


def table_rules():
    yield Object("table-magic", HELLO, table=field(0, "<I", 0x184D2A5D)), "open", "table"
    yield Object("table-length", HELLO, table=lambda t: field(4, "<I", len(t) - 9)(t)), "open", "table"
    yield Object("table-end-magic", HELLO, table=field(-4, "<I", 0x8F92EAB2)), "open", "table"
    yield Object("table-descriptor-none", HELLO, table=field(-5, "B", 0)), "open", "table"
    yield Object("table-descriptor-reserved", HELLO, table=field(-5, "B", 0x84)), "open", "table"
    yield Object("table-descriptor-unused", HELLO, table=field(-5, "B", 0x81)), "open", "table"
    yield Object("table-no-entries", [], entries=lambda e: []), "open", "table"
    yield Object("table-count-high", HELLO, table=field(-9, "<I", 3)), "open", "table"
    yield Object("table-count-low", HELLO, table=field(-9, "<I", 1)), "open", "table"
    yield Object("table-count-huge", HELLO, table=field(-9, "<I", 0xFFFFFFFF)), "open", "table"
    yield Object("table-not-last", HELLO, payload=lambda p: p + b"\0"), "open", "table"
    yield Object("table-gap", TWO, entries=entry(0, packed=1)), "open", "table"
    yield Object("table-entry-missing", TWO, entries=lambda e: e[1:]), "open", "table"
    yield Object("table-padding-missing", [8] + HELLO, entries=lambda e: e[1:]), "open", "table"
    yield Object("table-trailer-missing", HELLO, entries=lambda e: e[:-1]), "open", "table"
    yield Object("frame-short-first", [b"x" * 1000, b"hello"]), "open", "table"
    yield Object("frame-too-long", [bytes(FRAME + 1)]), "open", "table"
    yield Object("trailer-with-plain-bytes", HELLO, entries=entry(-1, plain=1)), "open", "table"


def trailer_rules():
    def records(name, hook):
        return Object("trailer-" + name, HELLO, records=hook), "open", "trailer"

    yield Object("trailer-magic", HELLO, trailer=field(0, "<I", 0x184D2A5A)), "open", "trailer"
    yield Object("trailer-length", HELLO, trailer=lambda t: field(4, "<I", len(t) - 9)(t)), "open", "trailer"
    yield Object("trailer-version", HELLO, trailer=lambda t: t[:15] + b"2" + t[16:]), "open", "trailer"
    yield Object("trailer-tiny", HELLO, trailer=lambda t: skippable(0x184D2A5B, b"bakfs/")), "open", "trailer"
    behind = lambda t: skippable(0x184D2A5B, t[8:] + b"\0" * 7)
    yield Object("trailer-bytes-behind", HELLO, trailer=behind), "open", "trailer"
    yield Object("trailer-record-beyond", HELLO, trailer=lambda t: skippable(0x184D2A5B, t[8:-1])), "open", "trailer"
    yield Object("trailer-padding-behind", HELLO, trailer=lambda t: t + padding(8)), "open", "trailer"
    # the trailer in front, and a padding frame in its place: all sizes are right
    yield Object("trailer-not-last", HELLO, frames=trailer_first, trailer=lambda t: padding(len(t))), "open", "trailer"
    yield records("no-length", without(0x80000001))
    yield records("no-digest", without(0x80000002))
    yield records("no-salt", without(3))
    yield records("no-completeness", without(4))
    yield records("length-7", record_value(0x80000001, b"\5" + bytes(6)))
    yield records("digest-31", record_value(0x80000002, bytes(31)))
    yield records("salt-33", record_value(3, bytes(33)))
    yield records("completeness-2-bytes", record_value(4, b"\1\0"))
    yield records("completeness-4", record_value(4, b"\4"))
    yield records("path-empty", record_value(5, b""))
    yield records("path-1025", record_value(5, b"x" * 1025))
    yield records("version-empty", record_value(7, b""))
    yield records("version-65", record_value(7, b"x" * 65))
    yield records("order", lambda r: r[:2] + [r[3], r[2]] + r[4:])
    yield records("twice", lambda r: r[:4] + [r[3]] + r[4:])
    yield records("twice-by-critical-bit", lambda r: [(1, b"")] + r)
    yield records("length-not-critical", lambda r: [(1, r[0][1])] + r[1:])
    yield records("index-in-small", lambda r: r[:5] + [(6, bytes(16))] + r[5:])
    yield Object("trailer-critical", HELLO, records=lambda r: r + [(0x80000008, b"")]), "open", "newer"
    yield Object("trailer-critical-salt", HELLO, records=lambda r: r[:2] + [(0x80000003, r[2][1])] + r[3:]), "open", "newer"


def trailer_first(frames):
    return [(skippable(0x184D2A5B, b"bakfs/v1"), 0, EMPTY_SUM)] + frames


def size_rules():
    six = struct.pack("<Q", 6)
    yield Object("size-record-differs", HELLO, record=put(1, b"%020d" % 6)), "open", "size"
    yield Object("size-trailer-differs", HELLO, records=record_value(0x80000001, six)), "open", "size"
    yield Object("size-table-differs", HELLO, entries=entry(0, plain=1)), "open", "size"
    bend = {"record": put(1, b"%020d" % 6), "records": record_value(0x80000001, six)}
    yield Object("size-only-table-right", HELLO, **bend), "open", "size"
    yield Object("completeness-differs", HELLO, complete=2), "open", "size"
    yield Object("completeness-unknown-differs", HELLO, flags=b"00000000"), "open", "size"
    yield Object("completeness-3-differs", HELLO, flags=b"c0000000", complete=0), "open", "size"


def frame_rules():
    sizes = dict(bend_length(6), entries=entry(0, plain=1))
    yield Object("frame-shorter-than-said", HELLO, **sizes), "read", "frame"
    sizes = dict(bend_length(4), entries=entry(0, plain=-1))
    yield Object("frame-longer-than-said", HELLO, **sizes), "read", "frame"
    yield Object("frame-checksum", HELLO, entries=entry(0, checksum=1)), "read", "frame"
    yield Object("frame-other-bytes", HELLO, frames=lambda f: [(zstd_frame(b"jello"), 5, f[0][2])]), "read", "frame"
    yield Object("frame-magic", HELLO, frames=lambda f: [(b"\0" + f[0][0][1:],) + f[0][1:]]), "read", "frame"
    yield Object("frame-is-padding", HELLO, frames=lambda f: [(padding(16),) + f[0][1:]]), "read", "frame"
    yield Object("frame-bytes-behind", HELLO, frames=lambda f: [(f[0][0] + b"\0",) + f[0][1:]]), "read", "frame"
    two = zstd_frame(b"he") + zstd_frame(b"llo")
    yield Object("frame-is-two", HELLO, frames=lambda f: [(two,) + f[0][1:]]), "read", "frame"
    yield Object("frame-and-padding", HELLO, frames=lambda f: [(f[0][0] + padding(8),) + f[0][1:]]), "read", "frame"
    yield Object("frames-exchanged", [bytes(FRAME), b"1" * FRAME], frames=exchange), "read", "frame"
    yield Object("digest-differs", HELLO, records=record_value(0x80000002, bytes(32))), "digest", "digest"


def exchange(frames):
    """The bytes change places, the entries do not (both frames are of one length)."""
    (a, n, x), (b, m, y) = frames
    return [(b, n, x), (a, m, y)]


def bend_length(n):
    return {"record": put(1, b"%020d" % n), "records": record_value(0x80000001, struct.pack("<Q", n))}


def index_rules():
    """For an object of more than 4,096 entries: name, hook of the records."""
    yield "index-missing", without(6)
    yield "index-short", lambda r: [(k, v[:16] if k == 6 else v) for k, v in r]
    yield "index-15-bytes", lambda r: [(k, v[:-1] if k == 6 else v) for k, v in r]
    yield "index-wrong-offset", lambda r: [(k, flip_end(v, -16) if k == 6 else v) for k, v in r]
    yield "index-wrong-plain", lambda r: [(k, flip_end(v, -8) if k == 6 else v) for k, v in r]


def bad_vectors():
    for rules in (header_rules, chunk_rules, table_rules, trailer_rules, size_rules, frame_rules):
        yield from rules()
