"""Makes one bakfs object from fixed secrets, without any compressor: raw and RLE blocks only, so that no library's
version matters. Every step can be bent by a hook, to make objects that violate one rule. Written from
backend/FORMAT.md."""

import functools
import hashlib
import struct

import agefile
import xxhash

FRAME = 1 << 20
BLOCK = 1 << 17
MTIME = b"20261122T031500.123456789Z"
COMMITTED = b"20261122T031642.000000001Z"
EMPTY_SUM = 0x51D8E999


def secret(name, what):
    """Fixed, and different for every object: a vector's secrets follow from its name."""
    return hashlib.sha256(("bakfs vector, %s, %s" % (name, what)).encode()).digest()


def same(x):
    return x


@functools.lru_cache(maxsize=8)  # a large vector is one frame a thousand times
def zstd_frame(plain):
    """One frame, single segment, content size stated; RLE blocks where a block is one byte repeated, else raw."""
    out = struct.pack("<IBI", 0xFD2FB528, 0xA0, len(plain))
    for at in range(0, max(1, len(plain)), BLOCK):
        block = plain[at : at + BLOCK]
        last = at + BLOCK >= len(plain)
        rle = len(block) > 1 and block.count(block[:1]) == len(block)
        out += (last | rle << 1 | len(block) << 3).to_bytes(3, "little") + (block[:1] if rle else block)
    return out


def skippable(magic, content):
    return struct.pack("<II", magic, len(content)) + content


def padding(size):
    return skippable(0x184D2A5A, bytes(size - 8))


def tlv(kind, value):
    return struct.pack("<II", kind, len(value)) + value


@functools.lru_cache(maxsize=8)
def frame_sums(plain):
    return hashlib.sha256(plain).digest(), xxhash.xxh64_intdigest(plain) & 0xFFFFFFFF


def digest(frames):
    total = b""
    for i in range(0, len(frames), 1024):
        total += hashlib.sha256(b"".join(frame_sums(f)[0] for f in frames[i : i + 1024])).digest()
    return hashlib.sha256(total).digest()


class Object:
    """`parts`: the payload in order, bytes for the plain bytes of a frame, an int for a padding frame of that size.
    Hooks take what was made and give what is to stand there."""

    def __init__(self, name, parts, **how):
        self.name, self.parts = name, parts
        self.path = how.pop("path", "db1/2026-11-22/%s.sql" % name)
        self.tag_path = how.pop("tag_path", self.path)
        self.first_path = how.pop("first_path", self.path)
        self.recipients = how.pop("recipients", ["host"])
        self.flags = how.pop("flags", b"40000000")
        self.complete = how.pop("complete", 1)
        self.hooks = how
        self.file_key = secret(name, "file key")[:16]
        self.nonce = secret(name, "nonce")[:16]
        self.salt = secret(name, "salt")
        self.plain = [p for p in parts if isinstance(p, bytes)]

    def hook(self, name, value):
        return self.hooks.get(name, same)(value)

    # --- inner layer ---

    def packed(self):
        frames = [
            (padding(p), 0, EMPTY_SUM)
            if isinstance(p, int)
            else (zstd_frame(p), len(p), frame_sums(p)[1])
            for p in self.parts
        ]
        frames = self.hook("frames", frames)
        entries = [(len(f), n, c) for f, n, c in frames]
        trailer = self.hook("trailer", skippable(0x184D2A5B, b"bakfs/v1" + self.records(entries)))
        entries.append((len(trailer), 0, EMPTY_SUM))
        entries = self.hook("entries", entries)
        content = b"".join(struct.pack("<III", *e) for e in entries)
        table = skippable(0x184D2A5E, content + struct.pack("<IBI", len(entries), 0x80, 0x8F92EAB1))
        return self.hook("payload", b"".join(f for f, _, _ in frames) + trailer + self.hook("table", table))

    def records(self, entries):
        records = [
            (0x80000001, struct.pack("<Q", sum(len(p) for p in self.plain))),
            (0x80000002, digest(self.plain)),
            (3, self.salt),
            (4, bytes([self.complete])),
            (5, self.first_path.encode()),
        ]
        if len(entries) + 1 > 4096:
            index, packed, plain = b"", 0, 0
            for i, (c, d, _) in enumerate(entries):
                if i % 4096 == 0:
                    index += struct.pack("<QQ", packed, plain)
                packed, plain = packed + c, plain + d
            if len(entries) % 4096 == 0:  # the trailer's own entry
                index += struct.pack("<QQ", packed, plain)
            records.append((6, index))
        records.append((7, b"vectors 1"))
        return b"".join(tlv(k, v) for k, v in self.hook("records", records))

    # --- outer layer ---

    def stanza(self, index, who):
        scalar = secret(self.name, "ephemeral %d" % index)
        share, point = agefile.public(scalar), agefile.public(identity(who))
        key = agefile.wrap_key(agefile.shared(scalar, point), share, point)
        body = agefile.aead(key).encrypt(bytes(12), self.file_key, None)
        return b"-> X25519 " + agefile.b64_encode(share) + b"\n" + agefile.b64_encode(body) + b"\n"

    def header(self):
        tag = agefile.b64_encode(agefile.pathtag(self.file_key, self.tag_path.encode()))
        size = b"%020d" % sum(len(p) for p in self.plain)
        args = self.hook("record", [b"bakfs/v1", size, MTIME, COMMITTED, self.flags, tag])
        stanzas = [b"-> " + b" ".join(args) + b"\n\n"]
        stanzas += [self.stanza(i, who) for i, who in enumerate(self.recipients)]
        head = agefile.VERSION_LINE + b"".join(self.hook("stanzas", stanzas)) + b"---"
        return self.hook("header", head + b" " + agefile.b64_encode(agefile.mac(self.file_key, head)) + b"\n")

    def sealed(self, payload):
        aead = agefile.aead(agefile.hkdf(self.file_key, self.nonce, b"payload"))
        chunks = [payload[at : at + agefile.CHUNK] for at in range(0, max(1, len(payload)), agefile.CHUNK)]
        chunks = self.hook("chunks", chunks)
        flag = self.hooks.get("final", lambda i, n: i == n - 1)
        return [aead.encrypt(agefile.chunk_nonce(i, flag(i, len(chunks))), c, None) for i, c in enumerate(chunks)]

    def build(self):
        chunks = self.hook("sealed", self.sealed(self.packed()))
        return self.hook("object", self.header() + self.nonce + b"".join(chunks))

    def facts(self):
        return {
            "path": self.path,
            "size": sum(len(p) for p in self.plain),
            "digest": digest(self.plain).hex(),
            "file_key": self.file_key.hex(),
            "nonce": self.nonce.hex(),
            "salt": self.salt.hex(),
            "ephemerals": [secret(self.name, "ephemeral %d" % i).hex() for i in range(len(self.recipients))],
            "recipients": self.recipients,
        }


def identity(who):
    return secret("identities", who)
