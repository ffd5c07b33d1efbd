#!/usr/bin/python3
"""Makes the test vectors of backend/FORMAT.md: good objects, and for every rule one that violates it alone.

    generate.py DIR           writes them: DIR/store/ (objects under their keys), DIR/vectors.json, vectors.tsv, keys
    generate.py --check DIR   compares what stands there with what would be written; exit status 1 when it differs
    --large                   the large ones instead (not committed: made by the test that wants them)

vectors.tsv has for programs what vectors.json says with all secrets: path, outcome, rule, size, digest. The outcome is
`good`, or who notices first: `open`, `read` (of the frames), `digest` (of everything).
Debian: python3-cryptography python3-xxhash.
"""

import argparse
import json
import os
import sys

import agefile
import bad_vectors
from builder import FRAME, Object, identity

ZEROS = bytes(FRAME)
STRIPES = b"".join(bytes([65 + i]) * 131072 for i in range(8))


def grease(stanzas):
    """What a later bakfs, or another recipient type, may add: all of it is ignored."""
    signature = agefile.b64_encode(bytes(range(48)))  # a full line, so an empty one follows
    return stanzas[:1] + [b"-> bakfs/sig1 one two\n" + signature + b"\n\n"] + stanzas[1:] + [b"-> x-grease $,!\n\n"]


def good_vectors():
    yield Object("empty", [])
    yield Object("empty-padded", [8])
    yield Object("hello", [b"hello"])
    yield Object("one-frame", [ZEROS])
    yield Object("one-frame-and-a-byte", [STRIPES, b"x"])
    yield Object("padding-everywhere", [8, ZEROS, 9, 4096, STRIPES, 8, ZEROS[:12345], 100], flags=b"80000000", complete=2)
    yield Object("two-recipients", [b"hello, two"], recipients=["escrow", "host"])
    yield Object("other-recipient", [b"hello, escrow"], recipients=["escrow"])
    yield Object("moved", [b"hello, moved"], first_path="db0/2026-11-21/was.sql")
    yield Object("flags", [b"hello, flags"], flags=b"7fff0000")
    yield Object("completeness-3", [b"hello, 3"], flags=b"c0000000", complete=3)
    yield Object("further-arguments", [b"hello, args"], record=lambda a: a + [b"later", b"~!"])
    yield Object("record-body", [b"hello, body"], stanzas=lambda s: [s[0][:-1] + b"AAAA\n"] + s[1:])
    yield Object("further-stanzas", [b"hello, stanzas"], stanzas=grease)
    yield Object("newer-not-first", [b"hello, v2"], stanzas=lambda s: s + [b"-> bakfs/v2 what ever\n\n"])
    yield Object("further-records", [b"hello, records"], records=lambda r: r + [(0x00000008, b""), (0x7FFFFFFF, b"later")])
    yield Object("told-bytes", [b"hello, bytes"], records=lambda r: r[:4] + [(5, b"\xff\n"), (7, b"\xff\x1b")])
    yield Object("few-records", [b"hello, few"], records=lambda r: r[:4])
    yield Object("utf8-path", [b"hello"], path="db1/2026-11-22/größe – 数.sql")


def large_vectors():
    """Chunk edges, and tables with an index. The fixed parts of a payload are measured by an object without padding."""
    bare = len(Object("chunk", [b"hello"]).packed())
    for payload in (65535, 65536, 65537, 131072, 131073):
        n = payload - bare - 12 - 3  # the padding's entry; names of other lengths below
        name = "chunk-%d" % payload
        n -= len(name) - len("chunk") - 3
        yield Object(name, [n, b"hello"])
    yield Object("entries-4096", [8] * 4094 + [b"hello"])
    yield Object("entries-4097", [8] * 4095 + [b"hello"])
    yield Object("entries-8193", [ZEROS] * 1025 + [8] * 7166 + [b"hello"])
    for name, bend in bad_vectors.index_rules():
        yield Object(name, [8] * 4095 + [b"hello"], records=bend), "open", "trailer"


def vectors(large):
    for v in large_vectors() if large else good_vectors():
        yield v if isinstance(v, tuple) else (v, "good", "")
    if not large:
        yield from bad_vectors.bad_vectors()


def files(large):
    """name -> bytes of all that is to stand in DIR"""
    out, index, lines = {}, [], []
    for obj, outcome, rule in vectors(large):
        key = "store/%s.zst.age" % obj.path
        if key in out:
            raise SystemExit("two vectors under " + key)
        out[key] = obj.build()
        fact = obj.facts()
        index.append({"path": obj.path, "outcome": outcome, "rule": rule} if rule else dict(fact, outcome=outcome))
        lines.append("%s\t%s\t%s\t%d\t%s\n" % (obj.path, outcome, rule or "-", fact["size"], fact["digest"]))
    keys = {who: agefile.identity_encode(identity(who)) for who in ("host", "escrow", "stranger")}
    for who, text in keys.items():
        out[who + ".key"] = (text + "\n").encode()
    about = {
        "about": "Objects of backend/FORMAT.md with all their secrets, and objects that violate one rule each; "
        "made by tests/vectors/generate.py. `host` or `escrow` opens them.",
        "identities": keys,
        "objects": index,
    }
    out["vectors.json"] = (json.dumps(about, indent=1, ensure_ascii=False) + "\n").encode()
    out["vectors.tsv"] = "".join(lines).encode()
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--check", action="store_true")
    p.add_argument("--large", action="store_true")
    p.add_argument("dir")
    a = p.parse_args()
    wanted, wrong = files(a.large), 0
    for name, data in wanted.items():
        path = os.path.join(a.dir, name)
        if not a.check:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)
        elif not os.path.exists(path) or open(path, "rb").read() != data:
            print("not what generate.py makes: " + path)
            wrong += 1
    if a.check:
        for base, _, names in os.walk(os.path.join(a.dir, "store")):
            for name in names:
                path = os.path.relpath(os.path.join(base, name), a.dir)
                if path not in wanted:
                    print("not made by generate.py: " + path)
                    wrong += 1
    print("%d objects, %d bytes" % (sum(n.startswith("store/") for n in wanted), sum(map(len, wanted.values()))))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
