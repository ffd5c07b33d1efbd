#!/usr/bin/python3
"""Who may include whom: bytes and knowledge go one way (fs -> object -> pack, seal, store -> base). Also: each
third-party header belongs to one room, and headers are named from the top of the tree.

    includes.py [TOP]        exit status 1 and a line for each include that points the wrong way
"""

import os
import re
import subprocess
import sys

# room -> what it may include besides itself. A room is the longest of these that a file's path starts with.
ROOMS = {
    "backend/base/": [],
    "backend/stream.h": ["backend/base/"],
    "backend/seal/": ["backend/base/", "backend/stream.h"],
    "backend/pack/": ["backend/base/", "backend/stream.h"],
    "backend/s3/": ["backend/base/", "backend/stream.h"],
    "backend/store/": ["backend/base/", "backend/stream.h"],
    "backend/store/s3": ["backend/base/", "backend/stream.h", "backend/store/", "backend/s3/"],
    "backend/object": ["backend/base/", "backend/stream.h", "backend/pack/", "backend/seal/", "backend/store/"],
    "backend/complete": ["backend/base/", "backend/seal/seal.h"],
    "conf/": ["backend/base/"],
    "conf/stores": ["backend/base/", "backend/stream.h", "backend/store/", "conf/"],
    "conf/keys": ["backend/base/", "backend/seal/seal.h", "conf/"],
    "fs/path": ["backend/base/", "backend/object"], # pure: the rules of the tree
    "fs/": ["backend/base/", "backend/stream.h", "backend/complete", "backend/object", "backend/pack/pack.h", "backend/seal/seal.h",
            "backend/store/", "conf/", "conf/keys", "conf/stores", "fs/path", "tools/notify/notify.h"],
    # what works on the mount sees only the mount
    "tools/": ["backend/base/", "conf/"],
    # and these verbs see keys and the store
    "tools/init": ["backend/base/", "backend/store/", "backend/seal/seal.h", "conf/", "conf/keys", "tools/",
                   "tools/keyfile"],
    "tools/doctor": ["backend/base/", "backend/stream.h", "backend/store/", "backend/seal/seal.h", "backend/object",
                     "conf/", "conf/keys", "conf/stores", "fs/path", "tools/"],
    "tools/prune/": ["backend/base/", "backend/stream.h", "backend/store/", "backend/object", "conf/", "conf/stores",
                     "fs/path", "tools/"],
    "tools/keygen": ["backend/base/", "backend/seal/seal.h", "tools/", "tools/keyfile"],
    "tools/keyfile": ["backend/base/", "backend/seal/seal.h", "tools/"],
    # verify judges what is inside a file as the mount does what is stored plain, and sees no store for it
    "tools/verify/": ["backend/base/", "backend/complete", "conf/", "tools/"],
    # the program itself joins all verbs
    "tools/main.c": ["tools/", "fs/mount.h"],
}
ANYTHING = ("tests/",)

# third-party header -> where it may stand
FOREIGN = {
    r"openssl/": r"backend/base/crypto\.c",
    r"curl/": r"(backend/s3/http\w*|tools/notify/web)\.c",
    r"expat\.h": r"backend/s3/xml\w*\.c",
    r"(fuse|fuse_lowlevel|fuse3/.*)\.h": r"fs/\w+\.[ch]",
    r"ini\.h": r"conf/(conf|profile)\w*\.c|tools/catalog/ini_file\.c",
    r"(zstd|zstd_errors|xxhash)\.h": r"backend/pack/\w+\.[ch]|tools/verify/codec\.c|tests/unit/tools/verify/.*",
    r"(zlib|lzma)\.h": r"tools/verify/codec\.c|tests/unit/tools/verify/.*",
    r"json-c/": r"tools/(daemon_status|policy|notify/(web|repeat))\.c",
    r"libpq": r"tools/pg/pg\w*\.c",
    r"systemd/": r"fs/\w+\.c",
    r"cmocka\.h": r"tests/.*",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def room_of(path):
    found = [room for room in ROOMS if path.startswith(room)]
    return max(found, key=len) if found else None


def wrong(top, path, kind, name):
    """-> what is wrong with one include, or None"""
    for pattern, place in FOREIGN.items():
        if re.match(pattern, name):
            return None if re.fullmatch(place, path) else "belongs to %s alone" % place.replace("\\", "")
    if kind == "<":
        return "is ours: write it with quotes" if os.path.exists(os.path.join(top, name)) else None
    if not os.path.exists(os.path.join(top, name)):
        return "is not named from the top of the tree"
    if path.startswith(ANYTHING):
        return None
    if name.startswith(ANYTHING):
        return "belongs to the tests"
    here, there = room_of(path), room_of(name)
    if here is None or there is None:
        return "is in no room that tests/lint/includes.py knows"
    return None if there == here or there in ROOMS[here] or name in ROOMS[here] else "is above %s, or beside it" % here


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else "."
    listed = subprocess.run(["git", "-C", top, "ls-files", "*.c", "*.h"], stdout=subprocess.PIPE, check=True, text=True)
    files, bad = listed.stdout.split(), 0
    for path in files:
        with open(os.path.join(top, path), encoding="utf8") as f:
            text = f.read()
        for kind, name in INCLUDE.findall(text):
            why = wrong(top, path, kind, name)
            if why:
                line = text[: text.index(name)].count("\n") + 1
                print("%s:%d: %s %s" % (path, line, name, why))
                bad += 1
    print("%d files, %d includes that point the wrong way" % (len(files), bad))
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main())
