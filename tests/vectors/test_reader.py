#!/usr/bin/python3
"""reader.py, seekable.py and, where asked, `age -d | zstd -d` over vectors made by generate.py.

    test_reader.py [--tools] DIR      the committed ones, which must be what generate.py makes
    test_reader.py [--tools] --large  the large ones, made in a temporary directory
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile

import agefile
import reader
import seekable
import zstandard


def by_reader(data, scalars, path):
    plain = io.BytesIO()
    try:
        facts = reader.read_object(data, scalars, path.encode(), plain.write)
    except reader.Refused as e:
        return e.rule, str(e), None
    return "", facts, plain.getbuffer()


def by_tools(key, obj):
    """What a person does who has no bakfs."""
    with tempfile.NamedTemporaryFile() as f:
        command = 'set -o pipefail; age -d -i "$1" < "$2" | tee "$3" | zstd -dq'
        out = subprocess.run(["bash", "-c", command, "-", key, obj, f.name], stdout=subprocess.PIPE, check=True).stdout
        return out, f.read()


def check_good(top, fact, scalars, tools):
    name = os.path.join(top, "store", fact["path"] + ".zst.age")
    with open(name, "rb") as f:
        data = f.read()
    rule, facts, plain = by_reader(data, scalars, fact["path"])
    if rule:
        return "refused by %s: %s" % (rule, facts)
    if (facts["digest"], facts["size"], len(plain)) != (fact["digest"], fact["size"], fact["size"]):
        return "read as something else"
    if tools and len(plain) < 64 << 20:  # everything is in memory here
        out, packed = by_tools(os.path.join(top, fact["recipients"][0] + ".key"), name)
        if out != plain:
            return "age and zstd read something else"
        decoded = []
        seekable.check(packed, decoded.append)
        if b"".join(decoded) != plain:
            return "the seekable format reads something else"
    return None


def check_all(top, tools):
    with open(os.path.join(top, "vectors.json"), encoding="utf8") as f:
        index = json.load(f)
    scalars = [agefile.identities_read(os.path.join(top, who + ".key"))[0] for who in ("host", "escrow")]
    failed = 0
    for fact in index["objects"]:
        if fact["outcome"] == "good":
            try:
                why = check_good(top, fact, scalars, tools)
            except (seekable.Bad, zstandard.ZstdError, subprocess.CalledProcessError) as e:
                why = str(e)
        else:
            with open(os.path.join(top, "store", fact["path"] + ".zst.age"), "rb") as f:
                rule, said, _ = by_reader(f.read(), scalars, fact["path"])
            why = None if rule == fact["rule"] else "expected %s, got %s: %s" % (fact["rule"], rule or "nothing", said)
        if why:
            failed += 1
            print("%s: %s" % (fact["path"], why))
    print("%d objects, %d failed" % (len(index["objects"]), failed))
    return 1 if failed or not index["objects"] else 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--tools", action="store_true", help="age and zstd read them too")
    p.add_argument("--large", action="store_true")
    p.add_argument("dir", nargs="?")
    a = p.parse_args()
    maker = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "generate.py")]
    if not a.large:
        return subprocess.run(maker + ["--check", a.dir], check=False).returncode or check_all(a.dir, a.tools)
    with tempfile.TemporaryDirectory() as top:
        subprocess.run(maker + ["--large", top], check=True)
        return check_all(top, a.tools)


if __name__ == "__main__":
    sys.exit(main())
