#!/usr/bin/python3
"""Reads a .zst by the rules of zstd's published "Seekable Format" 0.1.0 alone; it knows nothing of bakfs.

    seekable.py FILE.zst [-o OUT]

It finds the table from the file's end, walks every frame (RFC 8878) from the start, holds both against each other,
decodes each frame by itself at the place the table gives it and checks its checksum. Debian: python3-xxhash
python3-zstandard.
"""

import argparse
import json
import struct
import sys

import xxhash
import zstandard

SEEKABLE_MAGIC = 0x8F92EAB1
TABLE_MAGIC = 0x184D2A5E
FRAME_MAGIC = 0xFD2FB528
FRAMES_MAX = 0x8000000


class Bad(Exception):
    pass


def need(ok, why):
    if not ok:
        raise Bad(why)


def read_table(data):
    """-> entries (compressed size, decompressed size, checksum or None), where the table's frame starts"""
    need(len(data) >= 17, "too short for a seek table")
    count, descriptor, magic = struct.unpack("<IBI", data[-9:])
    need(magic == SEEKABLE_MAGIC, "the last four bytes are not Seekable_Magic_Number")
    need(descriptor & 0x7C == 0, "Reserved_Bits are set")
    need(count <= FRAMES_MAX, "too many frames")
    each = "<III" if descriptor & 0x80 else "<II"
    size = struct.calcsize(each) * count + 9
    start = len(data) - size - 8
    need(start >= 0, "the table is longer than the file")
    need(struct.unpack_from("<II", data, start) == (TABLE_MAGIC, size), "Skippable_Magic_Number or Frame_Size")
    entries = [(e + (None,))[:3] for e in struct.iter_unpack(each, data[start + 8 : -9])]
    return entries, start


def frame_length(data, at):
    """Length of the frame at `at`, by walking its header and blocks; and whether it is skippable."""
    need(len(data) - at >= 8, "a frame is cut")
    magic, length = struct.unpack_from("<II", data, at)
    if magic & 0xFFFFFFF0 == 0x184D2A50:
        return 8 + length, True
    need(magic == FRAME_MAGIC, "no frame starts at %d" % at)
    descriptor = data[at + 4]
    need(descriptor & 0x08 == 0, "a frame's reserved bit is set")
    single = descriptor >> 5 & 1
    size = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    pos = at + 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3] + size
    while True:
        need(len(data) - pos >= 3, "a block is cut")
        head = int.from_bytes(data[pos : pos + 3], "little")
        kind, size = head >> 1 & 3, head >> 3
        need(kind != 3, "a block of the reserved type")
        pos += 3 + (1 if kind == 1 else size)
        if head & 1:
            break
    return pos + (4 if descriptor & 4 else 0) - at, False


def check(data, out):
    entries, start = read_table(data)
    at = plain_total = skippable = 0
    for i, (packed, plain, checksum) in enumerate(entries):
        length, skip = frame_length(data, at)
        need(length == packed, "frame %d: Compressed_Size is %d, the frame has %d" % (i, packed, length))
        need(at + length <= start, "frame %d reaches into the table" % i)
        if skip:
            decoded, skippable = b"", skippable + 1
        else:
            # its own decoder: no frame may need another one
            decoded = zstandard.ZstdDecompressor().decompressobj().decompress(data[at : at + length])
        need(len(decoded) == plain, "frame %d: Decompressed_Size is %d, it has %d" % (i, plain, len(decoded)))
        if checksum is not None:
            need(xxhash.xxh64_intdigest(decoded) & 0xFFFFFFFF == checksum, "frame %d: Checksum" % i)
        out(decoded)
        at, plain_total = at + length, plain_total + plain
    need(at == start, "%d bytes between the last frame and the table" % (start - at))
    return {"frames": len(entries), "skippable": skippable, "plain": plain_total, "packed": len(data)}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("file")
    p.add_argument("-o", metavar="OUT", help="write the decoded bytes there")
    a = p.parse_args()
    with open(a.file, "rb") as f:
        data = f.read()
    plain = []
    try:
        facts = check(data, plain.append)
    except (Bad, zstandard.ZstdError) as e:
        print("%s: %s" % (a.file, e), file=sys.stderr)
        return 1
    if a.o:
        with open(a.o, "wb") as f:
            f.writelines(plain)
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
