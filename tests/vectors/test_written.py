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


def check(top, path, size, digest):
    name = os.path.join(top, path + ".zst.age")
    with open(name, "rb") as f:
        data = f.read()
    host = identity("host")
    rule, facts, plain = by_reader(data, [host], path)
    if rule:
        return "refused by %s: %s" % (rule, facts)
    if (facts["size"], hashlib.sha256(plain).hexdigest()) != (size, digest):
        return "reader.py reads something else"
    expected = "20261122T031500.123456789Z", "20261122T031642.000000001Z", "yes", path, 2
    got = tuple(facts[k] for k in ("mtime", "committed", "complete", "first_path", "recipients"))
    if got != expected:
        return "facts differ: %s" % (got,)
    if by_reader(data, [identity("escrow")], path)[0]:
        return "the second recipient cannot read it"
    out, packed = by_tools(os.path.join(top, "host.key"), name)
    decoded = []
    seekable.check(packed, decoded.append)
    if out != plain or b"".join(decoded) != plain:
        return "zstd reads something else"
    # with no key at all, from the first bytes
    if reader.parse_record(reader.parse_header(data[:4096])[0])[0]["size"] != size:
        return "the size is not in the first bytes"
    return None


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
                why = check(top, path, int(size), digest)
            except (OSError, seekable.Bad, subprocess.CalledProcessError, ZstdError) as e:
                why = str(e)
            if why:
                failed += 1
                print("%s: %s" % (path, why))
                continue
            with open(os.path.join(top, path + ".zst.age"), "rb") as f:
                facts = by_reader(f.read(), [identity("host")], path)[1]
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
