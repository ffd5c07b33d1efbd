#!/usr/bin/python3
"""What the C code wrote, read by reader.py, by the seekable format's own rules, and by age and zstd.

    test_written.py WRITE_OBJECTS
"""

import hashlib
import os
import subprocess
import sys
import tempfile

import agefile
import reader
import seekable
from builder import identity
from test_reader import by_reader, by_tools
from zstandard import ZstdError


class Wrong(Exception):
    pass


def need(ok, why):
    if not ok:
        raise Wrong(why)


def check(top, path, size, digest):
    """-> the facts reader.py finds"""
    name = os.path.join(top, path + ".zst.age")
    with open(name, "rb") as f:
        data = f.read()
    host = identity("host")
    rule, facts, plain = by_reader(data, [host], path)
    need(not rule, "refused by %s: %s" % (rule, facts))
    need((facts["size"], hashlib.sha256(plain).hexdigest()) == (size, digest), "reader.py reads something else")
    expected = "20261122T031500.123456789Z", "20261122T031642.000000001Z", "yes", path, 2
    got = tuple(facts[k] for k in ("mtime", "committed", "complete", "first_path", "recipients"))
    need(got == expected, "facts differ: %s" % (got,))
    if size < 1 << 20:
        need(not by_reader(data, [identity("escrow")], path)[0], "the second recipient cannot read it")
    out, packed = by_tools(os.path.join(top, "host.key"), name)
    decoded = []
    seekable.check(packed, decoded.append)
    need(out == plain and b"".join(decoded) == plain, "zstd reads something else")
    # with no key at all, from the first bytes
    first = reader.parse_record(reader.parse_header(data[:4096])[0])[0]
    need(first["size"] == size, "the size is not in the first bytes")
    return facts


def main():
    nonces, failed, count, gaps = set(), 0, 0, 0
    with tempfile.TemporaryDirectory() as top:
        with open(os.path.join(top, "host.key"), "w", encoding="ascii") as f:
            f.write(agefile.identity_encode(identity("host")) + "\n")
        points = [agefile.bech32_encode("age", agefile.public(identity(who))) for who in ("host", "escrow")]
        said = subprocess.run([sys.argv[1], top] + points, stdout=subprocess.PIPE, check=True, text=True).stdout
        for line in said.splitlines():
            path, size, digest = line.split()
            count += 1
            try:
                facts = check(top, path, int(size), digest)
            except (OSError, Wrong, seekable.Bad, subprocess.CalledProcessError, ZstdError) as e:
                failed += 1
                print("%s: %s" % (path, e))
                continue
            nonces.update((facts["nonce"], facts["salt"]))
            gaps += bool(facts["padding"])
    if len(nonces) != 2 * (count - failed):
        print("a nonce or salt was used twice")
        failed += 1
    if not gaps:
        print("no object has padding: the held-back head was never opened")
        failed += 1
    print("%d objects, %d failed" % (count, failed))
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main())
