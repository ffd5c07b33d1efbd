#!/usr/bin/python3
"""Functions and objects with external linkage that nobody outside their own file uses: make them static, or remove them.

    exports.py BUILDDIR      exit status 1 and a line for each; tests count as users
"""

import collections
import pathlib
import re
import subprocess
import sys

ALLOWED = re.compile(r"main|LLVMFuzzer\w+|__\w+")


def symbols(path):
    out = subprocess.run(["nm", "-P", str(path)], stdout=subprocess.PIPE, check=True, text=True).stdout
    for line in out.splitlines():
        name, kind = line.split()[:2]
        yield name, kind


def main():
    build = pathlib.Path(sys.argv[1])
    made, used = {}, collections.defaultdict(set)
    objects = sorted(build.rglob("*.c.o"))
    for path in objects:
        for name, kind in symbols(path):
            if kind in "TDBRC":
                made.setdefault(name, path)
            elif kind == "U":
                used[name].add(path)
    unused = [n for n in made if not used[n] and not ALLOWED.fullmatch(n) and "tests" not in made[n].parts]
    for name in sorted(unused):
        print("%s of %s is used by nobody else" % (name, made[name].relative_to(build)))
    print("%d objects, %d unused exports" % (len(objects), len(unused)))
    return 1 if unused or not objects else 0


if __name__ == "__main__":
    sys.exit(main())
