#!/usr/bin/python3
"""A reader of bakfs objects that was written from backend/FORMAT.md only.

    reader.py --identity FILE --path PATH OBJECT [-o OUT]

Checks all that section 4 of that page demands and what it only recommends (every frame, the digest, the padding's
zeros), prints what it found as JSON and, with -o, writes the plain bytes. Exit status 0; 1 when the object is refused
(JSON with the rule: "refused"); 2 for wrong usage. Debian: python3-cryptography python3-xxhash python3-zstandard.
"""

import argparse
import calendar
import hashlib
import json
import os
import re
import struct
import sys

import agefile
import xxhash
import zstandard

PACKED_MAX = 1052672  # of a data frame
TRAILER_MAX = 16 << 20
FRAME = 1 << 20
HEADER_MAX = 65536
ENTRIES_MAX = 134217728
INDEX_STEP = 4096
PADDING, TRAILER, TABLE, TABLE_END = 0x184D2A5A, 0x184D2A5B, 0x184D2A5E, 0x8F92EAB1
EMPTY_SUM = 0x51D8E999
COMPLETE = ("unknown", "yes", "no", "unknown")  # 3 is read as unknown


class Refused(Exception):
    def __init__(self, rule, why):
        super().__init__(why)
        self.rule = rule


def need(ok, rule, why):
    if not ok:
        raise Refused(rule, why)


# --- The header (section 2) ---


def parse_header(data):
    """-> (stanzas as (arguments, body), length of the header with its last newline, what the MAC covers, MAC)"""

    def line(at):
        end = data.find(b"\n", at, HEADER_MAX)
        need(end >= 0, "header", "the header does not end within 65,536 bytes")
        return data[at:end], end + 1

    need(data.startswith(agefile.VERSION_LINE), "header", "not an age v1 file")
    at, stanzas = len(agefile.VERSION_LINE), []
    while True:
        start = at
        text, at = line(at)
        if text.startswith(b"---"):
            break
        need(text.startswith(b"-> "), "header", "a line that starts neither a stanza nor the MAC")
        args = text[3:].split(b" ")
        need(all(re.fullmatch(rb"[!-~]+", a) for a in args), "header", "a stanza's argument is empty or not printable")
        body = b""
        while True:
            text, at = line(at)
            need(len(text) <= 64, "header", "a stanza's body line is too long")
            body += text
            if len(text) < 64:
                break
        try:
            stanzas.append((args, agefile.b64_decode(body)))
        except ValueError as e:
            raise Refused("header", str(e)) from None
    need(stanzas, "header", "no stanza")
    need(re.fullmatch(rb"--- [A-Za-z0-9+/]{43}", text), "header", "the MAC line is malformed")
    try:
        mac = agefile.b64_decode(text[4:])
    except ValueError as e:
        raise Refused("header", str(e)) from None
    return stanzas, at, data[: start + 3], mac


def parse_time(text):
    m = re.fullmatch(rb"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.(\d{9})Z", text)
    need(m, "record", "a time is not of the form YYYYMMDDThhmmss.nnnnnnnnnZ")
    year, month, day, hour, minute, second = (int(g) for g in m.groups()[:6])
    good = 1 <= year and 1 <= month <= 12 and hour < 24 and minute < 60 and second < 60
    need(good and 1 <= day <= calendar.monthrange(year, month)[1], "record", "a time that does not exist")
    return text.decode()


def parse_record(stanzas):
    kind = stanzas[0][0][0]
    m = re.fullmatch(rb"bakfs/v([1-9]\d*)", kind)
    if not m:
        strays = any(args[0] == b"bakfs/v1" for args, _ in stanzas)
        need(not strays, "record", "the bakfs/v1 stanza is not the first")
        raise Refused("foreign", "an age file without a bakfs stanza")
    need(int(m.group(1)) == 1, "newer", "made by a newer bakfs: " + kind.decode())
    need(sum(args[0] == b"bakfs/v1" for args, _ in stanzas) == 1, "record", "two bakfs/v1 stanzas")
    args = stanzas[0][0][1:]
    need(len(args) >= 5, "record", "an argument is missing")
    size, mtime, committed, flags, tag = args[:5]
    need(re.fullmatch(rb"\d{20}", size) and int(size) < 1 << 63, "record", "SIZE")
    need(re.fullmatch(rb"[0-9a-f]{8}", flags), "record", "FLAGS")
    need(len(tag) == 43, "record", "PATHTAG is not 43 bytes")
    try:
        tag = agefile.b64_decode(tag)
    except ValueError:
        raise Refused("record", "PATHTAG is not base64") from None
    bits = int(flags, 16)
    times = parse_time(mtime), parse_time(committed)
    need(bits & 0xFFFF == 0, "newer", "a critical flag that this reader does not know: " + flags.decode())
    return {
        "size": int(size),
        "mtime": times[0],
        "committed": times[1],
        "flags": flags.decode(),
        "complete": COMPLETE[bits >> 30],
        "tool": bool(bits >> 29 & 1),
        "late": bool(bits >> 28 & 1),
    }, tag


def unwrap(stanzas, scalars):
    """The file key, by the first identity that fits."""
    shares = []
    for args, body in stanzas:
        if args[0] == b"X25519":
            try:
                good = len(args) == 2 and len(agefile.b64_decode(args[1])) == 32 and len(body) == 32
            except ValueError:
                good = False
            need(good, "header", "an X25519 stanza is malformed")
            shares.append((agefile.b64_decode(args[1]), body))
    for scalar in scalars:
        for share, body in shares:
            try:
                secret = agefile.shared(scalar, share)
            except ValueError:
                raise Refused("header", "an X25519 share of low order") from None
            key = agefile.wrap_key(secret, share, agefile.public(scalar))
            try:
                return agefile.aead(key).decrypt(bytes(12), body, None)
            except Exception:  # this recipient is somebody else
                continue
    raise Refused("no-identity", "none of %d recipients is ours" % len(shares))


def open_payload(sealed, file_key):
    """All chunks, the last one first."""
    need(len(sealed) >= 16 + agefile.TAG, "chunk", "the payload is cut")
    aead = agefile.aead(agefile.hkdf(file_key, sealed[:16], b"payload"))
    step = agefile.CHUNK + agefile.TAG
    body = memoryview(sealed)[16:]
    count = max(1, -(-len(body) // step))

    def chunk(i):
        try:
            return aead.decrypt(agefile.chunk_nonce(i, i == count - 1), bytes(body[i * step : (i + 1) * step]), None)
        except Exception:
            raise Refused("chunk", "chunk %d of %d does not open" % (i, count)) from None

    last = chunk(count - 1)
    need(last or count == 1, "chunk", "the last chunk is empty")
    return b"".join([chunk(i) for i in range(count - 1)] + [last])


# --- The inner layer (section 3) ---


def parse_table(payload):
    need(len(payload) >= 17, "table", "no room for a seek table")
    count, descriptor, magic = struct.unpack("<IBI", payload[-9:])
    need(magic == TABLE_END, "table", "the seekable magic number is missing")
    need(descriptor == 0x80, "table", "descriptor")
    need(1 <= count <= ENTRIES_MAX, "table", "number of entries")
    start = len(payload) - (8 + 12 * count + 9)
    need(start >= 0, "table", "more entries than bytes")
    magic, length = struct.unpack_from("<II", payload, start)
    need(magic == TABLE and length == 12 * count + 9, "table", "the seek table's frame")
    entries = list(struct.iter_unpack("<III", payload[start + 8 : -9]))
    need(sum(e[0] for e in entries) == start, "table", "compressed sizes do not add up")
    need(all(e[0] <= PACKED_MAX for e in entries if e[1]), "table", "a data frame is longer than any 1 MiB packs to")
    need(not entries or entries[-1][0] <= TRAILER_MAX, "trailer", "longer than 16 MiB")
    need(entries[-1][1] == 0, "table", "the last entry is not the trailer's")
    plain = [e[1] for e in entries if e[1]]
    need(all(n == FRAME for n in plain[:-1]) and (not plain or plain[-1] <= FRAME), "table", "decompressed sizes")
    return entries, start


def parse_trailer(payload, entries, start):
    need(entries[-1][0] >= 16, "trailer", "too short")
    at = start - entries[-1][0]
    magic, length = struct.unpack_from("<II", payload, at)
    need(magic == TRAILER, "trailer", "not where the table says")
    need(length + 8 == entries[-1][0], "trailer", "its length is not the table's")
    body = payload[at + 8 : start]
    need(body[:8] == b"bakfs/v1", "trailer", "magic")
    records, at, before = {}, 8, -1
    while at < len(body):
        need(len(body) - at >= 8, "trailer", "bytes after the last record")
        kind, n = struct.unpack_from("<II", body, at)
        need(n <= len(body) - at - 8, "trailer", "a record ends beyond the frame")
        number = kind & 0x7FFFFFFF
        need(number > before, "trailer", "records out of order")
        before = number
        records[kind] = body[at + 8 : at + 8 + n]
        at += 8 + n
    return records


LENGTHS = {0x80000001: (8, 8), 0x80000002: (32, 32), 3: (32, 32), 4: (1, 1), 5: (1, 1024), 7: (1, 64)}


def check_trailer(records, entries):
    for kind, value in records.items():
        known = kind in LENGTHS or kind == 6
        if not known:
            if kind & 0x80000000:
                raise Refused("newer", "an unknown critical record: 0x%08x" % kind)
            continue
        low, high = LENGTHS.get(kind, (16, 1 << 32))
        need(low <= len(value) <= high, "trailer", "length of record 0x%08x" % kind)
    for kind in (0x80000001, 0x80000002, 3, 4):
        need(kind in records, "trailer", "record 0x%08x is missing" % kind)
    need(records[4][0] <= 3, "trailer", "completeness")
    expected = b""
    if len(entries) > INDEX_STEP:
        packed = plain = 0
        for i, (c, d, _) in enumerate(entries):
            if i % INDEX_STEP == 0:
                expected += struct.pack("<QQ", packed, plain)
            packed, plain = packed + c, plain + d
    need(records.get(6, b"") == expected, "trailer", "the index is not the table's")


def decode_frame(packed, plain_len, checksum, number):
    """Exactly one zstd frame."""
    try:
        params = zstandard.get_frame_parameters(packed)
        need(params.content_size == plain_len, "frame", "frame %d: content size" % number)
        need(params.dict_id == 0, "frame", "frame %d: dictionary" % number)
        d = zstandard.ZstdDecompressor().decompressobj()
        plain = d.decompress(packed)
        need(not d.unused_data, "frame", "frame %d: bytes behind it" % number)
    except zstandard.ZstdError as e:
        raise Refused("frame", "frame %d: %s" % (number, e)) from None
    need(len(plain) == plain_len, "frame", "frame %d: length" % number)
    need(xxhash.xxh64_intdigest(plain) & 0xFFFFFFFF == checksum, "frame", "frame %d: checksum" % number)
    return plain


def read_frames(payload, entries, out):
    """Decodes everything; -> the digest (3.4)."""
    at = number = 0
    gib, total = hashlib.sha256(), hashlib.sha256()
    for packed_len, plain_len, checksum in entries[:-1]:
        packed = payload[at : at + packed_len]
        if plain_len:
            plain = decode_frame(packed, plain_len, checksum, number)
            out(plain)
            gib.update(hashlib.sha256(plain).digest())
            number += 1
            if number % 1024 == 0:
                total.update(gib.digest())
                gib = hashlib.sha256()
        else:
            good = packed_len >= 8 and struct.unpack_from("<II", packed) == (PADDING, packed_len - 8)
            need(good, "frame", "padding at %d is not a padding frame" % at)
            need(not any(packed[8:]) and checksum == EMPTY_SUM, "frame", "padding at %d is not written so" % at)
        at += packed_len
    need(entries[-1][2] == EMPTY_SUM, "frame", "the trailer's checksum in the table")
    if number % 1024:
        total.update(gib.digest())
    return total.digest()


def read_object(data, scalars, path, out):
    stanzas, header_len, covered, mac = parse_header(data)
    record, tag = parse_record(stanzas)
    file_key = unwrap(stanzas, scalars)
    need(agefile.mac(file_key, covered) == mac, "mac", "the header MAC does not hold")
    need(agefile.pathtag(file_key, path) == tag, "path", "the object belongs to another path")
    payload = open_payload(data[header_len:], file_key)
    entries, start = parse_table(payload)
    records = parse_trailer(payload, entries, start)
    check_trailer(records, entries)
    length = struct.unpack("<Q", records[0x80000001])[0]
    need(record["size"] == length == sum(e[1] for e in entries), "size", "SIZE, trailer and table differ")
    need(int(record["flags"], 16) >> 30 == records[4][0], "size", "completeness of record and trailer differ")
    digest = read_frames(payload, entries, out)
    need(digest == records[0x80000002], "digest", "the digest is not that of the bytes")
    return dict(
        record,
        header_len=header_len,
        recipients=sum(args[0] == b"X25519" for args, _ in stanzas),
        stanzas=[args[0].decode() for args, _ in stanzas],
        nonce=data[header_len : header_len + 16].hex(),
        payload_len=len(payload),
        frames=sum(e[1] > 0 for e in entries),
        padding=[e[0] for e in entries[:-1] if not e[1]],
        digest=digest.hex(),
        salt=records[3].hex(),
        first_path=records[5].decode(errors="replace") if 5 in records else None,
        version=records[7].decode(errors="replace") if 7 in records else None,
        index=len(records.get(6, b"")) // 16,
        unknown_records=sorted(k for k in records if k not in LENGTHS and k != 6),
    )


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--identity", required=True, metavar="FILE")
    p.add_argument("--path", required=True, help="the path in the tree that the object is opened by")
    p.add_argument("object")
    p.add_argument("-o", metavar="OUT", help="write the plain bytes there")
    a = p.parse_args()
    with open(a.object, "rb") as f:
        data = f.read()
    try:
        with open(a.o or os.devnull, "wb") as f:
            facts = read_object(data, agefile.identities_read(a.identity), a.path.encode(), f.write)
    except Refused as e:
        if a.o:
            os.unlink(a.o)  # never half a file
        print(json.dumps({"refused": e.rule, "why": str(e)}))
        return 1
    print(json.dumps(facts, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
