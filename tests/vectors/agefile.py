"""The parts of age v1 (https://age-encryption.org/v1) that reader.py and generate.py need: keys, base64, key derivation."""

import base64
import hashlib
import hmac
import re

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CHUNK = 65536
TAG = 16
VERSION_LINE = b"age-encryption.org/v1\n"

_CHARSET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def _polymod(values):
    chk = 1
    for v in values:
        top = chk >> 25
        chk = (chk & 0x1FFFFFF) << 5 ^ v
        for i, g in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            chk ^= g if (top >> i) & 1 else 0
    return chk


def _expand(hrp):
    return [ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp]


def _regroup(data, src, dst, pad):
    acc = bits = 0
    out = []
    for v in data:
        acc = acc << src | v
        bits += src
        while bits >= dst:
            bits -= dst
            out.append(acc >> bits & ((1 << dst) - 1))
    if pad and bits:
        out.append(acc << (dst - bits) & ((1 << dst) - 1))
    if not pad and (bits >= src or acc & ((1 << bits) - 1)):
        raise ValueError("bech32: bad padding")
    return out


def bech32_encode(hrp, data):
    values = _regroup(data, 8, 5, True)
    chk = _polymod(_expand(hrp) + values + [0] * 6) ^ 1
    return hrp + "1" + "".join(_CHARSET[v] for v in values + [chk >> 5 * (5 - i) & 31 for i in range(6)])


def bech32_decode(hrp, text):
    if text not in (text.lower(), text.upper()):
        raise ValueError("bech32: mixed case")
    text = text.lower()
    if not text.startswith(hrp + "1"):
        raise ValueError("bech32: not a key of kind " + hrp)
    try:
        values = [_CHARSET.index(c) for c in text[len(hrp) + 1 :]]
    except ValueError:
        raise ValueError("bech32: bad character") from None
    if len(values) < 6 or _polymod(_expand(hrp) + values) != 1:
        raise ValueError("bech32: checksum")
    return bytes(_regroup(values[:-6], 5, 8, False))


def identity_encode(scalar):
    return bech32_encode("age-secret-key-", scalar).upper()


def identities_read(path):
    with open(path, encoding="ascii") as f:
        lines = [line.strip() for line in f]
    found = [bech32_decode("age-secret-key-", s) for s in lines if s and not s.startswith("#")]
    if not found or any(len(s) != 32 for s in found):
        raise ValueError(path + ": no identity, or one that is not 32 bytes")
    return found


def public(scalar):
    return X25519PrivateKey.from_private_bytes(scalar).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def shared(scalar, point):
    """ValueError for a low-order point (a secret of zeros)."""
    return X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))


def b64_encode(data):
    return base64.b64encode(data).rstrip(b"=")


def b64_decode(text):
    """Unpadded, canonical."""
    if not re.fullmatch(rb"[A-Za-z0-9+/]*", text) or len(text) % 4 == 1:
        raise ValueError("base64: bad character or length")
    data = base64.b64decode(text + b"=" * (-len(text) % 4))
    if b64_encode(data) != text:
        raise ValueError("base64: not canonical")
    return data


def hkdf(ikm, salt, info):
    prk = hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def mac(file_key, head):
    """`head`: the header up to and including the three dashes."""
    return hmac.new(hkdf(file_key, b"", b"header"), head, hashlib.sha256).digest()


def wrap_key(secret, share, recipient):
    return hkdf(secret, share + recipient, b"age-encryption.org/v1/X25519")


def pathtag(file_key, path):
    return hmac.new(hkdf(file_key, b"", b"bakfs path"), path, hashlib.sha256).digest()


def chunk_nonce(index, last):
    return index.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def aead(key):
    return ChaCha20Poly1305(key)
